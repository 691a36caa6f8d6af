// Package api is the action endpoint: it decodes a request, makes one call, and encodes the answer. It owns what is
// HTTP about the action API (paths, methods, sizes, statuses, origins) and nothing of what the actions mean. The
// serve command runs it.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Actions is what the endpoint needs of whoever keeps the tasks. The answer is encoded as a JSON object. An error may
// have a method ErrorCode, as of Coded, and is an InternalError without one.
type Actions interface {
	Do(ctx context.Context, action string, data json.RawMessage) (answer any, err error)
}

// Coded is an error that the caller is told as it is.
type Coded interface {
	error
	ErrorCode() string
	// RetryAfter is how long to wait before trying again; zero where the failure does not say.
	RetryAfter() time.Duration
}

// Options of a Server.
type Options struct {
	Actions Actions

	// PathPrefix is a path, such as "/record", under which every path is the endpoint too; empty: only "/" is.
	PathPrefix string

	// CORSOrigins are the origins whose pages may use the endpoint; "*" stands for all.
	CORSOrigins []string

	// Up tells why the host does not work yet, nil when it does. Nil: it always does.
	Up func() error

	Log *slog.Logger // nil: discarded
}

// Server is the endpoint.
type Server struct {
	actions  Actions
	prefix   string
	origins  []string
	up       func() error
	log      *slog.Logger
	draining atomic.Bool
}

// New makes a Server.
func New(o Options) (*Server, error) {
	if o.Actions == nil {
		return nil, errors.New("api: there is nobody to take actions")
	}
	prefix := strings.TrimRight(o.PathPrefix, "/")
	if prefix != "" && !strings.HasPrefix(prefix, "/") {
		return nil, fmt.Errorf("api: the path prefix %q does not begin with a slash", o.PathPrefix)
	}
	s := &Server{actions: o.Actions, prefix: prefix, origins: slices.Clone(o.CORSOrigins), up: o.Up, log: o.Log}
	if s.up == nil {
		s.up = func() error { return nil }
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

// Drain makes /readyz say that this host should get no more work. Actions are answered on: whether a new task is still
// taken is for them to say.
func (s *Server) Drain() { s.draining.Store(true) }

// Listen opens the address to serve on. The endpoint has no authentication, so only this machine may reach it: any
// other address than a loopback one is refused.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("api: listen on %q: %w", address, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, refusal(address)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("api: listen: %w", err)
	}
	// A name is whatever the machine says it is.
	if bound, ok := l.Addr().(*net.TCPAddr); !ok || !bound.IP.IsLoopback() {
		return nil, errors.Join(refusal(address), l.Close())
	}
	return l, nil
}

func refusal(address string) error {
	return fmt.Errorf("api: refusing to listen on %q: without authentication only a loopback address such as 127.0.0.1 is served", address)
}

// The times that a connection may take.
const (
	headerTimeout   = 5 * time.Second
	readTimeout     = 10 * time.Second
	writeTimeout    = time.Minute // a Start waits for its launch
	idleTimeout     = time.Minute
	shutdownTimeout = 5 * time.Second
	maxHeader       = 16 << 10
)

// Serve answers requests until ctx ends, and then lets those under way end, for a while.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("api: serve: %w", err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err := server.Shutdown(end)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	if served := <-served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("api: shut down: %w", err)
	}
	return nil
}
