package deliver_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recordhost/recordhost/internal/deliver"
	"github.com/recordhost/recordhost/internal/mp4"
	"github.com/recordhost/recordhost/internal/spool"
	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
	"github.com/recordhost/recordhost/sdk/storage/storagetest"
)

const putPart = "PutPart"

// film is a fragmented stream as the encoder writes it, of eight seconds and more than six mebibytes.
type film struct {
	init   *mp4.Init
	head   []byte
	pieces []piece
}

type piece struct {
	f    *mp4.Fragment
	data []byte
}

const filmLength = 8 * time.Second

var shoot = sync.OnceValues(func() (film, error) { //nolint:gochecknoglobals // the film is made once
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ffmpeg", "-v", "error",
		"-f", "lavfi", "-i", "testsrc2=s=480x270:r=10:d=8", "-f", "lavfi", "-i", "sine=r=48000:d=8",
		"-vf", "noise=alls=40:allf=t", "-c:v", "libx264", "-preset", "ultrafast", "-crf", "8", "-g", "10", "-pix_fmt", "yuv420p",
		"-c:a", "aac", "-b:a", "32k", "-ac", "2", "-avoid_negative_ts", "disabled", "-use_editlist", "0",
		"-movflags", "+frag_keyframe+empty_moov+default_base_moof+frag_discont+skip_trailer", "-frag_duration", "500000",
		"-video_track_timescale", "90000", "-f", "mp4", "pipe:1")
	out, err := cmd.Output()
	if err != nil {
		return film{}, err
	}
	r := mp4.NewReader(bytes.NewReader(out))
	var made film
	if made.head, made.init, err = r.Init(); err != nil {
		return film{}, err
	}
	made.head = bytes.Clone(made.head)
	for {
		data, f, err := r.Next()
		if errors.Is(err, io.EOF) {
			return made, nil
		}
		if err != nil {
			return film{}, err
		}
		made.pieces = append(made.pieces, piece{f, bytes.Clone(data)})
	}
})

// growth is a recording that is being made.
type growth struct {
	t     *testing.T
	dir   string
	spool *spool.Spool
	film  film
	at    time.Duration
}

func grow(t *testing.T) *growth {
	t.Helper()
	made, err := shoot()
	if err != nil {
		t.Fatal(err)
	}
	g := &growth{t: t, dir: t.TempDir(), film: made}
	g.open()
	return g
}

// open opens the spool, also after another process has had it.
func (g *growth) open() {
	g.t.Helper()
	s, err := spool.Open(g.dir, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = s.Close() })
	g.spool = s
}

// film records the film once more, and waits until all of it is on the disk.
func (g *growth) record() {
	g.t.Helper()
	if err := g.spool.Begin(mp4.Run{Init: g.film.init, Video: g.at, Audio: g.at}, g.film.head); err != nil {
		g.t.Fatal(err)
	}
	want, _ := g.spool.Media()
	for _, p := range g.film.pieces {
		if err := g.spool.Fragment(p.f, p.data); err != nil {
			g.t.Fatal(err)
		}
		want += p.f.Size - p.f.Payload
	}
	g.at += filmLength
	for {
		media, more := g.spool.Media()
		if media >= want {
			return
		}
		<-more
	}
}

// await waits until all is sent that a store takes before the end: all but part 1, and what is smaller than a part.
func (g *growth) await(run *deliver.Run) {
	g.t.Helper()
	media, _ := g.spool.Media()
	until(g.t, "what is there is sent", func() bool { return run.Delivered() > media-2<<20 })
}

func (g *growth) finish() spool.File {
	g.t.Helper()
	f, err := g.spool.Finish(g.at, g.dir)
	if err != nil {
		g.t.Fatal(err)
	}
	return f
}

func content(t *testing.T, f spool.File) []byte {
	t.Helper()
	r := f.Open()
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil || int64(len(data)) != f.Size {
		t.Fatalf("%d bytes of %d: %v", len(data), f.Size, err)
	}
	return data
}

// until waits until something is so.
func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !met(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came about: %s", what)
		}
	}
}

// counting is a driver that counts the bytes that it is given to send.
type counting struct {
	storage.Driver
	sent atomic.Int64
}

func (c *counting) PutPart(ctx context.Context, s storage.State, u storage.Upload, p storage.Part) (storage.Receipt, error) {
	c.sent.Add(p.Size())
	return c.Driver.PutPart(ctx, s, u, p)
}

func (c *counting) Put(ctx context.Context, s storage.State, f storage.File) error {
	c.sent.Add(f.Size)
	return c.Driver.Put(ctx, s, f)
}

// inParts are the capabilities of a store like S3 or COS, with the smallest parts that there are.
func inParts() *storage.Capabilities {
	return &storage.Capabilities{Parts: true, OutOfOrder: true, MinPartSize: 1 << 20, MaxPartSize: 5 << 30, MaxParts: 10000, ReadBack: true}
}

func TestGrows(t *testing.T) {
	g := grow(t)
	m := storagetest.NewMemory(storagetest.Options{Capabilities: inParts()})
	c := &counting{Driver: m}
	run := deliver.Begin(t.Context(), g.spool, []deliver.Target{target("cos", c)}, deliver.Movie{}, quick())
	defer run.Stop(nil)
	g.record()
	g.record()
	g.await(run)
	if len(m.Files()) != 0 {
		t.Fatal("a reader sees the file before it is whole")
	}
	early := count(calls(m), putPart)
	f := g.finish()
	run.Whole(f)
	r := run.Results()[0]
	if r.Err != nil || r.Location.Size != f.Size || run.Delivered() != f.Size {
		t.Fatalf("%+v, %d delivered", r, run.Delivered())
	}
	methods := calls(m)
	if late := count(methods, putPart) - early; late > 2 || early < 8 || count(methods, put) != 0 {
		t.Errorf("%d parts while it grew, %d afterwards: %v", early, late, methods)
	}
	if c.sent.Load() != f.Size {
		t.Errorf("%d bytes were sent of %d", c.sent.Load(), f.Size)
	}
	stored := m.Files()["task/lesson.mp4"]
	if !bytes.Equal(stored, content(t, f)) {
		t.Error("what is stored is not the spool's file")
	}
	if moov, mdat := bytes.Index(stored, []byte("moov")), bytes.Index(stored, []byte("mdat")); moov < 0 || moov > mdat {
		t.Errorf("moov at %d, mdat at %d", moov, mdat)
	}
	// Each packet that was recorded is in the stored file, by what ffmpeg finds in it.
	path := filepath.Join(t.TempDir(), "stored.mp4")
	if err := os.WriteFile(path, stored, 0o600); err != nil {
		t.Fatal(err)
	}
	want := packets(t, filepath.Join(g.dir, "run-0001.mp4"), "v")
	want = append(want, packets(t, filepath.Join(g.dir, "run-0002.mp4"), "v")...)
	if got := packets(t, path, "v"); len(got) != 160 || !slices.Equal(got, want) {
		t.Errorf("%d pictures are stored, of %d", len(got), len(want))
	}
}

// packets are the checksums of the packets of a stream.
func packets(t *testing.T, path, stream string) (sums []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-i", path, "-map", "0:"+stream, "-c", "copy", "-f", "framehash", "-")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "#") {
			fields := strings.Split(strings.TrimSpace(line), ",")
			sums = append(sums, strings.TrimSpace(fields[len(fields)-1]))
		}
	}
	return sums
}

// TestGrowsOverGap: what a cut takes out of the recording stays in the file, where nothing refers to it.
func TestGrowsOverGap(t *testing.T) {
	g := grow(t)
	m := storagetest.NewMemory(storagetest.Options{Capabilities: inParts()})
	run := deliver.Begin(t.Context(), g.spool, []deliver.Target{target("cos", m)}, deliver.Movie{}, quick())
	defer run.Stop(nil)
	g.record()
	until(t, "a part is there", func() bool { return run.Delivered() > 0 })
	g.at = 5 * time.Second
	if err := g.spool.Gap(g.at, time.Second, "a test"); err != nil {
		t.Fatal(err)
	}
	g.record()
	f := g.finish()
	run.Whole(f)
	if r := run.Results()[0]; r.Err != nil || !bytes.Equal(m.Files()["task/lesson.mp4"], content(t, f)) {
		t.Errorf("%+v", r)
	}
	if count(calls(m), "BeginParts") != 1 {
		t.Errorf("%v", calls(m))
	}
}

// expiring is a store whose sessions end: the first n calls that send parts after a while find none.
type expiring struct {
	*storagetest.Memory
	kind  status.Kind
	after int32
	parts atomic.Int32
	lose  bool // and what was sent is gone
}

func (e *expiring) PutPart(ctx context.Context, s storage.State, u storage.Upload, p storage.Part) (storage.Receipt, error) {
	if e.parts.Add(1) == e.after {
		if e.lose {
			if err := e.Abort(ctx, s); err != nil {
				return storage.Receipt{}, err
			}
		}
		return storage.Receipt{}, status.Errorf(e.kind, "no such session")
	}
	return e.Memory.PutPart(ctx, s, u, p)
}

// lying is a store that answers wrong receipts for one part, once.
type lying struct {
	*storagetest.Memory
	told atomic.Bool
}

func (l *lying) PutPart(ctx context.Context, s storage.State, u storage.Upload, p storage.Part) (storage.Receipt, error) {
	r, err := l.Memory.PutPart(ctx, s, u, p)
	if err == nil && p.Number == 4 && !l.told.Swap(true) {
		r.Checksum = "md5:" + hex.EncodeToString(md5.New().Sum(nil))
	}
	return r, err
}

func TestFaultsWhileItGrows(t *testing.T) {
	unavailable, forbidden := status.Errorf(status.Unavailable, "503"), status.Errorf(status.PermissionDenied, "403")
	busy := status.WithRetryAfter(unavailable, 20*time.Millisecond)
	first := func(n int, method string, part int, err error) func(context.Context, storagetest.Call) error {
		var seen atomic.Int32
		return func(_ context.Context, c storagetest.Call) error {
			if c.Method == method && (part == 0 || c.Part == part) && int(seen.Add(1)) <= n {
				return err
			}
			return nil
		}
	}
	var hung atomic.Bool
	for name, c := range map[string]struct {
		options storagetest.Options
		driver  func(*storagetest.Memory) storage.Driver
		resent  int64 // parts
		anew    bool
		begun   int
	}{
		"503 for long":           {options: storagetest.Options{Before: first(10, putPart, 3, unavailable)}, resent: 10, begun: 1},
		"refused for a while":    {options: storagetest.Options{Before: first(3, putPart, 3, forbidden)}, resent: 3, begun: 1},
		"429":                    {options: storagetest.Options{Before: first(2, putPart, 3, busy)}, resent: 2, begun: 1},
		"a part's answer lost":   {options: storagetest.Options{After: first(1, putPart, 3, unavailable)}, resent: 1, begun: 1},
		"the finish's, too":      {options: storagetest.Options{After: first(3, "FinishParts", 0, unavailable)}, begun: 1},
		"the begin's":            {options: storagetest.Options{After: first(1, "BeginParts", 0, unavailable)}, begun: 2},
		"the commit's":           {options: storagetest.Options{After: first(2, "Commit", 0, unavailable)}, begun: 1},
		"a part is not the part": {driver: func(m *storagetest.Memory) storage.Driver { return &lying{Memory: m} }, resent: 1, begun: 1},
		"a black hole": {
			options: storagetest.Options{Before: func(ctx context.Context, c storagetest.Call) error {
				if c.Part == 3 && !hung.Swap(true) {
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			}},
			resent: 1, begun: 1,
		},
		"the upload is lost": {
			driver: func(m *storagetest.Memory) storage.Driver {
				return &expiring{Memory: m, kind: status.NotFound, after: 5, lose: true}
			}, anew: true, begun: 2,
		},
		"the session has expired": {
			driver: func(m *storagetest.Memory) storage.Driver {
				return &expiring{Memory: m, kind: status.FailedPrecondition, after: 5}
			}, anew: true, begun: 2,
		},
		"finished, and nobody knows": {
			options: storagetest.Options{After: first(1, "FinishParts", 0, status.Errorf(status.NotFound, "no such upload"))}, begun: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := grow(t)
			c.options.Capabilities = inParts()
			m := storagetest.NewMemory(c.options)
			driver := storage.Driver(m)
			if c.driver != nil {
				driver = c.driver(m)
			}
			counted := &counting{Driver: driver}
			o := quick()
			o.RefusedWait, o.Call = 10*time.Millisecond, 2*time.Second
			run := deliver.Begin(t.Context(), g.spool, []deliver.Target{target("cos", counted)}, deliver.Movie{}, o)
			defer run.Stop(nil)
			g.record()
			until(t, "five parts are there", func() bool { return run.Delivered() >= 4<<20 })
			f := g.finish()
			run.Whole(f)
			if r := run.Results()[0]; r.Err != nil {
				t.Fatal(r.Err)
			}
			if files := m.Files(); len(files) != 1 || !bytes.Equal(files["task/lesson.mp4"], content(t, f)) {
				t.Errorf("%d files, or not the one", len(files))
			}
			again := counted.sent.Load() - f.Size
			if most := c.resent << 20; !c.anew && again != most || c.anew && (again <= 0 || again > 6<<20) {
				t.Errorf("%d bytes were sent again", again)
			}
			if n := count(calls(m), "BeginParts"); n != c.begun {
				t.Errorf("%d uploads were begun: %v", n, calls(m))
			}
		})
	}
}

// TestTakenAtTheEnd: somebody else's file came there while the recording was made. It stays, and the spool does.
func TestTakenAtTheEnd(t *testing.T) {
	g := grow(t)
	m := storagetest.NewMemory(storagetest.Options{Capabilities: inParts()})
	run := deliver.Begin(t.Context(), g.spool, []deliver.Target{target("cos", m)}, deliver.Movie{}, quick())
	defer run.Stop(nil)
	g.record()
	until(t, "a part is there", func() bool { return run.Delivered() > 0 })
	m.Plant("task/lesson.mp4", []byte("another's"))
	f := g.finish()
	run.Whole(f)
	if r := run.Results()[0]; deliver.Code(r.Err) != "TargetExists" {
		t.Errorf("%v", r.Err)
	}
	if string(m.Files()["task/lesson.mp4"]) != "another's" || m.Uploads() != 0 {
		t.Errorf("%d uploads are left, %q is there", m.Uploads(), m.Files()["task/lesson.mp4"])
	}
	content(t, f)

	// Tried again when there is room: all of it, with an upload of its own.
	free := target("cos", storagetest.NewMemory(storagetest.Options{Capabilities: inParts()}))
	if r := file(t.Context(), g.spool, f, []deliver.Target{free}, quick())[0]; r.Err != nil || r.Location.Size != f.Size {
		t.Errorf("%+v", r)
	}
}

// TestAnotherProcess: a worker that dies in the middle of a part is followed by one that goes on with the same upload.
func TestAnotherProcess(t *testing.T) {
	for _, cut := range []struct {
		name   string
		method string
		early  bool // while it grows
		first  bool // it is part 1
	}{
		{"in a part", putPart, true, false}, {"in the tail", putPart, false, false}, {"in part 1", putPart, false, true},
		{"at the finish", "FinishParts", false, false}, {"at the commit", "Commit", false, false},
	} {
		t.Run(cut.name, func(t *testing.T) {
			g := grow(t)
			reached := make(chan struct{})
			var once sync.Once
			var ended atomic.Bool
			hold := func(ctx context.Context, c storagetest.Call) (err error) {
				if c.Method == cut.method && (c.Part == 4 && cut.early || ended.Load() && !cut.early && (c.Part == 1) == cut.first) {
					once.Do(func() {
						close(reached)
						<-ctx.Done()
						err = ctx.Err()
					})
				}
				return err
			}
			m := storagetest.NewMemory(storagetest.Options{Capabilities: inParts(), After: hold}) // it arrived, and nobody knows
			c := &counting{Driver: m}
			targets := []deliver.Target{target("cos", c)}
			run := deliver.Begin(t.Context(), g.spool, targets, deliver.Movie{}, quick())
			g.record()
			var f spool.File
			if !cut.early {
				g.await(run)
				f = g.finish()
				ended.Store(true)
				run.Whole(f)
			}
			<-reached
			run.Stop(errors.New("killed"))
			if err := g.spool.Close(); err != nil {
				t.Fatal(err)
			}

			g.open()
			targets[0].Delivery.Epoch = 2
			run = deliver.Begin(t.Context(), g.spool, targets, deliver.Movie{}, quick())
			defer run.Stop(nil)
			if cut.early {
				g.record()
				g.await(run)
			}
			f = g.finish()
			run.Whole(f)
			if r := run.Results()[0]; r.Err != nil {
				t.Fatal(r.Err)
			}
			if !bytes.Equal(m.Files()["task/lesson.mp4"], content(t, f)) || m.Uploads() != 0 {
				t.Errorf("not the file, or %d uploads are left", m.Uploads())
			}
			methods := calls(m)
			if count(methods, "Open") != 1 || count(methods, "BeginParts") != 1 {
				t.Errorf("%v", methods)
			}
			most := int64(1 << 20)
			switch {
			case cut.first:
				most = 1<<20 + f.Head
			case cut.method != putPart:
				most = 0
			}
			if again := c.sent.Load() - f.Size; again > most || again < 0 || again == 0 && most > 0 {
				t.Errorf("%d bytes were sent again", again)
			}
		})
	}
}

// TestNothingIsLeft of a recording that came to nothing.
func TestNothingIsLeft(t *testing.T) {
	g := grow(t)
	m := storagetest.NewMemory(storagetest.Options{Capabilities: inParts()})
	targets := []deliver.Target{target("cos", m)}
	run := deliver.Begin(t.Context(), g.spool, targets, deliver.Movie{}, quick())
	g.record()
	until(t, "a part is there", func() bool { return run.Delivered() > 0 })
	run.Stop(errors.New("killed"))
	if m.Uploads() != 1 {
		t.Fatal("no upload is left")
	}
	run = deliver.Begin(t.Context(), g.spool, targets, deliver.Movie{}, quick())
	run.Discard(t.Context())
	if m.Uploads() != 0 || len(m.Files()) != 0 {
		t.Errorf("%d uploads, %d files", m.Uploads(), len(m.Files()))
	}
}

// TestDeadStore: one that hangs delays neither the capture nor the other one, and what that has stays.
func TestDeadStore(t *testing.T) {
	g := grow(t)
	dead := storagetest.NewMemory(storagetest.Options{Capabilities: inParts(), Before: storagetest.Hang(putPart)})
	good := storagetest.NewMemory(storagetest.Options{Capabilities: inParts()})
	o := quick()
	o.GiveUp = 3 * time.Second
	targets := []deliver.Target{target("dead", dead), target("good", good)}
	run := deliver.Begin(t.Context(), g.spool, targets, deliver.Movie{}, o)
	defer run.Stop(nil)
	g.record()
	g.record()
	g.await(run)
	f := g.finish()
	run.Whole(f)
	r := run.Results()
	if !errors.Is(r[0].Err, deliver.ErrGaveUp) || deliver.Code(r[0].Err) != "UploadFailed" || r[1].Err != nil {
		t.Fatalf("%+v", r)
	}
	if !bytes.Equal(good.Files()["task/lesson.mp4"], content(t, f)) || len(dead.Files()) != 0 || dead.Uploads() != 0 {
		t.Errorf("%d and %d files, %d uploads", len(good.Files()), len(dead.Files()), dead.Uploads())
	}

	// Tried again, only the one that failed is sent to.
	before := len(good.Calls())
	targets[0].Driver = storagetest.NewMemory(storagetest.Options{Capabilities: inParts()})
	for _, r := range file(t.Context(), g.spool, f, targets, quick()) {
		if r.Err != nil || r.Location.Size != f.Size {
			t.Errorf("%+v", r)
		}
	}
	if after := len(good.Calls()); after != before {
		t.Errorf("the good one was called again: %v", calls(good)[before:])
	}
}

// TestStoresThatTakeNoPartsOutOfOrder get the file when it is whole, in parts if it is large.
func TestStoresThatTakeNoPartsOutOfOrder(t *testing.T) {
	for name, caps := range map[string]storage.Capabilities{
		"in order":    {Parts: true, MinPartSize: 1 << 20, MaxPartSize: 1 << 30, MaxParts: 100},
		"equal parts": {Parts: true, OutOfOrder: true, EqualParts: true, MinPartSize: 1 << 20, MaxPartSize: 4 << 20, MaxParts: 100},
		"files only":  {},
	} {
		t.Run(name, func(t *testing.T) {
			g := grow(t)
			m := storagetest.NewMemory(storagetest.Options{Capabilities: &caps})
			run := deliver.Begin(t.Context(), g.spool, []deliver.Target{target("x", m)}, deliver.Movie{}, quick())
			defer run.Stop(nil)
			for range 3 {
				g.record()
			}
			f := g.finish()
			run.Whole(f)
			if r := run.Results()[0]; r.Err != nil || !bytes.Equal(m.Files()["task/lesson.mp4"], content(t, f)) {
				t.Fatalf("%+v", r)
			}
			if n := count(calls(m), putPart); caps.Parts != (n > 1) {
				t.Errorf("%d parts: %v", n, calls(m))
			}
		})
	}
}

// crc is a store that tells the checksum of the whole as COS does.
type crc struct {
	*storagetest.Memory
	wrong atomic.Int32 // how often it tells another one
}

func (c *crc) Commit(ctx context.Context, s storage.State) (storage.Location, error) {
	l, err := c.Memory.Commit(ctx, s)
	if err == nil {
		sum := ecma(c.Files()["task/lesson.mp4"])
		if c.wrong.Add(-1) >= 0 {
			sum++
		}
		l.Checksum = fmt.Sprintf("crc64:%d", sum)
	}
	return l, err
}

func TestChecksumOfTheWhole(t *testing.T) {
	g := grow(t)
	c := &crc{Memory: storagetest.NewMemory(storagetest.Options{Capabilities: inParts()})}
	c.wrong.Store(1)
	run := deliver.Begin(t.Context(), g.spool, []deliver.Target{target("cos", c)}, deliver.Movie{}, quick())
	defer run.Stop(nil)
	g.record()
	f := g.finish()
	run.Whole(f)
	if r := run.Results()[0]; r.Err != nil || !bytes.Equal(c.Files()["task/lesson.mp4"], content(t, f)) {
		t.Fatalf("%+v", r)
	}
	if methods := calls(c.Memory); count(methods, "Commit") != 2 || count(methods, "FinishParts")+count(methods, put) != 2 {
		t.Errorf("what was not right was not sent again: %v", methods)
	}
}

func ecma(b []byte) uint64 { return crc64.Checksum(b, crc64.MakeTable(crc64.ECMA)) }
