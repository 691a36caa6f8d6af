package scratch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// unlockedAge is how long nothing must have changed in a directory without a lock before it is taken for one that was left
// behind: its owner may be of a release that did not lock, or about to lock it.
const unlockedAge = 24 * time.Hour

// Sweep removes the directories of this user below parent whose names begin with prefix and whose owners are gone, and
// answers which. spare keeps one that it answers true for, nil keeps none; it is told when anything in the directory last
// changed. What cannot be removed is an error, and does not keep the others.
func Sweep(parent, prefix string, spare func(dir string, changed time.Time) bool) (removed []string, err error) {
	entries, err := os.ReadDir(parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("scratch: sweep: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		path := filepath.Join(parent, e.Name())
		gone, err := sweep(path, prefix, spare)
		if err != nil {
			errs = append(errs, fmt.Errorf("scratch: sweep %s: %w", path, err))
		}
		if gone {
			removed = append(removed, path)
		}
	}
	return removed, errors.Join(errs...)
}

// sweep removes one directory if it may be.
func sweep(path, prefix string, spare func(string, time.Time) bool) (gone bool, err error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// Nobody else can put anything into a directory that only this user may write.
	if !info.IsDir() || !owned(info) || info.Mode().Perm()&0o022 != 0 {
		return false, nil
	}
	changed, err := lastChange(path)
	if err != nil {
		return false, err
	}
	lock, err := seize(path)
	if errors.Is(err, fs.ErrNotExist) && madeWithoutLock(path, prefix) && time.Since(changed) > unlockedAge {
		lock, err = place(path)
	}
	if errors.Is(err, ErrInUse) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if spare != nil && spare(path, changed) {
		return false, nil
	}
	return true, erase(path)
}

// madeWithoutLock knows the names that os.MkdirTemp gives, so that nothing is taken for ours whose name only begins like
// ours.
func madeWithoutLock(path, prefix string) bool {
	random := strings.TrimPrefix(filepath.Base(path), prefix)
	return random != "" && strings.Trim(random, "0123456789") == ""
}

// lastChange is when anything in a directory was last written.
func lastChange(dir string) (time.Time, error) {
	var last time.Time
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		var info fs.FileInfo
		if err == nil {
			info, err = d.Info()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile
		}
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
