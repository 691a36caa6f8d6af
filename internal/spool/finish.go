package spool

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/recordhost/recordhost/internal/mp4"
)

// ErrEmpty is what Finish answers when not a single picture was recorded.
var ErrEmpty = mp4.ErrEmpty

// Finish ends the recording at the recorded time end and makes the file of it: progressive, index first. Called again,
// also after a crash, it answers the same file; the end that was said first holds.
func (s *Spool) Finish(ctx context.Context, end time.Duration) (File, error) {
	s.finishing.Lock()
	defer s.finishing.Unlock()
	if err := s.sync(); err != nil {
		return File{}, err
	}
	if f := s.Facts().File; f != nil {
		if info, err := os.Stat(f.Path); err == nil && info.Size() == f.Size {
			return *f, nil
		}
	}
	movie, err := s.end(end)
	if err != nil {
		return File{}, err
	}
	f := File{
		Path: filepath.Join(s.dir, movieName), Size: movie.Size, Duration: movie.Duration, Pictures: movie.Pictures,
	}
	if err := writeMovie(ctx, movie, f.Path); err != nil {
		return File{}, err
	}
	if err := syncDir(s.dir); err != nil {
		return File{}, err
	}
	return f, s.note(record{File: &fileRecord{Size: f.Size, Duration: int64(f.Duration), Pictures: f.Pictures}})
}

// end journals the end and lays the file out.
func (s *Spool) end(at time.Duration) (*mp4.Movie, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, os.ErrClosed
	}
	if !s.facts.Ended {
		r := record{End: &endRecord{At: int64(at)}}
		if err := s.journal.append(true, r); err != nil {
			return nil, err
		}
		s.facts.apply(r, s.dir)
		s.closeRun()
	}
	return s.index.Movie(s.facts.End)
}

// writeMovie makes the file at path: whole and on the disk, or not at all.
func writeMovie(ctx context.Context, m *mp4.Movie, path string) error {
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return diskError(part, err)
	}
	err = m.WriteTo(ctx, f)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		err = diskError(part, err)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	if err := os.Rename(part, path); err != nil {
		return diskError(path, err)
	}
	return nil
}
