package encode_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/recordhost/recordhost/internal/encode"
)

// restarts collects what a Recorder tells of them.
type restarts struct {
	mu  sync.Mutex
	all []encode.Restart
}

func (r *restarts) add(x encode.Restart) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, x)
}

func (r *restarts) list() []encode.Restart {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all
}

// awaitFragment waits until at least n more fragments came.
func (s *store) awaitFragments(t *testing.T, n int) {
	t.Helper()
	timeout := time.After(limit)
	for range n {
		select {
		case <-s.notify:
		case <-timeout:
			t.Fatal("no fragment comes")
		}
	}
}

// strike sends a signal to the ffmpeg of this test; tests that do so are not parallel.
func strike(t *testing.T, sig syscall.Signal) {
	t.Helper()
	pids := children(t, "ffmpeg")
	if len(pids) != 1 {
		t.Fatalf("%d ffmpegs are running", len(pids))
	}
	if err := syscall.Kill(pids[0], sig); err != nil {
		t.Fatal(err)
	}
}

// TestNothingIsMissingAfterRestart kills or stops ffmpeg in the middle of a live recording: every picture is in the file
// all the same, at its time, and the tone has no break where the two runs meet.
func TestNothingIsMissingAfterRestart(t *testing.T) {
	for name, sig := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "crashed": syscall.SIGSEGV, "hung": syscall.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			var told restarts
			r := recorder(t, s, func(o *encode.Options) { o.Restarted = told.add })
			f := newFilm(r, 30)
			f.play(1700*time.Millisecond, true)
			strike(t, sig)
			f.play(4*time.Second, true)
			finish(t, r)

			if got := told.list(); len(got) != 1 || got[0].Lost != 0 || got[0].Cause == nil {
				t.Errorf("restarts: %+v", got)
			}
			path := s.movie(t, f.until)
			got := numbers(t, path)
			pts := packets(t, path, "v")
			seen := map[int]float64{}
			for i, n := range got {
				if _, ok := seen[n]; !ok {
					seen[n] = sortedAt(pts, i)
				}
			}
			missing := 0
			for i, at := range f.times {
				if d := seen[i] - at.Seconds(); d > 0.0001 || d < -0.0001 {
					missing++
				}
			}
			if stats := r.Stats(); missing > 0 || stats.Dropped > 0 || stats.Restarts != 1 {
				t.Errorf("%d of %d pictures are missing; %+v", missing, len(f.times), stats)
			}
			steady(t, sound(t, path), 100*time.Millisecond, f.until-100*time.Millisecond)
			if d := duration(t, path); d < f.until.Seconds()-0.035 || d > f.until.Seconds()+0.035 {
				t.Errorf("it lasts %v, not %v", d, f.until)
			}
		})
	}
}

// TestStillPageRestarts: after a restart there is a picture at once, although the page sends none.
func TestStillPageRestarts(t *testing.T) {
	s := newStore(t)
	r := recorder(t, s, nil)
	f := newFilm(r, 1)
	f.still = true
	f.play(3200*time.Millisecond, true)
	strike(t, syscall.SIGKILL)
	f.fps, f.frame = 1, 1000 // no further picture
	f.play(1500*time.Millisecond, true)
	finish(t, r)
	path := s.movie(t, f.until)
	if d := duration(t, path); d < f.until.Seconds()-0.035 || d > f.until.Seconds()+0.035 {
		t.Errorf("it lasts %v, not %v", d, f.until)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.runs) != 2 {
		t.Errorf("%d runs have begun", len(s.runs))
	}
}

// TestChangeLeavesEncoder: on a page that changes once and stands still, the change does not stay in the encoder, where
// a crash of the worker would take it.
func TestChangeLeavesEncoder(t *testing.T) {
	s := newStore(t)
	r := recorder(t, s, nil)
	f := newFilm(r, 1)
	f.play(1010*time.Millisecond, true) // a second picture at 1 s
	f.still, f.frame = true, 1000
	f.play(1800*time.Millisecond, true)
	r.Stop()
	path := s.movie(t, f.until)
	if got := numbers(t, path); !slices.Contains(got, 1) {
		t.Errorf("1.8 s after the change it is not in a fragment: %v", got)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	s := newStore(t)
	s.hold = make(chan struct{})
	var told restarts
	r := recorder(t, s, func(o *encode.Options) {
		o.Memory = 10 * width * height * 3 / 2
		o.Restarted = told.add
	})
	f := newFilm(r, 30)
	f.play(4*time.Second, true) // the Output blocks: ffmpeg is not to blame, nothing is restarted
	close(s.hold)
	f.play(time.Second, true)
	finish(t, r)
	stats := r.Stats()
	if stats.Frames+stats.Dropped != 150 || stats.Restarts != 0 || len(told.list()) != 0 {
		t.Errorf("%+v, restarts %v", stats, told.list())
	}
	path := s.movie(t, f.until)
	steady(t, sound(t, path), 100*time.Millisecond, f.until-100*time.Millisecond)
}

func TestEncoderThatNeverLives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ffmpeg")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho out of order >&2\nexit 7\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	var told restarts
	r := recorder(t, newStore(t), func(o *encode.Options) { o.FFmpeg, o.Restarted = path, told.add })
	f := newFilm(r, 30)
	f.play(100*time.Millisecond, false)
	select {
	case <-r.Done():
	case <-time.After(limit):
		t.Fatal("it does not give up")
	}
	err := r.Err()
	if !errors.Is(err, encode.ErrFailed) {
		t.Fatalf("%v", err)
	}
	for _, want := range []string{"exit code 7", "out of order"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not tell %q", err, want)
		}
	}
	if n := len(told.list()); n != 5 {
		t.Errorf("%d restarts", n)
	}
	if r.Video(time.Hour, make([]byte, width*height*3/2)) {
		t.Error("it takes a picture after its end")
	}
}

func TestOutputError(t *testing.T) {
	full := errors.New("the disk is full")
	s := newStore(t)
	r := recorder(t, s, nil)
	f := newFilm(r, 30)
	f.play(time.Second, true)
	s.awaitFragments(t, 1)
	s.mu.Lock()
	s.err = full
	s.mu.Unlock()
	f.play(2*time.Second, true)
	select {
	case <-r.Done():
	case <-time.After(limit):
		t.Fatal("it goes on")
	}
	if !errors.Is(r.Err(), full) || errors.Is(r.Err(), encode.ErrFailed) {
		t.Errorf("%v", r.Err())
	}
	if n := len(children(t, "ffmpeg")); n != 0 {
		t.Errorf("%d ffmpegs are left", n)
	}
}

func TestEndWithoutPicture(t *testing.T) {
	t.Parallel()
	r := recorder(t, newStore(t), nil)
	r.Audio(0, make([]float32, 960))
	finish(t, r)
	finish(t, r) // again: the same answer
}

func TestPictureWithoutSound(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	r := recorder(t, s, nil)
	buf := make([]byte, width*height*3/2)
	for i := range 10 {
		paint(buf, i)
		if !r.Video(time.Duration(i)*time.Second/30, buf) {
			t.Fatal("not taken")
		}
	}
	finish(t, r)
	if got := numbers(t, s.movie(t, time.Second/3)); len(got) != 10 {
		t.Errorf("%d pictures", len(got))
	}
}

func TestRefusedOptions(t *testing.T) {
	t.Parallel()
	good := encode.Options{FFmpeg: "/usr/bin/ffmpeg", Width: 2, Height: 2, FPS: 1}
	for name, change := range map[string]func(*encode.Options){
		"relative path": func(o *encode.Options) { o.FFmpeg = "ffmpeg" },
		"odd width":     func(o *encode.Options) { o.Width = 3 },
		"no height":     func(o *encode.Options) { o.Height = 0 },
		"no rate":       func(o *encode.Options) { o.FPS = 0 },
		"quality":       func(o *encode.Options) { o.CRF = 52 },
		"both":          func(o *encode.Options) { o.CRF, o.Bitrate = 20, 1000 },
		"preset":        func(o *encode.Options) { o.Preset = "fast -i /etc/passwd" },
	} {
		o := good
		change(&o)
		if r, err := encode.New(o, newStore(t)); err == nil {
			r.Stop()
			t.Errorf("%s is taken", name)
		}
	}
}
