package main

import (
	"context"
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
	cut     time.Duration // time that is absent around the strike
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
	s.cut = cut(recording.Frames, shown, struck)
	return s, nil
}

// around is how far before and behind the strike pictures are compared. The first second behind a load is left out: its
// pictures are stamped a little late, until the depth of Chrome's pipeline is known.
const around, settling = 3 * time.Second, time.Second

// cut is how much more time went by around the strike than the file has: by the median of the pictures before and of those
// behind, so that it does not depend on single pictures. It is zero where there are none on one side.
func cut(frames []media.Frame, shown []time.Time, struck time.Time) time.Duration {
	var before, behind []time.Duration
	for i, f := range frames {
		off := shown[i].Sub(struck) - f.At
		switch since := shown[i].Sub(struck); {
		case since <= 0 && since > -around:
			before = append(before, off)
		case since > settling && since < settling+around:
			behind = append(behind, off)
		}
	}
	if len(before) == 0 || len(behind) == 0 {
		return 0
	}
	slices.Sort(before)
	slices.Sort(behind)
	return behind[len(behind)/2] - before[len(before)/2]
}

// clocks answers when each picture was drawn. The page's clock begins anew with each load, and each load was reported with
// the time at which it did. The last pictures are of the last load; from there it goes back, and a load that was never seen is
// passed over.
func clocks(frames []media.Frame, loads []pages.Report) ([]time.Time, error) {
	origins, err := originsOf(loads)
	if err != nil {
		return nil, err
	}
	shown := make([]time.Time, len(frames))
	load := len(origins)
	for i := len(frames) - 1; i >= 0; i-- {
		at := time.Duration(frames[i].Clock) * time.Millisecond
		switch {
		case i == len(frames)-1:
			load--
		case frames[i].Clock > frames[i+1].Clock:
			load = before(origins[:max(0, load)], at, shown[i+1])
		}
		if load < 0 {
			return nil, fmt.Errorf("picture %d is of no load that was reported", i)
		}
		shown[i] = origins[load].Add(at)
	}
	return shown, nil
}

func originsOf(loads []pages.Report) (origins []time.Time, err error) {
	for _, l := range loads {
		var v pages.Loaded
		if err := l.Decode(&v); err != nil {
			return nil, err
		}
		origins = append(origins, time.UnixMicro(int64(v.Origin*1000)))
	}
	return origins, nil
}

// before is the last load whose clock is at the time at no later than the given time, or -1.
func before(origins []time.Time, at time.Duration, then time.Time) int {
	for i, origin := range slices.Backward(origins) {
		if !origin.Add(at).After(then) {
			return i
		}
	}
	return -1
}
