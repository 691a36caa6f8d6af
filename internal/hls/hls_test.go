package hls_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recordhost/recordhost/internal/hls"
	"github.com/recordhost/recordhost/internal/mp4"
)

const (
	packetSize = 188
	rate       = 48000
	fps        = 30
)

func command(t testing.TB, name string, args ...string) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil && stderr.Len() > 0 {
		err = errors.New("it complained")
	}
	if err != nil {
		return out, fmt.Errorf("%s %v: %w\n%s", name, args, err, stderr.Bytes())
	}
	return out, nil
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// run encodes a moving picture and a tone as one run of the encoder would be, with a key picture each second second.
func run(t testing.TB, seconds float64, more ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run.mp4")
	args := []string{
		"-v", "error", "-y",
		"-f", "lavfi", "-i", fmt.Sprintf("testsrc2=s=64x48:r=%d:d=%v", fps, seconds),
		"-f", "lavfi", "-i", fmt.Sprintf("aevalsrc=sin(2*PI*t*(300+40*t))*0.4|random(0)*0.1:s=%d:d=%v", rate, seconds),
		"-output_ts_offset", "10",
		"-c:v", "libx264", "-preset", "superfast", "-bf", "3", "-g", strconv.Itoa(2 * fps), "-sc_threshold", "0",
		"-pix_fmt", "yuv420p", "-c:a", "aac",
	}
	args = append(append(args, more...),
		"-bsf:v", `setts=pts=PTS:dts=DTS:duration=max(NEXT_DTS-DTS\,1)`, "-avoid_negative_ts", "disabled", "-use_editlist", "0",
		"-movflags", "+frag_keyframe+empty_moov+default_base_moof+frag_discont+skip_trailer",
		"-frag_duration", "500000", "-video_track_timescale", "90000", "-flush_packets", "1", "-f", "mp4", path)
	must[[]byte](t)(command(t, "ffmpeg", args...))
	return path
}

// film is a recording that grows: an index, and what is made of it on the way.
type film struct {
	t      *testing.T
	x      mp4.Index
	walk   mp4.Walk
	stream *hls.Stream
	dir    string
	groups []mp4.Group
}

func newFilm(t *testing.T, o hls.Options) *film {
	t.Helper()
	if o.Playlist == "" {
		o.Playlist = "playlist.m3u8"
	}
	return &film{t: t, stream: must[*hls.Stream](t)(hls.New(o)), dir: t.TempDir()}
}

// add reads a run's file, up to so many fragments, and makes the segments that become whole, after each.
func (f *film) add(path string, at mp4.Run, fragments int) {
	f.t.Helper()
	file := must[*os.File](f.t)(os.Open(path))
	defer func() { _ = file.Close() }()
	r := mp4.NewReader(file)
	head, in, err := r.Init()
	if err != nil {
		f.t.Fatal(err)
	}
	at.Init = in
	if err := f.x.Begin(at); err != nil {
		f.t.Fatal(err)
	}
	offset := int64(len(head))
	for ; fragments != 0; fragments-- {
		_, fragment, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			f.t.Fatal(err)
		}
		if err := f.x.Add(fragment, path, offset); err != nil {
			f.t.Fatal(err)
		}
		offset += fragment.Size
		f.takeWhole()
	}
}

func (f *film) takeWhole() {
	f.t.Helper()
	for {
		g, ok, err := f.x.Group(&f.walk)
		if err != nil {
			f.t.Fatal(err)
		}
		if !ok {
			return
		}
		f.segment(g)
	}
}

func (f *film) segment(g mp4.Group) {
	f.t.Helper()
	s := must[*hls.Segment](f.t)(f.stream.Add(g))
	file := must[*os.File](f.t)(os.Create(filepath.Join(f.dir, s.Name)))
	defer func() { _ = file.Close() }()
	if err := s.Write(file); err != nil {
		f.t.Fatal(err)
	}
	info := must[os.FileInfo](f.t)(file.Stat())
	if info.Size() != s.Size {
		f.t.Errorf("%s has %d bytes, not %d", s.Name, info.Size(), s.Size)
	}
	f.groups = append(f.groups, g)
}

// finish makes the last segment, the playlist, and the MP4 of the same recording, and answers the paths of both.
func (f *film) finish(end time.Duration, c hls.Calendar) (playlist, movie string) {
	f.t.Helper()
	g, ok, err := f.x.Rest(&f.walk, end)
	if err != nil || !ok {
		f.t.Fatalf("no last group: %v", err)
	}
	f.segment(g)
	playlist = filepath.Join(f.dir, "playlist.m3u8")
	if err := os.WriteFile(playlist, f.stream.Playlist(c, true), 0o600); err != nil {
		f.t.Fatal(err)
	}
	m := must[*mp4.Movie](f.t)(f.x.Movie(end))
	movie = filepath.Join(f.dir, "movie.mp4")
	file := must[*os.File](f.t)(os.Create(movie))
	defer func() { _ = file.Close() }()
	media := m.Extents.Open()
	defer func() { _ = media.Close() }()
	if _, err := io.Copy(file, io.MultiReader(bytes.NewReader(m.Head), media)); err != nil {
		f.t.Fatal(err)
	}
	return playlist, movie
}

// opened says how ffmpeg opens a file or a URL. A playlist without an end would be awaited for ever: there is none here.
func opened(path string) []string {
	return []string{"-allowed_extensions", "ALL", "-protocol_whitelist", "file,http,tcp,crypto", "-i", path}
}

// packet is one of ffprobe's: when it is shown, in seconds.
func times(t *testing.T, path, stream string) []float64 {
	t.Helper()
	args := []string{"-v", "error", "-select_streams", stream, "-show_entries", "packet=pts_time", "-of", "csv=p=0"}
	if strings.HasSuffix(path, ".m3u8") {
		args = append(args, opened(path)...)
	} else {
		args = append(args, "-v", "quiet", "-i", path)
	}
	var all []float64
	for line := range strings.Lines(string(must[[]byte](t)(command(t, "ffprobe", args...)))) {
		if line = strings.Trim(line, ",\n"); line != "" {
			all = append(all, must[float64](t)(strconv.ParseFloat(line, 64)))
		}
	}
	slices.Sort(all)
	return all
}

// hashes are of each decoded picture, or of each packet of sound without its head.
func hashes(t *testing.T, path, stream string) (all []string) {
	t.Helper()
	args := []string{"-v", "error"}
	if strings.HasSuffix(path, ".m3u8") {
		args = append(args, opened(path)...)
	} else { // whose parser, not its decoder, complains of a second decoder configuration
		args = []string{"-v", "quiet", "-i", path}
	}
	args = append(args, "-map", "0:"+stream, "-fps_mode", "passthrough")
	if stream == "a" {
		args = append(args, "-c", "copy")
		if strings.HasSuffix(path, ".m3u8") {
			args = append(args, "-bsf:a", "aac_adtstoasc")
		}
	}
	out := must[[]byte](t)(command(t, "ffmpeg", append(args, "-f", "framehash", "-hash", "md5", "-")...))
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "#") {
			all = append(all, strings.TrimSpace(strings.Split(strings.TrimSpace(line), ",")[5]))
		}
	}
	return all
}

// same compares a playlist with the MP4 of the same recording: every picture and every packet of sound, and its time.
func same(t *testing.T, playlist, movie string) {
	t.Helper()
	for _, stream := range []string{"v", "a"} {
		got, want := hashes(t, playlist, stream), hashes(t, movie, stream)
		if !slices.Equal(got, want) {
			t.Errorf("stream %s: %d packets or pictures are not the %d of the MP4", stream, len(got), len(want))
		}
		at, should := times(t, playlist, stream), times(t, movie, stream)
		if len(at) != len(should) {
			t.Errorf("stream %s: %d packets, not %d", stream, len(at), len(should))
			continue
		}
		for i := range at {
			if math.Abs(at[i]-10-should[i]) > 1.0/90000 {
				t.Errorf("stream %s: packet %d is at %v, in the MP4 at %v", stream, i, at[i]-10, should[i])
				break
			}
		}
	}
}

// packets checks the form of all segments together: sync bytes, counters, tables first, key picture first, clock.
func packets(t *testing.T, f *film) {
	t.Helper()
	last := map[int]byte{}
	for i := range f.groups {
		data := must[[]byte](t)(os.ReadFile(filepath.Join(f.dir, fmt.Sprintf("playlist-%05d.ts", i))))
		if len(data)%packetSize != 0 {
			t.Fatalf("segment %d has %d bytes", i, len(data))
		}
		var clock, told int64 = -1, 0
		for n := 0; n < len(data); n += packetSize {
			p := data[n : n+packetSize]
			pid, payload := int(p[1]&0x1F)<<8|int(p[2]), p[3]&0x10 != 0
			if p[0] != 0x47 {
				t.Fatalf("segment %d: packet %d does not begin as one", i, n/packetSize)
			}
			if want := []int{0, 0x1000, 0x100}; n/packetSize < 3 && pid != want[n/packetSize] {
				t.Errorf("segment %d: packet %d is of PID %#x", i, n/packetSize, pid)
			}
			if before, ok := last[pid]; ok && payload && p[3]&15 != (before+1)&15 || ok && !payload && p[3]&15 != before {
				t.Errorf("segment %d: PID %#x: packet %d follows %d", i, pid, p[3]&15, before)
			}
			last[pid] = p[3] & 15
			if n == 2*packetSize && (p[3]&0x20 == 0 || p[5]&0x50 != 0x50) {
				t.Errorf("segment %d does not begin with a picture that can be decoded, and the clock: % x", i, p[:8])
			}
			if p[3]&0x20 != 0 && p[4] > 0 && p[5]&0x10 != 0 {
				now := int64(p[6])<<25 | int64(p[7])<<17 | int64(p[8])<<9 | int64(p[9])<<1 | int64(p[10])>>7
				if clock >= 0 && (now < clock || now-clock > 9000) {
					t.Errorf("segment %d: the clock goes from %d to %d", i, clock, now)
				}
				clock, told = now, told+1
			}
		}
		if told == 0 {
			t.Errorf("segment %d has no clock", i)
		}
	}
}

func durations(playlist []byte) (all []float64) {
	for line := range strings.Lines(string(playlist)) {
		if text, ok := strings.CutPrefix(line, "#EXTINF:"); ok {
			d, _ := strconv.ParseFloat(strings.TrimSuffix(text, ",\n"), 64)
			all = append(all, d)
		}
	}
	return all
}

// TestSame: the segments hold, picture for picture and packet for packet, what the MP4 of the same spool holds.
func TestSame(t *testing.T) {
	t.Parallel()
	f := newFilm(t, hls.Options{Segment: 2 * time.Second})
	f.add(run(t, 7), mp4.Run{Video: 70 * time.Millisecond, Audio: 30 * time.Millisecond}, -1)
	if n := f.stream.Segments(); n != 3 {
		t.Errorf("%d segments while it was recorded, not 3", n)
	}
	playlist, movie := f.finish(7070*time.Millisecond, hls.Calendar{})
	same(t, playlist, movie)
	packets(t, f)
	text := must[[]byte](t)(os.ReadFile(playlist))
	if got := durations(text); !slices.Equal(got, []float64{2, 2, 2, 1}) {
		t.Errorf("segments of %v s", got)
	}
	if f.stream.Duration() != 7*time.Second {
		t.Errorf("it lasts %v", f.stream.Duration())
	}
}

// TestSlides: where pictures are rare the clock is told all the same.
func TestSlides(t *testing.T) {
	t.Parallel()
	f := newFilm(t, hls.Options{Segment: 2 * time.Second})
	f.add(run(t, 6, "-r", "1", "-g", "2"), mp4.Run{}, -1)
	playlist, movie := f.finish(6*time.Second, hls.Calendar{})
	same(t, playlist, movie)
	packets(t, f)
}

// TestJoin: a run of the encoder that takes over in the midst of a segment, which fed sound again to come into step, and
// one after a gap. What was made of the first run before that is as the MP4 has it in the end.
func TestJoin(t *testing.T) {
	t.Parallel()
	f := newFilm(t, hls.Options{Segment: 2 * time.Second})
	first, second, third := run(t, 5), run(t, 3), run(t, 3, "-profile:v", "baseline", "-bf", "0")
	f.add(first, mp4.Run{}, -1)
	before := f.stream.Segments()
	from := 4500 * time.Millisecond
	f.add(second, mp4.Run{Video: from, Audio: from - 2*1024*time.Second/rate, AudioFrom: from}, -1)
	at := f.x.Covered()
	if err := f.x.Cut(at); err != nil {
		t.Fatal(err)
	}
	f.takeWhole()
	f.add(third, mp4.Run{Video: at, Audio: at}, -1)
	day := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	calendar := hls.Calendar{
		Moments: []hls.Moment{{0, day}, {at, day.Add(at + time.Minute)}}, Gaps: []time.Duration{at},
	}
	playlist, movie := f.finish(at+3*time.Second, calendar)
	if before != 2 {
		t.Errorf("%d segments of the first run, not 2", before)
	}
	same(t, playlist, movie)
	packets(t, f)
	text := string(must[[]byte](t)(os.ReadFile(playlist)))
	if got := durations([]byte(text)); len(got) != 7 || got[2] != 0.5 || got[3] != 2 ||
		math.Abs(got[4]-(at-from-2*time.Second).Seconds()) > 1e-4 {
		t.Errorf("segments of %v s", got)
	}
	lines := strings.Split(text, "\n")
	if n := strings.Count(text, "#EXT-X-DISCONTINUITY"); n != 1 {
		t.Errorf("%d discontinuities, not one after the gap:\n%s", n, text)
	}
	i := slices.Index(lines, "#EXT-X-DISCONTINUITY")
	want := "#EXT-X-PROGRAM-DATE-TIME:" + day.Add(at+time.Minute).Format("2006-01-02T15:04:05.000Z")
	if i < 0 || lines[i+1] != want || lines[i+3] != "playlist-00005.ts" {
		t.Errorf("the gap is not where it should, or the time after it is not %s:\n%s", want, text)
	}
	if n := strings.Count(text, "#EXT-X-PROGRAM-DATE-TIME:"); n != 2 {
		t.Errorf("the time is told %d times, not at the beginning and after the gap:\n%s", n, text)
	}
}

// TestDecoderChanges: another setup of the decoder is a discontinuity, without a gap.
func TestDecoderChanges(t *testing.T) {
	t.Parallel()
	f := newFilm(t, hls.Options{Segment: 2 * time.Second})
	f.add(run(t, 4), mp4.Run{}, -1)
	f.add(run(t, 2, "-profile:v", "baseline", "-bf", "0"), mp4.Run{Video: 4 * time.Second, Audio: 4 * time.Second}, -1)
	playlist, movie := f.finish(6*time.Second, hls.Calendar{})
	same(t, playlist, movie)
	text := string(must[[]byte](t)(os.ReadFile(playlist)))
	if !strings.Contains(text, "playlist-00001.ts\n#EXT-X-DISCONTINUITY\n#EXTINF:2.000000,\nplaylist-00002.ts") ||
		strings.Count(text, "DISCONTINUITY") != 1 {
		t.Errorf("no discontinuity where the decoder changes:\n%s", text)
	}
}

// TestWholeIsFinal: whatever is cut off behind what is there, at any moment, no segment made before changes. It is made
// again, by another Stream, from what is left.
func TestWholeIsFinal(t *testing.T) {
	t.Parallel()
	source := run(t, 7)
	whole := newFilm(t, hls.Options{})
	whole.add(source, mp4.Run{}, -1)
	whole.finish(7*time.Second, hls.Calendar{})
	for fragments := 1; fragments <= 14; fragments++ {
		f := newFilm(t, hls.Options{})
		f.add(source, mp4.Run{}, fragments)
		made := f.stream.Segments()
		at := f.x.Covered()
		if err := f.x.Cut(at); err != nil {
			t.Fatal(err)
		}
		f.add(source, mp4.Run{Video: at, Audio: at}, 2)
		again := newFilm(t, hls.Options{})
		again.x, again.dir = f.x, t.TempDir()
		again.takeWhole()
		if n := again.stream.Segments(); n < made {
			t.Fatalf("after %d fragments: %d segments, which were %d", fragments, n, made)
		}
		for i := range made {
			name := fmt.Sprintf("playlist-%05d.ts", i)
			want := must[[]byte](t)(os.ReadFile(filepath.Join(whole.dir, name)))
			for _, dir := range []string{f.dir, again.dir} {
				if got := must[[]byte](t)(os.ReadFile(filepath.Join(dir, name))); !bytes.Equal(got, want) {
					t.Errorf("after %d fragments: %s is another one", fragments, name)
				}
			}
		}
	}
}

// TestEncrypted: a player that fetches the key plays it, no other; equal segments of different numbers do not look alike.
func TestEncrypted(t *testing.T) {
	t.Parallel()
	key := []byte("0123456789abcdef")
	var served atomic.Value
	served.Store(key)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(served.Load().([]byte))
	}))
	defer server.Close()
	f := newFilm(t, hls.Options{Key: key, KeyURL: server.URL + "/key?a=1&b=2", Segment: 2 * time.Second})
	f.add(run(t, 5), mp4.Run{}, -1)
	playlist, movie := f.finish(5*time.Second, hls.Calendar{})
	same(t, playlist, movie)
	for i := range f.groups {
		data := must[[]byte](t)(os.ReadFile(filepath.Join(f.dir, fmt.Sprintf("playlist-%05d.ts", i))))
		if len(data)%16 != 0 || bytes.Contains(data, key) || bytes.HasPrefix(data, []byte{0x47, 0x40}) {
			t.Errorf("segment %d is not encrypted", i)
		}
	}
	text := must[[]byte](t)(os.ReadFile(playlist))
	if bytes.Contains(text, key) || bytes.Contains(text, []byte("30313233")) || !bytes.Contains(text,
		[]byte(`#EXT-X-KEY:METHOD=AES-128,URI="`+server.URL+"/key?a=1&b=2\"\n")) {
		t.Errorf("the key is not where it should:\n%s", text)
	}
	served.Store([]byte("fedcba9876543210"))
	args := append([]string{"-v", "error", "-xerror"}, opened(playlist)...)
	if out, err := command(t, "ffmpeg", append(args, "-f", "null", "-")...); err == nil {
		t.Errorf("it plays with another key: %s", out)
	}
}

func TestPlaylist(t *testing.T) {
	t.Parallel()
	s := must[*hls.Stream](t)(hls.New(hls.Options{Playlist: "a b:c.m3u8", Segment: 5500 * time.Millisecond}))
	head := "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:EVENT\n" +
		"#EXT-X-INDEPENDENT-SEGMENTS\n"
	if got := string(s.Playlist(hls.Calendar{}, false)); got != head {
		t.Errorf("an empty one reads\n%s", got)
	}
	f := newFilm(t, hls.Options{})
	f.add(run(t, 5), mp4.Run{}, -1)
	for _, g := range f.groups {
		must[*hls.Segment](t)(s.Add(g))
	}
	g := f.groups[0]
	g.Begin, g.End = 4*time.Second, 12*time.Second
	must[*hls.Segment](t)(s.Add(g))
	day := time.Date(2026, 11, 26, 12, 0, 0, 0, time.FixedZone("", 3600))
	// Recording went on ten seconds later within the second segment, and at once within the first.
	calendar := hls.Calendar{Moments: []hls.Moment{
		{0, day}, {time.Second, day.Add(time.Second)}, {3 * time.Second, day.Add(13 * time.Second)},
	}}
	want := strings.Replace(head, "DURATION:6", "DURATION:8", 1) +
		"#EXT-X-PROGRAM-DATE-TIME:2026-11-26T11:00:00.000Z\n#EXTINF:2.000000,\n./a%20b:c-00000.ts\n" +
		"#EXTINF:2.000000,\n./a%20b:c-00001.ts\n" +
		"#EXT-X-PROGRAM-DATE-TIME:2026-11-26T11:00:14.000Z\n#EXTINF:8.000000,\n./a%20b:c-00002.ts\n"
	if got := string(s.Playlist(calendar, false)); got != want {
		t.Errorf("it reads\n%s\nnot\n%s", got, want)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]hls.Options{
		"no name":        {},
		"a folder":       {Playlist: "a/b.m3u8"},
		"a short key":    {Playlist: "a.m3u8", Key: make([]byte, 15), KeyURL: "https://a"},
		"no URL":         {Playlist: "a.m3u8", Key: make([]byte, 16)},
		"no key":         {Playlist: "a.m3u8", KeyURL: "https://a"},
		"a quote":        {Playlist: "a.m3u8", Key: make([]byte, 16), KeyURL: `https://a"`},
		"a line's end":   {Playlist: "a.m3u8", Key: make([]byte, 16), KeyURL: "https://a\n#EXT"},
		"negative times": {Playlist: "a.m3u8", Segment: -1},
	} {
		if _, err := hls.New(o); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestDamagedSpool: what cannot be read is told, and no segment comes of it.
func TestDamagedSpool(t *testing.T) {
	t.Parallel()
	f := newFilm(t, hls.Options{})
	source := run(t, 5)
	f.add(source, mp4.Run{}, -1)
	s := must[*hls.Stream](t)(hls.New(hls.Options{Playlist: "a.m3u8"}))
	segment := must[*hls.Segment](t)(s.Add(f.groups[0]))
	sum := sha256.New()
	if err := segment.Write(sum); err != nil {
		t.Fatal(err)
	}
	data := must[[]byte](t)(os.ReadFile(source))
	copy(data[f.groups[0].Video[3].Offset:], "\x7F\xFF\xFF\xFF")
	if err := os.WriteFile(source, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := segment.Write(io.Discard); err == nil {
		t.Error("a damaged picture was taken")
	}
	if err := os.Truncate(source, 1000); err != nil {
		t.Fatal(err)
	}
	if err := segment.Write(io.Discard); !errors.Is(err, io.EOF) {
		t.Errorf("a spool that was cut off: %v", err)
	}
}
