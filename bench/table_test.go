package main

import (
	"strings"
	"testing"

	"github.com/recordhost/recordhost/bench/meter"
	"github.com/recordhost/recordhost/test/media"
)

// good is a report that meets every bar, at the bar.
func good() media.Report {
	return media.Report{
		Doubled: 3, Missing: 3, TimeErrorP95: 10, BetweenCuts: media.Stretches{BeepSpacingMax: new(1.0)},
		PlusHalfFrame: &media.Spread{Median: -20, P80: 40, Worst: -60},
	}
}

// complete are results of every part that meet every bar.
func complete() results {
	r := results{Recordhost: newSide(), Peer: newSide()}
	for _, page := range []string{pageFrames, pageDOM} {
		r.Recordhost.Recordings[page] = []media.Report{good(), good(), good()}
		r.Peer.Recordings[page] = []media.Report{{Missing: 600}, {Doubled: 7}}
	}
	for page, part := range map[string]float64{pageFrames: 0.75, pageSlides: 0.6, pageStatic: 0.2, pageVideo: 0.85} {
		r.Recordhost.Costs[page] = meter.Cost{Cores: part, ByName: map[string]float64{"ffmpeg": 0.1, "chromium": 0.5}, Memory: 110 << 20}
		r.Peer.Costs[page] = meter.Cost{Cores: 1, ByName: map[string]float64{"Xvfb": 0.004}, Memory: 100 << 20}
	}
	for _, page := range []string{pageFrames, pageSlides, pageVideo} {
		r.Recordhost.Encodes[page] = media.Likeness{SSIM: 0.98, Bits: 1250}
		r.Peer.Encodes[page] = media.Likeness{SSIM: 0.98, Bits: 1000}
	}
	r.Recordhost.FirstFrame = []float64{1.9, 2.5}
	r.Recordhost.Stopped = 1.5
	r.Recordhost.Paused = &paused{Report: good(), Duration: 18.09, Described: 18.09, Recorded: 18}
	r.Recordhost.Paused.Report.BetweenCuts.BeepPhaseMax = new(60.0)
	for range pauses {
		r.Recordhost.Paused.Report.Cuts = append(r.Recordhost.Paused.Report.Cuts, media.Gap{Milliseconds: 2100})
	}
	return r
}

func missed(t table) []string {
	var figures []string
	for _, row := range t {
		if !row.Met {
			figures = append(figures, row.Figure)
		}
	}
	return figures
}

func TestTheBarsThemselvesAreMet(t *testing.T) {
	r := complete()
	table := r.table()
	if len(table) != 20 {
		t.Errorf("%d figures, want 20", len(table))
	}
	if bad := missed(table); len(bad) > 0 {
		t.Errorf("missed: %q", bad)
	}
}

func TestEachBarIsMissedBeyondIt(t *testing.T) {
	for figure, spoil := range map[string]func(*results){
		"frames doubled":        func(r *results) { r.Recordhost.Recordings[pageFrames][1].Doubled = 4 },
		"p95 of each run, dom":  func(r *results) { r.Recordhost.Recordings[pageDOM][2].TimeErrorP95 = 10.1 },
		"worst run, frames":     func(r *results) { r.Recordhost.Recordings[pageFrames][0].PlusHalfFrame = &media.Spread{Median: 21} },
		"worst run, dom":        func(r *results) { r.Recordhost.Recordings[pageDOM][0].PlusHalfFrame = nil },
		"beep spacing":          func(r *results) { r.Recordhost.Recordings[pageDOM][1].BetweenCuts.BeepSpacingMax = new(1.1) },
		"length less recorded":  func(r *results) { r.Recordhost.Paused.Duration = 18.2 },
		"gaps / cuts":           func(r *results) { r.Recordhost.Paused.Report.Cuts = r.Recordhost.Paused.Report.Cuts[:4] },
		"5 pauses: sound minus": func(r *results) { r.Recordhost.Paused.Report.PlusHalfFrame = &media.Spread{Worst: 61} },
		"sound against":         func(r *results) { r.Recordhost.Paused.Report.BetweenCuts.BeepPhaseMax = nil },
		"first recorded":        func(r *results) { r.Recordhost.FirstFrame[0] = 2.6 },
		"Stop to finished":      func(r *results) { r.Recordhost.Stopped = 1.6 },
		"processes, static":     func(r *results) { r.Recordhost.Costs[pageStatic] = meter.Cost{Cores: 0.21} },
		"memory": func(r *results) {
			r.Recordhost.Costs[pageFrames] = meter.Cost{Cores: 0.1, Memory: 111 << 20}
		},
		"original, slides": func(r *results) { r.Recordhost.Encodes[pageSlides] = media.Likeness{SSIM: 0.9799, Bits: 100} },
		"original, video":  func(r *results) { r.Recordhost.Encodes[pageVideo] = media.Likeness{SSIM: 0.99, Bits: 1251} },
	} {
		r := complete()
		spoil(&r)
		if bad := missed(r.table()); len(bad) != 1 || !strings.Contains(bad[0], figure) {
			t.Errorf("%q: missed are %q", figure, bad)
		}
	}
}

func TestPartsThatWereNotMeasuredAreLeftOut(t *testing.T) {
	r := results{Recordhost: newSide(), Peer: newSide()}
	if table := r.table(); len(table) != 0 {
		t.Errorf("%+v", table)
	}
	r.Recordhost.Stopped = 2
	if table := r.table(); len(table) != 1 || table[0].Met || !strings.Contains(table.text(), "missed") {
		t.Errorf("%+v", table)
	}
}

func TestThePageHoldsEveryFigure(t *testing.T) {
	r := complete()
	r.Machine = machine{Date: "2030-01-02", Commit: "abc1234"}
	r.Recordhost.Stopped = 9.87
	table := r.table()
	page := r.page(table)
	for _, want := range []string{
		"2030-01-02", "abc1234", "| Stop to finished | ≤ 1.5 s | – | 9.87 s | **missed** |", "| chromium 0.50, ffmpeg 0.10 |",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not hold %q", want)
		}
	}
	for _, row := range table {
		if !strings.Contains(page, row.Figure) {
			t.Errorf("the page does not hold %q", row.Figure)
		}
	}
}
