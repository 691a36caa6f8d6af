package encode

import (
	"bytes"
	"encoding/binary"
	"math"
	"time"

	"github.com/recordhost/recordhost/internal/mp4"
)

const (
	// maxWait is how old a picture may get before ffmpeg takes it: then the encoder is behind, and further ones are dropped.
	// It is longer than it takes to find out that ffmpeg hangs.
	maxWait = 3 * time.Second

	// maxSound bounds the sound that is kept. An encoder that is so far behind has failed.
	maxSound = 60 * time.Second

	// pause is how long no new picture came when the last change is pushed out of the encoder with repeats of it.
	pause = 150 * time.Millisecond

	// repeatStep is the time between such repeats in the file: shorter than any frame, so that they end before the next.
	repeatStep = time.Millisecond

	// closest is the least time between two pictures: several ticks of the file, so that each can be told by its time.
	closest = 50 * time.Microsecond

	// lead is how much sound a new ffmpeg is fed again before what it owes, in samples: where its encoder has come into step
	// with the one before, the two join without a break.
	lead = 2 * mp4.Packet

	defaultMemory = 96 << 20
	fewest        = 4 // pictures that fit whatever Memory says
)

// window is the media that was handed in and is not in a fragment yet, in the order in which it came: what ffmpeg was
// fed, and behind it what waits. It decides and keeps books only; the Recorder guards it with its lock.
type window struct {
	size   int   // bytes of a picture
	memory int64 // bytes of pictures at most
	delay  int   // pictures that must follow one before ffmpeg gives it back

	items []item
	fed   int // so many of items were given to ffmpeg

	newest  *picture // the last one that came; kept even when it is in a fragment
	lastPTS time.Duration
	free    []*picture
	bytes   int64 // of pictures that are not free

	hurry    int           // repeats needed to push the last change out of the encoder
	lastCame time.Duration // where the sound was when the last picture came

	soundStart time.Duration // time of the first sample ever
	soundEnd   int64         // samples so far
	soundAny   bool

	lost []time.Duration // pictures given up that ffmpeg was fed and has not given back

	keys keys
}

// item is a picture, or a piece of sound.
type item struct {
	pic  *picture // nil: sound
	pts  time.Duration
	done bool // the picture is in a fragment

	pcm   []byte
	start int64 // the first sample's number
}

// picture is a buffer of one picture, shared by items that show the same.
type picture struct {
	data []byte
	refs int
}

func newWindow(size int, memory int64, delay int) *window {
	if memory == 0 {
		memory = defaultMemory
	}
	return &window{size: size, memory: max(memory, fewest*int64(size)), delay: delay, lastPTS: -1}
}

// video takes a picture. It answers false when there is no room: then the picture is dropped.
func (w *window) video(pts time.Duration, data []byte) bool {
	if oldest, ok := w.oldestWaiting(); ok && pts-oldest > maxWait {
		return false
	}
	w.begin(pts)
	same := w.newest != nil && bytes.Equal(w.newest.data, data)
	if !same {
		p := w.buffer()
		if p == nil {
			return false
		}
		copy(p.data, data)
		w.setNewest(p)
		w.hurry = w.delay
	} else if w.hurry > 0 {
		w.hurry--
	}
	w.pushPicture(w.newest, pts)
	w.lastCame = w.soundTime(w.soundEnd)
	return true
}

// begin begins segments before a picture that would be late for it, each with what is to be seen there.
func (w *window) begin(pts time.Duration) {
	for w.newest != nil {
		at, ok := w.keys.missed(pts)
		if !ok {
			return
		}
		w.pushPicture(w.newest, at)
	}
}

// pushPicture adds an item for p.
func (w *window) pushPicture(p *picture, pts time.Duration) {
	if w.lastPTS >= 0 {
		pts = max(pts, w.lastPTS+closest)
	}
	pts = w.keys.stamp(pts)
	w.lastPTS = pts
	p.refs++
	w.items = append(w.items, item{pic: p, pts: pts})
}

// buffer finds room for one more picture, at the cost of the oldest that ffmpeg has already been fed. nil: none is to be
// had.
func (w *window) buffer() *picture {
	for w.bytes+int64(w.size) > w.memory {
		if !w.giveUpOldest() {
			return nil
		}
	}
	w.bytes += int64(w.size)
	if n := len(w.free); n > 0 {
		p := w.free[n-1]
		w.free = w.free[:n-1]
		return p
	}
	return &picture{data: make([]byte, w.size)}
}

// giveUpOldest frees the buffer of the oldest picture that ffmpeg was fed. Should ffmpeg die before it gives it back, it
// is lost.
func (w *window) giveUpOldest() bool {
	for i := 0; i < w.fed; {
		it := w.items[i]
		if it.pic == nil || it.pic == w.newest {
			i++
			continue
		}
		if !it.done {
			w.lost = append(w.lost, it.pts)
		}
		w.items = append(w.items[:i], w.items[i+1:]...)
		w.fed--
		if w.release(it.pic) {
			return true
		}
	}
	return false
}

func (w *window) setNewest(p *picture) {
	p.refs++
	if w.newest != nil {
		w.release(w.newest)
	}
	w.newest = p
}

// release gives one reference to p back, and tells whether it was the last.
func (w *window) release(p *picture) bool {
	if p.refs--; p.refs > 0 {
		return false
	}
	w.bytes -= int64(w.size)
	if int64(len(w.free)*w.size) < w.memory/2 { // what a hang has taken beyond that is given back
		w.free = append(w.free, p)
	}
	return true
}

func (w *window) oldestWaiting() (time.Duration, bool) {
	for _, it := range w.items[w.fed:] {
		if it.pic != nil {
			return it.pts, true
		}
	}
	return 0, false
}

// audio takes sound, and lays it on the time line by its pts: where pts is ahead of the sound so far, silence is put
// between, where it is behind, what overlaps is cut. It answers false when far too much is waiting.
func (w *window) audio(pts time.Duration, pcm []float32) bool {
	if !w.soundAny {
		w.soundAny, w.soundStart = true, pts
	}
	const rounding = sampleRate / 2000 // half a millisecond
	switch ahead := samples(pts-w.soundStart) - w.soundEnd; {
	case ahead > rounding:
		w.silence(ahead)
	case ahead < -rounding:
		pcm = pcm[min(-ahead*channels, int64(len(pcm))):]
	}
	b := make([]byte, len(pcm)*4)
	for i, v := range pcm {
		binary.LittleEndian.PutUint32(b[i*4:], math.Float32bits(v))
	}
	w.pushSound(b)
	w.repeat()
	return w.soundEnd-w.soundKept() <= samples(maxSound)
}

// silence adds n samples of it, in pieces that share their bytes. What goes beyond the bound fails in audio.
func (w *window) silence(n int64) {
	n = min(n, 2*samples(maxSound))
	zeros := make([]byte, min(n, sampleRate)*frameBytes)
	for ; n > 0; n -= sampleRate {
		w.pushSound(zeros[:min(n, sampleRate)*frameBytes])
	}
}

func (w *window) pushSound(b []byte) {
	if len(b) == 0 {
		return
	}
	w.items = append(w.items, item{pcm: b, start: w.soundEnd})
	w.soundEnd += int64(len(b) / frameBytes)
}

// repeat pushes the last change out of the encoder when no further picture does: x264 holds a picture until some more
// have come, and on a page that stands still that would take seconds.
func (w *window) repeat() {
	now := w.soundTime(w.soundEnd)
	if w.newest == nil || w.hurry == 0 || now-w.lastCame < pause {
		return
	}
	w.hurry--
	w.lastCame = now
	w.pushPicture(w.newest, w.lastPTS+repeatStep)
}

// soundKept is the number of the first sample that is kept.
func (w *window) soundKept() int64 {
	for _, it := range w.items {
		if it.pic == nil {
			return it.start
		}
	}
	return w.soundEnd
}

// waitingSound is how many samples ffmpeg was not fed yet.
func (w *window) waitingSound() int64 {
	for _, it := range w.items[w.fed:] {
		if it.pic == nil {
			return w.soundEnd - it.start
		}
	}
	return 0
}

func (w *window) soundTime(sample int64) time.Duration {
	return w.soundStart + time.Duration(sample*int64(time.Second)/sampleRate)
}

// batch appends to head what ffmpeg is to be fed next: sound, up to a bound, and the head of one picture, whose bytes are
// returned apart so that they are not copied. n is how many items that is; 0: nothing waits.
func (w *window) batch(head []byte) (b, pic []byte, n int) {
	const enough = 64 << 10
	for _, it := range w.items[w.fed:] {
		n++
		if it.pic != nil {
			return blockHead(head, videoTrack, it.pts, len(it.pic.data)), it.pic.data, n
		}
		head = blockHead(head, audioTrack, w.soundTime(it.start), len(it.pcm))
		head = append(head, it.pcm...)
		if len(head) > enough {
			break
		}
	}
	return head, nil, n
}

// took records that ffmpeg was fed n items more. It returns the end, in samples, of the sound among them.
func (w *window) took(n int) int64 {
	var end int64
	for _, it := range w.items[w.fed : w.fed+n] {
		if it.pic == nil {
			end = it.end()
		}
	}
	w.fed += n
	return end
}

// beginning returns what a run begins with: the time of the first picture, and the number of the first sample of sound.
func (w *window) beginning() (time.Duration, int64) {
	first, _ := w.oldestWaiting()
	return first, w.soundKept()
}

// finish makes sure that there is sound where there is a picture: ffmpeg would not begin without.
func (w *window) finish() {
	if !w.soundAny && w.newest != nil {
		first, _ := w.oldestWaiting()
		w.soundAny, w.soundStart = true, first
		w.pushSound(make([]byte, mp4.Packet*frameBytes))
	}
}

// gave records what a fragment holds: the times of its pictures, whether decoding can begin at them, and up to which
// sample the sound is in fragments now. What is not owed any more is let go.
func (w *window) gave(shown []time.Duration, sync []bool, sound int64) {
	for i, t := range shown {
		for k := range w.items[:w.fed] {
			it := &w.items[k]
			if it.pic == nil {
				continue
			}
			// Before a picture where decoding can begin, all earlier ones are out.
			if near(it.pts, t) || sync[i] && it.pts < t {
				it.done = true
			}
		}
		kept := w.lost[:0]
		for _, l := range w.lost {
			if !near(l, t) && (!sync[i] || l >= t) {
				kept = append(kept, l)
			}
		}
		w.lost = kept
	}
	w.trim(sound)
}

// near tells whether two times are the same tick of the file.
func near(a, b time.Duration) bool { return (a - b).Abs() < time.Second/90000 }

// trim removes, from the front, what is in fragments, but for the lead of a next run.
func (w *window) trim(sound int64) {
	n := 0
	for n < w.fed {
		it := w.items[n]
		if it.pic != nil && !it.done || it.pic == nil && it.end() > sound-lead {
			break
		}
		if it.pic != nil {
			w.release(it.pic)
		}
		n++
	}
	if n > 0 {
		w.items = append(w.items[:0], w.items[n:]...)
		clear(w.items[len(w.items) : len(w.items)+n])
		w.fed -= n
	}
}

func (it *item) end() int64 { return it.start + int64(len(it.pcm)/frameBytes) }

// complete tells that all is in fragments, the sound up to the given sample.
func (w *window) complete(sound int64) bool {
	for _, it := range w.items {
		if it.pic != nil && !it.done {
			return false
		}
	}
	return sound >= w.soundEnd
}

// owed prepares a new run: what is in no fragment is to be fed again, from sample sound on, and whole packets before it as
// a lead. It returns how much of the picture is lost, and how many pictures.
func (w *window) owed(sound int64) (lost time.Duration, count int) {
	again := min(lead, (sound-min(sound, w.soundKept()))/mp4.Packet*mp4.Packet)
	from := sound - again
	kept := w.items[:0]
	begun := false // from the first picture that is missing on, all are needed again
	for _, it := range w.items {
		switch {
		case it.pic != nil && it.done && !begun:
			w.release(it.pic)
			continue
		case it.pic != nil:
			begun = true
			it.done = false
		case it.end() <= from:
			continue
		case it.start < from:
			it.pcm = it.pcm[(from-it.start)*frameBytes:]
			it.start = from
		}
		kept = append(kept, it)
	}
	clear(w.items[len(kept):])
	w.items, w.fed = kept, 0
	count = len(w.lost)
	first, ok := w.oldestWaiting()
	if !ok && w.newest != nil { // a page that stands still: begin with what it shows
		first = max(w.soundTime(sound), w.lastPTS+repeatStep)
		w.pushPicture(w.newest, first)
	}
	for i := range w.items {
		if w.items[i].pic != nil {
			first = w.keys.first(w.items[i].pts)
			w.items[i].pts = first
			break
		}
	}
	if count > 0 {
		lost = max(0, first-w.lost[0])
	}
	w.lost = nil
	w.hurry = w.delay
	return lost, count
}

// samples converts a time to a number of samples, to the nearest.
func samples(d time.Duration) int64 {
	half := time.Second / 2
	if d < 0 {
		half = -half
	}
	return int64((d*sampleRate + half) / time.Second)
}
