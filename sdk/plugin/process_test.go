package plugin_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"

	"github.com/recordhost/recordhost/sdk/plugin"
	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
	"github.com/recordhost/recordhost/sdk/storage/storagetest"
)

// The test's program is also its plugin and its host, by what this variable says.
const role = "SDK_PLUGIN_TEST_ROLE"

// patience is how long the tests wait for what must happen.
const patience = time.Minute

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "plugin":
		servePlugin()
	case "host":
		serveHost()
	default:
		os.Exit(m.Run())
	}
}

// settings of the test's plugin.
type settings struct {
	Mark string `config:"mark,optional" doc:"a file that a call which was cut leaves behind"`
}

// servePlugin is a storage plugin whose Check logs, and whose Abort hangs until it is cut.
func servePlugin() {
	storage.Serve(storage.Plugin[settings]{
		Name: "test", Version: "v9",
		New: func(_ context.Context, env plugin.Env, c settings) (storage.Driver, error) {
			fmt.Println("a library that prints to standard output")
			fmt.Fprintln(os.Stderr, `{"@message": 5, "@level": [], "@timestamp": {}}`)
			return storagetest.NewMemory(storagetest.Options{
				Before: func(ctx context.Context, call storagetest.Call) error {
					if call.Method == "Check" {
						env.Log.Info("checked", "n", 7, "@level", 5, "err", errors.New("an error"), "state_dir", env.StateDir)
					}
					if call.Method != "Abort" {
						return nil
					}
					if err := os.WriteFile(c.Mark+".begun", nil, 0o600); err != nil {
						return err
					}
					<-ctx.Done()
					return os.WriteFile(c.Mark+".cut", nil, 0o600)
				},
			}), nil
		},
	})
}

// serveHost starts a plugin, has it hang in a call, says its number, and hangs too.
func serveHost() {
	client := newClient(hclog.NewNullLogger(), slog.LevelInfo)
	fatal := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	base, driver, err := dispense(client)
	fatal(err)
	ctx := context.Background()
	config := `{"mark": ` + strconv.Quote(os.Args[1]) + `}`
	fatal(base.Configure(ctx, plugin.Configuration{JSON: []byte(config)}))
	state, err := driver.Open(ctx, storage.Delivery{TaskID: "t", Main: "a"})
	fatal(err)
	fmt.Println(client.ReattachConfig().Pid)
	fatal(driver.Abort(ctx, state))
}

func newClient(log hclog.Logger, level slog.Level) *goplugin.Client {
	cmd := exec.CommandContext(context.Background(), os.Args[0]) // go-plugin ends it
	cmd.Env = append(plugin.Environ(level), role+"=plugin", "TMPDIR="+os.TempDir())
	return goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig: plugin.Handshake(),
		VersionedPlugins: map[int]goplugin.PluginSet{plugin.Protocol: {
			plugin.BaseName: &plugin.GRPCPlugin{}, string(plugin.KindStorage): &storage.GRPCPlugin{},
		}},
		Cmd: cmd, SkipHostEnv: true, AutoMTLS: true, AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC}, Logger: log,
	})
}

func dispense(client *goplugin.Client) (plugin.Base, storage.Driver, error) {
	protocol, err := client.Client()
	if err != nil {
		return nil, nil, err
	}
	base, err := protocol.Dispense(plugin.BaseName)
	if err != nil {
		return nil, nil, err
	}
	driver, err := protocol.Dispense(string(plugin.KindStorage))
	if err != nil {
		return nil, nil, err
	}
	return base.(plugin.Base), driver.(storage.Driver), nil
}

// start starts a plugin for a test.
func start(t *testing.T, log hclog.Logger, level slog.Level) (*goplugin.Client, plugin.Base, storage.Driver) {
	t.Helper()
	client := newClient(log, level)
	t.Cleanup(client.Kill)
	base, driver, err := dispense(client)
	if err != nil {
		t.Fatal(err)
	}
	return client, base, driver
}

// output collects what is written to it.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// until waits for something that must become true.
func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !met(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never came true: %s", what)
		}
	}
}

func gone(pid int) func() bool {
	return func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || bytes.Contains(stat, []byte(") Z "))
	}
}

func exists(path string) func() bool {
	return func() bool {
		_, err := os.Stat(path)
		return err == nil
	}
}

func TestPluginProcess(t *testing.T) {
	var out output
	log := hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: &out, JSONFormat: true})
	client, base, driver := start(t, log, slog.LevelInfo)
	ctx := t.Context()
	want := plugin.Info{Kind: plugin.KindStorage, Name: "test", Version: "v9", Protocol: plugin.Protocol}
	if info, err := base.Info(ctx); err != nil || info != want {
		t.Errorf("info is %+v, %v", info, err)
	}
	if form, err := base.ConfigSchema(ctx); err != nil || len(form.Attributes) != 1 || form.Attributes[0].Name != "mark" {
		t.Errorf("the schema is %+v, %v", form, err)
	}
	if err := driver.Check(ctx); !errors.Is(err, status.FailedPrecondition) {
		t.Errorf("check before it is configured: %v", err)
	}
	if err := base.Configure(ctx, plugin.Configuration{JSON: []byte(`{"marks": 1}`)}); !errors.Is(err, status.InvalidArgument) {
		t.Errorf("configure with a setting that nobody knows: %v", err)
	}
	if err := base.Configure(ctx, plugin.Configuration{StateDir: "/state"}); err != nil {
		t.Fatal(err)
	}
	if err := driver.Check(ctx); err != nil {
		t.Fatal(err)
	}
	until(t, "the plugin's log arrives", func() bool {
		return strings.Contains(out.String(), `"@message":"checked"`) && strings.Contains(out.String(), `"err":"an error"`) &&
			strings.Contains(out.String(), `"n":"7"`) && strings.Contains(out.String(), `"state_dir":"/state"`)
	})
	pid := client.ReattachConfig().Pid
	client.Kill()
	until(t, "the plugin that was ended is gone", gone(pid))
	if err := driver.Check(ctx); !errors.Is(err, status.Unavailable) {
		t.Errorf("check of a plugin that is gone: %v, want %q", err, status.Unavailable)
	}
}

// Keys of the terminal reach the whole group, the plugin too. They are the host's to handle.
func TestPluginLeavesSignalsOfTheTerminalToItsHost(t *testing.T) {
	client, base, _ := start(t, hclog.NewNullLogger(), slog.LevelInfo)
	pid := client.ReattachConfig().Pid
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGINT} {
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatal(err)
		}
		if _, err := base.Info(t.Context()); err != nil {
			t.Fatalf("after %v: %v", sig, err)
		}
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	until(t, "a plugin that got SIGTERM ends", client.Exited)
}

// A call that is cut when the plugin is ended can still clean up.
func TestCallsThatAreCutCleanUp(t *testing.T) {
	client, base, driver := start(t, hclog.NewNullLogger(), slog.LevelInfo)
	mark := filepath.Join(t.TempDir(), "mark")
	if err := base.Configure(t.Context(), plugin.Configuration{JSON: []byte(`{"mark": ` + strconv.Quote(mark) + `}`)}); err != nil {
		t.Fatal(err)
	}
	state, err := driver.Open(t.Context(), storage.Delivery{TaskID: "t", Main: "a"})
	if err != nil {
		t.Fatal(err)
	}
	aborted := make(chan error, 1)
	go func() { aborted <- driver.Abort(t.Context(), state) }()
	until(t, "the call is under way", exists(mark+".begun"))
	client.Kill()
	if err := <-aborted; !errors.Is(err, status.Unavailable) {
		t.Errorf("a call that was cut: %v, want %q", err, status.Unavailable)
	}
	until(t, "the call cleaned up", exists(mark+".cut"))
}

// A host that is killed takes its plugins with it, and they can clean up.
func TestPluginEndsWithItsHost(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	host := exec.CommandContext(t.Context(), os.Args[0], mark)
	host.Env = []string{role + "=host", "TMPDIR=" + os.TempDir()}
	stdout, err := host.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	host.Stderr = os.Stderr
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the call is under way", exists(mark+".begun"))
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = host.Wait()
	until(t, "the plugin of a host that was killed is gone", gone(pid))
	if !exists(mark + ".cut")() {
		t.Error("the call that was under way did not clean up")
	}
}

// A host may die before its plugin takes its first step. Then the plugin never had another parent than the one it has.
func TestPluginWhoseHostIsGoneAlready(t *testing.T) {
	dead := exec.CommandContext(t.Context(), "true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	handshake := plugin.Handshake()
	orphan := exec.CommandContext(t.Context(), os.Args[0])
	orphan.Env = []string{
		role + "=plugin", "TMPDIR=" + os.TempDir(), handshake.MagicCookieKey + "=" + handshake.MagicCookieValue,
		"PLUGIN_PROTOCOL_VERSIONS=1", "RECORDHOST_PLUGIN_HOST_PID=" + strconv.Itoa(dead.Process.Pid),
	}
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = orphan.Wait() // how it ended does not matter
	}()
	select {
	case <-ended:
	case <-time.After(patience):
		_ = orphan.Process.Kill()
		t.Fatal("the plugin runs on without a host")
	}
}

func TestPluginThatIsStartedByHand(t *testing.T) {
	byHand := exec.CommandContext(t.Context(), os.Args[0])
	byHand.Env = []string{role + "=plugin"}
	byHand.Stdin = strings.NewReader("")
	out, err := byHand.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("it ended with %v, want the code 1", err)
	}
	for _, want := range []string{"storage-test v9", "started by recordhost, not by hand", `storage "test" "any-name"`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("it says\n%s\nwithout %q", out, want)
		}
	}
}

// A host that speaks another version of the contract is refused in words.
func TestPluginOfAnotherVersion(t *testing.T) {
	client := goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  plugin.Handshake(),
		VersionedPlugins: map[int]goplugin.PluginSet{2: {plugin.BaseName: &plugin.GRPCPlugin{}}},
		Cmd:              &exec.Cmd{Path: os.Args[0], Args: os.Args[:1], Env: []string{role + "=plugin"}},
		SkipHostEnv:      true, AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		Logger: hclog.NewNullLogger(), Stderr: io.Discard,
	})
	t.Cleanup(client.Kill)
	if _, err := client.Client(); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("a host of version 2: %v", err)
	}
}
