package host

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What `recordhost record` leaves when it is killed may be the only copy of a recording.
func TestWhatASweepSpares(t *testing.T) {
	const journal, film = "spool/task/spool/journal", "spool/task/spool/run-0001.mp4"
	for name, c := range map[string]struct {
		files []string
		age   time.Duration
		open  bool // a worker has the journal open
		want  bool
	}{
		"a worker's own":              {[]string{"s/wayland-0"}, 0, false, false},
		"state, just left":            {[]string{"tasks.db"}, time.Minute, false, true},
		"state":                       {[]string{"tasks.db"}, 2 * time.Hour, false, false},
		"a recording":                 {[]string{"tasks.db", journal, film}, 6 * 24 * time.Hour, false, true},
		"a recording, seen by no one": {[]string{"tasks.db", journal, film}, 8 * 24 * time.Hour, false, false},
		"the worker is at work":       {[]string{"tasks.db", journal, film}, 8 * 24 * time.Hour, true, true},
		"a delivered recording":       {[]string{"tasks.db", "spool/task/control-1.journal"}, 2 * time.Hour, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, file := range c.files {
				path := filepath.Join(dir, file)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if c.open {
				f, err := os.Open(filepath.Join(dir, journal))
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
					t.Fatal(err)
				}
			}
			if got := precious(dir, c.age); got != c.want {
				t.Errorf("spared: %v, want %v", got, c.want)
			}
		})
	}
}
