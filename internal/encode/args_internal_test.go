package encode

import (
	"slices"
	"strings"
	"testing"
)

func options(change func(*Options)) *Options {
	o := &Options{FFmpeg: "/usr/bin/ffmpeg", Width: 1280, Height: 720, FPS: 30}
	if change != nil {
		change(o)
	}
	return o
}

// after returns the argument that follows name.
func after(t *testing.T, args []string, name string) string {
	t.Helper()
	i := slices.Index(args, name)
	if i < 0 || i+1 == len(args) {
		t.Fatalf("no %s in %q", name, args)
	}
	return args[i+1]
}

func TestArguments(t *testing.T) {
	t.Parallel()
	args := options(nil).arguments()
	for name, want := range map[string]string{
		"-protocol_whitelist": "pipe", "-loglevel": "error", "-i": "pipe:0", "-preset": "superfast", "-crf": "22.9",
		"-b:a": "128000", "-frag_duration": "500000", "-threads:v": "1", "-g": "600",
		"-force_key_frames": "expr:if(isnan(prev_forced_t),1,gte(t,prev_forced_t+2))",
	} {
		if got := after(t, args, name); got != want {
			t.Errorf("%s %s, not %s", name, got, want)
		}
	}
	if args[len(args)-1] != "pipe:1" || !slices.Contains(args, "-nostdin") {
		t.Errorf("%q", args)
	}
	if slices.Contains(args, "-b:v") {
		t.Error("a bit rate nobody asked for")
	}
}

func TestArgumentsByOption(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		change     func(*Options)
		name, want string
	}{
		{func(o *Options) { o.CRF = 30 }, "-crf", "30"},
		{func(o *Options) { o.Bitrate = 2_000_000 }, "-b:v", "2000000"},
		{func(o *Options) { o.Bitrate = 2_000_000 }, "-maxrate", "3000000"},
		{func(o *Options) { o.Preset = "medium" }, "-preset", "medium"},
		{func(o *Options) { o.AudioBitrate = 64000 }, "-b:a", "64000"},
		{func(o *Options) { o.Width, o.Height, o.FPS = 1920, 1080, 60 }, "-threads:v", "2"},
		{func(o *Options) { o.Width, o.Height, o.FPS = 2560, 2560, 60 }, "-threads:v", "4"},
		{func(o *Options) { o.FPS = 1 }, "-g", "20"},
	} {
		if got := after(t, options(c.change).arguments(), c.name); got != c.want {
			t.Errorf("%s %s, not %s", c.name, got, c.want)
		}
	}
	if args := options(func(o *Options) { o.Bitrate = 1 }).arguments(); slices.Contains(args, "-crf") {
		t.Errorf("both a quality and a bit rate: %s", strings.Join(args, " "))
	}
}
