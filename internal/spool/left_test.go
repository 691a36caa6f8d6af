package spool_test

import (
	"testing"
	"time"

	"github.com/recordhost/recordhost/internal/spool"
)

// TestLeft: what is on the disk and the last mark tell where the next worker goes on, and how much is missing there.
func TestLeft(t *testing.T) {
	at := func(d time.Duration) time.Time { return time.Unix(1000, 0).Add(d) }
	const s = time.Second
	runs := spool.Mark{Kind: spool.MarkRuns, At: 0, Time: at(0)}
	for name, c := range map[string]struct {
		covered time.Duration
		marks   []spool.Mark
		want    spool.Left
	}{
		"nothing was begun":        {0, nil, spool.Left{}},
		"recording":                {9 * s, []spool.Mark{runs}, spool.Left{Begun: true, At: 9 * s, Since: at(9 * s)}},
		"nothing came to the disk": {0, []spool.Mark{runs}, spool.Left{Begun: true, Since: at(0)}},
		"paused at 10 s, a second of that is lost": {
			9 * s, []spool.Mark{runs, {Kind: spool.MarkPaused, At: 10 * s, Time: at(10 * s)}},
			spool.Left{Begun: true, Paused: true, At: 9 * s, Lost: s},
		},
		"gone on after a pause of a minute": {
			12 * s, []spool.Mark{
				runs, {Kind: spool.MarkPaused, At: 10 * s, Time: at(10 * s)}, {Kind: spool.MarkRuns, At: 10 * s, Time: at(70 * s)},
			},
			spool.Left{Begun: true, At: 12 * s, Since: at(72 * s)},
		},
		"lost again during an outage": {
			10 * s, []spool.Mark{runs, {Kind: spool.MarkLost, At: 10 * s, Time: at(10 * s)}},
			spool.Left{Begun: true, At: 10 * s, Since: at(10 * s)},
		},
		"paused during an outage": {
			10 * s, []spool.Mark{runs, {Kind: spool.MarkPaused, At: 10 * s, Time: at(20 * s), Lost: 10 * s}},
			spool.Left{Begun: true, Paused: true, At: 10 * s, Lost: 10 * s},
		},
		// The next worker told the time until it came as missing, and would have gone on with a recording that was over.
		"over at 10 s, a second of that is lost": {
			9 * s, []spool.Mark{runs, {Kind: spool.MarkOver, At: 10 * s, Time: at(10 * s)}},
			spool.Left{Begun: true, Over: true, At: 9 * s, Lost: s},
		},
	} {
		if got := (spool.Facts{Covered: c.covered, Marks: c.marks}).Left(); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
