package task

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
)

// Where the disk has no room nothing is begun; what runs goes on, and so does a Start that was taken before.
func TestADiskWithoutRoom(t *testing.T) {
	var full atomic.Bool
	h := newHost(t, func(o *Options) {
		o.Room = func() error {
			if full.Load() {
				return errors.New("the disk has 3 MiB free")
			}
			return nil
		}
	}, nil)
	const mine = `{"RecordURL":"https://example.com/","TaskID":"mine"}`
	id, w := h.start(mine)
	full.Store(true)
	if again, err := h.Start(context.Background(), data(mine)); again != id || err != nil {
		t.Errorf("the same Start again: %s, %v", again, err)
	}
	_, err := h.Start(context.Background(), data(`{"RecordURL":"https://example.com/","TaskID":"other"}`))
	if message := wantCode(t, err, CodeNoCapacity); message != "the disk has 3 MiB free" {
		t.Errorf("message %q", message)
	}
	if e, ok := errors.AsType[*Error](err); !ok || e.RetryAfter() <= 0 {
		t.Errorf("not to be tried again: %+v", e)
	}
	if l, err := h.List(context.Background(), ListQuery{}); err != nil || len(l.Tasks) != 1 {
		t.Errorf("listed: %+v, %v", l, err)
	}
	if n := len(h.machine.Launches()); n != 1 {
		t.Errorf("%d launches", n)
	}
	w.say(t, finishing()...)
	w.quit <- 0
	h.wait(id)
	full.Store(false)
	h.start(simple)
}
