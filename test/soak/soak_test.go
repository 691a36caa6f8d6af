package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/recordhost/recordhost/test/media"
)

// TestTasks is a short soak, of three minutes together with the film: it shows that the long one works, and what leaks with each
// recording in large pieces.
func TestTasks(t *testing.T) {
	var table bytes.Buffer
	if err := tasks(t.Context(), soak{length: 100 * time.Second, least: 12, lanes: 3, looks: 4, out: &table}); err != nil {
		t.Error(err)
	}
	t.Logf("\n%s", table.String())
}

// TestFilm is a short film. On a machine that is busy with other things its sound may wander more than the soak allows.
func TestFilm(t *testing.T) {
	var line bytes.Buffer
	f := film{length: 45 * time.Second, looks: 6, bars: bars{drift: 100, spacing: 100, growth: 64 << 20}, out: &line}
	if err := f.shoot(t.Context()); err != nil {
		t.Error(err)
	}
	t.Log(line.String())
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
	b := bars{drift: 20, spacing: 1, growth: 32 << 20}
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
		if err := b.steady(c.report, c.grown); (err == nil) != c.steady {
			t.Errorf("%s: %v", name, err)
		}
	}
}
