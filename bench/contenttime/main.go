// Command contenttime measures how well a picture's timestamp is the time of its content (docs/adr/0001). It opens each
// kind of page in real Chrome, follows the depth of Chrome's pipeline as a recording does, reads the page's clock out
// of every picture, and compares it with the time that the picture was given: from the load on, and again 30 s later.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/recordhost/recordhost/internal/browser"
	"github.com/recordhost/recordhost/internal/capture"
	"github.com/recordhost/recordhost/test/pages"
)

const (
	width, height = 1280, 720
	blocks        = 24 // bits in each row
	video         = "video"
)

// reading is one picture: the time it was given and the time its content shows, both on the machine's clock.
type reading struct {
	given, shown time.Duration
	counter      int
}

// result of one stretch of one run.
type result struct {
	Page     string  `json:"page"`
	Run      int     `json:"run"`
	From     string  `json:"from"`     // "load" or "30s"
	Pictures int     `json:"pictures"` // in which the counter had moved on
	Missing  int     `json:"missing"`  // counted by the page and not among the pictures
	Median   float64 `json:"median"`   // given minus shown, ms
	P95      float64 `json:"p95"`      // of its magnitude, ms
	Worst    float64 `json:"worst"`    // ms
	Spread   float64 `json:"spread"`   // p95 of the distance from the median, ms
	Latency  float64 `json:"latency"`  // of the pipeline at the end, ms
	Naive    float64 `json:"naive"`    // p95 of arrival at the tick minus shown, ms: what it would be without following
}

// reader is a sink that reads the blocks out of the picture.
type reader struct {
	mu       sync.Mutex
	readings []reading
}

func (r *reader) Video(pts time.Duration, i420 []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	row := func(y int) (v int) {
		for i := range blocks {
			if i420[y*width+(2*i+1)*width/64] > 127 {
				v |= 1 << i
			}
		}
		return v
	}
	r.readings = append(r.readings, reading{given: pts, shown: time.Duration(row(60)) * time.Millisecond, counter: row(20)})
	return true
}

func (r *reader) Audio(time.Duration, []float32) {}

func (r *reader) take() []reading {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.readings
	r.readings = nil
	return out
}

func main() {
	runs := flag.Int("runs", 5, "runs per kind of page")
	secs := flag.Duration("t", 6*time.Second, "length of each stretch")
	late := flag.Duration("late", 30*time.Second, "when the second stretch begins; 0: none")
	names := flag.String("pages", "frames,dom,webgl,video", "kinds of page")
	fps := flag.Int("fps", 30, "frames a second")
	verbose := flag.Bool("v", false, "print each reading")
	flag.Parse()
	if err := run(*names, *runs, *secs, *late, *fps, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "contenttime:", err)
		os.Exit(1)
	}
}

func run(names string, runs int, length, late time.Duration, fps int, verbose bool) error {
	dir, err := os.MkdirTemp("", "rh")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	film, err := makeFilm(context.Background(), dir)
	if err != nil {
		return err
	}
	srv, err := pages.Start(context.Background(), film)
	if err != nil {
		return err
	}
	defer func() { _ = srv.Close() }()
	out := json.NewEncoder(os.Stdout)
	for n := range runs {
		for name := range strings.SplitSeq(names, ",") {
			results, err := measure(srv, name, n, length, late, fps, verbose)
			if err != nil {
				return err
			}
			for _, r := range results {
				if err := out.Encode(r); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func measure(srv *pages.Server, name string, n int, length, late time.Duration, fps int, verbose bool) ([]result, error) {
	dir, err := os.MkdirTemp("", "rh")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx := context.Background()
	user := browser.DefaultUser()
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, err
	}
	sockets := dir + "/s"
	if err := os.Mkdir(sockets, 0o700); err != nil {
		return nil, err
	}
	w, h := browser.WindowSize(width, height)
	s, err := capture.Open(capture.Config{
		Dir: sockets, UID: user.UID, GID: user.GID, Width: width, Height: height, WindowW: w, WindowH: h, FPS: fps, Log: log,
	})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	binary, err := browser.Find()
	if err != nil {
		return nil, err
	}
	b, err := browser.Launch(ctx, browser.Options{
		Binary: binary, Env: s.Env(), Dir: dir + "/c", Width: width, Height: height, TaskID: "t", Status: "normal", Log: log,
	})
	if err != nil {
		return nil, err
	}
	defer func() { _ = b.Close(ctx) }()
	before := len(srv.Reports("loaded"))
	if err := b.Open(ctx, srv.URL(name+".html")); err != nil {
		return nil, err
	}
	loaded, err := origin(ctx, srv, name, before+1)
	if err != nil {
		return nil, err
	}
	following, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); s.Follow(following, b) }()
	defer func() { stop(); <-ended }()
	<-s.Painted()

	settling, settled := context.WithTimeout(ctx, time.Second)
	s.Settle(settling)
	settled()
	sink := &reader{}
	begun := s.NextTick()
	if err := s.Record(sink); err != nil {
		return nil, err
	}
	offset := float64(begun.UnixNano())/1e6 - loaded // pts 0 on the page's clock, ms
	time.Sleep(length)
	results := []result{judge(sink.take(), name, n, "load", offset, s, verbose)}
	if late > 0 {
		time.Sleep(late - length)
		sink.take()
		time.Sleep(length)
		results = append(results, judge(sink.take(), name, n, late.String(), offset, s, verbose))
	}
	s.Stop(ctx)
	return results, nil
}

// origin answers the zero of the page's clock, in milliseconds of Unix time. A film's clock has none.
func origin(ctx context.Context, srv *pages.Server, name string, loads int) (float64, error) {
	if name == video {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	reports, err := srv.Wait(ctx, "loaded", loads)
	if err != nil {
		return 0, err
	}
	var loaded pages.Loaded
	err = reports[len(reports)-1].Decode(&loaded)
	return loaded.Origin, err
}

// judge compares. The first pictures of a page are left out until its counter moves. A film begins when it likes, so of its
// times only the scatter counts: the median is taken off.
func judge(rs []reading, name string, n int, from string, offset float64, s *capture.Session, verbose bool) result {
	r := result{Page: name, Run: n, From: from, Latency: ms(s.Stats().Latency)}
	var errors, naive []float64
	for i, x := range rs {
		if x.counter == 0 || i > 0 && x.counter == rs[i-1].counter {
			continue
		}
		e := ms(x.given) + offset - ms(x.shown)
		if verbose {
			fmt.Printf("%d given %.1f shown %.1f error %.1f counter %d\n", i, ms(x.given), ms(x.shown)-offset, e, x.counter)
		}
		errors = append(errors, e)
		naive = append(naive, e+r.Latency)
		if i > 0 && rs[i-1].counter > 0 && x.counter > rs[i-1].counter+1 {
			r.Missing += x.counter - rs[i-1].counter - 1
		}
	}
	r.Pictures = len(errors)
	if len(errors) == 0 {
		return r
	}
	r.Median = quantile(errors, .5)
	if name == video {
		for i := range errors {
			errors[i] -= r.Median
		}
		r.Median, naive = 0, errors
	}
	r.P95 = quantile(distances(errors, 0), .95)
	r.Worst = quantile(distances(errors, 0), 1)
	r.Spread = quantile(distances(errors, r.Median), .95)
	r.Naive = quantile(distances(naive, 0), .95)
	return r
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

func distances(v []float64, from float64) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = math.Abs(x - from)
	}
	return out
}

func quantile(v []float64, q float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return math.Round(10*s[min(int(q*float64(len(s))), len(s)-1)]) / 10
}
