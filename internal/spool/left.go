package spool

import "time"

// Left is where a recording stands that has lost its worker: from what the journal says, what another one needs to go on.
type Left struct {
	Begun  bool          // something was to be recorded
	Paused bool          // and time stood still, as someone wanted
	Over   bool          // nothing more was to be captured
	At     time.Duration // recorded time up to which all is there
	Lost   time.Duration // that is missing behind it already
	Since  time.Time     // from when on more is missing, in the task's time; zero while Paused or Over
}

// Left reads it off the facts. What was captured last may not have come to the disk.
func (f Facts) Left() Left {
	if len(f.Marks) == 0 { // or the disk did not take them
		return Left{Begun: f.Covered > 0, At: f.Covered}
	}
	last := f.Marks[len(f.Marks)-1]
	l := Left{Begun: true, Paused: last.Kind == MarkPaused, Over: last.Kind == MarkOver, At: f.Covered, Lost: last.Lost}
	if last.Kind == MarkRuns {
		l.Since = last.Time.Add(l.At - last.At) // up to At it was captured as time went by
		return l
	}
	l.Lost += max(0, last.At-l.At)
	if last.Kind == MarkLost {
		l.Since = last.Time
	}
	return l
}
