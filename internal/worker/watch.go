package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/recordhost/recordhost/internal/browser"
	"github.com/recordhost/recordhost/internal/control"
	"github.com/recordhost/recordhost/internal/spool"
)

var (
	// errOver ends a recording that nobody waits for: another worker, or none, has its task.
	errOver = errors.New("the host has refused this worker")

	// errUnbegun ends a worker that was told to end before it had recorded anything.
	errUnbegun = errors.New("the worker was told to end before anything was recorded")
)

// watch opens the page and obeys everyone who may steer the recording, until one of them ends it or it fails.
func (r *recording) watch(ctx context.Context) (control.Reason, error) {
	r.setStage(ctx)
	defer func() { r.stage.end() }()

	report := time.NewTicker(reportEvery)
	defer report.Stop()
	r.ready = r.readyTimer()
	defer r.ready.Stop()
	for {
		var err error
		select {
		case l := <-r.stage.launched:
			err = r.chromeLaunched(ctx, l)
		case err = <-r.stage.opened:
			r.stage.opened = nil
			if err == nil {
				err = r.pageLoaded(ctx)
			} else {
				err = r.unopened(ctx, err)
			}
		case <-r.stage.again:
			r.openPage(ctx)
		case cmd, ok := <-r.client.Commands():
			if !ok {
				return control.ReasonFailed, errOver
			}
			if cmd.Kind == control.CommandStop {
				r.client.Applied(cmd.Number)
				return control.ReasonStop, nil
			}
			err = r.obey(ctx, cmd)
		case call, ok := <-r.stage.calls:
			if !ok {
				r.stage.calls = nil
				continue
			}
			if call.Name == browser.CallStop {
				call.Reply(nil)
				return control.ReasonPage, nil
			}
			err = r.answer(ctx, call)
		case <-r.ready.C:
			if !r.begun && len(r.pending) == 0 {
				err = &failure{"StartSignalTimeout", fmt.Errorf("the page has not called startRecord within %v", r.spec.ReadyTimeout)}
			}
		case <-r.screen.Full():
			return control.ReasonLimit, nil
		case <-report.C:
			r.report()
			if r.tooLong() {
				err = r.outageTooLong()
			}
		case <-r.stage.done():
			err = r.replaceChrome(ctx, browserFailure(r.stage.browser.Err()))
		case <-r.encoded():
			err = encoderFailure(r.encoder.Err())
		case <-r.client.Orphaned():
			return control.ReasonStop, nil
		case <-r.client.Refused():
			return control.ReasonFailed, errOver
		case <-ctx.Done():
			if !r.begun {
				return control.ReasonFailed, errUnbegun
			}
			return control.ReasonStop, nil
		}
		if err != nil {
			return control.ReasonFailed, err
		}
	}
}

// readyTimer fires when a page that should call startRecord has had its time.
func (r *recording) readyTimer() *time.Timer {
	timer := time.NewTimer(r.spec.ReadyTimeout)
	if !r.spec.ManualStart {
		timer.Stop()
	}
	return timer
}

// awaitSignal gives the page its time to call startRecord, from now on.
func (r *recording) awaitSignal() {
	if r.spec.ManualStart && !r.begun {
		r.ready.Reset(r.spec.ReadyTimeout)
	}
}

// encoded is closed when the encoder has given up.
func (r *recording) encoded() <-chan struct{} {
	if r.encoder == nil {
		return nil
	}
	return r.encoder.Done()
}

// chromeLaunched opens the page in a Chrome that has come up.
func (r *recording) chromeLaunched(ctx context.Context, l launched) error {
	if l.err != nil {
		return r.replaceChrome(ctx, browserFailure(l.err))
	}
	r.stage.take(l.browser, r.screen)
	r.awaitSignal()
	r.openPage(ctx)
	return nil
}

// pageLoaded begins the recording, unless the page wants to do that itself and has not yet; or lets it go on.
func (r *recording) pageLoaded(ctx context.Context) error {
	r.loaded = true
	switch {
	case r.encoder != nil:
		r.settle(ctx)
		r.regain(ctx)
		return nil
	case r.begun && r.paused: // another worker's recording; it goes on with Resume
		r.tellPage(ctx, r.status())
		return nil
	case r.begun:
		return r.begin(ctx)
	}
	r.emit(control.Loaded{})
	if r.spec.ManualStart && len(r.pending) == 0 {
		return nil
	}
	err := r.begin(ctx)
	for _, call := range r.pending {
		call.Reply(err)
	}
	r.pending = nil
	return err
}

// obey carries out a command of the host; Stop is watch's own.
func (r *recording) obey(ctx context.Context, cmd control.Command) (err error) {
	switch cmd.Kind {
	case control.CommandPause:
		r.pause(asked(cmd, r.client.Now()))
		r.client.Applied(cmd.Number)
		r.told(ctx, control.Paused{})
	case control.CommandResume:
		err = r.resume(ctx, asked(cmd, r.client.Now()))
		r.client.Applied(cmd.Number)
		r.told(ctx, control.Resumed{})
	case control.CommandRefresh:
		r.refresh(ctx)
		r.client.Applied(cmd.Number)
	}
	return err
}

// answer carries out what the page asks for with one of its functions.
func (r *recording) answer(ctx context.Context, call browser.PageCall) error {
	var refused, failed error
	switch {
	case call.Name == browser.CallRefresh:
		call.Reply(nil) // the promise dies with its document
		r.refresh(ctx)
		return nil
	case call.Name == browser.CallStart && !r.begun:
		if !r.loaded {
			r.pending = append(r.pending, call)
			return nil
		}
		failed = r.begin(ctx)
		refused = failed
	case !r.begun:
		refused = errors.New("the recording has not begun")
	case call.Name == browser.CallPause && !r.paused:
		r.pause(r.client.Now())
		r.told(ctx, control.Paused{})
	case (call.Name == browser.CallResume || call.Name == browser.CallStart) && r.paused:
		failed = r.resume(ctx, r.client.Now())
		refused = failed
		r.told(ctx, control.Resumed{})
	}
	call.Reply(refused)
	return failed
}

// asked is when a command was given: before this worker came, perhaps.
func asked(cmd control.Command, now time.Time) time.Time {
	if cmd.Asked.IsZero() || cmd.Asked.After(now) {
		return now
	}
	return cmd.Asked
}

// pause stops the recording's time. In an outage, what is missing is missing until the pause was asked for.
func (r *recording) pause(asked time.Time) {
	if r.paused {
		return
	}
	if r.outage != nil {
		r.outage.pause(asked)
	}
	r.screen.Pause()
	r.paused = true
	r.mark(spool.MarkPaused)
}

// resume lets the recording's time go on. In an outage, what follows is missing from when that was asked for.
func (r *recording) resume(ctx context.Context, asked time.Time) error {
	if !r.paused {
		return nil
	}
	r.paused = false
	if r.outage == nil {
		r.screen.Resume()
		r.mark(spool.MarkRuns)
		return nil
	}
	r.outage.resume(asked)
	if r.loaded { // an earlier worker's, paused until now
		return r.begin(ctx)
	}
	r.mark(spool.MarkLost)
	return nil
}

// told reports a change to the host and to the page.
func (r *recording) told(ctx context.Context, event control.Body) {
	r.emit(event)
	r.tellPage(ctx, r.status())
}

// mark notes in the spool from when on the recording's time runs or stands still.
func (r *recording) mark(kind spool.MarkKind) {
	m := spool.Mark{Kind: kind, At: r.recorded(), Time: r.client.Now()}
	if r.outage != nil {
		m.Lost = r.outage.lost
		if !r.outage.since.IsZero() {
			m.Time = r.outage.since
		}
	}
	r.note(m)
}

func (r *recording) note(m spool.Mark) {
	if err := r.spool.Mark(m); err != nil {
		r.log.Error("the spool's journal cannot be written", "err", err)
	}
}
