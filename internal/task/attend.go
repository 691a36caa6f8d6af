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
	now := time.Now()
	var again time.Time
	for _, duty := range []func(context.Context, time.Time) (time.Time, error){
		a.attendLaunch, a.attendLifetime, a.attendWorker, a.attendLoss,
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

// attendLaunch launches again, unless the task was stopped meanwhile.
func (a *actor) attendLaunch(ctx context.Context, now time.Time) (time.Time, error) {
	if due := a.worker.relaunch; !due.IsZero() {
		if a.record.State.Status != Normal {
			a.worker.relaunch = time.Time{}
			a.worker.failure = &LaunchFailed{Code: CodeLaunchFailed, Message: "it was stopped before it was launched"}
		} else if now.Before(due) {
			return due, nil
		} else if err := a.launchAgain(ctx); err != nil {
			return time.Time{}, err
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
	if a.record.Launch.Handle == nil || a.worker.killing || !a.worker.left.IsZero() {
		return time.Time{}, nil
	}
	due, reason := a.patience()
	if now.Before(due) {
		return due, nil
	}
	a.kill(ctx, reason)
	return time.Time{}, nil
}

// patience is until when the worker is left alone, and what is said of it then.
func (a *actor) patience() (due time.Time, reason string) {
	t, s := a.options.timing, a.record.State
	limit := t.silence
	if a.worker.elsewhere {
		limit = t.absence
	}
	due, reason = a.lastHeard().Add(limit), fmt.Sprintf("said nothing for %v", limit)
	consider := func(since time.Time, d time.Duration, why string) {
		if at := since.Add(d); at.Before(due) {
			due, reason = at, why
		}
	}
	switch {
	case s.Status.ended():
		consider(a.worker.released, t.release, fmt.Sprintf("did not end within %v", t.release))
	case s.Status == Canceled && s.StartTime.IsZero():
		consider(s.CancelTime, t.discard, fmt.Sprintf("did not stop within %v", t.discard))
	case s.Status == Canceled:
		consider(s.CancelTime, a.options.Engine.UploadGiveUp+t.overdue, "did not finish the recording in time")
	case s.Status == Transcode, s.Status == Upload:
		consider(s.StopTime, a.options.Engine.UploadGiveUp+t.overdue, "did not finish the recording in time")
	}
	return due, reason
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
	if a.record.Launch.Instance == "" {
		return LaunchFailed{Code: CodeLaunchFailed, Message: "the worker never reported: " + how}
	}
	return WorkerLost{Message: "the worker is gone: " + how}
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
