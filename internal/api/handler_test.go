package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is Actions that answer what a test wants, and remember what they were asked.
type fake struct {
	answer any
	err    error
	action string
	data   string
	calls  int
}

func (f *fake) Do(_ context.Context, action string, data json.RawMessage) (any, error) {
	f.action, f.data = action, string(data)
	f.calls++
	return f.answer, f.err
}

// coded is an action's error.
type coded struct {
	code, message string
	wait          time.Duration
}

func (e coded) Error() string             { return e.message }
func (e coded) ErrorCode() string         { return e.code }
func (e coded) RetryAfter() time.Duration { return e.wait }

func serve(t *testing.T, o Options) http.Handler {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s.Handler()
}

// post sends a body as the documented clients do.
func post(h http.Handler, path, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// members reads an answer, checks its request ID and takes it out.
func members(t *testing.T, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatalf("the answer is no JSON object: %q", w.Body.String())
	}
	if id, _ := out["RequestID"].(string); !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(id) {
		t.Errorf("RequestID is %q", id)
	}
	delete(out, "RequestID")
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type is %q", got)
	}
	return out
}

func wantFailure(t *testing.T, w *httptest.ResponseRecorder, status int, code string) {
	t.Helper()
	if w.Code != status {
		t.Errorf("status %d, want %d", w.Code, status)
	}
	m := members(t, w)
	if text, _ := m["ErrorMessage"].(string); m["ErrorCode"] != code || text == "" || len(m) != 2 {
		t.Errorf("got %v, want %s with a message", m, code)
	}
}

func TestAnActionIsHandedOnAsItIs(t *testing.T) {
	f := &fake{answer: struct{ TaskID, FileURL string }{"t", "http://h/?a=1&b=<2>"}}
	w := post(serve(t, Options{Actions: f}), "/", `{"Data": {"TaskID":"t", "More":[1]},"Action":"Pause","Else":1}`)
	if f.action != "Pause" || f.data != `{"TaskID":"t", "More":[1]}` {
		t.Errorf("asked for %s with %s", f.action, f.data)
	}
	if !strings.Contains(w.Body.String(), `"FileURL":"http://h/?a=1&b=<2>"`) {
		t.Errorf("the URL is not readable: %s", w.Body)
	}
	if m := members(t, w); w.Code != http.StatusOK || m["TaskID"] != "t" || len(m) != 2 {
		t.Errorf("status %d, %v", w.Code, m)
	}
	if w := post(serve(t, Options{Actions: &fake{answer: struct{}{}}}), "/", `{}`); len(members(t, w)) != 0 {
		t.Errorf("an empty document became %s", w.Body)
	}
}

func TestRequestIDsDiffer(t *testing.T) {
	h := serve(t, Options{Actions: &fake{answer: struct{}{}}})
	if a, b := post(h, "/", "{}").Body.String(), post(h, "/", "{}").Body.String(); a == b {
		t.Errorf("twice %s", a)
	}
}

func TestPaths(t *testing.T) {
	for _, c := range []struct {
		prefix, path string
		found        bool
	}{
		{"", "/", true}, {"", "/x", false}, {"", "/record", false},
		{"/record", "/", true}, {"/record", "/record", true}, {"/record", "/record/", true}, {"/record", "/record/a/b", true},
		{"/record", "/recorder", false}, {"/record", "/x", false}, {"/record/", "/record/x", true}, {"/", "/x", false},
	} {
		f := &fake{answer: struct{}{}}
		w := post(serve(t, Options{Actions: f, PathPrefix: c.prefix}), c.path, "{}")
		if c.found && (w.Code != http.StatusOK || f.calls != 1) {
			t.Errorf("prefix %q, path %q: status %d", c.prefix, c.path, w.Code)
		}
		if !c.found {
			wantFailure(t, w, http.StatusNotFound, "NotFound")
		}
	}
	if _, err := New(Options{Actions: &fake{}, PathPrefix: "record"}); err == nil {
		t.Error("a prefix without a slash was accepted")
	}
}

func TestWhatIsNoAction(t *testing.T) {
	big := `{"Action":"Start","Data":"` + strings.Repeat("x", maxBody) + `"}`
	for name, c := range map[string]struct {
		body   string
		change func(*http.Request)
		status int
		code   string
	}{
		"GET":             {"{}", func(r *http.Request) { r.Method = http.MethodGet }, 405, "MethodNotAllowed"},
		"OPTIONS":         {"{}", func(r *http.Request) { r.Method = http.MethodOptions }, 405, "MethodNotAllowed"},
		"a form":          {"{}", header("Content-Type", "application/x-www-form-urlencoded"), 415, "UnsupportedMediaType"},
		"text":            {"{}", header("Content-Type", "text/plain"), 415, "UnsupportedMediaType"},
		"no type":         {"{}", func(r *http.Request) { r.Header.Del("Content-Type") }, 415, "UnsupportedMediaType"},
		"compressed":      {"{}", header("Content-Encoding", "gzip"), 415, "UnsupportedMediaType"},
		"nothing":         {"", nil, 400, "InvalidRequest"},
		"no JSON":         {"{", nil, 400, "InvalidRequest"},
		"null":            {"null", nil, 400, "InvalidRequest"},
		"an array":        {"[]", nil, 400, "InvalidRequest"},
		"a string":        {`"Start"`, nil, 400, "InvalidRequest"},
		"two objects":     {"{}{}", nil, 400, "InvalidRequest"},
		"too large":       {big, nil, 413, "TooLarge"},
		"too large, mute": {big, func(r *http.Request) { r.ContentLength = -1 }, 413, "TooLarge"},
		"a broken body": {"", func(r *http.Request) {
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader("{"), failing{}))
		}, 400, "InvalidRequest"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{}
			change := c.change
			if change == nil {
				change = func(*http.Request) {}
			}
			w := post(serve(t, Options{Actions: f}), "/", c.body, change)
			wantFailure(t, w, c.status, c.code)
			if f.calls != 0 {
				t.Error("it was taken as an action")
			}
			if c.status == http.StatusMethodNotAllowed && w.Header().Get("Allow") != "POST" {
				t.Errorf("Allow is %q", w.Header().Get("Allow"))
			}
		})
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the line is cut") }

func TestWhatIsStillAnAction(t *testing.T) {
	h := serve(t, Options{Actions: &fake{answer: struct{}{}}})
	whole := `{"Data":"` + strings.Repeat("x", maxBody-len(`{"Data":""}`)) + `"}`
	for name, w := range map[string]*httptest.ResponseRecorder{
		"a charset":       post(h, "/", "{}", header("Content-Type", "application/json; charset=utf-8")),
		"capitals":        post(h, "/", "{}", header("Content-Type", "Application/JSON")),
		"as large as can": post(h, "/", whole),
	} {
		if w.Code != http.StatusOK {
			t.Errorf("%s: status %d", name, w.Code)
		}
	}
}

func TestFailuresOfActions(t *testing.T) {
	for name, c := range map[string]struct {
		err        error
		status     int
		code       string
		retryAfter string
	}{
		"wrong":    {coded{code: "InvalidParam", message: "RecordURL missing"}, 200, "InvalidParam", ""},
		"status":   {coded{code: "InvalidStatus", message: "can't"}, 200, "InvalidStatus", ""},
		"full":     {coded{code: "NoCapacity", message: "full", wait: 1500 * time.Millisecond}, 429, "NoCapacity", "2"},
		"draining": {coded{code: "Draining", message: "bye"}, 503, "Draining", ""},
		"internal": {errors.New("disk at /secret/path"), 200, "InternalError", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := post(serve(t, Options{Actions: &fake{err: c.err}}), "/", `{"Action":"Start"}`)
			wantFailure(t, w, c.status, c.code)
			if got := w.Header().Get("Retry-After"); got != c.retryAfter {
				t.Errorf("Retry-After is %q, want %q", got, c.retryAfter)
			}
			if strings.Contains(w.Body.String(), "secret") {
				t.Errorf("the caller is told of our inside: %s", w.Body)
			}
		})
	}
	w := post(serve(t, Options{Actions: &fake{}}), "/", `{"Action":7}`)
	wantFailure(t, w, http.StatusOK, "InvalidParam")
	w = post(serve(t, Options{Actions: &fake{answer: []int{1}}}), "/", `{}`)
	if w.Code != http.StatusInternalServerError {
		t.Errorf("a document that is no object: status %d", w.Code)
	}
}

func TestOrigins(t *testing.T) {
	const page = "https://console.example.com"
	preflight := func(o Options, origin string) *httptest.ResponseRecorder {
		o.Actions = &fake{answer: struct{}{}}
		return post(serve(t, o), "/", "", func(r *http.Request) {
			r.Method = http.MethodOptions
			r.Header.Set("Origin", origin)
		})
	}
	for name, c := range map[string]struct {
		origins []string
		origin  string
		allowed bool
	}{
		"listed":     {[]string{"https://a", page}, page, true},
		"all":        {[]string{"*"}, page, true},
		"not listed": {[]string{"https://a"}, page, false},
		"part of it": {[]string{"https://console.example.com.evil"}, page, false},
		"none":       {nil, page, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{CORSOrigins: c.origins}
			before := preflight(o, c.origin)
			o.Actions = &fake{answer: struct{}{}}
			w := post(serve(t, o), "/", "{}", header("Origin", c.origin))
			for _, got := range []string{
				before.Header().Get("Access-Control-Allow-Origin"), w.Header().Get("Access-Control-Allow-Origin"),
			} {
				if (got == c.origin) != c.allowed || !c.allowed && got != "" {
					t.Errorf("allowed: %q", got)
				}
			}
			if c.allowed && (before.Code != http.StatusNoContent || before.Header().Get("Access-Control-Allow-Methods") != "POST") {
				t.Errorf("the preflight: %d %v", before.Code, before.Header())
			}
			if !c.allowed && before.Code != http.StatusMethodNotAllowed {
				t.Errorf("the preflight: %d", before.Code)
			}
			if len(c.origins) > 0 && w.Header().Get("Vary") != "Origin" {
				t.Error("a cache may give this answer to another origin")
			}
		})
	}
}

func TestHealth(t *testing.T) {
	var down error
	s, err := New(Options{Actions: &fake{}, Up: func() error { return down }})
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		return w
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if w := get(path); w.Code != http.StatusOK || members(t, w)["Status"] != "ok" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	down = errors.New("the plugin storage-blob is being started")
	for _, path := range []string{"/healthz", "/readyz"} {
		wantFailure(t, get(path), http.StatusServiceUnavailable, "NotReady")
	}
	down = nil
	s.Drain()
	if w := get("/healthz"); w.Code != http.StatusOK {
		t.Errorf("a host that drains is not healthy: %d", w.Code)
	}
	wantFailure(t, get("/readyz"), http.StatusServiceUnavailable, "NotReady")
	wantFailure(t, post(s.Handler(), "/healthz", ""), http.StatusMethodNotAllowed, "MethodNotAllowed")
}
