package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/recordhost/recordhost/test/media"
	"github.com/recordhost/recordhost/test/pages"
)

// TestClocks: which load a picture is of is told from the last one backwards.
func TestClocks(t *testing.T) {
	for name, c := range map[string]struct {
		origins []int    // of the loads, in milliseconds
		clocks  []uint32 // in the pictures
		want    []int    // when these were drawn; nil: it cannot be told
	}{
		"one load":                         {[]int{1000}, []uint32{100, 133}, []int{1100, 1133}},
		"two loads":                        {[]int{1000, 5000}, []uint32{100, 133, 50, 90}, []int{1100, 1133, 5050, 5090}},
		"nothing is kept of the first":     {[]int{1000, 5000}, []uint32{100, 133}, []int{5100, 5133}},
		"the second was never seen":        {[]int{1000, 3000, 9000}, []uint32{7000, 50}, []int{8000, 9050}},
		"a picture of a load not reported": {[]int{1000}, []uint32{100, 133, 50}, nil},
		"no load":                          {nil, []uint32{100}, nil},
	} {
		var loads []pages.Report
		for _, origin := range c.origins {
			loads = append(loads, pages.Report{Values: json.RawMessage(fmt.Sprintf(`{"origin":%d}`, origin))})
		}
		var frames []media.Frame
		for _, clock := range c.clocks {
			frames = append(frames, media.Frame{Clock: clock})
		}
		var got []int
		shown, err := clocks(frames, loads)
		for _, at := range shown {
			got = append(got, int(at.Sub(time.Unix(0, 0)).Milliseconds()))
		}
		if (err != nil) != (c.want == nil) || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, c.want)
		}
	}
}

// TestCut: what is absent is told whether or not single pictures are out of step.
func TestCut(t *testing.T) {
	struck := time.Unix(100, 0)
	film := func(missing time.Duration) (frames []media.Frame, shown []time.Time) {
		for n := range 300 {
			at := time.Duration(n) * time.Second / 30
			wall := struck.Add(at - 4*time.Second)
			if wall.After(struck) {
				wall = wall.Add(missing)
			}
			if n%10 == 0 {
				at += 90 * time.Millisecond // out of step
			}
			frames, shown = append(frames, media.Frame{At: at}), append(shown, wall)
		}
		return frames, shown
	}
	for _, missing := range []time.Duration{0, 200 * time.Millisecond, 2 * time.Second} {
		frames, shown := film(missing)
		if got := cut(frames, shown, struck); got != missing {
			t.Errorf("%v are absent, told are %v", missing, got)
		}
	}
	frames, shown := film(0)
	if got := cut(frames, shown, struck.Add(time.Hour)); got != 0 {
		t.Errorf("struck behind the end: %v", got)
	}
}
