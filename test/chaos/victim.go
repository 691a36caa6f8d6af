package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/recordhost/recordhost/test/processes"
)

// table is the processes that were born since a moment.
type table struct {
	before map[processes.Key]processes.Process
}

func newTable() (table, error) {
	all, err := processes.All()
	return table{before: all}, err
}

// born lists the younger ones.
func (t table) born() ([]processes.Process, error) {
	all, err := processes.All()
	if err != nil {
		return nil, err
	}
	var found []processes.Process
	for key, p := range all {
		if _, old := t.before[key]; !old {
			found = append(found, p)
		}
	}
	return found, nil
}

// find answers the processes of a component. hostPID is the host's.
func (t table) find(c component, hostPID int) ([]processes.Process, error) {
	born, err := t.born()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(born, func(p processes.Process) bool { return !is(p, c, hostPID) }), nil
}

func is(p processes.Process, c component, hostPID int) bool {
	args, _ := processes.Arguments(p.PID) // none: it has ended
	has := func(word string) bool {
		return slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, word) })
	}
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
		return p.Name == "chromium" && len(args) > 1 && !has("--type=")
	case renderer:
		return p.Name == "chromium" && has("--type=renderer")
	case ffmpeg:
		return p.Name == "ffmpeg" && has("pipe:0")
	}
	return false
}

// strike waits until a component is there and sends it the signal.
func (t table) strike(ctx context.Context, c cell, hostPID int) ([]processes.Process, time.Time, error) {
	for {
		found, err := t.find(c.component, hostPID)
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
