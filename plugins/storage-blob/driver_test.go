package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// localFile makes a file to be put.
func localFile(t *testing.T, name string, content []byte) storage.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "local")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return storage.File{Name: name, Path: path, Size: int64(len(content)), ContentType: "video/mp4"}
}

func mustOpen(t *testing.T, d *Driver, delivery storage.Delivery) storage.State {
	t.Helper()
	s, err := d.Open(t.Context(), delivery)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustPut(t *testing.T, d *Driver, s storage.State, f storage.File) {
	t.Helper()
	if err := d.Put(t.Context(), s, f); err != nil {
		t.Fatal(err)
	}
}

func TestLocations(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{URL: dir}, "file://" + dir + "/le%C3%A7on%201/a%20%23b%3F100%25.mp4"},
		{Config{URL: dir, Prefix: "p"}, "file://" + dir + "/p/le%C3%A7on%201/a%20%23b%3F100%25.mp4"},
		{Config{URL: dir, BaseURL: "https://cdn.example.com/rec/"}, "https://cdn.example.com/rec/le%C3%A7on%201/a%20%23b%3F100%25.mp4"},
		{Config{URL: "mem://"}, "mem:///le%C3%A7on%201/a%20%23b%3F100%25.mp4"},
		{Config{URL: "s3://bucket?region=us-east-1", Prefix: "p"}, "s3://bucket/p/le%C3%A7on%201/a%20%23b%3F100%25.mp4"},
	} {
		d := newDriver(t, c.config)
		key, err := d.key(storage.Delivery{Dir: "leçon 1"}, "a #b?100%.mp4")
		if err != nil {
			t.Fatal(err)
		}
		if got := d.location(key); got != c.want {
			t.Errorf("%s: %s, want %s", c.config.URL, got, c.want)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A directory holds nothing but recordings, with what the umask leaves of their permissions.
func TestDirectoryHoldsRecordingsOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	d := newDriver(t, Config{URL: "file://" + dir})
	if err := d.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	delivery := storage.Delivery{TaskID: "t", Dir: "a/b", Main: "c.mp4"}
	s := mustOpen(t, d, delivery)
	mustPut(t, d, s, localFile(t, "c.mp4", []byte("content")))
	l, err := d.Commit(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if want := (storage.Location{Name: "c.mp4", URL: "file://" + dir + "/a/b/c.mp4", Size: 7}); l != want {
		t.Errorf("commit answered %+v, want %+v", l, want)
	}
	var files []string
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) != 1 || files[0] != filepath.Join(dir, "a/b/c.mp4") {
		t.Errorf("the directory holds %q, %v", files, err)
	}
}

// A plugin that was killed while it wrote leaves its temporary file. The next attempt removes it, and no other.
func TestStaleTemporaryFiles(t *testing.T) {
	dir := t.TempDir()
	d := newDriver(t, Config{URL: dir})
	delivery := storage.Delivery{TaskID: "t", Main: "a.mp4"}
	mine := filepath.Join(dir, "a.mp4.18af00000000abcd.tmp")
	kept := []string{
		filepath.Join(dir, "a.mp4.18af00000000abce.tmp"),   // another delivery's
		filepath.Join(dir, "b-a.mp4.18af00000000abcd.tmp"), // of another name
		filepath.Join(dir, "a.mp4.x.18af00000000abcd.tmp"),
	}
	for _, path := range append(kept, mine) {
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		if path == kept[0] {
			continue
		}
		if err := setOwner(path, delivery.ID()); err != nil {
			t.Fatal(err)
		}
	}
	s := mustOpen(t, d, delivery)
	mustPut(t, d, s, localFile(t, "a.mp4", []byte("content")))
	if _, err := os.Stat(mine); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the stale file is still there, or %v", err)
	}
	for _, path := range kept {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	objects, err := d.List(t.Context(), s)
	if err != nil || len(objects) != 1 {
		t.Errorf("list answered %v, %v", objects, err)
	}
}

func TestDirectoryNames(t *testing.T) {
	d := newDriver(t, Config{URL: t.TempDir()})
	for _, delivery := range []storage.Delivery{
		{TaskID: "t", Main: strings.Repeat("n", 235)},
		{TaskID: "t", Dir: strings.Repeat("n", 256), Main: "a.mp4"},
		{TaskID: "t", Dir: "a..", Main: "a.mp4"},
		{TaskID: "t", Main: "a.mp4.attrs"},
		{TaskID: "t", Main: "__0x2f__.mp4"},
		{TaskID: "t", Main: "a.mp4.0123456789abcdef.tmp"},
	} {
		if _, err := d.Open(t.Context(), delivery); !errors.Is(err, status.InvalidArgument) {
			t.Errorf("%+v: %v, want %q", delivery, err, status.InvalidArgument)
		}
	}
	s := mustOpen(t, d, storage.Delivery{TaskID: "t", Main: strings.Repeat("n", 234)})
	mustPut(t, d, s, localFile(t, strings.Repeat("n", 234), []byte("x")))
	// A directory where the file should be.
	other := storage.Delivery{TaskID: "t", Dir: strings.Repeat("n", 234), Main: "a.mp4"}
	if _, err := d.Open(t.Context(), other); !errors.Is(err, status.InvalidArgument) {
		t.Errorf("a directory that is a file: %v, want %q", err, status.InvalidArgument)
	}
}

// What happens to files behind the plugin's back between Put and Commit is noticed.
func TestCommitAsksTheStore(t *testing.T) {
	d := newDriver(t, Config{URL: "mem://"})
	t.Cleanup(func() { _ = d.Close() })
	for _, c := range []struct {
		name   string
		change func(key string) error
	}{
		{"shorter", func(key string) error { return d.bucket.WriteAll(t.Context(), key, []byte("conten"), nil) }},
		{"other bytes", func(key string) error { return d.bucket.WriteAll(t.Context(), key, []byte("CONTENT"), nil) }},
		{"gone", func(key string) error { return d.bucket.Delete(t.Context(), key) }},
	} {
		for _, main := range []string{"seg.ts", "list.m3u8"} {
			delivery := storage.Delivery{TaskID: "t", Dir: rand.Text(), Main: "list.m3u8"}
			s := mustOpen(t, d, delivery)
			mustPut(t, d, s, localFile(t, "seg.ts", []byte("content")))
			mustPut(t, d, s, localFile(t, "list.m3u8", []byte("content")))
			if err := c.change(delivery.Dir + "/" + main); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Commit(t.Context(), s); !errors.Is(err, status.DataLoss) {
				t.Errorf("commit after %s became %s: %v, want %q", main, c.name, err, status.DataLoss)
			}
		}
	}
}

func TestWrongBucket(t *testing.T) {
	s3 := newFakeS3(t, nil)
	d := newDriver(t, s3.config("nosuch"))
	t.Cleanup(func() { _ = d.Close() })
	if err := d.Check(t.Context()); !errors.Is(err, status.NotFound) || status.Retryable(err) {
		t.Errorf("check of a bucket that does not exist: %v, want %q", err, status.NotFound)
	}
	s := mustOpen(t, d, storage.Delivery{TaskID: "t", Main: "a.mp4"})
	if err := d.Put(t.Context(), s, localFile(t, "a.mp4", []byte("x"))); !errors.Is(err, status.NotFound) {
		t.Errorf("put into a bucket that does not exist: %v, want %q", err, status.NotFound)
	}
}

func TestStoreThatIsAway(t *testing.T) {
	s3 := newFakeS3(t, nil)
	d := newDriver(t, s3.config(bucketName))
	t.Cleanup(func() { _ = d.Close() })
	s3.server.Close()
	if err := d.Check(t.Context()); !errors.Is(err, status.Unavailable) || !status.Retryable(err) {
		t.Errorf("check of a store that is away: %v, want %q", err, status.Unavailable)
	}
}

// multipart counts the multipart uploads of an S3 server.
type multipart struct {
	mu                    sync.Mutex
	begun, ended, aborted int
	part                  func(ctx context.Context) // called at each part
}

func (m *multipart) around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		m.mu.Lock()
		switch {
		case r.Method == http.MethodPost && query.Has("uploads"):
			m.begun++
		case r.Method == http.MethodPost && query.Has("uploadId"):
			m.ended++
		case r.Method == http.MethodDelete && query.Has("uploadId"):
			m.aborted++
		}
		part := m.part
		m.mu.Unlock()
		if r.Method == http.MethodPut && query.Has("partNumber") && part != nil {
			_, _ = io.Copy(io.Discard, r.Body)
			part(r.Context())
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (m *multipart) counts() (begun, ended, aborted int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.begun, m.ended, m.aborted
}

// Parts of an upload that was given up cost money until somebody removes them.
func TestPutGivenUpAbortsMultipartUpload(t *testing.T) {
	var uploads multipart
	s3 := newFakeS3(t, uploads.around)
	d := newDriver(t, s3.config(bucketName))
	t.Cleanup(func() { _ = d.Close() })
	s := mustOpen(t, d, storage.Delivery{TaskID: "t", Main: "a.mp4"})
	f := localFile(t, "a.mp4", make([]byte, 40<<20))

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	uploads.part = func(ctx context.Context) {
		cancel()
		<-ctx.Done()
	}
	if err := d.Put(ctx, s, f); !errors.Is(err, context.Canceled) {
		t.Fatalf("put that was given up: %v", err)
	}
	if begun, ended, aborted := uploads.counts(); begun != 1 || ended != 0 || aborted != 1 {
		t.Errorf("%d multipart uploads begun, %d completed, %d aborted, want 1, 0, 1", begun, ended, aborted)
	}

	uploads.mu.Lock()
	uploads.part = nil
	uploads.mu.Unlock()
	f.SHA256 = make([]byte, 32)
	if err := d.Put(t.Context(), s, f); !errors.Is(err, status.DataLoss) {
		t.Fatalf("put of another checksum: %v", err)
	}
	if begun, ended, aborted := uploads.counts(); begun != 2 || ended != 0 || aborted != 2 {
		t.Errorf("%d multipart uploads begun, %d completed, %d aborted, want 2, 0, 2", begun, ended, aborted)
	}
}

// A store that speaks S3 but knows no conditional writes can still be delivered to.
func TestStoreWithoutConditionalWrites(t *testing.T) {
	s3 := newFakeS3(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("If-None-Match") == "" {
				next.ServeHTTP(w, r)
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusNotImplemented)
			_, _ = io.WriteString(w, `<Error><Code>NotImplemented</Code><Message>a header</Message></Error>`)
		})
	})
	d := newDriver(t, s3.config(bucketName))
	t.Cleanup(func() { _ = d.Close() })
	s := mustOpen(t, d, storage.Delivery{TaskID: "t", Main: "a.mp4"})
	mustPut(t, d, s, localFile(t, "a.mp4", []byte("content")))
	if _, err := d.Commit(t.Context(), s); err != nil {
		t.Error(err)
	}
}

// A worker that was killed while it sent may have its file arrive after the next one has looked. It is the delivery's own, and
// replaced; somebody else's is not.
func TestAFileThatArrivesLate(t *testing.T) {
	for name, c := range map[string]struct {
		other storage.Delivery
		want  status.Kind // Unknown: none
	}{
		"the delivery's own": {storage.Delivery{TaskID: "t", Epoch: 1, Main: "a.mp4"}, status.Unknown},
		"somebody else's":    {storage.Delivery{TaskID: "u", Epoch: 1, Main: "a.mp4"}, status.AlreadyExists},
	} {
		t.Run(name, func(t *testing.T) {
			var late func()
			s3 := newFakeS3(t, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if arrive := late; r.Method == http.MethodPut && arrive != nil {
						late = nil
						arrive()
					}
					next.ServeHTTP(w, r)
				})
			})
			first, second := newDriver(t, s3.config(bucketName)), newDriver(t, s3.config(bucketName))
			t.Cleanup(func() { _, _ = first.Close(), second.Close() })
			old := mustOpen(t, first, c.other)
			s := mustOpen(t, second, storage.Delivery{TaskID: "t", Epoch: 2, Main: "a.mp4"})
			late = func() { mustPut(t, first, old, localFile(t, "a.mp4", []byte("sent before"))) }
			err := second.Put(t.Context(), s, localFile(t, "a.mp4", []byte("content")))
			if (err != nil) != (c.want != status.Unknown) || err != nil && status.KindOf(err) != c.want {
				t.Fatalf("put: %v, want %v", err, c.want)
			}
			if err != nil {
				return
			}
			if l, err := second.Commit(t.Context(), s); err != nil || l.Size != int64(len("content")) {
				t.Errorf("commit: %+v, %v", l, err)
			}
		})
	}
}

// unprivileged is set in the process that TestReadOnlyDirectory starts: the directory that it may not write.
const unprivileged = "STORAGE_BLOB_TEST_READ_ONLY"

// Root may write everywhere, so as root the test runs itself as nobody.
func TestReadOnlyDirectory(t *testing.T) {
	if dir := os.Getenv(unprivileged); dir != "" {
		tryReadOnly(t, dir)
		return
	}
	dir, err := os.MkdirTemp("", "read-only")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 {
		tryReadOnly(t, dir)
		return
	}
	// Nobody cannot reach the directory where Go put the test's program.
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "test")
	if err := os.WriteFile(copied, program, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), copied, "-test.run=^TestReadOnlyDirectory$", "-test.v")
	temp := filepath.Join(dir, "temp")
	if err := os.Mkdir(temp, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(temp, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	cmd.Env = []string{unprivileged + "=" + dir, "TMPDIR=" + temp}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestReadOnlyDirectory")) {
		t.Errorf("as nobody: %v\n%s", err, out)
	}
}

func tryReadOnly(t *testing.T, dir string) {
	d := newDriver(t, Config{URL: dir})
	if err := d.Check(t.Context()); !errors.Is(err, status.PermissionDenied) {
		t.Errorf("check: %v, want %q", err, status.PermissionDenied)
	}
	s := mustOpen(t, d, storage.Delivery{TaskID: "t", Dir: "below", Main: "a.mp4"})
	if err := d.Put(t.Context(), s, localFile(t, "a.mp4", []byte("x"))); !errors.Is(err, status.PermissionDenied) {
		t.Errorf("put: %v, want %q", err, status.PermissionDenied)
	}
}

func TestKinds(t *testing.T) {
	for _, c := range []struct {
		err  error
		want status.Kind
	}{
		{&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, status.NoCapacity},
		{&fs.PathError{Op: "write", Path: "x", Err: syscall.EDQUOT}, status.NoCapacity},
		{&fs.PathError{Op: "write", Path: "x", Err: syscall.EIO}, status.Unavailable},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.EROFS}, status.PermissionDenied},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, status.PermissionDenied},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.ENAMETOOLONG}, status.InvalidArgument},
		{errors.New("what"), status.Unknown},
		{fmt.Errorf("a: %w", status.Errorf(status.DataLoss, "b")), status.DataLoss},
	} {
		if got := kindOf(c.err); got != c.want {
			t.Errorf("%v is %q, want %q", c.err, got, c.want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	if err := failure(ctx, "x", errors.New("anything")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a failure after the time ran out: %v", err)
	}
}

func TestPartSize(t *testing.T) {
	for size, want := range map[int64]int{0: 0, 1 << 30: 0, 70 << 30: 0, 80 << 30: 10 << 20, 1 << 40: 117 << 20} {
		got := partSize(size)
		if got != want {
			t.Errorf("an object of %d bytes is sent in parts of %d, want %d", size, got, want)
		}
		if got > 0 && size/int64(got) >= 10000 {
			t.Errorf("an object of %d bytes has %d parts", size, size/int64(got))
		}
	}
}
