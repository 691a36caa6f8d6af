package e2e_test

import (
	"context"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/recordhost/recordhost/test/processes"
	"github.com/recordhost/recordhost/test/product"
)

// Whatever dies, the recording goes on in the same task and the same file, and what is missing is cut out and told. The full
// matrix is test/chaos; this is one way through it: Chrome, the renderer and the worker die in one recording.
func TestWhatDiesIsReplaced(t *testing.T) {
	server, host := servePages(t), serve(t, 1)
	task := start(t, host, map[string]any{"RecordURL": server.URL("frames.html"), "Width": 640, "Height": 360})
	recorded(t, host, task, 3*time.Second)
	for i, die := range []func(){
		func() {
			killWhere(t, host, func(name, args string) bool { return name == "chromium" && !strings.Contains(args, "--type=") })
		},
		func() {
			killWhere(t, host, func(name, args string) bool { return name == "chromium" && strings.Contains(args, "--type=renderer") })
		},
		func() {
			killWhere(t, host, func(name, args string) bool { return name == "recordhost" && strings.Contains(args, "worker") })
		},
	} {
		die()
		if _, err := server.Wait(limit(t), "loaded", i+2); err != nil {
			t.Fatalf("after death %d: %v", i+1, err)
		}
		d := await(t, host, task, "recording")
		recorded(t, host, task, time.Duration(d.Progress.Recorded*float64(time.Second))+3*time.Second)
	}
	f := stop(t, host, task)
	if f.Result.ErrorCode != "" || f.Quality.Restarts != 3 || len(f.Quality.Gaps) != 3 {
		t.Errorf("result %+v, quality %+v", f.Result, f.Quality)
	}
	sum := f.video.FileDuration
	for _, g := range f.Quality.Gaps {
		sum += g.Seconds
	}
	if wall := float64(f.StopTime - f.StartTime); sum < wall-2 || sum > wall+2 { // told in whole seconds
		t.Errorf("recorded and gaps are %v s, %v s went by", sum, wall)
	}
	r := f.read(t)
	if r.Reloads != 3 || r.PlusHalfFrame == nil || math.Abs(r.PlusHalfFrame.Median) > 100 {
		t.Errorf("%d reloads, sound against picture %+v", r.Reloads, r.PlusHalfFrame)
	}
}

// Chrome's process for graphics may die as often as it likes: Chrome has another one within moments, and the page knows nothing
// of it.
func TestTheGraphicsProcessDies(t *testing.T) {
	server, host := servePages(t), serve(t, 1)
	task := start(t, host, map[string]any{"RecordURL": server.URL("frames.html"), "Width": 640, "Height": 360})
	for n := range 4 {
		recorded(t, host, task, time.Duration(n+1)*4*time.Second)
		killWhere(t, host, func(name, args string) bool {
			return name == "chromium" && strings.Contains(args, "--type=gpu-process")
		})
	}
	recorded(t, host, task, 20*time.Second)
	f := stop(t, host, task)
	r := f.read(t)
	if n := server.Loads("frames.html"); n != 1 || r.Reloads != 0 {
		t.Errorf("the page was loaded %d times, and is seen to begin anew %d times", n, r.Reloads)
	}
	for _, gap := range r.Gaps {
		if gap.Milliseconds > 3000 {
			t.Errorf("no picture for %v ms at %v s", gap.Milliseconds, gap.At)
		}
	}
	if r.PlusHalfFrame == nil || math.Abs(r.PlusHalfFrame.Median) > 80 {
		t.Errorf("sound against picture %+v", r.PlusHalfFrame)
	}
}

// A page that hangs, or dies over and over, is opened again three times; then what there is is delivered, and it is said why.
func TestAPageThatDiesOverAndOver(t *testing.T) {
	server, host := servePages(t), serve(t, 1)
	task := start(t, host, map[string]any{"RecordURL": server.URL("frames.html"), "Width": 320, "Height": 180})
	for n := range 4 {
		if _, err := server.Wait(limit(t), "loaded", n+1); err != nil {
			t.Fatal(err)
		}
		d := await(t, host, task, "recording")
		recorded(t, host, task, time.Duration(d.Progress.Recorded*float64(time.Second))+2*time.Second)
		killWhere(t, host, func(name, args string) bool { return name == "chromium" && strings.Contains(args, "--type=renderer") })
	}
	f := failed(t, host, task)
	if f.Result.ErrorCode != "PageCrashed" || len(f.Quality.Gaps) < 3 {
		t.Errorf("result %+v, quality %+v", f.Result, f.Quality)
	}
	if f.video.FileDuration < 7 {
		t.Errorf("%v s were delivered", f.video.FileDuration)
	}
	f.read(t)
}

// A disk that runs full ends the recording; all but the last moments are delivered, since the end of a recording needs no
// more room than was held back for it.
func TestADiskThatRunsFull(t *testing.T) {
	server := servePages(t)
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	mount(t, "-t", "tmpfs", "-o", "size=64m", "none", data)
	host := serveIn(t, dir, 1, "engine { min_free = 0 }")
	task := start(t, host, map[string]any{"RecordURL": server.URL("frames.html"), "Width": 640, "Height": 360})
	recorded(t, host, task, 5*time.Second)
	before, err := host.Describe(limit(t), task)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, filepath.Join(data, "filler"))
	f := failed(t, host, task)
	if f.Result.ErrorCode != "DiskFull" {
		t.Errorf("result %+v", f.Result)
	}
	if f.video.FileDuration < before.Progress.Recorded-2 {
		t.Errorf("%v s were delivered, %v s had been recorded when the disk ran full", f.video.FileDuration, before.Progress.Recorded)
	}
	f.read(t)
}

// failed answers the film of a task that has failed, and was delivered all the same.
func failed(t *testing.T, host *product.Host, task string) film {
	t.Helper()
	d := await(t, host, task, "finished")
	if d.Result == nil || len(d.Result.Videos) != 1 {
		t.Fatalf("result %+v", d.Result)
	}
	whole, result := d, *d.Result
	result.ErrorCode = "" // of which develop knows nothing
	whole.Result = &result
	f := develop(t, whole, host.File(task, d.Result.Videos[0]))
	f.Description = d
	return f
}

// fill writes until the disk takes no more.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	for err == nil {
		_, err = f.Write(make([]byte, 64<<10))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// mount mounts a file system for the length of the test.
func mount(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "mount", args...).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.CommandContext(context.Background(), "umount", "-l", args[len(args)-1]).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
}

// killWhere kills what runs below the host, or below a worker that has outlived one.
func killWhere(t *testing.T, host *product.Host, wanted func(name, args string) bool) {
	t.Helper()
	below, err := host.Below()
	if err != nil {
		t.Fatal(err)
	}
	killed := 0
	for _, p := range below {
		if args, _ := processes.Arguments(p.PID); wanted(p.Name, strings.Join(args, " ")) {
			if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				t.Fatal(err)
			}
			killed++
		}
	}
	if killed == 0 {
		t.Fatal("what was to be killed does not run below the host")
	}
}
