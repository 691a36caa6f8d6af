package capture

import (
	"time"

	"github.com/recordhost/recordhost/internal/capture/screen"
)

// Frame takes a picture of the page's window from the screen: it finds the time of its content, sends what the picture
// now becoming old still owes, converts what changed, and sends the new one.
func (s *Session) Frame(at time.Time, f *screen.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Pictures++
	if !s.shows {
		s.shows = true
		close(s.painted)
	}
	tick := s.depth.frame(at, at.Sub(s.ticker.start))
	sp, recorded := s.timeline.find(tick)
	if recorded = recorded && s.sink != nil; recorded {
		s.advance(s.slots.of(sp.offset+tick-sp.first) - 1)
	}
	s.update(at, f)
	if !recorded {
		return
	}
	position := sp.offset + tick - sp.first
	slot := s.slots.of(position)
	if position%s.slots.ticks != 0 || slot < s.slots.last || slot == s.slots.last && !s.slots.room() {
		s.slots.want(max(slot, s.slots.last+1)) // sent when its time has come, unless a later picture replaces it
		return
	}
	s.send(slot)
}

// update converts what changed, but for a mark of an echo.
func (s *Session) update(at time.Time, f *screen.Frame) {
	if s.mark.look(at, f) {
		s.mark.swap(s.picture)
		defer s.mark.swap(s.picture)
	}
	width, height := readable(f.Width, s.cfg.Width), readable(f.Height, s.cfg.Height)
	for _, d := range f.Damage {
		s.picture.Update(f.Pix, f.Stride, d.X0, d.Y0, min(d.X1, width), min(d.Y1, height))
	}
}

// readable answers how many of a frame's columns, or rows, are converted. A frame that is smaller than the page loses its
// last odd one: four pixels share their colour, and the fourth would lie outside of it.
func readable(frame, page int) int {
	if frame < page {
		return frame &^ 1
	}
	return frame
}

// advance sends the picture as it is for all slots up to until that need one. The lock is held.
func (s *Session) advance(until int64) {
	for {
		slot, ok := s.slots.next(until)
		if !ok || !s.send(slot) {
			return
		}
	}
}

// send gives the picture to the sink. One that is dropped is wanted again for the next slot, lest a page that rests
// now is remembered by its last picture but one.
func (s *Session) send(slot int64) bool {
	if !s.sink.Video(s.cfg.Base+s.slots.sent(slot), s.picture.Data) {
		s.stats.Dropped++
		s.slots.want(slot + 1)
		return false
	}
	s.stats.Sent++
	return true
}

// closing sends the last picture once more for the recording's last slot, so that the picture is as long as the sound.
func (s *Session) closing(length int64) {
	if last := s.slots.before(length); s.sink != nil && last > s.slots.last {
		s.send(last)
	}
}
