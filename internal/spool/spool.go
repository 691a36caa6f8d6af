// Package spool is one recording on the local disk: what the encoder made, in one file for each of its runs, and a journal
// of what happened. It owns its directory's files; the worker holds it, the encoder writes into it, deliver keeps its
// states in it.
//
// A fragment is in the system's hands when Fragment returns, so nothing less than a crash of the machine loses it, and on
// the disk a moment later. Whatever a crash leaves can be opened again: it is a prefix of the recording.
package spool

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/recordhost/recordhost/internal/mp4"
)

// ErrUnwritable says that the spool's file system takes nothing more: it is full, or has become read-only, or fails. The
// error names the file and the reason.
var ErrUnwritable = errors.New("spool: the disk takes nothing more")

// ErrInUse says that another process has the spool open.
var ErrInUse = errors.New("spool: it is in use")

// Derived ends the names of files in the spool's directory that were made out of the recording and can be made again. Remove
// deletes what was forgotten of them.
const Derived = ".derived"

const (
	journalName = "journal"
	headName    = "recording.head"
)

// Gap is time that is absent from the recording because it could not be captured. It has no recorded time of its own: what
// follows it is appended at At.
type Gap struct {
	At     time.Duration `json:"at"` // recorded time
	Length time.Duration `json:"length"`
	Cause  string        `json:"cause"`
}

// Mark is a moment from which on the recording's time runs, or stands still.
type Mark struct {
	Kind MarkKind      `json:"kind"`
	At   time.Duration `json:"at"`             // recorded time
	Time time.Time     `json:"time"`           // the task's time
	Lost time.Duration `json:"lost,omitempty"` // that is missing at At, and nobody was told of yet
}

// MarkKind says which.
type MarkKind string

// The kinds of marks.
const (
	MarkRuns   MarkKind = "runs"   // time runs
	MarkPaused MarkKind = "paused" // it stands still, as someone wanted
	MarkLost   MarkKind = "lost"   // it stands still: there is nothing to be captured
	MarkOver   MarkKind = "over"   // it stands still for good: nothing more is to be captured
)

// File is the finished recording on the local disk: its head, and behind it the media as the runs' files hold it. Nothing is
// copied together, so a recording can be finished on a disk that is full.
type File struct {
	Extents  mp4.Extents
	Head     int64 // bytes before the media data
	Size     int64 // bytes
	Duration time.Duration
	Pictures int
}

// Delivery is where the delivery to one target stands. What its members hold belongs to package deliver.
type Delivery struct {
	Phase    string `json:"phase"`
	State    []byte `json:"state,omitempty"`
	Upload   []byte `json:"upload,omitempty"`   // of a file that goes up in parts
	Location []byte `json:"location,omitempty"` // JSON
	Parts    []Part `json:"-"`                  // what the store has of it, in the order of AddPart
}

// Part is a piece of a delivery that the store has confirmed.
type Part struct {
	Number int    `json:"number"`
	Offset int64  `json:"offset"` // from the first byte of the media data; what is before it, the head, counts backwards
	Length int64  `json:"length"`
	Note   []byte `json:"note,omitempty"` // JSON: what is to be known of it later
}

// Facts are what the spool holds.
type Facts struct {
	Runs       int
	Bytes      int64 // of all runs
	Pictures   int
	Covered    time.Duration // see Covered
	Gaps       []Gap
	Marks      []Mark
	Ended      bool
	End        time.Duration // recorded time, when Ended
	Whole      bool          // Finish has made the file
	Deliveries map[string]Delivery
}

// Spool is one recording. Its methods may be called from several goroutines; Begin and Fragment from one.
type Spool struct {
	dir     string
	log     *slog.Logger
	journal *journal
	wake    chan struct{} // fragments wait to be synced
	stop    chan struct{}
	loop    sync.WaitGroup

	finishing sync.Mutex // one Finish at a time
	syncing   sync.Mutex // one sync at a time; taken before mu

	mu      sync.Mutex
	index   mp4.Index
	facts   Facts
	run     *os.File // the current run's file
	next    int      // the number of the next run
	offset  int64    // the end of its last fragment
	pending []record // fragments that are written and not synced
	newFile bool     // the directory has an entry that is not synced
	err     error    // what a sync failed with
	ballast int64    // bytes that are held back
	durable int64    // bytes of media data that are on the disk, and the journal's word of it too
	grown   chan struct{}
	closed  bool
}

// Open makes the spool in dir, or opens what is there, also after a crash. The directory is made when it is missing. The
// caller closes the spool.
func Open(dir string, log *slog.Logger) (*Spool, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, diskError(dir, err)
	}
	j, records, err := openJournal(filepath.Join(dir, journalName))
	if err != nil {
		return nil, err
	}
	s := &Spool{
		dir: dir, log: log, journal: j, wake: make(chan struct{}, 1), stop: make(chan struct{}), newFile: true,
		facts: Facts{Deliveries: map[string]Delivery{}}, grown: make(chan struct{}),
	}
	if err := s.recover(records); err != nil {
		return nil, errors.Join(err, s.closeFiles())
	}
	s.durable = s.index.Bytes()
	if !s.facts.Ended {
		if err := s.takeBallast(); err != nil {
			return nil, errors.Join(err, s.closeFiles())
		}
	}
	s.loop.Go(s.syncLoop)
	return s, nil
}

// Begin begins a file for a run of the encoder; head are the bytes of its stream before the first fragment.
func (s *Spool) Begin(run mp4.Run, head []byte) error {
	if err := s.sync(); err != nil { // the run before
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil {
		return err
	}
	path := filepath.Join(s.dir, runName(s.next))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return diskError(path, err)
	}
	if _, err := f.Write(head); err != nil {
		return errors.Join(diskError(path, err), f.Close(), os.Remove(path))
	}
	line := record{Run: &runRecord{
		File: runName(s.next), Head: int64(len(head)),
		Video: int64(run.Video), Audio: int64(run.Audio), AudioFrom: int64(run.AudioFrom),
	}}
	if err := s.journal.append(false, line); err != nil {
		return errors.Join(err, f.Close(), os.Remove(path))
	}
	s.closeRun()
	s.run, s.offset, s.newFile = f, int64(len(head)), true
	s.next++
	s.facts.Runs++
	s.facts.Bytes += int64(len(head))
	return s.index.Begin(run)
}

// Fragment appends a fragment to the current run's file.
func (s *Spool) Fragment(f *mp4.Fragment, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil {
		return err
	}
	if s.run == nil {
		return errors.New("spool: a fragment that belongs to no run")
	}
	if _, err := s.run.WriteAt(data, s.offset); err != nil {
		return errors.Join(diskError(s.run.Name(), err), s.run.Truncate(s.offset))
	}
	if err := s.add(f, fragmentOf(f, data, s.offset)); err != nil {
		return err
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

// add takes a fragment that is in the file into the books.
func (s *Spool) add(f *mp4.Fragment, r *fragmentRecord) error {
	if err := s.index.Add(f, s.run.Name(), r.Offset); err != nil {
		return err
	}
	s.pending = append(s.pending, record{Fragment: r})
	s.offset = r.Offset + r.Length
	s.facts.Bytes += r.Length
	return nil
}

func fragmentOf(f *mp4.Fragment, data []byte, offset int64) *fragmentRecord {
	return &fragmentRecord{
		Offset: offset, Length: int64(len(data)), Head: f.Payload, CRC: checksum(data),
		Video: extentOf(f.Video), Audio: extentOf(f.Audio),
	}
}

func extentOf(samples []mp4.Sample) extent {
	if len(samples) == 0 {
		return extent{}
	}
	e := extent{Start: samples[0].Present, Samples: len(samples), Sync: samples[0].Sync}
	for _, s := range samples {
		e.Start = min(e.Start, s.Present)
		e.Duration += int64(s.Ticks)
	}
	return e
}

// Gap cuts the recording at the recorded time at, and notes that so much time is missing there. It stands before the run
// that follows it.
func (s *Spool) Gap(at, length time.Duration, cause string) error {
	if err := s.sync(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil {
		return err
	}
	g := Gap{At: at, Length: length, Cause: cause}
	if err := s.applyGap(g); err != nil {
		return err
	}
	return s.journal.append(true, record{Gap: &g})
}

func (s *Spool) applyGap(g Gap) error {
	if err := s.index.Cut(g.At); err != nil {
		return err
	}
	s.closeRun()
	s.facts.Gaps = append(s.facts.Gaps, g)
	return nil
}

// Mark records a moment. It is on the disk when Mark returns.
func (s *Spool) Mark(m Mark) error { return s.note(record{Mark: &m}) }

// SetDelivery records where the delivery to a target stands, which has no parts then: those are added. It is on the disk
// when SetDelivery returns. What cannot be written is known all the same, as long as the Spool is open.
func (s *Spool) SetDelivery(target string, d Delivery) error {
	d.Parts = nil
	return s.delivering(true, record{Delivery: &deliveryRecord{Target: target, Delivery: d}})
}

// AddPart records that the store has a part of the delivery to a target. While there is something to be captured it does not
// wait for the disk, so that no store's pace becomes the capture's: the line is there with the next fragment's. After the
// end it is on the disk when AddPart returns. What cannot be written is known all the same, as long as the Spool is open.
func (s *Spool) AddPart(target string, p Part) error {
	return s.delivering(false, record{Part: &partRecord{Target: target, Part: p}})
}

func (s *Spool) delivering(durable bool, r record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return os.ErrClosed
	}
	s.facts.apply(r)
	return s.journal.append(durable || s.facts.Ended, r)
}

// Media returns how many bytes of media data are on the disk, with the journal's word that they are, and a channel that is
// closed when there are more. They are a beginning of what a File has behind its head: nothing takes them back, a cut
// neither.
func (s *Spool) Media() (bytes int64, grown <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.durable, s.grown
}

// MediaExtents returns where length bytes of media data lie from offset on, as far as they are there.
func (s *Spool) MediaExtents(offset, length int64) mp4.Extents {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.index.Media().Slice(offset, length)
}

// Group takes the recording's group at w, and moves w behind it; false: it is not whole yet. See mp4.Index. What it answers
// is on the disk, with the journal's word that it is: whoever opens the spool again finds the same group.
func (s *Spool) Group(w *mp4.Walk) (mp4.Group, bool, error) {
	s.mu.Lock()
	after := *w
	g, ok, err := s.index.Group(&after)
	ended := s.facts.Ended
	s.mu.Unlock()
	if err != nil || !ok {
		return mp4.Group{}, false, err
	}
	if err := s.sync(); err != nil && !ended { // once it has ended, what there is need not survive more than this process
		return mp4.Group{}, false, err
	}
	*w = after
	return g, true, nil
}

// Rest takes what is behind w as the last group of a recording that has ended; false: there is none.
func (s *Spool) Rest(w *mp4.Walk) (mp4.Group, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.facts.Ended {
		return mp4.Group{}, false, errors.New("spool: the recording has not ended")
	}
	return s.index.Rest(w, s.facts.End)
}

// note journals a record that only states a fact.
func (s *Spool) note(r record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return os.ErrClosed
	}
	if err := s.journal.append(true, r); err != nil {
		return err
	}
	s.facts.apply(r)
	return nil
}

// apply takes over what a record states by itself.
func (f *Facts) apply(r record) {
	switch {
	case r.Mark != nil:
		f.Marks = append(f.Marks, *r.Mark)
	case r.Delivery != nil:
		f.Deliveries[r.Delivery.Target] = r.Delivery.Delivery
	case r.Part != nil:
		d := f.Deliveries[r.Part.Target]
		d.Parts = append(d.Parts, r.Part.Part)
		f.Deliveries[r.Part.Target] = d
	case r.End != nil:
		f.Ended, f.End = true, time.Duration(r.End.At)
	case r.File != nil:
		f.Whole = true
	}
}

// Covered returns the recorded time up to which both picture and sound are there: where a gap begins when the recording
// cannot simply go on.
func (s *Spool) Covered() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.index.Covered()
}

// Facts returns what the spool holds now.
func (s *Spool) Facts() Facts {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.facts
	f.Covered, f.Pictures = s.index.Covered(), s.index.Pictures()
	f.Gaps, f.Marks = slices.Clone(f.Gaps), slices.Clone(f.Marks)
	f.Deliveries = maps.Clone(f.Deliveries)
	return f
}

// Dir is the spool's directory.
func (s *Spool) Dir() string { return s.dir }

// syncLoop brings fragments to the disk, away from who hands them in.
func (s *Spool) syncLoop() {
	for {
		select {
		case <-s.wake:
			if err := s.sync(); err != nil {
				s.log.Error("the spool cannot be synced", "dir", s.dir, "err", err)
			}
		case <-s.stop:
			return
		}
	}
}

// sync brings all that was written to the disk: first the media, then the journal's word that it is there.
func (s *Spool) sync() error {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	s.mu.Lock()
	if s.err != nil || s.closed {
		defer s.mu.Unlock()
		return s.err
	}
	pending, run, newFile, media := s.pending, s.run, s.newFile, s.index.Bytes()
	s.pending, s.newFile = nil, false
	s.mu.Unlock()
	err := s.bring(run, pending, newFile)
	if err == nil && len(pending) > 0 {
		s.grow(media)
	}
	if err == nil && len(pending) > 0 && !s.Facts().Ended {
		err, pending = s.takeBallast(), nil
	}
	if err != nil {
		s.mu.Lock()
		s.err = err
		s.pending, s.newFile = append(pending, s.pending...), s.newFile || newFile // should there be room again
		s.mu.Unlock()
	}
	return err
}

// grow tells that media data is on the disk.
func (s *Spool) grow(media int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.durable = media
	close(s.grown)
	s.grown = make(chan struct{})
}

// bring is sync's work. The run's file is not closed meanwhile: whoever closes it has synced before.
func (s *Spool) bring(run *os.File, pending []record, newFile bool) error {
	if run != nil && len(pending) > 0 {
		if err := unix.Fdatasync(int(run.Fd())); err != nil {
			return diskError(run.Name(), err)
		}
	}
	if newFile {
		if err := syncDir(s.dir); err != nil {
			return err
		}
	}
	if len(pending) == 0 && !newFile {
		return nil
	}
	return s.journal.append(true, pending...)
}

// usable says why nothing more can be written. s.mu is held.
func (s *Spool) usable() error {
	switch {
	case s.closed:
		return os.ErrClosed
	case s.err != nil:
		return s.err
	case s.facts.Ended:
		return errors.New("spool: the recording has ended")
	}
	return nil
}

func (s *Spool) closeRun() {
	if s.run != nil {
		_ = s.run.Close()
		s.run = nil
	}
}

func (s *Spool) closeFiles() error {
	s.closeRun()
	return s.journal.close()
}

// Close syncs and closes the spool; its files stay. Closing again is no error.
func (s *Spool) Close() error {
	err := s.sync()
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	if again {
		return nil
	}
	close(s.stop)
	s.loop.Wait()
	s.syncing.Lock()
	defer s.syncing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(err, s.closeFiles())
}

// Remove closes the spool and deletes its files, and the directory when nothing else is in it. It is called once every
// store has confirmed what it holds.
func (s *Spool) Remove() error {
	err := s.Close()
	for _, pattern := range []string{"run-*.mp4", headName, headName + ".part", ballastName, journalName, "*" + Derived} {
		paths, _ := filepath.Glob(filepath.Join(s.dir, pattern)) // the patterns are well-formed
		for _, p := range paths {
			err = errors.Join(err, os.Remove(p))
		}
	}
	if e := os.Remove(s.dir); e != nil && !errors.Is(e, unix.ENOTEMPTY) && !errors.Is(e, unix.EEXIST) {
		err = errors.Join(err, e)
	}
	return err
}

func runName(n int) string { return fmt.Sprintf("run-%04d.mp4", n) }

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return diskError(dir, err)
	}
	if err := d.Sync(); err != nil {
		return errors.Join(diskError(dir, err), d.Close())
	}
	return d.Close()
}
