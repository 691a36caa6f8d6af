package e2e_test

import (
	"context"
	"math"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/recordhost/recordhost/test/product"
)

// serve starts a host that ends with the test, and must leave nothing behind. More than room may be in its configuration.
func serve(t *testing.T, slots int, settings ...string) *product.Host {
	t.Helper()
	return serveIn(t, t.TempDir(), slots, settings...)
}

// serveIn keeps the host's state below dir.
func serveIn(t *testing.T, dir string, slots int, settings ...string) *product.Host {
	t.Helper()
	host, err := under().Serve(limit(t), dir, slots, settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		if err := host.Close(ctx); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the host said:\n%s", host.Log())
		}
	})
	return host
}

func start(t *testing.T, host *product.Host, data map[string]any) string {
	t.Helper()
	task, err := host.Start(limit(t), data)
	if err != nil {
		t.Fatal(err)
	}
	return task
}

func tell(t *testing.T, host *product.Host, action, task string) {
	t.Helper()
	if err := host.Tell(limit(t), action, task); err != nil {
		t.Fatal(err)
	}
}

func await(t *testing.T, host *product.Host, task, status string) product.Description {
	t.Helper()
	d, err := host.AwaitStatus(limit(t), task, status)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func recorded(t *testing.T, host *product.Host, task string, length time.Duration) {
	t.Helper()
	if err := host.AwaitRecorded(limit(t), task, length); err != nil {
		t.Fatal(err)
	}
}

// stop ends a recording and answers its film.
func stop(t *testing.T, host *product.Host, task string) film {
	t.Helper()
	tell(t, host, "Stop", task)
	return finished(t, host, task)
}

func finished(t *testing.T, host *product.Host, task string) film {
	t.Helper()
	d := await(t, host, task, "finished")
	if d.Result == nil || len(d.Result.Videos) != 1 {
		t.Fatalf("result %+v", d.Result)
	}
	return develop(t, d, host.File(task, d.Result.Videos[0]))
}

// wait lets time pass that a recording is to have.
func wait(t *testing.T, length time.Duration) {
	t.Helper()
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-limit(t).Done():
		t.Fatal("the test took too long")
	case <-timer.C:
	}
}

// A pause is cut out of sound and picture alike: the file has no gap, and what follows is as much later on the page, in what
// is seen and in what is heard, as the pause was long.
func TestFivePauses(t *testing.T) {
	const pauses, stretch, pause = 5, 1200 * time.Millisecond, 800 * time.Millisecond
	server, host := servePages(t), serve(t, 1)
	task := start(t, host, map[string]any{"RecordURL": server.URL("frames.html"), "Width": 640, "Height": 360})
	await(t, host, task, "recording")
	for range pauses {
		wait(t, stretch)
		tell(t, host, "Pause", task)
		await(t, host, task, "paused")
		wait(t, pause)
		tell(t, host, "Resume", task)
		await(t, host, task, "recording")
	}
	wait(t, stretch)
	f := stop(t, host, task)
	r := f.read(t)
	if len(r.Cuts) != pauses {
		t.Fatalf("cuts %v", r.Cuts)
	}
	out := 0.0
	for _, cut := range r.Cuts {
		if cut.Milliseconds < 300 || cut.Milliseconds > 5000 {
			t.Errorf("at %v s %v ms were cut, want about %v", cut.At, cut.Milliseconds, pause)
		}
		out += cut.Milliseconds / 1000
	}
	if len(r.FileGaps) > 0 || r.Reloads > 0 {
		t.Errorf("gaps %v, reloads %d", r.FileGaps, r.Reloads)
	}
	near(t, "length less recorded time", f.video.FileDuration-1.0/30, r.PageSeconds-out, 0.15)
	near(t, "page's clock less what was cut, against the file", r.PageSeconds-out, r.Seconds, 0.1)
	if p := r.BetweenCuts.BeepPhaseMax; p == nil || *p > 100 {
		t.Errorf("sound against the page's clock %v ms", deref(p))
	}
	if s := r.PlusHalfFrame; s == nil || math.Abs(s.Median) > 80 {
		t.Errorf("sound minus picture %+v", s)
	}
	if n := server.Loads("frames.html"); n != 1 {
		t.Errorf("the page was loaded %d times", n)
	}
}

func TestRefresh(t *testing.T) {
	ctx, server, host := limit(t), servePages(t), serve(t, 1)
	task := start(t, host, map[string]any{"RecordURL": server.URL("sound.html"), "Width": 640, "Height": 360})
	recorded(t, host, task, 2*time.Second)
	tell(t, host, "Refresh", task)
	if _, err := server.Wait(ctx, "loaded", 2); err != nil {
		t.Fatal(err)
	}
	recorded(t, host, task, 6*time.Second)
	f := stop(t, host, task)
	r := f.read(t)
	if n := server.Loads("sound.html"); n != 2 || r.Reloads != 1 {
		t.Errorf("%d loads, %d reloads in the picture", n, r.Reloads)
	}
	if len(r.Cuts) != 1 {
		t.Errorf("cuts %v", r.Cuts)
	}
	// The recording goes on while the page loads: the file's own time has no hole that a second of quiet would not explain.
	for _, gap := range r.FileGaps {
		if gap.Milliseconds > 3000 {
			t.Errorf("nothing is shown for %v ms at %v s", gap.Milliseconds, gap.At)
		}
	}
	near(t, "length", f.video.FileDuration, r.Seconds, 1)
}

// The page itself starts, pauses, resumes and stops its recording.
func TestThePageDirectsItsRecording(t *testing.T) {
	ctx, server, host := limit(t), servePages(t), serve(t, 1)
	task := start(t, host, map[string]any{
		"RecordURL": server.URL("control.html?at=start:1,pause:3,resume:5,stop:7"), "ManualStart": true, "Width": 640, "Height": 360,
	})
	reports, err := server.Wait(ctx, "ready", 1)
	if err != nil {
		t.Fatal(err)
	}
	var ready struct {
		Functions  []string
		Recordhost struct{ TaskID, Status string }
	}
	if err := reports[0].Decode(&ready); err != nil {
		t.Fatal(err)
	}
	if len(ready.Functions) != 5 || ready.Recordhost.TaskID != task || ready.Recordhost.Status != "normal" {
		t.Errorf("the page found %+v", ready)
	}
	f := finished(t, host, task)
	r := f.read(t)
	if len(r.Cuts) != 1 {
		t.Fatalf("cuts %v", r.Cuts)
	}
	near(t, "the pause", r.Cuts[0].Milliseconds/1000, 2, 0.7)
	near(t, "length", f.video.FileDuration, 4, 1)
	if first := r.recording.Frames[0].Clock; first < 900 || first > 3000 {
		t.Errorf("the first picture is of the page's millisecond %d, want 1000", first)
	}
	var told []string
	for _, report := range server.Reports("status") {
		var status struct{ Told []string }
		if err := report.Decode(&status); err != nil {
			t.Fatal(err)
		}
		told = status.Told
	}
	if said := strings.Join(told, " "); !strings.HasPrefix(said, "recording paused recording") {
		t.Errorf("the page was told %q", said)
	}
	for _, report := range server.Reports("called") {
		var call struct{ Name, Outcome string }
		if err := report.Decode(&call); err != nil {
			t.Fatal(err)
		}
		if call.Outcome != "resolved" {
			t.Errorf("%s: %s", call.Name, call.Outcome)
		}
	}
}

func TestTheLimitEndsARecording(t *testing.T) {
	server, host := servePages(t), serve(t, 1)
	task := start(t, host, map[string]any{"RecordURL": server.URL("sound.html"), "MaxDurationLimit": 3, "Width": 480, "Height": 270})
	f := finished(t, host, task)
	near(t, "length", f.video.FileDuration, 3, 1.0/30)
	if f.CancelTime != 0 {
		t.Errorf("CancelTime %d of a task that nobody stopped", f.CancelTime)
	}
}

// ffmpeg is killed in the middle. Another takes over; at most two seconds of picture are lost and the page goes on.
func TestTheEncoderIsKilled(t *testing.T) {
	server, host := servePages(t), serve(t, 1)
	task := start(t, host, map[string]any{"RecordURL": server.URL("frames.html"), "Width": 640, "Height": 360})
	recorded(t, host, task, 3*time.Second)
	kill(t, host, "ffmpeg")
	recorded(t, host, task, 7*time.Second)
	f := stop(t, host, task)
	r := f.read(t)
	if n := server.Loads("frames.html"); n != 1 || r.Reloads != 0 {
		t.Errorf("the page was loaded %d times, %d reloads in the picture", n, r.Reloads)
	}
	for _, gap := range r.Gaps {
		if gap.Milliseconds > 2000 {
			t.Errorf("%v ms of picture are lost at %v s", gap.Milliseconds, gap.At)
		}
	}
	if r.Seconds < 5 || r.Flashes < 4 {
		t.Errorf("%v s, %d flashes", r.Seconds, r.Flashes)
	}
	if f.Quality == nil || f.Quality.Restarts < 1 {
		t.Errorf("quality %+v", f.Quality)
	}
}

// kill kills the processes of that name below the host.
func kill(t *testing.T, host *product.Host, name string) {
	t.Helper()
	below, err := host.Below()
	if err != nil {
		t.Fatal(err)
	}
	killed := 0
	for _, p := range below {
		if p.Name != name {
			continue
		}
		if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		killed++
	}
	if killed == 0 {
		t.Fatalf("no %s runs below the host", name)
	}
}

func TestStopBeforeAnythingWasRecorded(t *testing.T) {
	ctx, server, host := limit(t), servePages(t), serve(t, 1)
	task := start(t, host, map[string]any{"RecordURL": server.URL("sound.html?silent=1"), "ManualStart": true})
	if _, err := server.Wait(ctx, "loaded", 1); err != nil {
		t.Fatal(err)
	}
	tell(t, host, "Stop", task)
	d := await(t, host, task, "finished")
	if d.Result == nil || len(d.Result.Videos) != 0 || d.Result.ErrorCode != "" || d.StartTime != 0 || d.CancelTime == 0 {
		t.Errorf("%+v, result %+v", d, d.Result)
	}
	entries, err := os.ReadDir(host.Files)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) > 0 {
		t.Errorf("a file was made: %v", entries)
	}
}

func TestAPageThatFailsToLoadEndsTheTask(t *testing.T) {
	server, host := servePages(t), serve(t, 1)
	task := start(t, host, map[string]any{"RecordURL": server.URL("status/503")})
	d := await(t, host, task, "finished")
	if r := d.Result; r == nil || r.ErrorCode != "PageLoadFailed" || !strings.Contains(r.ErrorMessage, "503") || len(r.Videos) != 0 {
		t.Errorf("result %+v", r)
	}
}
