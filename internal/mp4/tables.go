package mp4

import "math"

// rle is a list of numbers that holds equal neighbours once: the form in which a file holds its sample times too.
type rle struct {
	runs []rleRun
}

type rleRun struct{ count, value uint32 }

func (l *rle) push(v uint32) {
	if n := len(l.runs); n > 0 && l.runs[n-1].value == v && l.runs[n-1].count < math.MaxUint32 {
		l.runs[n-1].count++
		return
	}
	l.runs = append(l.runs, rleRun{1, v})
}

// pop removes the last number and returns it. The list is not empty.
func (l *rle) pop() uint32 {
	last := &l.runs[len(l.runs)-1]
	v := last.value
	if last.count--; last.count == 0 {
		l.runs = l.runs[:len(l.runs)-1]
	}
	return v
}

// backwards returns a function that answers the numbers from the last to the first, and must not be called more often.
func (l *rle) backwards() func() uint32 {
	at, left := len(l.runs), uint32(0)
	return func() uint32 {
		if left == 0 {
			at--
			left = l.runs[at].count
		}
		left--
		return l.runs[at].value
	}
}

// chunk is a row of samples that follow each other in the media data.
type chunk struct {
	offset int64 // from the first byte of all media data
	count  uint32
	entry  uint32 // the sample entry, from 1
}

// table holds the samples of one track of the file in the order of decoding, about ten bytes each, in the form of the
// boxes that it becomes. Samples are added and removed at its end only.
type table struct {
	timescale     int64
	width, height uint16
	entries       [][]byte

	sizes  []uint32
	deltas rle      // time from each sample to the next: one less than samples
	shifts rle      // presentation time minus decoding time, as int32
	syncs  []uint32 // numbers of the samples where decoding can begin, from 0; unused when all can
	allIn  bool     // every sample is a sync sample
	chunks []chunk

	first int64 // decoding time of the first sample
	last  int64 // of the last one
	next  int64 // offset just behind the last sample, while it may be continued
}

func (t *table) len() int { return len(t.sizes) }

// entry returns the number, from 1, of a sample entry, which is added when it is new.
func (t *table) entry(b []byte) uint32 {
	for i, e := range t.entries {
		if string(e) == string(b) {
			return uint32(i + 1)
		}
	}
	t.entries = append(t.entries, b)
	return uint32(len(t.entries))
}

// push adds a sample. Decoding times must rise; one that does not is set one tick behind the last.
func (t *table) push(offset int64, size uint32, decode, present int64, sync bool, entry uint32) {
	switch {
	case len(t.sizes) == 0:
		t.first = decode
	default:
		decode = max(decode, t.last+1)
		t.deltas.push(clampTicks(decode - t.last))
	}
	t.last = decode
	if sync && !t.allIn {
		t.syncs = append(t.syncs, uint32(len(t.sizes)))
	}
	t.shifts.push(uint32(int32(present - decode)))
	t.sizes = append(t.sizes, size)
	if n := len(t.chunks); n > 0 && t.next == offset && t.chunks[n-1].entry == entry {
		t.chunks[n-1].count++
	} else {
		t.chunks = append(t.chunks, chunk{offset: offset, count: 1, entry: entry})
	}
	t.next = offset + int64(size)
}

// pop removes the last sample.
func (t *table) pop() {
	n := len(t.sizes) - 1
	t.sizes = t.sizes[:n]
	t.shifts.pop()
	if n > 0 {
		t.last -= int64(t.deltas.pop())
	}
	if k := len(t.syncs); k > 0 && t.syncs[k-1] == uint32(n) {
		t.syncs = t.syncs[:k-1]
	}
	c := &t.chunks[len(t.chunks)-1]
	if c.count--; c.count == 0 {
		t.chunks = t.chunks[:len(t.chunks)-1]
	}
	t.next = -1
}

// firstPresent is the presentation time of the first sample. The table is not empty.
func (t *table) firstPresent() int64 {
	return t.first + int64(int32(t.shifts.runs[0].value))
}

func clampTicks(d int64) uint32 {
	return uint32(min(max(d, 0), math.MaxUint32))
}
