package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/recordhost/recordhost/test/processes"
)

// family is the processes of one trial: those that run a binary below its directory, and whatever these have started, even
// when it has lost its parent since. Others of the same names may run on the machine; they are none of its business.
type family struct {
	dir string

	mu   sync.Mutex
	seen map[processes.Key]bool
}

func newFamily(dir string) *family { return &family{dir: dir, seen: map[processes.Key]bool{}} }

// alive lists them. It has to be called often, or one whose parent ends in between is missed.
func (f *family) alive() ([]processes.Process, error) {
	all, err := processes.All()
	if err != nil {
		return nil, err
	}
	byPID := map[int]processes.Key{}
	for key := range all {
		byPID[key.PID] = key
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for grown := true; grown; {
		grown = false
		for key, p := range all {
			if !f.seen[key] && (f.seen[byPID[p.Parent]] || f.own(key.PID)) {
				f.seen[key], grown = true, true
			}
		}
	}
	var found []processes.Process
	for key, p := range all {
		if f.seen[key] {
			found = append(found, p)
		}
	}
	return found, nil
}

// own says that a process runs a binary of the trial.
func (f *family) own(pid int) bool {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && strings.HasPrefix(exe, f.dir+"/")
}

// find answers the processes of a component. hostPID is the host's.
func (f *family) find(c component, hostPID int) ([]processes.Process, error) {
	alive, err := f.alive()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(alive, func(p processes.Process) bool { return !is(p, c, hostPID) }), nil
}

func is(p processes.Process, c component, hostPID int) bool {
	args, _ := processes.Arguments(p.PID) // none: it has ended
	line := strings.Join(args, " ")       // Chrome's children have written theirs anew, as one word
	has := func(word string) bool { return strings.Contains(line, word) }
	switch c {
	case host:
		return p.PID == hostPID
	case runtimePlugin:
		return p.Name == "runtime-local"
	case storagePlugin:
		return p.Name == "storage-blob"
	case worker:
		return p.Name == "recordhost" && len(args) > 1 && args[1] == "worker"
	case chrome:
		return p.Name == "chromium" && line != "" && !has("--type=")
	case renderer:
		return p.Name == "chromium" && has("--type=renderer")
	case ffmpeg:
		return p.Name == "ffmpeg" && has("pipe:0")
	}
	return false
}

// strike waits until a component is there and sends it the signal.
func (f *family) strike(ctx context.Context, c cell, hostPID int) ([]processes.Process, time.Time, error) {
	for {
		found, err := f.find(c.component, hostPID)
		if err != nil {
			return nil, time.Time{}, err
		}
		if len(found) > 0 {
			at := time.Now()
			for _, p := range found {
				if err := syscall.Kill(p.PID, c.signal); err != nil {
					return nil, at, fmt.Errorf("strike %s (%d): %w", p.Name, p.PID, err)
				}
			}
			return found, at, nil
		}
		if err := wait(ctx, 2*time.Millisecond); err != nil {
			return nil, time.Time{}, fmt.Errorf("no %s to strike: %w", c.component, err)
		}
	}
}

// wake lets frozen processes go on, where nobody has ended them.
func wake(frozen []processes.Process) error {
	all, err := processes.All()
	if err != nil {
		return err
	}
	for _, p := range frozen {
		if _, there := all[p.Key]; there {
			_ = syscall.Kill(p.PID, syscall.SIGCONT) // it may just have ended
		}
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
