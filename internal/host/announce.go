package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/recordhost/recordhost/sdk/proc"
)

// announcementName is the file in the data directory by which the host that runs on it is found.
const announcementName = "host.json"

// ErrNone tells that no host runs on a data directory.
var ErrNone = errors.New("no host runs")

// Running is a host that runs, as it has announced itself.
type Running struct {
	Process    proc.Identity `json:"process"`
	Recordings int           `json:"recordings"` // that are left, once it drains
}

// Announce makes this host one that Find finds, until Close. The process must know what SIGUSR1 means.
func (h *Host) Announce() error {
	self, err := proc.Self()
	if err != nil {
		return fmt.Errorf("announce the host: %w", err)
	}
	return h.announce(Running{Process: self})
}

// AnnounceLeft tells whoever waits for the host's end how many recordings are left.
func (h *Host) AnnounceLeft(recordings int) error {
	r := h.announced
	r.Recordings = recordings
	return h.announce(r)
}

// announce puts the file in its place whole.
func (h *Host) announce(r Running) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("announce the host: %w", err)
	}
	path := filepath.Join(h.config.DataDir, announcementName)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return fmt.Errorf("announce the host: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("announce the host: %w", err)
	}
	h.announced = r
	return nil
}

// conceal takes the announcement back.
func (h *Host) conceal() error {
	if h.announced.Process.PID == 0 {
		return nil
	}
	if err := os.Remove(filepath.Join(h.config.DataDir, announcementName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("take the host's announcement back: %w", err)
	}
	return nil
}

// Find answers the host that runs on a data directory, or ErrNone. The announcement of one that was killed is known by the
// process it names: another process of that number is not taken for it.
func Find(dataDir string) (Running, error) {
	var r Running
	path := filepath.Join(dataDir, announcementName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("%w on %s: there is no %s in it; start one with recordhost serve, or name the config that it was "+
			"started with", ErrNone, dataDir, announcementName)
	}
	if err != nil {
		return r, fmt.Errorf("find the host: %w", err)
	}
	if err := json.Unmarshal(text, &r); err != nil || r.Process.PID <= 0 {
		return r, fmt.Errorf("%s is damaged: it does not name the host's process; end the host with SIGTERM or SIGINT instead", path)
	}
	runs, err := r.Process.Running()
	if errors.Is(err, proc.ErrElsewhere) {
		return r, fmt.Errorf("the host that %s names was started in another boot, machine or container of which nothing is known here: "+
			"if it runs, do this there", path)
	}
	if err != nil {
		return r, fmt.Errorf("find the host: %w", err)
	}
	if !runs {
		return r, fmt.Errorf("%w on %s: process %d, which %s names, is gone; it was killed", ErrNone, dataDir, r.Process.PID,
			announcementName)
	}
	return r, nil
}

// Drain asks the host to take no new recordings, and to end when those that run have ended.
func (r Running) Drain() error {
	err := r.Process.Signal(syscall.SIGUSR1)
	if errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%w any more: it has just ended", ErrNone)
	}
	return err
}
