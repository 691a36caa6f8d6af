package mp4

import (
	"slices"
	"time"
)

// Movie is a progressive file that is not written yet: its bytes are Head, followed by the bytes of the Extents in order.
type Movie struct {
	Head     []byte // ftyp, moov, and the header of mdat
	Extents  Extents
	Size     int64 // bytes, of the whole file
	Duration time.Duration
	Pictures int
}

// Movie lays out the file, as if the recording ended at the recorded time end. The Index goes on to be usable. Where the
// last picture came at or after end, the file lasts just long enough to show it.
func (x *Index) Movie(end time.Duration) (*Movie, error) {
	if x.video.len() == 0 {
		return nil, ErrEmpty
	}
	video := x.span(ticks(end, videoTimescale))
	m := &Movie{
		Extents:  slices.Clip(x.extents),
		Duration: time.Duration(rescale(video.end, int64(time.Second), videoTimescale)),
		Pictures: x.video.len(),
	}
	tracks := []trackLayout{video}
	if sound, ok := x.soundSpan(video.end); ok {
		tracks = append(tracks, sound)
	}
	m.Head = head(tracks, video.end, x.payload)
	m.Size = int64(len(m.Head)) + x.payload
	return m, nil
}

// trackLayout is a track and its place on the file's time, all in the track's ticks.
type trackLayout struct {
	*table
	sound     bool
	start     int64  // when it begins to be presented
	end       int64  // when it ends
	mediaTime int64  // what is presented first, counted from the first sample's decoding time
	lastTicks uint32 // the duration of the last sample in the order of decoding
}

// span lays out the picture, which ends at the tick end or just behind the last picture.
func (x *Index) span(end int64) trackLayout {
	t := &x.video
	end = max(end, x.shown+int64(lastPicture)*videoTimescale/int64(time.Second))
	return t.layout(t.firstPresent(), end, clampTicks(end-t.last))
}

// soundSpan lays out the sound. It ends with the picture, or before it when there is no more.
func (x *Index) soundSpan(videoEnd int64) (trackLayout, bool) {
	t := &x.audio
	if t.len() < 2 { // nothing, or the encoder's priming alone
		return trackLayout{}, false
	}
	end := rescale(videoEnd, t.timescale, videoTimescale)
	start := t.first + Priming
	last := min(Packet, max(1, end-t.last))
	end = min(end, t.last+last)
	l := t.layout(start, end, clampTicks(last))
	l.sound = true
	return l, end > start
}

func (t *table) layout(start, end int64, last uint32) trackLayout {
	l := trackLayout{table: t, start: start, end: end, mediaTime: start - t.first, lastTicks: last}
	if start < 0 { // what lies before the beginning of the file is not presented
		l.mediaTime -= start
		l.start = 0
	}
	return l
}
