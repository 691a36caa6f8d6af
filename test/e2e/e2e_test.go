package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/recordhost/recordhost/test/media"
	"github.com/recordhost/recordhost/test/pages"
	"github.com/recordhost/recordhost/test/product"
)

// installed names the folder of the product under test, for the tests of this process.
const installed = "RECORDHOST_E2E_INSTALLED"

// patience bounds whatever a test waits for. A test that needs it all has failed.
const patience = 90 * time.Second

func TestMain(m *testing.M) {
	code, err := build(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

// build builds the product, runs the tests and removes it.
func build(run func() int) (code int, err error) {
	dir, err := os.MkdirTemp("", "recordhost-e2e")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if _, err := product.Build(ctx, dir); err != nil {
		return 1, err
	}
	if err := os.Setenv(installed, dir); err != nil {
		return 1, err
	}
	return run(), nil
}

// under is the product under test.
func under() product.Product { return product.At(os.Getenv(installed)) }

// limit is a context that ends when the test has taken too long.
func limit(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errors.New("the test took too long"))
	t.Cleanup(cancel)
	return ctx
}

// servePages serves the pages until the test ends.
func servePages(t *testing.T) *pages.Server {
	t.Helper()
	server, err := pages.Start(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// film is a finished recording.
type film struct {
	product.Description
	file  string
	info  media.Info
	video product.Video
}

// record records a page with `recordhost record`.
func record(t *testing.T, url string, args ...string) film {
	t.Helper()
	file := filepath.Join(t.TempDir(), "film.mp4")
	described, err := under().Record(limit(t), url, append(args, "--out", file)...)
	if err != nil {
		t.Fatal(err)
	}
	return develop(t, described, file)
}

// develop checks what holds for every finished recording that went well.
func develop(t *testing.T, described product.Description, file string) film {
	t.Helper()
	result := described.Result
	if described.Status != "finished" || result == nil || result.ErrorCode != "" || len(result.Videos) != 1 {
		t.Fatalf("status %q, result %+v", described.Status, result)
	}
	f := film{Description: described, file: file, video: result.Videos[0]}
	var err error
	if f.info, err = media.Probe(limit(t), file); err != nil {
		t.Fatal(err)
	}
	f.checkContainer(t)
	if described.CreateTime == 0 || described.StartTime < described.CreateTime || described.StopTime < described.StartTime ||
		described.FinishTime < described.StopTime {
		t.Errorf("times out of order: %+v", described)
	}
	return f
}

// checkContainer holds the file against what recordhost says of it, and against what every recording is.
func (f film) checkContainer(t *testing.T) {
	t.Helper()
	if f.info.Size != f.video.FileSize {
		t.Errorf("the file has %d bytes, FileSize is %d", f.info.Size, f.video.FileSize)
	}
	if f.info.Index != media.IndexFirst {
		t.Errorf("the index stands %q", f.info.Index)
	}
	v, a := f.info.Video, f.info.Audio
	if v == nil || a == nil {
		t.Fatalf("picture %+v, sound %+v", v, a)
	}
	if v.Codec != "h264" || v.PixelFormat != "yuv420p" || v.PixelAspect != "1:1" || v.Width%2 != 0 || v.Height%2 != 0 {
		t.Errorf("picture: %+v", *v)
	}
	if v.Range != "tv" || v.Matrix != "bt709" || v.Transfer != "bt709" || v.Primaries != "bt709" {
		t.Errorf("colours: %+v", *v)
	}
	if a.Codec != "aac" || a.Rate != 48000 || a.Channels != 2 {
		t.Errorf("sound: %+v", *a)
	}
	near(t, "start of the picture", v.Start.Seconds(), 0, 0.001)
	near(t, "start of the sound", a.Start.Seconds(), 0, 0.001)
	near(t, "length of the picture against FileDuration", v.Duration.Seconds(), f.video.FileDuration, 0.1)
	near(t, "length of the sound against the picture's", a.Duration.Seconds(), v.Duration.Seconds(), 0.1)
	near(t, "length of the file against FileDuration", f.info.Duration.Seconds(), f.video.FileDuration, 0.1)
}

// reading is the measure, read back, and what it says.
type reading struct {
	media.Report
	recording media.Recording
}

func (f film) read(t *testing.T) reading {
	t.Helper()
	recording, err := media.Read(limit(t), f.file)
	if err != nil {
		t.Fatal(err)
	}
	report, err := recording.Report()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d frames, %d distinct, %d doubled, %d missing, time error p95 %.1f ms, sound %+v",
		report.Frames, report.Distinct, report.Doubled, report.Missing, report.TimeErrorP95, report.PlusHalfFrame)
	return reading{report, recording}
}

// checkWhole holds a report against a page that was recorded without a break, for that long, at 30 frames a second. On a
// busy machine a frame may come late or be lost now and then; sound and time may not suffer.
func checkWhole(t *testing.T, r reading, length time.Duration) {
	t.Helper()
	frames := int(length.Seconds() * 30)
	if few := frames / 10; r.Doubled > few || r.Missing > few || r.Frames < frames-few || r.Frames > frames+2 {
		t.Errorf("%d frames of %d, doubled %d, missing %d", r.Frames, frames, r.Doubled, r.Missing)
	}
	if r.Unreadable > 0 || r.Reloads > 0 || len(r.Cuts) > 0 {
		t.Errorf("unreadable %d, reloads %d, cuts %v", r.Unreadable, r.Reloads, r.Cuts)
	}
	near(t, "page's clock against the file's", r.PageSeconds, r.Seconds, 0.1)
	if r.TimeErrorP95 > 60 {
		t.Errorf("time error p95 %v ms", r.TimeErrorP95)
	}
}

// checkSound holds a recording against a page that beeps each second: the beeps are a second apart to the sample, all are
// there, and each is near its flash. On a busy machine Chrome may once be late with its sound, which then is silent for that
// long and goes on: between two beeps, not in all of it.
func checkSound(t *testing.T, r reading, length time.Duration) {
	t.Helper()
	if least := int(length.Seconds()) - 1; r.Beeps < least {
		t.Errorf("%d beeps in %v, want at least %d", r.Beeps, length, least)
	}
	even, beeps := 0, r.recording.Beeps
	for i := 1; i < len(beeps); i++ {
		if (beeps[i] - beeps[i-1] - time.Second).Abs() <= time.Millisecond {
			even++
		}
	}
	// The first beep may have begun before the recording.
	if s := r.BetweenCuts.BeepSpacingMax; s == nil || *s > 100 || even < r.Beeps-3 {
		t.Errorf("beep spacing error %v ms, %d of %d beeps are a second after the one before", deref(s), even, r.Beeps)
	}
	if s := r.PlusHalfFrame; s == nil || math.Abs(s.Median) > 80 {
		t.Errorf("sound minus picture %+v", s)
	}
}

func deref(f *float64) float64 {
	if f == nil {
		return math.NaN()
	}
	return *f
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s: %v, want %v ± %v", what, got, want, tolerance)
	}
}
