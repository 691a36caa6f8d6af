package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/recordhost/recordhost/sdk/proc"
)

// suffix ends the name of an entry that is whole.
const suffix = ".json"

// roster is the list of workers that were launched and not yet seen to be gone: a file with the handle of each, in a
// folder that outlives the plugin. It says how many slots are taken when nobody else remembers; each entry is checked
// against the process that it names, so a wrong one does no harm.
type roster struct {
	dir string
}

func newRoster(dir string) (*roster, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("list of workers: %w", err)
	}
	return &roster{dir: dir}, nil
}

// add puts a worker on the list, durably against the death of this process.
func (r *roster) add(h handle) error {
	b, err := h.encode()
	if err != nil {
		return err
	}
	path := r.path(h)
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return fmt.Errorf("list of workers: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("list of workers: %w", err)
	}
	return nil
}

// remove takes a worker off the list. One that is not on it is no failure.
func (r *roster) remove(h handle) error {
	if err := os.Remove(r.path(h)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list of workers: %w", err)
	}
	return nil
}

// running counts the workers that run, and takes off the list what is no running worker: those that have ended, among them
// all of an earlier boot, and files that a power failure left broken.
func (r *roster) running() (int, error) {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return 0, fmt.Errorf("list of workers: %w", err)
	}
	count := 0
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), suffix) {
			continue // being written
		}
		alive, err := alive(filepath.Join(r.dir, e.Name()))
		switch {
		case err != nil:
			return 0, fmt.Errorf("list of workers: %w", err)
		case alive:
			count++
		default:
			if err := os.Remove(filepath.Join(r.dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return 0, fmt.Errorf("list of workers: %w", err)
			}
		}
	}
	return count, nil
}

// of answers the workers of a task that are on the list, running or not.
func (r *roster) of(task string) ([]handle, error) {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, fmt.Errorf("list of workers: %w", err)
	}
	var found []handle
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), suffix) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(r.dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list of workers: %w", err)
		}
		if h, err := decodeHandle(b); err == nil && h.TaskID == task {
			found = append(found, h)
		}
	}
	return found, nil
}

// alive says whether the worker of an entry runs.
func alive(path string) (bool, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	h, err := decodeHandle(b)
	if err != nil {
		return false, nil //nolint:nilerr // nothing that this plugin wrote
	}
	running, err := h.Process.Running()
	if errors.Is(err, proc.ErrElsewhere) {
		return false, nil
	}
	return running, err
}

// path is named after the mark, which no two processes share.
func (r *roster) path(h handle) string { return filepath.Join(r.dir, h.Process.Mark+suffix) }
