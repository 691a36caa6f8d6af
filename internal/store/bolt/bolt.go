// Package bolt is the embedded store: one file in the host's data directory, for one host at a time. Every change is
// synced before it is answered. The commands open it for the task manager.
package bolt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/recordhost/recordhost/internal/store"
)

const (
	// fileName is the store's file in the data directory.
	fileName = "tasks.db"
	// schema is the version of the file's form. A host refuses a file of another one.
	schema = 1
	// lockTimeout is how long the lock of a host that is just ending is waited for.
	lockTimeout = 500 * time.Millisecond
)

// The buckets. The order bucket's keys are Created and ID, so that it holds the tasks by time; its values tell enough
// to select without reading the task.
const (
	bucketTasks    = "tasks"    // ID -> task
	bucketOrder    = "order"    // Created, ID -> summary
	bucketOpen     = "open"     // ID -> nothing, for tasks that are open
	bucketFinished = "finished" // Finished, ID -> nothing, for tasks that are not open
	bucketSettings = "settings" // name -> value
	bucketMeta     = "meta"     // of the file itself
	keySchema      = "schema"
)

// ErrInUse tells that another process has the data directory.
var ErrInUse = errors.New("store: the data directory is in use")

// Store is a store in a file. It implements store.Store.
type Store struct{ db *bbolt.DB }

var _ store.Store = (*Store)(nil)

// row is a task as it stands in the file.
type row struct {
	Version  uint64
	Created  time.Time
	Finished time.Time
	Status   string
	Open     bool
	Body     []byte
}

// Open opens the store in dir, and makes both where they are missing. It fails with ErrInUse while another process
// has it open.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: make the data directory: %w", err)
	}
	db, err := bbolt.Open(filepath.Join(dir, fileName), 0o600, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("%w: another recordhost runs on %s; stop it, or give this one a data_dir of its own", ErrInUse, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("store: open %s: %w", filepath.Join(dir, fileName), err)
	}
	s := &Store{db: db}
	if err := db.Update(prepare); err != nil {
		return nil, errors.Join(fmt.Errorf("store: %s: %w", filepath.Join(dir, fileName), err), db.Close())
	}
	return s, nil
}

// prepare makes what a new file lacks and refuses a file of another schema.
func prepare(tx *bbolt.Tx) error {
	older := tx.Bucket([]byte(bucketTasks)) != nil && tx.Bucket([]byte(bucketFinished)) == nil
	for _, name := range []string{bucketTasks, bucketOrder, bucketOpen, bucketFinished, bucketSettings, bucketMeta} {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return fmt.Errorf("make bucket %s: %w", name, err)
		}
	}
	if older {
		if err := dateFinished(tx, time.Now()); err != nil {
			return err
		}
	}
	meta := tx.Bucket([]byte(bucketMeta))
	found := meta.Get([]byte(keySchema))
	if found == nil {
		return meta.Put([]byte(keySchema), []byte(strconv.Itoa(schema)))
	}
	if string(found) != strconv.Itoa(schema) {
		return fmt.Errorf("its schema is %s, and this release reads %d", found, schema)
	}
	return nil
}

// dateFinished dates the tasks of a file that does not tell when they finished: as if that were now, so that they are kept
// for too long rather than not long enough.
func dateFinished(tx *bbolt.Tx, now time.Time) error {
	var over []store.Task
	err := tx.Bucket([]byte(bucketTasks)).ForEach(func(id, _ []byte) error {
		if t, err := read(tx, string(id)); err == nil && !t.Open { // a damaged one is not the business of this
			t.Finished = now
			over = append(over, t)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, t := range over {
		if err := write(tx, t); err != nil {
			return fmt.Errorf("date task %s: %w", t.ID, err)
		}
	}
	return nil
}

// Close lets another process have the file.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("store: close: %w", err)
	}
	return nil
}

// Create adds a task.
func (s *Store) Create(ctx context.Context, t store.Task) error {
	return s.update(ctx, "create task "+t.ID, func(tx *bbolt.Tx) error {
		if tx.Bucket([]byte(bucketTasks)).Get([]byte(t.ID)) != nil {
			return store.ErrExists
		}
		t.Version = 1
		return write(tx, t)
	})
}

// Get answers a task.
func (s *Store) Get(ctx context.Context, id string) (store.Task, error) {
	var t store.Task
	err := s.view(ctx, "read task "+id, func(tx *bbolt.Tx) (err error) {
		t, err = read(tx, id)
		return err
	})
	return t, err
}

// Put replaces a task of the version that was read.
func (s *Store) Put(ctx context.Context, t store.Task) (uint64, error) {
	var version uint64
	err := s.update(ctx, "change task "+t.ID, func(tx *bbolt.Tx) error {
		old, err := read(tx, t.ID)
		if err != nil {
			return err
		}
		if old.Version != t.Version {
			return store.ErrConflict
		}
		if err := tx.Bucket([]byte(bucketFinished)).Delete(orderKey(old.Finished, t.ID)); err != nil {
			return err
		}
		t.Created = old.Created
		t.Version++
		version = t.Version
		return write(tx, t)
	})
	return version, err
}

// Delete removes tasks.
func (s *Store) Delete(ctx context.Context, ids ...string) error {
	return s.update(ctx, "delete "+strings.Join(ids, ", "), func(tx *bbolt.Tx) error {
		for _, id := range ids {
			if err := remove(tx, id); err != nil {
				return err
			}
		}
		return nil
	})
}

func remove(tx *bbolt.Tx, id string) error {
	t, err := read(tx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(
		tx.Bucket([]byte(bucketTasks)).Delete([]byte(id)),
		tx.Bucket([]byte(bucketOrder)).Delete(orderKey(t.Created, id)),
		tx.Bucket([]byte(bucketOpen)).Delete([]byte(id)),
		tx.Bucket([]byte(bucketFinished)).Delete(orderKey(t.Finished, id)))
}

// Open answers the IDs of the tasks that are open.
func (s *Store) Open(ctx context.Context) ([]string, error) {
	var ids []string
	err := s.view(ctx, "list the open tasks", func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketOpen)).ForEach(func(id, _ []byte) error {
			ids = append(ids, string(id))
			return nil
		})
	})
	return ids, err
}

// Finished answers the IDs of tasks that are over, the earliest first.
func (s *Store) Finished(ctx context.Context, before time.Time, limit int) ([]string, error) {
	var ids []string
	err := s.view(ctx, "list the finished tasks", func(tx *bbolt.Tx) error {
		end := timeKey(before)
		c := tx.Bucket([]byte(bucketFinished)).Cursor()
		for key, _ := c.First(); key != nil && len(ids) < limit && bytes.Compare(key[:8], end) < 0; key, _ = c.Next() {
			ids = append(ids, string(key[8:]))
		}
		return nil
	})
	return ids, err
}

// Setting answers what was kept under name.
func (s *Store) Setting(ctx context.Context, name string) ([]byte, error) {
	var value []byte
	err := s.view(ctx, "read setting "+name, func(tx *bbolt.Tx) error {
		if found := tx.Bucket([]byte(bucketSettings)).Get([]byte(name)); found != nil {
			value = append([]byte{}, found...)
		}
		return nil
	})
	return value, err
}

// SetSetting keeps a value under name.
func (s *Store) SetSetting(ctx context.Context, name string, value []byte) error {
	return s.update(ctx, "keep setting "+name, func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketSettings)).Put([]byte(name), value)
	})
}

// update runs f in a transaction that is on disk when update returns.
func (s *Store) update(ctx context.Context, what string, f func(*bbolt.Tx) error) error {
	return run(ctx, what, s.db.Update, f)
}

func (s *Store) view(ctx context.Context, what string, f func(*bbolt.Tx) error) error {
	return run(ctx, what, s.db.View, f)
}

func run(ctx context.Context, what string, in func(func(*bbolt.Tx) error) error, f func(*bbolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store: %s: %w", what, err)
	}
	if err := in(f); err != nil {
		return fmt.Errorf("store: %s: %w", what, err)
	}
	return nil
}

func read(tx *bbolt.Tx, id string) (store.Task, error) {
	data := tx.Bucket([]byte(bucketTasks)).Get([]byte(id))
	if data == nil {
		return store.Task{}, store.ErrNotFound
	}
	var r row
	if err := json.Unmarshal(data, &r); err != nil {
		return store.Task{}, fmt.Errorf("task %s is damaged: %w", id, err)
	}
	return store.Task{
		ID: id, Version: r.Version, Created: r.Created, Finished: r.Finished, Status: r.Status, Open: r.Open, Body: r.Body,
	}, nil
}

func write(tx *bbolt.Tx, t store.Task) error {
	data, err := json.Marshal(row{
		Version: t.Version, Created: t.Created.UTC(), Finished: t.Finished.UTC(), Status: t.Status, Open: t.Open, Body: t.Body,
	})
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	id := []byte(t.ID)
	if err := tx.Bucket([]byte(bucketTasks)).Put(id, data); err != nil {
		return err
	}
	if err := tx.Bucket([]byte(bucketOrder)).Put(orderKey(t.Created, t.ID), []byte(t.Status)); err != nil {
		return err
	}
	if t.Open {
		return tx.Bucket([]byte(bucketOpen)).Put(id, nil)
	}
	if err := tx.Bucket([]byte(bucketOpen)).Delete(id); err != nil || t.Finished.IsZero() {
		return err
	}
	return tx.Bucket([]byte(bucketFinished)).Put(orderKey(t.Finished, t.ID), nil)
}
