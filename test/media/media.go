// Package media looks into recordings: it tells from a file alone what was recorded, and when.
//
// Everything is decoded by ffmpeg and read as a stream, so that a recording of ten hours needs no more memory than the
// numbers found in it. The measuring pages of package pages are read back out of the picture (Read, Recording.Report);
// other questions are asked of single points, regions, tones and of the container (Pixel, Colours, Levels, Probe,
// Compare). Nothing here knows of recordhost, so that it can judge any recorder. Tests and bench may import it.
package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// stopGrace is how long ffmpeg's pipes may stay open after it was killed.
const stopGrace = 5 * time.Second

// ffmpeg runs ffmpeg with those arguments, hands its standard output to read and each line that it logs to line, and
// waits for its end. read must read to the end; line may be nil.
func ffmpeg(ctx context.Context, read func(io.Reader) error, line func(string), args ...string) error {
	level := "error"
	if line != nil {
		level = "info"
	}
	args = append([]string{"-hide_banner", "-nostats", "-nostdin", "-v", level}, args...)
	cmd := exec.CommandContext(ctx, "ffmpeg", args...)
	cmd.WaitDelay = stopGrace
	log := &lines{each: line}
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("ffmpeg: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("ffmpeg: %w", err)
	}
	readErr := read(out)
	if readErr != nil {
		_ = cmd.Process.Kill() // it may have ended already; Wait tells
	}
	waitErr := cmd.Wait()
	switch {
	case readErr != nil:
		return fmt.Errorf("read what ffmpeg decoded: %w", readErr)
	case waitErr != nil:
		return fmt.Errorf("ffmpeg: %w: %s", errors.Join(waitErr, context.Cause(ctx)), log.last)
	}
	return nil
}

// lines hands on what is written line by line, and keeps the last line that is not blank.
type lines struct {
	each func(string)
	rest []byte
	last string
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		l.rest = rest
		l.take(strings.TrimSpace(string(line)))
	}
}

func (l *lines) take(line string) {
	if line == "" {
		return
	}
	l.last = line
	if l.each != nil {
		l.each(line)
	}
}

// seconds writes a time as ffmpeg's options read it.
func seconds(d time.Duration) string { return fmt.Sprintf("%.6f", d.Seconds()) }
