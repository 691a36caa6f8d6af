package task

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recordhost/recordhost/internal/clock"
	"github.com/recordhost/recordhost/internal/control"
)

// stepped is the machine's clocks, whose wall somebody sets.
type stepped struct{ off atomic.Int64 }

func (s *stepped) source() clock.Source {
	c := clock.System()
	c.Wall = func() time.Time { return time.Now().Add(time.Duration(s.off.Load())) }
	return c
}

// Whoever sets the machine's clock, forward or back, while a task goes on or while there is no host: its limit comes when it
// should, and its times are as far apart as they were.
func TestTheMachinesClockIsSet(t *testing.T) {
	const lifetime = 3 * time.Second
	for _, step := range []time.Duration{time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour} {
		t.Run(fmt.Sprint(step), func(t *testing.T) {
			t.Parallel()
			var wall stepped
			h := newHost(t, func(o *Options) { o.Clock, o.Engine.MaxLifetime = wall.source(), lifetime }, nil)
			begin := time.Now()
			id, w := h.start(simple)
			w.say(t, control.Started{})
			wall.off.Add(int64(step))
			w.say(t, control.Gap{Cause: "x"})
			h.restart()
			wall.off.Add(int64(step))
			w.obey(t, control.CommandStop)
			if took := time.Since(begin); took < lifetime-time.Second {
				t.Errorf("the limit of %v came after %v", lifetime, took)
			}
			w.say(t, finishing()...)
			w.quit <- 0
			d := h.wait(id)
			if lived := d.CancelTime - d.CreateTime; lived < 2 || lived > 4 {
				t.Errorf("it was stopped %d s after it was made", lived)
			}
			if d.StartTime < d.CreateTime || d.CancelTime < d.StartTime || d.StopTime < d.CancelTime || d.FinishTime < d.StopTime ||
				d.FinishTime-d.CreateTime > 60 {
				t.Errorf("its times are %+v", d)
			}
			later, w := h.start(simple)
			if off := time.Unix(h.describe(later).CreateTime, 0).Sub(time.Now().Add(2 * step)); off.Abs() > time.Minute {
				t.Errorf("a new task does not have the time that people read: it is %v off", off)
			}
			w.quit <- 0
		})
	}
}
