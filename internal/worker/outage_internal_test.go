package worker

import (
	"testing"
	"time"

	"github.com/recordhost/recordhost/internal/control"
	"github.com/recordhost/recordhost/internal/spool"
)

// TestOutage: only time in which the recording should have run is missing.
func TestOutage(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(1000+int64(s), 0) }
	o := inherited(spool.Left{Begun: true, At: time.Minute, Lost: time.Second, Since: at(0)})
	if m := o.missing(at(3)); m != 4*time.Second {
		t.Errorf("%v are missing, not 4 s", m)
	}
	o.pause(at(5))
	o.pause(at(7))
	if m := o.missing(at(100)); m != 6*time.Second {
		t.Errorf("%v are missing, not 6 s: the rest was paused", m)
	}
	o.resume(at(100))
	o.resume(at(101))
	if m := o.missing(at(102)); m != 8*time.Second {
		t.Errorf("%v are missing, not 8 s", m)
	}
	if m := inherited(spool.Left{Begun: true, Paused: true}).missing(at(50)); m != 0 {
		t.Errorf("%v are missing of a pause", m)
	}
}

// TestAsked: whoever takes a lost worker's place hears late what was asked for meanwhile. What passed between counted neither
// as missing nor as paused once, and all of a frozen worker's last seconds were told as a pause that had ended.
func TestAsked(t *testing.T) {
	now := time.Unix(1000, 0)
	for name, c := range map[string]struct{ told, want time.Time }{
		"a minute ago":             {now.Add(-time.Minute), now.Add(-time.Minute)},
		"of an older host":         {time.Time{}, now},
		"by a clock that is ahead": {now.Add(time.Hour), now},
	} {
		if got := asked(control.Command{Asked: c.told}, now); !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestFaults: three within ten minutes are borne, and any number that come slowly.
func TestFaults(t *testing.T) {
	var f faults
	now := time.Unix(1000, 0)
	for n := range 20 {
		if !f.tolerable(now) {
			t.Fatalf("fault %d, four minutes after the one before, is not borne", n)
		}
		now = now.Add(4 * time.Minute)
	}
	f = nil
	for n := range 5 {
		if got := f.tolerable(now.Add(time.Duration(n) * time.Second)); got != (n < 3) {
			t.Errorf("fault %d within seconds: %v", n, got)
		}
	}
}
