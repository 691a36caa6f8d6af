package task

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/recordhost/recordhost/internal/store"
)

// expireBatch is how many tasks are deleted at once: each batch is one change of the store.
const expireBatch = 100

// Retention is how long what is over is kept.
type Retention struct {
	Tasks time.Duration // a finished task, and all that there is of it
	Spool time.Duration // the spool of a finished task that could not be delivered, and one that is no task's
}

// Upkeep deletes what was kept for long enough. One goroutine uses it, again and again.
type Upkeep struct {
	tasks     *Manager
	keep      Retention
	ownerless map[string]bool // spools that were named in the log
}

// Upkeep makes the upkeep of the manager's tasks.
func (m *Manager) Upkeep(keep Retention) *Upkeep {
	return &Upkeep{tasks: m, keep: keep, ownerless: make(map[string]bool)}
}

// Run deletes what is due at a time. What fails does not keep the rest from being deleted, and is tried again by the next
// Run.
func (u *Upkeep) Run(ctx context.Context, now time.Time) error {
	return errors.Join(u.expireTasks(ctx, now.Add(-u.keep.Tasks)), u.expireSpools(ctx, now.Add(-u.keep.Spool)))
}

// expireTasks deletes the tasks that finished before a time.
func (u *Upkeep) expireTasks(ctx context.Context, before time.Time) error {
	failed := make(map[string]error)
	for {
		// Those that fail stay in front, so the batch grows by them.
		ids, err := u.tasks.options.Store.Finished(ctx, before, expireBatch+len(failed))
		if err != nil {
			return fmt.Errorf("task: list what is to be deleted: %w", err)
		}
		var batch []string
		for _, id := range ids {
			if failed[id] == nil {
				batch = append(batch, id)
			}
		}
		if len(batch) == 0 {
			return joined(failed)
		}
		if err := u.deleteTasks(ctx, batch, failed); err != nil {
			return errors.Join(err, joined(failed))
		}
	}
}

func joined(failed map[string]error) error {
	var errs []error
	for id, err := range failed {
		errs = append(errs, fmt.Errorf("task: delete task %s: %w", id, err))
	}
	return errors.Join(errs...)
}

// deleteTasks deletes a batch, with the spools first: a task whose spool cannot be removed stays, so that the spool does
// not become one that nobody knows. Those are added to failed.
func (u *Upkeep) deleteTasks(ctx context.Context, batch []string, failed map[string]error) error {
	var ready []string
	defer func() {
		for _, id := range ready {
			u.tasks.release(id)
		}
	}()
	for _, id := range batch {
		release, err := u.tasks.reserve(ctx, id) // a Start of the same ID waits, and makes another task
		if err != nil {
			return err
		}
		if err := os.RemoveAll(u.tasks.options.spoolOf(id)); err != nil {
			failed[id] = err
			release()
			continue
		}
		ready = append(ready, id)
	}
	if len(ready) == 0 {
		return nil
	}
	if err := u.tasks.options.Store.Delete(ctx, ready...); err != nil {
		return fmt.Errorf("task: delete finished tasks: %w", err)
	}
	u.tasks.options.Log.Info("finished tasks were deleted, as retention.tasks says", "count", len(ready))
	return nil
}

// expireSpools removes the spools that tasks have left which finished before a time, and those that are no task's and
// have not changed since.
func (u *Upkeep) expireSpools(ctx context.Context, before time.Time) error {
	entries, err := os.ReadDir(u.tasks.options.SpoolDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("task: look for old spools: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if err := u.expireSpool(ctx, e.Name(), before); err != nil {
			errs = append(errs, fmt.Errorf("task: spool %s: %w", filepath.Join(u.tasks.options.SpoolDir, e.Name()), err))
		}
	}
	return errors.Join(errs...)
}

func (u *Upkeep) expireSpool(ctx context.Context, id string, before time.Time) error {
	m := u.tasks
	if m.actor(id) != nil {
		return nil
	}
	release, err := m.reserve(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	dir := m.options.spoolOf(id)
	t, err := m.options.Store.Get(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return u.expireOwnerless(id, before)
	case err != nil:
		return err
	case t.Open || t.Finished.IsZero() || !t.Finished.Before(before):
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	m.options.Log.Warn("a recording that was not delivered was deleted, as retention.spool says", "task_id", id, "spool", dir)
	return nil
}

// expireOwnerless names a spool that is no task's, and removes it when nothing in it has changed for long enough: it may
// hold the only copy of a recording whose task was lost.
func (u *Upkeep) expireOwnerless(id string, before time.Time) error {
	dir := u.tasks.options.spoolOf(id)
	log := u.tasks.options.Log.With("spool", dir)
	changed, err := lastChange(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // its task took it along
	}
	if err != nil {
		return err
	}
	if !changed.Before(before) {
		if !u.ownerless[id] {
			u.ownerless[id] = true
			log.Warn("a spool belongs to no task; if it holds a recording that you want, copy it elsewhere before it is deleted",
				"changed", changed, "deleted_at", changed.Add(u.keep.Spool))
		}
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	delete(u.ownerless, id)
	log.Warn("a spool that belongs to no task was deleted, as retention.spool says", "changed", changed)
	return nil
}

// lastChange is when anything in a directory was last written.
func lastChange(dir string) (time.Time, error) {
	var last time.Time
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.ModTime().After(last) {
			last = info.ModTime()
		}
		return nil
	})
	return last, err
}
