// Package deliver brings a finished recording from the spool to the stores that should keep it. It owns the retries, the
// order in which things are journalled and done, and what counts as delivered; the worker calls it.
//
// What it promises: the state of a delivery is in the spool's journal before the first byte is sent, so that whoever goes
// on after a crash goes on with the same delivery; a delivery counts when the store, asked, has confirmed its size and,
// where it tells one, its checksum; nothing local is touched.
package deliver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/recordhost/recordhost/internal/spool"
	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// Phases of a delivery in the spool's journal.
const (
	phaseOpen      = "open"      // State holds what the store calls it
	phaseCommitted = "committed" // Location holds what the store has confirmed
)

const contentType = "video/mp4"

// abortWithin bounds the removal of what a failed delivery left.
const abortWithin = 30 * time.Second

// ErrGaveUp is why a delivery ended that might have worked if it had been tried longer.
var ErrGaveUp = errors.New("deliver: gave up")

// Target is one place where the recording shall be kept.
type Target struct {
	Name     string // of the storage in the config, for logs and the journal
	Driver   storage.Driver
	Delivery storage.Delivery
}

// Options say how hard to try.
type Options struct {
	// GiveUp is how long one target is tried; zero: 24 hours.
	GiveUp time.Duration

	// Call is how long one call to a store may take that sends no file; zero: two minutes. One that does may take longer,
	// by a second for each 64 KiB.
	Call time.Duration

	// FirstWait is the wait before the second try; zero: half a second. It doubles, up to a minute, with jitter.
	FirstWait time.Duration

	// Progress is told how many bytes a target holds, when a file has arrived there; optional. It may be called from
	// several goroutines at once.
	Progress func(target string, bytes int64)

	Log *slog.Logger // nil: none
}

// Result is how the delivery to one target ended. Err is nil when the store has confirmed it.
type Result struct {
	Target   string
	Location storage.Location
	Err      error
}

// File delivers a file to all targets side by side, each with retries of its own, and returns when all have ended, in
// the order of targets. What a former call, also in another process, has delivered is not sent again.
func File(ctx context.Context, s *spool.Spool, f spool.File, targets []Target, o Options) []Result {
	o = o.withDefaults()
	results := make([]Result, len(targets))
	var wg sync.WaitGroup
	for i, t := range targets {
		wg.Go(func() {
			d := delivery{spool: s, file: f, target: t, o: o, log: o.Log.With("storage", t.Name, "task_id", t.Delivery.TaskID)}
			location, err := d.run(ctx)
			results[i] = Result{Target: t.Name, Location: location, Err: err}
		})
	}
	wg.Wait()
	return results
}

func (o Options) withDefaults() Options {
	if o.GiveUp == 0 {
		o.GiveUp = 24 * time.Hour
	}
	if o.Call == 0 {
		o.Call = 2 * time.Minute
	}
	if o.FirstWait == 0 {
		o.FirstWait = 500 * time.Millisecond
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
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

// delivery is the way of the file to one target.
type delivery struct {
	spool  *spool.Spool
	file   spool.File
	target Target
	o      Options
	log    *slog.Logger
}

func (d *delivery) run(ctx context.Context) (storage.Location, error) {
	if l, ok := d.committed(); ok {
		return l, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, d.o.GiveUp, ErrGaveUp)
	defer cancel()
	state, err := retry(ctx, d, "open", d.o.Call, func(ctx context.Context) (storage.State, error) {
		return d.target.Driver.Open(ctx, d.target.Delivery)
	})
	if err != nil {
		return storage.Location{}, err
	}
	if err := d.journal(spool.Delivery{Phase: phaseOpen, State: state}); err != nil {
		return storage.Location{}, err
	}
	location, err := retry(ctx, d, "store", d.o.Call+time.Duration(d.file.Size>>16)*time.Second,
		func(ctx context.Context) (storage.Location, error) { return d.send(ctx, state) })
	if err != nil {
		d.abort(ctx, state, err)
		return storage.Location{}, err
	}
	text, err := json.Marshal(location)
	if err != nil {
		return storage.Location{}, fmt.Errorf("deliver: %w", err)
	}
	return location, d.journal(spool.Delivery{Phase: phaseCommitted, State: state, Location: text})
}

// key names the delivery in the journal: one storage may be the target twice.
func (d *delivery) key() string { return d.target.Name + ":" + d.target.Delivery.ID() }

// committed answers what the journal knows to be delivered.
func (d *delivery) committed() (l storage.Location, ok bool) {
	known := d.spool.Facts().Deliveries[d.key()]
	return l, known.Phase == phaseCommitted && json.Unmarshal(known.Location, &l) == nil && l.Size == d.file.Size
}

// send stores the file, commits, and compares what the store then says it has.
func (d *delivery) send(ctx context.Context, state storage.State) (storage.Location, error) {
	err := d.target.Driver.Put(ctx, state, storage.File{
		Name: d.target.Delivery.Main, Extents: extents(d.file), Size: d.file.Size, ContentType: contentType,
	})
	if err != nil {
		return storage.Location{}, err
	}
	location, err := d.target.Driver.Commit(ctx, state)
	if err != nil {
		return storage.Location{}, err
	}
	if err := confirm(location, d.file); err != nil {
		return storage.Location{}, err
	}
	if d.o.Progress != nil {
		d.o.Progress(d.target.Name, location.Size)
	}
	return location, nil
}

func extents(f spool.File) []storage.Extent {
	out := make([]storage.Extent, 0, len(f.Extents))
	for _, e := range f.Extents {
		out = append(out, storage.Extent{Path: e.Path, Offset: e.Offset, Length: e.Length})
	}
	return out
}

// journal notes where the delivery stands. On a disk that takes nothing more it goes on without: better a recording that is
// delivered anew after a crash than none.
func (d *delivery) journal(s spool.Delivery) error {
	err := d.spool.SetDelivery(d.key(), s)
	if errors.Is(err, spool.ErrUnwritable) {
		d.log.Warn("the delivery goes on without its journal", "err", err)
		return nil
	}
	return err
}

// abort removes what a delivery left that will not be tried again, unless only this process is at its end.
func (d *delivery) abort(ctx context.Context, state storage.State, cause error) {
	if ctx.Err() != nil && !errors.Is(cause, ErrGaveUp) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortWithin)
	defer cancel()
	if err := d.target.Driver.Abort(ctx, state); err != nil {
		d.log.Warn("what a failed delivery left cannot be removed", "err", err)
	}
}

// retry makes one step of a delivery until it succeeds, cannot succeed, or ctx ends. It answers the step's own error even
// where ctx ended the tries.
func retry[T any](ctx context.Context, d *delivery, step string, limit time.Duration, do func(context.Context) (T, error)) (T, error) {
	var last error
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval, wait.Multiplier = d.o.FirstWait, time.Minute, 2
	result, err := backoff.Retry(ctx, func() (T, error) {
		call, cancel := context.WithTimeoutCause(ctx, limit, status.Errorf(status.DeadlineExceeded, "no answer within %v", limit))
		defer cancel()
		v, err := do(call)
		switch {
		case err == nil:
			return v, nil
		case call.Err() != nil && ctx.Err() == nil:
			err = context.Cause(call)
		case ctx.Err() == nil && !status.Retryable(err):
			return v, backoff.Permanent(err)
		}
		last = err
		if after, ok := status.RetryAfter(err); ok {
			return v, errors.Join(err, &backoff.RetryAfterError{Duration: after})
		}
		return v, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, in time.Duration) {
		d.log.Warn("a delivery will be tried again", "step", step, "err", err, "in", in)
	}))
	switch {
	case err == nil:
		return result, nil
	case ctx.Err() != nil && last != nil && !errors.Is(err, last):
		return result, fmt.Errorf("deliver: %s: %w: %w", step, context.Cause(ctx), last)
	default:
		return result, fmt.Errorf("deliver: %s: %w", step, err)
	}
}
