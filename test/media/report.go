package media

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"time"
)

// Report is what a recording is judged by. Names that end in ms are milliseconds, other times are seconds. What cannot
// be told, such as the spacing of a single beep, is absent.
type Report struct {
	Width      int `json:"width"`
	Height     int `json:"height"`
	Frames     int `json:"frames"`     // pictures in the file
	Unreadable int `json:"unreadable"` // of these without the measure; they count nowhere else
	Distinct   int `json:"distinct"`   // numbers of the page's frames that are seen
	Doubled    int `json:"doubled"`    // pictures with the same number as the one before
	Missing    int `json:"missing"`    // numbers left out between two pictures
	Reloads    int `json:"reloads"`    // times the counter began anew

	Seconds     float64 `json:"seconds"`              // from the first picture to the last in the file
	PageSeconds float64 `json:"page_seconds"`         // the same on the page's clock
	Gaps        []Gap   `json:"gaps_over_100ms"`      // where the page's clock leapt
	FileGaps    []Gap   `json:"file_gaps_over_100ms"` // where the file's own time did: nothing is shown anew
	Cuts        []Gap   `json:"cuts"`                 // where the page's clock went on without the file: what was left out

	// The time error is how far a picture's time in the file is from the page's clock, one constant for the file removed.
	TimeErrorP95 float64 `json:"time_error_ms_p95"`
	TimeErrorMax float64 `json:"time_error_ms_max"`

	Flashes        int      `json:"flashes"`
	Beeps          int      `json:"beeps"`
	AudioSeconds   float64  `json:"audio_seconds"`
	BeepSpacingMax *float64 `json:"beep_spacing_error_ms_max"` // from one second between two beeps, the worst

	// SoundMinusPicture tells for each flash how much later its beep is. A flash waits half a frame on average until it is
	// drawn, which the second adds.
	SoundMinusPicture *Spread `json:"sound_minus_picture_ms,omitempty"`
	PlusHalfFrame     *Spread `json:"sound_minus_picture_plus_half_frame_ms,omitempty"`
	// SoundDrift is how much later the sound is in the last third than in the first, by the medians.
	SoundDrift *float64 `json:"sound_drift_ms,omitempty"`

	// BetweenCuts judges each stretch between two cuts by itself. Without cuts it says the same as the figures above, but for
	// a first beep that had begun before the file.
	BetweenCuts Stretches `json:"between_cuts"`
}

// Stretches are the figures that a cut does not spoil.
type Stretches struct {
	TimeErrorP95   float64  `json:"time_error_ms_p95"` // each stretch's own constant removed
	TimeErrorMax   float64  `json:"time_error_ms_max"`
	BeepSpacingMax *float64 `json:"beep_spacing_error_ms_max"` // of beeps that no cut, nor the file's beginning, has touched
	// BeepPhaseMax is how far the page's clock, each time that a beep is heard, is from the same part of its second: sound
	// and picture were cut by the same amount when it is small.
	BeepPhaseMax *float64 `json:"beep_phase_error_ms_max"`
}

// Gap is a leap in time: where in the file, in seconds, and by how many milliseconds.
type Gap struct {
	At           float64 `json:"at"`
	Milliseconds float64 `json:"ms"`
}

// Spread sums up a set of errors, in milliseconds.
type Spread struct {
	Median float64 `json:"median"`
	P80    float64 `json:"p80_abs"` // of the absolute values
	Worst  float64 `json:"worst"`   // the one furthest from zero, with its sign
}

// leap is what counts as a gap.
const leap = 100 * time.Millisecond

// ErrNoMeasure says that no picture of a file shows the measure.
var ErrNoMeasure = errors.New("no picture shows the measure")

// Report judges the recording.
func (r Recording) Report() (Report, error) {
	if len(r.Frames) == 0 {
		return Report{}, ErrNoMeasure
	}
	report := Report{
		Width: r.Width, Height: r.Height, Frames: len(r.Frames) + r.Unreadable, Unreadable: r.Unreadable,
		Distinct: r.distinct(), Gaps: []Gap{}, FileGaps: []Gap{}, Cuts: []Gap{},
		Flashes: len(r.flashes()), Beeps: len(r.Beeps), AudioSeconds: r.Sound.Seconds(),
	}
	var file, page time.Duration
	for _, s := range r.steps() {
		report.count(s)
		file += s.file
		page += s.clock
	}
	report.Seconds, report.PageSeconds = rounded(file.Seconds(), 3), rounded(page.Seconds(), 3)

	parts := r.offsets()
	report.TimeErrorP95, report.TimeErrorMax = timeError(slices.Concat(parts...))
	report.BetweenCuts.TimeErrorP95, report.BetweenCuts.TimeErrorMax = timeError(parts...)
	uncut := r.uncut()
	report.BeepSpacingMax = r.beepSpacing(func(time.Duration, time.Duration) bool { return true })
	report.BetweenCuts.BeepSpacingMax = r.beepSpacing(uncut)
	report.BetweenCuts.BeepPhaseMax = r.beepPhase(uncut)
	report.SoundMinusPicture, report.PlusHalfFrame = r.soundMinusPicture()
	report.SoundDrift = r.soundDrift()
	return report, nil
}

func (r *Report) count(s step) {
	switch {
	case s.counter == 0:
		r.Doubled++
	case s.counter < 0:
		r.Reloads++
	case s.counter < 1000: // a larger leap is no lost frame but another page
		r.Missing += s.counter - 1
	}
	if s.clock > leap {
		r.Gaps = append(r.Gaps, gap(s.at, s.clock))
	}
	if s.file > leap {
		r.FileGaps = append(r.FileGaps, gap(s.at, s.file))
	}
	if out, isCut := s.cut(); isCut {
		r.Cuts = append(r.Cuts, gap(s.at, out))
	}
}

func (r Recording) distinct() int {
	seen := map[uint32]struct{}{}
	for _, frame := range r.Frames {
		seen[frame.Counter] = struct{}{}
	}
	return len(seen)
}

// timeError sums up how far the offsets are from the median of their part.
func timeError(parts ...[]time.Duration) (p95, worst float64) {
	var errs []float64
	for _, part := range parts {
		ms := make([]float64, len(part))
		for i, offset := range part {
			ms[i] = milliseconds(offset)
		}
		middle := median(ms)
		for _, offset := range ms {
			errs = append(errs, math.Abs(offset-middle))
		}
	}
	slices.Sort(errs)
	return rounded(percentile(errs, 0.95), 1), rounded(errs[len(errs)-1], 1)
}

// beepLength is that of a beep, and some more.
const beepLength = 120 * time.Millisecond

// beepSpacing is the worst error of the second between two beeps. Where whole denies, one is left out.
func (r Recording) beepSpacing(whole func(from, to time.Duration) bool) *float64 {
	var errs []float64
	for i := 1; i < len(r.Beeps); i++ {
		if whole(r.Beeps[i-1]-beepLength, r.Beeps[i]) {
			errs = append(errs, milliseconds((r.Beeps[i] - r.Beeps[i-1] - time.Second).Abs()))
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return new(rounded(slices.Max(errs), 2))
}

// uncut says of parts of the file whether they are free of cuts: a beep that begins right behind one, or behind the file's
// own beginning, may have been cut itself.
func (r Recording) uncut() func(from, to time.Duration) bool {
	var cuts []time.Duration
	for _, s := range r.steps() {
		if _, isCut := s.cut(); isCut {
			cuts = append(cuts, s.at)
		}
	}
	return func(from, to time.Duration) bool {
		return from >= 0 && !slices.ContainsFunc(cuts, func(at time.Duration) bool { return at >= from && at <= to })
	}
}

// beepPhase reads the page's clock at each beep that no cut has touched and that lies within the picture. The first one's
// place in its second is the measure for the others, each error the nearer way round.
func (r Recording) beepPhase(uncut func(from, to time.Duration) bool) *float64 {
	var phases []float64
	for _, beep := range r.Beeps {
		i, _ := slices.BinarySearchFunc(r.Frames, beep, func(f Frame, at time.Duration) int { return cmp.Compare(f.At, at) })
		if i > 0 && i < len(r.Frames) && uncut(beep-beepLength, beep) {
			before := r.Frames[i-1]
			phases = append(phases, float64(before.Clock)+milliseconds(beep-before.At))
		}
	}
	if len(phases) < 2 {
		return nil
	}
	worst := 0.0
	for _, phase := range phases {
		worst = max(worst, math.Abs(math.Remainder(phase-phases[0], 1000)))
	}
	return new(rounded(worst, 1))
}

// late tells for each flash that has a beep how much later that is, in milliseconds.
func (r Recording) late() (late []float64) {
	for _, flash := range r.flashes() {
		if l, ok := r.nearestBeep(flash); ok {
			late = append(late, milliseconds(l))
		}
	}
	return late
}

func (r Recording) soundDrift() *float64 {
	late := r.late()
	third := len(late) / 3
	if third == 0 {
		return nil
	}
	return new(rounded(median(late[len(late)-third:])-median(late[:third]), 1))
}

func (r Recording) soundMinusPicture() (found, plusHalfFrame *Spread) {
	late := r.late()
	if len(late) == 0 {
		return nil, nil
	}
	var interval []float64
	for _, s := range r.steps() {
		interval = append(interval, milliseconds(s.file))
	}
	half := median(interval) / 2
	shifted := make([]float64, len(late))
	for i := range late {
		shifted[i] = late[i] + half
	}
	return spread(late), spread(shifted)
}

func spread(values []float64) *Spread {
	absolute := make([]float64, len(values))
	worst := 0.0
	for i, value := range values {
		absolute[i] = math.Abs(value)
		if absolute[i] > math.Abs(worst) {
			worst = value
		}
	}
	slices.Sort(absolute)
	return &Spread{Median: rounded(median(values), 1), P80: rounded(percentile(absolute, 0.8), 1), Worst: rounded(worst, 1)}
}

// median leaves the values as they are.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// percentile is the value that this part of the sorted values lies below.
func percentile(sorted []float64, part float64) float64 {
	return sorted[int(float64(len(sorted))*part)]
}

func gap(at, length time.Duration) Gap {
	return Gap{At: rounded(at.Seconds(), 3), Milliseconds: rounded(milliseconds(length), 1)}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func rounded(value float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(value*scale) / scale
}
