package pluginhost

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// socketPrefix is no other folder's: whatever begins with it, is old and is not locked gets removed.
	socketPrefix = "recordhost-plugins-"

	// maxSocketDir keeps whole paths below the 108 bytes that a socket's address holds: go-plugin adds a folder and a
	// file with random names.
	maxSocketDir = 108 - len("/plugin-dir0123456789/plugin0123456789") - 1

	// staleAfter is how old a folder must be to be taken for one that a killed process left, and not for one that
	// is being made.
	staleAfter = time.Minute
)

// socketDir is a short private folder with a random name. It is locked as long as its owner lives, so that what a killed
// process left is known and removed by the next.
type socketDir struct {
	path string
	lock *os.File
}

func newSocketDir() (*socketDir, error) {
	base := os.TempDir()
	if len(filepath.Join(base, socketPrefix))+len("0123456789") > maxSocketDir {
		base = "/tmp"
	}
	removeStale(base)
	path, err := os.MkdirTemp(base, socketPrefix) // mode 0700
	if err != nil {
		return nil, fmt.Errorf("folder for sockets: %w", err)
	}
	lock, err := lockDir(path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("folder for sockets: %w", err), os.Remove(path))
	}
	return &socketDir{path: path, lock: lock}, nil
}

func (d *socketDir) remove() error {
	return errors.Join(os.RemoveAll(d.path), d.lock.Close())
}

// lockDir fails while the folder's owner lives.
func lockDir(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// removeStale removes the folders that our own user's killed processes left. What cannot be removed is left to the next.
func removeStale(base string) {
	paths, err := filepath.Glob(filepath.Join(base, socketPrefix+"*"))
	if err != nil {
		return
	}
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < staleAfter {
			continue
		}
		if owner, ok := info.Sys().(*syscall.Stat_t); !ok || int(owner.Uid) != os.Getuid() {
			continue
		}
		lock, err := lockDir(path)
		if err != nil {
			continue
		}
		_ = os.RemoveAll(path)
		_ = lock.Close()
	}
}
