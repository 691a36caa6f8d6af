package task

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/recordhost/recordhost/internal/store"
)

// passportName is the file in a task's spool that holds the task as it was stored last, for the case that the store is lost.
const passportName = "task.json"

// commandLeap is by how much the numbers of commands go on behind those of a task that may be older than what its worker
// knows: a number that the worker has had already would be taken for the command that it was then.
const commandLeap = 1000

// passport writes a task that was stored into its spool. The spool of a task that is over may be gone, and is not made
// again. A failure costs nothing but the passport.
func (m *Manager) passport(t store.Task) {
	path := filepath.Join(m.options.spoolOf(t.ID), passportName)
	if !t.Open {
		if _, err := os.Lstat(path); err != nil {
			return
		}
	}
	if err := writePassport(path, t); err != nil {
		m.options.Log.Warn("a task's copy in its spool was not written; it is needed only if the store is damaged",
			"task_id", t.ID, "err", err)
	}
}

// writePassport puts the file in its place whole.
func writePassport(path string, t store.Task) error {
	text, err := store.Encode(t)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// restore puts tasks back into the store that are missing from it, or older in it, by what their spools tell.
func (m *Manager) restore(ctx context.Context) error {
	entries, err := os.ReadDir(m.options.SpoolDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("task: look for lost tasks: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(m.options.SpoolDir, e.Name(), passportName)
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || !e.IsDir() {
			continue
		}
		log := m.options.Log.With("task_id", e.Name())
		if err == nil {
			err = m.restoreTask(ctx, e.Name(), path, text)
		}
		if err != nil {
			log.Error("a task's copy in its spool cannot be used; if the store does not know the task, its recording is in the spool alone",
				"file", path, "err", err)
		}
	}
	return nil
}

func (m *Manager) restoreTask(ctx context.Context, id, path string, text []byte) error {
	t, err := store.Decode(text)
	if err != nil {
		return err
	}
	if t.ID != id {
		return fmt.Errorf("it is that of task %.64q", t.ID)
	}
	stored, err := m.options.Store.Get(ctx, id)
	missing := errors.Is(err, store.ErrNotFound)
	if err != nil && !missing || err == nil && stored.Version >= t.Version {
		return err
	}
	r, err := decodeRecord(t)
	if err != nil {
		return err
	}
	r.State.Command += commandLeap
	if t, err = r.encode(); err != nil {
		return err
	}
	if missing {
		t.Version, err = 1, m.options.Store.Create(ctx, t)
	} else {
		t.Version = stored.Version
		t.Version, err = m.options.Store.Put(ctx, t)
	}
	if err != nil {
		return err
	}
	m.options.Log.Warn("a task that the store had lost was restored from its spool", "task_id", id)
	return writePassport(path, t)
}
