package encode_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recordhost/recordhost/internal/encode"
	"github.com/recordhost/recordhost/internal/mp4"
)

const (
	width, height = 320, 180
	limit         = 2 * time.Minute // of anything that a test waits for
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is an Output that keeps each run in a file, as the spool does, and an index of all.
type store struct {
	dir string

	mu     sync.Mutex
	index  mp4.Index
	runs   []mp4.Run
	file   *os.File
	size   int64
	shown  int           // pictures in fragments
	err    error         // answered to every further call
	hold   chan struct{} // when not nil, Fragment waits until it is closed
	notify chan struct{} // told of each fragment
}

func newStore(t *testing.T) *store {
	t.Helper()
	return &store{dir: t.TempDir(), notify: make(chan struct{}, 1000)}
}

func (s *store) Begin(run mp4.Run, head []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.runs = append(s.runs, run)
	f, err := os.Create(filepath.Join(s.dir, fmt.Sprintf("run-%d.mp4", len(s.runs))))
	if err != nil {
		return err
	}
	if s.file != nil {
		_ = s.file.Close()
	}
	s.file, s.size = f, int64(len(head))
	if _, err := f.Write(head); err != nil {
		return err
	}
	return s.index.Begin(run)
}

func (s *store) Fragment(f *mp4.Fragment, data []byte) error {
	s.mu.Lock()
	hold := s.hold
	s.mu.Unlock()
	if hold != nil {
		<-hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if err := s.index.Add(f, s.file.Name(), s.size); err != nil {
		return err
	}
	n, err := s.file.Write(data)
	s.size += int64(n)
	s.shown += len(f.Video)
	s.notify <- struct{}{}
	return err
}

// movie writes the progressive file and returns its path.
func (s *store) movie(t *testing.T, end time.Duration) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.index.Movie(end)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.dir, "movie.mp4")
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
	return path
}

func ffmpegPath(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// recorder starts a Recorder of small pictures; the test ends it.
func recorder(t *testing.T, out encode.Output, change func(*encode.Options)) *encode.Recorder {
	t.Helper()
	o := encode.Options{FFmpeg: ffmpegPath(t), Width: width, Height: height, FPS: 30}
	if change != nil {
		change(&o)
	}
	r, err := encode.New(o, out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
	return r
}

// film feeds a Recorder: every picture carries its number as black and white bars, the sound is a tone.
type film struct {
	r     *encode.Recorder
	fps   int
	frame int
	sound int // samples so far
	still bool
	buf   []byte
	times map[int]time.Duration // of the pictures that were taken, by number
	until time.Duration         // recorded time so far
}

func newFilm(r *encode.Recorder, fps int) *film {
	return &film{r: r, fps: fps, times: map[int]time.Duration{}, buf: make([]byte, width*height*3/2)}
}

// paint draws the picture's number: 16 bars, the least significant bit first.
func paint(buf []byte, number int) {
	for i := range buf {
		buf[i] = 128
	}
	for y := range height {
		for x := range width {
			v := byte(30)
			if number>>(x*16/width)&1 == 1 {
				v = 220
			}
			buf[y*width+x] = v
		}
	}
}

// play feeds d more of the film as fast as it is taken, in steps of 10 ms; when live, no faster than it lasts.
func (f *film) play(d time.Duration, live bool) {
	const step = 10 * time.Millisecond
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	for end := f.until + d; f.until < end; f.until += step {
		if live {
			<-ticker.C
		}
		for at := f.at(f.frame); at < f.until+step; at = f.at(f.frame) {
			if !f.still || f.frame == 0 {
				paint(f.buf, f.frame)
			}
			if f.r.Video(at, f.buf) {
				f.times[f.frame] = at
			} else if !live {
				select { // the encoder is behind: the same picture again
				case <-ticker.C:
					continue
				case <-f.r.Done():
					return
				}
			}
			f.frame++
		}
		pcm := make([]float32, 480*2)
		for i := range 480 {
			v := float32(0.3 * math.Sin(2*math.Pi*1000*float64(f.sound+i)/48000))
			pcm[2*i], pcm[2*i+1] = v, v
		}
		f.r.Audio(time.Duration(f.sound)*time.Second/48000, pcm)
		f.sound += 480
	}
}

func (f *film) at(frame int) time.Duration {
	return time.Duration(frame) * time.Second / time.Duration(f.fps)
}

func finish(t *testing.T, r *encode.Recorder) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := r.Finish(ctx); err != nil {
		t.Fatal(err)
	}
}

// packets asks ffprobe for the times of a stream's packets.
func packets(t *testing.T, path, stream string) (pts []float64) {
	t.Helper()
	var doc struct {
		Packets []struct {
			PTS string `json:"pts_time"`
		}
	}
	out := command(t, "ffprobe", "-v", "error", "-select_streams", stream, "-show_packets", "-of", "json", path)
	if err := json.Unmarshal(out, &doc); err != nil {
		t.Fatal(err)
	}
	for _, p := range doc.Packets {
		pts = append(pts, number(t, p.PTS))
	}
	return pts
}

func number(t *testing.T, s string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func duration(t *testing.T, path string) float64 {
	t.Helper()
	out := command(t, "ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", path)
	return number(t, strings.TrimSpace(string(out)))
}

func command(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
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

// numbers decodes a file and reads the bars of every picture, with the picture's time.
func numbers(t *testing.T, path string) (frames []int) {
	t.Helper()
	raw := command(t, "ffmpeg", "-v", "error", "-i", path, "-map", "0:v", "-fps_mode", "passthrough", "-enc_time_base", "1:90000",
		"-f", "rawvideo", "-pix_fmt", "gray", "pipe:1")
	const size = width * height
	if len(raw)%size != 0 {
		t.Fatalf("%d bytes of pictures", len(raw))
	}
	for ; len(raw) > 0; raw = raw[size:] {
		n := 0
		for bit := range 16 {
			if raw[height/2*width+bit*width/16+width/32] > 125 {
				n |= 1 << bit
			}
		}
		frames = append(frames, n)
	}
	return frames
}

// sound decodes a file's sound, one channel.
func sound(t *testing.T, path string) []int16 {
	t.Helper()
	raw := command(t, "ffmpeg", "-v", "error", "-i", path, "-map", "0:a", "-ac", "1", "-f", "s16le", "pipe:1")
	out := make([]int16, len(raw)/2)
	for i := range out {
		out[i] = int16(raw[2*i]) | int16(raw[2*i+1])<<8
	}
	return out
}

// steady checks that the tone goes on without a break between two times: its difference to itself one period later stays
// small against its amplitude, 9830.
func steady(t *testing.T, pcm []int16, from, to time.Duration) {
	t.Helper()
	a, b := int(from.Seconds()*48000), int(to.Seconds()*48000)
	if b+48 > len(pcm) {
		t.Fatalf("%d samples of sound, not %d", len(pcm), b+48)
	}
	for i := a; i < b; i++ {
		if d := int(pcm[i]) - int(pcm[i+48]); d > 2000 || d < -2000 {
			t.Fatalf("the tone breaks at %.4f s: %d, then %d", float64(i)/48000, pcm[i], pcm[i+48])
		}
	}
}

func TestRecordingComesOutAsItWentIn(t *testing.T) {
	for _, c := range []struct {
		fps   int
		still bool
		d     time.Duration
	}{
		{30, false, 4 * time.Second},
		{60, false, 2 * time.Second},
		{1, false, 5 * time.Second},
		{1, true, 5 * time.Second},
		{30, false, 10 * time.Millisecond}, // one picture
	} {
		t.Run(fmt.Sprintf("%d fps, still %v, %v", c.fps, c.still, c.d), func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			r := recorder(t, s, func(o *encode.Options) { o.FPS = c.fps })
			f := newFilm(r, c.fps)
			f.still = c.still
			f.play(c.d, false)
			finish(t, r)
			path := s.movie(t, c.d)

			got := numbers(t, path)
			pts := packets(t, path, "v")
			if len(pts) != len(got) {
				t.Fatalf("%d packets, %d pictures", len(pts), len(got))
			}
			shown := map[int]float64{} // the first time each number is seen
			for i, n := range got {
				at := sortedAt(pts, i)
				if _, ok := shown[n]; !ok {
					shown[n] = at
				}
			}
			for i, at := range f.times {
				if c.still && i > 0 {
					break
				}
				seen, ok := shown[i]
				if !ok || math.Abs(seen-at.Seconds()) > 0.0001 {
					t.Errorf("picture %d of %v is shown at %v (%v)", i, at, seen, ok)
				}
			}
			want := max(c.d.Seconds(), 0.01)
			if d := duration(t, path); math.Abs(d-want) > 0.002 {
				t.Errorf("it lasts %v, not %v", d, want)
			}
			if c.d > time.Second {
				steady(t, sound(t, path), 50*time.Millisecond, c.d-50*time.Millisecond)
			}
		})
	}
}

// sortedAt returns the i-th smallest of the times.
func sortedAt(pts []float64, i int) float64 {
	smaller := func(v float64) (n int) {
		for _, p := range pts {
			if p < v {
				n++
			}
		}
		return n
	}
	for _, p := range pts {
		if smaller(p) == i {
			return p
		}
	}
	return math.NaN()
}

// children are the processes that this one started, by name.
func children(t *testing.T, name string) (pids []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if strings.Contains(string(stat), "("+name+")") && fields[1] == strconv.Itoa(os.Getpid()) && fields[0] != "Z" {
			pids = append(pids, pid)
		}
	}
	return pids
}
