package e2e_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/recordhost/recordhost/test/media"
	"github.com/recordhost/recordhost/test/pages"
	"github.com/recordhost/recordhost/test/product"
)

func TestAPlainRecording(t *testing.T) {
	server := servePages(t)
	f := record(t, server.URL("frames.html"), "--duration", "5s")
	r := f.read(t)
	if r.Width != 1280 || r.Height != 720 {
		t.Errorf("%dx%d", r.Width, r.Height)
	}
	near(t, "length", f.video.FileDuration, 5, 1.0/30)
	checkWhole(t, r, 5*time.Second)
	checkSound(t, r, 5*time.Second)
	if n := server.Loads("frames.html"); n != 1 {
		t.Errorf("the page was loaded %d times", n)
	}
	if q := f.Quality; q == nil || q.Frames == 0 || len(q.Gaps) != 0 || q.Restarts != 0 {
		t.Errorf("quality %+v", f.Quality)
	}
}

func TestTheDocumentIsRecordedAsWellAsACanvas(t *testing.T) {
	for _, page := range []string{"dom.html", "webgl.html"} {
		t.Run(page, func(t *testing.T) {
			r := record(t, servePages(t).URL(page), "--duration", "4s", "--width", "640", "--height", "360").read(t)
			checkWhole(t, r, 4*time.Second)
			checkSound(t, r, 4*time.Second)
		})
	}
}

func TestManualStartWaitsForThePage(t *testing.T) {
	server := servePages(t)
	f := record(t, server.URL("frames.html?manual=1"), "--manual-start", "--duration", "5s", "--width", "640", "--height", "360")
	r := f.read(t)
	checkWhole(t, r, 5*time.Second)
	near(t, "length", f.video.FileDuration, 5, 1.0/30)
	// The page calls startRecord() when its clock shows three seconds.
	if first := r.recording.Frames[0].Clock; first < 2900 || first > 5000 {
		t.Errorf("the first picture is of the page's millisecond %d, want 3000", first)
	}
}

// Above 30 frames a second every picture is recorded. Below, the page paints more often than it is recorded: each picture
// is the same number of the page's frames after the one before.
func TestFrameRates(t *testing.T) {
	const length = 4 * time.Second
	for _, test := range []struct {
		fps  int
		name string
	}{{10, "10"}, {60, "60"}} {
		t.Run(test.name, func(t *testing.T) {
			url := servePages(t).URL("sound.html")
			f := record(t, url, "--duration", length.String(), "--fps", test.name, "--width", "640", "--height", "360")
			r := f.read(t)
			near(t, "length", f.video.FileDuration, length.Seconds(), 1/float64(test.fps))
			checkSteps(t, r.recording, test.fps)
			if frames := int(length.Seconds()) * test.fps; r.Frames > frames+2 || r.Frames < frames*8/10 {
				t.Errorf("%d frames, want %d", r.Frames, frames)
			}
			if r.Doubled > r.Frames/10 || r.TimeErrorP95 > 60+500/float64(test.fps) {
				t.Errorf("doubled %d of %d, time error p95 %v ms", r.Doubled, r.Frames, r.TimeErrorP95)
			}
			checkSound(t, r, length)
		})
	}
}

// checkSteps wants nine of ten pictures to be one frame's time after the one before, in the file and on the page.
func checkSteps(t *testing.T, r media.Recording, fps int) {
	t.Helper()
	interval := time.Second / time.Duration(fps)
	even := 0
	for i := 1; i < len(r.Frames); i++ {
		file := r.Frames[i].At - r.Frames[i-1].At
		page := time.Duration(r.Frames[i].Clock-r.Frames[i-1].Clock) * time.Millisecond
		if (file-interval).Abs() <= 2*time.Millisecond && (page-interval).Abs() <= interval {
			even++
		}
	}
	if even < len(r.Frames)*9/10-1 {
		t.Errorf("only %d of %d pictures are %v after the one before", even, len(r.Frames), interval)
	}
}

func TestAPageWithoutSoundHasSilence(t *testing.T) {
	f := record(t, servePages(t).URL("frames.html?silent=1"), "--duration", "3s", "--width", "640", "--height", "360")
	r := f.read(t)
	checkWhole(t, r, 3*time.Second)
	if r.Beeps != 0 {
		t.Errorf("%d beeps", r.Beeps)
	}
	levels, err := media.Levels(limit(t), f.file, 0, 3*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if peak := levels[0]; peak.Left > 0.001 || peak.Right > 0.001 {
		t.Errorf("silence is as loud as %+v", peak)
	}
}

func TestAPageThatNeverChanges(t *testing.T) {
	f := record(t, servePages(t).URL("static.html"), "--duration", "4s", "--width", "640", "--height", "360")
	near(t, "length", f.video.FileDuration, 4, 1.0/30)
	// A picture each second and one at the end are enough; their number is the recorder's, that they are few is the point.
	if frames := f.info.Video.Frames; frames < 2 || frames > 12 {
		t.Errorf("%d pictures of a page that stands still", frames)
	}
	white, err := media.Pixel(limit(t), f.file, 3900*time.Millisecond, 600, 300)
	if err != nil {
		t.Fatal(err)
	}
	if !white.Near(media.RGB{255, 255, 255}, 6) {
		t.Errorf("the page's ground is %v", white)
	}
}

func TestTwoRecordingsAtOnce(t *testing.T) {
	var both sync.WaitGroup
	films, servers := make([]product.Description, 2), make([]*pages.Server, 2)
	files, errs := make([]string, 2), make([]error, 2)
	ctx := limit(t)
	for i := range films {
		servers[i] = servePages(t)
		files[i] = filepath.Join(t.TempDir(), "film.mp4")
		both.Go(func() {
			films[i], errs[i] = under().Record(ctx, servers[i].URL("frames.html"), "--duration", "5s", "--out", files[i],
				"--width", "480", "--height", "270", "--fps", "15")
		})
	}
	both.Wait()
	for i := range films {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		f := develop(t, films[i], files[i])
		near(t, "length", f.video.FileDuration, 5, 1.0/15)
		r := f.read(t)
		if r.Reloads > 0 || len(r.Cuts) > 0 || r.Unreadable > 0 || r.Frames < 60 {
			t.Errorf("recording %d: %+v", i, r)
		}
		checkSound(t, r, 5*time.Second)
		if n := servers[i].Loads("frames.html"); n != 1 {
			t.Errorf("page %d was loaded %d times", i, n)
		}
	}
	if films[0].TaskID == films[1].TaskID {
		t.Error("both are the same task")
	}
}

// started starts a recording without end, and returns when the page has been open for four seconds.
func started(t *testing.T, file string) *product.Run {
	t.Helper()
	ctx, server := limit(t), servePages(t)
	url := server.URL("control.html?at=start:4")
	run, err := under().Start(ctx, "record", url, "--json", "--out", file, "--width", "640", "--height", "360")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Wait(ctx, "called", 1); err != nil {
		_, endErr := run.Wait(ctx)
		t.Fatal(err, endErr)
	}
	return run
}

func TestCtrlCFinishesTheFile(t *testing.T) {
	ctx := limit(t)
	file := filepath.Join(t.TempDir(), "film.mp4")
	run := started(t, file)
	if err := run.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	outcome, err := run.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	described, err := outcome.Description()
	if err != nil {
		t.Fatal(err)
	}
	f := develop(t, described, file)
	r := f.read(t)
	checkWhole(t, r, f.video.Length())
	if f.video.FileDuration < 1 || f.video.FileDuration > 30 {
		t.Errorf("length %v s", f.video.FileDuration)
	}
}

// The one-shot host is killed; its worker finishes the file by itself.
func TestAWorkerWhoseHostIsGoneFinishesTheFile(t *testing.T) {
	ctx := limit(t)
	file := filepath.Join(t.TempDir(), "film.mp4")
	run := started(t, file)
	killed := time.Now()
	if err := run.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := run.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		if _, err := os.Stat(file); err == nil {
			break
		}
		select {
		case <-ctx.Done():
			t.Fatal("there is no file: ", context.Cause(ctx))
		case <-again.C:
		}
	}
	t.Logf("the file was there %v after the host was killed", time.Since(killed))
	info, err := media.Probe(ctx, file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Index != media.IndexFirst || info.Duration < time.Second {
		t.Errorf("index %q, length %v", info.Index, info.Duration)
	}
	recording, err := media.Read(ctx, file)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := recording.Report(); err != nil || len(r.Cuts) > 0 || r.Missing > r.Frames/10 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestAPageThatCannotBeOpened(t *testing.T) {
	ctx := limit(t)
	server := servePages(t)
	for _, url := range []string{server.URL("status/500"), "http://127.0.0.1:1/"} {
		outcome, err := under().Run(ctx, "record", url, "--duration", "2s", "--out", filepath.Join(t.TempDir(), "film.mp4"))
		if err != nil {
			t.Fatal(err)
		}
		if outcome.Code == 0 || !strings.Contains(outcome.Stderr, "PageLoadFailed") {
			t.Errorf("%s: code %d, said %q", url, outcome.Code, outcome.Stderr)
		}
	}
}
