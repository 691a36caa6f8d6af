package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// keepRecords is how long a record stays that nobody took up again. The engine gives a delivery up long before.
const keepRecords = 7 * 24 * time.Hour

// records is what is known of this machine's sessions: one file for each delivery, a line of JSON for each fact. With it, opening
// a delivery again leads to the same session, and what was stored is known without asking: a session's keys need not allow that.
// A record that was lost costs questions to the store, or a session that nothing comes of, and never a recording.
type records struct {
	dir string
	log *slog.Logger
	mu  sync.Mutex
}

// line is one line of a record. The first has State.
type line struct {
	State      storage.State `json:"state,omitempty"`
	File       *stored       `json:"file,omitempty"`       // one that is whole in the store
	Expected   *stored       `json:"expected,omitempty"`   // one that the store was asked to put together
	Upload     *upload       `json:"upload,omitempty"`     // one that was begun
	Committing bool          `json:"committing,omitempty"` // CommitUpload may have been called
}

// stored is a file as the store has confirmed it.
type stored struct {
	Name  string `json:"name"`
	Size  int64  `json:"size"`
	CRC64 uint64 `json:"crc64"`
}

// record is a whole one; the zero value is that of a session that nothing is known of.
type record struct {
	state      storage.State
	files      map[string]stored
	expected   map[string]stored
	uploads    []upload
	committing bool
}

// path is that of a delivery's record. Each epoch has its own.
func (r *records) path(d storage.Delivery) string {
	return filepath.Join(r.dir, fmt.Sprintf("%s-%d.jsonl", d.ID(), d.Epoch))
}

// begin writes a new session's first line, in place of what was known of the delivery.
func (r *records) begin(d storage.Delivery, s storage.State) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	text, err := json.Marshal(line{State: s})
	if err == nil {
		err = os.MkdirAll(r.dir, 0o700)
	}
	if err == nil {
		err = os.WriteFile(r.path(d)+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(r.path(d)+".new", r.path(d))
	}
	return err
}

// note adds a fact to the record of a session, if it is still the delivery's.
func (r *records) note(d storage.Delivery, s storage.State, l line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !bytes.Equal(r.current(d), s) {
		return
	}
	text, err := json.Marshal(l)
	if err == nil {
		err = r.add(r.path(d), append([]byte("\n"), text...)) // what a crash has cut off is a line of its own
	}
	if err != nil {
		r.log.Warn("a session's record cannot be written", "err", err)
	}
}

func (r *records) add(path string, text []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.Write(text)
	return err
}

// of returns the record of a delivery, whichever its session; the zero value when there is none.
func (r *records) of(d storage.Delivery) record {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, err := r.read(d)
	if err != nil {
		r.log.Warn("a session's record cannot be read", "err", err)
	}
	return known
}

// session returns the record of a session; the zero value when the delivery has another one, or none.
func (r *records) session(d storage.Delivery, s storage.State) record {
	known := r.of(d)
	if !bytes.Equal(known.state, s) {
		return record{}
	}
	return known
}

// current is the session of a delivery's record; nil for none. The caller holds mu.
func (r *records) current(d storage.Delivery) (s storage.State) {
	_ = r.lines(d, func(l line) bool {
		s = l.State
		return false
	})
	return s
}

// lines calls each for the lines of a record until it has enough. What was cut off by a crash is left out. The caller holds mu.
func (r *records) lines(d storage.Delivery, each func(l line) (more bool)) error {
	f, err := os.Open(r.path(d))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 4*storage.MaxState)
	for scanner.Scan() {
		var l line
		if json.Unmarshal(scanner.Bytes(), &l) == nil && !each(l) {
			return nil
		}
	}
	return scanner.Err()
}

// read is of, for who holds mu.
func (r *records) read(d storage.Delivery) (record, error) {
	known := record{files: map[string]stored{}, expected: map[string]stored{}}
	err := r.lines(d, func(l line) bool {
		switch {
		case l.State != nil:
			known.state = l.State
		case l.File != nil:
			known.files[l.File.Name] = *l.File
			delete(known.expected, l.File.Name)
		case l.Expected != nil:
			known.expected[l.Expected.Name] = *l.Expected
		case l.Upload != nil:
			known.uploads = append(known.uploads, *l.Upload)
		}
		known.committing = known.committing || l.Committing
		return true
	})
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, nil
	}
	return known, err
}

// forget drops the record of a session: the delivery is opened anew next time.
func (r *records) forget(d storage.Delivery, s storage.State) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !bytes.Equal(r.current(d), s) {
		return nil
	}
	if err := os.Remove(r.path(d)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return status.Errorf(status.Unknown, "a session's record cannot be removed: %w", err)
	}
	return nil
}

// sweep removes records that are old.
func (r *records) sweep(now time.Time) {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return // there are none
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && now.Sub(info.ModTime()) > keepRecords {
			_ = os.Remove(filepath.Join(r.dir, e.Name()))
		}
	}
}
