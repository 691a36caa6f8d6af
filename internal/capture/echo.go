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
	maxEchoes     = 4                      // in a row, while they disagree
	tellFailures  = 5                      // orders in a row that fail, before the log tells

	// The colours of marks: green tells one from another.
	markRed, markBlue     = 251, 253
	markGreen, markGreens = 3, 16
)

// mark is the place of a page where echoes are expected. While a mark is seen there, the picture keeps what it showed.
type mark struct {
	x, y, width, height int        // pixels of the picture, even
	colour              color.RGBA // of the echo that is awaited
	awaited, visible    bool
	seen, gone          chan time.Time
	kept                []byte // the samples at its place while a picture with the mark is converted
}

// Follow measures the depth of Chrome's pipeline by echoes until ctx ends. A page whose main thread is busy, or that is
// just being loaded, takes no orders: it is asked again later. The page is disturbed as little as can be: a few pixels in
// its last corner, which the recording does not show, once a second while it moves and never while it rests.
func (s *Session) Follow(ctx context.Context, m Marker) {
	if s.cfg.Width < leastMarked || s.cfg.Height < leastMarked {
		return
	}
	mk, x, y := s.newMark()
	s.mu.Lock()
	s.mark = mk // for good: a mark that was not taken away in time must not be recorded either
	s.mu.Unlock()
	_ = order(ctx, m.Unmark) // makes the first Mark prompt; when it fails the first echo comes too late, and tells nothing
	var last time.Time
	for n, failures := 0, 0; sleep(ctx, echoPause) == nil; n++ {
		s.mu.Lock()
		wanted := s.depth.wantsEcho(time.Now(), last)
		s.mu.Unlock()
		if !wanted {
			continue
		}
		last = time.Now()
		err := s.measure(ctx, m, mk, x, y, n)
		if err == nil {
			failures = 0
			// The marks were movement themselves. A page that rests but for them is seen to rest before more are ordered.
			_ = sleep(ctx, (rest+2)*s.ticker.period)
			continue
		}
		if failures++; failures == tellFailures {
			s.cfg.Log.Warn("the page takes no marks; its pictures may be given times up to 70 ms late", "err", err)
		}
		_ = sleep(ctx, echoEvery)
	}
}

// measure makes an echo, and others at once while the last one is in doubt, each with a mark of another colour.
func (s *Session) measure(ctx context.Context, m Marker, mk *mark, x, y, n int) error {
	for try := range maxEchoes {
		latency, ok, err := s.echo(ctx, m, mk, x, y, n+try)
		if err != nil {
			return err
		}
		s.mu.Lock()
		if ok {
			s.depth.echo(latency)
		}
		again := ok && s.depth.doubt != 0
		s.mu.Unlock()
		if !again {
			break
		}
	}
	if err := order(ctx, m.Unmark); err != nil {
		return err
	}
	wait(ctx, mk.gone)
	return nil
}

// echo has a mark drawn for a known tick and answers how long after that tick it was seen. The order is given in the midst
// of the tick before, so that the next picture is the first with the mark; when the page took it too late for that, or
// the mark did not come, the echo tells nothing.
func (s *Session) echo(ctx context.Context, m Marker, mk *mark, x, y, n int) (time.Duration, bool, error) {
	tick := int64(time.Until(s.ticker.start)/-s.ticker.period) + 1
	ordered := s.ticker.time(tick).Add(-s.ticker.period * 6 / 10)
	if time.Until(ordered) < 0 {
		tick, ordered = tick+1, ordered.Add(s.ticker.period)
	}
	drawn := s.ticker.time(tick)
	s.mu.Lock()
	c := mk.expect(n)
	s.mu.Unlock()
	if err := sleep(ctx, time.Until(ordered)); err != nil {
		return 0, false, err
	}
	if err := order(ctx, func(ctx context.Context) error { return m.Mark(ctx, x, y, markSize, markSize, c) }); err != nil {
		return 0, false, err
	}
	inTime := time.Until(drawn) > 2*time.Millisecond
	seen, ok := wait(ctx, mk.seen)
	return seen.Sub(drawn), ok && inTime, nil
}

func order(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, orderDeadline)
	defer cancel()
	return f(ctx)
}

// newMark places a mark in the page's last corner. x and y are its place in CSS pixels.
func (s *Session) newMark() (m *mark, x, y int) {
	scale := s.cfg.PageScale
	x = int(float64(s.cfg.Width)/scale) - markSize
	y = int(float64(s.cfg.Height)/scale) - markSize
	left, top := int(float64(x)*scale)&^1, int(float64(y)*scale)&^1
	size := int(math.Ceil(markSize*scale))/2*2 + 2
	m = &mark{
		x: left, y: top, width: min(size, s.picture.Width-left), height: min(size, s.picture.Height-top),
		seen: make(chan time.Time, 1), gone: make(chan time.Time, 1),
	}
	m.kept = make([]byte, m.width*m.height*3/2)
	return m, x, y
}

// expect chooses the colour of the n-th mark: all are of a family that pages seldom have, no two in a row are the same.
func (m *mark) expect(n int) color.RGBA {
	m.colour = color.RGBA{R: markRed, G: uint8(markGreen + markGreens*(n%8)), B: markBlue, A: 255}
	m.awaited = true
	for _, late := range []chan time.Time{m.seen, m.gone} { // what came too late for its own echo
		select {
		case <-late:
		default:
		}
	}
	return m.colour
}

// wait answers when what is awaited was seen.
func wait(ctx context.Context, c chan time.Time) (time.Time, bool) {
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
	marked := p[0] == markBlue && p[2] == markRed && p[1]%markGreens == markGreen
	switch {
	case marked && m.awaited && p[1] == m.colour.G:
		m.awaited = false
		m.visible = true
		tell(m.seen, at)
	case !marked && m.visible:
		m.visible = false
		tell(m.gone, at)
	}
	return marked
}

// tell sends without waiting: whoever no longer awaits an answer is not owed one.
func tell(c chan time.Time, at time.Time) {
	select {
	case c <- at:
	default:
	}
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
