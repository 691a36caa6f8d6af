package bolt

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"github.com/recordhost/recordhost/internal/store"
	"github.com/recordhost/recordhost/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, dir string) store.Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) { storetest.Run(t, storetest.Harness{Open: open}) }

func TestASecondHostIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	_, err := Open(dir)
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v, want ErrInUse naming %s", err, dir)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestOnlyThisUserReadsIt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, fileName): 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", path, info, err, want)
		}
	}
}

func TestAnotherSchemaIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(filepath.Join(dir, fileName), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketMeta)).Put([]byte(keySchema), []byte("2")) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "schema is 2") {
		t.Errorf("got %v, want an error about the schema", err)
	}
}

// A file of a release that did not date the ends of tasks: they count from now on.
func TestTasksOfAnOlderRelease(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for id, open := range map[string]bool{"over": false, "open": true} {
		if err := s.Create(t.Context(), store.Task{ID: id, Created: time.Unix(1, 0), Status: "finished", Open: open}); err != nil {
			t.Fatal(err)
		}
	}
	err = s.db.Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(bucketFinished)) })
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for range 2 { // it is done once
		again := open(t, dir)
		if got, err := again.Finished(t.Context(), begin, 10); err != nil || len(got) != 0 {
			t.Errorf("finished before: %v, %v", got, err)
		}
		if got, err := again.Finished(t.Context(), time.Now().Add(time.Hour), 10); err != nil || len(got) != 1 || got[0] != "over" {
			t.Errorf("finished: %v, %v", got, err)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatIsNoStoreIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, fileName), []byte(strings.Repeat("not a store ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), fileName) {
		t.Errorf("got %v, want an error naming the file", err)
	}
}

// One damaged task must not take the others with it.
func TestADamagedTask(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, id := range []string{"good", "bad"} {
		if err := s.Create(t.Context(), store.Task{ID: id, Created: time.Unix(1, 0), Open: true}); err != nil {
			t.Fatal(err)
		}
	}
	damage := func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketTasks)).Put([]byte("bad"), []byte("{")) }
	if err := s.db.Update(damage); err != nil {
		t.Fatal(err)
	}
	_, err = s.Get(t.Context(), "bad")
	if err == nil || errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), "bad is damaged") {
		t.Errorf("got %v, want an error that names the task", err)
	}
	if _, err := s.Get(t.Context(), "good"); err != nil {
		t.Error(err)
	}
}
