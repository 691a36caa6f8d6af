package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/recordhost/recordhost/sdk/runtime"
	"github.com/recordhost/recordhost/sdk/status"
)

// logs are the files that workers write their output to, one for each launch.
type logs struct {
	dir  string
	keep time.Duration
}

// create opens the log of a launch, and removes logs that have not been written for long.
func (l logs) create(launch runtime.Launch) (*os.File, error) {
	name := fmt.Sprintf("%s-%d.log", launch.TaskID, launch.Epoch)
	if filepath.Base(name) != name {
		return nil, status.Errorf(status.InvalidArgument, "the task id %q cannot name a file", launch.TaskID)
	}
	if err := l.prune(time.Now()); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(l.dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the worker's log: %w", err)
	}
	return f, nil
}

func (l logs) prune(now time.Time) error {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return fmt.Errorf("old logs: %w", err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || filepath.Ext(e.Name()) != ".log" || now.Sub(info.ModTime()) < l.keep {
			continue
		}
		if err := os.Remove(filepath.Join(l.dir, e.Name())); err != nil {
			return fmt.Errorf("old logs: %w", err)
		}
	}
	return nil
}
