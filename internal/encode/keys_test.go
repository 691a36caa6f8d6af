package encode_test

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/recordhost/recordhost/internal/encode"
	"github.com/recordhost/recordhost/internal/mp4"
)

// begins are the recorded times at which the groups of pictures of a recording begin, and its end.
func (s *store) begins(t *testing.T, end time.Duration) (all []time.Duration) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var w mp4.Walk
	for {
		g, ok, err := s.index.Group(&w)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		all = append(all, g.Begin)
	}
	g, ok, err := s.index.Rest(&w, end)
	if err != nil || !ok {
		t.Fatalf("no last group: %v", err)
	}
	return append(all, g.Begin, g.End)
}

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

func near(a, b time.Duration) bool { return (a - b).Abs() < time.Millisecond }

// TestSegments: decoding can begin where segments do, and nowhere else: on a moving page at each second; on one that
// shows one each second; and where something was missing.
func TestSegments(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fps  int
		want []int64 // milliseconds
	}{
		"film":   {30, []int64{0, 1000, 2000, 2500, 3500, 4500, 5500, 6000}},
		"slides": {1, []int64{0, 1000, 2000, 3000, 4000, 5000, 6000}},
		"cinema": {24, []int64{0, 1000, 2000, 2500, 3500, 4500, 5500, 6000}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			r := recorder(t, s, func(o *encode.Options) { o.Segment, o.FPS = time.Second, 30 })
			f := newFilm(r, c.fps)
			f.play(2500*time.Millisecond, false)
			r.Key(f.until)
			f.play(3500*time.Millisecond, false)
			finish(t, r)
			got := s.begins(t, f.until)
			if !slices.EqualFunc(got, c.want, func(a time.Duration, b int64) bool { return near(a, millis(b)) }) {
				t.Errorf("segments begin at %v, not %v", got, c.want)
			}
			// No picture's time has moved by more than two ticks of the file.
			pts := packets(t, s.movie(t, f.until), "v")
			slices.Sort(pts)
			for n, at := range f.times {
				i, _ := slices.BinarySearch(pts, at.Seconds()-1e-6)
				if i == len(pts) || pts[i]-at.Seconds() > 2.1/90000 {
					t.Errorf("picture %d, of %v, is not there", n, at)
				}
			}
		})
	}
}

// TestSlowSlides: where pictures are further apart than segments, what is seen is shown again at each border.
func TestSlowSlides(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	r := recorder(t, s, func(o *encode.Options) { o.Segment = 700 * time.Millisecond })
	f := newFilm(r, 1)
	f.play(3*time.Second, false)
	finish(t, r)
	got := s.begins(t, f.until)
	want := []int64{0, 700, 1400}
	for i := range min(len(want), len(got)) {
		if !near(got[i], millis(want[i])) {
			t.Errorf("segments begin at %v", got)
		}
	}
	for i := 1; i < len(got)-1; i++ {
		if d := got[i] - got[i-1]; d > 801*time.Millisecond {
			t.Errorf("a segment of %v: %v", d, got)
		}
	}
}

// TestSegmentsAfterRestart: a new run of ffmpeg begins a segment, and those that follow are as long as they should be.
func TestSegmentsAfterRestart(t *testing.T) {
	s := newStore(t)
	r := recorder(t, s, func(o *encode.Options) { o.Segment = time.Second })
	f := newFilm(r, 30)
	f.play(1700*time.Millisecond, true)
	strike(t, syscall.SIGKILL)
	f.play(4*time.Second, true)
	finish(t, r)
	got := s.begins(t, f.until)
	for i := 1; i < len(got); i++ {
		if d := got[i] - got[i-1]; d > time.Second+40*time.Millisecond {
			t.Errorf("a segment of %v: %v", d, got)
		}
	}
	second := s.runs[len(s.runs)-1].Video
	if len(s.runs) != 2 || !slices.ContainsFunc(got, func(at time.Duration) bool { return near(at, second) }) {
		t.Errorf("segments begin at %v, the second run at %v", got, second)
	}
}
