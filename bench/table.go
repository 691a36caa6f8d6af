package main

import (
	"fmt"
	"math"
	"slices"

	"github.com/recordhost/recordhost/test/media"
)

// row is one figure: what must be reached, and what was.
type row struct {
	Figure     string `json:"figure"`
	Bar        string `json:"bar"`
	Peer       string `json:"peer"`
	Recordhost string `json:"recordhost"`
	Met        bool   `json:"met"`
}

// table is every figure that was measured.
type table []row

// unmeasured stands where there is nothing to tell.
const unmeasured = "–"

// table judges the results. Figures of parts that were not measured are left out.
func (r results) table() table {
	var t table
	t = append(t, r.frameRows()...)
	t = append(t, r.pauseRows()...)
	t = append(t, r.timeRows()...)
	t = append(t, r.costRows()...)
	t = append(t, r.encodeRows()...)
	return t
}

// frameRows judges each page by its worst run.
func (r results) frameRows() []row {
	var rows []row
	if ours := r.Recordhost.Recordings[pageFrames]; len(ours) > 0 {
		rows = append(rows, row{
			Figure: "frames doubled / missing, frames page", Bar: "≤ 3 / ≤ 3",
			Peer: lostFramesText(r.Peer.Recordings[pageFrames]), Recordhost: lostFramesText(ours),
			Met: every(ours, func(o media.Report) bool { return o.Doubled <= 3 && o.Missing <= 3 }),
		})
	}
	for _, page := range []string{pageFrames, pageDOM} {
		ours, theirs := r.Recordhost.Recordings[page], r.Peer.Recordings[page]
		if len(ours) == 0 {
			continue
		}
		rows = append(rows, row{
			Figure: "time of a frame against the page's clock, p95 of each run, " + page + " page", Bar: "≤ 10 ms",
			Peer: timeErrorsText(theirs), Recordhost: timeErrorsText(ours),
			Met: every(ours, func(o media.Report) bool { return o.TimeErrorP95 <= 10 }),
		}, row{
			Figure: "sound minus picture plus half a frame, median / p80 / worst, the worst run, " + page + " page",
			Bar:    "±20 / ±40 / ±60 ms", Peer: spreadText(worstSound(theirs)), Recordhost: spreadText(worstSound(ours)),
			Met: every(ours, func(o media.Report) bool { return inSync(o.PlusHalfFrame) }),
		})
	}
	if all := measuringPages(r.Recordhost.Recordings); len(all) > 0 {
		rows = append(rows, row{
			Figure: "beep spacing error, the worst run", Bar: "≤ 1 ms",
			Peer: spacingText(measuringPages(r.Peer.Recordings)), Recordhost: spacingText(all),
			Met: every(all, func(o media.Report) bool {
				return o.BetweenCuts.BeepSpacingMax != nil && *o.BetweenCuts.BeepSpacingMax <= 1
			}),
		})
	}
	return rows
}

// pauseRows judges the recording with pauses. Its file must be as long as what was recorded, give or take two frames, without
// a gap; each cut must be as long as the pause, in sound and picture alike.
func (r results) pauseRows() []row {
	p := r.Recordhost.Paused
	if p == nil {
		return nil
	}
	const frame = 1.0 / peerRate
	// The last picture is shown for one frame more than from the first to the last.
	length := math.Abs(p.Duration - p.Recorded - frame)
	cuts := len(p.Report.Cuts) == pauses
	for _, cut := range p.Report.Cuts {
		cuts = cuts && math.Abs(cut.Milliseconds-float64(pauseLength.Milliseconds())) <= 400
	}
	phase := p.Report.BetweenCuts.BeepPhaseMax
	return []row{{
		Figure: fmt.Sprintf("after %d pauses: length less recorded time", pauses), Bar: "± 2 frames", Peer: unmeasured,
		Recordhost: fmt.Sprintf("%.1f frames", length/frame), Met: length <= 2*frame,
	}, {
		Figure: fmt.Sprintf("after %d pauses: gaps / cuts of the pauses' length", pauses),
		Bar:    fmt.Sprintf("0 / %d", pauses), Peer: unmeasured,
		Recordhost: fmt.Sprintf("%d / %d", len(p.Report.FileGaps), len(p.Report.Cuts)), Met: cuts && len(p.Report.FileGaps) == 0,
	}, {
		Figure: fmt.Sprintf("after %d pauses: sound minus picture plus half a frame, median / p80 / worst", pauses),
		Bar:    "±20 / ±40 / ±60 ms", Peer: unmeasured, Recordhost: spreadText(p.Report.PlusHalfFrame), Met: inSync(p.Report.PlusHalfFrame),
	}, {
		Figure: fmt.Sprintf("after %d pauses: sound against the page's clock, worst", pauses), Bar: "≤ 60 ms", Peer: unmeasured,
		Recordhost: millisecondsText(phase), Met: phase != nil && *phase <= 60,
	}}
}

func (r results) timeRows() []row {
	var rows []row
	if first := r.Recordhost.FirstFrame; len(first) > 0 {
		worst := maximum(first, func(s float64) float64 { return s })
		rows = append(rows, row{
			Figure: "record command to first recorded frame, the worst run", Bar: "≤ 2.5 s", Peer: unmeasured,
			Recordhost: fmt.Sprintf("%.2f s", worst), Met: worst <= 2.5,
		})
	}
	if stopped := r.Recordhost.Stopped; stopped > 0 {
		rows = append(rows, row{
			Figure: "Stop to finished", Bar: "≤ 1.5 s", Peer: unmeasured, Recordhost: fmt.Sprintf("%.2f s", stopped), Met: stopped <= 1.5,
		})
	}
	return rows
}

func (r results) costRows() []row {
	var rows []row
	for _, bar := range []struct {
		page string
		part float64
	}{{pageFrames, 0.75}, {pageSlides, 0.6}, {pageStatic, 0.2}, {pageVideo, 0.85}} {
		ours, measured := r.Recordhost.Costs[bar.page]
		if !measured {
			continue
		}
		part := ours.Cores / r.Peer.Costs[bar.page].Cores
		rows = append(rows, row{
			Figure: "processor, all processes, " + bar.page + " page", Bar: fmt.Sprintf("≤ %.2f × the peer's", bar.part),
			Peer: coresText(r.Peer.Costs[bar.page]), Recordhost: fmt.Sprintf("%s (%.2f ×)", coresText(ours), part), Met: part <= bar.part,
		})
	}
	if ours, measured := r.Recordhost.Costs[pageFrames]; measured {
		theirs := r.Peer.Costs[pageFrames]
		part := float64(ours.Memory) / float64(theirs.Memory)
		rows = append(rows, row{
			Figure: "memory (Pss), all processes, frames page", Bar: "≤ 1.10 × the peer's",
			Peer: megabytesText(theirs), Recordhost: fmt.Sprintf("%s (%.2f ×)", megabytesText(ours), part), Met: part <= 1.1,
		})
	}
	return rows
}

func (r results) encodeRows() []row {
	var rows []row
	for _, page := range []string{pageFrames, pageSlides, pageVideo} {
		ours, measured := r.Recordhost.Encodes[page]
		if !measured {
			continue
		}
		theirs := r.Peer.Encodes[page]
		part := float64(ours.Bits) / float64(theirs.Bits)
		rows = append(rows, row{
			Figure: "SSIM and bits of one original, " + page + " page", Bar: "≥ the peer's at ≤ 1.25 × its bits",
			Peer:       fmt.Sprintf("%.5f, %.0f kbit", theirs.SSIM, float64(theirs.Bits)/1000),
			Recordhost: fmt.Sprintf("%.5f, %.0f kbit (%.2f ×)", ours.SSIM, float64(ours.Bits)/1000, part),
			Met:        ours.SSIM >= theirs.SSIM && part <= 1.25,
		})
	}
	return rows
}

// inSync is the bar for sound against picture.
func inSync(s *media.Spread) bool {
	return s != nil && math.Abs(s.Median) <= 20 && s.P80 <= 40 && math.Abs(s.Worst) <= 60
}

// worstSound is the spread of the run that is furthest out of sync; nil when none tells.
func worstSound(reports []media.Report) *media.Spread {
	var worst *media.Spread
	for _, r := range reports {
		if s := r.PlusHalfFrame; s != nil && (worst == nil || math.Abs(s.Worst) > math.Abs(worst.Worst)) {
			worst = s
		}
	}
	return worst
}

// measuringPages are the reports of all runs of both measuring pages.
func measuringPages(recordings map[string][]media.Report) []media.Report {
	return slices.Concat(recordings[pageFrames], recordings[pageDOM])
}

func every(reports []media.Report, met func(media.Report) bool) bool {
	return !slices.ContainsFunc(reports, func(r media.Report) bool { return !met(r) })
}

func maximum[T any](of []T, value func(T) float64) float64 {
	most := math.Inf(-1)
	for _, each := range of {
		most = max(most, value(each))
	}
	return most
}
