package browser

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is far more than anything here takes on a busy machine.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// chrome launches a Chrome without display or sound for a test, and checks at its end that nothing of it is left.
func chrome(t *testing.T, change func(*Options)) *Browser {
	t.Helper()
	o := testOptions(t)
	if change != nil {
		change(&o)
	}
	w, h := WindowSize(o.Width, o.Height)
	o.ExtraFlags = append(o.ExtraFlags, "--ozone-platform=headless", fmt.Sprintf("--ozone-override-screen-size=%d,%d", w, h))
	b, err := Launch(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
		if left := processesOf(t, o.Dir); len(left) > 0 {
			t.Errorf("processes are left: %q", left)
		}
	})
	return b
}

func testOptions(t *testing.T) Options {
	t.Helper()
	path, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.MkdirTemp("", "rh") // the parent of t.TempDir is closed to the user that Chrome runs as
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(root, 0o711); err != nil {
		t.Fatal(err)
	}
	return Options{
		Binary: path,
		Dir:    filepath.Join(root, "c"),
		Env:    []string{"XDG_RUNTIME_DIR=" + filepath.Join(root, "c", "t")},
		Width:  640, Height: 360,
		TaskID: "task-1",
		Status: "normal",
	}
}

// processesOf lists the command lines that name dir.
func processesOf(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range files {
		if line, err := os.ReadFile(f); err == nil && strings.Contains(string(line), dir) {
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

// site serves pages by path.
type site struct {
	*httptest.Server

	mu       sync.Mutex
	requests []*http.Request
}

func newSite(t *testing.T, pages map[string]string) *site {
	t.Helper()
	s := &site{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.Clone(context.WithoutCancel(r.Context())))
		s.mu.Unlock()
		body, ok := pages[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprintf(w, "<!doctype html><title>t</title><body>%s", body)
	}))
	t.Cleanup(s.Close)
	return s
}

// seen are the requests for a path.
func (s *site) seen(path string) []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*http.Request
	for _, r := range s.requests {
		if r.URL.Path == path {
			found = append(found, r)
		}
	}
	return found
}

// ask evaluates an expression in the page's own world; a promise is awaited.
func ask[T any](t *testing.T, b *Browser, expression string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	value, err := evaluateAwaiting[T](ctx, b, expression)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return value
}

func open(t *testing.T, b *Browser, url string) {
	t.Helper()
	if err := b.Open(t.Context(), url); err != nil {
		t.Fatal(err)
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func nextCall(t *testing.T, b *Browser) PageCall {
	t.Helper()
	select {
	case c, ok := <-b.Calls():
		if !ok {
			t.Fatal("the calls have ended")
		}
		return c
	case <-time.After(patience):
		t.Fatal("no call")
	}
	return PageCall{}
}

func waitFault(t *testing.T, b *Browser, kind FaultKind) {
	t.Helper()
	select {
	case <-b.Done():
	case <-time.After(patience):
		t.Fatal("no fault")
	}
	var fault *Fault
	if !errors.As(b.Err(), &fault) || fault.Kind != kind {
		t.Fatalf("fault %v, want %s", b.Err(), kind)
	}
}
