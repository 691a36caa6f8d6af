// Package clock tells a task's time: the machine's wall clock at the moment when the task was made, and from then on what
// has really gone by. So a wall clock that is set, forward or back, makes no limit come early and no duration negative,
// and all that is said about one task fits together, whichever process says it. The task manager and the worker's end
// of the control stream use it.
package clock

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Source is the machine's clocks. The zero value is the real ones; tests bring their own.
type Source struct {
	Wall    func() time.Time     // what people call the time; may be set
	Elapsed func() time.Duration // since the machine was started; never set, runs on while the machine sleeps
	Boot    string               // tells one start of the machine from another
}

// System is the real clocks.
func System() Source {
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // without it every process is a boot of its own: see Now
	return Source{Wall: time.Now, Elapsed: elapsed, Boot: strings.TrimSpace(string(boot))}
}

// elapsed reads CLOCK_BOOTTIME, which cannot fail on Linux.
func elapsed() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return time.Duration(ts.Nano())
}

// Anchor ties a task's time to the machine's clocks. It is stored with the task.
type Anchor struct {
	Wall    time.Time
	Boot    string
	Elapsed time.Duration
}

// Anchor is the present moment.
func (s Source) Anchor() Anchor {
	return Anchor{Wall: s.Wall().Round(0).UTC(), Boot: s.Boot, Elapsed: s.Elapsed()}
}

// Now answers the time of a task. After the machine was started anew, or on another one, it is the wall clock's, but never
// earlier than the anchor.
func (s Source) Now(a Anchor) time.Time {
	if s.Boot != "" && s.Boot == a.Boot {
		return a.Wall.Add(max(0, s.Elapsed()-a.Elapsed))
	}
	now := s.Wall().Round(0).UTC()
	if now.Before(a.Wall) {
		return a.Wall
	}
	return now
}
