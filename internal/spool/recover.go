package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/recordhost/recordhost/internal/mp4"
)

// recovery reads the journal back.
type recovery struct {
	s    *Spool
	init *mp4.Init // of the current run
	size int64     // of its file
	torn bool      // fragments of it are missing: what follows them is not taken
}

// recover brings a new Spool to where the journal and the files stand. Fragments that were written and not journalled any
// more are taken in; what is cut short is cut off.
func (s *Spool) recover(records []record) error {
	r := recovery{s: s}
	for _, rec := range records {
		if err := r.apply(rec); err != nil {
			return err
		}
	}
	if err := r.tail(); err != nil {
		return err
	}
	return s.nextRun()
}

func (r *recovery) apply(rec record) error {
	switch {
	case rec.Run != nil:
		return r.begin(rec.Run)
	case rec.Fragment != nil:
		return r.fragment(rec.Fragment)
	case rec.Gap != nil:
		return r.s.applyGap(*rec.Gap)
	default:
		r.s.facts.apply(rec)
		return nil
	}
}

// begin opens the file of a run. One whose file does not even hold its head has brought nothing.
func (r *recovery) begin(rec *runRecord) error {
	r.s.closeRun()
	r.init, r.torn = nil, false
	path := filepath.Join(r.s.dir, filepath.Base(rec.File))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		r.s.log.Warn("a run of the spool is missing", "path", path)
		return nil
	}
	if err != nil {
		return diskError(path, err)
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(diskError(path, err), f.Close())
	}
	head := make([]byte, max(0, min(rec.Head, info.Size())))
	if _, err := f.ReadAt(head, 0); err != nil {
		return errors.Join(diskError(path, err), f.Close())
	}
	in, err := mp4.ParseInit(head)
	if err != nil {
		r.s.log.Warn("a run of the spool has no head", "path", path, "err", err)
		return f.Close()
	}
	r.init, r.size = in, info.Size()
	r.s.run, r.s.offset = f, rec.Head
	r.s.facts.Runs++
	r.s.facts.Bytes += rec.Head
	return r.s.index.Begin(mp4.Run{
		Init: in, Video: time.Duration(rec.Video), Audio: time.Duration(rec.Audio), AudioFrom: time.Duration(rec.AudioFrom),
	})
}

// fragment takes in a fragment that is journalled, and so was on the disk.
func (r *recovery) fragment(rec *fragmentRecord) error {
	if r.s.run == nil || r.torn {
		return nil
	}
	if rec.Offset != r.s.offset || rec.Length > r.size-rec.Offset || rec.Head > rec.Length || rec.Head < 0 {
		r.torn = true
		return nil
	}
	head := make([]byte, rec.Head)
	if _, err := r.s.run.ReadAt(head, rec.Offset); err != nil {
		return diskError(r.s.run.Name(), err)
	}
	f, err := r.init.ParseHead(head, rec.Length)
	if err != nil {
		r.s.log.Warn("a fragment of the spool cannot be read", "path", r.s.run.Name(), "offset", rec.Offset, "err", err)
		r.torn = true
		return nil
	}
	return r.s.take(f, rec)
}

// take is add for a fragment that the journal holds already.
func (s *Spool) take(f *mp4.Fragment, rec *fragmentRecord) error {
	err := s.add(f, rec)
	s.pending = nil
	return err
}

// tail takes in what the last run's file holds behind the last fragment that is journalled, and cuts off the rest.
func (r *recovery) tail() error {
	s := r.s
	if s.run == nil {
		return nil
	}
	if !r.torn && !s.facts.Ended {
		if err := r.adopt(); err != nil {
			return err
		}
	}
	if err := s.run.Truncate(s.offset); err != nil {
		return diskError(s.run.Name(), err)
	}
	run := s.run
	pending := s.pending
	s.pending, s.run = nil, nil // no run goes on after a crash
	return errors.Join(s.bring(run, pending, true), run.Close())
}

func (r *recovery) adopt() error {
	s := r.s
	stream := r.init.Fragments(io.NewSectionReader(s.run, s.offset, r.size-s.offset))
	for {
		data, f, err := stream.Next()
		if err != nil || !f.Whole(data) {
			return nil //nolint:nilerr // what a crash left is whole up to some point, and not from there on
		}
		if err := s.add(f, fragmentOf(f, data, s.offset)); err != nil {
			return err
		}
	}
}

// nextRun chooses a number for the next run's file that none has, in the journal or not.
func (s *Spool) nextRun() error {
	paths, err := filepath.Glob(filepath.Join(s.dir, "run-*.mp4"))
	if err != nil {
		return err
	}
	s.next = 1
	for _, p := range paths {
		var n int
		if _, err := fmt.Sscanf(filepath.Base(p), "run-%d.mp4", &n); err == nil {
			s.next = max(s.next, n+1)
		}
	}
	return nil
}
