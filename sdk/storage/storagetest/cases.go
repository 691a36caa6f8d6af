package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

func checkLeavesNothing(t *testing.T, s *suite) {
	for range 2 {
		if err := s.driver.Check(t.Context()); err != nil {
			t.Fatalf("check: %v", err)
		}
	}
	if !s.caps.ReadBack {
		return
	}
	objects, err := s.driver.List(t.Context(), mustOpen(t, s.driver, s.delivery("a.mp4")))
	if err != nil || len(objects) != 0 {
		t.Errorf("a new delivery lists %v, %v", objects, err)
	}
}

func putAndCommit(t *testing.T, s *suite) {
	delivery := s.delivery("lesson.mp4")
	state := mustOpen(t, s.driver, delivery)
	content := pattern(100_003)
	s.mustPut(t, s.driver, state, "lesson.mp4", content)
	l := mustCommit(t, s.driver, state)
	if l.Name != "lesson.mp4" || l.Size != int64(len(content)) || l.URL == "" {
		t.Errorf("commit answered %+v, want the name lesson.mp4, a URL and %d bytes", l, len(content))
	}
	s.wantContent(t, delivery, "lesson.mp4", content)
}

func emptyFile(t *testing.T, s *suite) {
	delivery := s.delivery("empty.mp4")
	state := mustOpen(t, s.driver, delivery)
	s.mustPut(t, s.driver, state, "empty.mp4", nil)
	if l := mustCommit(t, s.driver, state); l.Size != 0 {
		t.Errorf("commit of an empty file answered %+v", l)
	}
	s.wantContent(t, delivery, "empty.mp4", nil)
}

func largeFile(t *testing.T, s *suite) {
	delivery := s.delivery("large.mp4")
	state := mustOpen(t, s.driver, delivery)
	content := pattern(20<<20 + 7)
	s.mustPut(t, s.driver, state, "large.mp4", content)
	if l := mustCommit(t, s.driver, state); l.Size != int64(len(content)) {
		t.Errorf("commit answered %d bytes, want %d", l.Size, len(content))
	}
	s.wantContent(t, delivery, "large.mp4", content)
}

func oddNames(t *testing.T, s *suite) {
	for i, main := range []string{
		"第一课 数学.mp4", "a b  c.mp4", "é–ü—😀.mp4", "100%25 %2e%2e %.mp4", "a#b?c&d=e+f.mp4", `"quoted" 'twice'.mp4`,
		"<tag>|pipe*star.mp4", ".hidden.mp4", "..dots..mp4", "-dash.mp4", "no extension", "__x__.mp4", "a:b;c,d@e~f^g`h$i!.mp4",
		strings.Repeat("n", 200) + ".mp4",
	} {
		delivery := s.delivery(main)
		delivery.Dir += "/第 " + main
		if len(delivery.Dir)+len(main) > storage.MaxKey {
			delivery.Dir = "suite"
		}
		state := mustOpen(t, s.driver, delivery)
		content := pattern(100 + i)
		s.mustPut(t, s.driver, state, main, content)
		if l := mustCommit(t, s.driver, state); l.Name != main || l.Size != int64(len(content)) {
			t.Errorf("commit of %q answered %+v", main, l)
		}
		s.wantContent(t, delivery, main, content)
	}
}

func badNames(t *testing.T, s *suite) {
	good := s.delivery("a.mp4")
	state := mustOpen(t, s.driver, good)
	for _, name := range []string{
		"", ".", "..", "../a.mp4", "a/../../b.mp4", "/a.mp4", "a/", "a//b.mp4", "./a.mp4", "a\x00.mp4", "a\nb.mp4", `a\b.mp4`,
		strings.Repeat("n", storage.MaxKey+1),
	} {
		delivery := good
		delivery.Main = name
		_, err := s.driver.Open(t.Context(), delivery)
		wantKind(t, fmt.Sprintf("open with the main file %.40q", name), err, status.InvalidArgument)
		err = s.driver.Put(t.Context(), state, s.file(t, name, []byte("x")))
		wantKind(t, fmt.Sprintf("put of the name %.40q", name), err, status.InvalidArgument)
		if name == "" {
			continue // no directory is fine
		}
		delivery = good
		delivery.Dir = name
		_, err = s.driver.Open(t.Context(), delivery)
		wantKind(t, fmt.Sprintf("open with the directory %.40q", name), err, status.InvalidArgument)
	}
}

func unknownTarget(t *testing.T, s *suite) {
	for _, target := range []string{`{"no_such_setting_is_known":1}`, `[]`, `"x"`, `{`, "\x00"} {
		delivery := s.delivery("a.mp4")
		delivery.Target = []byte(target)
		_, err := s.driver.Open(t.Context(), delivery)
		wantKind(t, "open with the target "+target, err, status.InvalidArgument)
	}
}

func foreignStates(t *testing.T, s *suite) {
	d, ctx := s.driver, t.Context()
	for _, state := range []storage.State{nil, {}, []byte("x"), []byte("{}"), []byte("[1]"), make([]byte, 1000)} {
		_, commitErr := d.Commit(ctx, state)
		for call, err := range map[string]error{
			"put": d.Put(ctx, state, s.file(t, "a.mp4", []byte("x"))), "commit": commitErr, "abort": d.Abort(ctx, state),
		} {
			wantKind(t, fmt.Sprintf("%s with the foreign state %.20q", call, state), err, status.InvalidArgument)
		}
	}
}

func putAgain(t *testing.T, s *suite) {
	delivery := s.delivery("a.mp4")
	state := mustOpen(t, s.driver, delivery)
	for _, content := range [][]byte{pattern(5000), pattern(5000), pattern(300), pattern(7000)} {
		s.mustPut(t, s.driver, state, "a.mp4", content)
	}
	if l := mustCommit(t, s.driver, state); l.Size != 7000 {
		t.Errorf("commit answered %d bytes, want 7000", l.Size)
	}
	s.wantContent(t, delivery, "a.mp4", pattern(7000))
}

func openAgain(t *testing.T, s *suite) {
	delivery := s.delivery("a.mp4")
	first := mustOpen(t, s.driver, delivery)
	second := mustOpen(t, s.anew(t), delivery)
	s.mustPut(t, s.driver, first, "a.mp4", pattern(900))
	// An answered Open is not journalled when the engine dies: it opens again, and finds its own file.
	third := mustOpen(t, s.anew(t), delivery)
	for _, state := range []storage.State{first, second, third} {
		if l := mustCommit(t, s.anew(t), state); l.Size != 900 {
			t.Errorf("commit answered %+v, want 900 bytes", l)
		}
	}
}

func laterEpoch(t *testing.T, s *suite) {
	delivery := s.delivery("a.mp4")
	s.mustPut(t, s.driver, mustOpen(t, s.driver, delivery), "a.mp4", pattern(10))
	delivery.Epoch = 2
	d := s.anew(t)
	state := mustOpen(t, d, delivery)
	s.mustPut(t, d, state, "a.mp4", pattern(20))
	mustCommit(t, d, state)
	s.wantContent(t, delivery, "a.mp4", pattern(20))
}

func takenName(t *testing.T, s *suite) {
	if s.harness.OwnNames {
		return
	}
	delivery := s.delivery("a.mp4")
	state := mustOpen(t, s.driver, delivery)
	s.mustPut(t, s.driver, state, "a.mp4", pattern(10))
	mustCommit(t, s.driver, state)
	other := delivery
	other.TaskID += "-other"
	for _, d := range []storage.Driver{s.driver, s.anew(t)} {
		_, err := d.Open(t.Context(), other)
		wantKind(t, "open of a name that is taken", err, status.AlreadyExists)
	}
	s.wantContent(t, delivery, "a.mp4", pattern(10))
}

func takenMeanwhile(t *testing.T, s *suite) {
	if s.harness.OwnNames {
		return
	}
	delivery := s.delivery("a.mp4")
	other := delivery
	other.TaskID += "-other"
	states := []storage.State{mustOpen(t, s.driver, delivery), mustOpen(t, s.driver, other)}
	drivers := []storage.Driver{s.driver, s.anew(t)}
	errs := make([]error, len(states))
	var putting sync.WaitGroup
	for i := range states {
		f := s.file(t, "a.mp4", pattern(1000+i))
		putting.Go(func() { errs[i] = drivers[i].Put(t.Context(), states[i], f) })
	}
	putting.Wait()
	winner := 0
	if errs[0] != nil {
		winner = 1
	}
	if errs[winner] != nil {
		t.Fatalf("two deliveries put one name at once: %v, and %v", errs[0], errs[1])
	}
	wantKind(t, "put of a name that was taken after open", errs[1-winner], status.AlreadyExists)
	mustCommit(t, s.driver, states[winner])
	s.wantContent(t, []storage.Delivery{delivery, other}[winner], "a.mp4", pattern(1000+winner))
}

func overwritten(t *testing.T, s *suite) {
	if s.harness.Overwriting == nil {
		return
	}
	delivery := s.delivery("a.mp4")
	state := mustOpen(t, s.driver, delivery)
	s.mustPut(t, s.driver, state, "a.mp4", pattern(10))
	mustCommit(t, s.driver, state)
	d := s.wrap(t, s.harness.Overwriting(t))
	delivery.TaskID += "-other"
	state = mustOpen(t, d, delivery)
	s.mustPut(t, d, state, "a.mp4", pattern(20))
	mustCommit(t, d, state)
	s.wantContent(t, delivery, "a.mp4", pattern(20))
}

func badFiles(t *testing.T, s *suite) {
	delivery := s.delivery("a.mp4")
	state := mustOpen(t, s.driver, delivery)
	content := pattern(3 << 20)
	for _, c := range []struct {
		name string
		kind status.Kind
		bend func(f *storage.File)
	}{
		{"a file that is absent", status.InvalidArgument, func(f *storage.File) { f.Path += "-absent" }},
		{"a directory", status.InvalidArgument, func(f *storage.File) { f.Path = filepath.Dir(f.Path) }},
		{"a file that is longer than stated", status.InvalidArgument, func(f *storage.File) { f.Size-- }},
		{"a file that is shorter than stated", status.InvalidArgument, func(f *storage.File) { f.Size++ }},
		{"another checksum", status.DataLoss, func(f *storage.File) { f.SHA256[31] ^= 1 }},
		{"a checksum that is none", status.InvalidArgument, func(f *storage.File) { f.SHA256 = f.SHA256[:8] }},
	} {
		f := s.file(t, "a.mp4", content)
		c.bend(&f)
		wantKind(t, "put of "+c.name, s.driver.Put(t.Context(), state, f), c.kind)
		s.wantNothing(t, delivery, "a.mp4")
	}
	f := s.file(t, "a.mp4", content)
	f.SHA256 = nil
	if err := s.driver.Put(t.Context(), state, f); err != nil {
		t.Errorf("put without a checksum: %v", err)
	}
	f.SHA256 = make([]byte, 32)
	wantKind(t, "put of another checksum", s.driver.Put(t.Context(), state, f), status.DataLoss)
	mustCommit(t, s.driver, state)
	s.wantContent(t, delivery, "a.mp4", content)
}

func atOnce(t *testing.T, s *suite) {
	const n = 8
	deliveries, files, errs := make([]storage.Delivery, n), make([]storage.File, n), make([]error, n)
	for i := range n {
		deliveries[i], files[i] = s.delivery("a.mp4"), s.file(t, "a.mp4", pattern(200_000+i))
	}
	var delivering sync.WaitGroup
	for i := range n {
		delivering.Go(func() {
			state, err := s.driver.Open(t.Context(), deliveries[i])
			if err == nil {
				err = s.driver.Put(t.Context(), state, files[i])
			}
			if err == nil {
				_, err = s.driver.Commit(t.Context(), state)
			}
			errs[i] = err
		})
	}
	delivering.Wait()
	for i, err := range errs {
		if err != nil {
			t.Fatalf("delivery %d of %d at once: %v", i+1, n, err)
		}
		s.wantContent(t, deliveries[i], "a.mp4", pattern(200_000+i))
	}
}

// putGivenUp gives puts up at several moments. Whenever that was, a put that failed has left nothing, or what was there before.
func putGivenUp(t *testing.T, s *suite) {
	big := s.file(t, "a.mp4", pattern(24<<20))
	for i, wait := range []time.Duration{0, time.Millisecond, 10 * time.Millisecond, 40 * time.Millisecond} {
		delivery := s.delivery("a.mp4")
		state := mustOpen(t, s.driver, delivery)
		before := pattern(1000 + i)
		if i%2 == 0 {
			s.mustPut(t, s.driver, state, "a.mp4", before)
		}
		ctx, cancel := context.WithCancel(t.Context())
		timer := time.AfterFunc(wait, cancel)
		err := s.driver.Put(ctx, state, big)
		timer.Stop()
		cancel()
		if err == nil {
			continue // it was faster
		}
		wantKind(t, "put that was given up", err, context.Canceled)
		if i%2 == 0 {
			mustCommit(t, s.driver, state)
			s.wantContent(t, delivery, "a.mp4", before)
			continue
		}
		s.wantNothing(t, delivery, "a.mp4")
		if err := s.driver.Put(t.Context(), state, big); err != nil {
			t.Fatalf("put after one that was given up: %v", err)
		}
		if l := mustCommit(t, s.driver, state); l.Size != big.Size {
			t.Errorf("commit answered %d bytes, want %d", l.Size, big.Size)
		}
	}
}

func endedContext(t *testing.T, s *suite) {
	d, ctx := s.driver, ended(t)
	delivery := s.delivery("a.mp4")
	state := mustOpen(t, d, delivery)
	_, openErr := d.Open(ctx, delivery)
	_, commitErr := d.Commit(ctx, state)
	for call, err := range map[string]error{
		"check": d.Check(ctx), "open": openErr, "put": d.Put(ctx, state, s.file(t, "a.mp4", []byte("x"))),
		"commit": commitErr, "abort": d.Abort(ctx, state),
	} {
		wantKind(t, call+" with an ended context", err, context.Canceled)
	}
	s.wantNothing(t, delivery, "a.mp4")
}

func commitNothing(t *testing.T, s *suite) {
	state := mustOpen(t, s.driver, s.delivery("a.mp4"))
	_, err := s.driver.Commit(t.Context(), state)
	wantKind(t, "commit of nothing", err, status.FailedPrecondition)
}

func commitAgain(t *testing.T, s *suite) {
	state := mustOpen(t, s.driver, s.delivery("a.mp4"))
	s.mustPut(t, s.driver, state, "a.mp4", pattern(77))
	first := mustCommit(t, s.driver, state)
	for _, d := range []storage.Driver{s.driver, s.anew(t)} {
		if again := mustCommit(t, d, state); again != first {
			t.Errorf("commit answered %+v, and then %+v", first, again)
		}
	}
}

func abortRemoves(t *testing.T, s *suite) {
	delivery := s.delivery("a.mp4")
	state := mustOpen(t, s.driver, delivery)
	s.mustPut(t, s.driver, state, "a.mp4", pattern(10))
	for _, d := range []storage.Driver{s.driver, s.driver, s.anew(t)} {
		if err := d.Abort(t.Context(), state); err != nil {
			t.Fatalf("abort: %v", err)
		}
		s.wantNothing(t, delivery, "a.mp4")
	}
	s.mustPut(t, s.driver, mustOpen(t, s.driver, delivery), "a.mp4", pattern(20))
	if err := s.anew(t).Abort(t.Context(), state); err != nil {
		t.Fatalf("abort by a new driver: %v", err)
	}
	s.wantNothing(t, delivery, "a.mp4")
}

func abortLeaves(t *testing.T, s *suite) {
	delivery := s.delivery("a.mp4")
	neighbour := delivery
	neighbour.TaskID, neighbour.Main = neighbour.TaskID+"-other", "b.mp4"
	theirs := mustOpen(t, s.driver, neighbour)
	s.mustPut(t, s.driver, theirs, "b.mp4", pattern(30))
	mustCommit(t, s.driver, theirs)
	state := mustOpen(t, s.driver, delivery)
	s.mustPut(t, s.driver, state, "a.mp4", pattern(10))
	if l := mustCommit(t, s.driver, state); l.Size != 10 {
		t.Errorf("commit answered %d bytes, want only the delivery's own 10", l.Size)
	}
	if err := s.driver.Abort(t.Context(), state); err != nil {
		t.Fatalf("abort after commit: %v", err)
	}
	s.wantContent(t, delivery, "a.mp4", pattern(10))
	s.wantContent(t, neighbour, "b.mp4", pattern(30))
}

func severalFiles(t *testing.T, s *suite) {
	delivery := s.delivery("playlist.m3u8")
	state := mustOpen(t, s.driver, delivery)
	if !s.caps.Folders {
		err := s.driver.Put(t.Context(), state, s.file(t, "seg-1.m4s", []byte("x")))
		wantKind(t, "put of a second file where a delivery is one", err, status.InvalidArgument)
		return
	}
	total := 0
	for i := range 12 {
		s.mustPut(t, s.driver, state, fmt.Sprintf("seg/%02d.m4s", i), pattern(1000+i))
		total += 1000 + i
	}
	s.mustPut(t, s.driver, state, "playlist.m3u8", []byte("#EXTM3U\n"))
	total += 8
	for _, d := range []storage.Driver{s.driver, s.anew(t)} {
		if l := mustCommit(t, d, state); l.Size != int64(total) || l.Name != "playlist.m3u8" {
			t.Errorf("commit answered %+v, want playlist.m3u8 and %d bytes", l, total)
		}
	}
	s.wantContent(t, delivery, "seg/07.m4s", pattern(1007))
}

func readBack(t *testing.T, s *suite) {
	if !s.caps.ReadBack {
		return
	}
	d, ctx := s.driver, t.Context()
	state := mustOpen(t, d, s.delivery("b.mp4"))
	names := []string{"b.mp4"}
	if s.caps.Folders {
		names = []string{"a b", "b.mp4", "ä", "第.ts"}
	}
	for i, name := range names {
		s.mustPut(t, d, state, name, pattern(100+i))
	}
	objects, err := d.List(ctx, state)
	if err != nil || len(objects) != len(names) {
		t.Fatalf("list answered %v, %v, want %q", objects, err, names)
	}
	for i, o := range objects {
		if o.Name != names[i] || o.Size != int64(100+i) {
			t.Errorf("list answered %+v where %q of %d bytes is due", o, names[i], 100+i)
		}
	}
	path := filepath.Join(s.local, "fetched")
	if err := d.Fetch(ctx, state, names[0], path); err != nil {
		t.Fatalf("fetch: %v", err)
	}
	if content, err := os.ReadFile(path); err != nil || !bytes.Equal(content, pattern(100)) {
		t.Errorf("fetch left %d bytes, %v", len(content), err)
	}
	wantKind(t, "fetch to a path that exists", d.Fetch(ctx, state, names[0], path), status.AlreadyExists)
	absent := filepath.Join(s.local, "absent")
	wantKind(t, "fetch of a file that is not there", d.Fetch(ctx, state, "no such", absent), status.NotFound)
	wantKind(t, "fetch with an ended context", d.Fetch(ended(t), state, names[0], absent), context.Canceled)
	if _, err := os.Lstat(absent); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a fetch that failed left a file, or %v", err)
	}
	for range 2 {
		if err := d.Delete(ctx, state, names[0]); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	if objects, err := d.List(ctx, state); err != nil || len(objects) != len(names)-1 {
		t.Errorf("list after delete answered %v, %v", objects, err)
	}
}

func unimplemented(t *testing.T, s *suite) {
	d, ctx := s.driver, t.Context()
	state := mustOpen(t, d, s.delivery("a.mp4"))
	if !s.caps.Parts {
		_, beginErr := d.BeginParts(ctx, state, storage.Growing{Name: "a.mp4"})
		_, putErr := d.PutPart(ctx, state, []byte("u"), storage.Part{Number: 1})
		wantKind(t, "begin parts", beginErr, status.Unimplemented)
		wantKind(t, "put part", putErr, status.Unimplemented)
		wantKind(t, "finish parts", d.FinishParts(ctx, state, []byte("u"), nil), status.Unimplemented)
	}
	if !s.caps.ReadBack {
		_, listErr := d.List(ctx, state)
		wantKind(t, "list", listErr, status.Unimplemented)
		wantKind(t, "fetch", d.Fetch(ctx, state, "a.mp4", filepath.Join(s.local, "x")), status.Unimplemented)
		wantKind(t, "delete", d.Delete(ctx, state, "a.mp4"), status.Unimplemented)
	}
}

func denied(t *testing.T, s *suite) {
	if s.harness.Denied == nil {
		return
	}
	d := s.wrap(t, s.harness.Denied(t))
	wantKind(t, "check with refused credentials", d.Check(t.Context()), status.PermissionDenied)
	delivery := s.delivery("a.mp4")
	state, err := d.Open(t.Context(), delivery)
	if err == nil {
		err = d.Put(t.Context(), state, s.file(t, "a.mp4", []byte("x")))
	}
	wantKind(t, "open and put with refused credentials", err, status.PermissionDenied)
	s.wantNothing(t, delivery, "a.mp4")
}
