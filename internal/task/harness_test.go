package task

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recordhost/recordhost/internal/control"
	"github.com/recordhost/recordhost/internal/store"
	"github.com/recordhost/recordhost/internal/store/bolt"
	"github.com/recordhost/recordhost/sdk/runtime"
	"github.com/recordhost/recordhost/sdk/runtime/runtimetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what must happen; nothing here waits that long when all is well.
const patience = 20 * time.Second

// puppet is a worker that speaks the real control stream, and does what a test says.
type puppet struct {
	*control.Client
	launch runtime.Launch
	quit   chan int // with this exit code
}

// run dials, hands itself to the test, and stays until it is told to end.
func (p *puppet) run(ctx context.Context, asked <-chan struct{}, hand chan<- *puppet) runtime.Exit {
	var err error
	p.Client, err = control.Dial(ctx, control.Bootstrap{
		TaskID: p.launch.TaskID, Epoch: p.launch.Epoch, Control: p.launch.Control, Token: p.launch.Token,
	}, control.Options{Heartbeat: 20 * time.Millisecond, Backoff: 20 * time.Millisecond})
	if err != nil {
		return runtime.Exit{Code: 3, Reason: "dial: " + err.Error()}
	}
	defer p.Close()
	select {
	case hand <- p:
	case <-ctx.Done():
		return runtime.Exit{}
	}
	select {
	case code := <-p.quit:
		return runtime.Exit{Code: code}
	case <-p.Refused():
		return runtime.Exit{Code: 4}
	case <-asked:
	case <-ctx.Done():
	}
	return runtime.Exit{}
}

// tell emits events.
func (p *puppet) tell(t *testing.T, bodies ...control.Body) {
	t.Helper()
	for _, b := range bodies {
		if err := p.Emit(b); err != nil {
			t.Fatal(err)
		}
	}
}

// say emits events and waits until the host has them.
func (p *puppet) say(t *testing.T, bodies ...control.Body) {
	t.Helper()
	p.tell(t, bodies...)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := p.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

// obey takes the next command, which must be of this kind.
func (p *puppet) obey(t *testing.T, want control.CommandKind) {
	t.Helper()
	select {
	case c, ok := <-p.Commands():
		if !ok || c.Kind != want {
			t.Fatalf("command %+v, want %s", c, want)
		}
		p.Applied(c.Number)
	case <-time.After(patience):
		t.Fatalf("no command came, want %s", want)
	}
}

// host is all that a test needs around a Manager, and can be started anew.
type host struct {
	t       *testing.T
	dir     string
	machine *runtimetest.Machine
	workers chan *puppet
	log     *lockedBuffer

	change  func(*Options)
	store   store.Store
	control *control.Host
	served  chan error
	*Manager
}

// script makes workers that are puppets.
func (h *host) script(l runtime.Launch) runtimetest.Script {
	return runtimetest.Script{Run: func(ctx context.Context, asked <-chan struct{}, l runtime.Launch) runtime.Exit {
		p := &puppet{launch: l, quit: make(chan int, 1)}
		return p.run(ctx, asked, h.workers)
	}}
}

// newHost starts a host whose workers are puppets, unless script says otherwise for a launch.
func newHost(t *testing.T, change func(*Options), script func(runtime.Launch) runtimetest.Script) *host {
	t.Helper()
	h := &host{t: t, dir: shortDir(t), workers: make(chan *puppet, 100), log: &lockedBuffer{}, change: change}
	if script == nil {
		script = h.script
	}
	h.machine = runtimetest.NewMachine(0, script)
	h.up()
	t.Cleanup(func() {
		h.down()
		h.machine.KillAll()
		if t.Failed() {
			t.Log(h.log.String())
		}
	})
	return h
}

// up starts the host on what its directory holds.
func (h *host) up() {
	h.t.Helper()
	var err error
	if h.store, err = bolt.Open(filepath.Join(h.dir, "data")); err != nil {
		h.t.Fatal(err)
	}
	key, err := LoadKey(filepath.Join(h.dir, "data", "key"))
	if err != nil {
		h.t.Fatal(err)
	}
	socket, err := h.store.Setting(context.Background(), SettingSocket)
	if err != nil {
		h.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	h.control, err = control.Listen(control.HostOptions{Socket: string(socket), Dir: h.dir, Log: log})
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.store.SetSetting(context.Background(), SettingSocket, []byte(h.control.Socket())); err != nil {
		h.t.Fatal(err)
	}
	o := Options{
		Store: h.store, Control: h.control,
		Runtimes: map[string]runtime.Driver{"here": h.machine.Driver()}, DefaultRuntime: "here",
		Storages: []Storage{
			{Name: "files", Plugin: "blob", Config: []byte(`{"url":"file:///tmp"}`)}, {Name: "other", Plugin: "blob"},
		},
		DefaultStorage: "files",
		Engine: Engine{
			FPS: 30, CRF: 23, Preset: "veryfast", AudioBitrate: 128000, Sandbox: true, PageTimeout: time.Minute,
			ResumeWithin: time.Minute, MaxLifetime: time.Hour, UploadGiveUp: time.Hour,
		},
		ChromePath: "/chrome", FFmpegPath: "/ffmpeg", PluginDir: "/plugins", SpoolDir: filepath.Join(h.dir, "spool"),
		Key: key, Log: log, timing: defaultTiming(),
	}
	o.timing.retry, o.timing.grace = 10*time.Millisecond, 10*time.Millisecond
	if h.change != nil {
		h.change(&o)
	}
	if h.Manager, err = New(context.Background(), o); err != nil {
		h.t.Fatal(err)
	}
	h.served = make(chan error, 1)
	go func() { h.served <- h.control.Serve() }()
}

// down ends the host and leaves the workers alone.
func (h *host) down() {
	if h.Manager == nil {
		return
	}
	if err := errors.Join(h.Close(), h.control.Close(), <-h.served, h.store.Close()); err != nil {
		h.t.Error(err)
	}
	h.Manager = nil
}

// restart is down and up.
func (h *host) restart() {
	h.t.Helper()
	h.down()
	h.up()
}

const simple = `{"RecordURL":"https://example.com/lesson"}`

// start starts a task and answers its worker.
func (h *host) start(data string) (string, *puppet) {
	h.t.Helper()
	id, err := h.Start(context.Background(), json.RawMessage(data))
	if err != nil {
		h.t.Fatal(err)
	}
	return id, h.worker()
}

// worker waits for the next worker to come up.
func (h *host) worker() *puppet {
	h.t.Helper()
	select {
	case p := <-h.workers:
		return p
	case <-time.After(patience):
		h.t.Fatal("no worker came up")
		return nil
	}
}

func (h *host) describe(id string) Description {
	h.t.Helper()
	d, err := h.Describe(context.Background(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	return d
}

func (h *host) wantStatus(id string, want Status) {
	h.t.Helper()
	if got := h.describe(id).Status; got != want {
		h.t.Errorf("the status is %s, want %s", got, want)
	}
}

// wait waits until the task is finished, and its worker gone.
func (h *host) wait(id string) Description {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	d, err := h.Wait(ctx, id)
	if err != nil {
		h.t.Fatal(err)
	}
	return d
}

// wantFailure waits until the task has finished with this code, and a message that holds this text.
func (h *host) wantFailure(id, code, text string) {
	h.t.Helper()
	d := h.wait(id)
	if d.Result == nil || d.Result.ErrorCode != code || !bytes.Contains([]byte(d.Result.ErrorMessage), []byte(text)) {
		h.t.Errorf("the result is %+v, want %s: …%s…", d.Result, code, text)
	}
}

func (h *host) do(action func(context.Context, string) error, id string) {
	h.t.Helper()
	if err := action(context.Background(), id); err != nil {
		h.t.Fatal(err)
	}
}

// until waits for a condition that others bring about, looking often.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("it never came to this: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// wantCode checks the code of an action's error, and answers its message.
func wantCode(t *testing.T, err error, code string) string {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Code != code {
		t.Fatalf("got %v, want %s", err, code)
	}
	return e.Message
}

// shortDir is a directory whose path leaves room for a socket's.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rh-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// video is a delivery as workers report it.
func video(name string) control.Delivered {
	return control.Delivered{Deliveries: []control.Delivery{{
		Storage: "files", Filename: name, Size: 1000, Duration: 9033 * time.Millisecond, URL: "file:///" + name,
	}}}
}

// finishing is what a worker says after it has stopped.
func finishing() []control.Body {
	return []control.Body{
		control.Stopping{Reason: control.ReasonStop}, control.Whole{Size: 1000, Duration: 9033 * time.Millisecond},
		video("a.mp4"), control.Done{},
	}
}

func data(format string, args ...any) json.RawMessage { return fmt.Appendf(nil, format, args...) }
