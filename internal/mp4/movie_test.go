package mp4_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/recordhost/recordhost/internal/mp4"
)

// muxing is how the encoder has ffmpeg write its fragments.
func muxing() []string {
	return []string{
		"-bsf:v", `setts=pts=PTS:dts=DTS:duration=max(NEXT_DTS-DTS\,1)`, "-avoid_negative_ts", "disabled", "-use_editlist", "0",
		"-movflags", "+frag_keyframe+empty_moov+default_base_moof+frag_discont+skip_trailer",
		"-frag_duration", "500000", "-video_track_timescale", "90000", "-flush_packets", "1", "-f", "mp4",
	}
}

func ffmpeg(t testing.TB, args ...string) []byte {
	t.Helper()
	return command(t, "ffmpeg", append([]string{"-v", "error", "-y"}, args...)...)
}

func command(t testing.TB, name string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%s %v: %v\n%s", name, args, err, stderr.Bytes())
	}
	return out
}

// run encodes a test picture and a tone into a file, as one run of the encoder would be, with B-frames.
func run(t testing.TB, seconds float64, fps int, more ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run.mp4")
	args := []string{
		"-f", "lavfi", "-i", fmt.Sprintf("testsrc2=s=64x48:r=%d:d=%v", fps, seconds),
		"-f", "lavfi", "-i", fmt.Sprintf("sine=r=48000:d=%v", seconds), "-output_ts_offset", "10",
		"-c:v", "libx264", "-preset", "superfast", "-bf", "3", "-g", strconv.Itoa(2 * fps), "-pix_fmt", "yuv420p",
		"-c:a", "aac", "-ac", "2",
	}
	ffmpeg(t, append(append(append(args, muxing()...), more...), path)...)
	return path
}

// add reads a run's file into the index.
func add(t *testing.T, x *mp4.Index, path string, at mp4.Run) []*mp4.Fragment {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r := mp4.NewReader(f)
	head, in, err := r.Init()
	if err != nil {
		t.Fatal(err)
	}
	at.Init = in
	if err := x.Begin(at); err != nil {
		t.Fatal(err)
	}
	offset := int64(len(head))
	var all []*mp4.Fragment
	for {
		data, fragment, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if !fragment.Whole(data) {
			t.Error("a whole fragment is not taken for one")
		}
		if err := x.Add(fragment, path, offset); err != nil {
			t.Fatal(err)
		}
		offset += fragment.Size
		all = append(all, fragment)
	}
}

func write(t *testing.T, x *mp4.Index, end time.Duration) (string, *mp4.Movie) {
	t.Helper()
	m, err := x.Movie(end)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "movie.mp4")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	media := m.Extents.Open()
	defer func() { _ = media.Close() }()
	if _, err := io.Copy(f, io.MultiReader(bytes.NewReader(m.Head), media)); err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil || info.Size() != m.Size {
		t.Errorf("%d bytes of %d: %v", info.Size(), m.Size, err)
	}
	return path, m
}

// shown decodes a stream and answers the times of what it shows, in order.
func shown(t *testing.T, path, stream string, quiet ...bool) (times []float64) {
	t.Helper()
	level := "error"
	if slices.Contains(quiet, true) { // ffprobe's parser, not its decoder, complains of a second decoder configuration
		level = "quiet"
	}
	out := command(t, "ffprobe", "-v", level, "-select_streams", stream, "-show_entries",
		"frame=best_effort_timestamp_time", "-of", "csv=p=0", path)
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimRight(line, ",\n"); line != "" { // side data leaves an empty one
			times = append(times, seconds(t, line))
		}
	}
	return times
}

func seconds(t *testing.T, s string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func durations(t *testing.T, path string) (format, video, audio float64) {
	t.Helper()
	ask := func(args ...string) float64 {
		out := command(t, "ffprobe", append(append([]string{"-v", "error", "-of", "csv=p=0"}, args...), path)...)
		return seconds(t, strings.TrimSpace(string(out)))
	}
	return ask("-show_entries", "format=duration"), ask("-select_streams", "v", "-show_entries", "stream=duration"),
		ask("-select_streams", "a", "-show_entries", "stream=duration")
}

// hashes are ffmpeg's of every packet's bytes.
func hashes(t *testing.T, path, stream string) (all []string) {
	t.Helper()
	out := ffmpeg(t, "-i", path, "-map", "0:"+stream, "-c", "copy", "-f", "framehash", "-hash", "md5", "-")
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "#") {
			fields := strings.Split(strings.TrimSpace(line), ",")
			all = append(all, strings.TrimSpace(fields[5])) // further fields hash side data
		}
	}
	return all
}

func close1ms(a, b float64) bool { return math.Abs(a-b) < 0.001 }

func TestOneRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fps    int
		length float64
	}{{30, 3}, {60, 1.5}, {1, 4}, {30, 0.03}} {
		t.Run(fmt.Sprintf("%d fps, %v s", c.fps, c.length), func(t *testing.T) {
			t.Parallel()
			source := run(t, c.length, c.fps)
			var x mp4.Index
			add(t, &x, source, mp4.Run{})
			end := time.Duration(c.length * float64(time.Second))
			path, m := write(t, &x, end)

			if format, video, audio := durations(t, path); !close1ms(format, c.length) || !close1ms(video, c.length) ||
				math.Abs(audio-c.length) > 0.022 || m.Duration.Round(time.Millisecond) != end {
				t.Errorf("durations %v, %v, %v, %v, not %v", format, video, audio, m.Duration, c.length)
			}
			times := shown(t, path, "v")
			for i, at := range times {
				if !close1ms(at, float64(i)/float64(c.fps)) {
					t.Fatalf("picture %d at %v", i, at)
				}
			}
			if want := max(1, int(math.Round(c.length*float64(c.fps)))); len(times) != want || m.Pictures != want {
				t.Errorf("%d pictures, %d in the index, not %d", len(times), m.Pictures, want)
			}
			if sound := shown(t, path, "a"); !close1ms(sound[0], 0) {
				t.Errorf("the sound begins at %v", sound[0])
			}
			for _, stream := range []string{"v", "a"} {
				if got, want := hashes(t, path, stream), hashes(t, source, stream); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("stream %s: its %d packets are not the %d of the run", stream, len(got), len(want))
				}
			}
		})
	}
}

// TestPlaces: picture and sound lie where the caller says they were captured, each by itself.
func TestPlaces(t *testing.T) {
	t.Parallel()
	source := run(t, 2, 30)
	var x mp4.Index
	add(t, &x, source, mp4.Run{Video: 70 * time.Millisecond, Audio: 30 * time.Millisecond})
	path, _ := write(t, &x, 2100*time.Millisecond)
	if v, a := shown(t, path, "v"), shown(t, path, "a"); !close1ms(v[0], 0.07) || !close1ms(a[0], 0.03) ||
		!close1ms(v[59], 0.07+59.0/30) {
		t.Errorf("the picture begins at %v, the sound at %v", v[0], a[0])
	}
	if format, _, _ := durations(t, path); !close1ms(format, 2.1) {
		t.Errorf("it lasts %v", format)
	}
}

// TestJoinedRuns: two runs that overlap, and a third after a gap, be it with another decoder configuration.
func TestJoinedRuns(t *testing.T) {
	t.Parallel()
	t.Run("alike", func(t *testing.T) {
		t.Parallel()
		testJoin(t, run(t, 3, 30), run(t, 2, 30), run(t, 2, 30), 1)
	})
	t.Run("different", func(t *testing.T) {
		t.Parallel()
		testJoin(t, run(t, 3, 30), run(t, 2, 30), run(t, 2, 30, "-profile:v", "baseline", "-bf", "0"), 2)
	})
}

func testJoin(t *testing.T, first, second, third string, configurations int) {
	t.Helper()
	var x mp4.Index
	add(t, &x, first, mp4.Run{})
	// The second run takes over after 2 s, and was fed 43 ms of sound before that counts.
	from := 2*time.Second + time.Duration(2*mp4.Packet)*time.Second/48000
	add(t, &x, second, mp4.Run{Video: 2 * time.Second, Audio: 2 * time.Second, AudioFrom: from})
	if c := x.Covered(); c < 4*time.Second || c > 4050*time.Millisecond {
		t.Errorf("covered: %v", c)
	}
	if err := x.Cut(4 * time.Second); err != nil {
		t.Fatal(err)
	}
	add(t, &x, third, mp4.Run{Video: 4 * time.Second, Audio: 4 * time.Second})
	path, m := write(t, &x, 6*time.Second)

	times := shown(t, path, "v", configurations > 1)
	if len(times) != 60+60+60 || m.Pictures != len(times) {
		t.Fatalf("%d pictures, %d in the index", len(times), m.Pictures)
	}
	for i, at := range times {
		if !close1ms(at, float64(i)/30) {
			t.Fatalf("picture %d at %v", i, at)
		}
	}
	if format, video, audio := durations(t, path); !close1ms(format, 6) || !close1ms(video, 6) || math.Abs(audio-6) > 0.022 {
		t.Errorf("durations %v, %v, %v", format, video, audio)
	}
	sound := shown(t, path, "a")
	for i := 1; i < len(sound); i++ { // no hole, no drift: where runs join a packet may be cut or stretched by half
		if d := sound[i] - sound[i-1]; d < 0.0106 || d > 0.0321 {
			t.Errorf("from packet %d to the next %v s, at %v", i-1, d, sound[i])
		}
	}
	if entries := bytes.Count(m.Head, []byte("avcC")); entries != configurations {
		t.Errorf("%d decoder configurations, not %d", entries, configurations)
	}
}

// TestEndBeforeLastPicture: a picture that came at the very end is shown, if briefly.
func TestEndBeforeLastPicture(t *testing.T) {
	t.Parallel()
	source := run(t, 1, 10)
	var x mp4.Index
	add(t, &x, source, mp4.Run{})
	path, m := write(t, &x, 900*time.Millisecond) // exactly when the tenth picture came
	if got := shown(t, path, "v"); len(got) != 10 || m.Duration < 900*time.Millisecond || m.Duration > 933*time.Millisecond {
		t.Errorf("%d pictures in %v", len(got), m.Duration)
	}
}

func TestNothing(t *testing.T) {
	t.Parallel()
	var x mp4.Index
	if _, err := x.Movie(time.Second); !errors.Is(err, mp4.ErrEmpty) {
		t.Errorf("%v", err)
	}
	if err := x.Add(&mp4.Fragment{}, "", 0); err == nil {
		t.Error("a fragment without a run is taken")
	}
	if err := x.Cut(-time.Second); err == nil {
		t.Error("a cut before the beginning is taken")
	}
}

// TestTenHours: the index of ten hours is small, and laid out in no time. (The bounds are far above what it takes.)
func TestTenHours(t *testing.T) {
	t.Parallel()
	in := parseHead(t, run(t, 1, 30))
	var x mp4.Index
	if err := x.Begin(mp4.Run{Init: in}); err != nil {
		t.Fatal(err)
	}
	const fragments = 10 * 3600 * 2
	var packets int64
	for i := range int64(fragments) {
		f := mp4.Fragment{Payload: 500}
		at := f.Payload
		for k := range int64(15) {
			decode := (i*15 + k) * 3000
			f.Video = append(f.Video, mp4.Sample{Offset: at, Size: uint32(5000 + k), Decode: decode, Present: decode, Sync: k == 0})
			at += 5000 + k
		}
		for ; packets*mp4.Packet < (i+1)*24000; packets++ {
			f.Audio = append(f.Audio, mp4.Sample{Offset: at, Size: 340, Decode: packets * mp4.Packet, Sync: true})
			at += 340
		}
		f.Size = at
		if err := x.Add(&f, "run-0001.mp4", i*100000); err != nil {
			t.Fatal(err)
		}
	}
	m, err := x.Movie(10 * time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if m.Pictures != fragments*15 || m.Duration != 10*time.Hour || len(m.Extents) != fragments || len(m.Head) > 30<<20 {
		t.Errorf("%d pictures, %v, %d extents, an index of %d bytes", m.Pictures, m.Duration, len(m.Extents), len(m.Head))
	}
	if !bytes.Contains(m.Head, []byte("co64")) {
		t.Error("a file beyond 4 GiB has 32-bit offsets")
	}
}

func parseHead(t *testing.T, path string) *mp4.Init {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	_, in, err := mp4.NewReader(f).Init()
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// FuzzReader: whatever a stream holds, it is read or refused, at a cost that its length bounds; and of what was read a file
// can be laid out, as long as the extents that it names.
func FuzzReader(f *testing.F) {
	whole, err := os.ReadFile(run(f, 0.1, 10))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add(bytes.ReplaceAll(whole, []byte("mp4a"), []byte("zzzz")))
	f.Add([]byte("\x00\x00\x00\x10ftypisom\x00\x00\x02\x00\x00\x00\x00\x08moov"))
	f.Add([]byte("\x00\x00\x00\x01ftyp\x00\x00\x00\x00\x00\x00\x00\x18aaaaaaaa"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := mp4.NewReader(bytes.NewReader(b))
		head, in, err := r.Init()
		if err != nil {
			return
		}
		var x mp4.Index
		begun := x.Begin(mp4.Run{Init: in}) == nil
		offset := int64(len(head))
		for {
			data, fragment, err := r.Next()
			if err != nil {
				break
			}
			fragment.Whole(data)
			if _, err := in.ParseHead(data[:fragment.Payload], fragment.Size); err != nil {
				t.Errorf("the head alone is refused: %v", err)
			}
			if begun && x.Add(fragment, "run", offset) != nil {
				t.Error("a fragment that was read is not taken")
			}
			offset += fragment.Size
		}
		checkLayout(t, &x)
	})
}

// checkLayout lays a file out, before and after a cut in its middle.
func checkLayout(t *testing.T, x *mp4.Index) {
	t.Helper()
	for range 2 {
		m, err := x.Movie(x.Covered())
		if errors.Is(err, mp4.ErrEmpty) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		size := int64(len(m.Head))
		for _, e := range m.Extents {
			size += e.Length
		}
		if m.Size != size || m.Duration < 0 {
			t.Errorf("%d bytes of %d, %v", m.Size, size, m.Duration)
		}
		if err := x.Cut(x.Covered() / 2); err != nil {
			t.Fatal(err)
		}
	}
}
