package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/recordhost/recordhost/internal/browser"
	"github.com/recordhost/recordhost/internal/control"
)

// stage is Chrome on the recording's screen, and what is going on to bring it, and the page in it, there. It belongs to the
// recording's goroutine; what takes long happens in another one, of which there is one at a time.
type stage struct {
	browser Browser // nil while there is none
	calls   <-chan browser.PageCall
	follow  func() // ends the following of the pipeline's depth, and waits
	serial  int    // of Chromes

	launched chan launched    // takes what came of a launch
	opened   <-chan error     // the end of the page's load
	again    <-chan time.Time // when a page that did not load is opened once more
	end      func()           // ends a launch or load that is going on, and waits
}

// launched is what came of a launch.
type launched struct {
	browser Browser
	err     error
}

// done is closed when Chrome or its page have failed.
func (s *stage) done() <-chan struct{} {
	if s.browser == nil {
		return nil
	}
	return s.browser.Done()
}

// run has f, which takes long, run until end is called. What is going on gives way to it: Chrome's loads wait for each
// other, and nobody is to wait for a page that may never come.
func (s *stage) run(ctx context.Context, f func(context.Context)) {
	s.end()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	s.end = func() { cancel(); <-done }
	go func() {
		defer close(done)
		f(ctx)
	}()
}

// take takes a Chrome that was launched.
func (s *stage) take(b Browser, screen Screen) {
	following, stop := context.WithCancel(context.Background())
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		screen.Follow(following, b)
	}()
	s.browser, s.calls = b, b.Calls()
	s.follow = func() { stop(); <-followed }
}

// leave hands out the function that ends the present Chrome, if there is one, and waits for its end.
func (s *stage) leave() func(context.Context) error {
	b, follow := s.browser, s.follow
	s.browser, s.calls, s.follow, s.opened, s.again = nil, nil, nil, nil, nil
	if b == nil {
		return func(context.Context) error { return nil }
	}
	return func(ctx context.Context) error {
		follow()
		ctx, cancel := context.WithTimeout(ctx, closeWithin)
		defer cancel()
		return b.Close(ctx)
	}
}

// close ends Chrome, and a launch that is going on.
func (s *stage) close(ctx context.Context, log *slog.Logger) {
	s.end()
	select {
	case l := <-s.launched:
		s.browser, s.follow = l.browser, func() {}
	default:
	}
	if err := s.leave()(ctx); err != nil {
		log.Warn("Chrome did not end as it should", "err", err)
	}
}

// setStage has another Chrome take the place of the present one, if there is one.
func (r *recording) setStage(ctx context.Context) {
	s := &r.stage
	r.loaded = false
	r.forgetCalls()
	s.end()
	leave, old, options := s.leave(), filepath.Join(r.dir, chromeDir(s.serial)), r.browserOptions()
	result := make(chan launched, 1)
	s.launched = result
	s.run(ctx, func(ctx context.Context) {
		if err := leave(ctx); err != nil {
			r.log.Warn("Chrome did not end as it should", "err", err)
		}
		if err := os.RemoveAll(old); err != nil {
			r.log.Warn("what Chrome has left was not removed", "err", err)
		}
		r.screen.Renew()
		b, err := r.parts.Browser(ctx, options)
		result <- launched{b, err}
	})
}

// chromeDir is the name of the n-th Chrome's directory.
func chromeDir(n int) string { return fmt.Sprintf("c%d", n) }

func (r *recording) browserOptions() browser.Options {
	b := r.spec.Browser
	r.stage.serial++
	o := browser.Options{
		Binary: r.spec.ChromePath, Env: r.screen.Env(), Dir: filepath.Join(r.dir, chromeDir(r.stage.serial)),
		Width: r.spec.Width, Height: r.spec.Height, User: browser.DefaultUser(), NoSandbox: !b.Sandbox,
		TaskID: r.spec.TaskID, Status: r.status(),
		Headers: b.Headers, UserAgent: b.UserAgent, Locale: b.Locale, Timezone: b.Timezone,
		DeviceScaleFactor: b.DeviceScaleFactor, LoadTimeout: r.spec.PageTimeout, Log: r.log,
	}
	for _, c := range b.Cookies {
		o.Cookies = append(o.Cookies, browser.Cookie{Name: c.Name, Value: c.Value, Path: c.Path})
	}
	return o
}

// status is the task's, as the page is told it.
func (r *recording) status() string {
	switch {
	case !r.begun:
		return "normal"
	case r.paused:
		return "paused"
	default:
		return "recording"
	}
}

// replaceChrome takes the end of Chrome or of the page that nobody asked for: another one takes its place, unless that happens over
// and over.
func (r *recording) replaceChrome(ctx context.Context, cause error) error {
	if errors.Is(cause, browser.ErrSandbox) || !r.faults.tolerable(r.client.Now()) {
		return cause
	}
	r.log.Warn("Chrome is replaced", "err", cause)
	r.lose(cause)
	r.emit(restart(cause))
	r.setStage(ctx)
	return nil
}

// openPage begins to open the page. The end of that arrives in opened, unless another load took its place. What a document
// asked for that is now replaced is forgotten: its promises are gone with it.
func (r *recording) openPage(ctx context.Context) {
	r.forgetCalls()
	opened := make(chan error, 1)
	r.stage.opened, r.stage.again = opened, nil
	b := r.stage.browser
	r.stage.run(ctx, func(ctx context.Context) {
		err := r.show(ctx, b)
		if ctx.Err() == nil {
			opened <- err
		}
	})
}

// forgetCalls forgets that a document has called startRecord which is gone now. The next one has its own time for that.
func (r *recording) forgetCalls() {
	if len(r.pending) > 0 {
		r.pending = nil
		r.awaitSignal()
	}
}

// show has the page loaded and waits until it can be seen.
func (r *recording) show(ctx context.Context, b Browser) error {
	if err := b.Open(ctx, r.spec.RecordURL); err != nil {
		return pageFailure(err)
	}
	select {
	case <-r.screen.Painted():
		return nil
	case <-time.After(paintWithin):
		return &failure{"PageLoadFailed", errors.New("the page has loaded but does not paint")}
	case <-b.Done():
		return browserFailure(b.Err())
	case <-ctx.Done():
		return fmt.Errorf("worker: wait for the page's first picture: %w", context.Cause(ctx))
	}
}

// unopened takes the failure of a load. A page that was there before may come back.
func (r *recording) unopened(ctx context.Context, err error) error {
	var fault *browser.Fault
	switch {
	case errors.As(err, &fault):
		return r.replaceChrome(ctx, err)
	case r.begun:
		r.log.Warn("the page was not opened again, and will be tried once more", "err", err, "in", reopenPause)
		r.stage.again = time.After(reopenPause)
		return nil
	}
	return err
}

// refresh begins to load the page anew; the recording goes on meanwhile. A page that does not come back is recorded as it
// is, and the next Refresh may bring it back. One that has not loaded yet is opened once more.
func (r *recording) refresh(ctx context.Context) {
	b := r.stage.browser
	switch {
	case b == nil: // the page is about to be opened
		return
	case !r.loaded:
		r.openPage(ctx)
		return
	}
	r.stage.run(ctx, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, refreshWithin)
		defer cancel()
		switch err := b.Reload(ctx); {
		case err == nil:
			r.emit(control.Refreshed{})
		case !errors.Is(ctx.Err(), context.Canceled):
			r.log.Warn("the page was not loaded again", "err", err)
		}
	})
}

func (r *recording) tellPage(ctx context.Context, status string) {
	if r.stage.browser == nil {
		return
	}
	if err := r.stage.browser.SetStatus(ctx, status); err != nil {
		r.log.Warn("the page was not told its status", "status", status, "err", err)
	}
}
