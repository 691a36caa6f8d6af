package deliver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/recordhost/recordhost/internal/spool"
	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// maxRounds is how often a whole recording is sent anew before it is believed that the store will never keep it. Between two
// rounds lies up to a minute.
const maxRounds = 30

// Leg is the way of a recording to one target. A Cargo uses it; its State, Capabilities and Sent change only between two
// calls of Carry.
type Leg struct {
	run    *Run
	target Target
	log    *slog.Logger
	result Result // set when the Leg has ended

	state     storage.State
	inherited atomic.Bool // the state is another process's, and has not been of use yet
	caps      storage.Capabilities
	delivered atomic.Int64
}

// Driver is the target's.
func (l *Leg) Driver() storage.Driver { return l.target.Driver }

// Delivery is what the target was opened with.
func (l *Leg) Delivery() storage.Delivery { return l.target.Delivery }

// State is the open delivery.
func (l *Leg) State() storage.State { return l.state }

// Capabilities are the driver's.
func (l *Leg) Capabilities() storage.Capabilities { return l.caps }

// Spool holds the recording, and tells when there is more of it.
func (l *Leg) Spool() *spool.Spool { return l.run.spool }

// Whole is closed when nothing more comes.
func (l *Leg) Whole() <-chan struct{} { return l.run.whole }

// File is the whole recording; the zero File before Whole is closed.
func (l *Leg) File() spool.File {
	if !l.isWhole() {
		return spool.File{}
	}
	return l.run.file
}

func (l *Leg) isWhole() bool {
	select {
	case <-l.run.whole:
		return true
	default:
		return false
	}
}

// Log is the delivery's.
func (l *Leg) Log() *slog.Logger { return l.log }

// Sent is what the journal knows of the delivery: the Upload, if the Cargo has one, and the parts that the store has.
func (l *Leg) Sent() (storage.Upload, []spool.Part) {
	known := l.known()
	return known.Upload, known.Parts
}

// Upload notes the upload that the parts which follow belong to.
func (l *Leg) Upload(u storage.Upload) error {
	l.delivered.Store(0)
	return l.journal(spool.Delivery{Phase: phaseOpen, State: l.state, Upload: u})
}

// Confirmed notes that the store has a part.
func (l *Leg) Confirmed(p spool.Part) error {
	l.inherited.Store(false)
	err := l.run.spool.AddPart(l.key(), p)
	if err = l.unjournalled(err); err == nil {
		l.delivered.Add(p.Length)
	}
	return err
}

// Anew is the error of a Carry that found that the store no longer has what was sent, or no longer takes what follows: the
// delivery is opened once more, and all of it is sent again.
func (l *Leg) Anew(cause error) error { return &anewError{cause} }

type anewError struct{ cause error }

func (e *anewError) Error() string { return e.cause.Error() }
func (e *anewError) Unwrap() error { return e.cause }

// key names the delivery in the journal: one storage may be the target twice.
func (l *Leg) key() string { return l.target.Name + ":" + l.target.Delivery.ID() }

func (l *Leg) known() spool.Delivery { return l.run.spool.Facts().Deliveries[l.key()] }

// deliver is the Leg's life. Once the recording is whole, it has the time that Options.GiveUp says.
func (l *Leg) deliver(ctx context.Context) (storage.Location, error) {
	if at, ok := l.committed(); ok {
		l.delivered.Store(at.Size)
		return at, nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	timed := make(chan struct{})
	defer func() { cancel(nil); <-timed }()
	go func() {
		defer close(timed)
		l.limit(ctx, cancel)
	}()
	at, err := l.rounds(ctx)
	if err != nil {
		if ctx.Err() == nil || errors.Is(context.Cause(ctx), ErrGaveUp) { // else only this process is at its end
			l.abort(ctx)
		}
		return storage.Location{}, err
	}
	text, err := json.Marshal(at)
	if err != nil {
		return storage.Location{}, fmt.Errorf("deliver: %w", err)
	}
	l.delivered.Store(at.Size)
	return at, l.journal(spool.Delivery{Phase: phaseCommitted, State: l.state, Location: text})
}

// limit gives up when that is due.
func (l *Leg) limit(ctx context.Context, cancel context.CancelCauseFunc) {
	select {
	case <-l.run.whole:
	case <-ctx.Done():
		return
	}
	timer := time.NewTimer(l.run.o.GiveUp)
	defer timer.Stop()
	select {
	case <-timer.C:
		cancel(ErrGaveUp)
	case <-ctx.Done():
	}
}

// committed answers what the journal knows to be delivered.
func (l *Leg) committed() (at storage.Location, ok bool) {
	known := l.known()
	return at, known.Phase == phaseCommitted && json.Unmarshal(known.Location, &at) == nil
}

// rounds sends all of the recording, and again from the beginning as long as the store does not have it then.
func (l *Leg) rounds(ctx context.Context) (storage.Location, error) {
	wait, rounds := l.waits(), 0
	for {
		at, err := l.round(ctx)
		anew, again := errors.AsType[*anewError](err)
		if !again {
			return at, err
		}
		if l.isWhole() {
			rounds++
		}
		if rounds > maxRounds {
			return at, fmt.Errorf("deliver: sent %d times in vain: %w", rounds, anew.cause)
		}
		pause := wait.NextBackOff()
		l.log.Warn("the recording is sent anew", "err", anew.cause, "in", pause)
		if err := l.forget(); err != nil {
			return at, err
		}
		if err := l.pause(ctx, pause); err != nil {
			return at, fmt.Errorf("deliver: %w: %w", err, anew.cause)
		}
	}
}

// round opens the delivery, unless it is open, has the cargo sent, and asks the store what it has.
func (l *Leg) round(ctx context.Context) (at storage.Location, err error) {
	if err := l.open(ctx); err != nil {
		return at, err
	}
	if err := l.run.cargo.Carry(ctx, l); err != nil {
		return at, err
	}
	var lost error // the store's files are not what was sent: asking again does not mend that
	at, err = Do(ctx, l, "commit", 0, func(ctx context.Context) (storage.Location, error) {
		at, err := l.Driver().Commit(ctx, l.state)
		if errors.Is(err, status.DataLoss) {
			lost, err = err, nil
		}
		return at, err
	})
	switch {
	case lost != nil:
		err = l.Anew(lost)
	case errors.Is(err, status.FailedPrecondition): // it does not have the main file
		err = l.Anew(err)
	}
	if err != nil {
		return at, err
	}
	if err := l.run.cargo.Confirm(ctx, l, at); err != nil {
		if errors.Is(err, status.DataLoss) {
			err = l.Anew(err)
		}
		return at, err
	}
	return at, nil
}

// open takes up the delivery that the journal knows, or opens one and journals it.
func (l *Leg) open(ctx context.Context) error {
	caps, err := Do(ctx, l, "ask for capabilities", 0, l.Driver().Capabilities)
	if err != nil {
		return err
	}
	l.caps = caps
	if known := l.known(); known.Phase == phaseOpen && len(known.State) > 0 {
		l.inherited.Store(l.state == nil)
		l.state = known.State
		for _, p := range known.Parts {
			l.delivered.Add(p.Length)
		}
		return nil
	}
	state, err := Do(ctx, l, "open", 0, func(ctx context.Context) (storage.State, error) {
		return l.Driver().Open(ctx, l.target.Delivery)
	})
	if err != nil {
		return err
	}
	l.state = state
	return l.journal(spool.Delivery{Phase: phaseOpen, State: state})
}

// forget lets the next round begin with nothing.
func (l *Leg) forget() error {
	l.state = nil
	l.inherited.Store(false)
	l.delivered.Store(0)
	return l.journal(spool.Delivery{})
}

// journal notes where the delivery stands.
func (l *Leg) journal(s spool.Delivery) error {
	return l.unjournalled(l.run.spool.SetDelivery(l.key(), s))
}

// unjournalled lets a delivery go on, on a disk that takes nothing more, without its journal: better a recording that is
// delivered anew after a crash than none.
func (l *Leg) unjournalled(err error) error {
	if errors.Is(err, spool.ErrUnwritable) {
		l.log.Warn("the delivery goes on without its journal", "err", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("deliver: %w", err)
	}
	return nil
}

// abort removes what a delivery left that is not tried again, also what an earlier process has left.
func (l *Leg) abort(ctx context.Context) {
	if _, done := l.committed(); done {
		return
	}
	state := l.state
	if state == nil {
		state = l.known().State
	}
	if state == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortWithin)
	defer cancel()
	if err := l.Driver().Abort(ctx, state); err != nil {
		l.log.Warn("what a failed delivery left cannot be removed", "err", err)
	}
	if err := l.forget(); err != nil {
		l.log.Warn("the spool's journal cannot be written", "err", err)
	}
}

// waits are the pauses between tries.
func (l *Leg) waits() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = l.run.o.FirstWait, time.Minute, 2
	b.Reset()
	return b
}

// pause waits, and answers why ctx has ended, if it has. The moment at which the recording becomes whole ends it: someone
// is waiting from then on.
func (l *Leg) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	whole := l.run.whole
	if l.isWhole() {
		whole = nil
	}
	select {
	case <-timer.C:
	case <-whole:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// Do makes one step of a delivery until it succeeds, cannot succeed, or ctx ends; bytes are what it sends. While the recording
// grows there is no hurry: what cannot succeed is tried again now and then, since someone may mend the store, and at once when
// it is whole. An error of Leg.Anew, and status.FailedPrecondition, are answered at once. Do answers the step's own error
// even where ctx ended the tries.
func Do[T any](ctx context.Context, l *Leg, step string, bytes int64, do func(context.Context) (T, error)) (T, error) {
	var last error
	wait, slow := l.waits(), 1
	for {
		growing := !l.isWhole()
		v, err := within(ctx, l.run.o.Call+time.Duration(slow)*time.Duration(bytes>>16)*time.Second, do)
		switch {
		case err == nil:
			return v, nil
		case ctx.Err() != nil && last != nil && errors.Is(err, ctx.Err()):
			return v, fmt.Errorf("deliver: %s: %w: %w", step, context.Cause(ctx), last)
		case ctx.Err() != nil:
			return v, fmt.Errorf("deliver: %s: %w: %w", step, context.Cause(ctx), err)
		}
		pause := wait.NextBackOff()
		switch _, anew := errors.AsType[*anewError](err); {
		case anew:
			return v, err
		case l.inherited.Load() && errors.Is(err, status.InvalidArgument): // of another configuration, or version of the plugin
			return v, l.Anew(err)
		case errors.Is(err, status.FailedPrecondition):
			return v, fmt.Errorf("deliver: %s: %w", step, err)
		case errors.Is(err, errSlow):
			slow = min(2*slow, slowest) // the store may be slow rather than dead
		case status.Retryable(err):
		case growing:
			pause = l.run.o.RefusedWait
		default:
			return v, fmt.Errorf("deliver: %s: %w", step, err)
		}
		if after, ok := status.RetryAfter(err); ok {
			pause = max(pause, after)
		}
		last = err
		l.log.Warn("a delivery will be tried again", "step", step, "err", err, "in", pause)
		if err := l.pause(ctx, pause); err != nil {
			return v, fmt.Errorf("deliver: %s: %w: %w", step, err, last)
		}
		if growing && l.isWhole() {
			wait.Reset()
		}
	}
}

// slowest is by how much a file may take longer than a second for each 64 KiB: a store that takes 4 KiB a second is waited for.
const slowest = 16

// errSlow is in the error of a call that was not answered in time.
var errSlow = errors.New("no answer")

// within makes a call that has so much time.
func within[T any](ctx context.Context, limit time.Duration, do func(context.Context) (T, error)) (T, error) {
	call, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	v, err := do(call)
	if err != nil && call.Err() != nil && ctx.Err() == nil {
		err = status.Errorf(status.DeadlineExceeded, "%w within %v", errSlow, limit)
	}
	return v, err
}
