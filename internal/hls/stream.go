package hls

import (
	"bytes"
	"crypto/aes"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"strings"
	"time"

	"github.com/recordhost/recordhost/internal/mp4"
)

// KeySize is the length of the key of AES-128, in bytes.
const KeySize = 16

// Options say how a recording's segments are made.
type Options struct {
	// Playlist is the playlist's name, such as "playlist.m3u8". Segments lie beside it and are called after it:
	// "playlist-00000.ts" and so on, by their media sequence numbers.
	Playlist string

	// Segment is how long segments are meant to be; zero: DefaultSegment. The encoder makes them so: each group of
	// pictures is a segment.
	Segment time.Duration

	// Key encrypts the segments: KeySize bytes, or nil for none. KeyURL is where players fetch it; both or neither.
	Key    []byte
	KeyURL string
}

// DefaultSegment is the length of segments where nobody wants another.
const DefaultSegment = 6 * time.Second

func (o Options) check() error {
	switch {
	case o.Playlist == "" || strings.ContainsAny(o.Playlist, "/\r\n"):
		return errors.New("hls: a playlist without a name, or with one that is none")
	case o.Key != nil && len(o.Key) != KeySize:
		return fmt.Errorf("hls: a key of %d bytes, not %d", len(o.Key), KeySize)
	case (o.Key != nil) != (o.KeyURL != ""):
		return errors.New("hls: a key and the place where it can be fetched belong together")
	case strings.ContainsAny(o.KeyURL, "\"\r\n"):
		return errors.New("hls: the key's URL would break the playlist")
	case o.Segment < 0:
		return fmt.Errorf("hls: segments of %v", o.Segment)
	}
	return nil
}

// Stream is a recording as segments. One goroutine at a time may use it.
type Stream struct {
	o        Options
	counters counters // of the transport stream, where the next segment begins
	video    []byte   // the last segment's sample entries
	audio    []byte
	segments []entry
	bytes    int64
}

// entry is what the playlist says of a segment.
type entry struct {
	name       string
	begin, end time.Duration
	changed    bool // its decoders are set up in another way than the ones before
}

// New returns the Stream of a recording, at its beginning.
func New(o Options) (*Stream, error) {
	if o.Segment == 0 {
		o.Segment = DefaultSegment
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	return &Stream{o: o}, nil
}

// Segment is one segment of a Stream.
type Segment struct {
	Number int    // its media sequence number, from 0
	Name   string // of its file
	Size   int64  // of its file, in bytes

	units []pes
	cc    counters
	sound bool
	key   []byte
}

// Add makes a segment of the next group of the recording. The playlist names it from now on.
func (s *Stream) Add(g mp4.Group) (*Segment, error) {
	if len(g.Video) == 0 || g.End <= g.Begin {
		return nil, fmt.Errorf("hls: a segment of %d pictures from %v to %v", len(g.Video), g.Begin, g.End)
	}
	n := len(s.segments)
	units, err := plan(g)
	if err != nil {
		return nil, fmt.Errorf("hls: segment %d: %w", n, err)
	}
	f := &Segment{Number: n, Name: s.name(n), units: units, cc: s.counters, sound: g.AudioScale > 0, key: s.o.Key}
	packets := int64(s.counters.tables())
	for _, u := range units {
		packets += int64(s.counters.advance(u))
	}
	f.Size = packets * packetSize
	if s.o.Key != nil {
		f.Size += aes.BlockSize - f.Size%aes.BlockSize
	}
	video, audio := differs(&s.video, g.Video), differs(&s.audio, g.Audio)
	s.segments = append(s.segments, entry{name: f.Name, begin: g.Begin, end: g.End, changed: video || audio})
	s.bytes += f.Size
	return f, nil
}

// differs notes how a track's decoder is set up, and tells whether that was another way before.
func differs(known *[]byte, units []mp4.Unit) bool {
	if len(units) == 0 {
		return false
	}
	now, before := units[len(units)-1].Entry, *known
	*known = now
	return before != nil && !bytes.Equal(before, now)
}

// name is that of the n-th segment's file.
func (s *Stream) name(n int) string {
	return fmt.Sprintf("%s-%05d.ts", strings.TrimSuffix(s.o.Playlist, path.Ext(s.o.Playlist)), n)
}

// Segments is how many there are so far.
func (s *Stream) Segments() int { return len(s.segments) }

// Bytes is the size of all segments so far.
func (s *Stream) Bytes() int64 { return s.bytes }

// Duration is how much is shown by all segments so far.
func (s *Stream) Duration() time.Duration {
	if len(s.segments) == 0 {
		return 0
	}
	return s.segments[len(s.segments)-1].end - s.segments[0].begin
}

// Write writes the segment's file: Size bytes. It reads the media where the group says that it lies. It may be called
// again, and makes the same bytes.
func (f *Segment) Write(w io.Writer) error {
	out := &counted{w: w}
	if err := f.write(out); err != nil {
		return fmt.Errorf("hls: segment %d: %w", f.Number, err)
	}
	if out.n != f.Size {
		return fmt.Errorf("hls: segment %d has %d bytes, not %d", f.Number, out.n, f.Size)
	}
	return nil
}

func (f *Segment) write(w io.Writer) error {
	media := reader{}
	defer media.close()
	if f.key == nil {
		return writeStream(w, &media, f.cc, f.sound, f.units)
	}
	c, err := newCipher(w, f.key, uint64(f.Number))
	if err != nil {
		return err
	}
	if err := writeStream(c, &media, f.cc, f.sound, f.units); err != nil {
		return err
	}
	return c.close()
}

type counted struct {
	w io.Writer
	n int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// target is the playlist's target duration in seconds: what segments are meant to be at most. It rises only where the
// encoder could not keep to that.
func (s *Stream) target() int {
	most := math.Ceil(s.o.Segment.Seconds())
	for _, e := range s.segments {
		most = max(most, math.Round((e.end - e.begin).Seconds()))
	}
	return int(most)
}
