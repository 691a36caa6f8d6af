package mp4

import (
	"errors"
	"sort"
	"time"
)

// ErrCut is what Group answers when the recording was cut before the place of a Walk. It does not happen by Index.Cut at
// or after Covered, nor by a run that begins where the one before it ended.
var ErrCut = errors.New("mp4: the recording was cut before what was taken of it")

// Group is a stretch of a recording that can be decoded by itself: the pictures from one at which decoding can begin up to
// the next such one, and the packets of sound beside them.
type Group struct {
	Begin, End time.Duration // recorded time, from the group's first picture to the next group's

	Video, Audio []Unit // in the order of decoding
	AudioScale   int64  // ticks of sound a second; zero when the recording has no sound
}

// Unit is one coded picture, or one packet of sound, of the recording.
type Unit struct {
	Path    string // the file that it lies in
	Offset  int64
	Size    uint32
	Decode  int64 // recorded time in ticks: 90,000 a second for a picture, AudioScale for sound
	Present int64
	Sync    bool
	Entry   []byte // its track's sample entry; one slice for all units that share it
}

// Walk is a place in an Index, between two groups. The zero value is the beginning. It is small, may be copied, and stays
// good while the Index grows.
type Walk struct {
	video, audio place
}

// place is a place in a table: so many samples lie before it.
type place struct {
	samples        int
	decode         int64 // of the last sample before it
	deltas, shifts step
	chunk          step  // which one, and how many of its samples lie before
	offset         int64 // of the next sample, while it is in the same chunk
	extent         int   // that the last sample lay in
	extentBegan    int64 // the offset of its first byte
}

// step is a place in a list that holds equal neighbours once.
type step struct {
	run  int
	used uint32
}

func (s *step) next(l *rle) uint32 {
	for s.used >= l.runs[s.run].count {
		s.run, s.used = s.run+1, 0
	}
	s.used++
	return l.runs[s.run].value
}

// Group takes the group at w, and moves w behind it. It answers false when the group is not whole yet: it is once the next
// one has begun and the sound has come so far too. Then no later run, and no cut at or after Covered, takes anything of it
// away.
func (x *Index) Group(w *Walk) (Group, bool, error) {
	if w.video.samples > x.video.len() || w.audio.samples > x.audio.len() {
		return Group{}, false, ErrCut
	}
	next, ok := x.video.syncAfter(w.video.samples)
	if !ok {
		return Group{}, false, nil
	}
	after := *w
	g := Group{AudioScale: x.audio.timescale}
	g.Video = x.take(&after.video, &x.video, next)
	peek := after.video
	end := x.take(&peek, &x.video, next+1)[0].Present
	if x.audio.timescale > 0 {
		border := rescale(end, x.audio.timescale, videoTimescale)
		if x.audio.len() == 0 || x.audio.last+Packet < border {
			return Group{}, false, nil
		}
		g.Audio = x.sound(&after.audio, border-Packet/2) // the border that trimAudio keeps
	}
	x.span90(&g, end)
	*w = after
	return g, true, nil
}

// Rest takes what is behind w as the last group of a recording that ends at the recorded time end. It answers false when
// there is none. As in the Movie, what sounds after the end is not part of it.
func (x *Index) Rest(w *Walk, end time.Duration) (Group, bool, error) {
	if w.video.samples > x.video.len() || w.audio.samples > x.audio.len() {
		return Group{}, false, ErrCut
	}
	if w.video.samples == x.video.len() {
		return Group{}, false, nil
	}
	g := Group{AudioScale: x.audio.timescale}
	g.Video = x.take(&w.video, &x.video, x.video.len())
	last := x.span(ticks(end, videoTimescale)).end
	if x.audio.timescale > 0 {
		g.Audio = x.sound(&w.audio, rescale(last, x.audio.timescale, videoTimescale))
	}
	x.span90(&g, last)
	return g, true, nil
}

// span90 says from when to when the group is shown, in ticks of the picture.
func (x *Index) span90(g *Group, end int64) {
	g.Begin = time.Duration(rescale(g.Video[0].Present, int64(time.Second), videoTimescale))
	g.End = time.Duration(rescale(end, int64(time.Second), videoTimescale))
}

// syncAfter answers the first sync sample behind the n-th, that one not included.
func (t *table) syncAfter(n int) (int, bool) {
	i := sort.Search(len(t.syncs), func(i int) bool { return int(t.syncs[i]) > n })
	if i == len(t.syncs) {
		return 0, false
	}
	return int(t.syncs[i]), true
}

// sound takes the packets that begin before a tick.
func (x *Index) sound(p *place, before int64) []Unit {
	var units []Unit
	for p.samples < x.audio.len() {
		peek := *p
		u := x.take(&peek, &x.audio, p.samples+1)[0]
		if u.Decode >= before {
			break
		}
		units, *p = append(units, u), peek
	}
	return units
}

// take takes the samples of a table from a place up to the n-th, that one not included, and moves the place there.
func (x *Index) take(p *place, t *table, n int) []Unit {
	units := make([]Unit, 0, n-p.samples)
	for p.samples < n {
		units = append(units, x.unit(p, t))
	}
	return units
}

func (x *Index) unit(p *place, t *table) Unit {
	if p.samples == 0 {
		p.decode = t.first
	} else {
		p.decode += int64(p.deltas.next(&t.deltas))
	}
	shift := int64(int32(p.shifts.next(&t.shifts)))
	for p.chunk.used >= t.chunks[p.chunk.run].count {
		p.chunk = step{run: p.chunk.run + 1}
	}
	c := t.chunks[p.chunk.run]
	if p.chunk.used == 0 {
		p.offset = c.offset
	}
	p.chunk.used++
	u := Unit{
		Size: t.sizes[p.samples], Decode: p.decode, Present: p.decode + shift, Entry: t.entries[c.entry-1],
		Sync: t.allIn || t.isSync(p.samples),
	}
	for p.offset >= p.extentBegan+x.extents[p.extent].Length {
		p.extentBegan += x.extents[p.extent].Length
		p.extent++
	}
	e := x.extents[p.extent]
	u.Path, u.Offset = e.Path, e.Offset+p.offset-p.extentBegan
	p.offset += int64(u.Size)
	p.samples++
	return u
}

func (t *table) isSync(n int) bool {
	i := sort.Search(len(t.syncs), func(i int) bool { return int(t.syncs[i]) >= n })
	return i < len(t.syncs) && int(t.syncs[i]) == n
}
