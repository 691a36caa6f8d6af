package media_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/recordhost/recordhost/test/media"
)

func report(t *testing.T, s synthetic) media.Report {
	t.Helper()
	recording, err := media.Read(t.Context(), s.write(t))
	if err != nil {
		t.Fatal(err)
	}
	report, err := recording.Report()
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// near compares with what encoding to AAC moves an onset by.
func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance {
		t.Errorf("%s = %v, want %v ± %v", what, got, want, tolerance)
	}
}

func nearPointer(t *testing.T, what string, got *float64, want, tolerance float64) {
	t.Helper()
	if got == nil {
		t.Errorf("%s is not told, want %v", what, want)
		return
	}
	near(t, what, *got, want, tolerance)
}

func TestAPerfectRecordingHasNoFault(t *testing.T) {
	r := report(t, perfect(5))
	if r.Width != synthWidth || r.Height != synthHeight || r.Frames != 150 || r.Unreadable != 0 {
		t.Errorf("%dx%d, %d frames, %d unreadable", r.Width, r.Height, r.Frames, r.Unreadable)
	}
	if r.Distinct != 150 || r.Doubled != 0 || r.Missing != 0 || r.Reloads != 0 {
		t.Errorf("distinct %d, doubled %d, missing %d, reloads %d", r.Distinct, r.Doubled, r.Missing, r.Reloads)
	}
	if len(r.Gaps)+len(r.FileGaps)+len(r.Cuts) != 0 {
		t.Errorf("gaps %v, file gaps %v, cuts %v", r.Gaps, r.FileGaps, r.Cuts)
	}
	near(t, "seconds", r.Seconds, 149.0/30, 0.001)
	near(t, "page seconds", r.PageSeconds, 149.0/30, 0.001)
	near(t, "time error", r.TimeErrorMax, 0, 1)
	if r.Flashes != 4 || r.Beeps != 4 {
		t.Errorf("%d flashes, %d beeps, want 4 each", r.Flashes, r.Beeps)
	}
	near(t, "length of the sound", r.AudioSeconds, 5, 0.05)
	nearPointer(t, "beep spacing", r.BeepSpacingMax, 0, 0.1)
	nearPointer(t, "beep phase", r.BetweenCuts.BeepPhaseMax, 0, 1)
	near(t, "sound minus picture", r.SoundMinusPicture.Worst, 0, 2)
	near(t, "with half a frame", r.PlusHalfFrame.Median, 16.7, 2)
}

func TestFaultsInThePictureAreFound(t *testing.T) {
	s := perfect(4)
	s.pictures[20] = s.pictures[19]                // doubled: its number is missing too
	s.pictures = slices.Delete(s.pictures, 40, 43) // three missing, and all that follows is 100 ms early
	for i := range s.pictures[:60] {
		s.pictures[i].clock += 25 // half of the recording is out of time with the rest
	}
	r := report(t, s)
	if r.Doubled != 1 || r.Missing != 1+3 || r.Distinct != 120-1-3 {
		t.Errorf("doubled %d, missing %d, distinct %d", r.Doubled, r.Missing, r.Distinct)
	}
	if len(r.Gaps) != 1 || len(r.FileGaps) != 0 || len(r.Cuts) != 0 {
		t.Errorf("gaps %v, file gaps %v, cuts %v", r.Gaps, r.FileGaps, r.Cuts)
	}
	if r.TimeErrorMax < 50 {
		t.Errorf("time error %v", r.TimeErrorMax)
	}
}

func TestAWaveringDepthIsATimeError(t *testing.T) {
	s := perfect(4)
	for i := range s.pictures {
		if i >= 90 {
			s.pictures[i].clock += 33 // one frame deeper from the third second on
		}
	}
	r := report(t, s)
	near(t, "p95", r.TimeErrorP95, 33, 2)
	near(t, "max", r.TimeErrorMax, 33, 2)
	if len(r.Cuts) != 0 {
		t.Errorf("cuts %v", r.Cuts)
	}
}

func TestAHoleInTheFileIsFound(t *testing.T) {
	s := perfect(4)
	s.filter = "select='not(between(n,60,74))'" // half a second without pictures, time going on
	r := report(t, s)
	if r.Frames != 105 || r.Missing != 15 || r.Doubled != 0 {
		t.Errorf("frames %d, missing %d, doubled %d", r.Frames, r.Missing, r.Doubled)
	}
	if len(r.FileGaps) != 1 || len(r.Gaps) != 1 || len(r.Cuts) != 0 {
		t.Fatalf("gaps %v, file gaps %v, cuts %v", r.Gaps, r.FileGaps, r.Cuts)
	}
	near(t, "place", r.FileGaps[0].At, 59.0/30, 0.001)
	near(t, "length", r.FileGaps[0].Milliseconds, 1000*16.0/30, 1)
	near(t, "time error", r.TimeErrorMax, 0, 1)
}

func TestLateSoundIsMeasured(t *testing.T) {
	for _, late := range []time.Duration{120 * time.Millisecond, -80 * time.Millisecond} {
		s := perfect(6)
		for i := range s.beeps {
			s.beeps[i] += late
		}
		r := report(t, s)
		want := float64(late.Milliseconds())
		near(t, "median", r.SoundMinusPicture.Median, want, 2)
		near(t, "p80", r.SoundMinusPicture.P80, math.Abs(want), 2)
		near(t, "worst", r.SoundMinusPicture.Worst, want, 2)
		near(t, "plus half a frame", r.PlusHalfFrame.Worst, want+16.7, 2)
		nearPointer(t, "beep spacing", r.BeepSpacingMax, 0, 0.1)
	}
}

func TestAMisplacedBeepIsMeasured(t *testing.T) {
	s := perfect(6)
	s.beeps[2] += 20 * time.Millisecond
	r := report(t, s)
	nearPointer(t, "beep spacing", r.BeepSpacingMax, 20, 0.5)
	nearPointer(t, "beep phase", r.BetweenCuts.BeepPhaseMax, 20, 1.5)
	near(t, "worst", r.SoundMinusPicture.Worst, 20, 2)
	near(t, "median", r.SoundMinusPicture.Median, 0, 2)
}

// A pause of 2.4 s after the second second: the file goes on without a gap, the page's clock has leapt, and so has its sound.
func paused() synthetic {
	s := perfect(5)
	for i := range s.pictures {
		if i >= 60 {
			s.pictures[i].counter += 72
			s.pictures[i].clock += 2400
			s.pictures[i].flash = s.pictures[i].clock%1000 < 100
		}
	}
	s.beeps = []time.Duration{time.Second, 2600 * time.Millisecond, 3600 * time.Millisecond, 4600 * time.Millisecond}
	return s
}

func TestAPauseIsACut(t *testing.T) {
	r := report(t, paused())
	if len(r.Cuts) != 1 || len(r.FileGaps) != 0 {
		t.Fatalf("cuts %v, file gaps %v", r.Cuts, r.FileGaps)
	}
	near(t, "place", r.Cuts[0].At, 59.0/30, 0.001)
	near(t, "length", r.Cuts[0].Milliseconds, 2400, 1)
	near(t, "page less file", 1000*(r.PageSeconds-r.Seconds), 2400, 1)
	near(t, "time error between cuts", r.BetweenCuts.TimeErrorMax, 0, 1)
	if r.TimeErrorMax < 1000 {
		t.Errorf("time error over the cut %v", r.TimeErrorMax)
	}
	nearPointer(t, "spacing over the cut", r.BeepSpacingMax, 600, 1)
	nearPointer(t, "spacing between cuts", r.BetweenCuts.BeepSpacingMax, 0, 0.1)
	nearPointer(t, "phase", r.BetweenCuts.BeepPhaseMax, 0, 1.5)
	near(t, "sound", r.SoundMinusPicture.Worst, 0, 2)
}

func TestSoundThatDidNotPauseIsFound(t *testing.T) {
	s := paused()
	s.beeps = []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second}
	nearPointer(t, "phase", report(t, s).BetweenCuts.BeepPhaseMax, 400, 1.5)
}

// A recording that begins within a beep has a first one that is short; that is no fault of the recorder's.
func TestABeepThatTheBeginningCuts(t *testing.T) {
	s := perfect(5)
	s.beeps = append([]time.Duration{-40 * time.Millisecond}, s.beeps...)
	for i := 1; i < len(s.beeps); i++ {
		s.beeps[i] -= 40 * time.Millisecond
	}
	r := report(t, s)
	nearPointer(t, "spacing, with the first", r.BeepSpacingMax, 40, 1)
	nearPointer(t, "spacing of whole beeps", r.BetweenCuts.BeepSpacingMax, 0, 0.1)
	nearPointer(t, "phase", r.BetweenCuts.BeepPhaseMax, 0, 1.5)
}

func TestAReloadAndABlankPage(t *testing.T) {
	s := perfect(4)
	for i := range s.pictures {
		switch {
		case i >= 65:
			s.pictures[i].counter -= 100 + 60
			s.pictures[i].clock -= 3000 + 2000
		case i >= 60:
			s.pictures[i] = shown{blank: true}
		}
	}
	r := report(t, s)
	if r.Reloads != 1 || r.Unreadable != 5 || r.Frames != 120 || len(r.Cuts) != 1 {
		t.Errorf("reloads %d, unreadable %d, frames %d, cuts %v", r.Reloads, r.Unreadable, r.Frames, r.Cuts)
	}
	near(t, "time error between cuts", r.BetweenCuts.TimeErrorMax, 0, 1)
}

func TestNumbersMayBeginAgain(t *testing.T) {
	s := perfect(3)
	for i := range s.pictures {
		s.pictures[i].counter = (s.pictures[i].counter + 0xffffff - 130) & 0xffffff
		s.pictures[i].clock = (s.pictures[i].clock + 0xffffff - 4000) & 0xffffff
	}
	s.pictures = slices.DeleteFunc(s.pictures, func(p shown) bool { return p.counter == 0 }) // no page shows it
	r := report(t, s)
	if r.Reloads != 0 || r.Missing != 1 || r.Distinct != 89 || len(r.Cuts) != 0 {
		t.Errorf("reloads %d, missing %d, distinct %d, cuts %v", r.Reloads, r.Missing, r.Distinct, r.Cuts)
	}
}

func TestASilentFileIsRead(t *testing.T) {
	s := perfect(2)
	s.sound = 0
	r := report(t, s)
	if r.Beeps != 0 || r.SoundMinusPicture != nil || r.BeepSpacingMax != nil || r.AudioSeconds != 0 || r.Distinct != 60 {
		t.Errorf("%+v", r)
	}
}

func TestAPageWithoutMeasureIsNoRecordingOfOne(t *testing.T) {
	s := perfect(1)
	for i := range s.pictures {
		s.pictures[i] = shown{blank: true}
	}
	recording, err := media.Read(t.Context(), s.write(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := recording.Report(); !errors.Is(err, media.ErrNoMeasure) {
		t.Errorf("err = %v", err)
	}
}

func TestReadEndsWithItsContext(t *testing.T) {
	file := perfect(2).write(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("nobody waits any more")
	cancel(gone)
	if _, err := media.Read(ctx, file); !errors.Is(err, gone) {
		t.Errorf("err = %v", err)
	}
}
