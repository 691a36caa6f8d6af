package task

import (
	"fmt"
	"slices"
	"time"

	"github.com/recordhost/recordhost/internal/control"
)

// next is the rules: what becomes of a task in state s when e happens, and what must be done about it once that is
// stored. It changes nothing that s refers to. An error answers an action that the status does not allow; the state is
// s then. An event that comes too late, or that a confused worker sends, changes nothing and is no error.
func next(s State, e Event) (State, []Effect, error) {
	e.At = later(e.At, s.latest())
	switch what := e.What.(type) {
	case PauseAsked, ResumeAsked, RefreshAsked, StopAsked:
		return asked(s, e)
	case RetryAsked:
		return retry(s, e.At)
	case LifetimeOver:
		if s.Status.ended() || s.Status == Transcode || s.Status == Upload {
			return s, nil, nil
		}
		return stop(s, e.At)
	case Report:
		return report(s, e.At, what)
	case LaunchFailed:
		return unlaunched(s, e.At, Failure(what))
	case WorkerLost:
		return lost(s, e.At, what)
	case CallbackAccepted:
		return told(s, e.At, "")
	case CallbackGivenUp:
		if s.Status == Finished && s.CallbackError == "" { // it was told before
			return s, nil, nil
		}
		return told(s, e.At, what.Message)
	default:
		return s, nil, fmt.Errorf("task: no rule for %T", e.What)
	}
}

// asked applies the table of actions by state.
func asked(s State, e Event) (State, []Effect, error) {
	live := s.Status == Normal || s.Status == Recording || s.Status == Paused
	switch e.What.(type) {
	case PauseAsked:
		switch s.Status {
		case Recording:
			s.Status = Paused
			return send(s, e.At, control.CommandPause)
		case Paused:
			return s, nil, nil
		default:
			return s, nil, invalidStatus("pause", s.Status)
		}
	case ResumeAsked:
		switch s.Status {
		case Paused:
			s.Status = Recording
			return send(s, e.At, control.CommandResume)
		case Recording:
			return s, nil, nil
		default:
			return s, nil, invalidStatus("resume", s.Status)
		}
	case RefreshAsked:
		if !live {
			return s, nil, invalidStatus("refresh", s.Status)
		}
		return send(s, e.At, control.CommandRefresh)
	default: // Stop
		if !live {
			return s, nil, nil
		}
		return stop(s, e.At)
	}
}

func invalidStatus(verb string, s Status) *Error {
	return &Error{Code: CodeInvalidStatus, Message: fmt.Sprintf("can't %s a task in status %s", verb, s)}
}

// send adds a command, and its sending to the effects.
func send(s State, at time.Time, kind control.CommandKind) (State, []Effect, error) {
	s.Command++
	if kind != control.CommandRefresh {
		s.Steering = s.Command
	}
	c := control.Command{Number: s.Command, Kind: kind, Asked: at}
	s.Pending = append(slices.Clip(s.Pending), c)
	return s, []Effect{Send{c}}, nil
}

// stop takes a Stop; a task that was stopped already stays as it is.
func stop(s State, at time.Time) (State, []Effect, error) {
	if s.Status == Canceled {
		return s, nil, nil
	}
	s.Status = Canceled
	s.CancelTime = at
	return send(s, at, control.CommandStop)
}

// report applies what the worker told. After the end of the recording there is nothing left to tell.
func report(s State, at time.Time, r Report) (State, []Effect, error) {
	if s.Retry != nil {
		return retryReport(s, r.Body)
	}
	if s.Status.ended() {
		return s, nil, nil
	}
	s.Pending = pendingAfter(s.Pending, r.Applied)
	s.LostAt = time.Time{}
	switch b := r.Body.(type) {
	case control.Started:
		return started(s, at, b), nil, nil
	case control.Paused:
		if s.Status == Recording && r.Applied >= s.Steering {
			s.Status = Paused
		}
	case control.Resumed:
		if s.Status == Paused && r.Applied >= s.Steering {
			s.Status = Recording
		}
	case control.Gap:
		if s.Status != Normal {
			s.Gaps = append(slices.Clip(s.Gaps), b)
		}
	case control.Restart:
		s.Restarts++
	case control.Stopping:
		if recorded := !s.StartTime.IsZero(); recorded && s.Status != Transcode && s.Status != Upload {
			s.Status = Transcode
			s.StopTime = at
		}
	case control.Whole:
		if s.Status == Transcode {
			s.Status = Upload
		}
	case control.Delivered:
		if s.StartTime.IsZero() {
			return s, nil, nil
		}
		s.Deliveries = slices.Clone(b.Deliveries)
		return end(s, at)
	case control.Failed:
		f := Failure{Code: b.Code, Message: b.Message}
		if isUpload(b.Code) {
			s.Undelivered = failed(s.Undelivered, f)
		} else {
			s.Failure = failed(s.Failure, f)
		}
	case control.Done:
		return done(s, at)
	}
	return s, nil, nil
}

// pendingAfter drops the commands that have taken effect.
func pendingAfter(pending []control.Command, applied uint64) []control.Command {
	n := 0
	for n < len(pending) && pending[n].Number <= applied {
		n++
	}
	return pending[n:]
}

// started takes the first frame. One that was recorded before the worker heard of a Stop counts too.
func started(s State, at time.Time, b control.Started) State {
	if s.Status != Normal && s.Status != Canceled || !s.StartTime.IsZero() {
		return s
	}
	s.StartTime = b.At
	if b.At.IsZero() {
		s.StartTime = at
	}
	if s.Status == Normal {
		s.Status = Recording
	}
	return s
}

// done takes the worker's last word. A recording that was begun and neither delivered nor failed is lost.
func done(s State, at time.Time) (State, []Effect, error) {
	if !s.StartTime.IsZero() && s.Failure == nil && s.Undelivered == nil {
		s.Failure = &Failure{Code: CodeWorkerLost, Message: "the worker ended before the recording was delivered"}
	}
	return end(s, at)
}

// maxLosses within lossWindow is how many workers a task may lose before it is given no other one to record with.
const (
	maxLosses  = 3
	lossWindow = 10 * time.Minute
)

// lost gives a task that has no worker any more another one, which goes on with what was recorded. One that loses them
// over and over is no longer recorded: the next worker makes whole what there is and delivers it. Where Stop was taken
// before anything was recorded, nothing is missing.
func lost(s State, at time.Time, l WorkerLost) (State, []Effect, error) {
	f := Failure{Code: l.Code, Message: l.Message}
	if s.Retry != nil {
		return retryLost(s, at, f)
	}
	if s.Status.ended() || s.Status == Canceled && s.StartTime.IsZero() && !l.Unheard {
		return unlaunched(s, at, f)
	}
	s = counted(s, at)
	if len(s.Losses) <= maxLosses {
		return s, []Effect{Relaunch{}}, nil
	}
	if s.StartTime.IsZero() && !l.Unheard || s.Salvage || s.Status == Canceled && s.StartTime.IsZero() {
		return unlaunched(s, at, f)
	}
	s.Failure = failed(s.Failure, f)
	s.Salvage, s.Losses = true, nil
	return s, []Effect{Relaunch{}}, nil
}

// counted notes that a worker was lost.
func counted(s State, at time.Time) State {
	recent := slices.IndexFunc(s.Losses, func(t time.Time) bool { return at.Sub(t) < lossWindow })
	s.Losses = append(slices.Clone(s.Losses[max(recent, 0):]), at)
	if recent < 0 {
		s.Losses = []time.Time{at}
	}
	if s.LostAt.IsZero() {
		s.LostAt = at
	}
	return s
}

// unlaunched ends a task that has no worker and is given none.
func unlaunched(s State, at time.Time, f Failure) (State, []Effect, error) {
	if s.Retry != nil {
		s.Retry = &Retry{Since: s.Retry.Since, Failed: failed(s.Retry.Failed, f)}
		return retried(s)
	}
	if s.Status.ended() {
		return s, nil, nil
	}
	if s.Status != Canceled || !s.StartTime.IsZero() {
		s.Failure = failed(s.Failure, f)
	}
	return end(s, at)
}

// later of two times.
func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// failed keeps the code of the first failure, and the text of all.
func failed(before *Failure, f Failure) *Failure {
	if before == nil {
		return &f
	}
	return &Failure{Code: before.Code, Message: before.Message + "; " + f.Code + ": " + f.Message}
}

// end leaves the recording behind: the worker is let go, and the caller is told if it wants to be.
func end(s State, at time.Time) (State, []Effect, error) {
	s.Pending = nil
	if !s.StartTime.IsZero() && s.StopTime.IsZero() {
		s.StopTime = at
	}
	if s.WantsCallback {
		s.Status = Callback
		return s, []Effect{Release{}, Call{}}, nil
	}
	s.Status = Finished
	s.FinishTime = at
	return s, []Effect{Release{}}, nil
}

// told ends the callback. One that is accepted after it was given up takes that back.
func told(s State, at time.Time, problem string) (State, []Effect, error) {
	if !s.Status.ended() {
		return s, nil, nil
	}
	s.CallbackError = problem
	if s.Status == Callback {
		s.Status = Finished
		s.FinishTime = at
	}
	return s, nil, nil
}
