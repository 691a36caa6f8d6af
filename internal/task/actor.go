package task

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/recordhost/recordhost/internal/callback"
	"github.com/recordhost/recordhost/internal/clock"
	"github.com/recordhost/recordhost/internal/control"
	"github.com/recordhost/recordhost/sdk/runtime"
)

// errEnded tells that a task's actor has ended: what is known of the task is in the store.
var errEnded = errors.New("task: the actor has ended")

// actor carries one task from its launch to the end of its worker. Its goroutine alone changes the record; it stores
// each change before it lets anything follow from it, and publishes it.
type actor struct {
	options Options
	anchor  clock.Anchor
	store   recordStore
	driver  runtime.Driver
	spec    control.Spec
	log     *slog.Logger

	inbox    chan func()   // what others want done, one after another
	poked    chan struct{} // holds one: the worker's connection has changed
	launched chan launchResult
	gone     chan exit
	answered chan error // holds one: what came of the first launch
	called   chan callResult
	finished chan struct{} // closed when the task is finished
	settled  chan struct{} // closed when it is, and its worker is gone
	done     chan struct{} // closed when the actor has ended

	latest  atomic.Pointer[Record]
	figures atomic.Pointer[control.Progress]
	heard   atomic.Int64 // when the worker last said something, Unix nanoseconds

	// The rest belongs to the goroutine.
	record  Record
	session *control.Session
	worker  worker
	caller  caller
	helpers sync.WaitGroup
}

// recordStore is what an actor needs of the store. What was begun is stored even while the host is closing, so there is
// no context.
type recordStore interface {
	save(r Record) (Record, error)
	remove(id string) error
	callbackURL(ctx context.Context, r Record) (string, error)
	send(ctx context.Context, m callback.Message) (callback.Outcome, error)
}

func newActor(o Options, s recordStore, driver runtime.Driver, spec control.Spec, r Record) *actor {
	a := &actor{
		options:  o,
		anchor:   r.Clock,
		store:    s,
		driver:   driver,
		spec:     spec,
		log:      o.Log.With("task_id", r.ID),
		inbox:    make(chan func()),
		poked:    make(chan struct{}, 1),
		launched: make(chan launchResult),
		gone:     make(chan exit),
		answered: make(chan error, 1),
		called:   make(chan callResult),
		finished: make(chan struct{}),
		settled:  make(chan struct{}),
		done:     make(chan struct{}),
		record:   r,
	}
	a.publish()
	a.figures.Store(&r.Progress)
	return a
}

// run is the actor's life. When ctx ends first, the task stays as it is, and the worker goes on: the next host takes
// them up.
func (a *actor) run(ctx context.Context, begin func(context.Context)) {
	ctx, cancel := context.WithCancel(ctx)
	defer close(a.done)
	defer a.helpers.Wait()
	defer cancel()
	a.hear()
	begin(ctx)
	for ctx.Err() == nil {
		again := a.attend(ctx)
		a.settle()
		if a.over() {
			break
		}
		a.await(ctx, again)
	}
	select {
	case a.answered <- errEnded: // nobody waits any more, or it waits in vain
	default:
	}
}

// await takes the next thing that happens, or returns at the time given; the zero time never comes.
func (a *actor) await(ctx context.Context, until time.Time) {
	var due <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(until.Sub(a.now()))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case f := <-a.inbox:
		f()
	case <-a.poked:
	case r := <-a.launched:
		a.confirm(ctx, r)
	case x := <-a.gone:
		if x.epoch == a.record.Launch.Epoch && !a.record.Launch.Over {
			a.worker.leave(x, a.now())
		}
	case r := <-a.called:
		a.caller.result = &r
	case <-due:
	case <-ctx.Done():
	}
}

// settle forgets the worker of a task that is finished. Only the caller may still have to be told then.
func (a *actor) settle() {
	if a.record.State.Status != Finished || a.record.State.live() || !a.record.workerless() || a.worker.launching {
		return
	}
	select {
	case <-a.settled:
	default:
		a.retire()
		close(a.settled)
	}
}

// over tells whether nothing is left to be done.
func (a *actor) over() bool { return a.worker.dropped || !a.record.open() && !a.worker.launching }

// call has f run by the actor's goroutine, and answers what it answers. Once it was begun it is waited for, ctx or not.
func (a *actor) call(ctx context.Context, f func() error) error {
	reply := make(chan error, 1)
	select {
	case a.inbox <- func() { reply <- f() }:
		return <-reply
	case <-a.done:
		return errEnded
	case <-ctx.Done():
		return fmt.Errorf("task: %w", context.Cause(ctx))
	}
}

// ask lets an action of the caller happen.
func (a *actor) ask(ctx context.Context, what any) error {
	return a.call(ctx, func() error { return a.happen(Event{At: a.now(), What: what}, nil) })
}

// happen applies an event: what it changes is stored, then published, then its effects are brought about. Where
// storing fails nothing has happened.
func (a *actor) happen(e Event, more func(*Record)) error {
	state, effects, err := next(a.record.State, e)
	if err != nil {
		return err
	}
	r := a.record
	r.State = state
	if more != nil {
		more(&r)
	}
	if err := r.call(a.now(), effects); err != nil {
		return err
	}
	if reflect.DeepEqual(r, a.record) {
		return nil
	}
	before := a.record.State.Status
	if err := a.save(r); err != nil {
		return err
	}
	if state.Status != before {
		a.log.Info("the task's status has changed", "from", before, "to", state.Status)
	}
	a.follow(effects)
	return nil
}

// save stores a record and publishes it.
func (a *actor) save(r Record) error {
	stored, err := a.store.save(r)
	if err != nil {
		a.log.Error("the task's change was not stored", "err", err)
		return err
	}
	a.record = stored
	a.publish()
	return nil
}

// publish makes the record visible to Describe.
func (a *actor) publish() {
	r := a.record
	a.latest.Store(&r)
	if r.State.Status == Finished {
		select {
		case <-a.finished:
		default:
			close(a.finished)
		}
	}
}

// follow brings effects about. Call stands in the record as a delivery, which attendCallback makes.
func (a *actor) follow(effects []Effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case Send:
			if a.session != nil {
				a.session.Send(e.Command)
			}
		case Release:
			a.worker.released = a.now()
		case Relaunch:
			a.worker = worker{relaunch: a.now().Add(time.Duration(len(a.record.State.Losses)-1) * a.options.timing.retry)}
		}
	}
}

// now is the task's time.
func (a *actor) now() time.Time { return a.options.Clock.Now(a.anchor) }

// hear notes that the worker lives.
func (a *actor) hear() { a.heard.Store(a.now().UnixNano()) }

func (a *actor) lastHeard() time.Time { return time.Unix(0, a.heard.Load()) }

// dismiss forgets the worker, which is gone: nobody is let in with its token any more.
func (a *actor) dismiss() {
	if a.session != nil {
		a.session.Close()
		a.session = nil
	}
}

// retire forgets the task's last worker, and removes what it left on the disk, unless that is all there is of the
// recording.
func (a *actor) retire() {
	a.dismiss()
	state := a.record.State
	if state.StartTime.IsZero() || len(state.Deliveries) > 0 && !state.unstored() {
		if err := os.RemoveAll(a.spec.SpoolDir); err != nil {
			a.log.Warn("the spool of a finished task was not removed", "err", err)
		}
	}
}

// listener takes what the worker of one epoch says.
type listener struct {
	actor  *actor
	epoch  uint64
	before control.Progress
}

var _ control.Handler = listener{}

// errEarlierEpoch keeps the worker of an earlier launch out; its session is being closed.
var errEarlierEpoch = errors.New("task: the worker is of an earlier launch")

// Connected stores which process was admitted.
func (l listener) Connected(ctx context.Context, instance string) error {
	l.actor.hear()
	return l.actor.call(ctx, func() error {
		a := l.actor
		if a.record.Launch.Epoch != l.epoch {
			return errEarlierEpoch
		}
		if a.record.Launch.Instance == instance {
			return nil
		}
		r := a.record
		r.Launch.Instance = instance
		return a.save(r)
	})
}

// Event applies what the worker reports; one that was applied before is taken as it is.
func (l listener) Event(ctx context.Context, e control.Event) error {
	l.actor.hear()
	return l.actor.call(ctx, func() error {
		a := l.actor
		if a.record.Launch.Epoch != l.epoch {
			return errEarlierEpoch
		}
		if e.Number <= a.record.Launch.LastEvent {
			return nil
		}
		figures := l.before.Plus(e.Progress)
		a.figures.Store(&figures)
		now := a.now()
		body := e.Body
		if started, ok := body.(control.Started); ok {
			body = control.Started{At: a.plausible(started.At, now)}
		}
		return a.happen(Event{At: a.plausible(e.Time, now), What: Report{Applied: e.Applied, Body: body}}, func(r *Record) {
			r.Launch.LastEvent = e.Number
			r.Progress = figures
		})
	})
}

// plausible takes a worker's clock at its word only between the task's creation and now.
func (a *actor) plausible(t, now time.Time) time.Time {
	if t.Before(a.record.Created) || t.After(now) {
		return now
	}
	return t
}

// Progress keeps the figures of a heartbeat.
func (l listener) Progress(p control.Progress) {
	if l.actor.latest.Load().Launch.Epoch != l.epoch {
		return
	}
	l.actor.hear()
	figures := l.before.Plus(p)
	l.actor.figures.Store(&figures)
}

// Disconnected lets the actor look whether the worker is gone.
func (l listener) Disconnected() {
	select {
	case l.actor.poked <- struct{}{}:
	default:
	}
}
