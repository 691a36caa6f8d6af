package media_test

import (
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recordhost/recordhost/test/media"
)

// makeFile runs ffmpeg and answers the file that it wrote.
func makeFile(t *testing.T, name, args string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	cmd := exec.CommandContext(t.Context(), "ffmpeg", append(append([]string{"-v", "error"}, strings.Fields(args)...), file)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	return file
}

func TestProbe(t *testing.T) {
	file := makeFile(t, "f.mp4", "-f lavfi -i testsrc=s=320x180:r=25:d=2 -f lavfi -i sine=r=48000:d=2 -c:v libx264 -preset ultrafast "+
		"-pix_fmt yuv420p -colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv -c:a aac -ac 2 -movflags +faststart")
	info, err := media.Probe(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	stat, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size != stat.Size() || info.Index != media.IndexFirst {
		t.Errorf("size %d of %d, index %q", info.Size, stat.Size(), info.Index)
	}
	near(t, "length", info.Duration.Seconds(), 2, 0.05)
	v, a := info.Video, info.Audio
	if v == nil || a == nil {
		t.Fatalf("%+v", info)
	}
	if v.Codec != "h264" || v.Width != 320 || v.Height != 180 || v.PixelFormat != "yuv420p" || v.Frames != 50 {
		t.Errorf("%+v", *v)
	}
	if v.PixelAspect != "1:1" || v.Range != "tv" || v.Matrix != "bt709" || v.Transfer != "bt709" || v.Primaries != "bt709" {
		t.Errorf("%+v", *v)
	}
	near(t, "picture's length", v.Duration.Seconds(), 2, 0.001)
	if a.Codec != "aac" || a.Rate != 48000 || a.Channels != 2 {
		t.Errorf("%+v", *a)
	}
	near(t, "sound's length", a.Duration.Seconds(), 2, 0.05)
}

func TestWhereTheIndexStands(t *testing.T) {
	const source = "-f lavfi -i testsrc=s=64x64:d=1 -c:v libx264 -preset ultrafast "
	for options, want := range map[string]media.Index{
		"-movflags +faststart":                media.IndexFirst,
		"":                                    media.IndexLast,
		"-movflags +frag_keyframe+empty_moov": media.IndexFirst,
	} {
		info, err := media.Probe(t.Context(), makeFile(t, "f.mp4", source+options))
		if err != nil {
			t.Fatal(err)
		}
		if info.Index != want {
			t.Errorf("%q: index %q, want %q", options, info.Index, want)
		}
	}
	info, err := media.Probe(t.Context(), makeFile(t, "f.mkv", source))
	if err != nil {
		t.Fatal(err)
	}
	if info.Index != media.IndexNone || info.Audio != nil {
		t.Errorf("Matroska: index %q, sound %v", info.Index, info.Audio)
	}
}

func TestProbeNamesWhatIsNoRecording(t *testing.T) {
	file := filepath.Join(t.TempDir(), "no.mp4")
	if err := os.WriteFile(file, []byte("not a film at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := media.Probe(t.Context(), file); err == nil || !strings.Contains(err.Error(), "no.mp4") {
		t.Errorf("err = %v", err)
	}
}

func TestColours(t *testing.T) {
	// Red for a second, then blue with a white square.
	file := makeFile(t, "f.mkv", "-f lavfi -i color=red:s=320x180:r=10:d=1 -f lavfi -i color=blue:s=320x180:r=10:d=1 -filter_complex "+
		"[0]format=yuv444p[a];[1]format=yuv444p,drawbox=101:51:21:11:white:fill[b];[a][b]concat -c:v libx264 -qp 0 -pix_fmt yuv444p")
	patches, err := media.Colours(t.Context(), file, image.Rect(90, 40, 130, 70))
	if err != nil {
		t.Fatal(err)
	}
	if len(patches) != 20 {
		t.Fatalf("%d pictures, want 20", len(patches))
	}
	red, blue, white := media.RGB{255, 0, 0}, media.RGB{0, 0, 255}, media.RGB{255, 255, 255}
	for i, p := range patches {
		if at := time.Duration(i) * time.Second / 10; p.At != at {
			t.Errorf("picture %d is at %v, want %v", i, p.At, at)
		}
		if first := i < 10; p.Uniform(red, 8) != first || p.Uniform(blue, 8) {
			t.Errorf("picture %d is from %v to %v", i, p.Min, p.Max)
		}
	}
	for _, point := range []struct {
		at   time.Duration
		x, y int
		want media.RGB
	}{
		{0, 0, 0, red}, {950 * time.Millisecond, 319, 179, red}, {time.Second, 319, 179, blue}, {1200 * time.Millisecond, 100, 51, blue},
		{1200 * time.Millisecond, 101, 51, white}, {1900 * time.Millisecond, 121, 61, white}, {5 * time.Second, 122, 61, blue},
	} {
		got, err := media.Pixel(t.Context(), file, point.at, point.x, point.y)
		if err != nil {
			t.Fatal(err)
		}
		if !got.Near(point.want, 24) {
			t.Errorf("at %v (%d, %d): %v, want %v", point.at, point.x, point.y, got, point.want)
		}
	}
}

func TestLevels(t *testing.T) {
	// 500 Hz left and 900 Hz right, from the second second on; 700 Hz nowhere.
	const source = `aevalsrc=0.4*sin(2*PI*500*t)*gte(t\,1)|0.2*sin(2*PI*900*t)*gte(t\,1):s=48000:d=3`
	file := makeFile(t, "f.mp4", "-f lavfi -i "+source+" -c:a aac -b:a 192k")
	quiet, err := media.Levels(t.Context(), file, 0, 900*time.Millisecond, 500, 900)
	if err != nil {
		t.Fatal(err)
	}
	for _, level := range quiet {
		near(t, "quiet", max(level.Left, level.Right), 0, 0.01)
	}
	levels, err := media.Levels(t.Context(), file, 1500*time.Millisecond, time.Second, 500, 900, 700)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []media.Level{{Left: 0.4}, {Right: 0.2}, {}, {Left: 0.4, Right: 0.2}} {
		near(t, "left", levels[i].Left, want.Left, 0.03)
		near(t, "right", levels[i].Right, want.Right, 0.03)
	}
}

func TestCompare(t *testing.T) {
	original := makeFile(t, "o.mkv", "-f lavfi -i testsrc2=s=320x180:r=10:d=2 -c:v ffv1 -pix_fmt yuv420p")
	var likenesses []media.Likeness
	for _, crf := range []string{"1", "30", "45"} {
		encode := makeFile(t, "e.mp4", "-i "+original+" -c:v libx264 -preset ultrafast -crf "+crf)
		likeness, err := media.Compare(t.Context(), encode, original)
		if err != nil {
			t.Fatal(err)
		}
		likenesses = append(likenesses, likeness)
	}
	if likenesses[0].SSIM < 0.99 {
		t.Errorf("crf 1 has SSIM %v", likenesses[0].SSIM)
	}
	for i := range likenesses[1:] {
		better, worse := likenesses[i], likenesses[i+1]
		if better.SSIM <= worse.SSIM || better.Bits <= worse.Bits || worse.Bits == 0 {
			t.Errorf("%+v against %+v", better, worse)
		}
	}
}
