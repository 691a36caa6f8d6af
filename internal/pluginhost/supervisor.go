package pluginhost

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/recordhost/recordhost/sdk/plugin"
	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// steadyAfter is how long a plugin must have worked for its next death to count as its first.
const steadyAfter = 10 * time.Second

// State of a plugin.
type State string

// The states of a plugin.
const (
	StateStarting State = "starting" // its process is being started and configured; calls wait
	StateReady    State = "ready"
	StateDown     State = "down"   // its process has ended and will be started anew shortly; calls wait
	StateFailed   State = "failed" // the last start failed; calls fail with the reason. Tried again unless its settings were refused
	StateClosed   State = "closed" // Close was called
)

// Status is what is known of a plugin.
type Status struct {
	Kind   plugin.Kind
	Plugin string
	Name   string
	Path   string // of its executable
	State  State
	Err    error // why it is not ready; nil when it is
	Calls  int   // that run

	// The rest is that of the process last configured, and zero when there was none yet.
	PID      int
	Version  string // the plugin's own
	Protocol int    // that was negotiated
	Settings []byte // the settings it was configured with, as JSON; may hold secrets
	Restarts int    // how often it was started anew

	Capabilities *storage.Capabilities // of a storage
}

// supervisor keeps one plugin running, and stands for it as the connection of its driver: a call goes to the process
// that is ready, or waits for the next.
type supervisor struct {
	block   Block
	opts    Options
	sockets string
	log     *slog.Logger

	tried    chan struct{} // closed when the first start has succeeded or failed
	firstErr error         // set before

	mu      sync.Mutex
	state   State
	err     error
	current *instance       // when ready
	last    Status          // of the process last configured
	changed chan struct{}   // closed at each change of state, and made anew
	calls   int             // that run
	idle    chan struct{}   // closed when no call runs nor ever will
	waits   context.Context //nolint:containedctx // the life of calls that would last for ever; ends with close
	cut     context.CancelFunc
}

func newSupervisor(b Block, o Options, sockets string) *supervisor {
	s := &supervisor{
		block: b, opts: o, sockets: sockets,
		log:     o.Log.With("plugin", b.file(), "name", b.Name),
		tried:   make(chan struct{}),
		state:   StateStarting,
		changed: make(chan struct{}),
		idle:    make(chan struct{}),
	}
	s.last = Status{Kind: b.Kind, Plugin: b.Plugin, Name: b.Name, Path: filepath.Join(o.Dir, b.file()), Restarts: -1}
	s.waits, s.cut = context.WithCancel(context.Background())
	return s
}

// run starts the plugin again and again until ctx ends.
func (s *supervisor) run(ctx context.Context) {
	first := sync.OnceFunc(func() { close(s.tried) })
	defer first()
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.Multiplier, pause.MaxInterval = s.opts.RestartAfter, 2, maxRestartAfter
	for {
		since := time.Now()
		i, err := s.start(ctx)
		if err != nil && ctx.Err() == nil {
			s.set(StateFailed, err, nil)
			s.log.Error("plugin cannot be started", "err", err)
		}
		select {
		case <-s.tried:
		default:
			s.firstErr = err
		}
		first()
		if err == nil {
			err = i.watch(ctx)
			s.set(StateDown, err, nil)
			if ctx.Err() == nil {
				s.log.Error("plugin is started anew", "err", err)
			}
			i.close()
			if time.Since(since) > steadyAfter {
				pause.Reset()
			}
		}
		if errors.As(err, new(refused)) {
			<-ctx.Done()
		}
		if !sleep(ctx, pause.NextBackOff()) {
			return
		}
	}
}

// sleep waits, and reports false when ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// start makes one attempt to get the plugin ready.
func (s *supervisor) start(ctx context.Context) (*instance, error) {
	s.set(StateStarting, nil, nil)
	limited, cancel := context.WithTimeout(ctx, s.opts.StartTimeout)
	defer cancel()
	i, err := start(limited, s.block, s.opts, s.sockets)
	if err != nil {
		return nil, err
	}
	if err := i.configure(limited); err != nil {
		i.close()
		return nil, err
	}
	s.log.Info("plugin is ready", "pid", i.pid(), "version", i.info.Version)
	s.set(StateReady, nil, i)
	return i, nil
}

// set changes the state, and wakes the calls that wait for it.
func (s *supervisor) set(state State, err error, current *instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if current != nil {
		s.last.PID, s.last.Version, s.last.Protocol = current.pid(), current.info.Version, current.info.Protocol
		s.last.Settings, s.last.Capabilities = current.settings, current.capabilities
		s.last.Restarts++
	}
	if s.state == StateClosed {
		return // calls that run keep the process that they have
	}
	s.state, s.current = state, current
	if state == StateClosed && s.calls == 0 {
		close(s.idle)
	}
	if err != nil || current != nil {
		s.err = err // a plugin that is starting again still tells why it was not ready
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// ready waits for a process that is ready, and counts a call to it; the caller ends the call with release.
func (s *supervisor) ready(ctx context.Context) (i *instance, release func(), err error) {
	for {
		s.mu.Lock()
		state, current, why, changed := s.state, s.current, s.err, s.changed
		if state == StateReady && current.ended() {
			state = StateDown // run is about to say so
		}
		if state == StateReady {
			s.calls++
		}
		s.mu.Unlock()
		switch state {
		case StateReady:
			return current, s.release, nil
		case StateFailed:
			return nil, nil, why
		case StateClosed:
			return nil, nil, status.Errorf(status.Unavailable, "%s is being ended", s.block)
		case StateStarting, StateDown:
		}
		select {
		case <-changed:
		case <-ctx.Done():
			err := status.Errorf(status.KindOf(ctx.Err()), "%s is %s: %w", s.block, state, context.Cause(ctx))
			if why != nil {
				err = status.Errorf(status.KindOf(ctx.Err()), "%s is %s (%v): %w", s.block, state, why, context.Cause(ctx))
			}
			return nil, nil, err
		}
	}
}

// release ends a call that ready counted.
func (s *supervisor) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls--
	if s.calls == 0 && s.state == StateClosed {
		close(s.idle)
	}
}

// close makes all further calls fail, and cuts those that would last.
func (s *supervisor) close() {
	s.set(StateClosed, nil, nil)
	s.cut()
}

// drain returns when no call runs any more, or when ctx ends.
func (s *supervisor) drain(ctx context.Context) {
	select {
	case <-s.idle:
	case <-ctx.Done():
	}
}

func (s *supervisor) status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.last
	out.State, out.Err = s.state, s.err
	out.Restarts, out.Calls = max(out.Restarts, 0), s.calls
	return out
}
