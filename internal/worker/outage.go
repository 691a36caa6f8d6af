package worker

import (
	"slices"
	"time"

	"github.com/recordhost/recordhost/internal/spool"
)

// outage is a stretch of time in which the recording should run and nothing can be captured: Chrome is being replaced, or
// the worker was. It is cut out of the recording, and told as a gap. It is a pure value of the recording's goroutine.
type outage struct {
	at    time.Duration // recorded time where it lies
	cause string
	code  string        // what the recording fails with, if it does not come back
	lost  time.Duration // so far, but for what since tells
	since time.Time     // it goes on since then; zero while the recording is paused
}

// inherited is the outage that the end of an earlier worker has begun.
func inherited(l spool.Left) *outage {
	return &outage{at: l.At, cause: "the worker was replaced", code: "WorkerLost", lost: l.Lost, since: l.Since}
}

// missing is how long it is by now.
func (o *outage) missing(now time.Time) time.Duration {
	if o.since.IsZero() {
		return o.lost
	}
	return o.lost + max(0, now.Sub(o.since))
}

// pause stops its time: what is not to be recorded is not missing.
func (o *outage) pause(now time.Time) { o.lost, o.since = o.missing(now), time.Time{} }

// resume lets it go on.
func (o *outage) resume(now time.Time) {
	if o.since.IsZero() {
		o.since = now
	}
}

// faults remembers when Chrome, or the page in it, last failed.
type faults []time.Time

// A recording that loses Chrome more often than maxFaults times within faultWindow is given up.
const (
	maxFaults   = 3
	faultWindow = 10 * time.Minute
)

// tolerable notes one more fault, and says whether another try is worth it.
func (f *faults) tolerable(now time.Time) bool {
	recent := slices.DeleteFunc(*f, func(at time.Time) bool { return now.Sub(at) >= faultWindow })
	*f = append(recent, now) //nolint:gocritic // the same slice, without the old ones
	return len(*f) <= maxFaults
}
