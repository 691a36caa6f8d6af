package encode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	// look is the time between two looks at ffmpeg. Looks are counted, not time: a machine that slept has not looked.
	look = 250 * time.Millisecond

	// An ffmpeg that has work, takes nothing and gives nothing is hung after soon looks when it does not even want to
	// compute, and after late looks in any case.
	soon = 4
	late = 24

	// idle is how little CPU time counts as none.
	idle = 30 * time.Millisecond

	// dry is how much sound ffmpeg may take without giving a fragment.
	dry = 6 * time.Second
)

var errHung = errors.New("ffmpeg hangs")

// watch waits for the end of ffmpeg. It returns a cause when ffmpeg has to be killed, and nil when it ended by itself and
// all that it wrote was read; read is then what the reader said.
func (n *run) watch(ctx context.Context, read chan error) (cause, readErr error) {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	id := n.child.Identity()
	dog := watchdog{cpu: id.CPU, wants: func() bool { return wantsCPU(id.PID) }}
	done := n.child.Done()
	for {
		select {
		case readErr = <-read:
			if readErr != nil {
				return readErr, readErr
			}
			read = nil
		case <-done:
			done = nil
		case <-ctx.Done():
			return context.Cause(ctx), readErr
		case <-ticker.C:
			if done == nil {
				break // only what it wrote is still to be read
			}
			if err := dog.look(n.now()); err != nil {
				return err, readErr
			}
		}
		if read == nil && done == nil {
			return nil, readErr
		}
	}
}

// wantsCPU tells whether any thread of a process is runnable, or in a wait that is not its own fault. On a machine that
// has more to do than it can, that is not a hang.
func wantsCPU(pid int) bool {
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid)) // the pattern is well-formed
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// The state follows the name, which stands in brackets and may hold any character.
		if _, state, ok := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" ")); ok &&
			(bytes.HasPrefix(state, []byte("R")) || bytes.HasPrefix(state, []byte("D"))) {
			return true
		}
	}
	return false
}

// glance is progress at one moment.
type glance struct {
	written, fragments, fedSound int64
	busy                         bool // ffmpeg has work
	storing                      bool
}

func (p *progress) now() glance {
	return glance{
		written: p.written.Load(), fragments: p.fragments.Load(), fedSound: p.fedSound.Load(),
		busy: p.writing.Load() || p.closed.Load(), storing: p.storing.Load(),
	}
}

// watchdog judges by a row of glances whether ffmpeg hangs.
type watchdog struct {
	cpu   func() (time.Duration, error)
	wants func() bool // it is running, would if it could, or waits for the disk

	last    glance
	stalled int           // looks since ffmpeg last did something, while it had work
	spent   time.Duration // its CPU time when that began
	barren  int           // looks since the last fragment
	sound   int64         // what it had been fed then
}

func (d *watchdog) look(g glance) error {
	moved := g.written != d.last.written || g.fragments != d.last.fragments
	if g.storing || g.fragments != d.last.fragments || d.sound == 0 {
		d.barren, d.sound = 0, g.fedSound
	}
	d.last = g
	d.barren++
	if g.storing || moved || !g.busy {
		d.stalled = 0
	} else {
		d.stalled++
	}
	if d.stalled == 1 {
		d.spent, _ = d.cpu()
	}
	switch {
	case d.stalled >= late:
		return fmt.Errorf("%w: it has taken nothing for %v", errHung, late*look)
	case d.stalled >= soon:
		if spent, err := d.cpu(); err == nil && spent-d.spent < idle && !d.wants() {
			return fmt.Errorf("%w: it has neither taken anything nor computed for %v", errHung, time.Duration(d.stalled)*look)
		}
	case d.barren >= late && g.fedSound-d.sound > samples(dry):
		return fmt.Errorf("%w: nothing has come out of it for %v", errHung, time.Duration(d.barren)*look)
	}
	return nil
}
