package mp4

import (
	"encoding/binary"
	"math"
)

// boxes writes boxes into a growing slice.
type boxes struct {
	b       []byte
	offsets []offsetTable // chunk offsets that still lack the size of what comes before the media data
}

// offsetTable is the place of n chunk offsets of 4 or 8 bytes each.
type offsetTable struct{ at, n, width int }

// box writes a box around what body writes.
func (w *boxes) box(kind string, body func()) {
	at := len(w.b)
	w.u32(0)
	w.b = append(w.b, kind...)
	body()
	binary.BigEndian.PutUint32(w.b[at:], uint32(len(w.b)-at))
}

// full writes a box with a version and flags.
func (w *boxes) full(kind string, version byte, flags uint32, body func()) {
	w.box(kind, func() {
		w.u32(uint32(version)<<24 | flags)
		body()
	})
}

func (w *boxes) u8(v byte)    { w.b = append(w.b, v) }
func (w *boxes) u16(v uint16) { w.b = binary.BigEndian.AppendUint16(w.b, v) }
func (w *boxes) u32(v uint32) { w.b = binary.BigEndian.AppendUint32(w.b, v) }
func (w *boxes) u64(v uint64) { w.b = binary.BigEndian.AppendUint64(w.b, v) }
func (w *boxes) zeros(n int)  { w.b = append(w.b, make([]byte, n)...) }

// count writes the length of a table.
func (w *boxes) count(n int) { w.u32(uint32(n)) }

// time writes a time or a duration, in 8 bytes where the box is of version 1.
func (w *boxes) time(version byte, v int64) {
	if version == 1 {
		w.u64(uint64(v))
		return
	}
	w.u32(uint32(v))
}

// versionOf is the version of a box that holds these times.
func versionOf(times ...int64) byte {
	for _, t := range times {
		if t > math.MaxInt32 {
			return 1
		}
	}
	return 0
}

// matrix is the unit matrix of a movie or track header.
func (w *boxes) matrix() {
	for _, v := range [9]uint32{0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000} {
		w.u32(v)
	}
}

// head writes all of the file that comes before the media data. duration is in video ticks, which are the movie's too.
func head(tracks []trackLayout, duration, payload int64) []byte {
	var size int
	for _, t := range tracks {
		size += 4*len(t.sizes) + 8*len(t.deltas.runs) + 8*len(t.shifts.runs) + 4*len(t.syncs) + 20*len(t.chunks)
	}
	w := &boxes{b: make([]byte, 0, size+4096)}
	w.box("ftyp", func() {
		w.b = append(w.b, "isom\x00\x00\x02\x00isomiso2avc1mp41"...)
	})
	wide := payload+int64(size)+4096 > math.MaxUint32
	w.box("moov", func() {
		w.movieHeader(duration, len(tracks))
		for i, t := range tracks {
			w.track(uint32(i+1), t, wide)
		}
	})
	if payload+8 > math.MaxUint32 {
		w.u32(1)
		w.b = append(w.b, "mdat"...)
		w.u64(uint64(payload + 16))
	} else {
		w.u32(uint32(payload + 8))
		w.b = append(w.b, "mdat"...)
	}
	w.shiftOffsets(int64(len(w.b)))
	return w.b
}

// shiftOffsets adds the place of the media data to every chunk offset.
func (w *boxes) shiftOffsets(by int64) {
	for _, o := range w.offsets {
		table := w.b[o.at:]
		for i := range o.n {
			if o.width == 8 {
				p := table[8*i:]
				binary.BigEndian.PutUint64(p, binary.BigEndian.Uint64(p)+uint64(by))
				continue
			}
			p := table[4*i:]
			binary.BigEndian.PutUint32(p, binary.BigEndian.Uint32(p)+uint32(by))
		}
	}
}

func (w *boxes) movieHeader(duration int64, tracks int) {
	v := versionOf(duration)
	w.full("mvhd", v, 0, func() {
		w.time(v, 0) // made and changed: not said, so that equal recordings are equal files
		w.time(v, 0)
		w.u32(videoTimescale)
		w.time(v, duration)
		w.u32(0x10000) // rate
		w.u16(0x100)   // volume
		w.zeros(10)
		w.matrix()
		w.zeros(24)
		w.count(tracks + 1) // the next track's number
	})
}

func (w *boxes) track(id uint32, t trackLayout, wide bool) {
	start := rescale(t.start, videoTimescale, t.timescale)
	length := rescale(t.end, videoTimescale, t.timescale) - start
	w.box("trak", func() {
		w.trackHeader(id, t, start+length)
		w.box("edts", func() { w.edits(start, length, t.mediaTime) })
		w.box("mdia", func() { w.media(t, wide) })
	})
}

func (w *boxes) trackHeader(id uint32, t trackLayout, duration int64) {
	v := versionOf(duration)
	w.full("tkhd", v, 3, func() { // enabled, part of the movie
		w.time(v, 0)
		w.time(v, 0)
		w.u32(id)
		w.u32(0)
		w.time(v, duration)
		w.zeros(8)
		w.u16(0) // layer
		if t.sound {
			w.u16(1) // alternate group
			w.u16(0x100)
		} else {
			w.u16(0)
			w.u16(0)
		}
		w.u16(0)
		w.matrix()
		w.u32(uint32(t.width) << 16)
		w.u32(uint32(t.height) << 16)
	})
}

// edits says when the track begins and which of its media is presented: what an encoder puts before the first picture or
// sample of sound is not.
func (w *boxes) edits(start, length, mediaTime int64) {
	v := versionOf(start, length, mediaTime)
	w.full("elst", v, 0, func() {
		entry := func(length, mediaTime int64) {
			w.time(v, length)
			w.time(v, mediaTime)
			w.u32(0x10000) // rate
		}
		if start > 0 {
			w.count(2)
			entry(start, -1)
		} else {
			w.count(1)
		}
		entry(length, mediaTime)
	})
}

func (w *boxes) media(t trackLayout, wide bool) {
	duration := t.last + int64(t.lastTicks) - t.first
	v := versionOf(duration)
	w.full("mdhd", v, 0, func() {
		w.time(v, 0)
		w.time(v, 0)
		w.u32(uint32(t.timescale))
		w.time(v, duration)
		w.u16(0x55c4) // "und"
		w.u16(0)
	})
	kind, name := "vide", "VideoHandler"
	if t.sound {
		kind, name = "soun", "SoundHandler"
	}
	w.full("hdlr", 0, 0, func() {
		w.u32(0)
		w.b = append(w.b, kind...)
		w.zeros(12)
		w.b = append(w.b, name...)
		w.u8(0)
	})
	w.box("minf", func() {
		if t.sound {
			w.full("smhd", 0, 0, func() { w.zeros(4) })
		} else {
			w.full("vmhd", 0, 1, func() { w.zeros(8) })
		}
		w.box("dinf", func() {
			w.full("dref", 0, 0, func() {
				w.count(1)
				w.full("url ", 0, 1, func() {}) // in this very file
			})
		})
		w.box("stbl", func() { w.samples(t, wide) })
	})
}

func (w *boxes) samples(t trackLayout, wide bool) {
	w.full("stsd", 0, 0, func() {
		w.count(len(t.entries))
		for _, e := range t.entries {
			w.b = append(w.b, e...)
		}
	})
	w.full("stts", 0, 0, func() {
		runs := t.deltas.runs
		if n := len(runs); n > 0 && runs[n-1].value == t.lastTicks {
			w.runs(runs[:n-1], rleRun{runs[n-1].count + 1, t.lastTicks})
		} else {
			w.runs(runs, rleRun{1, t.lastTicks})
		}
	})
	if r := t.shifts.runs; len(r) > 1 || r[0].value != 0 {
		w.full("ctts", shiftVersion(r), 0, func() { w.runs(r[:len(r)-1], r[len(r)-1]) })
	}
	if !t.allIn && len(t.syncs) < len(t.sizes) {
		w.full("stss", 0, 0, func() {
			w.count(len(t.syncs))
			for _, n := range t.syncs {
				w.u32(n + 1)
			}
		})
	}
	w.full("stsc", 0, 0, func() { w.chunkRuns(t.chunks) })
	w.full("stsz", 0, 0, func() {
		w.u32(0)
		w.count(len(t.sizes))
		for _, s := range t.sizes {
			w.u32(s)
		}
	})
	w.chunkOffsets(t.chunks, wide)
}

// runs writes a table of counts and values, the last entry given apart.
func (w *boxes) runs(runs []rleRun, last rleRun) {
	w.count(len(runs) + 1)
	for _, r := range runs {
		w.u32(r.count)
		w.u32(r.value)
	}
	w.u32(last.count)
	w.u32(last.value)
}

// shiftVersion is 1 when some picture is presented before it is decoded, which version 0 cannot say.
func shiftVersion(runs []rleRun) byte {
	for _, r := range runs {
		if r.value > math.MaxInt32 {
			return 1
		}
	}
	return 0
}

// chunkRuns writes how many samples chunks hold, equal neighbours once.
func (w *boxes) chunkRuns(chunks []chunk) {
	at, n := len(w.b), 0
	w.u32(0)
	for i, c := range chunks {
		if i > 0 && chunks[i-1].count == c.count && chunks[i-1].entry == c.entry {
			continue
		}
		w.count(i + 1)
		w.u32(c.count)
		w.u32(c.entry)
		n++
	}
	binary.BigEndian.PutUint32(w.b[at:], uint32(n))
}

func (w *boxes) chunkOffsets(chunks []chunk, wide bool) {
	kind, width := "stco", 4
	if wide {
		kind, width = "co64", 8
	}
	w.full(kind, 0, 0, func() {
		w.count(len(chunks))
		w.offsets = append(w.offsets, offsetTable{at: len(w.b), n: len(chunks), width: width})
		for _, c := range chunks {
			if wide {
				w.u64(uint64(c.offset))
			} else {
				w.u32(uint32(c.offset))
			}
		}
	})
}
