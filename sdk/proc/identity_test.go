package proc_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/recordhost/recordhost/sdk/proc"
)

// A stored identity may be older than the process that has its number now. That one, its session and its children are
// none of ours, whatever they look like.
func TestRecycledNumberIsNeverSignalled(t *testing.T) {
	decoy := start(t, role(t, "family", "stay"))
	family := numbers(t, line(t, decoy))
	stale := decoy.Identity()
	stale.Start--
	stale.Mark = "0123456789abcdef0123456789abcdef"

	if alive, err := stale.Running(); err != nil || alive {
		t.Errorf("runs: %v, %v; want neither", alive, err)
	}
	if err := stale.Wait(t.Context()); err != nil {
		t.Errorf("wait: %v", err)
	}
	for _, grace := range []time.Duration{0, time.Second} {
		if err := stale.Stop(t.Context(), grace); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
	for _, pid := range append(family, decoy.Identity().PID) {
		if !running(pid) {
			t.Errorf("foreign process %d was killed", pid)
		}
	}
}

func TestIdentityOfAnotherBootOrContainer(t *testing.T) {
	c := start(t, role(t, "sleep"))
	line(t, c)
	for name, change := range map[string]func(*proc.Identity){
		"boot":      func(id *proc.Identity) { id.Boot = "another" },
		"container": func(id *proc.Identity) { id.Namespace = "pid:[1]" },
	} {
		id := c.Identity()
		change(&id)
		_, err := id.Running()
		for _, err := range []error{err, id.Wait(t.Context()), id.Stop(t.Context(), 0)} {
			if !errors.Is(err, proc.ErrElsewhere) {
				t.Errorf("%s: %v, want ErrElsewhere", name, err)
			}
		}
	}
	if !running(c.Identity().PID) {
		t.Error("the process was killed")
	}
}

func TestIdentityWait(t *testing.T) {
	c := start(t, role(t, "family", "stay"))
	family := numbers(t, line(t, c))
	id := stored(t, c.Identity())

	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := id.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait for a running process: %v", err)
	}
	waited := make(chan error, 1)
	go func() { waited <- id.Wait(context.WithoutCancel(t.Context())) }()
	if _, err := c.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
	for _, pid := range family {
		if running(pid) {
			t.Errorf("descendant %d is left", pid)
		}
	}
	if err := id.Wait(t.Context()); err != nil {
		t.Errorf("wait for an ended process: %v", err)
	}
}

func TestIdentityStop(t *testing.T) {
	for name, grace := range map[string]time.Duration{"end-on-term": patience, "ignore-term": 50 * time.Millisecond} {
		c := start(t, role(t, name))
		line(t, c)
		if err := stored(t, c.Identity()).Stop(t.Context(), grace); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		exit := wait(t, c)
		if polite := name == "end-on-term"; polite != (exit.Code == 7) {
			t.Errorf("%s: exit %+v", name, exit)
		}
	}
}

func TestCPUCountsDescendants(t *testing.T) {
	c := start(t, proc.Spec{Path: "/bin/sh", Args: []string{"-c", "setsid sh -c 'while :; do :; done' & wait"}})
	eventually(t, "processor time of a descendant is counted", func() bool {
		used, err := c.Identity().CPU()
		if err != nil {
			t.Fatal(err)
		}
		return used >= 50*time.Millisecond
	})
}

func TestSelf(t *testing.T) {
	id, err := proc.Self()
	if err != nil {
		t.Fatal(err)
	}
	if alive, err := id.Running(); err != nil || !alive {
		t.Errorf("runs: %v, %v", alive, err)
	}
	if used, err := id.CPU(); err != nil || used < 0 {
		t.Errorf("processor time %v, %v", used, err)
	}
}

// stored is an identity as a later process reads it.
func stored(t *testing.T, id proc.Identity) (back proc.Identity) {
	t.Helper()
	b, err := json.Marshal(id)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	return back
}

func TestSignalReachesTheProcessAlone(t *testing.T) {
	c := start(t, role(t, "end-on-term"))
	line(t, c)
	other := c.Identity()
	other.Start++ // the number was given again
	if err := other.Signal(syscall.SIGKILL); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("another process of that number: %v", err)
	}
	elsewhere := c.Identity()
	elsewhere.Boot = "another"
	if err := elsewhere.Signal(syscall.SIGKILL); !errors.Is(err, proc.ErrElsewhere) {
		t.Errorf("a process of another boot: %v", err)
	}
	if err := c.Identity().Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if exit := wait(t, c); exit.Code != 7 {
		t.Errorf("exit %+v", exit)
	}
	if err := c.Identity().Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("once it is gone: %v", err)
	}
}
