package pluginhost

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	pluginrunner "github.com/hashicorp/go-plugin/runner"

	"github.com/recordhost/recordhost/sdk/plugin"
	"github.com/recordhost/recordhost/sdk/proc"
)

// endingWithin is how long a process that closed its streams may take to end.
const endingWithin = 250 * time.Millisecond

// runner starts a plugin's process for go-plugin, and keeps from go-plugin what it cannot stand: its reader of standard
// error panics at records that are not quite its own, and its reader of standard output stops at a long line, which
// would block the plugin. Of the output it is shown the handshake alone; everything else goes to the log from here.
type runner struct {
	path string
	log  *slog.Logger

	env     []string
	tempDir string // go-plugin's, for the socket
	stdout  *handshake

	mu       sync.Mutex
	child    *proc.Child // nil until it was started
	startErr error       // why it could not be
	aborted  bool        // it must not live
	killed   bool        // it was made to end, and did not before
}

var _ pluginrunner.Runner = (*runner)(nil)

func newRunner(path string, log *slog.Logger) *runner { return &runner{path: path, log: log} }

// prepare is go-plugin's hook: cmd holds the environment that it wants, and nothing else of use.
func (r *runner) prepare(env []string) func(hclog.Logger, *exec.Cmd, string) (pluginrunner.Runner, error) {
	return func(_ hclog.Logger, cmd *exec.Cmd, tempDir string) (pluginrunner.Runner, error) {
		r.env, r.tempDir = slices.Concat(env, cmd.Env), tempDir
		return r, nil
	}
}

// environ is the environment of a plugin, without go-plugin's own variables.
func environ(ctx context.Context, block map[string]string, log *slog.Logger) []string {
	all := make(map[string]string)
	for _, name := range []string{"PATH", "HOME", "LANG", "TZ"} {
		if value, ok := os.LookupEnv(name); ok {
			all[name] = value
		}
	}
	maps.Copy(all, block)
	var env []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		env = append(env, name+"="+all[name])
	}
	return append(env, plugin.Environ(leastLevel(ctx, log))...)
}

// Start implements pluginrunner.Runner.
func (r *runner) Start(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.aborted {
		return context.Canceled
	}
	r.stdout = newHandshake(newLineLog(r.log, slog.LevelInfo))
	r.child, r.startErr = proc.Start(ctx, proc.Spec{
		Path: r.path, Env: r.env, Dir: "/",
		Stdout: r.stdout, Stderr: newLineLog(r.log, slog.LevelInfo),
	})
	return r.startErr
}

// Wait implements pluginrunner.Runner.
func (r *runner) Wait(ctx context.Context) error {
	exit, err := r.child.Wait(ctx)
	if err != nil {
		return err
	}
	return exit.Err()
}

// Kill implements pluginrunner.Runner. go-plugin calls it when a start went wrong, often because the process is just ending.
func (r *runner) Kill(context.Context) error {
	r.endedByItself()
	r.abort()
	return nil
}

// abort ends the process, or sees to it that it is not started. It returns when the process is gone.
func (r *runner) abort() {
	r.mu.Lock()
	child := r.child
	if child != nil && !r.aborted {
		alive, err := child.Identity().Running()
		r.killed = alive || err != nil
	}
	r.aborted = true
	r.mu.Unlock()
	if child == nil {
		return
	}
	if _, err := child.Kill(); err != nil {
		r.log.Error("plugin cannot be ended", "err", err)
	}
}

// endedByItself says whether the process has ended without being made to. One that is about to end is given the time: how
// it ends tells more than that it was killed.
func (r *runner) endedByItself() bool {
	if r.child == nil {
		return false
	}
	timer := time.NewTimer(endingWithin)
	defer timer.Stop()
	select {
	case <-r.child.Done():
	case <-timer.C:
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.killed
}

// wait returns when the process is gone, and removes what its kind of end may have left.
func (r *runner) wait() {
	if r.child != nil {
		<-r.child.Done()
	}
	if r.tempDir != "" {
		if err := os.RemoveAll(r.tempDir); err != nil {
			r.log.Warn("a plugin's socket is left", "err", err)
		}
	}
}

// lastWords are the last lines of the process's standard error, for an error's text.
func (r *runner) lastWords() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.child == nil {
		return ""
	}
	lines := r.child.LastLines()
	if len(lines) == 0 {
		return ""
	}
	return "; it said: " + strings.Join(lines[max(0, len(lines)-3):], " / ")
}

// Stdout implements pluginrunner.Runner.
func (r *runner) Stdout() io.ReadCloser { return io.NopCloser(r.stdout.reader(r.child.Done())) }

// Stderr implements pluginrunner.Runner. It is empty: see runner.
func (r *runner) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name implements pluginrunner.Runner.
func (r *runner) Name() string { return r.path }

// ID implements pluginrunner.Runner. go-plugin takes an empty one for a process that was not started.
func (r *runner) ID() string {
	if r.child == nil {
		return ""
	}
	return strconv.Itoa(r.child.Identity().PID)
}

// Diagnose implements pluginrunner.Runner. Our own errors say more.
func (r *runner) Diagnose(context.Context) string { return "" }

// PluginToHost implements pluginrunner.Runner: both live in one file system.
func (r *runner) PluginToHost(network, address string) (string, string, error) {
	return network, address, nil
}

// HostToPlugin implements pluginrunner.Runner.
func (r *runner) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}
