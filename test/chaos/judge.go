package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/recordhost/recordhost/test/media"
	"github.com/recordhost/recordhost/test/pages"
)

// seen is what the file shows, by the clocks that the page drew into its pictures.
type seen struct {
	lost    time.Duration // captured before the strike, and not in the file
	again   time.Duration // from the strike to the first picture behind it
	cut     time.Duration // time that is absent at the strike
	missing int           // pictures left out elsewhere
	sync    float64       // sound minus picture, four fifths of all flashes at the most, in milliseconds
	seconds float64       // of the file
}

// look reads the recording and finds the strike in it.
func look(ctx context.Context, file string, loads []pages.Report, struck time.Time) (seen, error) {
	recording, err := media.Read(ctx, file)
	if err != nil {
		return seen{}, err
	}
	report, err := recording.Report()
	if err != nil {
		return seen{}, err
	}
	shown, err := clocks(recording.Frames, loads)
	if err != nil {
		return seen{}, err
	}
	s := seen{missing: report.Missing, seconds: report.AudioSeconds}
	if report.PlusHalfFrame != nil {
		s.sync = report.PlusHalfFrame.P80 // a flash whose beep a cut has touched says nothing
	}
	after := slices.IndexFunc(shown, func(t time.Time) bool { return t.After(struck) })
	switch {
	case after < 0: // it was struck behind the end
		s.lost = 0
	case after == 0: // or before the beginning
		s.again = shown[0].Sub(struck)
	default:
		s.lost, s.again = struck.Sub(shown[after-1]), shown[after].Sub(struck)
	}
	if after > 0 {
		file := recording.Frames[after].At - recording.Frames[after-1].At
		s.cut = shown[after].Sub(shown[after-1]) - file
	}
	return s, nil
}

// clocks answers when each picture was drawn. The page's clock begins anew with each load, and each load was reported with
// the time at which it did; one that was never seen is passed over.
func clocks(frames []media.Frame, loads []pages.Report) ([]time.Time, error) {
	var origins []time.Time
	for _, l := range loads {
		var v pages.Loaded
		if err := l.Decode(&v); err != nil {
			return nil, err
		}
		origins = append(origins, time.UnixMicro(int64(v.Origin*1000)))
	}
	if len(origins) == 0 {
		return nil, errors.New("the page has reported no load")
	}
	var shown []time.Time
	load := -1
	for i, f := range frames {
		at := time.Duration(f.Clock) * time.Millisecond
		if i == 0 || f.Clock < frames[i-1].Clock {
			load = next(origins, load, shown, at)
			if load < 0 {
				return nil, fmt.Errorf("picture %d is of no load that was reported", i)
			}
		}
		shown = append(shown, origins[load].Add(at))
	}
	return shown, nil
}

// next is the first load behind the present one whose clock does not lead back.
func next(origins []time.Time, present int, shown []time.Time, at time.Duration) int {
	for i := present + 1; i < len(origins); i++ {
		if len(shown) == 0 || !origins[i].Add(at).Before(shown[len(shown)-1]) {
			return i
		}
	}
	return -1
}
