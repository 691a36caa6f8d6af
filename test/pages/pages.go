// Package pages holds the web pages that the tests and the measurements record, and serves them on a loopback port.
//
// The measuring pages (frames, dom, webgl and most of the others) draw a frame counter and a clock as black and white
// blocks, and flash while they beep; package media reads these back out of a recording. What a picture cannot hold, such
// as the size of the window that a page was given, a page reports to its server, where a test finds it. Tests and bench
// may import it; the product never does.
package pages

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed *.html *.js
var files embed.FS

// maxReport bounds what a page may report at once.
const maxReport = 64 << 10

// Report is what a page told of itself.
type Report struct {
	Page   string          `json:"page"`   // the file, such as frames.html
	Event  string          `json:"event"`  // such as loaded
	Values json.RawMessage `json:"values"` // an object whose members the page's own comments name
}

// Decode reads the report's values into target, a pointer to a struct with json tags.
func (r Report) Decode(target any) error {
	if err := json.Unmarshal(r.Values, target); err != nil {
		return fmt.Errorf("report %q of %s: %w", r.Event, r.Page, err)
	}
	return nil
}

// Loaded are the values of the report "loaded" that every measuring page sends first.
type Loaded struct {
	Origin float64 `json:"origin"` // zero of the page's clock, in milliseconds of Unix time
	Width  int     `json:"width"`  // innerWidth
	Height int     `json:"height"` // innerHeight
	Ratio  float64 `json:"ratio"`  // devicePixelRatio
}

// Server serves the pages. Its methods may be called from several goroutines.
type Server struct {
	address string
	http    http.Server
	served  chan error

	mu      sync.Mutex
	loads   map[string]int
	reports []Report
	news    chan struct{} // closed and replaced when a report comes in
}

// Start serves the pages on a free loopback port until Close; ctx bounds the start alone. film is the path of the file
// that video.html plays, or empty when that page is not wanted.
func Start(ctx context.Context, film string) (*Server, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serve pages: %w", err)
	}
	s := &Server{
		address: listener.Addr().String(),
		served:  make(chan error, 1),
		loads:   map[string]int{},
		news:    make(chan struct{}),
	}
	s.http = http.Server{Handler: s.handler(film), ReadHeaderTimeout: 10 * time.Second}
	go func() { s.served <- s.http.Serve(listener) }()
	return s, nil
}

// Close ends all connections and waits until nothing is served any more.
func (s *Server) Close() error {
	err := s.http.Close()
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// URL is the address of a page, such as "frames.html?silent=1".
func (s *Server) URL(page string) string { return "http://" + s.address + "/" + page }

// Loads says how often a browser asked for the page: a page that was not loaded again stands at one.
func (s *Server) Loads(page string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loads[page]
}

// Reports are those of that event so far, oldest first; of every event when it is empty.
func (s *Server) Reports(event string) []Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.matching(event)
}

// Wait returns as soon as n reports of that event are there, with all of them.
func (s *Server) Wait(ctx context.Context, event string, n int) ([]Report, error) {
	for {
		s.mu.Lock()
		found, news := s.matching(event), s.news
		s.mu.Unlock()
		if len(found) >= n {
			return found, nil
		}
		select {
		case <-ctx.Done():
			return found, fmt.Errorf("wait for %d reports %q, have %d: %w", n, event, len(found), context.Cause(ctx))
		case <-news:
		}
	}
}

func (s *Server) matching(event string) []Report {
	var found []Report
	for _, r := range s.reports {
		if event == "" || r.Event == event {
			found = append(found, r)
		}
	}
	return found
}

func (s *Server) handler(film string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /report", s.report)
	mux.HandleFunc("GET /status/{code}", answerStatus)
	mux.HandleFunc("GET /download.bin", answerDownload)
	mux.HandleFunc("GET /never", answerNever)
	mux.HandleFunc("GET /half", answerHalf)
	mux.HandleFunc("GET /late", answerLate)
	mux.HandleFunc("GET /around", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/around", http.StatusFound) })
	if film != "" {
		mux.HandleFunc("GET /video.mp4", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, film) })
	}
	assets := http.FileServerFS(files)
	// The same pages, as if they came from the internet: what they ask of this machine's own addresses needs permission.
	mux.Handle("GET /public/", http.StripPrefix("/public", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "treat-as-public-address")
		assets.ServeHTTP(w, r)
	})))
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		s.count(strings.TrimPrefix(path.Clean(r.URL.Path), "/"))
		w.Header().Set("Cache-Control", "no-store") // so that each load is counted
		assets.ServeHTTP(w, r)
	})
	return mux
}

func (s *Server) count(page string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads[page]++
}

func (s *Server) report(w http.ResponseWriter, r *http.Request) {
	var report Report
	if err := json.NewDecoder(io.LimitReader(r.Body, maxReport)).Decode(&report); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.reports = append(s.reports, report)
	close(s.news)
	s.news = make(chan struct{})
	s.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

// answerStatus is a page that cannot be opened, with the status of its path.
func answerStatus(w http.ResponseWriter, r *http.Request) {
	code, err := strconv.Atoi(r.PathValue("code"))
	if err != nil || code < http.StatusOK || code > 599 {
		http.NotFound(w, r)
		return
	}
	http.Error(w, http.StatusText(code), code)
}

// answerDownload is a file that a browser would save and not show.
func answerDownload(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Disposition", `attachment; filename="download.bin"`)
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(make([]byte, 4096)) // a client that is gone needs no answer
}

// answerNever holds a request until the browser or the server has enough.
func answerNever(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// answerHalf begins a page, and never goes on.
func answerHalf(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	w.Header().Set("Content-Length", "4096")
	_, _ = io.WriteString(w, "<!doctype html><title>half</title><p>The rest of this page") // a client that is gone needs no answer
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// answerLate answers nothing, after the time that its query says: late?ms=1500. A page with such a picture loads as late.
func answerLate(w http.ResponseWriter, r *http.Request) {
	ms, _ := strconv.Atoi(r.URL.Query().Get("ms"))
	timer := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
	w.WriteHeader(http.StatusNoContent)
}
