package main

import (
	"context"
	"sync"
	"time"

	"github.com/recordhost/recordhost/internal/capture"
	"github.com/recordhost/recordhost/test/synthetic"
)

// tick is how often what was captured is handed on.
const tick = 50 * time.Millisecond

// screen is a clock that stands still while nothing is recorded.
type screen struct {
	script  *script
	painted chan struct{}
	full    chan struct{}
	limit   time.Duration
	stop    context.CancelFunc
	ticking sync.WaitGroup

	mu       sync.Mutex
	to       capture.Sink // nil: it is not being recorded
	paused   bool
	recorded time.Duration
	last     time.Time // up to when that was counted
}

// openScreen starts the clock. Close ends it.
func openScreen(c capture.Config, s *script) *screen {
	ctx, cancel := context.WithCancel(context.Background())
	n := &screen{
		script: s, painted: make(chan struct{}), full: make(chan struct{}), limit: c.Limit, recorded: c.Base, stop: cancel,
	}
	close(n.painted)
	n.ticking.Go(func() { n.run(ctx) })
	return n
}

func (s *screen) run(ctx context.Context) {
	again := time.NewTicker(tick)
	defer again.Stop()
	for {
		select {
		case <-again.C:
			s.mu.Lock()
			s.advance()
			s.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}

// advance counts the time that has gone by, and hands it on. s.mu is held.
func (s *screen) advance() {
	now := time.Now()
	gone := now.Sub(s.last)
	s.last = now
	if s.to == nil || s.paused {
		return
	}
	s.recorded += gone
	if s.limit > 0 && s.recorded >= s.limit {
		s.recorded = s.limit
		select {
		case <-s.full:
		default:
			close(s.full)
		}
	}
	s.to.Audio(s.recorded, nil)
}

// Record begins to hand on what is captured: to an encoder that wants to know no more than how much it is.
func (s *screen) Record(to capture.Sink) error {
	s.script.reach(synthetic.Beginning)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance()
	s.to = to
	to.Audio(s.recorded, nil)
	return nil
}

func (s *screen) Pause() {
	s.mu.Lock()
	s.advance()
	s.paused = true
	s.mu.Unlock()
	s.script.reach(synthetic.Pausing)
}

func (s *screen) Resume() {
	s.script.reach(synthetic.Resuming)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance()
	s.paused = false
}

// Stop ends the recording and answers how long it is.
func (s *screen) Stop(context.Context) time.Duration {
	s.mu.Lock()
	s.advance()
	s.to = nil
	s.mu.Unlock()
	s.script.reach(synthetic.Stopping)
	return s.Stats().Recorded
}

// Stats tells what was recorded, as if ten pictures a second had been.
func (s *screen) Stats() capture.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	pictures := uint64(s.recorded / (time.Second / synthetic.FilmRate))
	return capture.Stats{Recorded: s.recorded, Pictures: pictures, Sent: pictures}
}

func (s *screen) Close() {
	s.stop()
	s.ticking.Wait()
}

func (s *screen) Painted() <-chan struct{}             { return s.painted }
func (s *screen) Full() <-chan struct{}                { return s.full }
func (*screen) Env() []string                          { return nil }
func (*screen) Renew()                                 {}
func (*screen) Follow(context.Context, capture.Marker) {}
func (*screen) Settle(context.Context)                 {}
