package media

import (
	"context"
	"fmt"
	"time"
)

// Recording is what was read back out of the recording of a measuring page.
type Recording struct {
	Width, Height int
	Frames        []Frame         // those that show the measure
	Unreadable    int             // pictures that do not, such as those of a page that is being loaded
	Beeps         []time.Duration // when each begins
	Sound         time.Duration   // length of the sound
}

// Read decodes a recording of one of the measuring pages.
func Read(ctx context.Context, file string) (Recording, error) {
	info, err := Probe(ctx, file)
	if err != nil {
		return Recording{}, err
	}
	if info.Video == nil {
		return Recording{}, fmt.Errorf("%s has no picture", file)
	}
	r := Recording{Width: info.Video.Width, Height: info.Video.Height}
	frames, err := readFrames(ctx, file, r.Width, r.Height)
	if err != nil {
		return Recording{}, fmt.Errorf("read the picture of %s: %w", file, err)
	}
	for _, frame := range frames {
		if frame.Readable() {
			r.Frames = append(r.Frames, frame)
		} else {
			r.Unreadable++
		}
	}
	if info.Audio == nil {
		return r, nil
	}
	if r.Beeps, r.Sound, err = readBeeps(ctx, file); err != nil {
		return Recording{}, fmt.Errorf("read the sound of %s: %w", file, err)
	}
	return r, nil
}

// step is what lies between a picture and the one before it.
type step struct {
	at      time.Duration // of the picture before, in the file
	file    time.Duration // by the file's time
	clock   time.Duration // by the page's clock; negative when the page was loaded anew
	counter int           // by the page's counter
}

// cutFrom is how far the page's clock and the file's time must come apart at once to be taken for a cut, a pause or a new load.
const cutFrom = 250 * time.Millisecond

// cut is the page's time that was left out of the file at this step, if any.
func (s step) cut() (time.Duration, bool) {
	out := s.clock - s.file
	return out, out.Abs() > cutFrom
}

func (r Recording) steps() []step {
	steps := make([]step, 0, len(r.Frames))
	for i := 1; i < len(r.Frames); i++ {
		a, b := r.Frames[i-1], r.Frames[i]
		steps = append(steps, step{
			at:      a.At,
			file:    b.At - a.At,
			clock:   time.Duration(difference(a.Clock, b.Clock)) * time.Millisecond,
			counter: difference(a.Counter, b.Counter),
		})
	}
	return steps
}

// difference is b - a of numbers of 24 bits that begin again at zero: the nearer way round.
func difference(a, b uint32) int { return int(int32((b-a)<<8) >> 8) }

// offsets are, for each picture, its time in the file less the page's clock: constant in a perfect recording. The outer
// slice has a part for each stretch between two cuts.
func (r Recording) offsets() [][]time.Duration {
	if len(r.Frames) == 0 {
		return nil
	}
	offset := r.Frames[0].At - time.Duration(r.Frames[0].Clock)*time.Millisecond
	parts := [][]time.Duration{{offset}}
	for _, s := range r.steps() {
		offset += s.file - s.clock
		if _, isCut := s.cut(); isCut {
			parts = append(parts, nil)
		}
		last := len(parts) - 1
		parts[last] = append(parts[last], offset)
	}
	return parts
}

// flashes are the times of the pictures in which the flash turns white.
func (r Recording) flashes() []time.Duration {
	var found []time.Duration
	for i := 1; i < len(r.Frames); i++ {
		if r.Frames[i].Flash && !r.Frames[i-1].Flash {
			found = append(found, r.Frames[i].At)
		}
	}
	return found
}

// nearestBeep is how much later than that time the nearest beep begins, when one is near enough to belong to it.
func (r Recording) nearestBeep(at time.Duration) (time.Duration, bool) {
	nearest, found := 450*time.Millisecond, false
	for _, beep := range r.Beeps {
		if late := beep - at; late.Abs() < nearest.Abs() {
			nearest, found = late, true
		}
	}
	return nearest, found
}
