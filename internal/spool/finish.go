package spool

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/recordhost/recordhost/internal/mp4"
)

// ErrEmpty is what Finish answers when not a single picture was recorded.
var ErrEmpty = mp4.ErrEmpty

// Finish ends the recording at the recorded time end and makes the file of it: progressive, index first. Called again,
// also after a crash, it answers the same file; the end that was said first holds. A disk that takes nothing more does
// not keep it from that: the file's head is then written into the directory scratch.
func (s *Spool) Finish(end time.Duration, scratch string) (File, error) {
	s.finishing.Lock()
	defer s.finishing.Unlock()
	s.dropBallast()
	if err := s.sync(); err != nil {
		s.log.Error("the end of the recording may not survive a crash of the machine", "err", err)
	}
	movie, err := s.end(end)
	if err != nil {
		return File{}, err
	}
	head, err := s.writeHead(movie.Head)
	if errors.Is(err, ErrUnwritable) {
		s.log.Error("the spool takes nothing more; the file's head is kept elsewhere", "err", err)
		head, err = filepath.Join(scratch, headName), nil
		if e := os.WriteFile(head, movie.Head, 0o600); e != nil {
			err = diskError(head, e)
		}
	}
	if err != nil {
		return File{}, err
	}
	f := File{
		Extents: append(mp4.Extents{{Path: head, Length: int64(len(movie.Head))}}, movie.Extents...),
		Head:    int64(len(movie.Head)), Size: movie.Size, Duration: movie.Duration, Pictures: movie.Pictures,
	}
	s.state(record{File: &fileRecord{Size: f.Size, Duration: int64(f.Duration), Pictures: f.Pictures}})
	return f, nil
}

// end notes the end and lays the file out.
func (s *Spool) end(at time.Duration) (*mp4.Movie, error) {
	s.mu.Lock()
	closed, ended := s.closed, s.facts.Ended
	s.mu.Unlock()
	if closed {
		return nil, os.ErrClosed
	}
	if !ended {
		s.state(record{End: &endRecord{At: int64(at)}})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeRun()
	return s.index.Movie(s.facts.End)
}

// state notes a fact, in the journal if that can be written.
func (s *Spool) state(r record) {
	if err := s.note(r); err != nil {
		s.log.Error("the spool's journal cannot be written", "err", err)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.facts.apply(r)
	}
}

// writeHead makes the head's file: whole and on the disk, or not at all.
func (s *Spool) writeHead(head []byte) (string, error) {
	path := filepath.Join(s.dir, headName)
	if there, err := os.ReadFile(path); err == nil && bytes.Equal(there, head) {
		return path, nil
	}
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", diskError(part, err)
	}
	_, err = f.Write(head)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		err = diskError(part, err)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(part))
	}
	if err := os.Rename(part, path); err != nil {
		return "", diskError(path, err)
	}
	return path, syncDir(s.dir)
}

// Open reads the file from begin to end.
func (f File) Open() io.ReadCloser { return f.Extents.Open() }
