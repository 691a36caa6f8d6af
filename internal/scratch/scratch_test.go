package scratch_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recordhost/recordhost/internal/scratch"
)

const prefix = scratch.PrefixRun

// TestMain runs the tests, or, started again by one of them, plays the owner of a directory until it is killed.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "own-below" {
		d, err := scratch.Make(os.Args[2], prefix)
		if err != nil {
			panic(err)
		}
		fmt.Println(d.Path())
		time.Sleep(time.Hour) // it is killed
	}
	goleak.VerifyTestMain(m)
}

// owner is another process that has a directory.
type owner struct {
	dir  string
	kill func()
}

func newOwner(t *testing.T, parent string) owner {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "own-below", parent)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return owner{dir: strings.TrimSpace(line), kill: kill}
}

func sweep(t *testing.T, parent string, spare func(string, time.Time) bool) []string {
	t.Helper()
	removed, err := scratch.Sweep(parent, prefix, spare)
	if err != nil {
		t.Fatal(err)
	}
	return removed
}

func exists(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Lstat(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

// fill puts something into a directory, and makes all of it that old.
func fill(t *testing.T, dir string, age time.Duration) {
	t.Helper()
	file := filepath.Join(dir, "c", "file")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-age)
	for _, path := range []string{file, filepath.Dir(file), filepath.Join(dir, ".recordhost-owner"), dir} {
		if err := os.Chtimes(path, then, then); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

func TestADirectoryIsPrivateAndGoes(t *testing.T) {
	d, err := scratch.Make(t.TempDir(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(d.Path())
	if err != nil || info.Mode().Perm() != 0o700 || !strings.HasPrefix(filepath.Base(d.Path()), prefix) {
		t.Errorf("%s: %v, %v", d.Path(), info, err)
	}
	fill(t, d.Path(), 0)
	if err := d.Remove(); err != nil {
		t.Error(err)
	}
	if exists(t, d.Path()) {
		t.Error("it is there")
	}
	next, err := scratch.Take(d.Path())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Remove(); err != nil || !exists(t, next.Path()) {
		t.Errorf("removed a second time, it was another's: %v", err)
	}
	if err := next.Remove(); err != nil {
		t.Error(err)
	}
}

// What an owner that was killed leaves is removed, and nothing of one that lives, however old it is.
func TestTheOwnerIsKilled(t *testing.T) {
	parent := t.TempDir()
	dead, alive := newOwner(t, parent), newOwner(t, parent)
	own, err := scratch.Make(parent, prefix)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{dead.dir, alive.dir, own.Path()} {
		fill(t, dir, 1000*time.Hour)
	}
	if removed := sweep(t, parent, nil); len(removed) != 0 {
		t.Errorf("removed while their owners live: %v", removed)
	}
	dead.kill()
	if removed := sweep(t, parent, nil); !slices.Equal(removed, []string{dead.dir}) {
		t.Errorf("removed %v, want %s", removed, dead.dir)
	}
	if exists(t, dead.dir) || !exists(t, alive.dir) || !exists(t, own.Path()) {
		t.Error("the wrong ones are there")
	}
	if err := own.Leave(); err != nil {
		t.Error(err)
	}
	if removed := sweep(t, parent, nil); !slices.Equal(removed, []string{own.Path()}) {
		t.Errorf("removed %v after it was left", removed)
	}
}

func TestWhatIsSpared(t *testing.T) {
	parent := t.TempDir()
	o := newOwner(t, parent)
	fill(t, o.dir, 3*time.Hour)
	o.kill()
	var told time.Duration
	removed := sweep(t, parent, func(dir string, changed time.Time) bool {
		told = time.Since(changed)
		return dir == o.dir
	})
	if len(removed) != 0 || !exists(t, o.dir) {
		t.Errorf("removed %v", removed)
	}
	if told < 3*time.Hour || told > 4*time.Hour {
		t.Errorf("it is told to have changed %v ago", told)
	}
	if removed := sweep(t, parent, func(string, time.Time) bool { return false }); len(removed) != 1 {
		t.Errorf("removed %v", removed)
	}
}

// Directories without a lock are of an older release, or being made at the moment, or not ours at all.
func TestDirectoriesWithoutALock(t *testing.T) {
	const hour = time.Hour
	for name, c := range map[string]struct {
		dir  string
		age  time.Duration
		mode os.FileMode
		want bool
	}{
		"old":              {"recordhost-123", 25 * hour, 0o700, true},
		"old, of a worker": {"recordhost-123", 25 * hour, 0o711, true},
		"young":            {"recordhost-123", 23 * hour, 0o700, false},
		"another's name":   {"recordhost-plugins-123", 1000 * hour, 0o700, false},
		"a person's name":  {"recordhost-backup", 1000 * hour, 0o700, false},
		"no name":          {"recordhost-", 1000 * hour, 0o700, false},
		"another prefix":   {"record-123", 1000 * hour, 0o700, false},
		"others may write": {"recordhost-123", 1000 * hour, 0o770, false},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, c.dir)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			fill(t, dir, c.age)
			if err := os.Chmod(dir, c.mode); err != nil {
				t.Fatal(err)
			}
			if removed := sweep(t, parent, nil); (len(removed) == 1) != c.want || exists(t, dir) == c.want {
				t.Errorf("removed %v", removed)
			}
		})
	}
}

// A directory that is in use is written to below its first level, too.
func TestAnOldDirectoryInWhichSomethingChanges(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "recordhost-1")
	fill(t, dir, 100*time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "c", "file"), time.Time{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if removed := sweep(t, parent, nil); len(removed) != 0 {
		t.Errorf("removed %v", removed)
	}
}

// A link is not followed, wherever it stands.
func TestLinksAreNotFollowed(t *testing.T) {
	parent, precious := t.TempDir(), t.TempDir()
	fill(t, precious, 1000*time.Hour)
	if err := os.Symlink(precious, filepath.Join(parent, "recordhost-1")); err != nil {
		t.Fatal(err)
	}
	o := newOwner(t, parent)
	if err := os.Symlink(precious, filepath.Join(o.dir, "link")); err != nil {
		t.Fatal(err)
	}
	o.kill()
	if removed := sweep(t, parent, nil); !slices.Equal(removed, []string{o.dir}) {
		t.Errorf("removed %v", removed)
	}
	if !exists(t, filepath.Join(precious, "c", "file")) {
		t.Error("what a link pointed at is gone")
	}
}

func TestNothingToSweep(t *testing.T) {
	if removed := sweep(t, filepath.Join(t.TempDir(), "nowhere"), nil); len(removed) != 0 {
		t.Errorf("removed %v", removed)
	}
}

// Directories that are made while others are swept are never taken from their owners.
func TestMakingAndSweepingAtOnce(t *testing.T) {
	parent := t.TempDir()
	done := make(chan struct{})
	var sweepers sync.WaitGroup
	for range 2 {
		sweepers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := scratch.Sweep(parent, prefix, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 300 {
		d, err := scratch.Make(parent, prefix)
		if err != nil {
			t.Fatal(err)
		}
		if !exists(t, d.Path()) {
			t.Fatal("it was swept while it was in use")
		}
		if err := d.Remove(); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	sweepers.Wait()
}

func TestTake(t *testing.T) {
	parent := t.TempDir()
	path := filepath.Join(parent, "recordhost-7")
	take := func(why string) *scratch.Dir {
		t.Helper()
		d, err := scratch.Take(path)
		if err != nil {
			t.Fatalf("%s: %v", why, err)
		}
		if removed := sweep(t, parent, nil); len(removed) != 0 {
			t.Fatalf("%s: it was swept", why)
		}
		return d
	}
	d := take("where nothing is")
	if err := d.Leave(); err != nil {
		t.Fatal(err)
	}
	d = take("after its owner")
	if err := d.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	d = take("of an older release")
	if _, err := scratch.Take(path); !errors.Is(err, scratch.ErrInUse) {
		t.Errorf("taken twice: %v", err)
	}
	if err := d.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := scratch.Take(path); err == nil || errors.Is(err, scratch.ErrInUse) {
		t.Errorf("where others may read: %v", err)
	}
}

// A sweep of a directory that is being taken costs at most its content.
func TestTakingAndSweepingAtOnce(t *testing.T) {
	parent := t.TempDir()
	path := filepath.Join(parent, "recordhost-7")
	done := make(chan struct{})
	var sweeper sync.WaitGroup
	sweeper.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if _, err := scratch.Sweep(parent, prefix, nil); err != nil {
				t.Error(err)
			}
		}
	})
	for range 200 {
		d, err := scratch.Take(path)
		if err != nil {
			t.Fatal(err)
		}
		if !exists(t, filepath.Join(path, ".recordhost-owner")) {
			t.Fatal("it was swept while it was in use")
		}
		if err := d.Leave(); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	sweeper.Wait()
}
