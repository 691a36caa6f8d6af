package worker

import (
	"errors"
	"fmt"

	"github.com/recordhost/recordhost/internal/browser"
	"github.com/recordhost/recordhost/internal/control"
	"github.com/recordhost/recordhost/internal/encode"
	"github.com/recordhost/recordhost/internal/spool"
)

// failure is why a recording failed, under one of the API's error codes.
type failure struct {
	code string
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// pageFailure says what became of a page that did not open.
func pageFailure(err error) error {
	if load, ok := errors.AsType[*browser.LoadError](err); ok {
		return &failure{"PageLoadFailed", load}
	}
	return browserFailure(err)
}

// browserFailure tells a page that died from a browser that did.
func browserFailure(err error) error {
	var fault *browser.Fault
	if errors.As(err, &fault) && (fault.Kind == browser.PageCrashed || fault.Kind == browser.PageHung || fault.Kind == browser.PageClosed) {
		return &failure{"PageCrashed", fault}
	}
	return &failure{"BrowserFailed", err}
}

// restart tells what is started anew, and why.
func restart(cause error) control.Restart {
	what := "browser"
	if f, ok := errors.AsType[*failure](cause); ok && f.code == "PageCrashed" {
		what = "page"
	}
	return control.Restart{What: what, Cause: cause.Error()}
}

func encoderFailure(err error) error {
	switch {
	case errors.Is(err, spool.ErrUnwritable):
		return &failure{"DiskFull", err}
	case errors.Is(err, encode.ErrFailed):
		return &failure{"EncoderFailed", err}
	}
	return &failure{"EncoderFailed", fmt.Errorf("the encoder has ended: %w", err)}
}

// codeOf is the code that an error carries.
func codeOf(err error) string {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.code
	}
	return "BrowserFailed"
}

// fail reports an error of the recording to the host, under the code that it carries, or that of its kind.
func (r *recording) fail(err error) {
	if errors.Is(err, errOver) || r.refused() {
		r.log.Warn("ended without a file: the task is not this worker's any more", "err", err)
		return
	}
	code := codeOf(err)
	switch _, known := errors.AsType[*failure](err); {
	case known:
	case errors.Is(err, spool.ErrUnwritable):
		code = "DiskFull"
	case r.encoder != nil:
		code = "EncoderFailed"
	case r.stage.serial == 0: // no Chrome was wanted
		code = "WorkerLost"
	}
	r.log.Error("the recording has failed", "code", code, "err", err)
	r.emit(control.Failed{Code: code, Message: err.Error()})
}

// refused says that the host has sent this worker away.
func (r *recording) refused() bool {
	select {
	case <-r.client.Refused():
		return true
	default:
		return false
	}
}

// emit tells the host of an event, now or when it is back.
func (r *recording) emit(event control.Body) {
	if err := r.client.Emit(event); err != nil {
		r.log.Error("an event was not journalled; it is lost if this worker dies before the host has it", "err", err)
	}
}

// report gives the host the latest figures.
func (r *recording) report() {
	p := control.Progress{Delivered: r.outbox.delivered()}
	if r.screen != nil {
		s := r.screen.Stats()
		p.Recorded, p.Silent, p.Frames = s.Recorded, s.Silent, s.Sent
	}
	if r.encoder != nil {
		p.Dropped = uint64(r.encoder.Stats().Dropped)
	}
	if r.spool != nil {
		p.Spooled = r.spool.Facts().Bytes
	}
	if cpu, err := r.self.CPU(); err == nil {
		p.CPU = cpu
	}
	r.client.Report(p)
}
