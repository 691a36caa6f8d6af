package task

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"time"

	"github.com/recordhost/recordhost/internal/control"
	"github.com/recordhost/recordhost/sdk/runtime"
)

// retry begins to deliver the spool of a finished task once more. The status stays: it never goes back. What failed stays
// told until the retry has succeeded.
func retry(s State, at time.Time) (State, []Effect, error) {
	switch {
	case s.Retry != nil:
		return s, nil, nil
	case s.Status != Finished:
		return s, nil, invalidStatus("retry the upload of", s.Status)
	case !s.unstored():
		return s, nil, &Error{Code: CodeInvalidStatus, Message: "can't retry the upload of a task whose upload has not failed"}
	}
	s.Retry = &Retry{Since: at}
	s.Losses, s.LostAt = nil, at
	return s, []Effect{Relaunch{}}, nil
}

// retryReport applies what the worker of a retry told. What it tells of the recording itself was told before.
func retryReport(s State, body control.Body) (State, []Effect, error) {
	s.LostAt = time.Time{}
	switch b := body.(type) {
	case control.Failed:
		s.Retry = &Retry{Since: s.Retry.Since, Failed: failed(s.Retry.Failed, Failure{Code: b.Code, Message: b.Message})}
	case control.Delivered:
		s.Deliveries = append([]control.Delivery(nil), b.Deliveries...)
		return retried(s)
	case control.Done:
		if s.Retry.Failed == nil {
			f := Failure{Code: CodeWorkerLost, Message: "the worker ended before the recording was delivered"}
			s.Retry = &Retry{Since: s.Retry.Since, Failed: &f}
		}
		return retried(s)
	}
	return s, nil, nil
}

// retryLost gives the retry another worker, unless it loses them over and over.
func retryLost(s State, at time.Time, f Failure) (State, []Effect, error) {
	if more := counted(s, at); len(more.Losses) <= maxLosses {
		return more, []Effect{Relaunch{}}, nil
	}
	return unlaunched(s, at, f)
}

// retried ends a retry. One that has succeeded takes back what had failed, and the caller is told again.
func retried(s State) (State, []Effect, error) {
	problem := s.Retry.Failed
	s.Retry, s.Undelivered = nil, problem
	if s.Failure != nil && (s.Failure.Code == codeDiskFull || isUpload(s.Failure.Code)) {
		s.Failure = nil // it is mended, or problem says it anew
	}
	if problem == nil && s.WantsCallback {
		return s, []Effect{Release{}, Call{}}, nil
	}
	return s, []Effect{Release{}}, nil
}

// RetryUpload delivers the recording of a finished task once more whose upload has failed: another worker sends what the
// spool still holds to the targets that do not have it. That goes on after RetryUpload has returned; while it does, a second
// call changes nothing.
func (m *Manager) RetryUpload(ctx context.Context, id string) error {
	for {
		a, changed := m.actorAnd(id)
		if a == nil {
			return m.retryStored(ctx, id)
		}
		err := m.retryLive(ctx, a)
		if !errors.Is(err, errEnded) {
			return m.callersError(err)
		}
		select { // it ends, and the manager lets it go
		case <-changed:
		case <-ctx.Done():
			return m.callersError(fmt.Errorf("task: retry the upload: %w", context.Cause(ctx)))
		}
	}
}

// retryLive begins the retry of a task that has an actor: its caller is still to be told, or its last worker is about to
// end, which is waited for.
func (m *Manager) retryLive(ctx context.Context, a *actor) error {
	if s := a.latest.Load().State; s.Status == Finished && !s.live() {
		select {
		case <-a.settled:
		case <-a.done:
			return errEnded
		case <-ctx.Done():
			return fmt.Errorf("task: retry the upload: %w", context.Cause(ctx))
		}
	}
	return a.call(ctx, func() error {
		if _, effects, err := next(a.record.State, Event{At: a.now(), What: RetryAsked{}}); err != nil || effects == nil {
			return err
		}
		spec, driver, err := m.retrySpec(ctx, a.record)
		if err != nil {
			return err
		}
		a.spec, a.driver = spec, driver
		return a.happen(Event{At: a.now(), What: RetryAsked{}}, (*Record).anew)
	})
}

// retryStored begins the retry of a task that has no actor.
func (m *Manager) retryStored(ctx context.Context, id string) error {
	release, err := m.reserve(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	if a := m.actor(id); a != nil { // another caller was faster
		return m.callersError(m.retryLive(ctx, a))
	}
	r, err := m.find(ctx, id)
	if err != nil {
		return err
	}
	if r.State, _, err = next(r.State, Event{At: m.options.Clock.Now(r.Clock), What: RetryAsked{}}); err != nil {
		return m.callersError(err)
	}
	spec, driver, err := m.retrySpec(ctx, r)
	if err != nil {
		return m.callersError(err)
	}
	r.anew()
	if r, err = m.save(ctx, r); err != nil {
		return m.callersError(err)
	}
	a := newActor(m.options, records{m}, driver, spec, r)
	m.add(a, a.resume)
	return nil
}

// retrySpec is what another worker is to do, with today's configuration, and who launches it.
func (m *Manager) retrySpec(ctx context.Context, r Record) (control.Spec, runtime.Driver, error) {
	if _, err := os.Stat(m.options.spoolOf(r.ID)); errors.Is(err, fs.ErrNotExist) {
		return control.Spec{}, nil, &Error{Code: CodeInvalidStatus,
			Message: "can't retry the upload: the recording's local copy was deleted, as retention.spool says"}
	}
	driver := m.options.Runtimes[r.Launch.Runtime]
	if driver == nil {
		return control.Spec{}, nil, fmt.Errorf("task: the runtime %q of task %s is not configured any more", r.Launch.Runtime, r.ID)
	}
	spec, err := m.specOf(ctx, r)
	return spec, driver, err
}

// anew lets the next worker have nothing to say for the last one, whose word the task has been finished by.
func (r *Record) anew() { r.Launch.LastEvent = math.MaxInt64 }
