package browser

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
)

const (
	loadTimeout = 60 * time.Second // of the first attempt, where Options do not say
	retryPause  = time.Second

	// parsedGrace is how long a page whose document is there may wait for its load event: a picture that never ends or
	// a slow counter would otherwise hold up a lesson that everybody can see.
	parsedGrace = 10 * time.Second
)

// LoadCause is why a page could not be opened.
type LoadCause string

// The causes.
const (
	LoadDNS         LoadCause = "dns"         // its name is unknown
	LoadRefused     LoadCause = "refused"     // nobody listens
	LoadTLS         LoadCause = "tls"         // its certificate or handshake
	LoadHTTPStatus  LoadCause = "http_status" // the server answers with an error
	LoadTimeout     LoadCause = "timeout"     // nothing in time
	LoadBlocked     LoadCause = "blocked"     // the browser may not open it
	LoadDownload    LoadCause = "download"    // it is a file, not a page
	LoadUnreachable LoadCause = "unreachable" // any other failure of the network
)

// LoadError says why a page could not be opened. Its text is fit for a caller: it holds no URL and nothing that the
// server said.
type LoadError struct {
	Cause  LoadCause
	Detail string
}

func (e *LoadError) Error() string { return e.Detail }

// Open opens a page and returns when it is loaded: at its load event, or ten seconds after its document is complete if
// the event does not come. A failure is a *LoadError, after one retry.
func (b *Browser) Open(ctx context.Context, rawURL string) error {
	to, err := originOf(rawURL)
	if err != nil {
		return err
	}
	if err := b.giveCredentials(ctx, to); err != nil {
		return fmt.Errorf("browser: open: %w", err)
	}
	return b.load(ctx, func(ctx context.Context) error { return b.navigate(ctx, rawURL) })
}

// Reload loads the page again, wherever it has gone since. A page that asks whether it may be left is not heard.
func (b *Browser) Reload(ctx context.Context) error {
	return b.load(ctx, func(ctx context.Context) error {
		_, err := do(ctx, b.page, page.Reload, page.ReloadParams{})
		return err
	})
}

// load makes an attempt and, if the page is to blame, another. One load runs at a time.
func (b *Browser) load(ctx context.Context, begin func(context.Context) error) error {
	b.loadMu.Lock()
	defer b.loadMu.Unlock()
	b.loading.Store(true)
	defer b.loading.Store(false)

	err := b.attempt(ctx, b.opts.LoadTimeout, begin)
	var failed *LoadError
	if !errors.As(err, &failed) {
		return err
	}
	b.log.Info("the page could not be loaded, one more try", "cause", failed.Cause)
	select {
	case <-time.After(retryPause):
	case <-b.done:
	case <-ctx.Done():
		return fmt.Errorf("browser: load: %w", context.Cause(ctx))
	}
	return b.attempt(ctx, b.opts.LoadTimeout/2, begin)
}

func (b *Browser) attempt(ctx context.Context, timeout time.Duration, begin func(context.Context) error) error {
	errTime := &LoadError{Cause: LoadTimeout, Detail: fmt.Sprintf("the page did not load within %s", timeout)}
	attemptCtx, cancel := context.WithTimeoutCause(ctx, timeout, errTime)
	defer cancel()

	b.progress.reset()
	err := begin(attemptCtx)
	if err == nil {
		err = b.awaitLoad(attemptCtx)
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, errLost) {
		<-b.done // the watch knows more in a moment
	}
	var failed *LoadError
	switch {
	case b.Err() != nil:
		return b.Err()
	case b.over():
		return fmt.Errorf("browser: load: %w", errClosed)
	case ctx.Err() != nil:
		return fmt.Errorf("browser: load: %w", context.Cause(ctx))
	case errors.As(err, &failed):
		return failed
	}
	return err
}

// navigate returns when the page's document begins to arrive.
func (b *Browser) navigate(ctx context.Context, rawURL string) error {
	var result page.NavigateResult
	err := b.page.callWithin(ctx, page.CommandNavigate, page.NavigateParams{URL: rawURL}, &result)
	switch {
	case err != nil:
		return err
	case result.IsDownload:
		return &LoadError{Cause: LoadDownload, Detail: "the address is a file to be downloaded, not a page"}
	case result.ErrorText != "" && !strings.HasSuffix(result.ErrorText, "ERR_HTTP_RESPONSE_CODE_FAILURE"):
		return loadError(result.ErrorText)
	}
	return nil // an error status without a body: awaitLoad finds the status
}

// awaitLoad returns when the document that has taken the page's place is loaded and is no error.
func (b *Browser) awaitLoad(ctx context.Context) error {
	var grace <-chan time.Time
	for {
		now, changed := b.progress.now()
		if now.loaded {
			return b.verify(ctx, now)
		}
		if now.parsed && grace == nil {
			grace = time.After(parsedGrace)
		}
		select {
		case <-changed:
		case <-grace:
			return b.verify(ctx, now)
		case <-b.done:
			return errClosed
		case <-ctx.Done():
			if now.parsed && errors.Is(ctx.Err(), context.DeadlineExceeded) { // late, but there
				return b.verify(context.WithoutCancel(ctx), now)
			}
			return context.Cause(ctx)
		}
	}
}

// verify looks at the document from a world that the page has no hand in: is it an error page, or an error of the
// server's?
func (b *Browser) verify(ctx context.Context, doc progressState) error {
	world, err := isolatedWorld(ctx, b.page, doc.frame)
	if err != nil {
		return b.moved(ctx, err)
	}
	seen, err := evaluate[struct {
		Status int    `json:"status"`
		Code   string `json:"code"`
	}](ctx, b.page, world, `({
		status: performance.getEntriesByType('navigation')[0]?.responseStatus ?? 0,
		code: document.querySelector('.error-code')?.textContent?.slice(0, 64) ?? '',
	})`)
	switch {
	case err != nil:
		return b.moved(ctx, err)
	case seen.Status >= 400:
		return &LoadError{Cause: LoadHTTPStatus, Detail: fmt.Sprintf("the server answers with HTTP status %d", seen.Status)}
	case doc.unreachable:
		return loadError(seen.Code)
	}
	return nil
}

// moved judges a failure to look at a loaded document. That the page has gone on to another by itself is none: it was
// loaded.
func (b *Browser) moved(ctx context.Context, err error) error {
	if ctx.Err() == nil && answered(err) {
		return nil
	}
	return err
}

// loadError puts Chrome's error codes into words. Chrome has no other way to tell them than these texts.
func loadError(text string) *LoadError {
	code := strings.TrimPrefix(strings.TrimSpace(text), "net::")
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(code, p) {
				return true
			}
		}
		return false
	}
	cause, words := LoadUnreachable, "the page cannot be reached"
	switch {
	case has("NAME_NOT_RESOLVED", "NAME_RESOLUTION", "DNS_", "ICANN_NAME_COLLISION"):
		cause, words = LoadDNS, "the server's name cannot be resolved"
	case has("CONNECTION_REFUSED"):
		cause, words = LoadRefused, "the server refuses the connection"
	case has("SSL_", "CERT_", "BAD_SSL", "ECH_"):
		cause, words = LoadTLS, "no secure connection to the server"
	case has("TOO_MANY_REDIRECTS"):
		words = "the server redirects to and fro without end"
	case has("TIMED_OUT"):
		cause, words = LoadTimeout, "the server does not answer in time"
	case has("BLOCKED", "UNSAFE_PORT", "DISALLOWED", "UNKNOWN_URL_SCHEME", "ACCESS_DENIED", "INVALID_URL"):
		cause, words = LoadBlocked, "the browser may not open this address"
	}
	if strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == "" && code != "" {
		words += " (" + code + ")"
	}
	return &LoadError{Cause: cause, Detail: words}
}

// progressState is how far the top frame's document has come.
type progressState struct {
	frame       cdp.FrameID
	loader      cdp.LoaderID // empty until a document has come since the last reset
	unreachable bool         // it is Chrome's error page
	parsed      bool
	loaded      bool
}

// progress follows the top frame's loading through its events.
type progress struct {
	mu      sync.Mutex
	state   progressState
	changed chan struct{} // closed at the next change
}

func newProgress() *progress { return &progress{changed: make(chan struct{})} }

// reset forgets the present document: only one that comes from now on counts.
func (p *progress) reset() { p.set(progressState{}) }

func (p *progress) set(s progressState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = s
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *progress) now() (progressState, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state, p.changed
}

func (p *progress) navigated(f *cdp.Frame) {
	p.set(progressState{frame: f.ID, loader: f.LoaderID, unreachable: f.UnreachableURL != ""})
}

func (p *progress) lifecycle(ev *page.EventLifecycleEvent) {
	s, _ := p.now()
	if s.loader == "" || ev.LoaderID != s.loader || ev.FrameID != s.frame {
		return
	}
	switch ev.Name {
	case "DOMContentLoaded":
		s.parsed = true
	case "load":
		s.loaded = true
	default:
		return
	}
	p.set(s)
}
