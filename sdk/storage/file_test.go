package storage_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFileIsReadOnce(t *testing.T) {
	for _, content := range []string{"", "a", "the content of a file"} {
		sum := sha256.Sum256([]byte(content))
		for _, sha := range [][]byte{nil, sum[:]} {
			f := storage.File{Path: writeFile(t, content), Size: int64(len(content)), SHA256: sha}
			for name, how := range map[string]func(io.Reader) io.Reader{
				"at once":      func(r io.Reader) io.Reader { return r },
				"byte by byte": iotest.OneByteReader,
				"early end":    iotest.DataErrReader,
			} {
				r, err := f.Open(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(how(r))
				if err != nil || string(got) != content {
					t.Errorf("%s: read %q, %v, want %q", name, got, err, content)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// A reader that stops after Size bytes, as uploads of a known length do, must not have got them all when they are wrong.
func TestWrongFileNeverArrivesWhole(t *testing.T) {
	const content = "0123456789"
	for name, f := range map[string]storage.File{
		"checksum":       {Path: writeFile(t, content), Size: 10, SHA256: make([]byte, 32)},
		"empty checksum": {Path: writeFile(t, ""), Size: 0, SHA256: make([]byte, 32)},
	} {
		r, err := f.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			got, err := io.ReadAll(io.MultiReader(r))
			if !errors.Is(err, status.DataLoss) || f.Size > 0 && len(got) == len(content) {
				t.Errorf("%s: read %q, %v", name, got, err)
			}
		}
		_ = r.Close()
	}
	for name, change := range map[string]func(f *os.File) error{
		"grows":   func(f *os.File) error { _, err := f.Write([]byte("x")); return err },
		"shrinks": func(f *os.File) error { return f.Truncate(5) },
	} {
		path := writeFile(t, content)
		r, err := storage.File{Path: path, Size: 10}.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := change(file); err != nil {
			t.Fatal(err)
		}
		_ = file.Close()
		if got, err := io.ReadAll(r); !errors.Is(err, status.InvalidArgument) || len(got) == len(content) {
			t.Errorf("a file that %s while it is read: read %q, %v", name, got, err)
		}
		_ = r.Close()
	}
}

func TestFilesThatAreNone(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]storage.File{
		"absent":    {Path: "/no/such/file"},
		"directory": {Path: t.TempDir()},
		"pipe":      {Path: pipe},
		"longer":    {Path: writeFile(t, "ab"), Size: 1},
		"shorter":   {Path: writeFile(t, "ab"), Size: 3},
		"sum":       {Path: writeFile(t, ""), SHA256: []byte{1}},
	} {
		if _, err := f.Open(t.Context()); !errors.Is(err, status.InvalidArgument) {
			t.Errorf("%s: %v, want %q", name, err, status.InvalidArgument)
		}
	}
}

func TestReadingEndsWithItsContext(t *testing.T) {
	path := writeFile(t, "content")
	ctx, cancel := context.WithCancel(t.Context())
	file, err := storage.File{Path: path, Size: 7}.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	part, err := storage.Part{Number: 1, Extents: []storage.Extent{{Path: path, Length: 7}}}.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	for _, r := range []io.ReadCloser{file, part} {
		if _, err := r.Read(make([]byte, 3)); !errors.Is(err, context.Canceled) {
			t.Errorf("read after the end of the context: %v", err)
		}
		_ = r.Close()
	}
}

func TestPartIsItsExtents(t *testing.T) {
	a, b := writeFile(t, "0123456789"), writeFile(t, "abcdef")
	p := storage.Part{Number: 1, Extents: []storage.Extent{
		{Path: a, Offset: 8, Length: 2}, {Path: b, Offset: 0, Length: 0}, {Path: a, Offset: 0, Length: 1}, {Path: b, Offset: 2, Length: 4},
	}}
	if p.Size() != 7 {
		t.Errorf("the part has %d bytes, want 7", p.Size())
	}
	for _, how := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader} {
		r, err := p.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(how(r)); err != nil || !bytes.Equal(got, []byte("890cdef")) {
			t.Errorf("read %q, %v", got, err)
		}
		_ = r.Close()
	}
	p.Extents[3].Length = 5
	r, err := p.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); !errors.Is(err, status.InvalidArgument) {
		t.Errorf("an extent beyond the end: read %q, %v", got, err)
	}
	_ = r.Close()
}
