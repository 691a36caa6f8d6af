package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/recordhost/recordhost/test/media"
)

// TestSoak is a short one: it shows that the long one works, and what leaks with each recording in large pieces.
func TestSoak(t *testing.T) {
	var table bytes.Buffer
	if err := run(t.Context(), soak{length: 20 * time.Second, least: 12, lanes: 3, looks: 4, out: &table}); err != nil {
		t.Error(err)
	}
	t.Logf("\n%s", table.String())
}

// TestFlat: growth beyond the bounds is told, and what a process takes to warm up is not.
func TestFlat(t *testing.T) {
	level := look{memory: 100 << 20, descriptors: 60, threads: 40, temporary: 2}
	leaks := level
	leaks.descriptors += 50
	cold := level
	cold.memory = 10 << 20
	left := level
	left.temporary++
	for name, c := range map[string]struct {
		looks []look
		flat  bool
	}{
		"level":              {[]look{level, level, level}, true},
		"warming up":         {[]look{cold, level, level}, true},
		"descriptors":        {[]look{level, level, leaks}, false},
		"something was left": {[]look{level, level, left}, false},
	} {
		if err := flat(c.looks); (err == nil) != c.flat {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSteady: a film whose sound moves, or whose worker grows, is told.
func TestSteady(t *testing.T) {
	film := func(alter func(*media.Report)) media.Report {
		r := media.Report{Seconds: 10, AudioSeconds: 10.05, SoundDrift: new(-8.0)}
		r.BetweenCuts.BeepSpacingMax = new(0.1)
		alter(&r)
		return r
	}
	for name, c := range map[string]struct {
		report media.Report
		grown  int64
		steady bool
	}{
		"steady":        {film(func(*media.Report) {}), 1 << 20, true},
		"sound moves":   {film(func(r *media.Report) { r.SoundDrift = new(-25.0) }), 0, false},
		"no sound":      {film(func(r *media.Report) { r.SoundDrift = nil }), 0, false},
		"beeps scatter": {film(func(r *media.Report) { r.BetweenCuts.BeepSpacingMax = new(4.0) }), 0, false},
		"sound is cut":  {film(func(r *media.Report) { r.AudioSeconds = 9 }), 0, false},
		"worker grows":  {film(func(*media.Report) {}), 64 << 20, false},
	} {
		if err := steady(c.report, c.grown); (err == nil) != c.steady {
			t.Errorf("%s: %v", name, err)
		}
	}
}
