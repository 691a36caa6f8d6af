package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recordhost/recordhost/sdk/plugin"
	"github.com/recordhost/recordhost/sdk/proc"
	"github.com/recordhost/recordhost/sdk/runtime"
	"github.com/recordhost/recordhost/sdk/runtime/runtimetest"
	"github.com/recordhost/recordhost/sdk/status"
)

// patience is far longer than anything here takes; only a failing test waits for it.
const patience = time.Minute

// TestMain runs the tests, or, started again by one of them, plays another process.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "worker":
			work()
			return
		case "plugin":
			launchAndWait(os.Args[2])
			return
		case runtimetest.ChildArg:
			runtimetest.Child()
			return
		}
	}
	goleak.VerifyTestMain(m)
}

// work is a worker: the suite's, or one that the first control address describes.
func work() {
	var b bootstrap
	if err := json.NewDecoder(os.Stdin).Decode(&b); err != nil {
		panic(err)
	}
	switch b.Control[0] {
	case "environ":
		fmt.Println(strings.Join(os.Environ(), "\n"))
		fmt.Fprintln(os.Stderr, "done")
	case "family": // with a child in a session of its own
		child := exec.CommandContext(context.Background(), "sleep", "1000")
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := child.Start(); err != nil {
			panic(err)
		}
		fmt.Println(child.Process.Pid)
		select {}
	default:
		runtimetest.Main(runtimetest.Launched(b))
	}
}

// launchAndWait is a plugin process that has launched one worker, and prints its handle.
func launchAndWait(dir string) {
	d, err := driverIn(dir, 2)
	if err != nil {
		panic(err)
	}
	h, err := d.Launch(context.Background(), launchOf("family"))
	if err != nil {
		panic(err)
	}
	fmt.Println(string(h))
	select {}
}

func driverIn(dir string, slots int) (*driver, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	env := plugin.Env{StateDir: dir, HostExecutable: exe, Log: slog.New(slog.DiscardHandler)}
	d, err := newDriver(context.Background(), env, config{Slots: slots, KeepLogs: time.Hour})
	if err != nil {
		return nil, err
	}
	return d.(*driver), nil
}

// newTestDriver is a driver that the end of the test closes.
func newTestDriver(t *testing.T, dir string) *driver {
	t.Helper()
	d, err := driverIn(dir, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func launchOf(control string) runtime.Launch {
	return runtime.Launch{TaskID: "task", Epoch: 3, Control: []string{control}, Token: "secret"}
}

// launch launches a worker that the end of the test kills.
func launch(t *testing.T, d *driver, control string) runtime.Handle {
	t.Helper()
	h, err := d.Launch(t.Context(), launchOf(control))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Kill(context.Background(), h, 0); err != nil {
			t.Error(err)
		}
	})
	return h
}

func TestConformance(t *testing.T) {
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	const slots = 3
	dirs := map[string]string{} // by test
	runtimetest.Run(t, runtimetest.Harness{
		Slots: slots,
		NewDriver: func(t *testing.T) runtime.Driver {
			t.Helper()
			dir, ok := dirs[t.Name()]
			if !ok {
				dir = t.TempDir()
				dirs[t.Name()] = dir
			}
			d, err := driverIn(dir, slots)
			if err != nil {
				t.Fatal(err)
			}
			return d
		},
	})
}

func TestWorkerOutlivesAKilledPlugin(t *testing.T) {
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	old, err := proc.Start(t.Context(), proc.Spec{Path: exe, Args: []string{"plugin", dir}, Env: os.Environ(), PipeStdout: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = old.Stdout.Close() }()
	var raw json.RawMessage
	if err := json.NewDecoder(old.Stdout).Decode(&raw); err != nil {
		t.Fatalf("%v: %v", err, old.LastLines())
	}
	h := runtime.Handle(raw)
	child := childOf(t, dir)
	if _, err := old.Stop(t.Context(), 0); err != nil { // SIGKILL, to all that belongs to it
		t.Fatal(err)
	}

	d := newTestDriver(t, dir)
	if state, err := d.Recover(t.Context(), h); err != nil || state != runtime.StateRunning {
		t.Fatalf("recover: %v, %v", state, err)
	}
	if c, err := d.Capacity(t.Context()); err != nil || c != (runtime.Capacity{Running: 1, Free: 1}) {
		t.Errorf("capacity: %+v, %v", c, err)
	}
	type answer struct {
		exit runtime.Exit
		err  error
	}
	waited := make(chan answer, 1)
	go func() {
		exit, err := d.Wait(context.WithoutCancel(t.Context()), h)
		waited <- answer{exit, err}
	}()
	if err := d.Kill(t.Context(), h, 0); err != nil {
		t.Fatal(err)
	}
	if running(child) {
		t.Errorf("the worker's child %d is left", child)
	}
	if a := <-waited; a.err != nil || a.exit.Known {
		t.Errorf("wait: %+v, %v; want an exit that is not known", a.exit, a.err)
	}
	if state, err := d.Recover(t.Context(), h); err != nil || state != runtime.StateGone {
		t.Errorf("recover: %v, %v", state, err)
	}
	if c, err := d.Capacity(t.Context()); err != nil || c.Running != 0 {
		t.Errorf("capacity: %+v, %v", c, err)
	}
}

// What a worker that was killed leaves running is ended before anybody may launch the next.
func TestGoneMeansItsChildrenToo(t *testing.T) {
	dir := t.TempDir()
	for name, find := range map[string]func(context.Context, *driver, runtime.Handle) error{
		"recover": func(ctx context.Context, d *driver, h runtime.Handle) error {
			state, err := d.Recover(ctx, h)
			if err == nil && state != runtime.StateGone {
				err = fmt.Errorf("state %v", state)
			}
			return err
		},
		"wait": func(ctx context.Context, d *driver, h runtime.Handle) error {
			_, err := d.Wait(ctx, h)
			return err
		},
		"kill": func(ctx context.Context, d *driver, h runtime.Handle) error { return d.Kill(ctx, h, patience) },
	} {
		t.Run(name, func(t *testing.T) {
			h := launch(t, newTestDriver(t, dir), "family")
			child := childOf(t, dir)
			decoded, err := decodeHandle(h)
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(decoded.Process.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			for alive := true; alive; time.Sleep(time.Millisecond) {
				if alive, err = decoded.Process.Running(); err != nil {
					t.Fatal(err)
				}
			}
			if err := find(t.Context(), newTestDriver(t, dir), h); err != nil {
				t.Fatal(err)
			}
			if running(child) {
				t.Errorf("the child %d of a worker that is gone runs", child)
			}
		})
	}
}

// A handle may be older than the process that has its number now, or come from another machine.
func TestOnlyTheProvenProcessIsSignalled(t *testing.T) {
	dir := t.TempDir()
	d := newTestDriver(t, dir)
	worker, err := decodeHandle(launch(t, d, "family"))
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Repeat("0f", 16)

	recycled := worker
	recycled.Process.Start--
	recycled.Process.Mark = other
	b, err := recycled.encode()
	if err != nil {
		t.Fatal(err)
	}
	if state, err := d.Recover(t.Context(), b); err != nil || state != runtime.StateGone {
		t.Errorf("recover: %v, %v", state, err)
	}
	if exit, err := d.Wait(t.Context(), b); err != nil || exit.Known {
		t.Errorf("wait: %+v, %v", exit, err)
	}
	for _, grace := range []time.Duration{0, patience} {
		if err := d.Kill(t.Context(), b, grace); err != nil {
			t.Errorf("kill: %v", err)
		}
	}

	for name, alter := range map[string]func(*handle){
		"another boot of a machine without a name": func(h *handle) { h.Process.Boot, h.Machine = "x", "" },
		"another machine":                          func(h *handle) { h.Process.Boot, h.Machine = "x", "other" },
		"another container":                        func(h *handle) { h.Process.Namespace = "pid:[1]" },
	} {
		elsewhere := worker
		elsewhere.Process.Mark = other
		alter(&elsewhere)
		b, err := elsewhere.encode()
		if err != nil {
			t.Fatal(err)
		}
		if state, err := d.Recover(t.Context(), b); err != nil || state != runtime.StateNotHere {
			t.Errorf("%s: recover: %v, %v", name, state, err)
		}
		_, waitErr := d.Wait(t.Context(), b)
		for _, err := range []error{waitErr, d.Kill(t.Context(), b, 0), d.Kill(t.Context(), b, time.Second)} {
			if !errors.Is(err, status.FailedPrecondition) {
				t.Errorf("%s: %v, want %v", name, err, status.FailedPrecondition)
			}
		}
	}
	if !running(worker.Process.PID) || !running(childOf(t, dir)) {
		t.Error("a foreign process was killed")
	}
}

// After a restart of the very machine nothing of before it runs any more, and the recordings can go on at once.
func TestAfterARestartOfTheMachine(t *testing.T) {
	want := runtime.StateGone
	if machine() == "" { // it might be another one
		want = runtime.StateNotHere
	}
	d := newTestDriver(t, t.TempDir())
	h, err := decodeHandle(launch(t, d, "family"))
	if err != nil {
		t.Fatal(err)
	}
	h.Process.Boot = "x"
	b, err := h.encode()
	if err != nil {
		t.Fatal(err)
	}
	if state, err := d.Recover(t.Context(), b); err != nil || state != want {
		t.Errorf("recover: %v, %v, want %v", state, err, want)
	}
}

func TestHandlesOfOthersAreRefused(t *testing.T) {
	d := newTestDriver(t, t.TempDir())
	good := launch(t, d, "family")
	for name, from := range map[string][2]string{
		"another version":      {`"version":1`, `"version":2`},
		"the first process":    {`"pid":`, `"pid":1,"was":`},
		"no start":             {`"start":`, `"was":`},
		"no mark":              {`"mark":`, `"was":`},
		"a mark that is a way": {`"mark":"`, `"mark":"../../`},
	} {
		h := runtime.Handle(strings.Replace(string(good), from[0], from[1], 1))
		if string(h) == string(good) {
			t.Fatalf("%s: nothing changed in %s", name, good)
		}
		if _, err := d.Recover(t.Context(), h); !errors.Is(err, status.InvalidArgument) {
			t.Errorf("%s: %v, want %v", name, err, status.InvalidArgument)
		}
	}
}

func TestWorkerGetsTheStatedEnvironmentAndALog(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "of the plugin")
	t.Setenv("TZ", "Asia/Shanghai")
	dir := t.TempDir()
	d := newTestDriver(t, dir)
	h := launch(t, d, "environ")
	exit, err := d.Wait(t.Context(), h)
	if err != nil || !exit.Known || exit.Code != 0 {
		t.Fatalf("wait: %+v, %v", exit, err)
	}
	path := filepath.Join(dir, "task-3.log")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("log: %v, %v", info, err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if last := lines[len(lines)-1]; last != "done" {
		t.Errorf("the log ends with %q", last)
	}
	allowed := map[string]bool{"PATH": true, "HOME": true, "LANG": true, "TZ": true, "RECORDHOST_PROC": true}
	for _, l := range lines[:len(lines)-1] {
		if name, _, _ := strings.Cut(l, "="); !allowed[name] {
			t.Errorf("the worker sees %s", l)
		}
	}
	if !strings.Contains(string(b), "TZ=Asia/Shanghai") {
		t.Error("the worker does not see the time zone")
	}
}

func TestOldLogsAreRemoved(t *testing.T) {
	dir := t.TempDir()
	d := newTestDriver(t, dir)
	for name, age := range map[string]time.Duration{"old-1.log": 2 * time.Hour, "new-1.log": 0, "old.txt": 2 * time.Hour} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	launch(t, d, "family")
	for name, want := range map[string]bool{"old-1.log": false, "new-1.log": true, "old.txt": true, "task-3.log": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRosterSurvivesNonsense(t *testing.T) {
	dir := t.TempDir()
	d := newTestDriver(t, dir)
	h := launch(t, d, "family")
	decoded, err := decodeHandle(h)
	if err != nil {
		t.Fatal(err)
	}
	old := decoded
	old.Process.Boot, old.Process.Mark = "the boot before", strings.Repeat("0f", 16)
	if err := d.roster.add(old); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"empty.json": "", "half.json": string(h[:len(h)/2]), "being.new": "x"} {
		if err := os.WriteFile(filepath.Join(dir, "workers", name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := d.Capacity(t.Context()); err != nil || c.Running != 1 {
		t.Errorf("capacity: %+v, %v", c, err)
	}
	entries, err := os.ReadDir(filepath.Join(dir, "workers"))
	if err != nil || len(entries) != 2 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

func TestLaunchThatFailsLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	d := newTestDriver(t, dir)
	for name, c := range map[string]struct {
		alter func(*driver, *runtime.Launch)
		want  error
	}{
		"a worker that is missing": {func(d *driver, _ *runtime.Launch) { d.config.Worker = filepath.Join(dir, "none") }, os.ErrNotExist},
		"a task id that is a path": {func(_ *driver, l *runtime.Launch) { l.TaskID = "../x" }, status.InvalidArgument},
		// A folder that can be read and takes no file. The worker had been started by then; goleak finds one that is left.
		"a list that takes no entry": {func(d *driver, _ *runtime.Launch) { d.roster = &roster{dir: "/proc/self/task"} }, os.ErrNotExist},
	} {
		other, err := driverIn(dir, 2)
		if err != nil {
			t.Fatal(err)
		}
		l := launchOf("family")
		c.alter(other, &l)
		h, err := other.Launch(t.Context(), l)
		if err == nil {
			t.Errorf("%s: launched %s", name, h)
		} else if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	}
	if c, err := d.Capacity(t.Context()); err != nil || c.Running != 0 {
		t.Errorf("capacity: %+v, %v", c, err)
	}
}

// childOf waits until the worker "family" has written its child's number, the last line of its log.
func childOf(t *testing.T, dir string) int {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		b, err := os.ReadFile(filepath.Join(dir, "task-3.log"))
		if err != nil || len(b) == 0 || b[len(b)-1] != '\n' {
			continue
		}
		fields := strings.Fields(string(b))
		pid, err := strconv.Atoi(fields[len(fields)-1])
		if err == nil && running(pid) {
			return pid
		}
	}
	t.Fatal("the worker never told its child's number")
	return 0
}

// running says whether a process of that number runs: one that is dead but not yet waited for does not.
func running(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	rest := string(b[strings.LastIndexByte(string(b), ')')+1:])
	return !strings.HasPrefix(rest, " Z") && !strings.HasPrefix(rest, " X")
}
