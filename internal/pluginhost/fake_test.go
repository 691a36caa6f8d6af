package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recordhost/recordhost/sdk/plugin"
	"github.com/recordhost/recordhost/sdk/runtime"
	"github.com/recordhost/recordhost/sdk/schema"
	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// patience is far longer than anything here takes; only a failing test waits for it.
const patience = time.Minute

// roleKey is the variable of a block's environment that says how the plugin behaves.
const roleKey = "FAKE_PLUGIN"

// TestMain runs the tests, or, started as a plugin by one of them, plays it.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleKey); role != "" {
		play(role)
		os.Exit(0)
	}
	switch arg := append(os.Args, "")[1]; arg {
	case "host":
		playHost(os.Args[2], os.Args[3])
	case "worker":
		waitForTheEnd()
	default:
		goleak.VerifyTestMain(m)
	}
}

// play is the plugin process.
func play(role string) {
	switch role {
	case "crash":
		fmt.Fprintln(os.Stderr, "cannot find libfoo.so")
		os.Exit(3)
	case "chatter":
		fmt.Println("Hello, I am a program like any other.")
		waitForTheEnd()
	case "version":
		fmt.Println("1|7|unix|/tmp/none|grpc|")
		waitForTheEnd()
	case "core":
		fmt.Println("9|1|unix|/tmp/none|grpc|")
		waitForTheEnd()
	case "tcp":
		fmt.Println("1|1|tcp|127.0.0.1:1|grpc|")
		waitForTheEnd()
	case "silent":
		waitForTheEnd()
	case "deaf": // a handshake, and nobody behind it
		fmt.Println("1|1|unix|" + filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "none") + "|grpc|")
		waitForTheEnd()
	case "crash later": // at the second start of the same block
		if _, err := os.Stat(os.Getenv("FAKE_MARK")); err == nil {
			os.Exit(5)
		}
		serve()
	case "storage":
		storage.Serve(storage.Plugin[settings]{Name: "fake", Version: "2.1", New: newStore})
	case "misnamed":
		runtime.Serve(runtime.Plugin[settings]{Name: "other", New: newDriver})
	default:
		serve()
	}
}

func serve() {
	runtime.Serve(runtime.Plugin[settings]{Name: "fake", Version: "1.0", New: newDriver})
}

// waitForTheEnd blocks until the process is killed.
func waitForTheEnd() {
	for range time.Tick(time.Hour) {
		continue
	}
}

type settings struct {
	Color string        `config:"color,optional"`
	Token schema.Secret `config:"token,optional"`
}

func (s *settings) Validate() error {
	if s.Color == "invisible" {
		return errors.New("color: cannot be seen")
	}
	return nil
}

// driver is a runtime whose Launch does to the plugin what the task's id says.
type driver struct {
	env   plugin.Env
	color string
}

func newDriver(_ context.Context, env plugin.Env, s settings) (runtime.Driver, error) {
	if s.Color == "broken" {
		return nil, status.Errorf(status.Unavailable, "the color cannot be reached")
	}
	return &driver{env: env, color: s.Color}, nil
}

// Capacity tells the process number, so that tests see which process answers.
func (d *driver) Capacity(context.Context) (runtime.Capacity, error) {
	return runtime.Capacity{Running: os.Getpid()}, nil
}

func (d *driver) Launch(ctx context.Context, l runtime.Launch) (runtime.Handle, error) {
	switch l.TaskID {
	case "exit":
		fmt.Fprintln(realStderr(), "out of ideas")
		os.Exit(4)
	case "panic":
		go func() { panic("nobody catches this") }()
		<-ctx.Done()
	case "halt":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		<-ctx.Done()
	case "slow":
		<-ctx.Done()
		return nil, ctx.Err()
	case "full":
		return nil, status.WithRetryAfter(status.Errorf(status.NoCapacity, "no room"), time.Minute)
	case "gone by itself":
		return nil, status.Errorf(status.Unavailable, "the cloud is down")
	case "environ":
		return runtime.Handle(strings.Join(os.Environ(), "\n")), nil
	case "env":
		return fmt.Appendf(nil, "%s %s %s", d.color, d.env.StateDir, d.env.HostExecutable), nil
	case "log":
		d.env.Log.Warn("careful", "n", 3)
		_, _ = io.WriteString(realStderr(), "\xff\n"+strings.Join(l.Control, "\n")+"\n")
		fmt.Println("to standard output")
	}
	return runtime.Handle(l.TaskID), nil
}

// realStderr is the descriptor that C libraries and the Go runtime write to: go-plugin has put another file in os.Stderr's
// place.
func realStderr() *os.File { return os.NewFile(2, "stderr") }

func (d *driver) Recover(context.Context, runtime.Handle) (runtime.State, error) {
	return runtime.StateRunning, nil
}

func (d *driver) Wait(ctx context.Context, _ runtime.Handle) (runtime.Exit, error) {
	<-ctx.Done()
	return runtime.Exit{}, ctx.Err()
}

func (d *driver) Kill(ctx context.Context, _ runtime.Handle, grace time.Duration) error {
	select {
	case <-time.After(grace):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// store is a storage that can do nothing but say so.
type store struct{ storage.Driver }

func newStore(context.Context, plugin.Env, settings) (storage.Driver, error) { return store{}, nil }

func (store) Capabilities(context.Context) (storage.Capabilities, error) {
	return storage.Capabilities{Parts: true, MaxParts: 77}, nil
}

func (store) Check(context.Context) error {
	return status.Errorf(status.PermissionDenied, "wrong key")
}

// Put tells of how many pieces it has heard.
func (store) Put(_ context.Context, _ storage.State, f storage.File) error {
	return status.Errorf(status.DataLoss, "%d pieces", len(f.Extents))
}

// rig is a plugin folder whose plugins are this test binary.
type rig struct {
	Options
	log *logBook
}

func newRig(t *testing.T, files ...string) *rig {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, file := range files {
		if err := os.Symlink(exe, filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
	}
	log := &logBook{}
	return &rig{
		Options: Options{
			Dir: dir, StateDir: filepath.Join(t.TempDir(), "state"), HostExecutable: "/host",
			Log:          slog.New(slog.NewTextHandler(log, nil)),
			StartTimeout: patience, CallTimeout: patience,
			RestartAfter: time.Millisecond,
		},
		log: log,
	}
}

// fake is a runtime block that plays a role.
func fake(role string) Block {
	return Block{Kind: plugin.KindRuntime, Plugin: "fake", Name: "it", Env: env(role)}
}

// env is the environment of a plugin that plays a role. The race detector would hold each process's end up for a second.
func env(role string) map[string]string {
	return map[string]string{roleKey: role, "GORACE": "atexit_sleep_ms=0"}
}

// open opens a Host that the end of the test closes, and then looks that nothing is left.
func (r *rig) open(t *testing.T, blocks ...Block) *Host {
	t.Helper()
	r.Plugins = blocks
	h, err := Open(t.Context(), r.Options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.close(t, h) })
	return h
}

func (r *rig) close(t *testing.T, h *Host) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := h.Close(ctx); err != nil {
		t.Error(err)
	}
	for _, s := range h.List() {
		if s.PID != 0 && alive(s.PID) {
			t.Errorf("%s: process %d is left", s.Name, s.PID)
		}
	}
	if _, err := os.Stat(h.sockets.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("sockets are left: %v", err)
	}
}

func (h *Host) mustRuntime(t *testing.T) runtime.Driver {
	t.Helper()
	d, err := h.Runtime("it")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// ready waits until all plugins are.
func (h *Host) mustReady(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := h.Ready(ctx); err != nil {
		t.Fatal(err)
	}
}

func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// answering is the number of the process that answers.
func answering(t *testing.T, d runtime.Driver) int {
	t.Helper()
	c, err := d.Capacity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c.Running
}

// eventually waits for a condition that must come true.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// logBook collects what is logged.
type logBook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func wantErr(t *testing.T, err error, kind status.Kind, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if got := status.KindOf(err); got != kind {
		t.Errorf("%v: kind %v, want %v", err, got, kind)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}
