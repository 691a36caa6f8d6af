package mp4

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// videoTimescale is the file's: every usual frame rate is a whole number of its ticks.
const videoTimescale = 90000

// lastPicture is shown at least this long, even when it came at the very end.
const lastPicture = 10 * time.Millisecond

// ErrEmpty is what an Index without a single picture cannot become.
var ErrEmpty = errors.New("mp4: nothing was recorded")

// Index knows every sample of a recording and where it lies. It is built while fragments arrive, holds about ten bytes a
// sample, and becomes a Movie at any time. The media data itself it never touches.
//
// One goroutine at a time may use it.
type Index struct {
	video, audio table
	extents      Extents
	payload      int64 // bytes of media data so far

	run     *Run // the run that fragments belong to
	current runState
	shown   int64 // the latest presentation time of a picture, in ticks
}

// Run is one run of the encoder: what its stream begins with, and where on the recorded time the first picture and the
// first sample of sound lie that it was fed. Both are later than what earlier runs have kept, or repeat the end of it.
type Run struct {
	Init  *Init
	Video time.Duration
	Audio time.Duration

	// AudioFrom is where the sound of this run begins to count, whole packets after Audio: what is before it was fed again
	// so that the encoder comes into step. Zero or before Audio: all counts.
	AudioFrom time.Duration
}

// runState is what is known of the current run once its first samples came.
type runState struct {
	joined       bool // the end of the run before was cut to fit
	videoEntry   uint32
	audioEntry   uint32
	videoBegan   bool
	videoZero    int64 // presentation time of the first picture, in the run's ticks
	videoStart   int64 // the same, in the file's
	audioStart   int64 // of the first sample of sound, in the file's ticks
	audioFrom    int64 // of the first one that counts
	audioPackets int64
}

// Begin announces the run that the following fragments belong to. Where runs overlap, the later one counts.
func (x *Index) Begin(r Run) error {
	if r.Init == nil || r.Init.Video == nil {
		return errors.New("mp4: a run without a picture")
	}
	if x.video.timescale == 0 {
		x.video.timescale = videoTimescale
	}
	if a := r.Init.Audio; a != nil {
		if x.audio.timescale == 0 {
			x.audio.timescale, x.audio.allIn = int64(a.Timescale), true
		}
		if x.audio.timescale != int64(a.Timescale) {
			return fmt.Errorf("mp4: sound of %d samples a second after %d", a.Timescale, x.audio.timescale)
		}
	}
	x.run, x.current = &r, runState{}
	return nil
}

// Cut removes what is in the Index from the recorded time at on. It comes before the run that goes on from there.
func (x *Index) Cut(at time.Duration) error {
	if at < 0 {
		return fmt.Errorf("mp4: a cut at %v", at)
	}
	x.trimVideo(ticks(at, x.video.timescale))
	x.trimAudio(ticks(at, x.audio.timescale))
	x.run, x.current = nil, runState{}
	return nil
}

// Add adds a fragment of the current run; its first byte lies at offset of the file path.
func (x *Index) Add(f *Fragment, path string, offset int64) error {
	if x.run == nil {
		return errors.New("mp4: a fragment that belongs to no run")
	}
	if !x.current.joined {
		x.join()
	}
	base := x.payload - f.Payload // what turns an offset in the fragment into one in the media data
	for _, s := range f.Video {
		x.addVideo(s, base)
	}
	for _, s := range f.Audio {
		x.addAudio(s, base)
	}
	x.extents = append(x.extents, Extent{Path: path, Offset: offset + f.Payload, Length: f.Size - f.Payload})
	x.payload += f.Size - f.Payload
	return nil
}

// join cuts what earlier runs hold beyond the beginning of this one, and lays this one behind it.
func (x *Index) join() {
	c := &x.current
	c.joined = true
	c.videoStart = ticks(x.run.Video, x.video.timescale)
	c.videoEntry = x.video.entry(x.run.Init.Video.Entry)
	x.trimVideo(c.videoStart)
	if x.video.width == 0 {
		x.video.width, x.video.height = x.run.Init.Video.Width, x.run.Init.Video.Height
	}
	if a := x.run.Init.Audio; a != nil {
		c.audioStart = ticks(x.run.Audio, x.audio.timescale)
		c.audioEntry = x.audio.entry(a.Entry)
		c.audioFrom = ticks(max(x.run.Audio, x.run.AudioFrom), x.audio.timescale)
		x.trimAudio(c.audioFrom)
	}
}

func (x *Index) addVideo(s Sample, base int64) {
	c := &x.current
	if !c.videoBegan {
		c.videoBegan, c.videoZero = true, s.Present
	}
	scale := int64(x.run.Init.Video.Timescale)
	at := func(t int64) int64 { return c.videoStart + rescale(t-c.videoZero, x.video.timescale, scale) }
	present := at(s.Present)
	x.video.push(base+s.Offset, s.Size, at(s.Decode), present, s.Sync, c.videoEntry)
	x.shown = max(x.shown, present)
}

// addAudio lays packets end to end from the run's first sample of sound on: the encoder's own times are rounded. The first
// packet of a run is the encoder's priming. It is kept where the sound of the file begins, and hidden by the edit list;
// later it would only be in the way, since the last packet before the join does the same for the decoder.
func (x *Index) addAudio(s Sample, base int64) {
	c := &x.current
	at := c.audioStart + (c.audioPackets-1)*Packet
	c.audioPackets++
	if x.audio.len() > 0 && at < c.audioFrom-Packet/2 {
		return
	}
	x.audio.push(base+s.Offset, s.Size, at, at, true, c.audioEntry)
}

// trimVideo removes, in the order of decoding, the first picture shown at or after tick and all that follow it.
func (x *Index) trimVideo(tick int64) {
	t := &x.video
	if t.len() == 0 || x.shown < tick {
		return
	}
	for t.len() > 0 && x.latestOfGroup() >= tick {
		t.pop()
	}
	x.shown = x.latestOfGroup()
}

// latestOfGroup returns the latest presentation time among the pictures since the last sync sample, which is the latest of
// all, or one before every time when there are none.
func (x *Index) latestOfGroup() int64 {
	t := &x.video
	if t.len() == 0 {
		return math.MinInt64
	}
	from := 0
	if n := len(t.syncs); n > 0 {
		from = int(t.syncs[n-1])
	}
	latest, decode := int64(math.MinInt64), t.last
	shifts, deltas := t.shifts.backwards(), t.deltas.backwards()
	for i := t.len() - 1; i >= from; i-- {
		latest = max(latest, decode+int64(int32(shifts())))
		if i > 0 {
			decode -= int64(deltas())
		}
	}
	return latest
}

// trimAudio removes the packets that begin at or after tick, to the nearest packet.
func (x *Index) trimAudio(tick int64) {
	for x.audio.len() > 0 && x.audio.last >= tick-Packet/2 {
		x.audio.pop()
	}
}

// Covered returns the recorded time up to which both the picture and the sound are there: where a cut is made when
// the recording cannot go on from here. It is zero when nothing is there.
func (x *Index) Covered() time.Duration {
	if x.video.len() == 0 {
		return 0
	}
	end := x.shown
	scale := x.video.timescale
	if x.audio.len() > 0 {
		end, scale = x.audio.last+Packet, x.audio.timescale
	}
	return max(0, time.Duration(rescale(end, int64(time.Second), scale)))
}

// Pictures returns how many pictures the file would have.
func (x *Index) Pictures() int { return x.video.len() }

// Bytes returns the size of the media data so far.
func (x *Index) Bytes() int64 { return x.payload }

// Media returns where the media data lies, in its order. It only grows: a cut takes samples out of the Index, and leaves their
// bytes where they are.
func (x *Index) Media() Extents { return slices.Clip(x.extents) }

// ticks turns recorded time into ticks of a track.
func ticks(t time.Duration, scale int64) int64 {
	return rescale(int64(t), scale, int64(time.Second))
}

// rescale returns v*to/from, rounded to the nearest, without overflow for the times of a recording.
func rescale(v, to, from int64) int64 {
	whole, rest := v/from, v%from
	half := from / 2
	if rest < 0 {
		half = -half
	}
	return whole*to + (rest*to+half)/from
}
