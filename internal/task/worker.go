package task

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/recordhost/recordhost/internal/control"
	"github.com/recordhost/recordhost/sdk/runtime"
	"github.com/recordhost/recordhost/sdk/status"
)

const (
	// maxLaunches is how often a launch is tried that fails for reasons which may pass.
	maxLaunches = 3
	// maxRetry bounds the wait between two questions to a driver that does not answer.
	maxRetry = 30 * time.Second
)

// worker is what an actor knows of its worker beyond the record, which a new host finds out anew.
type worker struct {
	launching bool
	launches  int           // of this worker that this host has tried
	relaunch  time.Time     // when to launch again; zero: not
	failure   *LaunchFailed // there will be no worker, and the task is to be told
	dropped   bool          // the task was never more than an intent, and is forgotten

	elsewhere bool      // the driver cannot judge it
	killing   bool      // a helper is killing it
	reason    string    // why
	last      bool      // and no other one takes its place
	looked    time.Time // when it was last looked at
	quiet     int       // looks since it last said something
	released  time.Time // since when it is no longer needed
	left      time.Time // since when it is known to be gone
	exit      exit
}

// launchResult is what a driver answered to Launch.
type launchResult struct {
	handle runtime.Handle
	err    error
}

// exit is how a worker ended.
type exit struct {
	epoch     uint64
	exit      runtime.Exit
	elsewhere bool // it is not gone, but the driver cannot judge it
}

// leave notes what a helper has found out about the worker.
func (w *worker) leave(x exit, now time.Time) {
	switch {
	case x.elsewhere:
		w.elsewhere = true
	case w.left.IsZero():
		w.left, w.exit = now, x
	}
}

// begin launches the worker of a new task, which stands in the store with the hash of the token.
func (a *actor) begin(token string) func(context.Context) {
	return func(ctx context.Context) { a.launch(ctx, token) }
}

// resume takes the worker up that an earlier host has launched, or launches one if that host did not come to it.
func (a *actor) resume(ctx context.Context) {
	l := a.record.Launch
	switch {
	case !a.record.State.live():
		a.worker.released = a.now()
	case l.Handle == nil || l.Over:
		a.worker.relaunch = a.now()
	}
	if l.Handle == nil || l.Over {
		return
	}
	a.helpers.Go(func() { a.find(ctx, l.Epoch, l.Handle) })
}

// awaitWorker makes the place of a worker that an earlier host has launched. It comes before the actor's life: no worker may
// dial and find no place.
func (a *actor) awaitWorker() {
	if a.record.Launch.Handle == nil || a.record.Launch.Over {
		return
	}
	if err := a.admit(); err != nil {
		a.log.Error("the worker of an earlier host cannot be admitted", "err", err)
	}
}

// admit makes the worker's place at the host.
func (a *actor) admit() error {
	spec := a.spec
	spec.Epoch, spec.Heard, spec.Salvage = a.record.Launch.Epoch, a.record.Launch.Heard, a.record.State.salvage()
	session, err := a.options.Control.Admit(a.record.admission(spec, listener{actor: a, epoch: spec.Epoch, before: a.record.Launch.Before}))
	if err != nil {
		return err
	}
	a.session = session
	return nil
}

// launch asks the driver for a worker, in a helper: the actor goes on meanwhile.
func (a *actor) launch(ctx context.Context, token string) {
	a.worker.launching = true
	a.worker.launches++
	err := a.admit()
	l := runtime.Launch{
		TaskID:    a.record.ID,
		Epoch:     a.record.Launch.Epoch,
		Control:   a.options.Control.Addresses(),
		Token:     token,
		Resources: resources(a.spec),
	}
	a.helpers.Go(func() {
		r := launchResult{err: err}
		if err == nil {
			ctx, cancel := context.WithTimeout(ctx, a.options.timing.launch)
			defer cancel()
			r.handle, r.err = a.driver.Launch(ctx, l)
		}
		select {
		case a.launched <- r:
		case <-ctx.Done():
		}
	})
}

// confirm stores what came of a launch. Only a first launch that finds no room takes the task back; after any other
// failure the task was started, and has failed or is launched again. In place of a worker that was lost one is launched
// again until that is pointless.
func (a *actor) confirm(ctx context.Context, r launchResult) {
	a.worker.launching = false
	a.hear()
	if r.err == nil {
		r.err = a.confirmHandle(ctx, r.handle)
	}
	noRoom := errors.Is(r.err, status.NoCapacity)
	switch {
	case r.err == nil:
	case noRoom && a.record.Launch.Epoch == 1:
		a.drop(r.err)
	case (!a.record.State.LostAt.IsZero() || status.Retryable(r.err) && a.worker.launches < maxLaunches) && a.replace() == nil:
		wait := min(a.options.timing.retry<<min(a.worker.launches-1, 10), maxRetry)
		a.log.Warn("the worker was not launched, and will be tried again", "err", r.err, "in", wait)
		a.worker.relaunch = a.now().Add(wait)
	case noRoom:
		a.worker.failure = &LaunchFailed{Code: CodeNoCapacity, Message: r.err.Error()}
	default:
		a.worker.failure = &LaunchFailed{Code: CodeLaunchFailed, Message: r.err.Error()}
	}
	a.answer(nil)
}

// confirmHandle stores the handle, and watches the worker from now on. A worker that could not be recovered after a
// crash of the host must not be: it is killed.
func (a *actor) confirmHandle(ctx context.Context, h runtime.Handle) error {
	record := a.record
	record.Launch.Handle = h
	if err := a.save(record); err != nil {
		a.helpers.Go(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.options.timing.launch)
			defer cancel()
			a.end(ctx, h, 0)
		})
		return fmt.Errorf("the worker's handle was not stored: %w", err)
	}
	a.log.Info("the worker was launched", "epoch", record.Launch.Epoch, "runtime", record.Launch.Runtime)
	a.helpers.Go(func() { a.watch(ctx, record.Launch.Epoch, h) })
	return nil
}

// replace makes the next launch another one than the last, whose worker may be there all the same and is not let in any
// more.
func (a *actor) replace() error {
	record := a.record
	record.Launch = record.Launch.successor(*a.figures.Load())
	return a.save(record)
}

// launchAgain launches, under a new token, in place of the last worker.
func (a *actor) launchAgain(ctx context.Context) error {
	if a.record.Launch.TokenHash != nil {
		if err := a.replace(); err != nil {
			return err
		}
	}
	token, hash := control.NewToken()
	record := a.record
	record.Launch.TokenHash = hash
	if err := a.save(record); err != nil {
		return err
	}
	a.worker.relaunch = time.Time{}
	a.launch(ctx, token)
	return nil
}

// drop takes an intent back that found no room.
func (a *actor) drop(cause error) {
	a.retire()
	if err := a.store.remove(a.record.ID); err != nil {
		a.log.Error("a task that found no room is left in the store", "err", err)
	}
	a.worker.dropped = true
	a.answer(cause)
}

// answer tells Start what came of the first launch.
func (a *actor) answer(err error) {
	select {
	case a.answered <- err:
	default:
	}
}

// find asks the driver what became of a worker that an earlier host launched, until it answers.
func (a *actor) find(ctx context.Context, epoch uint64, h runtime.Handle) {
	for wait := a.options.timing.retry; ; wait = min(2*wait, maxRetry) {
		state, err := a.driver.Recover(ctx, h)
		switch {
		case err != nil:
			a.log.Warn("the runtime does not know about the worker yet", "err", err)
		case state == runtime.StateRunning:
			a.watch(ctx, epoch, h)
			return
		case state == runtime.StateGone:
			a.tell(ctx, exit{epoch: epoch})
			return
		case state == runtime.StateNotHere:
			a.tell(ctx, exit{epoch: epoch, elsewhere: true})
			return
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// watch waits for the worker's end. A driver that fails to wait is asked again: its plugin may have been restarted.
func (a *actor) watch(ctx context.Context, epoch uint64, h runtime.Handle) {
	for wait := a.options.timing.retry; ; wait = min(2*wait, maxRetry) {
		x, err := a.driver.Wait(ctx, h)
		if err == nil {
			a.tell(ctx, exit{epoch: epoch, exit: x})
			return
		}
		if ctx.Err() == nil {
			a.log.Warn("the runtime does not wait for the worker", "err", err)
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// kill ends the worker, in a helper.
func (a *actor) kill(ctx context.Context, p term) {
	if a.worker.killing || !a.worker.left.IsZero() {
		return
	}
	a.worker.killing, a.worker.reason, a.worker.last = true, p.reason, p.last
	a.log.Warn("the worker is being ended", "reason", p.reason)
	if a.worker.elsewhere {
		a.worker.left = a.now() // it is out of reach, and refused when it comes back
		return
	}
	epoch, h := a.record.Launch.Epoch, a.record.Launch.Handle
	a.helpers.Go(func() {
		a.end(ctx, h, p.grace)
		a.tell(ctx, exit{epoch: epoch})
	})
}

// end kills until the driver confirms that the worker is gone, or does not know it.
func (a *actor) end(ctx context.Context, h runtime.Handle, grace time.Duration) {
	for wait := a.options.timing.retry; ; wait = min(2*wait, maxRetry) {
		err := a.driver.Kill(ctx, h, grace)
		if err == nil {
			return
		}
		a.log.Warn("the runtime does not end the worker", "err", err)
		kind := status.KindOf(err)
		if kind == status.InvalidArgument || kind == status.NotFound || !pause(ctx, wait) {
			return
		}
	}
}

func (a *actor) tell(ctx context.Context, x exit) {
	select {
	case a.gone <- x:
	case <-ctx.Done():
	}
}

// pause waits, and tells whether ctx still lives.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// resources is what a recording needs at its peak, by what was measured for 1280x720 at 30 frames a second.
func resources(s control.Spec) runtime.Resources {
	const mebi = 1 << 20
	load := float64(s.Width*s.Height*s.Video.FPS) / (1280 * 720 * 30)
	return runtime.Resources{
		MilliCPU:    int64(400 + 800*load),
		MemoryBytes: int64((512 + 256*load) * mebi),
	}
}
