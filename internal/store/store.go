// Package store keeps tasks: it owns their form at rest, their order and the rule that no change is lost. The task
// manager is its only user. What a task is made of the store does not know; it keeps bytes, and beside them the few
// things that lists are made by.
//
// The interface stands here and not with its user because it has more than one implementation, and one conformance
// suite, storetest, that holds for all of them. Package bolt is the embedded one.
package store

import (
	"context"
	"errors"
	"time"
)

// The errors that a Store's user acts on.
var (
	ErrNotFound = errors.New("store: no such task")
	ErrExists   = errors.New("store: the task exists")
	// ErrConflict tells that the task was changed since it was read.
	ErrConflict = errors.New("store: the task was changed meanwhile")
	// ErrCursor tells that a cursor is none of this store's.
	ErrCursor = errors.New("store: not a cursor")
)

// Store keeps tasks. What a method has answered without an error is as durable as the store: on disk, for the embedded
// one. Methods may be called from several goroutines.
type Store interface {
	// Create adds a task; ErrExists when there is one of that ID. The new task has version 1.
	Create(ctx context.Context, t Task) error

	// Get answers a task, or ErrNotFound.
	Get(ctx context.Context, id string) (Task, error)

	// Put replaces a task, whose Version is the one that was read: ErrConflict when it is not the store's any more,
	// ErrNotFound when the task is gone. It answers the new version. A task's Created never changes.
	Put(ctx context.Context, t Task) (version uint64, err error)

	// Delete removes tasks, all of them or none; one that is not there is no error.
	Delete(ctx context.Context, ids ...string) error

	// List answers tasks, the latest first, and among those of the same time the greater ID first.
	List(ctx context.Context, q Query) (Page, error)

	// Open answers the IDs of all tasks that are open.
	Open(ctx context.Context) ([]string, error)

	// Finished answers the IDs of at most limit tasks that are not open and have finished before a time, the earliest
	// first. It reads no other tasks.
	Finished(ctx context.Context, before time.Time, limit int) ([]string, error)

	// Setting answers what SetSetting kept under a name, nil when nothing was.
	Setting(ctx context.Context, name string) ([]byte, error)
	SetSetting(ctx context.Context, name string, value []byte) error

	// Close ends the store's use of what it is kept in.
	Close() error
}

// Task is a task at rest.
type Task struct {
	ID       string
	Version  uint64    // counts the changes
	Created  time.Time // what lists are ordered by, to the nanosecond
	Finished time.Time // to the millisecond; zero: it has not
	Status   string
	Open     bool   // something is still to be done about it
	Body     []byte // whatever else the task is made of
}

// Query selects tasks for a list. The zero value selects all.
type Query struct {
	Status string    // only tasks of this status; empty: of any
	Since  time.Time // only tasks created then or later; zero: any
	Until  time.Time // only tasks created before; zero: any
	Limit  int       // at most so many; zero: all
	Cursor string    // of the page before; empty: from the start
}

// Page is a part of a list. A task that is created or changed while a list is read page by page may or may not show;
// all others show once.
type Page struct {
	Tasks  []Task
	Cursor string // for the next page; empty when this is the last
}
