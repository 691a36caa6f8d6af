package browser

import (
	"context"
	"errors"
	"fmt"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/runtime"
)

const (
	// probeInterval and probePatience find a hang within 10 s: the interval, the patience, and browserPatience to tell
	// whose hang it is.
	probeInterval   = 2 * time.Second
	probePatience   = 6 * time.Second
	browserPatience = time.Second

	// loadPatience is for a page that loads: compiling its shaders in software may well take ten seconds.
	loadPatience = 20 * time.Second

	// exitWait is how long a lost connection may precede the end of the process.
	exitWait = time.Second
)

// FaultKind is what went wrong with a running browser.
type FaultKind string

// The kinds.
const (
	PageCrashed   FaultKind = "page_crashed"   // its renderer is gone
	PageHung      FaultKind = "page_hung"      // its scripts do not return
	PageClosed    FaultKind = "page_closed"    // it has closed itself
	BrowserHung   FaultKind = "browser_hung"   // Chrome does not answer
	BrowserExited FaultKind = "browser_exited" // Chrome is gone
)

// Fault is the end of a browser that nobody asked for. Nothing of it can be used again: the caller closes it and launches
// another.
//
//nolint:errname // a fault is what it is called everywhere
type Fault struct {
	Kind   FaultKind
	Detail string
}

func (f *Fault) Error() string { return fmt.Sprintf("browser: %s: %s", f.Kind, f.Detail) }

// errClosed is the reason of what a Close has interrupted.
var errClosed = errors.New("the browser is being closed")

// Done is closed at the first fault, or when the browser is closed.
func (b *Browser) Done() <-chan struct{} { return b.done }

// Err is the *Fault that closed Done; nil before, and after a Close without one.
func (b *Browser) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fault == nil {
		return nil
	}
	return b.fault
}

// over reports whether Done is closed.
func (b *Browser) over() bool {
	select {
	case <-b.done:
		return true
	default:
		return false
	}
}

// finish closes Done, with a fault or without. Only the first call counts.
func (b *Browser) finish(f *Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.finished {
		return
	}
	b.finished = true
	b.fault = f
	close(b.done)
	b.end()
	if f != nil {
		b.conn.shut(f) // ends what waits for an answer
		b.log.Warn("the browser has failed", "kind", string(f.Kind), "detail", f.Detail)
	}
}

func (b *Browser) fail(kind FaultKind, detail string) { b.finish(&Fault{Kind: kind, Detail: detail}) }

// watch ends with the browser, however that ends.
func (b *Browser) watch(life context.Context) {
	ticker := time.NewTicker(probeInterval)
	defer ticker.Stop()
	for {
		select {
		case <-b.done:
			return
		case <-b.child.Done():
			b.failExited()
			return
		case <-b.conn.lost:
			b.lostConnection()
			return
		case <-ticker.C:
			b.probe(life)
		}
	}
}

func (b *Browser) failExited() {
	detail := "it ended by itself"
	if err := b.child.Exit().Err(); err != nil {
		detail = err.Error()
	}
	b.fail(BrowserExited, detail)
}

// lostConnection waits for the end of the process that a lost connection announces.
func (b *Browser) lostConnection() {
	select {
	case <-b.done:
	case <-b.child.Done():
		b.failExited()
	case <-time.After(exitWait):
		b.fail(BrowserHung, fmt.Sprintf("the connection has ended: %v", b.conn.reason))
	}
}

// probe asks the page for the simplest thing there is. An answer of any kind is life.
func (b *Browser) probe(life context.Context) {
	patience := probePatience
	if b.loading.Load() {
		patience = loadPatience
	}
	ctx, cancel := context.WithTimeout(life, patience)
	defer cancel()
	var result runtime.EvaluateResult
	err := b.page.callWithin(ctx, runtime.CommandEvaluate, runtime.EvaluateParams{Expression: "1"}, &result)
	if answered(err) || !errors.Is(err, context.DeadlineExceeded) || life.Err() != nil {
		return // what else there may be, the watch sees by itself
	}
	ctx, cancel = context.WithTimeout(life, browserPatience)
	defer cancel()
	switch _, err = do(ctx, b.root, cdpbrowser.GetVersion, cdp.Empty{}); {
	case life.Err() != nil:
	case errors.Is(err, context.DeadlineExceeded):
		b.fail(BrowserHung, fmt.Sprintf("no answer for %s", patience+browserPatience))
	case answered(err):
		b.fail(PageHung, fmt.Sprintf("no answer for %s", patience))
	}
}
