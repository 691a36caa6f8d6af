package capture

import (
	"context"
	"image/color"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recordhost/recordhost/internal/capture/screen"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// page is a page of one colour, which is its tick's number, behind a pipeline of a certain depth.
type page struct {
	s       *Session
	ticks   int64 // of depth
	every   int64 // paints every so many ticks
	mu      sync.Mutex
	mark    *color.RGBA
	shown   *color.RGBA // the mark of the last drawing that left the pipeline
	drawn   []drawing
	painted int
	busy    int // marks that are not taken
	moves   int // pictures until it rests, painting no more but its mark's coming and going; 0: it never rests
	marks   int // that were ordered
}

// drawing is what the page drew at a tick, on its way through the pipeline.
type drawing struct {
	tick int64
	mark *color.RGBA
}

// paint draws at each tick and commits what was drawn some ticks ago, until ctx ends.
func (p *page) paint(ctx context.Context) {
	for k := p.s.tickNow() + 1; ; k++ {
		if sleep(ctx, time.Until(p.s.ticker.time(k))) != nil {
			return
		}
		p.mu.Lock()
		p.drawn = append(p.drawn, drawing{k, p.mark})
		var show *drawing
		if int64(len(p.drawn)) > p.ticks {
			show = &p.drawn[0]
			p.drawn = p.drawn[1:]
		}
		p.mu.Unlock()
		if show != nil && show.tick%p.every == 0 && p.changed(show) {
			if sleep(ctx, 3*time.Millisecond) != nil {
				return
			}
			p.commit(show)
		}
	}
}

// changed says whether the page shows anything new.
func (p *page) changed(d *drawing) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	changed := p.moves == 0 || p.painted < p.moves || d.mark != p.shown
	p.shown = d.mark
	return changed
}

func (p *page) commit(d *drawing) {
	w, h := p.s.cfg.Width, p.s.cfg.Height
	pix := make([]byte, 4*w*h)
	for i := range pix {
		pix[i] = byte(d.tick)
	}
	if d.mark != nil {
		for _, i := range []int{(h-1)*w + w - 1, (h-1)*w + w - 2, (h-2)*w + w - 1, (h-2)*w + w - 2} {
			copy(pix[4*i:], []byte{d.mark.B, d.mark.G, d.mark.R})
		}
	}
	p.s.Frame(time.Now(), &screen.Frame{Pix: pix, Stride: 4 * w, Width: w, Height: h, Damage: []screen.Rect{{X1: w, Y1: h}}})
	p.mu.Lock()
	p.painted++
	p.mu.Unlock()
}

func (p *page) Mark(_ context.Context, _, _, _, _ int, c color.RGBA) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy > 0 {
		p.busy--
		return context.DeadlineExceeded
	}
	p.mark = &c
	p.marks++
	return nil
}

func (p *page) ordered() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.marks
}

func (p *page) Unmark(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mark = nil
	return nil
}

func (s *Session) tickNow() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// tape is a sink that keeps what it got.
type tape struct {
	mu      sync.Mutex
	pts     []time.Duration
	luma    []byte // of the first pixel
	red     []byte // the last sample of V: grey pages have none
	samples int64
	refuse  bool
}

func (k *tape) Video(pts time.Duration, i420 []byte) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.refuse {
		return false
	}
	k.pts, k.luma, k.red = append(k.pts, pts), append(k.luma, i420[0]), append(k.red, i420[len(i420)-1])
	return true
}

func (k *tape) Audio(_ time.Duration, pcm []float32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.samples += int64(len(pcm) / Channels)
}

func openSession(t *testing.T, fps int, constant bool) *Session {
	t.Helper()
	dir, err := os.MkdirTemp("", "rh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s, err := Open(Config{
		Dir: dir, UID: os.Getuid(), GID: os.Getgid(), Width: 128, Height: 64, WindowW: 500, WindowH: 100,
		FPS: fps, Constant: constant, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// run lets a page paint, with its depth followed when asked, until the test's end.
func run(t *testing.T, s *Session, depth, every int64, follow bool) *page {
	t.Helper()
	p := &page{s: s, ticks: depth, every: every}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { p.paint(ctx) })
	if follow {
		wg.Go(func() { s.Follow(ctx, p) })
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	<-s.Painted()
	return p
}

// lumaOf answers what a page drawn at tick k looks like.
func lumaOf(k int64) byte {
	return byte((220*int32(byte(k)) + 16*256 + 128) >> 8)
}

// TestContentTime: behind pipelines of several depths the pictures get the times of their content, and the mark of the
// echoes is never in one.
func TestContentTime(t *testing.T) {
	for depth := range int64(3) {
		s := openSession(t, 30, false)
		run(t, s, depth, 1, true)
		settle, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		s.Settle(settle)
		cancel()
		k := &tape{}
		if err := s.Record(k); err != nil {
			t.Fatal(err)
		}
		first := s.tickNow() + 1
		time.Sleep(2500 * time.Millisecond)
		length := s.Stop(t.Context())

		right := 0
		for i, pts := range k.pts {
			tick := first + int64((pts+time.Millisecond)*30/time.Second)
			if d := int(k.luma[i]) - int(lumaOf(tick)); d >= -1 && d <= 1 {
				right++
			}
			if k.red[i] < 126 || k.red[i] > 130 {
				t.Errorf("depth %d: picture %d shows the mark", depth, i)
			}
		}
		if right < len(k.pts)*8/10 || len(k.pts) < 30 {
			t.Errorf("depth %d: %d of %d pictures at the time of their content, latency %v", depth, right, len(k.pts), s.Stats().Latency)
		}
		if want := int64(length * SampleRate / time.Second); k.samples < want-1 || k.samples > want+1 {
			t.Errorf("depth %d: %d samples in %v", depth, k.samples, length)
		}
	}
}

// TestPauses: after several pauses the recording is as long as what was recorded, its times increase, and picture
// and sound have the same length.
func TestPauses(t *testing.T) {
	s := openSession(t, 30, false)
	run(t, s, 1, 1, false)
	k := &tape{}
	if err := s.Record(k); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	var paused time.Duration
	for range 5 {
		time.Sleep(200 * time.Millisecond)
		s.Pause()
		at := time.Now()
		time.Sleep(200 * time.Millisecond)
		s.Resume()
		paused += time.Since(at)
	}
	time.Sleep(200 * time.Millisecond)
	whole := time.Since(begun)
	length := s.Stop(t.Context())
	if d := (length - (whole - paused)).Abs(); d > 300*time.Millisecond {
		t.Errorf("recorded %v of %v with %v of pauses", length, whole, paused)
	}
	for i := 1; i < len(k.pts); i++ {
		if k.pts[i] <= k.pts[i-1] {
			t.Errorf("time %v after %v", k.pts[i], k.pts[i-1])
		}
	}
	if end := k.pts[len(k.pts)-1]; end > length || end < length-time.Second/30-time.Millisecond {
		t.Errorf("the last picture is at %v of %v", end, length)
	}
	if want := int64(length * SampleRate / time.Second); k.samples < want-6 || k.samples > want+6 {
		t.Errorf("%d samples in %v", k.samples, length)
	}
}

// TestStill: a page that rests costs one picture a second, or one per frame time where that is asked for.
func TestStill(t *testing.T) {
	for _, constant := range []bool{false, true} {
		s := openSession(t, 10, constant)
		run(t, s, 0, 100, false)
		k := &tape{}
		_ = s.Record(k)
		time.Sleep(2300 * time.Millisecond)
		length := s.Stop(t.Context())
		least, most := 3, 5
		if constant {
			least = int(length * 10 / time.Second)
			most = least + 1
		}
		if n := len(k.pts); n < least || n > most || k.pts[0] != 0 {
			t.Errorf("constant %v: %d pictures in %v: %v", constant, n, length, k.pts)
		}
	}
}

// TestLimit: a recording with a limit is exactly that long, pauses not counted.
func TestLimit(t *testing.T) {
	s := openSession(t, 30, false)
	s.limit = s.ticker.ticks(time.Second)
	run(t, s, 0, 1, false)
	k := &tape{}
	_ = s.Record(k)
	time.Sleep(300 * time.Millisecond)
	s.Pause()
	time.Sleep(300 * time.Millisecond)
	select {
	case <-s.Full():
		t.Error("the pause was counted")
	default:
	}
	s.Resume()
	select {
	case <-s.Full():
	case <-time.After(10 * time.Second):
		t.Fatal("the limit was not reached")
	}
	s.Resume() // changes nothing
	if length := s.Stop(t.Context()); length != time.Second {
		t.Errorf("%v recorded", length)
	}
	if k.samples != SampleRate {
		t.Errorf("%d samples", k.samples)
	}
}

// TestDropped: pictures that the encoder refuses are counted, and the last one is offered again.
func TestDropped(t *testing.T) {
	s := openSession(t, 30, false)
	run(t, s, 0, 1, false)
	k := &tape{refuse: true}
	_ = s.Record(k)
	time.Sleep(500 * time.Millisecond)
	k.mu.Lock()
	k.refuse = false
	k.mu.Unlock()
	time.Sleep(300 * time.Millisecond)
	s.Stop(t.Context())
	if st := s.Stats(); st.Dropped == 0 || st.Sent == 0 || int(st.Sent) != len(k.pts) {
		t.Errorf("stats %+v, %d pictures", st, len(k.pts))
	}
}

// TestBusyPage: a page that took no mark, since it was busy or just being loaded, is asked again.
func TestBusyPage(t *testing.T) {
	s := openSession(t, 30, false)
	p := &page{s: s, ticks: 1, every: 1, busy: 1}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { p.paint(ctx) })
	wg.Go(func() { s.Follow(ctx, p) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	for deadline := time.Now().Add(20 * time.Second); ; {
		s.mu.Lock()
		measured := s.depth.measured
		s.mu.Unlock()
		if measured {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no echo was measured after one mark was refused")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestPageComesToRest: a page that moved while it was loaded and then stands still is left alone. The echoes' own marks
// once kept it moving for ever: thirty pictures a second of a page that never changes.
func TestPageComesToRest(t *testing.T) {
	for _, moves := range []int{settled, settled + 1, settled + 3} {
		s := openSession(t, 30, false)
		p := &page{s: s, ticks: 1, every: 1, moves: moves}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { p.paint(ctx) })
		wg.Go(func() { s.Follow(ctx, p) })
		t.Cleanup(func() { cancel(); wg.Wait() })
		time.Sleep(2 * time.Second) // longer than the first echoes take, however many they are
		marked := p.ordered()
		time.Sleep(time.Second)
		if again := p.ordered() - marked; again > 0 {
			t.Errorf("%d moves: %d marks in two seconds, and %d in the third", moves, marked, again)
		}
	}
}

// TestSmallFrame: a window that is smaller than the page, with odd sides, is converted as far as it goes. It once ended
// the whole process, since two by two pixels were read where there was one.
func TestSmallFrame(t *testing.T) {
	s := openSession(t, 30, false)
	for _, size := range [][2]int{{1, 1}, {3, 5}, {101, 63}, {128, 63}, {127, 64}, {501, 101}} {
		w, h := size[0], size[1]
		f := &screen.Frame{Pix: make([]byte, 4*w*h), Stride: 4 * w, Width: w, Height: h, Damage: []screen.Rect{{X1: w, Y1: h}}}
		s.Frame(time.Now(), f)
	}
}

// TestFlood: a client that paints without end gets no picture a time outside of the recording, and a constant frame rate
// stays one.
func TestFlood(t *testing.T) {
	for _, constant := range []bool{false, true} {
		s := openSession(t, 30, constant)
		p := &page{s: s}
		p.commit(&drawing{})
		k := &tape{}
		if err := s.Record(k); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
			p.commit(&drawing{tick: s.tickNow()})
		}
		length := s.Stop(t.Context())
		slots := int(length * 30 / time.Second)
		most := slots * (1 + extra)
		if constant {
			most = slots
		}
		if n := len(k.pts); n > most || n < slots-1 || k.pts[n-1] >= length {
			t.Errorf("constant %v: %d pictures in %v, the last at %v", constant, n, length, k.pts[n-1])
		}
		for i := 1; i < len(k.pts); i++ {
			if k.pts[i] <= k.pts[i-1] {
				t.Errorf("constant %v: time %v after %v", constant, k.pts[i], k.pts[i-1])
			}
		}
	}
}

// TestTinyLimit: a limit below one tick is one tick, not none.
func TestTinyLimit(t *testing.T) {
	for d, want := range map[time.Duration]int64{0: 0, time.Millisecond: 1, time.Second: 30, 10 * time.Hour: 36000 * 30} {
		if got := newTicker(30).limit(d, 0); got != want {
			t.Errorf("limit of %v: %d ticks, want %d", d, got, want)
		}
	}
}
