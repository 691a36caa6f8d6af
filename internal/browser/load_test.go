package browser

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/target"
)

func redirectTo(url string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, url, http.StatusFound) })
}

func pageCount(t *testing.T, b *Browser) int {
	t.Helper()
	list, err := do(t.Context(), b.root, target.GetTargets, target.GetTargetsParams{})
	if err != nil {
		t.Fatal(err)
	}
	pages := 0
	for _, i := range list.TargetInfos {
		if i.Type == "page" {
			pages++
		}
	}
	return pages
}

func TestLoadFailures(t *testing.T) {
	closed := newSite(t, nil)
	refused := closed.URL + "/"
	closed.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	secure.Config.ErrorLog = nil
	t.Cleanup(secure.Close)
	other := newSite(t, nil)
	release := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/empty", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	mux.HandleFunc("/file", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Disposition", "attachment; filename=x.bin")
		_, _ = w.Write(make([]byte, 1000))
	})
	mux.Handle("/moved", redirectTo(other.URL+"/nowhere"))
	mux.HandleFunc("/script", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, "<script>location.replace(%q)</script>", refused)
	})
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<p>words<img src=/hang>"))
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(release) })

	b := chrome(t, nil)
	attempt := func(url string, timeout time.Duration) error {
		return b.attempt(t.Context(), timeout, func(ctx context.Context) error { return b.navigate(ctx, url) })
	}
	for _, c := range []struct {
		name, url string
		timeout   time.Duration
		want      LoadCause
		words     string
	}{
		{"unknown name", "http://nowhere.invalid/?token=canary", patience, LoadDNS, "ERR_NAME_NOT_RESOLVED"},
		{"refused", refused, patience, LoadRefused, "ERR_CONNECTION_REFUSED"},
		{"no certificate", secure.URL + "/", patience, LoadTLS, "ERR_CERT"},
		{"no TLS", strings.Replace(s.URL, "http:", "https:", 1) + "/", patience, LoadTLS, "ERR_SSL"},
		{"not found", s.URL + "/missing", patience, LoadHTTPStatus, "404"},
		{"error without a body", s.URL + "/empty", patience, LoadHTTPStatus, "503"},
		{"redirect to an error elsewhere", s.URL + "/moved", patience, LoadHTTPStatus, "404"},
		{"script goes to a dead server", s.URL + "/script", patience, LoadRefused, "ERR_CONNECTION_REFUSED"},
		{"redirect loop", s.URL + "/loop", patience, LoadUnreachable, "without end (ERR_TOO_MANY_REDIRECTS)"},
		{"a file", s.URL + "/file", patience, LoadDownload, "file"},
		{"a port that no browser opens", "http://127.0.0.1:1/", patience, LoadBlocked, "ERR_UNSAFE_PORT"},
		{"silence", s.URL + "/hang", time.Second, LoadTimeout, "1s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := attempt(c.url, c.timeout)
			var failed *LoadError
			ok := errors.As(err, &failed)
			if !ok || failed.Cause != c.want || !strings.Contains(err.Error(), c.words) {
				t.Errorf("%v, want %s with %s", err, c.want, c.words)
			}
			if ok && (strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "127.0.0.1")) {
				t.Errorf("the text gives the address away: %s", err)
			}
		})
	}
	t.Run("document without a load event", func(t *testing.T) {
		if err := attempt(s.URL+"/endless", 3*time.Second); err != nil {
			t.Error(err)
		}
	})
	t.Run("reload of a server that has gone", func(t *testing.T) {
		if err := attempt(other.URL+"/x", patience); err == nil {
			t.Fatal("loaded")
		}
		other.Close()
		var failed *LoadError
		if err := b.Reload(t.Context()); !errors.As(err, &failed) || failed.Cause != LoadRefused {
			t.Errorf("%v", err)
		}
	})
	t.Run("caller gives up", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := b.Open(ctx, s.URL+"/hang"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}

func TestOpenTriesTwice(t *testing.T) {
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			return
		}
		if asked++; asked == 1 {
			http.Error(w, "not yet", http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("now"))
	}))
	t.Cleanup(s.Close)
	b := chrome(t, nil)
	open(t, b, s.URL)
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
	for _, url := range []string{"file:///etc/passwd", "chrome://version", "javascript:1", "http://", "http://a b/"} {
		if err := b.Open(t.Context(), url); err == nil {
			t.Errorf("%s was opened", url)
		}
	}
}

func TestLoadErrorHidesWhatIsNoCode(t *testing.T) {
	if got := loadError("net::ERR_FAILED").Error(); got != "the page cannot be reached (ERR_FAILED)" {
		t.Error(got)
	}
	if got := loadError("<b>http://internal/?token=1</b>").Error(); got != "the page cannot be reached" {
		t.Error(got)
	}
}

func TestProgressFollowsTheNewestDocument(t *testing.T) {
	p := newProgress()
	at := func(loader, name string) *page.EventLifecycleEvent {
		return &page.EventLifecycleEvent{FrameID: "f", LoaderID: cdp.LoaderID(loader), Name: name}
	}
	p.lifecycle(at("old", "load"))
	p.navigated(&cdp.Frame{ID: "f", LoaderID: "a"})
	p.lifecycle(at("old", "load"))
	if s, _ := p.now(); s.loaded || s.parsed {
		t.Error("another document's events count")
	}
	p.lifecycle(at("a", "DOMContentLoaded"))
	p.lifecycle(at("a", "load"))
	if s, _ := p.now(); !s.loaded || !s.parsed {
		t.Error("the document's own events do not count")
	}
	p.navigated(&cdp.Frame{ID: "f", LoaderID: "b"})
	if s, _ := p.now(); s.loaded {
		t.Error("a new document begins as loaded")
	}
}
