// Package capture is the screen and the sound card that Chrome believes in, and the one clock that drives both. It owns
// the two servers, the picture, and the times that everything captured is given; package worker alone may call it.
//
// A Session runs from before Chrome's start until after its end, and longer than a Chrome that has to be replaced. Its
// clock ticks at the recording's own rate, always:
// each tick pulls the sound, tells Chrome that a picture was shown, and so makes the page paint exactly the pictures that
// are recorded. Recording, pausing and stopping change only which ticks belong to the recording.
package capture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/recordhost/recordhost/internal/capture/screen"
	"github.com/recordhost/recordhost/internal/capture/sound"
	"github.com/recordhost/recordhost/internal/capture/yuv"
)

// SampleRate and Channels of the sound that is captured.
const (
	SampleRate = sound.Rate
	Channels   = sound.Channels
)

// leastRefresh is the rate in Hz below which pages are not driven: a recording of fewer pictures a second takes every
// k-th of them.
const leastRefresh = 30

// Config of a Session.
type Config struct {
	Dir       string // for the sockets: exists, private, its path at most 90 bytes
	UID, GID  int    // who Chrome runs as, and so who the sockets belong to
	Width     int    // of the page, pixels, 1 to 2560
	Height    int
	WindowW   int           // of Chrome's window, which is larger where Chrome can't make it as small; the page is its top left
	WindowH   int           //
	FPS       int           // of the recording, 1 to 60
	Constant  bool          // one picture per frame time, even where nothing changed
	PageScale float64       // device pixels per CSS pixel; 0 is 1
	Base      time.Duration // recorded before: where the recording goes on
	Limit     time.Duration // of the recording, Base and all; 0: none
	Log       *slog.Logger
}

// Sink receives what was captured, on the timeline of the recording. Calls do not overlap.
type Sink interface {
	// Video takes a picture: I420, both sides rounded up to even, valid during the call only. pts increase strictly. It
	// answers false when the picture was dropped because the encoder is behind.
	Video(pts time.Duration, i420 []byte) bool

	// Audio takes samples, interleaved stereo, valid during the call only. They follow each other without a gap.
	Audio(pts time.Duration, pcm []float32)
}

// Stats counts what a Session did.
type Stats struct {
	Recorded time.Duration // length of the recording so far, Base and all
	Pictures uint64        // that the page painted
	Sent     uint64        // given to the sink and taken
	Dropped  uint64        // refused by the sink
	Silent   time.Duration // recorded time without any sound
	Late     time.Duration // the latest a tick has been
	Latency  time.Duration // from the page's drawing to a picture's arrival, as known now
}

// Session is one screen, one sound card and their clock.
type Session struct {
	cfg    Config
	ticker ticker
	screen *screen.Server
	sound  *sound.Server
	stop   context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex // guards all below; taken inside screen.Server's lock
	now      int64      // the tick last begun
	painted  chan struct{}
	shows    bool // painted is closed
	full     chan struct{}
	limit    int64 // ticks
	picture  *yuv.Picture
	depth    depth
	timeline timeline
	slots    slots
	mark     *mark
	sink     Sink
	samples  int64 // recorded
	stats    Stats
}

// ErrNoPicture says that the page has not painted anything.
var ErrNoPicture = errors.New("the page has not painted a picture")

// Open makes the screen and the sound card and starts the clock. Close ends them.
func Open(cfg Config) (*Session, error) {
	if cfg.PageScale == 0 {
		cfg.PageScale = 1
	}
	tick := newTicker(cfg.FPS)
	s := &Session{
		cfg: cfg, ticker: tick, done: make(chan struct{}), painted: make(chan struct{}), full: make(chan struct{}),
		limit:   tick.limit(cfg.Limit, cfg.Base),
		picture: yuv.New(cfg.Width, cfg.Height), depth: depth{tick: tick.period},
	}
	s.slots = slots{ticks: int64(tick.perFrame), rate: int64(cfg.FPS), constant: cfg.Constant, last: -1}
	if err := s.serve(); err != nil {
		s.unserve()
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	go s.run(ctx)
	return s, nil
}

func (s *Session) serve() (err error) {
	c := s.cfg
	s.screen, err = screen.Listen(screen.Config{
		Socket: s.path("wayland"), Width: c.WindowW, Height: c.WindowH, Refresh: s.ticker.refresh, Log: c.Log,
	}, s)
	if err != nil {
		return err
	}
	if s.sound, err = sound.Listen(s.path("pulse"), c.Log); err != nil {
		return err
	}
	for _, p := range []string{c.Dir, s.path("wayland"), s.path("pulse")} {
		if err := os.Chown(p, c.UID, c.GID); err != nil {
			return fmt.Errorf("capture: give %s to the user that Chrome runs as: %w", filepath.Base(p), err)
		}
	}
	return nil
}

func (s *Session) unserve() {
	if s.screen != nil {
		s.screen.Close()
	}
	if s.sound != nil {
		s.sound.Close()
	}
}

func (s *Session) path(name string) string { return filepath.Join(s.cfg.Dir, name) }

// Env is what Chrome's environment must hold to find the screen and the sound card.
func (s *Session) Env() []string {
	return []string{
		"XDG_RUNTIME_DIR=" + s.cfg.Dir,
		"WAYLAND_DISPLAY=" + s.path("wayland"),
		"PULSE_SERVER=unix:" + s.path("pulse"),
	}
}

// Close stops the clock and disconnects Chrome. What is being recorded ends without Stop's care.
func (s *Session) Close() {
	s.stop()
	<-s.done
	s.unserve()
}

// Painted is closed when the window of the present Chrome has shown its first picture.
func (s *Session) Painted() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.painted
}

// Renew makes the screen ready for another Chrome, once the one before is gone: nothing is known of its pictures yet. The
// last picture stays until there is a new one. Following has ended before, and begins anew.
func (s *Session) Renew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.painted, s.shows = make(chan struct{}), false
	s.depth = depth{tick: s.ticker.period, content: s.depth.content}
	s.mark = nil
}

// Full is closed when the recording has reached its limit. Nothing more is recorded then; Stop ends it.
func (s *Session) Full() <-chan struct{} { return s.full }

// Record begins the recording with the next tick.
func (s *Session) Record(sink Sink) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.shows {
		return ErrNoPicture
	}
	s.sink = sink
	s.begin()
	return nil
}

// Pause stops the recording's time with the next tick. The page and its sound go on, and are not recorded.
func (s *Session) Pause() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timeline.cease(s.next())
}

// Resume goes on recording with the next tick; what follows is appended without a gap.
func (s *Session) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sink != nil {
		s.begin()
	}
}

// next answers the first tick that no picture has yet: one may come a little before its tick begins. The lock is held.
func (s *Session) next() int64 { return max(s.now, s.depth.content) + 1 }

// begin opens a span at the next tick. Its first frame must be a picture, changed or not. The lock is held.
func (s *Session) begin() {
	switch {
	case s.timeline.open():
	case s.isFull(s.now + 1): // it was paused in its last moment
		s.fill()
	default:
		s.timeline.begin(s.now + 1)
		s.slots.begin(s.timeline.length(s.now + 1))
	}
}

// fill tells that the recording has reached its limit. The lock is held.
func (s *Session) fill() {
	select {
	case <-s.full:
	default:
		close(s.full)
	}
}

// isFull says that no tick from k on is recorded any more. The lock is held.
func (s *Session) isFull(k int64) bool { return s.limit > 0 && s.timeline.length(k) >= s.limit }

// Stop ends the recording with the next tick, waits for the pictures that are still on their way through Chrome, and
// answers the recording's length, Base and all.
func (s *Session) Stop(ctx context.Context) time.Duration {
	s.mu.Lock()
	end := s.next()
	s.timeline.cease(end)
	ticks := int64((s.depth.latency+s.ticker.period-1)/s.ticker.period) + 1
	s.mu.Unlock()
	select {
	case <-time.After(time.Until(s.ticker.time(end + ticks))):
	case <-ctx.Done():
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	length := s.timeline.length(end)
	s.advance(s.slots.before(length))
	s.closing(length)
	s.sink = nil
	return s.cfg.Base + s.ticker.recorded(length)
}

// Stats answers what was done so far.
func (s *Session) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Recorded = s.cfg.Base + s.ticker.recorded(s.timeline.length(s.now))
	st.Latency = s.depth.latency
	return st
}

// NextTick answers when the next tick begins: the time of the first picture of a recording begun now.
func (s *Session) NextTick() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ticker.time(s.now + 1)
}

// Settle waits until the depth of Chrome's pipeline is known: measured by an echo, or zero because the page rests. It
// gives up when ctx ends; what is recorded before the first echo may be given times a tick or two too late.
func (s *Session) Settle(ctx context.Context) {
	for ctx.Err() == nil {
		s.mu.Lock()
		known := s.depth.known(time.Now())
		s.mu.Unlock()
		if known || sleep(ctx, s.ticker.period) != nil {
			return
		}
	}
}
