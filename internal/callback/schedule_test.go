package callback_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/recordhost/recordhost/internal/callback"
)

const threeDays = 72 * time.Hour

func begin() time.Time { return time.Unix(1_800_000_000, 0) }

// refused is an endpoint that fails each time, and answers at once.
func refused() callback.Outcome { return callback.Outcome{Problem: "503:no"} }

// try is when one was made, after the first, and what it meant.
type try struct {
	at      time.Duration
	verdict callback.Verdict
}

// run makes tries in virtual time until none follows.
func run(t *testing.T, s callback.Schedule, outcome func(n int) callback.Outcome, takes time.Duration, random float64) []try {
	t.Helper()
	d := callback.Begin("msg_1", []byte("{}"), begin())
	var tries []try
	for !d.Due.IsZero() {
		if len(tries) > 1000 {
			t.Fatal("it never ends")
		}
		at := d.Due
		var v callback.Verdict
		d, v = s.After(d, outcome(len(tries)+1), at.Add(takes), random)
		tries = append(tries, try{at.Sub(begin()), v})
		if d.ID != "msg_1" || string(d.Body) != "{}" || d.Tries != len(tries) {
			t.Fatalf("after %d tries the delivery is %+v", len(tries), d)
		}
	}
	return tries
}

func always(o callback.Outcome) func(int) callback.Outcome {
	return func(int) callback.Outcome { return o }
}

// An endpoint that is down for good: five tries a second apart, then after 30 s, doubling to an hour, and the last one
// exactly when the delivery is given up.
func TestThreeDays(t *testing.T) {
	tries := run(t, callback.Standard(threeDays), always(refused()), 0, 0)
	at := time.Duration(0)
	want := []try{{0, callback.Again}}
	for _, seconds := range []float64{1, 1, 1, 1, 30, 60, 120, 240, 480, 960, 1920} {
		at += time.Duration(seconds * float64(time.Second))
		want = append(want, try{at, callback.Again})
	}
	for at += time.Hour; at < threeDays; at += time.Hour {
		want = append(want, try{at, 0})
	}
	want = append(want, try{threeDays, 0})
	for i := range want {
		switch {
		case i == len(want)-1:
			want[i].verdict = callback.GivenUp
		case i >= 4:
			want[i].verdict = callback.Late
		}
	}
	if fmt.Sprint(tries) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", tries, want)
	}
}

// Waits are counted from the end of a try, and drawn out by a tenth at most.
func TestLaterWaitsAreDrawnOut(t *testing.T) {
	const takes = 2 * time.Second
	tries := run(t, callback.Standard(threeDays), always(refused()), takes, 1)
	for n, want := range map[int]time.Duration{
		1: 3 * time.Second, 4: 3 * time.Second, 5: 35 * time.Second, 6: 68 * time.Second, 30: 66*time.Minute + takes,
	} {
		if got := tries[n].at - tries[n-1].at; got != want {
			t.Errorf("from try %d to the next: %v, want %v", n, got, want)
		}
	}
	if last := tries[len(tries)-1]; last.at != threeDays || last.verdict != callback.GivenUp {
		t.Errorf("the last try: %v", last)
	}
}

func TestSchedules(t *testing.T) {
	ask := func(wait time.Duration) callback.Outcome { return callback.Outcome{Problem: "429:no", Wait: wait} }
	first := func(o callback.Outcome, n int) func(int) callback.Outcome {
		return func(i int) callback.Outcome {
			switch {
			case i < n:
				return refused()
			case i == n:
				return o
			default:
				return callback.Outcome{Accepted: true}
			}
		}
	}
	const a, l, g, ok = callback.Again, callback.Late, callback.GivenUp, callback.Accepted
	s := time.Second
	documented := []try{{0, a}, {s, a}, {2 * s, a}, {3 * s, a}}
	then := func(more ...try) []try { return append(slices.Clone(documented), more...) }
	gone := callback.Outcome{Gone: true, Problem: "410:gone"}
	for name, c := range map[string]struct {
		giveUp  time.Duration
		outcome func(int) callback.Outcome
		want    []try
	}{
		"accepted at once":              {threeDays, always(callback.Outcome{Accepted: true}), []try{{0, ok}}},
		"accepted at the third":         {threeDays, first(refused(), 2), []try{{0, a}, {s, a}, {2 * s, ok}}},
		"accepted late":                 {threeDays, first(refused(), 5), then(try{4 * s, l}, try{34 * s, ok})},
		"only the documented":           {0, always(refused()), then(try{4 * s, g})},
		"only the documented, and wait": {0, always(ask(time.Hour)), then(try{4 * s, g})},
		"given up among the documented": {2 * s, always(refused()), then(try{4 * s, g})},
		"given up soon after":           {20 * s, always(refused()), then(try{4 * s, l}, try{20 * s, g})},
		"gone":                          {threeDays, always(gone), []try{{0, g}}},
		"gone later":                    {threeDays, first(gone, 6), then(try{4 * s, l}, try{34 * s, g})},
		"a wait of a step":              {threeDays, first(ask(s), 1), []try{{0, a}, {s, ok}}},
		"a wait ends the documented":    {threeDays, first(ask(2*s), 1), []try{{0, l}, {2 * s, ok}}},
		"a wait at the fifth":           {threeDays, first(ask(10*s), 5), then(try{4 * s, l}, try{34 * s, ok})},
		"a long wait at the fifth":      {threeDays, first(ask(50*s), 5), then(try{4 * s, l}, try{54 * s, ok})},
		"a wait beyond the end":         {threeDays, first(ask(1000*time.Hour), 1), []try{{0, l}, {threeDays, ok}}},
		"a wait for ever":               {threeDays, always(ask(1000 * time.Hour)), []try{{0, l}, {threeDays, g}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := run(t, callback.Standard(c.giveUp), c.outcome, 0, 0); fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("got  %v\nwant %v", got, c.want)
			}
		})
	}
	// After a wait that ended the documented tries the doubling begins at its beginning.
	tries := run(t, callback.Standard(threeDays), func(n int) callback.Outcome {
		if n == 1 {
			return ask(10 * s)
		}
		return refused()
	}, 0, 0)
	if got := fmt.Sprint(tries[:4]); got != fmt.Sprint([]try{{0, l}, {10 * s, l}, {40 * s, l}, {100 * s, l}}) {
		t.Errorf("got %s", got)
	}
}

// Whatever endpoints answer, and however long a host is away, no delivery ends without a last word, no try comes before the
// endpoint wants it, and none after the end.
func TestRandomSchedules(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		giveUp := time.Duration(rapid.Int64Range(0, int64(threeDays)).Draw(rt, "give up"))
		s := callback.Standard(giveUp)
		d := callback.Begin("msg_1", nil, begin())
		now, late := begin(), false
		for n := 1; ; n++ {
			away := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(rt, "away"))
			now = now.Add(away)
			o := callback.Outcome{
				Accepted: rapid.IntRange(0, 30).Draw(rt, "luck") == 0,
				Wait:     time.Duration(rapid.Int64Range(0, int64(3*time.Hour)).Draw(rt, "wait")),
			}
			next, v := s.After(d, o, now, rapid.Float64Range(0, 1).Draw(rt, "random"))
			if (v == callback.Accepted) != o.Accepted || next.Due.IsZero() != (v == callback.Accepted || v == callback.GivenUp) {
				rt.Fatalf("try %d: %+v is answered with verdict %d and %+v", n, o, v, next)
			}
			if v == callback.Again && (late || n >= callback.Documented) || v == callback.GivenUp && now.Before(d.First.Add(giveUp)) {
				rt.Fatalf("try %d at %v: verdict %d", n, now.Sub(d.First), v)
			}
			if next.Due.IsZero() {
				return
			}
			late = v == callback.Late
			end := d.First.Add(giveUp)
			switch {
			case late && next.Due.After(end):
				rt.Fatalf("try %d comes %v after the end", n+1, next.Due.Sub(end))
			case late && next.Due.Before(end) && next.Due.Before(now.Add(o.Wait)):
				rt.Fatalf("try %d comes %v before the endpoint wants it", n+1, now.Add(o.Wait).Sub(next.Due))
			case !next.Due.After(now):
				rt.Fatalf("try %d comes at once", n+1)
			}
			d, now = next, next.Due
		}
	})
}
