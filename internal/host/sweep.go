package host

import (
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/recordhost/recordhost/internal/scratch"
)

// What the state directory of a `recordhost record` that was killed is kept for, from the last change in it.
const (
	stateWithRecording = 7 * 24 * time.Hour // a recording that no one may have seen yet
	stateWithout       = time.Hour          // its worker may be about to begin
)

// sweep removes the private directories of workers, control streams and commands that were killed.
func (h *Host) sweep(now time.Time) {
	parents := []string{os.TempDir(), "/tmp", "/var/tmp"} // workers do not know of TMPDIR; record keeps its state in the last
	slices.Sort(parents)
	for _, parent := range slices.Compact(parents) {
		for _, prefix := range []string{scratch.PrefixRun, scratch.PrefixSocket} {
			removed, err := scratch.Sweep(parent, prefix, func(dir string, changed time.Time) bool {
				return precious(dir, now.Sub(changed))
			})
			if err != nil {
				h.log.Warn("not all that killed processes left could be removed", "err", err)
			}
			if len(removed) > 0 {
				h.log.Info("directories that killed processes left were removed", "dirs", removed)
			}
		}
	}
}

// precious tells whether a directory whose owner is gone is the state of a `recordhost record` that must stay: its worker
// is still at work, or it holds a recording that is younger than recordings are kept.
func precious(dir string, age time.Duration) bool {
	if _, err := os.Lstat(filepath.Join(dir, "tasks.db")); err != nil {
		return false // a worker's own, or a socket's
	}
	if age < stateWithout {
		return true
	}
	recordings, _ := filepath.Glob(filepath.Join(dir, "spool", "*", "spool", "*.mp4*")) // the pattern is well-formed
	if len(recordings) > 0 && age < stateWithRecording {
		return true
	}
	journals, _ := filepath.Glob(filepath.Join(dir, "spool", "*", "spool", "journal"))
	return slices.ContainsFunc(journals, locked)
}

// locked tells whether a worker has the journal of a spool open.
func locked(journal string) bool {
	f, err := os.Open(journal)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	return unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil
}
