package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/recordhost/recordhost/internal/store"
)

const manyTasks = 50

// quick is a directory where syncing takes no time, if there is one: these tests open a store very often.
func quick(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "rh-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fiftyTasks makes a store with tasks that have been changed, finished and deleted, and answers them and the file.
func fiftyTasks(t *testing.T) (map[string]store.Task, []byte) {
	t.Helper()
	dir := quick(t)
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string]store.Task)
	for i := range manyTasks + 5 {
		k := store.Task{
			ID: fmt.Sprintf("task-%02d", i), Created: time.Unix(int64(1000+i), 0).UTC(), Status: "normal", Open: true,
			Body: bytes.Repeat([]byte{byte(i)}, 20+6*i),
		}
		if i == 7 {
			k.Body = bytes.Repeat([]byte("long"), 2000) // more than a page
		}
		if err := s.Create(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		k.Version, k.Status = 1, "recording"
		if i%3 == 0 {
			k.Status, k.Open, k.Finished = "finished", false, time.Unix(int64(2000+i), 0).UTC()
		}
		if k.Version, err = s.Put(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		want[k.ID] = k
	}
	for i := range 5 {
		id := fmt.Sprintf("task-%02d", 10*i)
		delete(want, id)
		if err := s.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"one", "two"} {
		if err := s.SetSetting(t.Context(), name, []byte("value of "+name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	return want, data
}

// openDamaged opens a store whose file has this content.
func openDamaged(t *testing.T, dir string, data []byte) *Store {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, fileName), data, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tasksOf are all the tasks of a store, which must agree with its lists.
func tasksOf(t *testing.T, s *Store) map[string]store.Task {
	t.Helper()
	p, err := s.List(t.Context(), store.Query{})
	if err != nil {
		t.Fatal(err)
	}
	open, err := s.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	over, err := s.Finished(t.Context(), time.Unix(1e6, 0), 1000)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]store.Task)
	for _, k := range p.Tasks {
		got[k.ID] = k
		if slices.Contains(open, k.ID) != k.Open || slices.Contains(over, k.ID) == k.Open {
			t.Errorf("the lists do not agree with task %s", k.ID)
		}
	}
	if len(open)+len(over) != len(got) {
		t.Errorf("%d open and %d finished of %d tasks", len(open), len(over), len(got))
	}
	return got
}

// whole tells whether a task's bytes stand in a file as they were written.
func whole(t *testing.T, k store.Task, data []byte) bool {
	t.Helper()
	text, err := store.Encode(k)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(data, text)
}

// check opens a damaged file: whatever was damaged, what was not is there, nothing that was never true is, and what is
// missing was named.
func check(t *testing.T, what string, dir string, want map[string]store.Task, data []byte) {
	t.Helper()
	s := openDamaged(t, dir, data)
	defer func() {
		if err := errors.Join(s.Close(), os.RemoveAll(dir)); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}()
	got := tasksOf(t, s)
	damage := s.Damage()
	for id, k := range want {
		found, there := got[id]
		switch {
		case there && found.Version == k.Version && bytes.Equal(found.Body, k.Body) && found.Status == k.Status:
		case whole(t, k, data):
			t.Errorf("%s: task %s was not damaged and is %+v", what, id, found.Status)
		case damage == nil:
			t.Errorf("%s: task %s is missing, and nothing is said to be damaged", what, id)
		case there && !slices.Contains(damage.Older, id) && !damage.Unnamed:
			t.Errorf("%s: task %s is an older one", what, id)
		case !there && !slices.Contains(damage.Lost, id) && !damage.Unnamed:
			t.Errorf("%s: task %s is missing, and was not named", what, id)
		}
	}
	if damage != nil {
		if kept, err := os.ReadFile(damage.Aside); err != nil || !bytes.Equal(kept, data) {
			t.Errorf("%s: the damaged file was not kept: %v", what, err)
		}
	}
	// The store works.
	if err := s.Create(t.Context(), store.Task{ID: "new", Created: time.Unix(1, 0)}); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

func TestFlippedBytes(t *testing.T) {
	want, data := fiftyTasks(t)
	parent := quick(t)
	for at := 0; at < len(data); at += 509 { // a prime, so that all parts of a page are met
		damaged := slices.Clone(data)
		for i := at; i < min(at+3, len(data)); i++ {
			damaged[i] ^= 0xFF
		}
		check(t, fmt.Sprintf("flipped at %d", at), filepath.Join(parent, fmt.Sprint(at)), want, damaged)
	}
}

func TestTruncatedFiles(t *testing.T) {
	want, data := fiftyTasks(t)
	parent := quick(t)
	for size := 512; size < len(data); size += 512 {
		check(t, fmt.Sprintf("cut at %d", size), filepath.Join(parent, fmt.Sprint(size)), want, data[:size])
	}
}

// The heads of pages decide how all the rest is read.
func TestFlippedHeadsOfPages(t *testing.T) {
	want, data := fiftyTasks(t)
	parent := quick(t)
	size := os.Getpagesize()
	for page := 0; page < len(data); page += size {
		for at := page; at < page+40; at += 3 {
			damaged := slices.Clone(data)
			damaged[at] ^= 1 << (at % 8)
			check(t, fmt.Sprintf("flipped at %d", at), filepath.Join(parent, fmt.Sprint(at)), want, damaged)
		}
	}
}

func TestAFileThatIsWhole(t *testing.T) {
	want, data := fiftyTasks(t)
	s := openDamaged(t, t.TempDir(), data)
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if d := s.Damage(); d != nil {
		t.Errorf("it is taken for damaged: %v", d.Cause)
	}
	if got := tasksOf(t, s); len(got) != len(want) {
		t.Errorf("%d tasks, want %d", len(got), len(want))
	}
	for _, name := range []string{"one", "two"} {
		if v, err := s.Setting(t.Context(), name); err != nil || string(v) != "value of "+name {
			t.Errorf("setting %s: %q, %v", name, v, err)
		}
	}
}

// A file that has seen much, with pages that were used again and again, is whole too.
func TestABusyFileIsWhole(t *testing.T) {
	dir := quick(t)
	for round := range 3 {
		s, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if d := s.Damage(); d != nil {
			t.Fatalf("round %d: it is taken for damaged: %v", round, d.Cause)
		}
		for i := range 300 {
			id := fmt.Sprint(round, "-", i)
			k := store.Task{ID: id, Created: time.Unix(int64(i), 0), Open: i%2 == 0, Body: make([]byte, 10*i)}
			if err := s.Create(t.Context(), k); err != nil {
				t.Fatal(err)
			}
			if i%3 == 0 {
				if err := s.Delete(t.Context(), fmt.Sprint(round, "-", i/2)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestADamagedSetting(t *testing.T) {
	want, data := fiftyTasks(t)
	s := openDamaged(t, t.TempDir(), bytes.ReplaceAll(data, []byte("value of one"), []byte("value of 0ne")))
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	d := s.Damage()
	if d == nil || !slices.Equal(d.Settings, []string{"one"}) || d.Kept != len(want) || len(d.Lost) != 0 || d.Unnamed {
		t.Errorf("damage %+v", d)
	}
	if v, err := s.Setting(t.Context(), "one"); err != nil || v != nil {
		t.Errorf("the damaged setting is %q, %v", v, err)
	}
	if v, err := s.Setting(t.Context(), "two"); err != nil || string(v) != "value of two" {
		t.Errorf("the other setting is %q, %v", v, err)
	}
}

func TestADamagedTaskIsNamed(t *testing.T) {
	want, data := fiftyTasks(t)
	s := openDamaged(t, t.TempDir(), bytes.ReplaceAll(data, []byte(`{"ID":"task-11"`), []byte(`{"iD":"task-1x"`)))
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	d := s.Damage()
	if d == nil || !slices.Equal(d.Lost, []string{"task-11"}) || d.Unnamed || d.Kept != len(want)-1 {
		t.Errorf("damage %+v", d)
	}
	if d != nil && !strings.Contains(d.Cause.Error(), "task-11") {
		t.Errorf("the cause is %v", d.Cause)
	}
	if _, err := s.Get(t.Context(), "task-11"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("it is there: %v", err)
	}
}

// What is no store at all is set aside, too.
func TestWhatIsNoStore(t *testing.T) {
	s := openDamaged(t, t.TempDir(), []byte(strings.Repeat("not a store ", 1000)))
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if d := s.Damage(); d == nil || !d.Unnamed || d.Kept != 0 {
		t.Errorf("damage %+v", d)
	}
}

// A process that has the file, of a release that does not lock the directory, keeps it from being judged.
func TestAFileInUseIsNotJudged(t *testing.T) {
	dir := t.TempDir()
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(filepath.Join(dir, fileName), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := Open(dir); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v", err)
	}
}

func FuzzReadPages(f *testing.F) {
	f.Add([]byte{}, 0, byte(0))
	dir := f.TempDir()
	s, err := Open(dir)
	if err != nil {
		f.Fatal(err)
	}
	for i := range 100 {
		if err := s.Create(f.Context(), store.Task{ID: fmt.Sprint(i), Created: time.Unix(1, 0), Body: make([]byte, 100)}); err != nil {
			f.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, 100, byte(1))
	f.Fuzz(func(_ *testing.T, data []byte, at int, flip byte) {
		if at >= 0 && at < len(data) {
			data = slices.Clone(data)
			data[at] ^= flip
		}
		_, _ = readPages(data) // it ends, and reads nothing that is not there
	})
}
