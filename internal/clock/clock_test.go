package clock_test

import (
	"testing"
	"time"

	"github.com/recordhost/recordhost/internal/clock"
)

// machine is clocks that a test sets.
type machine struct {
	wall    time.Time
	elapsed time.Duration
}

func (m *machine) source(boot string) clock.Source {
	return clock.Source{
		Wall: func() time.Time { return m.wall }, Elapsed: func() time.Duration { return m.elapsed }, Boot: boot,
	}
}

// pass lets time go by.
func (m *machine) pass(d time.Duration) { m.wall, m.elapsed = m.wall.Add(d), m.elapsed+d }

func TestASteppedClockIsNotNoticed(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour} {
		m := &machine{wall: time.Unix(1_800_000_000, 0), elapsed: time.Minute}
		a := m.source("one").Anchor()
		m.pass(10 * time.Second)
		m.wall = m.wall.Add(step)
		m.pass(5 * time.Second)
		if got := m.source("one").Now(a).Sub(a.Wall); got != 15*time.Second {
			t.Errorf("a step of %v: %v went by, not 15 s", step, got)
		}
	}
}

func TestAnotherBoot(t *testing.T) {
	m := &machine{wall: time.Unix(1_800_000_000, 0), elapsed: time.Hour}
	a := m.source("one").Anchor()
	m.elapsed = time.Second
	m.wall = m.wall.Add(time.Minute)
	if got := m.source("two").Now(a).Sub(a.Wall); got != time.Minute {
		t.Errorf("after a restart of the machine %v have gone by, by its wall clock one minute", got)
	}
	m.wall = a.Wall.Add(-time.Hour)
	if got := m.source("two").Now(a); !got.Equal(a.Wall) {
		t.Errorf("time runs back to %v before the anchor", got.Sub(a.Wall))
	}
	if got := m.source("").Now(clock.Anchor{Wall: a.Wall, Elapsed: 0}); !got.Equal(a.Wall) {
		t.Errorf("machines that do not tell their boot are taken for one: %v", got.Sub(a.Wall))
	}
}

func TestTheRealClocksRun(t *testing.T) {
	s := clock.System()
	a := s.Anchor()
	if a.Boot == "" || a.Elapsed <= 0 || time.Since(a.Wall).Abs() > time.Minute {
		t.Errorf("anchor %+v", a)
	}
	if now := s.Now(a); now.Before(a.Wall) || now.Sub(a.Wall) > time.Minute {
		t.Errorf("now is %v after the anchor", now.Sub(a.Wall))
	}
}
