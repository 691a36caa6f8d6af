package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/recordhost/recordhost/internal/browser"
	"github.com/recordhost/recordhost/internal/control"
)

// errOver ends a recording that nobody waits for: another worker, or none, has its task.
var errOver = errors.New("the host has refused this worker")

// watch opens the page and obeys everyone who may steer the recording, until one of them ends it or it fails.
func (r *recording) watch(ctx context.Context) (control.Reason, error) {
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		r.screen.Follow(following, r.browser)
	}()
	r.follow = func() { stop(); <-followed }

	r.openPage(ctx)
	defer func() { r.endLoad() }()

	report := time.NewTicker(reportEvery)
	defer report.Stop()
	calls, ready := r.browser.Calls(), r.readyTimer()
	defer ready.Stop()
	for {
		var err error
		select {
		case err = <-r.opened:
			if err == nil {
				err = r.pageLoaded(ctx)
			}
		case cmd, ok := <-r.client.Commands():
			if !ok {
				return control.ReasonFailed, errOver
			}
			if cmd.Kind == control.CommandStop {
				r.client.Applied(cmd.Number)
				return control.ReasonStop, nil
			}
			r.obey(ctx, cmd)
		case call, ok := <-calls:
			if !ok {
				calls = nil
				continue
			}
			if call.Name == browser.CallStop {
				call.Reply(nil)
				return control.ReasonPage, nil
			}
			err = r.answer(ctx, call)
		case <-ready.C:
			if r.encoder == nil && len(r.pending) == 0 {
				err = &failure{"StartSignalTimeout", fmt.Errorf("the page has not called startRecord within %v", r.spec.ReadyTimeout)}
			}
		case <-r.screen.Full():
			return control.ReasonLimit, nil
		case <-report.C:
			r.report()
		case <-r.browser.Done():
			err = browserFailure(r.browser.Err())
		case <-r.encoded():
			err = encoderFailure(r.encoder.Err())
		case <-r.client.Orphaned():
			return control.ReasonStop, nil
		case <-r.client.Refused():
			return control.ReasonFailed, errOver
		case <-ctx.Done():
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

// encoded is closed when the encoder has given up.
func (r *recording) encoded() <-chan struct{} {
	if r.encoder == nil {
		return nil
	}
	return r.encoder.Done()
}

// pageLoaded begins the recording, unless the page wants to do that itself and has not yet.
func (r *recording) pageLoaded(ctx context.Context) error {
	r.loaded = true
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
func (r *recording) obey(ctx context.Context, cmd control.Command) {
	switch cmd.Kind {
	case control.CommandPause:
		r.pause()
		r.client.Applied(cmd.Number)
		r.told(ctx, control.Paused{}, "paused")
	case control.CommandResume:
		r.resume()
		r.client.Applied(cmd.Number)
		r.told(ctx, control.Resumed{}, "recording")
	case control.CommandRefresh:
		r.refresh(ctx)
		r.client.Applied(cmd.Number)
	}
}

// answer carries out what the page asks for with one of its functions.
func (r *recording) answer(ctx context.Context, call browser.PageCall) error {
	var refused, failed error
	switch {
	case call.Name == browser.CallRefresh:
		call.Reply(nil) // the promise dies with its document
		r.refresh(ctx)
		return nil
	case call.Name == browser.CallStart && r.encoder == nil:
		if !r.loaded {
			r.pending = append(r.pending, call)
			return nil
		}
		failed = r.begin(ctx)
		refused = failed
	case r.encoder == nil:
		refused = errors.New("the recording has not begun")
	case call.Name == browser.CallPause && !r.paused:
		r.pause()
		r.told(ctx, control.Paused{}, "paused")
	case (call.Name == browser.CallResume || call.Name == browser.CallStart) && r.paused:
		r.resume()
		r.told(ctx, control.Resumed{}, "recording")
	}
	call.Reply(refused)
	return failed
}

func (r *recording) pause() {
	if r.paused {
		return
	}
	r.screen.Pause()
	r.paused = true
	r.mark("paused")
}

func (r *recording) resume() {
	if !r.paused {
		return
	}
	r.screen.Resume()
	r.paused = false
	r.mark("resumed")
}

// told reports a change to the host and to the page.
func (r *recording) told(ctx context.Context, event control.Body, status string) {
	r.emit(event)
	r.tellPage(ctx, status)
}

// mark notes in the spool when the recording was paused and resumed.
func (r *recording) mark(kind string) {
	if err := r.spool.Mark(kind, r.screen.Stats().Recorded); err != nil {
		r.log.Error("the spool's journal cannot be written", "err", err)
	}
}

// openPage begins to open the page. The end of that arrives in r.opened, unless another load took its place. What a document
// asked for that is now replaced is forgotten: its promises are gone with it.
func (r *recording) openPage(ctx context.Context) {
	r.pending = nil
	opened := make(chan error, 1)
	r.opened = opened
	r.load(ctx, func(ctx context.Context) {
		err := r.show(ctx)
		if ctx.Err() == nil {
			opened <- err
		}
	})
}

// show has the page loaded and waits until it can be seen.
func (r *recording) show(ctx context.Context) error {
	if err := r.browser.Open(ctx, r.spec.RecordURL); err != nil {
		return pageFailure(err)
	}
	select {
	case <-r.screen.Painted():
		return nil
	case <-time.After(paintWithin):
		return &failure{"PageLoadFailed", errors.New("the page has loaded but does not paint")}
	case <-ctx.Done():
		return fmt.Errorf("worker: wait for the page's first picture: %w", context.Cause(ctx))
	}
}

// refresh begins to load the page anew; the recording goes on meanwhile. A page that does not come back is recorded as it
// is, and the next Refresh may bring it back. One that has not loaded yet is opened once more.
func (r *recording) refresh(ctx context.Context) {
	if !r.loaded {
		r.openPage(ctx)
		return
	}
	r.load(ctx, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, refreshWithin)
		defer cancel()
		switch err := r.browser.Reload(ctx); {
		case err == nil:
			r.emit(control.Refreshed{})
		case !errors.Is(ctx.Err(), context.Canceled):
			r.log.Warn("the page was not loaded again", "err", err)
		}
	})
}

// load runs f, which loads the page, until r.endLoad. A load that is still going on gives way to it: Chrome's loads wait for
// each other, and nobody is to wait for a page that may never come.
func (r *recording) load(ctx context.Context, f func(context.Context)) {
	r.endLoad()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	r.endLoad = func() { cancel(); <-done }
	go func() {
		defer close(done)
		f(ctx)
	}()
}

func (r *recording) tellPage(ctx context.Context, status string) {
	if err := r.browser.SetStatus(ctx, status); err != nil {
		r.log.Warn("the page was not told its status", "status", status, "err", err)
	}
}
