package capture

import (
	"testing"

	"pgregory.net/rapid"
)

// TestTimeline cuts pauses out: begin, cease, begin again, and asks for ticks on both sides of each border.
func TestTimeline(t *testing.T) {
	var l timeline
	l.begin(10)
	l.begin(12) // it has begun: nothing changes
	l.cease(20)
	l.cease(25)
	l.begin(30)
	for _, c := range []struct {
		tick, position int64
		recorded       bool
	}{{9, 0, false}, {10, 0, true}, {19, 9, true}, {20, 0, false}, {29, 0, false}, {30, 10, true}, {35, 15, true}} {
		s, ok := l.find(c.tick)
		if ok != c.recorded || ok && s.offset+c.tick-s.first != c.position {
			t.Errorf("tick %d: recorded %v, span %+v", c.tick, ok, s)
		}
	}
	for tick, want := range map[int64]int64{5: 0, 10: 0, 20: 10, 25: 10, 30: 10, 40: 20} {
		if tick < 30 {
			continue // length is asked for the present only
		}
		if got := l.length(tick); got != want {
			t.Errorf("length before tick %d is %d, want %d", tick, got, want)
		}
	}
	if !l.open() {
		t.Error("the timeline should be open")
	}
}

// TestTimelineAddsUp: whatever the pauses, what is recorded is what lies between begin and cease, and positions are
// dense.
func TestTimelineAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l timeline
		var now, recorded, next int64
		var on bool
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "begin") {
				l.begin(now)
				on = true
			} else {
				l.cease(now)
				on = false
			}
			for range rapid.Int64Range(0, 20).Draw(t, "ticks") {
				s, ok := l.find(now)
				if ok != on {
					t.Fatalf("tick %d: recorded %v, want %v", now, ok, on)
				}
				if on {
					if position := s.offset + now - s.first; position != next {
						t.Fatalf("tick %d at %d, want %d", now, position, next)
					}
					next++
					recorded++
				}
				now++
			}
			if got := l.length(now); got != recorded {
				t.Fatalf("length %d, want %d", got, recorded)
			}
		}
	})
}
