package deliver_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recordhost/recordhost/internal/deliver"
	"github.com/recordhost/recordhost/internal/mp4"
	"github.com/recordhost/recordhost/internal/spool"
	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
	"github.com/recordhost/recordhost/sdk/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// put is the call that sends the file.
const put = "Put"

// quick makes the waits of a test short.
func quick() deliver.Options {
	return deliver.Options{GiveUp: time.Minute, Call: 10 * time.Second, FirstWait: time.Millisecond}
}

// recording makes a spool and a file to deliver.
func recording(t *testing.T) (*spool.Spool, spool.File) {
	t.Helper()
	dir := t.TempDir()
	s, err := spool.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	data := bytes.Repeat([]byte("recording "), 10000)
	path := filepath.Join(dir, "recording.mp4")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	half := int64(len(data) / 2) // a file of the spool lies in several
	extents := mp4.Extents{{Path: path, Length: half}, {Path: path, Offset: half, Length: int64(len(data)) - half}}
	return s, spool.File{Extents: extents, Size: int64(len(data)), Duration: time.Second, Pictures: 30}
}

func target(name string, d storage.Driver) deliver.Target {
	return deliver.Target{Name: name, Driver: d, Delivery: storage.Delivery{TaskID: "task", Epoch: 1, Dir: "task", Main: "lesson.mp4"}}
}

// file delivers a file that is whole from the beginning, and answers when all deliveries have ended.
func file(ctx context.Context, s *spool.Spool, f spool.File, targets []deliver.Target, o deliver.Options) []deliver.Result {
	run := deliver.Begin(ctx, s, targets, deliver.Movie{}, o)
	run.Whole(f)
	return run.Results()
}

func calls(m *storagetest.Memory) (methods []string) {
	for _, c := range m.Calls() {
		methods = append(methods, c.Method)
	}
	return methods
}

func count(methods []string, method string) (n int) {
	for _, m := range methods {
		if m == method {
			n++
		}
	}
	return n
}

func TestDelivered(t *testing.T) {
	s, f := recording(t)
	m := storagetest.NewMemory(storagetest.Options{})
	targets := []deliver.Target{target("files", m)}
	run := deliver.Begin(t.Context(), s, targets, deliver.Movie{}, quick())
	run.Whole(f)
	got := run.Results()
	want, err := os.ReadFile(f.Extents[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Err != nil || got[0].Location.Size != f.Size || got[0].Target != "files" {
		t.Fatalf("%+v", got)
	}
	if !bytes.Equal(m.Files()["task/lesson.mp4"], want) || run.Delivered() != f.Size {
		t.Errorf("%d files, told %d", len(m.Files()), run.Delivered())
	}

	// Again, as after a crash: nothing is sent.
	again := file(t.Context(), s, f, targets, quick())
	if again[0].Err != nil || again[0].Location != got[0].Location || count(calls(m), put) != 1 {
		t.Errorf("%+v after %v", again, calls(m))
	}
}

// TestJournalledBeforeSent: when the first byte goes out, the journal can already tell of the delivery.
func TestJournalledBeforeSent(t *testing.T) {
	s, f := recording(t)
	var known map[string]spool.Delivery
	m := storagetest.NewMemory(storagetest.Options{Before: func(_ context.Context, c storagetest.Call) error {
		if c.Method == put {
			known = s.Facts().Deliveries
		}
		return nil
	}})
	if r := file(t.Context(), s, f, []deliver.Target{target("files", m)}, quick()); r[0].Err != nil {
		t.Fatal(r[0].Err)
	}
	if len(known) != 1 {
		t.Fatalf("known: %v", known)
	}
	for _, d := range known {
		if d.Phase != "open" || len(d.State) == 0 {
			t.Errorf("%+v", d)
		}
	}
}

func TestFailures(t *testing.T) {
	unavailable := status.Errorf(status.Unavailable, "the store sleeps")
	for name, c := range map[string]struct {
		options storagetest.Options
		prepare func(*storagetest.Memory)
		change  func(*deliver.Options)
		code    string
		kind    error
		puts    int // -1: any number
		aborted bool
		gaveUp  bool
	}{
		"passing faults": {
			options: storagetest.Options{Before: storagetest.FailFirst("Put", 3, unavailable)}, puts: 4,
		},
		"answers that are lost": {
			options: storagetest.Options{After: storagetest.FailFirst("Commit", 2, unavailable)}, puts: 1,
		},
		"files that are not what was sent": {
			options: storagetest.Options{Before: storagetest.FailFirst("Commit", 1, status.Errorf(status.DataLoss, "other bytes"))},
			puts:    2,
		},
		"refused": {
			options: storagetest.Options{Before: storagetest.FailFirst("Open", 1000, status.Errorf(status.PermissionDenied, "no"))},
			code:    "UploadDenied", kind: status.PermissionDenied,
		},
		"no bucket": {
			options: storagetest.Options{Before: storagetest.FailFirst("Put", 1000, status.Errorf(status.NotFound, "no bucket"))},
			code:    "UploadDenied", kind: status.NotFound, puts: 1, aborted: true,
		},
		"name taken": {
			prepare: func(m *storagetest.Memory) { m.Plant("task/lesson.mp4", []byte("another's")) },
			code:    "TargetExists", kind: status.AlreadyExists,
		},
		"never there": {
			options: storagetest.Options{Before: storagetest.FailFirst("Put", 1<<30, unavailable)},
			change:  func(o *deliver.Options) { o.GiveUp = 100 * time.Millisecond },
			code:    "UploadFailed", kind: status.Unavailable, puts: -1, aborted: true, gaveUp: true,
		},
		"hangs": {
			options: storagetest.Options{Before: storagetest.Hang("Open")},
			change:  func(o *deliver.Options) { o.GiveUp, o.Call = 300*time.Millisecond, 20*time.Millisecond },
			code:    "UploadFailed", gaveUp: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := recording(t)
			m := storagetest.NewMemory(c.options)
			if c.prepare != nil {
				c.prepare(m)
			}
			o := quick()
			if c.change != nil {
				c.change(&o)
			}
			r := file(t.Context(), s, f, []deliver.Target{target("files", m)}, o)[0]
			if deliver.Code(r.Err) != c.code || c.kind != nil && !errors.Is(r.Err, c.kind) ||
				errors.Is(r.Err, deliver.ErrGaveUp) != c.gaveUp {
				t.Errorf("%v, code %q", r.Err, deliver.Code(r.Err))
			}
			methods := calls(m)
			if n := count(methods, put); c.puts >= 0 && n != c.puts {
				t.Errorf("%d Puts: %v", n, methods)
			}
			if count(methods, "Abort") > 0 != c.aborted {
				t.Errorf("calls: %v", methods)
			}
			if _, err := os.Stat(f.Extents[0].Path); err != nil {
				t.Errorf("the local file: %v", err)
			}
		})
	}
}

// liar is a store that says it has something else than it was given, the first time.
type liar struct {
	*storagetest.Memory
	mu     sync.Mutex
	change func(*storage.Location)
}

func (l *liar) Commit(ctx context.Context, s storage.State) (storage.Location, error) {
	location, err := l.Memory.Commit(ctx, s)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.change != nil && err == nil {
		l.change(&location)
		l.change = nil
	}
	return location, err
}

func TestWhatTheStoreSaysIsCompared(t *testing.T) {
	for name, change := range map[string]func(*storage.Location){
		"size":   func(l *storage.Location) { l.Size-- },
		"md5":    func(l *storage.Location) { l.Checksum = "md5:00112233445566778899aabbccddeeff" },
		"sha256": func(l *storage.Location) { l.Checksum = "sha256:00" },
	} {
		t.Run(name, func(t *testing.T) {
			s, f := recording(t)
			l := &liar{Memory: storagetest.NewMemory(storagetest.Options{}), change: change}
			r := file(t.Context(), s, f, []deliver.Target{target("files", l)}, quick())[0]
			if r.Err != nil || count(calls(l.Memory), put) != 2 {
				t.Errorf("%+v after %v", r, calls(l.Memory))
			}
		})
	}
}

func TestTargetsAreIndependent(t *testing.T) {
	s, f := recording(t)
	good := storagetest.NewMemory(storagetest.Options{})
	bad := storagetest.NewMemory(storagetest.Options{
		Before: storagetest.FailFirst("Open", 1000, status.Errorf(status.PermissionDenied, "no")),
	})
	second := target("good", good)
	second.Delivery.Main = "again.mp4"
	r := file(t.Context(), s, f, []deliver.Target{target("bad", bad), target("good", good), second}, quick())
	if r[0].Err == nil || r[1].Err != nil || r[2].Err != nil || len(good.Files()) != 2 {
		t.Errorf("%+v", r)
	}
}

// TestEndOfTheProcess: a worker that is stopped leaves what it began for the one that goes on.
func TestEndOfTheProcess(t *testing.T) {
	s, f := recording(t)
	fenced, reached := errors.New("fenced"), make(chan struct{})
	m := storagetest.NewMemory(storagetest.Options{Before: func(ctx context.Context, c storagetest.Call) error {
		if c.Method == put && c.Count == 1 {
			close(reached)
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}})
	targets := []deliver.Target{target("files", m)}
	run := deliver.Begin(t.Context(), s, targets, deliver.Movie{}, quick())
	run.Whole(f)
	<-reached
	run.Stop(fenced)
	if r := run.Results()[0]; !errors.Is(r.Err, fenced) || count(calls(m), "Abort") != 0 {
		t.Errorf("%v after %v", r.Err, calls(m))
	}
	if r := file(t.Context(), s, f, targets, quick())[0]; r.Err != nil {
		t.Error(r.Err)
	}
}
