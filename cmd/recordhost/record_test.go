package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recordhost/recordhost/internal/task"
)

func TestTarget(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.Mkdir("folder", 0o755); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 24, 9, 8, 7, 0, time.UTC)
	for out, want := range map[string]target{
		"":             {filepath.Join(dir, "recordings"), "20261124-090807.mp4"},
		"lesson":       {dir, "lesson.mp4"},
		"lesson.mp4":   {dir, "lesson.mp4"},
		"lesson.MP4":   {dir, "lesson.MP4"},
		"lesson.v2":    {dir, "lesson.v2.mp4"},
		"folder":       {filepath.Join(dir, "folder"), "20261124-090807.mp4"},
		"new/":         {filepath.Join(dir, "new"), "20261124-090807.mp4"},
		"new/a/b.mp4":  {filepath.Join(dir, "new", "a"), "b.mp4"},
		dir + "/x.mp4": {dir, "x.mp4"},
	} {
		got, err := order{out: out}.target(now)
		if err != nil {
			t.Errorf("--out %q: %v", out, err)
			continue
		}
		if got != want {
			t.Errorf("--out %q goes to %+v, want %+v", out, got, want)
		}
		if info, err := os.Stat(got.dir); err != nil || !info.IsDir() {
			t.Errorf("--out %q: the folder was not made: %v", out, err)
		}
	}
}

func TestStart(t *testing.T) {
	o := order{url: "http://a/", duration: 90 * time.Second, width: 640, fps: 25, manualStart: true, readyTimeout: time.Minute}
	got, err := o.start(&target{dir: "/srv", file: "a.mp4"})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"RecordURL":"http://a/","ManualStart":true,"Width":640,"Height":0,"MaxDurationLimit":90,"ReadyTimeout":60,` +
		`"Output":{"TargetDir":"/","TargetName":"a.mp4","Video":{"Fps":25}}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("start (-want +got):\n%s", diff)
	}
}

// Where a configuration is given, its engine and runtime hold; --out alone says whether its storage does.
func TestSettings(t *testing.T) {
	t.Chdir(t.TempDir())
	const source = "engine { fps = 12 }\nruntime \"local\" \"near\" {}\nstorage \"blob\" \"archive\" {}\n"
	if err := os.WriteFile("c.hcl", []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		o                order
		runtime, storage string
		fps              int
		local            bool
	}{
		{order{}, "here", "files", 30, true},
		{order{config: "c.hcl"}, "near", "archive", 12, false},
		{order{config: "c.hcl", out: "x.mp4"}, "near", "files", 12, true},
	} {
		c, place, err := test.o.settings("/state")
		if err != nil {
			t.Fatal(err)
		}
		if c.DefaultRuntime != test.runtime || c.DefaultStorage != test.storage || c.Engine.FPS != test.fps ||
			c.DataDir != "/state" || (place != nil) != test.local {
			t.Errorf("%+v: %+v, place %v", test.o, c, place)
		}
	}
}

func TestVerdict(t *testing.T) {
	video := []task.Video{{Filename: "a.mp4"}}
	for _, test := range []struct {
		result *task.Result
		code   int // 0: no error
		text   string
		kept   bool
	}{
		{&task.Result{Videos: video}, 0, "", false},
		{&task.Result{}, exitFailed, "stopped before anything was recorded", false},
		{&task.Result{ErrorCode: "PageLoadFailed", ErrorMessage: "HTTP 404"}, exitFailed, "PageLoadFailed: HTTP 404", false},
		{&task.Result{ErrorCode: "PageCrashed", ErrorMessage: "twice", Videos: video}, exitIncomplete, "the file is whole, but", false},
		{&task.Result{ErrorCode: "UploadFailed", ErrorMessage: "no room"}, exitFailed, "is kept below /state", true},
		{nil, exitFailed, "without a result", false},
	} {
		d := task.Description{Status: task.Finished, Result: test.result}
		err := verdict(d, "/state")
		code := 0
		if err != nil {
			code = exitFailed
		}
		if e, ok := errors.AsType[*exitError](err); ok {
			code = e.code
		}
		if code != test.code || err != nil && !strings.Contains(err.Error(), test.text) || kept(d) != test.kept {
			t.Errorf("%+v: %v, code %d, kept %v", test.result, err, code, kept(d))
		}
	}
}
