// Package scratch is the private directories of processes: short names in the system's directory for temporary files, for
// sockets and what else is nobody's once its process has ended. It owns how such a directory is known to be in use, and
// what may be removed after its process was killed. The host, the worker, the control stream and the commands make theirs
// with it; the host sweeps.
//
// A directory belongs to the process that holds the lock on a file in it. The kernel gives the lock back when the process
// ends, however that was, so no process number is ever trusted.
package scratch

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// The prefixes of the directories' names.
const (
	// PrefixRun is of what workers and commands make, for sockets, Chrome's files, and the state of a single recording.
	PrefixRun = "recordhost-"
	// PrefixSocket is of the control stream's: a socket's path must be short.
	PrefixSocket = "rh-"
)

// lockName is the file in a directory that its owner has locked. It appears in the directory when it is locked already:
// who finds it unlocked knows that the owner is gone.
const lockName = ".recordhost-owner"

// The bounds of Take's waiting for a sweep of the same directory.
const (
	takeTries = 200
	takePause = 10 * time.Millisecond
)

// ErrInUse tells that a directory is another process's.
var ErrInUse = errors.New("scratch: the directory is in use")

// Dir is a directory of this process.
type Dir struct {
	path string
	lock *os.File
	over sync.Once // it was removed or left
}

// Make makes a directory that only this user reaches, with a name that begins with prefix, below parent; empty: the system's
// directory for temporary files.
func Make(parent, prefix string) (*Dir, error) {
	path, err := os.MkdirTemp(parent, prefix) // mode 0700
	if err != nil {
		return nil, fmt.Errorf("scratch: make a private directory: %w", err)
	}
	lock, err := place(path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("scratch: lock %s: %w", path, err), os.RemoveAll(path))
	}
	return &Dir{path: path, lock: lock}, nil
}

// Take makes a directory that had to be at this path this process's own, and makes it where it is missing. It fails with
// ErrInUse while another process has it, and where others than this user reach it.
func Take(path string) (*Dir, error) {
	for range takeTries {
		lock, err := take(path)
		if err == nil {
			return &Dir{path: path, lock: lock}, nil
		}
		// A sweep that met it holds it for a moment, and takes it away.
		if !errors.Is(err, ErrInUse) && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("scratch: take %s: %w", path, err)
		}
		time.Sleep(takePause)
	}
	return nil, fmt.Errorf("%w: %s", ErrInUse, path)
}

// Path is where the directory is.
func (d *Dir) Path() string { return d.path }

// Remove removes the directory with all that is in it. Once it was removed or left it may be another's, so that it is not
// done again.
func (d *Dir) Remove() (err error) {
	d.over.Do(func() { err = errors.Join(erase(d.path), d.lock.Close()) })
	return err
}

// Leave keeps the directory and gives it up: it is the next sweep's to judge.
func (d *Dir) Leave() (err error) {
	d.over.Do(func() { err = d.lock.Close() })
	return err
}

// erase removes a directory that is locked. It loses its name first: who takes the name meanwhile gets a directory of its
// own, and does not see one vanish.
func erase(path string) error {
	const longest = 64
	if len(filepath.Base(path)) < longest { // what could not be removed before has had its name lengthened enough
		name := path + strconv.FormatUint(rand.Uint64(), 10)
		if err := os.Rename(path, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		path = name
	}
	return os.RemoveAll(path)
}

// place puts the lock into a directory that has none, locked from the first moment on.
func place(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, lockName+"-") // mode 0600
	if err != nil {
		return nil, err
	}
	err = flock(f)
	if err == nil {
		err = os.Link(f.Name(), filepath.Join(dir, lockName)) // never in the place of another's
	}
	if err = errors.Join(err, os.Remove(f.Name())); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// take locks a directory that may be there.
func take(path string) (*os.File, error) {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() || info.Mode().Perm() != 0o700 || !owned(info) {
		return nil, errors.New("it is not a private directory of this user")
	}
	lock, err := seize(path)
	if errors.Is(err, fs.ErrNotExist) {
		return place(path)
	}
	return lock, err
}

// seize locks a directory whose owner is gone: ErrInUse while it is not, fs.ErrNotExist when there is no lock in it.
func seize(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if err := flock(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	// Another sweep may have removed it between the two.
	held, err := f.Stat()
	if err == nil {
		var now os.FileInfo
		if now, err = os.Lstat(path); err == nil && !os.SameFile(held, now) {
			err = ErrInUse
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func flock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrInUse
	}
	return err
}

func owned(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}
