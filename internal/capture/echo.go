package capture

import (
	"context"
	"image/color"
	"math"
	"time"

	"github.com/recordhost/recordhost/internal/capture/screen"
	"github.com/recordhost/recordhost/internal/capture/yuv"
)

// Marker draws a mark over the page that the page itself cannot notice: Chrome's inspector overlay. Coordinates are CSS
// pixels of the viewport. Mark and Unmark return when the page's main thread has taken the order; the mark is in
// the next picture that it draws.
type Marker interface {
	Mark(ctx context.Context, x, y, width, height int, c color.RGBA) error
	Unmark(ctx context.Context) error
}

const (
	markSize      = 2                      // CSS pixels a side
	leastMarked   = 64                     // pixels a side of the page: smaller ones are not measured
	echoPause     = 20 * time.Millisecond  // between two looks whether an echo is wanted
	echoDeadline  = 500 * time.Millisecond // for a mark to be seen
	orderDeadline = time.Second            // for Chrome to take an order
)

// mark is the place of a page where an echo is expected. While it is set, the picture keeps what it showed there.
type mark struct {
	x, y, width, height int // pixels of the picture, even
	colour              color.RGBA
	state               markState
	seen, gone          chan time.Time // receive once each
	kept                []byte         // the samples at its place while a picture with the mark is converted
}

type markState int

const (
	expected markState = iota
	visible
	vanished
)

// Follow measures the depth of Chrome's pipeline by echoes until ctx ends or the marker fails, and answers why. The page
// is disturbed by it as little as can be: a few pixels in its last corner, which the recording does not show, once a
// second while it moves and never while it rests.
func (s *Session) Follow(ctx context.Context, m Marker) error {
	if s.cfg.Width < leastMarked || s.cfg.Height < leastMarked {
		<-ctx.Done()
		return ctx.Err()
	}
	if err := order(ctx, m.Unmark); err != nil {
		return err
	}
	var last time.Time
	for n := 0; ; n++ {
		if err := sleep(ctx, echoPause); err != nil {
			return err
		}
		s.mu.Lock()
		wanted := s.depth.wantsEcho(time.Now(), last)
		s.mu.Unlock()
		if !wanted {
			continue
		}
		last = time.Now()
		if err := s.measure(ctx, m, n); err != nil {
			return err
		}
	}
}

// measure makes one echo. The order is given in the midst of a tick, so that the next tick's picture is the first with
// the mark; when the page took it too late for that, the echo tells nothing.
func (s *Session) measure(ctx context.Context, m Marker, n int) error {
	mk, x, y := s.newMark(n)
	s.mu.Lock()
	tick := s.now + 2
	s.mark = mk
	s.mu.Unlock()
	drawn := s.ticker.time(tick)
	if err := sleep(ctx, time.Until(drawn.Add(-s.ticker.period*6/10))); err != nil {
		return err
	}
	if err := order(ctx, func(ctx context.Context) error { return m.Mark(ctx, x, y, markSize, markSize, mk.colour) }); err != nil {
		return err
	}
	inTime := time.Until(drawn) > 2*time.Millisecond
	seen, ok := mk.wait(ctx, mk.seen)
	if err := order(ctx, m.Unmark); err != nil {
		return err
	}
	mk.wait(ctx, mk.gone)
	s.mu.Lock()
	defer s.mu.Unlock()
	if ok && inTime {
		s.depth.echo(seen.Sub(drawn))
	}
	s.mark = nil
	return ctx.Err()
}

func order(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, orderDeadline)
	defer cancel()
	return f(ctx)
}

// newMark places a mark in the page's last corner, in a colour that pages seldom have, another one each time. x and y
// are its place in CSS pixels.
func (s *Session) newMark(n int) (m *mark, x, y int) {
	scale := s.cfg.PageScale
	x = int(float64(s.cfg.Width)/scale) - markSize
	y = int(float64(s.cfg.Height)/scale) - markSize
	left, top := int(float64(x)*scale)&^1, int(float64(y)*scale)&^1
	size := int(math.Ceil(markSize*scale))/2*2 + 2
	m = &mark{
		x: left, y: top, width: min(size, s.picture.Width-left), height: min(size, s.picture.Height-top),
		colour: color.RGBA{R: 251, G: uint8(3 + 8*(n%16)), B: 253, A: 255},
		seen:   make(chan time.Time, 1), gone: make(chan time.Time, 1),
	}
	m.kept = make([]byte, m.width*m.height*3/2)
	return m, x, y
}

// wait answers when what is awaited was seen.
func (m *mark) wait(ctx context.Context, c chan time.Time) (time.Time, bool) {
	ctx, cancel := context.WithTimeout(ctx, echoDeadline)
	defer cancel()
	select {
	case at := <-c:
		return at, true
	case <-ctx.Done():
		return time.Time{}, false
	}
}

// look finds the mark in a picture and reports its coming and going. It answers whether the picture must keep what it
// shows at the mark's place. The session's lock is held.
func (m *mark) look(at time.Time, f *screen.Frame) bool {
	if m == nil {
		return false
	}
	x, y := min(m.x+m.width/2, f.Width-1), min(m.y+m.height/2, f.Height-1)
	p := f.Pix[y*f.Stride+4*x:]
	marked := p[0] == m.colour.B && p[1] == m.colour.G && p[2] == m.colour.R
	switch {
	case marked && m.state == expected:
		m.state = visible
		m.seen <- at
	case !marked && m.state == visible:
		m.state = vanished
		m.gone <- at
	}
	return marked
}

// swap exchanges the samples at the mark's place with those kept: once before a picture is converted and once after,
// it leaves them as they were.
func (m *mark) swap(p *yuv.Picture) {
	w, h := p.Width, p.Height
	kept := m.kept
	plane := func(data []byte, stride, x, y, width, height int) {
		for row := y; row < y+height; row++ {
			now := data[row*stride+x:][:width]
			for i := range now {
				now[i], kept[i] = kept[i], now[i]
			}
			kept = kept[width:]
		}
	}
	plane(p.Data[:w*h], w, m.x, m.y, m.width, m.height)
	plane(p.Data[w*h:w*h*5/4], w/2, m.x/2, m.y/2, m.width/2, m.height/2)
	plane(p.Data[w*h*5/4:], w/2, m.x/2, m.y/2, m.width/2, m.height/2)
}
