package spool

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	ballastName = "ballast"

	// ballastSize is room that is held back for what the end of a recording needs on a disk that is full: the head, some ten
	// bytes for each picture and packet of sound, and the journal. It is enough for more than ten hours.
	ballastSize = 32 << 20
)

// takeBallast takes the room. A file system that cannot set room aside does without.
func (s *Spool) takeBallast() error {
	path := filepath.Join(s.dir, ballastName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return diskError(path, err)
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, ballastSize)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		s.log.Warn("this file system cannot hold room back: a recording that fills it may not be finished", "path", path)
		err = nil
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(diskError(path, err), os.Remove(path))
	}
	return nil
}

// dropBallast gives the room back, and lets the journal be written again.
func (s *Spool) dropBallast() {
	path := filepath.Join(s.dir, ballastName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("the room that was held back is not given back", "path", path, "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(s.err, ErrUnwritable) {
		s.err = nil
	}
}
