package hls

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/recordhost/recordhost/internal/mp4"
)

const (
	// scale is how many ticks a second has in a transport stream.
	scale = 90000

	// origin is where recorded time zero lies. Pictures that wait for others, and the sound's first packet, are decoded before
	// they are shown, and the clock runs ahead of that: none of this should be negative.
	origin = 10 * scale

	// ahead is how much earlier than it is decoded each picture is to have arrived.
	ahead = scale / 2

	// clockEvery is how often the stream tells its clock; the standard wants it each 0.1 s (2.7.2).
	clockEvery = scale / 10

	// together is how many packets of sound are sent as one unit: 0.17 s of it. Each by itself would waste most of a packet
	// of the stream where it is silent.
	together = 8
)

// pes is a picture, or some packets of sound that follow each other; or, of size 0, nothing but the clock.
type pes struct {
	video           bool
	random          bool  // decoding can begin here
	clock           int64 // told with it, in ticks; negative: none
	decode, present int64 // ticks
	size            int   // bytes, without the unit's own header
	prefix          []byte
	head            func(int) ([]byte, error) // of each packet of sound
	media           []mp4.Unit
}

// startCode stands before each unit of H.264, in place of its length (annex B of ITU-T H.264).
const startCode = "\x00\x00\x00\x01"

// delimiter says that another picture begins, of any kind (7.3.2.4).
const delimiter = startCode + "\x09\xF0"

// plan lays a group out as units, in the order in which they are sent: by when they are decoded, the first picture first.
func plan(g mp4.Group) ([]pes, error) {
	pictures, err := planPictures(g.Video)
	if err != nil {
		return nil, err
	}
	sounds, err := planSound(g.Audio, g.AudioScale)
	if err != nil {
		return nil, err
	}
	units := []pes{pictures[0]}
	pictures = pictures[1:]
	told := units[0].clock
	for len(pictures)+len(sounds) > 0 {
		from := &sounds
		if len(sounds) == 0 || len(pictures) > 0 && pictures[0].decode <= sounds[0].decode {
			from = &pictures
		}
		u := (*from)[0]
		*from = (*from)[1:]
		for u.decode-ahead-told > clockEvery { // where pictures are rare, the clock is told between them
			told += clockEvery
			units = append(units, pes{video: true, clock: told})
		}
		told = max(told, u.clock)
		units = append(units, u)
	}
	return units, nil
}

func planPictures(video []mp4.Unit) ([]pes, error) {
	var sets []byte
	var entry []byte
	units := make([]pes, 0, len(video))
	for _, v := range video {
		if sets == nil || string(entry) != string(v.Entry) {
			all, err := mp4.ParameterSets(v.Entry)
			if err != nil {
				return nil, err
			}
			sets, entry = []byte{}, v.Entry
			for _, set := range all {
				sets = append(append(sets, startCode...), set...)
			}
		}
		u := pes{video: true, decode: origin + v.Decode, present: origin + v.Present, prefix: []byte(delimiter), media: []mp4.Unit{v}}
		if v.Sync {
			u.random = true
			u.prefix = append(u.prefix, sets...)
		}
		u.clock = u.decode - ahead
		u.size = len(u.prefix) + int(v.Size)
		units = append(units, u)
	}
	return units, nil
}

func planSound(audio []mp4.Unit, ticks int64) ([]pes, error) {
	var units []pes
	var entry []byte
	var head func(int) ([]byte, error)
	for i, a := range audio {
		if head == nil || string(entry) != string(a.Entry) {
			var err error
			if head, err = mp4.ADTS(a.Entry); err != nil {
				return nil, err
			}
			entry = a.Entry
		}
		n := len(units)
		follows := i > 0 && audio[i-1].Present+mp4.Packet == a.Present && string(audio[i-1].Entry) == string(a.Entry)
		if !follows || len(units[n-1].media) == together {
			at := origin + nearest(a.Present*scale, ticks)
			units = append(units, pes{random: true, clock: -1, decode: at, present: at, head: head})
			n++
		}
		u := &units[n-1]
		u.media = append(u.media, a)
		u.size += mp4.ADTSHead + int(a.Size)
	}
	return units, nil
}

// nearest is n/d, rounded.
func nearest(n, d int64) int64 {
	if n < 0 {
		return -((-n + d/2) / d)
	}
	return (n + d/2) / d
}

// writeStream writes a segment's packets.
func writeStream(w io.Writer, media *reader, cc counters, sound bool, units []pes) error {
	t := &transport{w: w, cc: cc}
	if err := t.tables(sound); err != nil {
		return err
	}
	var buf []byte
	for _, u := range units {
		var err error
		if buf, err = u.bytes(append(buf[:0], u.header()...), media); err != nil {
			return err
		}
		if err := t.unit(u, buf); err != nil {
			return err
		}
	}
	return nil
}

// bytes appends what the unit consists of behind its header.
func (u pes) bytes(b []byte, media *reader) ([]byte, error) {
	b = append(b, u.prefix...)
	for _, m := range u.media {
		if !u.video {
			head, err := u.head(int(m.Size))
			if err != nil {
				return nil, err
			}
			b = append(b, head...)
		}
		at := len(b)
		b = append(b, make([]byte, m.Size)...)
		if err := media.read(m, b[at:]); err != nil {
			return nil, err
		}
		if u.video {
			if err := unlength(b[at:]); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

// unlength puts a start code in the place of the length of each unit of a picture.
func unlength(b []byte) error {
	for len(b) > 0 {
		if len(b) < 4 {
			return errPicture
		}
		n := int64(binary.BigEndian.Uint32(b))
		if n == 0 || n > int64(len(b)-4) {
			return errPicture
		}
		copy(b, startCode)
		b = b[4+n:]
	}
	return nil
}

var errPicture = errors.New("a picture of the spool is damaged")

// reader reads units; it keeps the file open that the last one lay in.
type reader struct{ file *os.File }

func (r *reader) read(u mp4.Unit, b []byte) error {
	if r.file == nil || r.file.Name() != u.Path {
		r.close()
		file, err := os.Open(u.Path)
		if err != nil {
			return err
		}
		r.file = file
	}
	if _, err := r.file.ReadAt(b, u.Offset); err != nil {
		return fmt.Errorf("%s: %w", u.Path, err)
	}
	return nil
}

func (r *reader) close() {
	if r.file != nil {
		_ = r.file.Close()
		r.file = nil
	}
}
