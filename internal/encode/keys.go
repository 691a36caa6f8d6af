package encode

import "time"

const (
	// fileRate is the resolution of times in the file: ticks a second.
	fileRate = 90000

	// keySlack is how much earlier than it should a picture may begin a segment: times are rounded.
	keySlack = time.Millisecond

	// keyLate is how much later. Where no picture comes in time, the last one is shown once more.
	keyLate = 100 * time.Millisecond
)

// keys chooses the pictures at which segments begin, and decoding can. ffmpeg is told of the choice by the times themselves:
// from its first picture to such a one it is an odd number of the file's ticks, to all others an even one. It has no other
// ear for it while it runs, and so another ffmpeg that is fed the same pictures again is told the same. The zero value
// chooses none.
type keys struct {
	every time.Duration // the length of a segment

	begun bool
	last  time.Duration // when the last segment began
	asked bool          // one is to begin with the first picture at or after from
	from  time.Duration
}

// keyFrames is ffmpeg's expression for such a picture; its t is counted from the first picture.
const keyFrames = "expr:mod(round(t*90000),2)"

// border is where the next segment should begin at the latest.
func (k *keys) border() time.Duration { return k.last + k.every }

// missed answers where a segment should begin before a picture at pts, which would be too late.
func (k *keys) missed(pts time.Duration) (time.Duration, bool) {
	if k.every == 0 || !k.begun || pts <= k.border()+keyLate {
		return 0, false
	}
	return k.border(), true
}

// stamp chooses, and answers the time at which the picture is shown: at pts, or up to two ticks later.
func (k *keys) stamp(pts time.Duration) time.Duration {
	if k.every == 0 {
		return pts
	}
	key := !k.begun || pts >= k.border()-keySlack || k.asked && pts >= k.from-keySlack
	tick := (int64(pts)*fileRate + int64(time.Second) - 1) / int64(time.Second)
	if odd := tick%2 != 0; odd != (key && k.begun) { // decoding can begin with the first one anyhow
		tick++
	}
	pts = ofTick(tick)
	if key {
		k.begin(pts)
	}
	return pts
}

// ofTick is the time of one of the file's ticks.
func ofTick(tick int64) time.Duration {
	return time.Duration((tick*int64(time.Second) + fileRate/2) / fileRate)
}

// first answers when the picture is shown that a run of ffmpeg begins with: a tick earlier, if another run was told to begin a
// segment there. This one does so anyhow.
func (k *keys) first(pts time.Duration) time.Duration {
	if k.every == 0 {
		return pts
	}
	pts = ofTick((int64(pts)*fileRate + int64(time.Second)/2) / int64(time.Second) &^ 1)
	k.begin(max(pts, k.last))
	return pts
}

// begin notes that a segment begins, be it because a run of ffmpeg does.
func (k *keys) begin(pts time.Duration) {
	k.begun, k.last = true, pts
	if k.asked && pts >= k.from-keySlack {
		k.asked = false
	}
}

// ask has a segment begin with the first picture at or after a time.
func (k *keys) ask(from time.Duration) { k.asked, k.from = true, from }
