package task

import (
	"context"
	"fmt"
	"time"

	"github.com/recordhost/recordhost/sdk/runtime"
)

// attend does what is due, and answers when it is to be called again at the latest; the zero time means when something
// happens. What fails is tried again after a while.
func (a *actor) attend(ctx context.Context) time.Time {
	now := a.now()
	var again time.Time
	for _, duty := range []func(context.Context, time.Time) (time.Time, error){
		a.attendLaunch, a.attendLifetime, a.attendWorker, a.attendLoss, a.attendCallback,
	} {
		due, err := duty(ctx, now)
		if err != nil {
			due = now.Add(a.options.timing.retry)
		}
		again = earlier(again, due)
	}
	return again
}

// earlier of two times, of which the zero time never comes.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// attendLaunch launches again, unless that has become pointless.
func (a *actor) attendLaunch(ctx context.Context, now time.Time) (time.Time, error) {
	if due := a.worker.relaunch; !due.IsZero() {
		a.worker.failure = a.pointless(now)
		switch {
		case a.worker.failure != nil:
			a.worker.relaunch = time.Time{}
		case now.Before(due):
			return due, nil
		default:
			if err := a.launchAgain(ctx); err != nil {
				return time.Time{}, err
			}
		}
	}
	if a.worker.failure == nil {
		return time.Time{}, nil
	}
	if err := a.happen(Event{At: now, What: *a.worker.failure}, nil); err != nil {
		return time.Time{}, err
	}
	a.worker.failure = nil
	return time.Time{}, nil
}

// pointless says why no worker is launched any more, nil while there is a point in it.
func (a *actor) pointless(now time.Time) *LaunchFailed {
	s := a.record.State
	switch {
	case s.Status == Canceled && s.StartTime.IsZero() && !a.record.Launch.reported():
		return &LaunchFailed{Code: CodeLaunchFailed, Message: "it was stopped before it was launched"}
	case len(a.spec.Targets) == 0:
		return &LaunchFailed{Code: CodeLaunchFailed, Message: "the worker is gone, and the configuration no longer has what the task needs"}
	case !s.LostAt.IsZero() && now.Sub(s.LostAt) >= a.options.Engine.UploadGiveUp:
		message := fmt.Sprintf("the worker is gone, and no other one could be launched for %v", a.options.Engine.UploadGiveUp)
		return &LaunchFailed{Code: CodeLaunchFailed, Message: message}
	}
	return nil
}

// attendLifetime stops a task that nobody stops.
func (a *actor) attendLifetime(_ context.Context, now time.Time) (time.Time, error) {
	switch a.record.State.Status {
	case Normal, Recording, Paused:
	default:
		return time.Time{}, nil
	}
	due := a.record.Created.Add(a.options.Engine.MaxLifetime)
	if now.Before(due) {
		return due, nil
	}
	return time.Time{}, a.happen(Event{At: now, What: LifetimeOver{}}, nil)
}

// attendWorker ends a worker that does not end, or says nothing.
func (a *actor) attendWorker(ctx context.Context, now time.Time) (time.Time, error) {
	if a.record.Launch.Handle == nil || a.record.Launch.Over || a.worker.killing || !a.worker.left.IsZero() {
		return time.Time{}, nil
	}
	p := a.termOf(now)
	if now.Before(p.until) {
		return earlier(p.until, a.worker.looked.Add(a.options.timing.look())), nil
	}
	a.kill(ctx, p)
	return time.Time{}, nil
}

// look notes whether the worker has said anything since the last look. Looks are counted, not time: a host that stood still
// has heard nobody meanwhile.
func (w *worker) look(now, heard time.Time, every time.Duration) {
	if heard.After(w.looked) {
		w.quiet = 0
	}
	if now.Sub(w.looked) >= every {
		w.looked = now
		w.quiet++
	}
}

// term is until when a worker is left alone.
type term struct {
	until  time.Time
	reason string        // what is said of it then
	last   bool          // no other worker takes its place
	grace  time.Duration // to end by itself
}

// shorten ends the term d after since, if that is earlier. What the task needs is over then: no other worker is launched.
func (p *term) shorten(since time.Time, d time.Duration, reason string, grace time.Duration) {
	if at := since.Add(d); at.Before(p.until) {
		*p = term{until: at, reason: reason, last: true, grace: grace}
	}
}

// termOf answers the term of the task's worker. One that says nothing is killed without being asked: it would end the recording
// as if it had been stopped.
func (a *actor) termOf(now time.Time) term {
	t, s := a.options.timing, a.record.State
	limit := t.silence
	if a.worker.elsewhere {
		limit = t.absence
	}
	a.worker.look(now, a.lastHeard(), t.look())
	p := term{
		until:  now.Add(limit - time.Duration(a.worker.quiet)*t.look()),
		reason: fmt.Sprintf("said nothing for %v", limit),
	}
	switch {
	case s.Retry != nil:
		p.shorten(s.Retry.Since, a.options.Engine.UploadGiveUp+t.overdue, "did not upload the recording in time", t.grace)
	case s.Status.ended():
		p.shorten(a.worker.released, t.release, fmt.Sprintf("did not end within %v", t.release), t.grace)
	case s.Status == Canceled && s.StartTime.IsZero() && a.connected():
		p.shorten(s.CancelTime, t.discard, fmt.Sprintf("did not stop within %v", t.discard), t.grace)
	case s.Status == Canceled:
		p.shorten(s.CancelTime, a.options.Engine.UploadGiveUp+t.overdue, "did not finish the recording in time", t.grace)
	case s.Status == Transcode, s.Status == Upload:
		p.shorten(s.StopTime, a.options.Engine.UploadGiveUp+t.overdue, "did not finish the recording in time", t.grace)
	}
	return p
}

// attendLoss draws the consequence of a worker that is gone, when all that it said has arrived.
func (a *actor) attendLoss(_ context.Context, now time.Time) (time.Time, error) {
	if a.worker.left.IsZero() || a.record.Launch.Over {
		return time.Time{}, nil
	}
	if due := a.worker.left.Add(a.options.timing.drain); a.connected() && now.Before(due) && !a.worker.elsewhere {
		return due, nil
	}
	err := a.happen(Event{At: now, What: a.loss()}, func(r *Record) { r.Launch.Over = true })
	if err != nil {
		return time.Time{}, err
	}
	if a.record.State.live() {
		a.dismiss()
		return now, nil // another one is launched
	}
	a.retire()
	return time.Time{}, nil
}

func (a *actor) connected() bool {
	if a.session == nil {
		return false
	}
	_, connected := a.session.Seen()
	return connected
}

// loss says in what way the worker was lost, for a task that needs it still. A worker that never came to the host was
// not launched, as far as anyone can tell.
func (a *actor) loss() any {
	how := describeExit(a.worker.exit.exit)
	if a.worker.killing {
		how = "it " + a.worker.reason
	}
	if a.worker.last {
		return LaunchFailed{Code: CodeWorkerLost, Message: "the worker " + a.worker.reason}
	}
	if a.record.Launch.Instance == "" {
		return WorkerLost{Code: CodeLaunchFailed, Message: "the worker never reported: " + how, Unheard: a.record.Launch.reported()}
	}
	return WorkerLost{Code: CodeWorkerLost, Message: "the worker is gone: " + how, Unheard: true}
}

func describeExit(x runtime.Exit) string {
	switch {
	case x.Reason != "":
		return x.Reason
	case x.Signal != "":
		return "it was ended by a signal: " + x.Signal
	case x.Known:
		return fmt.Sprintf("it ended with exit code %d", x.Code)
	default:
		return "it ended, it is not known how"
	}
}
