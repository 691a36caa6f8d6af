// Package bolt is the embedded store: one file in the host's data directory, for one host at a time. Every change is
// synced before it is answered. The commands open it for the task manager.
package bolt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"github.com/recordhost/recordhost/internal/store"
)

const (
	// fileName is the store's file in the data directory.
	fileName = "tasks.db"
	// lockName is a file beside it that is locked while a process has the directory.
	lockName = "lock"
	// schema is the version of the file's form. A host refuses a file of another one.
	schema = 2
	// schemaBare is that of a file without checksums and without the times at which tasks finished.
	schemaBare = 1
	// lockTimeout is how long the lock of a host that is just ending is waited for.
	lockTimeout = 500 * time.Millisecond
	lockPause   = 10 * time.Millisecond
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
type Store struct {
	db     *bbolt.DB
	lock   *os.File // on the data directory
	damage *Damage
}

var _ store.Store = (*Store)(nil)

// Open opens the store in dir, and makes both where they are missing. It fails with ErrInUse while another process
// has it open. A file that is damaged is set aside, and what can be read of it is taken over into a new one: see Damage.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: make the data directory: %w", err)
	}
	lock, err := lockFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE)
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, inUse(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("store: lock the data directory: %w", err)
	}
	path := filepath.Join(dir, fileName)
	db, damage, err := openWhole(path)
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		err = inUse(dir)
	case err != nil:
		err = fmt.Errorf("store: open %s: %w", path, err)
	default:
		return &Store{db: db, lock: lock, damage: damage}, nil
	}
	return nil, errors.Join(err, lock.Close())
}

// Damage is what was wrong with the file that Open found, nil when nothing was.
func (s *Store) Damage() *Damage { return s.damage }

func inUse(dir string) error {
	return fmt.Errorf("%w: another recordhost runs on %s; stop it, or give this one a data_dir of its own", ErrInUse, dir)
}

// lockFile locks a file in the way of bbolt, and with its error.
func lockFile(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(lockTimeout); ; time.Sleep(lockPause) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return f, nil
		case !errors.Is(err, unix.EWOULDBLOCK):
			return nil, errors.Join(err, f.Close())
		case time.Now().After(deadline):
			return nil, errors.Join(bolterrors.ErrTimeout, f.Close())
		}
	}
}

// openWhole opens the file, or the one that is put in its place when it is damaged.
func openWhole(path string) (*bbolt.DB, *Damage, error) {
	damage, err := mend(path, nil)
	if err != nil {
		return nil, nil, err
	}
	db, err := openFile(path)
	if damaged := (damagedError{}); damage == nil && errors.As(err, &damaged) {
		if damage, err = mend(path, damaged); err == nil {
			db, err = openFile(path)
		}
	}
	return db, damage, err
}

// mend replaces a file that is damaged, or that could not be opened because of it. Nobody, also of a release that does not
// lock the directory, may write it meanwhile.
func mend(path string, cause error) (*Damage, error) {
	lock, err := lockFile(path, os.O_RDWR)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = lock.Close() }()
	c, err := inspect(path)
	if err == nil {
		err = cause
	}
	if err == nil || !errors.As(err, new(damagedError)) {
		return nil, err
	}
	damage, err := replace(path, c, err, time.Now())
	if err != nil {
		return nil, fmt.Errorf("it is damaged, and could not be replaced: %w", err)
	}
	return damage, nil
}

func openFile(path string) (db *bbolt.DB, err error) {
	err = guard(func() error {
		if db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType}); err != nil {
			return err
		}
		return db.Update(prepare)
	})
	if err != nil && db != nil {
		err = errors.Join(err, db.Close())
	}
	return db, err
}

// prepare makes what a new file lacks and refuses a file of another schema.
func prepare(tx *bbolt.Tx) error {
	for _, name := range []string{bucketTasks, bucketOrder, bucketOpen, bucketFinished, bucketSettings, bucketMeta} {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return fmt.Errorf("make bucket %s: %w", name, err)
		}
	}
	meta := tx.Bucket([]byte(bucketMeta))
	switch found := string(meta.Get([]byte(keySchema))); found {
	case strconv.Itoa(schema):
		return nil
	case strconv.Itoa(schemaBare):
		if err := upgrade(tx, time.Now()); err != nil {
			return fmt.Errorf("bring schema %s to %d: %w", found, schema, err)
		}
	case "":
	default:
		return fmt.Errorf("its schema is %s, and this release reads %d", found, schema)
	}
	return meta.Put([]byte(keySchema), []byte(strconv.Itoa(schema)))
}

// upgrade gives a file checksums. It does not tell when its tasks finished: they count as finished now, so that they are
// kept for too long rather than not long enough.
func upgrade(tx *bbolt.Tx, now time.Time) error {
	tasks, settings := make(map[string]store.Task), make(map[string][]byte)
	err := tx.Bucket([]byte(bucketTasks)).ForEach(func(id, data []byte) error {
		t := store.Task{ID: string(id)}
		if err := json.Unmarshal(data, &t); err != nil {
			return fmt.Errorf("task %s: %w", id, err)
		}
		if !t.Open {
			t.Finished = now
		}
		tasks[t.ID] = t
		return nil
	})
	if err != nil {
		return err
	}
	_ = tx.Bucket([]byte(bucketSettings)).ForEach(func(name, value []byte) error {
		settings[string(name)] = slices.Clone(value)
		return nil
	})
	for _, t := range tasks {
		if err := write(tx, t); err != nil {
			return err
		}
	}
	for name, value := range settings {
		if err := keepSetting(tx, name, value); err != nil {
			return err
		}
	}
	return nil
}

// Close lets another process have the file.
func (s *Store) Close() error {
	if err := errors.Join(s.db.Close(), s.lock.Close()); err != nil {
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
		if err := unindex(tx, old); err != nil {
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
	return errors.Join(tx.Bucket([]byte(bucketTasks)).Delete([]byte(id)), unindex(tx, t))
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
		return keepSetting(tx, name, value)
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
	t, err := store.Decode(data)
	if err != nil {
		return store.Task{}, fmt.Errorf("task %s: %w", id, err)
	}
	return t, nil
}

func write(tx *bbolt.Tx, t store.Task) error {
	data, err := store.Encode(t)
	if err != nil {
		return err
	}
	if err := tx.Bucket([]byte(bucketTasks)).Put([]byte(t.ID), data); err != nil {
		return err
	}
	for _, k := range indexKeys(t) {
		if err := tx.Bucket([]byte(k.bucket)).Put(k.key, []byte(k.value)); err != nil {
			return err
		}
	}
	return nil
}

// unindex takes back what the buckets say of a task.
func unindex(tx *bbolt.Tx, t store.Task) error {
	for _, k := range indexKeys(t) {
		if err := tx.Bucket([]byte(k.bucket)).Delete(k.key); err != nil {
			return err
		}
	}
	return nil
}

// keepSetting writes a setting and its checksum.
func keepSetting(tx *bbolt.Tx, name string, value []byte) error {
	b := tx.Bucket([]byte(bucketSettings))
	if err := b.Put([]byte(sumPrefix+name), []byte(settingSum(name, value))); err != nil {
		return err
	}
	return b.Put([]byte(name), value)
}
