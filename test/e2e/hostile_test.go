package e2e_test

import (
	"context"
	"fmt"
	"image"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/recordhost/recordhost/test/media"
	"github.com/recordhost/recordhost/test/pages"
	"github.com/recordhost/recordhost/test/product"
)

// visit is a recording of one page that means no good, with a host and a server of its own, so that several can run at
// once and each is judged by what belongs to it.
type visit struct {
	server *pages.Server
	host   *product.Host
	task   string
}

// visitPage begins the recording of a page at 15 frames a second.
func visitPage(t *testing.T, page string, more map[string]any) visit {
	t.Helper()
	v := visit{server: servePages(t), host: serve(t, 1)}
	data := map[string]any{
		"RecordURL": v.server.URL(page), "Width": 640, "Height": 360,
		"Output": map[string]any{"Video": map[string]any{"Fps": 15}},
	}
	maps.Copy(data, more)
	v.task = start(t, v.host, data)
	return v
}

// wait waits for the page to report, and answers the last report. A recording that ends meanwhile is a failure.
func (v visit) wait(t *testing.T, event string, n int) pages.Report {
	t.Helper()
	ctx, cancel := context.WithCancel(limit(t))
	ended := make(chan error, 1)
	go func() {
		defer cancel()
		d, err := v.host.AwaitStatus(ctx, v.task, "finished")
		ended <- fmt.Errorf("it ended with %+v, %w", d.Result, err)
	}()
	reports, err := v.server.Wait(ctx, event, n)
	cancel()
	if end := <-ended; err != nil {
		t.Fatal(err, end)
	}
	return reports[n-1]
}

func (v visit) stop(t *testing.T) film { return stop(t, v.host, v.task) }

// calm is for how long a page goes on behind what it has done.
const calm = 3 * time.Second

// checkGoesOn wants the page's own pictures, and nothing but these, in the whole film. In its last two seconds, when the
// page does nothing else any more, they move as ever.
func checkGoesOn(t *testing.T, f film) reading {
	t.Helper()
	checkUncovered(t, f)
	r := f.read(t)
	seconds := make([]int, int(f.video.FileDuration))
	last := uint32(0)
	for _, frame := range r.recording.Frames {
		if s := int(frame.At / time.Second); s < len(seconds) && frame.Counter != last {
			seconds[s]++
		}
		last = frame.Counter
	}
	t.Logf("new pictures in each second: %v", seconds)
	if len(seconds) < 3 || min(seconds[len(seconds)-1], seconds[len(seconds)-2]) < 5 {
		t.Errorf("in the last two seconds too little moves: new pictures in each second %v", seconds)
	}
	if r.Unreadable > 0 {
		t.Errorf("%d pictures do not show the page", r.Unreadable)
	}
	for _, gap := range r.FileGaps {
		if gap.Milliseconds > 3000 {
			t.Errorf("nothing is shown for %v ms at %v s", gap.Milliseconds, gap.At)
		}
	}
	if q := f.Quality; q == nil || q.Restarts > 0 || len(q.Gaps) > 0 {
		t.Errorf("quality %+v", f.Quality)
	}
	return r
}

// renderers are the processes of the host's browsers that show pages.
func renderers(t *testing.T, host *product.Host) (n int) {
	t.Helper()
	below, err := host.Below()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range below {
		line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.PID), "cmdline"))
		if err == nil && strings.Contains(string(line), "--type=renderer") {
			n++
		}
	}
	return n
}

// Pages that do something without end, as fast as they can: the recording goes on, and shows the page alone.
func TestStorms(t *testing.T) {
	popups, dialogs, leaks := visitPage(t, "popups.html", nil), visitPage(t, "storm.html", nil), visitPage(t, "leaks.html", nil)

	t.Run("of windows", func(t *testing.T) {
		popups.wait(t, "stormed", 1)
		again := time.NewTicker(50 * time.Millisecond)
		defer again.Stop()
		for ctx := limit(t); renderers(t, popups.host) > 1; {
			select {
			case <-ctx.Done():
				t.Fatalf("%d renderers are left, one of them the page's", renderers(t, popups.host))
			case <-again.C:
			}
		}
		wait(t, calm)
		if r := checkGoesOn(t, popups.stop(t)); r.Reloads > 0 {
			t.Errorf("reloads %d", r.Reloads)
		}
	})
	t.Run("of dialogs", func(t *testing.T) {
		var stormed struct{ Asked, MS float64 }
		if err := dialogs.wait(t, "stormed", 1).Decode(&stormed); err != nil {
			t.Fatal(err)
		}
		t.Logf("%v dialogs in %v ms", stormed.Asked, stormed.MS)
		tell(t, dialogs.host, "Refresh", dialogs.task)
		dialogs.wait(t, "stormed", 2)
		wait(t, calm)
		if r := checkGoesOn(t, dialogs.stop(t)); r.Reloads != 1 {
			t.Errorf("reloads %d", r.Reloads)
		}
	})
	t.Run("of files and programs", func(t *testing.T) {
		var leaked struct{ Path string }
		if err := leaks.wait(t, "leaked", 1).Decode(&leaked); err != nil {
			t.Fatal(err)
		}
		if leaked.Path != "/leaks.html" {
			t.Errorf("the page has become %s", leaked.Path)
		}
		checkAnswers(t, leaks.server, 4)
		for _, dir := range append(browserDirs(t, leaks.host), leaks.host.Dir) {
			checkNoDownload(t, dir)
		}
		wait(t, calm)
		if r := checkGoesOn(t, leaks.stop(t)); r.Reloads > 0 {
			t.Errorf("reloads %d", r.Reloads)
		}
	})
}

// checkAnswers wants so many of the page's requests to be answered, none of them with what it asked for.
func checkAnswers(t *testing.T, server *pages.Server, n int) {
	t.Helper()
	reports, err := server.Wait(limit(t), "answered", n)
	if err != nil {
		t.Fatal(err)
	}
	for _, report := range reports {
		var answered struct{ What, Answer string }
		if err := report.Decode(&answered); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %s", answered.What, answered.Answer)
		switch answered.Answer {
		case "granted", "default", "prompt", "still open":
			t.Errorf("%s: %s", answered.What, answered.Answer)
		}
	}
}

// What the browser would show of its own, or ask its user, is seen in no picture.
func TestNothingOfTheBrowserIsSeen(t *testing.T) {
	border := visitPage(t, "border.html", nil)
	near := servePages(t)
	prompts := visitPage(t, "public/prompts.html?near="+near.URL("static.html"), nil)
	pulse := visitPage(t, "pulse.html", map[string]any{"MaxDurationLimit": 14})

	t.Run("around a page that provokes it", func(t *testing.T) {
		border.wait(t, "provoked", 1)
		tell(t, border.host, "Refresh", border.task)
		border.wait(t, "provoked", 2)
		wait(t, time.Second)
		f := border.stop(t)
		checkBorder(t, f, media.RGB{0xe0, 0x80, 0x20}, 16)
	})
	t.Run("over a page that asks for permissions", func(t *testing.T) {
		asked := prompts.wait(t, "asked", 1)
		t.Logf("%s", asked.Values)
		checkAnswers(t, prompts.server, 22)
		if n := near.Loads("static.html"); n != 0 {
			t.Errorf("a page of the internet has read this machine's own server %d times", n)
		}
		checkGoesOn(t, prompts.stop(t))
	})
	t.Run("a page that stands still is no fault", func(t *testing.T) { checkPulse(t, finished(t, pulse.host, pulse.task)) })
}

// checkBorder looks at each picture's frame, so many pixels wide: it is of that colour alone. The innermost pixels may be
// touched by their neighbours, since colours are kept for four pixels together.
func checkBorder(t *testing.T, f film, colour media.RGB, wide int) {
	t.Helper()
	width, height := f.info.Video.Width, f.info.Video.Height
	wide -= 2
	for name, side := range map[string]image.Rectangle{
		"top": image.Rect(0, 0, width, wide), "bottom": image.Rect(0, height-wide, width, height),
		"left": image.Rect(0, 0, wide, height), "right": image.Rect(width-wide, 0, width, height),
	} {
		patches, err := media.Colours(limit(t), f.file, side)
		if err != nil {
			t.Fatal(err)
		}
		if len(patches) < 30 {
			t.Errorf("only %d pictures of a page that moves", len(patches))
		}
		for _, p := range patches {
			if !p.Uniform(colour, 16) {
				t.Errorf("%s, at %v: colours from %v to %v", name, p.At, p.Min, p.Max)
			}
		}
	}
}

// checkPulse: pulse.html moves for three seconds, stands still for nine, and moves again.
func checkPulse(t *testing.T, f film) {
	t.Helper()
	near(t, "length", f.video.FileDuration, 14, 1.0/15)
	if q := f.Quality; q == nil || q.Restarts > 0 || len(q.Gaps) > 0 {
		t.Errorf("quality %+v", f.Quality)
	}
	r := f.read(t)
	var still int
	var before, after []media.Frame
	for _, frame := range r.recording.Frames {
		switch {
		case len(after) == 0 && frame.Clock > 11_500:
			after = append(after, frame)
		case len(after) > 0:
			after = append(after, frame)
		case len(before) > 0 && frame.Counter == before[len(before)-1].Counter:
			still++
		default:
			before = append(before, frame)
		}
	}
	if len(before) < 15 || still > 20 || len(after) < 8 || r.Unreadable > 0 {
		t.Fatalf("%d pictures before, %d while it stood still, %d after, %d of no page", len(before), still, len(after), r.Unreadable)
	}
	last := before[len(before)-1]
	stood := after[0].At - last.At
	near(t, "the time that it stood still", stood.Seconds(), float64(after[0].Clock-last.Clock)/1000, 0.25)
}

// A page that does not stay where it was opened is recorded wherever it goes, and finds the page functions there.
func TestAPageThatWanders(t *testing.T) {
	v := visitPage(t, "wander.html", map[string]any{"ManualStart": true})
	f := finished(t, v.host, v.task)
	if legs := v.server.Reports("leg"); len(legs) != 5 {
		t.Errorf("the page has had %d documents, not 5", len(legs))
	} else {
		for i, want := range []string{"normal", "normal", "recording", "recording", "recording"} {
			var leg struct {
				Bound  bool
				Status string
			}
			if err := legs[i].Decode(&leg); err != nil {
				t.Fatal(err)
			}
			if !leg.Bound || leg.Status != want {
				t.Errorf("document %d found %+v, want %s", i+1, leg, want)
			}
		}
	}
	var said []string
	for _, c := range calls(t, v.server.Reports("called")) {
		said = append(said, c.Name+" "+c.Outcome)
	}
	const want = "startRecord resolved, pauseRecord resolved, resumeRecord resolved"
	if got := strings.Join(said, ", "); !strings.HasPrefix(got, want) {
		t.Errorf("the page's calls: %s, want %s", got, want)
	}
	// Four documents are recorded, and a pause is cut out.
	if r := checkGoesOn(t, f); r.Reloads != 3 || len(r.Cuts) != 4 {
		t.Errorf("reloads %d, cuts %v", r.Reloads, r.Cuts)
	}
}
