// Package deliver brings a recording from the spool to the stores that should keep it, while it is being made. It owns the
// retries, the order in which things are journalled and done, and what counts as delivered; the worker calls it.
//
// What it promises: the state of a delivery is in the spool's journal before the first byte is sent, so that whoever goes
// on after a crash goes on with the same delivery; a delivery counts when the store, asked, has confirmed its size and,
// where it tells one, its checksum; nothing local is touched. Each target has a goroutine of its own, so a store that is
// slow or dead delays neither the capture nor another store.
//
// What is brought is a Cargo's: an MP4 (Movie) here, other kinds in packages of their own. A Cargo decides which bytes go to
// the store in which order; all else is the Run's, the same for every kind.
package deliver

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/recordhost/recordhost/internal/spool"
	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// Phases of a delivery in the spool's journal. One that was given up has none.
const (
	phaseOpen      = "open"      // State holds what the store calls it
	phaseCommitted = "committed" // Location holds what the store has confirmed
)

// abortWithin bounds the removal of what a failed delivery left.
const abortWithin = 30 * time.Second

// ErrGaveUp is why a delivery ended that might have worked if it had been tried longer.
var ErrGaveUp = errors.New("deliver: gave up")

// errDiscarded ends a delivery of which nothing is to come.
var errDiscarded = errors.New("deliver: there is nothing to be delivered")

// Target is one place where the recording shall be kept.
type Target struct {
	Name     string // of the storage in the config, for logs and the journal
	Driver   storage.Driver
	Delivery storage.Delivery
}

// Cargo is what is brought to the targets. It is asked by the goroutines of all targets at once, so what it knows of one
// target it keeps in the call, or in the journal.
type Cargo interface {
	// Carry brings to one target what there is of the recording, as it comes, and returns when the store has all of it, so that
	// only Commit is missing. It sends through Do, notes what arrived with Leg.Confirmed, and does not send again what
	// Leg.Sent tells, which may be another process's. An error of Leg.Anew has it called again with nothing sent; any other
	// one is the end of this delivery, ctx's end among them.
	Carry(ctx context.Context, l *Leg) error

	// Confirm compares what the store, asked, says that it has with what is local. DataLoss has all of it sent anew.
	Confirm(ctx context.Context, l *Leg, at storage.Location) error
}

// Options say how hard to try.
type Options struct {
	// GiveUp is how long one target is tried once the recording is whole; zero: 24 hours. Before, nothing is given up.
	GiveUp time.Duration

	// Call is how long one call to a store may take that sends no file; zero: two minutes. One that does may take longer,
	// by a second for each 64 KiB, and more when it was not enough.
	Call time.Duration

	// FirstWait is the wait before the second try; zero: half a second. It doubles, up to a minute, with jitter.
	FirstWait time.Duration

	// RefusedWait is the wait after an answer that no repetition mends, while there is time to mend the store before the
	// recording is whole; zero: a minute.
	RefusedWait time.Duration

	Log *slog.Logger // nil: none
}

// Result is how the delivery to one target ended. Err is nil when the store has confirmed it.
type Result struct {
	Target   string
	Location storage.Location
	Err      error
}

// Run is the delivery of one recording to all its targets. Its methods may be called from several goroutines; the one that
// has begun it calls Stop or Discard in the end.
type Run struct {
	cargo  Cargo
	spool  *spool.Spool
	o      Options
	legs   []*Leg
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when all legs have ended

	finish sync.Once
	whole  chan struct{} // closed when file is set
	file   spool.File
}

// Begin begins to deliver what the spool holds, and what comes into it, to all targets side by side. It goes on until every
// target has the whole recording or has failed for good, or Stop or Discard is called; ctx gives values, and no end. What was
// delivered before, also by another process, is not sent again.
func Begin(ctx context.Context, s *spool.Spool, targets []Target, cargo Cargo, o Options) *Run {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	r := &Run{
		cargo: cargo, spool: s, o: o.withDefaults(), cancel: cancel, done: make(chan struct{}), whole: make(chan struct{}),
	}
	var running sync.WaitGroup
	for _, t := range targets {
		l := &Leg{run: r, target: t, log: r.o.Log.With("storage", t.Name, "task_id", t.Delivery.TaskID)}
		r.legs = append(r.legs, l)
		running.Go(func() { l.result.Location, l.result.Err = l.deliver(ctx) })
	}
	go func() {
		defer close(r.done)
		running.Wait()
	}()
	return r
}

func (o Options) withDefaults() Options {
	for value, fallback := range map[*time.Duration]time.Duration{
		&o.GiveUp: 24 * time.Hour, &o.Call: 2 * time.Minute, &o.FirstWait: 500 * time.Millisecond, &o.RefusedWait: time.Minute,
	} {
		if *value == 0 {
			*value = fallback
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Whole tells that nothing more comes, and which file the recording has become. From now on the time runs after which a
// target is given up.
func (r *Run) Whole(f spool.File) {
	r.finish.Do(func() {
		r.file = f
		close(r.whole)
	})
}

// Done is closed when every target has the recording, or has failed.
func (r *Run) Done() <-chan struct{} { return r.done }

// Results answers how the deliveries ended, in the order of the targets. It waits for Done.
func (r *Run) Results() []Result {
	<-r.done
	var results []Result
	for _, l := range r.legs {
		l.result.Target = l.target.Name
		results = append(results, l.result)
	}
	return results
}

// Delivered is how many bytes all targets together have confirmed so far.
func (r *Run) Delivered() (n int64) {
	for _, l := range r.legs {
		n += l.delivered.Load()
	}
	return n
}

// Stop ends what is going on, with a cause, and leaves all as it is for whoever goes on with the spool. It returns when
// nothing runs any more. After Done it does nothing.
func (r *Run) Stop(cause error) {
	r.cancel(cause)
	<-r.done
}

// Discard ends what is going on and removes what it has left in the stores: there is nothing to be delivered. What a store
// has committed stays.
func (r *Run) Discard(ctx context.Context) {
	r.Stop(errDiscarded)
	var aborting sync.WaitGroup
	for _, l := range r.legs {
		aborting.Go(func() { l.abort(ctx) })
	}
	aborting.Wait()
}

// Code returns the ErrorCode under which a Result's error is told to callers; "" for none.
func Code(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, status.AlreadyExists):
		return "TargetExists"
	case errors.Is(err, status.PermissionDenied), errors.Is(err, status.NotFound), errors.Is(err, status.InvalidArgument):
		return "UploadDenied"
	default:
		return "UploadFailed"
	}
}
