package worker

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/recordhost/recordhost/internal/browser"
	"github.com/recordhost/recordhost/internal/encode"
	"github.com/recordhost/recordhost/internal/spool"
)

// TestCodes names the code that the caller reads for each way in which the page, Chrome or the encoder may end.
func TestCodes(t *testing.T) {
	wrapped := func(err error) error { return fmt.Errorf("somewhere: %w", err) }
	for _, c := range []struct {
		err  error
		code string
	}{
		{pageFailure(wrapped(&browser.LoadError{Cause: browser.LoadDNS})), "PageLoadFailed"},
		{pageFailure(wrapped(&browser.Fault{Kind: browser.PageCrashed})), "PageCrashed"},
		{pageFailure(errors.New("the pipe is gone")), "BrowserFailed"},
		{browserFailure(&browser.Fault{Kind: browser.PageHung}), "PageCrashed"},
		{browserFailure(&browser.Fault{Kind: browser.PageClosed}), "PageCrashed"},
		{browserFailure(&browser.Fault{Kind: browser.BrowserExited}), "BrowserFailed"},
		{encoderFailure(wrapped(spool.ErrUnwritable)), "DiskFull"},
		{encoderFailure(wrapped(encode.ErrFailed)), "EncoderFailed"},
		{encoderFailure(context.DeadlineExceeded), "EncoderFailed"},
	} {
		var f *failure
		if !errors.As(c.err, &f) || f.code != c.code {
			t.Errorf("%v: %+v, want %s", c.err, f, c.code)
		}
	}
}

// TestLoadGivesWay: a load that never ends holds up neither the next one nor the end of the recording. A Refresh during
// the first load once waited for it, and Stop with it, for a minute and a half.
func TestLoadGivesWay(t *testing.T) {
	s := &stage{end: func() {}}
	ended := make(chan int, 2)
	for n := range 2 {
		s.run(t.Context(), func(ctx context.Context) {
			<-ctx.Done()
			ended <- n
		})
	}
	if n := <-ended; n != 0 {
		t.Errorf("load %d has ended, not the one that was replaced", n)
	}
	s.end()
	s.end()
	if n := <-ended; n != 1 {
		t.Errorf("load %d has ended", n)
	}
}
