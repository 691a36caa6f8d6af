package proc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/recordhost/recordhost/sdk/proc"
)

func TestExitCarriesCodeSignalAndLastLines(t *testing.T) {
	ended := wait(t, start(t, role(t, "exit", "3", "first", "\x1b[31mred\x07", strings.Repeat("x", 5000))))
	if ended.Code != 3 || ended.Signal != 0 {
		t.Errorf("code %d, signal %v; want 3 and none", ended.Code, ended.Signal)
	}
	want := []string{"first", "\uFFFD[31mred\uFFFD", strings.Repeat("x", 512)}
	if !slices.Equal(ended.Stderr, want) {
		t.Errorf("last lines %q, want %q", ended.Stderr, want)
	}
	var exitErr *proc.ExitError
	if !errors.As(ended.Err(), &exitErr) || !strings.Contains(exitErr.Error(), "exit code 3: first") {
		t.Errorf("error %v", ended.Err())
	}
	if ended.CPU <= 0 || ended.MaxRSS <= 0 {
		t.Errorf("cpu %v, memory %d: want both counted", ended.CPU, ended.MaxRSS)
	}

	c := start(t, role(t, "sleep"))
	line(t, c)
	if exit := c.Exit(); exit.Err() != nil {
		t.Errorf("a running child has exit %+v", exit)
	}
	if err := c.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if ended := wait(t, c); ended.Code != -1 || ended.Signal != syscall.SIGKILL {
		t.Errorf("code %d, signal %v; want -1 and killed", ended.Code, ended.Signal)
	}
	if err := c.Signal(syscall.SIGKILL); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signal to an ended child: %v", err)
	}
	if err := (proc.Exit{}).Err(); err != nil {
		t.Errorf("success is %v", err)
	}
}

func TestLastLinesAreBounded(t *testing.T) {
	args := []string{"exit", "0"}
	for i := range 50 {
		args = append(args, strconv.Itoa(i))
	}
	ended := wait(t, start(t, role(t, args...)))
	if n := len(ended.Stderr); n != 20 || ended.Stderr[19] != "49" {
		t.Errorf("%d lines, %q; want the last twenty", n, ended.Stderr)
	}
}

func TestEnvironmentIsTheStatedOneAndAMark(t *testing.T) {
	t.Setenv("SECRET_OF_THE_HOST", "1")
	s := role(t, "environ")
	s.Env = []string{"A=1", "RECORDHOST_PROC=forged"}
	c := start(t, s)
	out, err := io.ReadAll(c.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	want := "A=1\nRECORDHOST_PROC=" + c.Identity().Mark
	if got := strings.TrimSpace(string(out)); got != want {
		t.Errorf("environment %q, want %q", got, want)
	}
}

func TestStandardStreams(t *testing.T) {
	t.Run("pipes", func(t *testing.T) {
		s := role(t, "copy")
		s.PipeStdin = true
		c := start(t, s)
		if _, err := io.WriteString(c.Stdin, "hello\n"); err != nil {
			t.Fatal(err)
		}
		if got := line(t, c); got != "hello" {
			t.Errorf("read %q", got)
		}
		if err := c.Stdin.Close(); err != nil {
			t.Fatal(err)
		}
		if exit := wait(t, c); exit.Err() != nil {
			t.Error(exit.Err())
		}
	})
	t.Run("input and writer", func(t *testing.T) {
		var out bytes.Buffer
		s := role(t, "copy")
		s.Input, s.PipeStdout, s.Stdout = []byte("bootstrap"), false, &out
		wait(t, start(t, s))
		if out.String() != "bootstrap" {
			t.Errorf("read %q", out.String())
		}
	})
	t.Run("a writer that fails costs the child nothing", func(t *testing.T) {
		s := role(t, "copy")
		s.Input, s.PipeStdout, s.Stdout = bytes.Repeat([]byte("x"), 4096), false, failing{}
		if exit := wait(t, start(t, s)); exit.Err() != nil {
			t.Error(exit.Err())
		}
	})
	t.Run("further files", func(t *testing.T) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Close() }()
		c := start(t, proc.Spec{Path: "/bin/sh", Args: []string{"-c", "echo three >&3"}, ExtraFiles: []*os.File{w}})
		_ = w.Close()
		out, err := io.ReadAll(r)
		if err != nil || string(out) != "three\n" {
			t.Errorf("read %q, %v", out, err)
		}
		wait(t, c)
	})
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestStartRefuses(t *testing.T) {
	ctx := t.Context()
	over, cancel := context.WithCancel(ctx)
	cancel()
	missing := filepath.Join(t.TempDir(), "missing")
	for name, c := range map[string]struct {
		spec proc.Spec
		want error
	}{
		"a relative path":            {proc.Spec{Path: "sleep"}, nil},
		"two standard inputs":        {proc.Spec{Path: "/bin/sleep", Input: []byte{}, PipeStdin: true}, nil},
		"two standard outputs":       {proc.Spec{Path: "/bin/sleep", Stdout: io.Discard, PipeStdout: true}, nil},
		"a detached child's pipe":    {proc.Spec{Path: "/bin/sleep", Detached: true, Stderr: io.Discard}, nil},
		"an input that does not fit": {proc.Spec{Path: "/bin/sleep", Input: make([]byte, 1<<21)}, os.ErrDeadlineExceeded},
		"a program that is missing":  {proc.Spec{Path: missing, PipeStdin: true, PipeStdout: true}, os.ErrNotExist},
		"a program that is a folder": {proc.Spec{Path: "/"}, os.ErrPermission},
		"a context that has ended":   {proc.Spec{Path: "/bin/sleep"}, context.Canceled},
	} {
		with := ctx
		if errors.Is(c.want, context.Canceled) {
			with = over
		}
		child, err := proc.Start(with, c.spec)
		if err == nil {
			_, _ = child.Stop(ctx, 0)
			t.Errorf("%s: started", name)
		} else if c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestStopAsksFirst(t *testing.T) {
	c := start(t, role(t, "end-on-term"))
	line(t, c)
	exit, err := c.Stop(t.Context(), patience)
	if err != nil || exit.Code != 7 {
		t.Errorf("exit %+v, %v; want code 7", exit, err)
	}
	again, err := c.Stop(t.Context(), patience)
	if err != nil || again.Code != 7 {
		t.Errorf("a second Stop: %+v, %v", again, err)
	}
}

func TestStopKillsWhatIgnoresTerm(t *testing.T) {
	t.Run("after the grace", func(t *testing.T) {
		c := start(t, role(t, "ignore-term"))
		line(t, c)
		exit, err := c.Stop(t.Context(), 50*time.Millisecond)
		if err != nil || exit.Signal != syscall.SIGKILL {
			t.Errorf("exit %+v, %v; want killed", exit, err)
		}
	})
	t.Run("when ctx ends", func(t *testing.T) {
		c := start(t, role(t, "ignore-term"))
		line(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		exit, err := c.Stop(ctx, time.Hour)
		if err != nil || exit.Signal != syscall.SIGKILL {
			t.Errorf("exit %+v, %v; want killed", exit, err)
		}
	})
	t.Run("though it is halted", func(t *testing.T) {
		c := start(t, role(t, "sleep"))
		line(t, c)
		if err := c.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		exit, err := c.Stop(t.Context(), 50*time.Millisecond)
		if err != nil || exit.Signal != syscall.SIGKILL {
			t.Errorf("exit %+v, %v; want killed", exit, err)
		}
	})
}

func TestDescendantsAreGoneWithTheChild(t *testing.T) {
	check := func(t *testing.T, pids []int) {
		t.Helper()
		if len(pids) != 5 {
			t.Fatalf("family %v", pids)
		}
		for i, pid := range pids {
			if running(pid) {
				t.Errorf("descendant %d of 5 (pid %d) outlived the child", i+1, pid)
			}
		}
	}
	t.Run("Stop", func(t *testing.T) {
		c := start(t, role(t, "family", "stay"))
		pids := numbers(t, line(t, c))
		if _, err := c.Stop(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		check(t, pids)
	})
	t.Run("the child ends by itself", func(t *testing.T) {
		c := start(t, role(t, "family", "leave"))
		pids := numbers(t, line(t, c))
		wait(t, c)
		check(t, pids)
	})
	t.Run("the child is killed", func(t *testing.T) {
		c := start(t, role(t, "family", "stay"))
		pids := numbers(t, line(t, c))
		if err := c.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		wait(t, c)
		check(t, pids)
	})
}

// A program that was started has no environment for an instant, and so no mark. What is in that instant while its parent
// dies must not be lost sight of.
func TestDescendantsThatHaveJustBegunAreGoneToo(t *testing.T) {
	for range 100 {
		c := start(t, role(t, "brood"))
		wait(t, c)
		if left := marked(t, c.Identity().Mark); len(left) > 0 {
			t.Fatalf("descendants %v outlived the child", left)
		}
	}
}

// marked lists the processes that have the mark in their environment.
func marked(t *testing.T, mark string) (pids []string) {
	t.Helper()
	time.Sleep(5 * time.Millisecond) // for an execve that is under way
	paths, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if env, err := os.ReadFile(path); err == nil && bytes.Contains(env, []byte(mark)) {
			pids = append(pids, filepath.Base(filepath.Dir(path)))
		}
	}
	return pids
}

func TestAdoptedOrphansAreWaitedFor(t *testing.T) {
	if got := line(t, start(t, role(t, "adopt"))); got != "true" {
		t.Errorf("no children left: %s", got)
	}
}

// When a process that started children is killed, the children must not live on; but those that were started to outlive
// it must, even where the whole tree of its parent is ended.
func TestParentDeath(t *testing.T) {
	for _, kind := range []string{"bound", "detached"} {
		t.Run(kind, func(t *testing.T) {
			c := start(t, role(t, "parent", kind))
			var grandchild proc.Identity
			if err := json.Unmarshal([]byte(line(t, c)), &grandchild); err != nil {
				t.Fatal(err)
			}
			if err := c.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			wait(t, c)
			if kind == "bound" {
				eventually(t, "the child of a killed parent is gone", func() bool { return !running(grandchild.PID) })
				return
			}
			if alive, err := grandchild.Running(); err != nil || !alive {
				t.Fatalf("detached child runs: %v, %v", alive, err)
			}
			if err := grandchild.Stop(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			if running(grandchild.PID) {
				t.Error("stopped process runs")
			}
		})
	}
}

// The parent-death signal follows the thread that forked, not the process (golang/go#27505). A library that sets it
// without keeping that thread loses its children at random moments, whenever the Go runtime ends a thread.
func TestChildOutlivesTheThreadThatStartedIt(t *testing.T) {
	started := make(chan *proc.Child)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		c, err := proc.Start(context.Background(), role(t, "sleep"))
		if err != nil {
			t.Error(err)
		}
		started <- c
	}()
	c := <-started
	if c == nil {
		return
	}
	defer func() { _ = c.Stdout.Close() }()
	line(t, c)
	for range 20 { // let threads come and go
		done := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(done)
		}()
		<-done
	}
	if alive, err := c.Identity().Running(); err != nil || !alive {
		t.Errorf("runs: %v, %v", alive, err)
	}
	if _, err := c.Stop(t.Context(), 0); err != nil {
		t.Error(err)
	}
}

func TestCredential(t *testing.T) {
	uid := uint32(os.Getuid())
	credential := &syscall.Credential{Uid: uid, Gid: uint32(os.Getgid()), NoSetGroups: true}
	if uid == 0 {
		uid = 65534
		credential = &syscall.Credential{Uid: uid, Gid: uid}
	}
	c := start(t, proc.Spec{
		Path: "/bin/sh", Args: []string{"-c", "id -u; exec sleep 1000"}, Dir: "/",
		Env: []string{"PATH=/usr/bin:/bin"}, Credential: credential, PipeStdout: true,
	})
	if got := line(t, c); got != strconv.Itoa(int(uid)) {
		t.Errorf("runs as %s, want %d", got, uid)
	}
	exit, err := c.Stop(t.Context(), patience)
	if err != nil || exit.Signal != syscall.SIGTERM {
		t.Errorf("exit %+v, %v", exit, err)
	}
}
