package spool

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	ballastName = "ballast"

	// ballastStep is by how much the ballast grows.
	ballastStep = 1 << 20
)

// ballastFor is how much room the end of a recording needs, on a disk that is full by then: the head, with some bytes for each
// picture and each packet of sound, and the journal's last lines.
func ballastFor(pictures int, length time.Duration) int64 {
	return ballastStep/2 + 16*int64(pictures) + 400*int64(length/time.Second)
}

// takeBallast holds room back for the end of the recording, as long as it is by now. A file system that cannot set room aside
// does without.
func (s *Spool) takeBallast() error {
	s.mu.Lock()
	need, held := ballastFor(s.index.Pictures(), s.index.Covered()), s.ballast
	s.mu.Unlock()
	if need <= held {
		return nil
	}
	need = (need + ballastStep - 1) / ballastStep * ballastStep
	path := filepath.Join(s.dir, ballastName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return diskError(path, err)
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, need)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		s.log.Warn("this file system cannot hold room back: a recording that fills it may not be finished", "path", path)
		need, err = 1<<62, nil
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return diskError(path, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ballast = need
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
