package capture

import "time"

// slots says which frame times of the recording need a picture. A slot is one frame time, counted from 0; a slot is
// ticks refreshes of the page long. It is a pure value, owned by Session under its lock.
type slots struct {
	ticks    int64 // of a slot
	rate     int64 // slots a second
	constant bool  // every slot needs a picture

	last    int64         // the slot last sent, -1 before the first
	pts     time.Duration // that it was given
	pending int64         // a slot that must be sent although no picture of its own may come; 0: none, so counted from 1
}

// of answers the slot that shows what was drawn at a tick of the recording: the first that does not begin before it.
func (l *slots) of(tick int64) int64 { return (tick + l.ticks - 1) / l.ticks }

// before answers the last slot that begins before a tick of the recording, or -1.
func (l *slots) before(tick int64) int64 { return l.of(tick) - 1 }

// extra is how many further pictures one slot may have, a millisecond apart: a page that stumbles paints two in one
// tick, and neither is lost; one that paints without end gets no ahead of its time.
const extra = 3

// room says that the slot last sent may have one more picture.
func (l *slots) room() bool { return !l.constant && l.pts-l.time(l.last) < extra*time.Millisecond }

// time answers when a slot begins.
func (l *slots) time(slot int64) time.Duration {
	return time.Duration(slot) * time.Second / time.Duration(l.rate)
}

// begin says that the recording goes on with this tick: its slot needs a picture.
func (l *slots) begin(tick int64) { l.want(l.of(tick)) }

// want says that a slot must be sent.
func (l *slots) want(slot int64) {
	if l.pending == 0 || slot+1 < l.pending {
		l.pending = slot + 1
	}
}

// next answers the next slot, up to until, that needs the picture as it is now.
func (l *slots) next(until int64) (int64, bool) {
	slot := l.last + l.rate // a heartbeat, each second
	if l.constant || l.last < 0 {
		slot = l.last + 1
	}
	if l.pending > 0 {
		slot = min(slot, max(l.pending-1, l.last+1))
	}
	return slot, slot <= until
}

// sent says that a slot has its picture, and answers the time to give it: the slot's own, or just after the last one's
// when that is not later.
func (l *slots) sent(slot int64) time.Duration {
	pts := l.time(slot)
	if l.last >= 0 {
		pts = max(pts, l.pts+time.Millisecond)
	}
	l.last, l.pts = max(l.last, slot), pts
	if l.pending > 0 && slot+1 >= l.pending {
		l.pending = 0
	}
	return pts
}
