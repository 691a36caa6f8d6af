package hls_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recordhost/recordhost/internal/deliver"
	"github.com/recordhost/recordhost/internal/hls"
	"github.com/recordhost/recordhost/internal/mp4"
	"github.com/recordhost/recordhost/internal/spool"
	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
	"github.com/recordhost/recordhost/sdk/storage/storagetest"
)

// put is the call that sends a file.
const put = "Put"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// piece is a fragment as the encoder hands it out.
type piece struct {
	f    *mp4.Fragment
	data []byte
}

func pieces(t *testing.T, path string) (in *mp4.Init, head []byte, all []piece) {
	t.Helper()
	file := must[*os.File](t)(os.Open(path))
	defer func() { _ = file.Close() }()
	r := mp4.NewReader(file)
	head, in, err := r.Init()
	if err != nil {
		t.Fatal(err)
	}
	for {
		data, f, err := r.Next()
		if errors.Is(err, io.EOF) {
			return in, head, all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, piece{f, bytes.Clone(data)})
	}
}

// lesson is a spool that is being recorded into, and delivered from.
type lesson struct {
	t     *testing.T
	dir   string
	spool *spool.Spool
	run   *deliver.Run
}

func open(t *testing.T, dir string) *lesson {
	t.Helper()
	s := must[*spool.Spool](t)(spool.Open(dir, nil))
	t.Cleanup(func() { _ = s.Close() })
	return &lesson{t: t, dir: dir, spool: s}
}

func target(d storage.Driver, epoch uint64) deliver.Target {
	return deliver.Target{Name: "store", Driver: d, Delivery: storage.Delivery{
		TaskID: "task", Epoch: epoch, Dir: "lessons", Main: "playlist.m3u8",
	}}
}

func (l *lesson) deliver(d storage.Driver, epoch uint64, o hls.Options) {
	l.run = deliver.Begin(l.t.Context(), l.spool, []deliver.Target{target(d, epoch)}, hls.Cargo{Options: o},
		deliver.Options{GiveUp: time.Minute, Call: 10 * time.Second, FirstWait: time.Millisecond})
	l.t.Cleanup(func() { l.run.Stop(errors.New("the test is over")) })
}

func (l *lesson) begin(in *mp4.Init, head []byte, at time.Duration) {
	l.t.Helper()
	if err := l.spool.Begin(mp4.Run{Init: in, Video: at, Audio: at}, head); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lesson) add(all []piece) {
	l.t.Helper()
	for _, p := range all {
		if err := l.spool.Fragment(p.f, p.data); err != nil {
			l.t.Fatal(err)
		}
	}
}

func (l *lesson) mark(kind spool.MarkKind, at time.Duration, now time.Time) {
	l.t.Helper()
	if err := l.spool.Mark(spool.Mark{Kind: kind, At: at, Time: now}); err != nil {
		l.t.Fatal(err)
	}
}

// finish ends the recording and answers what the store says.
func (l *lesson) finish(end time.Duration) storage.Location {
	l.t.Helper()
	f := must[spool.File](l.t)(l.spool.Finish(end, ""))
	l.run.Whole(f)
	r := l.run.Results()[0]
	if r.Err != nil {
		l.t.Fatal(r.Err)
	}
	return r.Location
}

// await waits until the store's playlist names so many segments.
func await(t *testing.T, m *storagetest.Memory, segments int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if n := len(named(m.Files()["lessons/playlist.m3u8"])); n >= segments {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no playlist of %d segments: %v", segments, m.Calls())
		}
	}
}

// named are the segments that a playlist names.
func named(playlist []byte) (names []string) {
	for line := range strings.Lines(string(playlist)) {
		if !strings.HasPrefix(line, "#") {
			names = append(names, strings.TrimSpace(line))
		}
	}
	return names
}

// stored writes what a store holds of the delivery into a directory, for a player.
func stored(t *testing.T, m *storagetest.Memory) (playlist string) {
	t.Helper()
	dir := t.TempDir()
	for key, data := range m.Files() {
		if err := os.WriteFile(filepath.Join(dir, path.Base(key)), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "playlist.m3u8")
}

func movie(t *testing.T, l *lesson, end time.Duration) string {
	t.Helper()
	f := must[spool.File](t)(l.spool.Finish(end, ""))
	r := f.Extents.Open()
	defer func() { _ = r.Close() }()
	file := must[*os.File](t)(os.Create(filepath.Join(t.TempDir(), "movie.mp4")))
	defer func() { _ = file.Close() }()
	must[int64](t)(io.Copy(file, r))
	return file.Name()
}

// TestWhileItRecords: each segment is there before the playlist names it, at every moment; what the store has in the end is the
// recording, and its figures are right.
func TestWhileItRecords(t *testing.T) {
	t.Parallel()
	var m *storagetest.Memory
	var kinds []string
	m = storagetest.NewMemory(storagetest.Options{After: func(_ context.Context, c storagetest.Call) error {
		if c.Method != put || c.Name != "playlist.m3u8" {
			return nil
		}
		files := m.Files()
		text := files["lessons/playlist.m3u8"]
		for _, name := range named(text) {
			if _, there := files["lessons/"+name]; !there {
				t.Errorf("%s is named and not there", name)
			}
		}
		_, rest, _ := strings.Cut(string(text), "PLAYLIST-TYPE:")
		kind, _, _ := strings.Cut(rest, "\n")
		kinds = append(kinds, fmt.Sprint(kind, len(named(text)), strings.Contains(rest, "ENDLIST")))
		return nil
	}})
	in, head, all := pieces(t, run(t, 7))
	l := open(t, t.TempDir())
	l.deliver(m, 1, hls.Options{Segment: 2 * time.Second})
	begun := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	l.mark(spool.MarkRuns, 0, begun)
	l.begin(in, head, 0)
	for i, p := range all {
		l.add([]piece{p})
		if i == 5 || i == 9 || i == len(all)-1 {
			await(t, m, (i-1)/4)
		}
	}
	at := l.finish(7 * time.Second)
	if want := []string{"EVENT1 false", "EVENT2 false", "EVENT3 false", "VOD4 true"}; !slices.Equal(kinds, want) {
		t.Errorf("the playlists were %v, not %v", kinds, want)
	}
	var size int64
	for key, data := range m.Files() {
		size += int64(len(data))
		if key == "lessons/playlist.m3u8" {
			if !bytes.Contains(data, []byte("#EXT-X-PROGRAM-DATE-TIME:2026-11-26T12:00:00.000Z\n")) {
				t.Errorf("the playlist does not tell when it was:\n%s", data)
			}
		}
	}
	if at.Size != size || at.Name != "playlist.m3u8" || l.run.Delivered() != size {
		t.Errorf("%+v, %d delivered, of %d bytes", at, l.run.Delivered(), size)
	}
	same(t, stored(t, m), movie(t, l, 7*time.Second))
	if left, _ := filepath.Glob(filepath.Join(l.dir, "*"+spool.Derived)); len(left) > 0 {
		t.Errorf("left in the spool: %v", left)
	}
}

// TestAnotherWorker: a worker is gone at some moment, and another one goes on with its spool after a gap. What the store had is not
// sent again, and the playlist goes on.
func TestAnotherWorker(t *testing.T) {
	t.Parallel()
	in, head, all := pieces(t, run(t, 5))
	day := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for _, reached := range []int{3, 6, len(all)} {
		t.Run(fmt.Sprint(reached), func(t *testing.T) {
			t.Parallel()
			secret := []byte("0123456789abcdef")
			o := hls.Options{Segment: 2 * time.Second, Key: secret, KeyURL: "https://keys.example/1"}
			m := storagetest.NewMemory(storagetest.Options{})
			dir := t.TempDir()
			l := open(t, dir)
			l.deliver(m, 1, o)
			l.mark(spool.MarkRuns, 0, day)
			l.begin(in, head, 0)
			l.add(all[:reached])
			whole := max(0, (reached-1)/4)
			await(t, m, whole)
			l.run.Stop(errors.New("killed"))
			before := m.Files()
			if err := l.spool.Close(); err != nil {
				t.Fatal(err)
			}

			l = open(t, dir)
			l.deliver(m, 2, o)
			at := l.spool.Facts().Left().At
			if err := l.spool.Gap(at, time.Minute, "the worker was replaced"); err != nil {
				t.Fatal(err)
			}
			l.begin(in, head, at)
			l.mark(spool.MarkRuns, at, day.Add(at+time.Minute))
			l.add(all)
			end := at + 5*time.Second
			location := l.finish(end)
			puts := map[string]int{}
			for _, c := range m.Calls() {
				if c.Method == put {
					puts[c.Name]++
				}
			}
			var size int64
			for key, data := range m.Files() {
				size += int64(len(data))
				if !strings.HasSuffix(key, ".m3u8") && puts[path.Base(key)] != 1 {
					t.Errorf("%s was sent %d times", key, puts[path.Base(key)])
				}
				if old, known := before[key]; known && !strings.HasSuffix(key, ".m3u8") && !bytes.Equal(old, data) {
					t.Errorf("%s has become another one", key)
				}
				if bytes.Contains(data, o.Key) {
					t.Errorf("%s holds the key", key)
				}
			}
			if location.Size != size {
				t.Errorf("the store has %d bytes, and says %d", size, location.Size)
			}
			text := string(m.Files()["lessons/playlist.m3u8"])
			if old := before["lessons/playlist.m3u8"]; old != nil {
				want := strings.Replace(string(old), "TYPE:EVENT", "TYPE:VOD", 1)
				if !strings.HasPrefix(text, want) {
					t.Errorf("the playlist does not go on:\n%s\n%s", old, text)
				}
			}
			if strings.Count(text, "#EXT-X-DISCONTINUITY\n") != 1 || strings.Count(text, "DATE-TIME") != 2 {
				t.Errorf("the gap is not to be seen:\n%s", text)
			}
			journal := must[[]byte](t)(os.ReadFile(filepath.Join(dir, "journal")))
			if bytes.Contains(journal, secret) || bytes.Contains(journal, []byte(hex.EncodeToString(secret))) {
				t.Error("the journal holds the key")
			}
		})
	}
}

// TestFaults: a store that refuses, hangs, loses answers; a session that has expired.
func TestFaults(t *testing.T) {
	t.Parallel()
	in, head, all := pieces(t, run(t, 5))
	var once sync.Once
	for name, o := range map[string]storagetest.Options{
		"unavailable": {Before: storagetest.FailFirst(put, 7, status.Errorf(status.Unavailable, "503"))},
		"lost":        {After: storagetest.FailFirst(put, 7, status.Errorf(status.Unavailable, "reset"))},
		"commit lost": {After: storagetest.FailFirst("Commit", 2, status.Errorf(status.Unavailable, "reset"))},
		"expired": {Before: func(_ context.Context, c storagetest.Call) (err error) {
			if c.Method == put && c.Count == 4 {
				once.Do(func() { err = status.Errorf(status.FailedPrecondition, "the session is over") })
			}
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := storagetest.NewMemory(o)
			l := open(t, t.TempDir())
			l.deliver(m, 1, hls.Options{Segment: 2 * time.Second})
			l.begin(in, head, 0)
			l.add(all)
			at := l.finish(5 * time.Second)
			var size int64
			for _, data := range m.Files() {
				size += int64(len(data))
			}
			if at.Size != size || len(m.Files()) != 4 {
				t.Errorf("%d files of %d bytes: %+v", len(m.Files()), size, at)
			}
			same(t, stored(t, m), movie(t, l, 5*time.Second))
		})
	}
}

// TestOneFileOnly: a store that takes one file of a recording refuses this one, when it is whole.
func TestOneFileOnly(t *testing.T) {
	t.Parallel()
	in, head, all := pieces(t, run(t, 1))
	l := open(t, t.TempDir())
	l.deliver(storagetest.NewMemory(storagetest.Options{Capabilities: &storage.Capabilities{}}), 1, hls.Options{})
	l.begin(in, head, 0)
	l.add(all)
	l.run.Whole(must[spool.File](t)(l.spool.Finish(time.Second, "")))
	if err := l.run.Results()[0].Err; !errors.Is(err, status.InvalidArgument) {
		t.Errorf("%v", err)
	}
}

// TestAMoment: a recording of less than a segment.
func TestAMoment(t *testing.T) {
	t.Parallel()
	in, head, all := pieces(t, run(t, 0.5))
	m := storagetest.NewMemory(storagetest.Options{})
	l := open(t, t.TempDir())
	l.deliver(m, 1, hls.Options{})
	l.begin(in, head, 0)
	l.add(all)
	l.finish(500 * time.Millisecond)
	want := "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD\n" +
		"#EXT-X-INDEPENDENT-SEGMENTS\n#EXTINF:0.500000,\nplaylist-00000.ts\n#EXT-X-ENDLIST\n"
	if got := string(m.Files()["lessons/playlist.m3u8"]); got != want {
		t.Errorf("it reads\n%s", got)
	}
	same(t, stored(t, m), movie(t, l, 500*time.Millisecond))
}
