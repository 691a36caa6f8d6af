package pluginhost

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSocketDirIsShortPrivateAndLocked(t *testing.T) {
	for name, base := range map[string]string{
		"usual": t.TempDir(),
		"long":  filepath.Join(t.TempDir(), strings.Repeat("x", 100)),
	} {
		t.Setenv("TMPDIR", base)
		d, err := newSocketDir()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(d.path) > maxSocketDir {
			t.Errorf("%s: %s is too long", name, d.path)
		}
		if info, err := os.Stat(d.path); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
		if lock, err := lockDir(d.path); err == nil {
			t.Errorf("%s: locked twice", name)
			_ = lock.Close()
		}
		if err := d.remove(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStaleSocketDirsAreRemoved(t *testing.T) {
	base, err := os.MkdirTemp("", "") // t.TempDir may be too long a path for sockets
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(base) }()
	t.Setenv("TMPDIR", base)
	folder := func(name string, age time.Duration) string {
		path := filepath.Join(base, name)
		if err := os.MkdirAll(filepath.Join(path, "plugin-dir1"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	stale, young, foreign := folder(socketPrefix+"1", time.Hour), folder(socketPrefix+"2", 0), folder("other-1", time.Hour)
	used := folder(socketPrefix+"3", time.Hour)
	// Folders of other parts of recordhost begin alike and are not locked. They were removed once: a worker lost its
	// sockets as soon as some other recording began.
	worker := folder("recordhost-5", time.Hour)
	lock, err := lockDir(used)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	link := filepath.Join(base, socketPrefix+"4")
	if err := os.Symlink(foreign, link); err != nil {
		t.Fatal(err)
	}

	d, err := newSocketDir()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		stale: false, young: true, foreign: true, used: true, link: true, worker: true, d.path: true,
	} {
		if _, err := os.Lstat(path); (err == nil) != want {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
	}
	if err := d.remove(); err != nil {
		t.Error(err)
	}
}
