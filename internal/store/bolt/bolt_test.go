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
	err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketMeta)).Put([]byte(keySchema), []byte("3")) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "schema is 3") {
		t.Errorf("got %v, want an error about the schema", err)
	}
}

// A file of a release without checksums, which did not tell when tasks finished: that counts from now on.
func TestAFileOfAnOlderRelease(t *testing.T) {
	dir := t.TempDir()
	db, err := bbolt.Open(filepath.Join(dir, fileName), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		var errs []error
		for _, put := range []struct{ bucket, key, value string }{
			{bucketMeta, keySchema, "1"},
			{bucketSettings, "x", "value"},
			{bucketTasks, "over", `{"Version":3,"Created":"1970-01-01T00:00:01Z","Status":"finished","Open":false,"Body":"Ym9keQ=="}`},
			{bucketTasks, "open", `{"Version":2,"Created":"1970-01-01T00:00:01Z","Status":"paused","Open":true,"Body":"Ym9keQ=="}`},
			{bucketOrder, string(orderKey(time.Unix(1, 0), "over")), "finished"},
			{bucketOrder, string(orderKey(time.Unix(1, 0), "open")), "paused"},
			{bucketOpen, "open", ""},
		} {
			b, err := tx.CreateBucketIfNotExists([]byte(put.bucket))
			if err != nil {
				return err
			}
			errs = append(errs, b.Put([]byte(put.key), []byte(put.value)))
		}
		return errors.Join(errs...)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for range 2 { // it is done once
		s, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if s.Damage() != nil {
			t.Fatalf("it is taken for damaged: %+v", s.Damage())
		}
		k, err := s.Get(t.Context(), "open")
		if err != nil || k.Version != 2 || string(k.Body) != "body" || k.Status != "paused" {
			t.Errorf("a task: %+v, %v", k, err)
		}
		if v, err := s.Setting(t.Context(), "x"); err != nil || string(v) != "value" {
			t.Errorf("a setting: %q, %v", v, err)
		}
		if got, err := s.Finished(t.Context(), begin, 10); err != nil || len(got) != 0 {
			t.Errorf("finished before: %v, %v", got, err)
		}
		if got, err := s.Finished(t.Context(), time.Now().Add(time.Hour), 10); err != nil || len(got) != 1 || got[0] != "over" {
			t.Errorf("finished: %v, %v", got, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
