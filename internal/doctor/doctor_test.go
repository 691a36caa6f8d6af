package doctor

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// script puts a program of that name first in the PATH.
func script(t *testing.T, name, body string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+body+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// The machine that runs the tests can record: all that make test installs is there.
func TestThisMachineIsWell(t *testing.T) {
	findings := Examine(t.Context(), Options{DataDir: filepath.Join(t.TempDir(), "not", "made", "yet")})
	var names []string
	for _, f := range findings {
		names = append(names, f.Name)
		switch f.Name {
		case "disk", "/dev/shm": // how full they are is not the test's business
		default:
			if !f.OK || f.Advice != "" || f.Detail == "" {
				t.Errorf("%+v", f)
			}
		}
	}
	want := []string{
		"Chrome", "sandbox", "ffmpeg", "fonts for Chinese, Japanese, Korean", "fonts for emoji", "/dev/shm", "disk",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

func TestEncoderIsMissing(t *testing.T) {
	script(t, "ffmpeg", `case "$1" in
-version) echo "ffmpeg version 9 Copyright (c) nobody" ;;
*) echo " V....D libx264rgb  H.264"; echo " A..... aac  AAC" ;;
esac`)
	want := amiss("ffmpeg", "ffmpeg version 9 Copyright (c) nobody has no encoder libx264",
		"apt-get install ffmpeg, or name another in ffmpeg of engine {} of the config")
	if diff := cmp.Diff(want, ffmpeg(t.Context(), Options{})); diff != "" {
		t.Errorf("finding (-want +got):\n%s", diff)
	}
}

func TestNoFonts(t *testing.T) {
	script(t, "fc-list", "true")
	want := amiss("fonts for emoji", "none: such text is recorded as empty boxes", "apt-get install fonts-noto-color-emoji")
	if diff := cmp.Diff(want, fontsEmoji(t.Context(), Options{})); diff != "" {
		t.Errorf("finding (-want +got):\n%s", diff)
	}
}

func TestNoNamespaces(t *testing.T) {
	script(t, "unshare", `echo "unshare: unshare failed: Operation not permitted" >&2; exit 1`)
	if os.Geteuid() == 0 {
		// The unprivileged user must reach the program.
		for dir := filepath.SplitList(os.Getenv("PATH"))[0]; len(dir) > 1; dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil || dir == os.TempDir() {
				break
			}
		}
		if err := os.Chmod(filepath.Join(filepath.SplitList(os.Getenv("PATH"))[0], "unshare"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	got := sandbox(t.Context(), Options{})
	if got.OK || !strings.HasSuffix(got.Detail, "unshare: unshare failed: Operation not permitted") || got.Advice != sandboxAdvice {
		t.Errorf("%+v", got)
	}
}

func TestSandboxIsOff(t *testing.T) {
	if got := sandbox(t.Context(), Options{SandboxOff: true}); got.OK || !strings.Contains(got.Detail, "switched off") {
		t.Errorf("%+v", got)
	}
}

func TestLessFreeThanTheHostWants(t *testing.T) {
	got := disk(t.Context(), Options{DataDir: t.TempDir(), MinFree: 1 << 62})
	if got.OK || !strings.Contains(got.Detail, "starts no recording below") || !strings.Contains(got.Advice, "min_free") {
		t.Errorf("%+v", got)
	}
}

// A program that never answers is a finding like any other, and does not hold up the rest.
func TestHang(t *testing.T) {
	script(t, "fc-list", "exec sleep 1000")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := fontsCJK(ctx, Options{})
	if got.OK || !strings.Contains(got.Detail, "did not answer in time") {
		t.Errorf("%+v", got)
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 MiB", 512 << 20: "512 MiB", 5 << 30: "5.0 GiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %s, want %s", n, got, want)
		}
	}
}
