package mp4

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/Eyevinn/mp4ff/bits"
	"github.com/Eyevinn/mp4ff/mp4"
)

// Fragment is a moof box and the mdat box after it: half a second of media, or less.
type Fragment struct {
	Size    int64 // bytes, of both boxes
	Payload int64 // where the media data begins, from the fragment's first byte; it reaches to its end

	Video, Audio []Sample // in the order of decoding
}

// Sample is one coded picture or one packet of sound.
type Sample struct {
	Offset  int64 // from the fragment's first byte
	Size    uint32
	Decode  int64 // in ticks of its track
	Present int64
	Ticks   uint32 // how long it lasts, as far as the encoder knew
	Sync    bool   // decoding can begin here
}

// ParseFragment reads a moof box and the mdat box after it, which b holds and nothing else. All samples lie within b.
func (in *Init) ParseFragment(b []byte) (*Fragment, error) {
	return in.ParseHead(b, int64(len(b)))
}

// ParseHead reads a fragment of size bytes of which b holds the beginning: all of the moof box, and the head of the mdat
// box, at least.
func (in *Init) ParseHead(b []byte, size int64) (*Fragment, error) {
	f, err := in.parse(b, size)
	if err != nil {
		return nil, fmt.Errorf("mp4: fragment: %w", err)
	}
	return f, nil
}

func (in *Init) parse(b []byte, total int64) (*Fragment, error) {
	size, _, kind, err := header(b)
	if err != nil || kind != "moof" || size > int64(len(b)) {
		return nil, fmt.Errorf("%q of %d bytes instead of a moof box: %w", kind, size, errors.Join(errBox, err))
	}
	dataSize, dataHead, kind, err := header(b[size:])
	if err != nil || kind != "mdat" || size+dataSize != total {
		return nil, fmt.Errorf("%q of %d bytes instead of a mdat box: %w", kind, dataSize, errors.Join(errBox, err))
	}
	box, err := mp4.DecodeBoxSR(0, bits.NewFixedSliceReader(b[:size]))
	if err != nil {
		return nil, err
	}
	moof, ok := box.(*mp4.MoofBox)
	if !ok {
		return nil, errBox
	}
	f := &Fragment{Size: total, Payload: size + dataHead}
	for _, traf := range moof.Trafs {
		if err := in.addTraf(f, traf); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Whole tells whether the media data of a fragment looks as it should, as far as pictures tell: each consists of units
// that say their length. A file that lost its end in a crash may have its size and hold zeros.
func (f *Fragment) Whole(data []byte) bool {
	for _, s := range f.Video {
		b := data[s.Offset : s.Offset+int64(s.Size)]
		for len(b) > 0 {
			if len(b) < 4 {
				return false
			}
			n := int64(binary.BigEndian.Uint32(b))
			if n == 0 || n > int64(len(b)-4) {
				return false
			}
			b = b[4+n:]
		}
	}
	return true
}

func (in *Init) addTraf(f *Fragment, traf *mp4.TrafBox) error {
	if traf.Tfhd == nil || traf.Tfdt == nil {
		return errors.New("a track without tfhd or tfdt")
	}
	id := traf.Tfhd.TrackID
	var to *[]Sample
	switch {
	case in.Video != nil && id == in.Video.ID:
		to = &f.Video
	case in.Audio != nil && id == in.Audio.ID:
		to = &f.Audio
	default:
		return fmt.Errorf("track %d is not in the init segment", id)
	}
	if traf.Tfhd.HasBaseDataOffset() {
		return fmt.Errorf("track %d: its data is not counted from the moof box", id)
	}
	decode := int64(traf.Tfdt.BaseMediaDecodeTime())
	for _, run := range traf.Truns {
		if !run.HasDataOffset() {
			return fmt.Errorf("track %d: a run without an offset", id)
		}
		run.AddSampleDefaultValues(traf.Tfhd, in.trex[id])
		offset := int64(run.DataOffset)
		for _, s := range run.Samples {
			if offset < f.Payload || offset+int64(s.Size) > f.Size {
				return fmt.Errorf("track %d: a sample outside of the fragment", id)
			}
			*to = append(*to, Sample{
				Offset: offset, Size: s.Size, Decode: decode, Present: decode + int64(s.CompositionTimeOffset),
				Ticks: s.Dur, Sync: mp4.IsSyncSampleFlags(s.Flags),
			})
			offset += int64(s.Size)
			decode += int64(s.Dur)
		}
	}
	return nil
}

var errBox = errors.New("not the box that belongs here")

// header reads the size (of the whole box), the length of the header and the type of the box that b begins with.
func header(b []byte) (size, head int64, kind string, err error) {
	if len(b) < 8 {
		return 0, 0, "", errors.New("a cut box header")
	}
	size, head, kind = int64(binary.BigEndian.Uint32(b)), 8, string(b[4:8])
	if size == 1 {
		if len(b) < 16 {
			return 0, 0, kind, errors.New("a cut box header")
		}
		long := binary.BigEndian.Uint64(b[8:])
		if long > 1<<62 {
			return 0, 0, kind, fmt.Errorf("a %q box of %d bytes", kind, long)
		}
		size, head = int64(long), 16
	}
	if size < head {
		return 0, 0, kind, fmt.Errorf("a %q box of %d bytes", kind, size)
	}
	return size, head, kind, nil
}
