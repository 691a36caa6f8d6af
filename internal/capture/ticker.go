package capture

import (
	"context"
	"time"
)

// ticker is the clock: refreshes of the page, counted from 0, each of parts that pull sound. Deadlines are counted from
// the first tick, never from the last, so a late tick makes no later one late.
type ticker struct {
	start    time.Time
	refresh  int           // Hz
	period   time.Duration // 1/refresh, rounded; times are computed from refresh itself
	perFrame int           // refreshes per frame of the recording
	parts    int64         // pulls of sound per refresh
}

// pullRate is how often a second the sound is pulled at least.
const pullRate = 90

func newTicker(fps int) ticker {
	perFrame := (leastRefresh + fps - 1) / fps
	refresh := fps * perFrame
	return ticker{
		start: time.Now(), refresh: refresh, period: time.Second / time.Duration(refresh), perFrame: perFrame,
		parts: int64((pullRate + refresh - 1) / refresh),
	}
}

// recorded answers the length of n ticks.
func (t ticker) recorded(n int64) time.Duration {
	return time.Duration(n) * time.Second / time.Duration(t.refresh)
}

// ticks answers how many ticks d is long.
func (t ticker) ticks(d time.Duration) int64 {
	return int64(d * time.Duration(t.refresh) / time.Second)
}

// limit answers how many ticks a recording of at most d may still have, 0 standing for any number. No limit is too short
// for one tick.
func (t ticker) limit(d, recorded time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return max(t.ticks(d-recorded), 1)
}

// time answers when tick k is due.
func (t ticker) time(k int64) time.Time { return t.start.Add(t.recorded(k)) }

// part answers when the n-th part of a tick is due.
func (t ticker) part(n int64) time.Time {
	return t.start.Add(time.Duration(n) * time.Second / time.Duration(int64(t.refresh)*t.parts))
}

// partAt answers the part that the time lies in: the one that ends next.
func (t ticker) partAt(at time.Time) int64 {
	return int64(at.Sub(t.start)*time.Duration(int64(t.refresh)*t.parts)/time.Second) + 1
}

// lastOf answers the last part of the tick that the n-th part belongs to.
func (t ticker) lastOf(n int64) int64 { return (n + t.parts - 1) / t.parts * t.parts }

// samples answers how many samples lie before the n-th part.
func (t ticker) samples(n int64) int64 { return n * SampleRate / (int64(t.refresh) * t.parts) }

// run ticks until ctx ends. While nothing plays the sound of a whole tick is pulled at once.
func (s *Session) run(ctx context.Context) {
	defer close(s.done)
	t := s.ticker
	timer := time.NewTimer(0)
	defer timer.Stop()
	var pcm []float32
	stretch := func(from, to int64) []float32 {
		want := int(t.samples(to)-t.samples(from)) * Channels
		if cap(pcm) < want {
			pcm = make([]float32, want)
		}
		return pcm[:want]
	}
	for heard := int64(0); ; { // parts
		n := heard + 1
		if s.sound.Idle() {
			n = t.lastOf(n)
		}
		due := t.part(n)
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
			return
		case <-s.sound.Began():
			// What has begun belongs to the present part: the parts before it were silent.
			if until := min(t.partAt(time.Now()), n) - 1; until > heard {
				silence := stretch(heard, until)
				clear(silence)
				s.hear(silence, heard/t.parts)
				heard = until
			}
			continue
		case <-timer.C:
		}
		sound := stretch(heard, n)
		s.sound.Pull(due, sound)
		s.hear(sound, heard/t.parts)
		heard = n
		if n%t.parts == 0 {
			s.screen.Tick(due)
			s.beat(n/t.parts, due)
		}
	}
}

// hear records the sound of a part of tick k, unless the tick is not recorded.
func (s *Session) hear(pcm []float32, k int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.timeline.find(k); !ok || s.sink == nil {
		return
	}
	n := int64(len(pcm) / Channels)
	if silent(pcm) {
		s.stats.Silent += time.Duration(n) * time.Second / SampleRate
	}
	s.sink.Audio(s.cfg.Base+time.Duration(s.samples)*time.Second/SampleRate, pcm)
	s.samples += n
}

func silent(pcm []float32) bool {
	for _, v := range pcm {
		if v != 0 {
			return false
		}
	}
	return true
}

// beat begins tick k: what the pictures on their way can no longer change is sent.
func (s *Session) beat(k int64, due time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = k
	s.stats.Late = max(s.stats.Late, time.Since(due))
	if s.sink == nil || !s.timeline.open() {
		return
	}
	s.advance(s.slots.before(s.timeline.length(k - maxDepth/2)))
	if s.isFull(k + 1) {
		s.timeline.cease(k + 1)
		s.fill()
	}
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
