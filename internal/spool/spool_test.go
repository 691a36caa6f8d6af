package spool_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recordhost/recordhost/internal/mp4"
	"github.com/recordhost/recordhost/internal/spool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// origin is where the streams of these tests begin, as the encoder's do.
const origin = "10"

// piece is a fragment as it came.
type piece struct {
	f    *mp4.Fragment
	data []byte
}

// stream makes a small fragmented stream with ffmpeg.
func stream(t testing.TB, seconds, fps int) (*mp4.Init, []byte, []piece) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ffmpeg", "-v", "error",
		"-f", "lavfi", "-i", fmt.Sprintf("testsrc2=s=16x16:r=%d:d=%d", fps, seconds),
		"-f", "lavfi", "-i", fmt.Sprintf("sine=r=48000:d=%d", seconds),
		"-output_ts_offset", origin, "-c:v", "libx264", "-preset", "ultrafast", "-g", strconv.Itoa(fps), "-pix_fmt", "yuv420p",
		"-c:a", "aac", "-b:a", "16k", "-ac", "2", "-avoid_negative_ts", "disabled", "-use_editlist", "0",
		"-movflags", "+frag_keyframe+empty_moov+default_base_moof+frag_discont+skip_trailer", "-frag_duration", "500000",
		"-video_track_timescale", "90000", "-f", "mp4", "pipe:1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.Bytes())
	}
	r := mp4.NewReader(bytes.NewReader(out))
	head, in, err := r.Init()
	if err != nil {
		t.Fatal(err)
	}
	var pieces []piece
	for {
		data, f, err := r.Next()
		if errors.Is(err, io.EOF) {
			return in, head, pieces
		}
		if err != nil {
			t.Fatal(err)
		}
		pieces = append(pieces, piece{f, bytes.Clone(data)})
	}
}

func open(t testing.TB, dir string) *spool.Spool {
	t.Helper()
	s, err := spool.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fill writes a run of the stream into the spool.
func fill(t testing.TB, s *spool.Spool, in *mp4.Init, head []byte, pieces []piece, at time.Duration) {
	t.Helper()
	must(t, s.Begin(mp4.Run{Init: in, Video: at, Audio: at}, head))
	for _, p := range pieces {
		must(t, s.Fragment(p.f, p.data))
	}
}

// probe answers the number of pictures and the duration of a file, by decoding all of it.
func probe(t *testing.T, path string) (pictures int, seconds float64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ffprobe", "-v", "error", "-count_frames", "-select_streams", "v",
		"-show_entries", "stream=nb_read_frames:format=duration", "-of", "json", path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("ffprobe: %v: %s", err, stderr.Bytes())
	}
	var doc struct {
		Streams []struct {
			Frames string `json:"nb_read_frames"`
		}
		Format struct{ Duration string }
	}
	must(t, json.Unmarshal(out, &doc))
	pictures, err = strconv.Atoi(doc.Streams[0].Frames)
	must(t, err)
	seconds, err = strconv.ParseFloat(doc.Format.Duration, 64)
	must(t, err)
	return pictures, seconds
}

func TestRecordingWithGap(t *testing.T) {
	in, head, pieces := stream(t, 2, 10)
	dir := filepath.Join(t.TempDir(), "spool")
	s := open(t, dir)
	fill(t, s, in, head, pieces, 0)
	if c := s.Covered(); c < 2*time.Second || c > 2050*time.Millisecond {
		t.Errorf("covered: %v", c)
	}
	must(t, s.Mark(spool.Mark{Kind: spool.MarkPaused, At: time.Second}))
	must(t, s.Gap(2*time.Second, 3*time.Second, "the worker died"))
	fill(t, s, in, head, pieces, 2*time.Second)

	f, err := s.Finish(4*time.Second, "")
	must(t, err)
	check := func(f spool.File) {
		t.Helper()
		path := written(t, f)
		pictures, seconds := probe(t, path)
		if pictures != 40 || math.Abs(seconds-4) > 0.01 || f.Pictures != 40 || f.Duration != 4*time.Second {
			t.Errorf("%d pictures, %v s: %+v", pictures, seconds, f)
		}
		if info, err := os.Stat(path); err != nil || info.Size() != f.Size {
			t.Errorf("%v %v", info, err)
		}
	}
	check(f)
	if again, err := s.Finish(time.Hour, ""); err != nil || !reflect.DeepEqual(again, f) {
		t.Errorf("finished again: %+v, %v", again, err)
	}
	must(t, s.SetDelivery("files", spool.Delivery{Phase: "open", State: []byte("state")}))
	must(t, s.Close())
	must(t, s.Close())

	s = open(t, dir)
	facts := s.Facts()
	if facts.Runs != 2 || !facts.Ended || facts.End != 4*time.Second || !facts.Whole ||
		len(facts.Gaps) != 1 || facts.Gaps[0].Length != 3*time.Second || len(facts.Marks) != 1 || facts.Pictures != 40 ||
		string(facts.Deliveries["files"].State) != "state" {
		t.Errorf("%+v", facts)
	}
	if err := s.Begin(mp4.Run{Init: in}, head); err == nil {
		t.Error("a run begins after the end")
	}
	must(t, os.Remove(f.Extents[0].Path)) // made again, equal
	again, err := s.Finish(0, "")
	must(t, err)
	check(again)
	must(t, s.Remove())
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
}

func TestEmpty(t *testing.T) {
	s := open(t, t.TempDir())
	if _, err := s.Finish(time.Second, ""); !errors.Is(err, spool.ErrEmpty) {
		t.Errorf("%v", err)
	}
}

func TestOneAtATime(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	if _, err := spool.Open(dir, nil); !errors.Is(err, spool.ErrInUse) {
		t.Errorf("%v", err)
	}
}

// laid is a spool's files, and where each fragment of its one run ends.
type laid struct {
	in            *mp4.Init
	head          []byte
	pieces        []piece
	journal, file []byte
	ends          []int64
}

// lay writes a small recording and reads back what then lies on the disk.
func lay(t testing.TB) laid {
	t.Helper()
	l := laid{}
	l.in, l.head, l.pieces = stream(t, 1, 4)
	dir := t.TempDir()
	s := open(t, dir)
	fill(t, s, l.in, l.head, l.pieces, 0)
	must(t, s.Close())
	var err error
	l.journal, err = os.ReadFile(filepath.Join(dir, "journal"))
	must(t, err)
	l.file, err = os.ReadFile(filepath.Join(dir, "run-0001.mp4"))
	must(t, err)
	end := int64(len(l.head))
	for _, p := range l.pieces {
		end += p.f.Size
		l.ends = append(l.ends, end)
	}
	if end != int64(len(l.file)) || len(l.pieces) < 2 {
		t.Fatalf("%d fragments, which end at %d of %d bytes", len(l.pieces), end, len(l.file))
	}
	return l
}

// pictures are how many there are in the fragments that are whole in so many bytes of the run's file.
func (l laid) pictures(size int) (n int) {
	for i, p := range l.pieces {
		if l.ends[i] <= int64(size) {
			n += len(p.f.Video)
		}
	}
	return n
}

// TestEveryTruncation cuts the run's file at every byte, with the journal whole, with a journal that knows of the run
// alone, and with one that is cut too, and cuts the journal at every byte. The spool opens each time, and all fragments
// that are whole are in it, whoever tells of them: the last one alone is lost. What it becomes plays.
func TestEveryTruncation(t *testing.T) {
	l, dir := lay(t), memory(t)
	began := bytes.IndexByte(l.journal, '\n') + 1 // the run's own line
	half := began + (len(l.journal)-began)/2      // in the middle of some line
	for name, journal := range map[string][]byte{
		"the whole journal": l.journal, "the journal's first line": l.journal[:began], "half of the journal": l.journal[:half],
	} {
		t.Run(name, func(t *testing.T) {
			for size := range len(l.file) + 1 {
				checkCut(t, l, dir, journal, size, l.pictures(size))
			}
		})
	}
	t.Run("every journal", func(t *testing.T) {
		for size := range len(l.journal) + 1 {
			want := l.pictures(len(l.file))
			if size < began {
				want = 0 // nobody knows of a run
			}
			checkCut(t, l, dir, l.journal[:size], len(l.file), want)
		}
	})
}

// memory is a directory that lies in memory, where to sync costs nothing.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "recordhost-spool")
	if err != nil {
		return t.TempDir() // it only takes longer
	}
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}

// checkCut opens a spool of that journal and so many bytes of the run's file. The index is asked each time; every now and
// then a further run follows, or the recording's file is made and decoded.
func checkCut(t *testing.T, l laid, dir string, journal []byte, size, pictures int) {
	t.Helper()
	dir = filepath.Join(dir, "s")
	must(t, os.Mkdir(dir, 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "journal"), journal, 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "run-0001.mp4"), l.file[:size], 0o600))
	s, err := spool.Open(dir, nil)
	if err != nil {
		t.Fatalf("%d bytes of the run, %d of the journal: %v", size, len(journal), err)
	}
	defer func() { must(t, s.Remove()) }()
	if got := s.Facts(); got.Pictures != pictures || (got.Covered > 0) != (pictures > 0) {
		t.Fatalf("%d bytes of the run, %d of the journal: %d pictures up to %v, want %d",
			size, len(journal), got.Pictures, got.Covered, pictures)
	}
	atEnd := slices.ContainsFunc(l.ends, func(end int64) bool { return int64(size) == end || int64(size) == end-1 })
	switch {
	case pictures == 0:
	case atEnd && size < len(l.file) || size == len(l.file) && len(journal)%100 == 0:
		f, err := s.Finish(s.Covered(), "")
		must(t, err)
		if n, _ := probe(t, written(t, f)); n != pictures {
			t.Errorf("%d bytes of the run, %d of the journal: %d pictures can be decoded, want %d", size, len(journal), n, pictures)
		}
	case size%500 == 0:
		fill(t, s, l.in, l.head, l.pieces, s.Covered())
		if got := s.Facts().Pictures; got != pictures+l.pictures(len(l.file)) {
			t.Errorf("%d bytes of the run: %d pictures after another run", size, got)
		}
	}
}

// FuzzOpen: whatever a crash, or worse, has made of a spool, opening it ends with a spool or an error. What it holds is
// the same when it is opened again, and can be finished. Each line of the journal is given its checksum first, or nothing
// but whole lines would ever be read.
func FuzzOpen(f *testing.F) {
	l := lay(f)
	var journal []byte
	for line := range bytes.Lines(l.journal) {
		journal = append(journal, line[9:]...)
	}
	f.Add(journal, l.file)
	f.Add(journal, l.file[:len(l.file)-5])
	f.Add(journal[:bytes.IndexByte(journal, '\n')+1], l.file)
	for _, line := range []string{
		`{"run":{"file":"run-0001.mp4","head":-1}}`, `{"run":{"file":"../../../etc/passwd","head":9}}`, `{"run":{"file":""}}`,
		`{"run":{"file":"run-0001.mp4","head":9223372036854775807}}`, `{"gap":{"at":-1}}`, `{"end":{"at":-5}}`, `{"mark":{}}`, `{}`,
		`{"fragment":{"offset":1,"length":9223372036854775807,"head":9223372036854775807}}`, `{"file":{"size":1}}`, `null`,
		`{"delivery":{"target":"files","phase":"open"}}`,
	} {
		f.Add([]byte(line+"\n"+string(journal)), l.file)
		f.Add([]byte(string(journal)+line+"\n"), l.file)
	}
	f.Fuzz(func(t *testing.T, journal, file []byte) {
		dir := t.TempDir()
		var signed []byte
		for line := range bytes.Lines(journal) {
			line = bytes.TrimSuffix(line, []byte("\n"))
			signed = fmt.Appendf(signed, "%08x %s\n", crc32.Checksum(line, crc32.MakeTable(crc32.Castagnoli)), line)
		}
		must(t, os.WriteFile(filepath.Join(dir, "journal"), signed, 0o600))
		must(t, os.WriteFile(filepath.Join(dir, "run-0001.mp4"), file, 0o600))
		s, err := spool.Open(dir, nil)
		if err != nil {
			return
		}
		first := s.Facts()
		must(t, s.Close())
		if s, err = spool.Open(dir, nil); err != nil {
			t.Fatalf("the second time: %v", err)
		}
		defer func() { must(t, s.Close()) }()
		if again := s.Facts(); again.Pictures != first.Pictures || again.Covered != first.Covered || again.Ended != first.Ended {
			t.Errorf("the second time: %+v, the first: %+v", again, first)
		}
		made, err := s.Finish(s.Covered(), "")
		if err != nil {
			return
		}
		r := made.Open()
		defer r.Close()
		if n, err := io.Copy(io.Discard, r); err != nil || n != made.Size {
			t.Errorf("%d bytes of %+v: %v", n, made, err)
		}
	})
}

// TestZeros: after a power cut a file can have its length and lack its content.
func TestZeros(t *testing.T) {
	in, head, pieces := stream(t, 2, 10)
	dir := t.TempDir()
	s := open(t, dir)
	fill(t, s, in, head, pieces[:2], 0)
	want := s.Facts().Pictures
	must(t, s.Close())
	f, err := os.OpenFile(filepath.Join(dir, "run-0001.mp4"), os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	lost := pieces[2]
	_, err = f.Write(append(lost.data[:lost.f.Payload:lost.f.Payload], make([]byte, lost.f.Size-lost.f.Payload)...))
	must(t, err)
	must(t, f.Close())
	if got := open(t, dir).Facts().Pictures; got != want {
		t.Errorf("%d pictures, not %d", got, want)
	}
}

func TestJournalLineThatIsNoRecord(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "journal"), []byte(strings.Repeat("x", 100)+"\n"), 0o600))
	if f := open(t, dir).Facts(); f.Runs != 0 {
		t.Errorf("%+v", f)
	}
}

// written puts a file together.
func written(t *testing.T, f spool.File) string {
	t.Helper()
	r := f.Open()
	defer r.Close()
	data, err := io.ReadAll(r)
	must(t, err)
	path := filepath.Join(t.TempDir(), "whole.mp4")
	must(t, os.WriteFile(path, data, 0o600))
	return path
}

// TestNoRoomForTheHead: /dev/full stands in for a file system without room. The head goes elsewhere.
func TestNoRoomForTheHead(t *testing.T) {
	dir, scratch := t.TempDir(), t.TempDir()
	must(t, os.Symlink("/dev/full", filepath.Join(dir, "recording.head.part")))
	in, head, pieces := stream(t, 1, 4)
	s := open(t, dir)
	fill(t, s, in, head, pieces, 0)
	f, err := s.Finish(time.Second, scratch)
	must(t, err)
	if filepath.Dir(f.Extents[0].Path) != scratch {
		t.Errorf("the head is in %s", f.Extents[0].Path)
	}
	if pictures, _ := probe(t, written(t, f)); pictures != f.Pictures || pictures == 0 {
		t.Errorf("%d pictures of %d", pictures, f.Pictures)
	}
	must(t, os.Symlink("/dev/full", filepath.Join(dir, "recording.head.part")))
	if _, err := s.Finish(time.Second, "/no/such/directory"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nowhere to write: %v", err)
	}
}

// small is a file system of a few megabytes of memory.
func small(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size="+size, "none", dir).CombinedOutput(); err != nil {
		t.Fatalf("mount a small file system: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.CommandContext(context.Background(), "umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

// TestDiskFull: on a file system that runs full every fragment up to the one that did not fit is in the file, which needs no
// more room than was held back.
func TestDiskFull(t *testing.T) {
	dir := small(t, "3m") // little more than is held back
	in, head, pieces := stream(t, 1, 4)
	s := open(t, filepath.Join(dir, "spool"))
	must(t, s.Begin(mp4.Run{Init: in}, head))
	must(t, s.Fragment(pieces[0].f, pieces[0].data))
	filler, err := os.Create(filepath.Join(dir, "filler"))
	must(t, err)
	for err == nil {
		_, err = filler.Write(make([]byte, 1<<10))
	}
	must(t, filler.Close())
	err = s.Fragment(pieces[1].f, pieces[1].data)
	if !errors.Is(err, spool.ErrUnwritable) || !strings.Contains(err.Error(), "run-0001.mp4") {
		t.Fatalf("a fragment beyond the disk's end: %v", err)
	}
	f, err := s.Finish(time.Second, "/no/such/directory")
	must(t, err)
	if pictures, _ := probe(t, written(t, f)); pictures != len(pieces[0].f.Video) {
		t.Errorf("%d pictures, not the %d of the fragment that fitted", pictures, len(pieces[0].f.Video))
	}
	must(t, s.SetDelivery("files", spool.Delivery{Phase: "open"}))
	must(t, s.Close())
	if facts := open(t, filepath.Join(dir, "spool")).Facts(); !facts.Ended || facts.Pictures != len(pieces[0].f.Video) {
		t.Errorf("opened again: %+v", facts)
	}
}
