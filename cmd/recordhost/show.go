package main

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/recordhost/recordhost/internal/control"
)

// show is the progress of a recording on a terminal. Where no person looks it shows nothing.
type show struct {
	bar  *progressbar.ProgressBar // nil: nobody looks
	goal time.Duration
	over bool // no figures any more
}

// newShow shows progress towards a goal; a goal of zero is not known.
func newShow(w io.Writer, goal time.Duration) *show {
	s := &show{goal: goal}
	if !terminal(w) {
		return s
	}
	length := goal.Milliseconds()
	if goal == 0 {
		length = -1
	}
	s.bar = progressbar.NewOptions64(length,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetWidth(24),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionSpinnerType(14),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetDescription("opening the page"),
		progressbar.OptionSetRenderBlankState(true),
	)
	return s
}

// figures shows what has been recorded so far.
func (s *show) figures(p control.Progress) {
	if s.bar == nil || s.over || p.Frames == 0 {
		return
	}
	// A terminal that went away is no reason to stop recording, so errors are nobody's business. A full bar would end.
	if s.goal == 0 {
		_ = s.bar.Add(1)
	} else {
		_ = s.bar.Set64(min(p.Recorded, s.goal-time.Millisecond).Milliseconds())
	}
	s.bar.Describe(fmt.Sprintf("%s  %d frames  %d dropped  %s  %.2f cores",
		clock(p.Recorded), p.Frames, p.Dropped, bytesText(p.Spooled), cores(p.CPU, p.Recorded)))
}

// stopping says that the first Ctrl-C was heard.
func (s *show) stopping() {
	s.over = true
	if s.bar != nil {
		s.bar.Describe("stopping: the file is being finished")
	}
}

// end takes the progress off the terminal.
func (s *show) end() {
	if s.bar != nil {
		_ = s.bar.Finish()
	}
}

// clock writes a length of time as 1:02:03 or 2:03.
func clock(d time.Duration) string {
	seconds := int(d.Seconds())
	if seconds < 3600 {
		return fmt.Sprintf("%d:%02d", seconds/60, seconds%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
}

// bytesText writes a size as files' sizes are written, in powers of ten.
func bytesText(n int64) string {
	switch {
	case n < 1e6:
		return fmt.Sprintf("%.0f kB", float64(n)/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	default:
		return fmt.Sprintf("%.2f GB", float64(n)/1e9)
	}
}

// cores is how many processor cores were busy on average.
func cores(cpu, wall time.Duration) float64 {
	if wall <= 0 {
		return 0
	}
	return cpu.Seconds() / wall.Seconds()
}
