package mp4

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/Eyevinn/mp4ff/bits"
	"github.com/Eyevinn/mp4ff/mp4"
)

// Priming is how many samples an AAC encoder puts before the first sample of sound: exactly one packet.
const Priming = 1024

// Packet is the length of a packet of sound, in samples.
const Packet = 1024

// Init is the head of a fragmented stream: what its tracks are.
type Init struct {
	Video *Track // nil when there is none
	Audio *Track

	trex map[uint32]*mp4.TrexBox
}

// Track describes one track of a stream.
type Track struct {
	ID            uint32
	Timescale     uint32 // ticks a second
	Entry         []byte // the sample entry (avc1, mp4a): how the decoder is set up
	Width, Height uint16 // of a picture, zero for sound
}

// ParseInit reads the ftyp and moov boxes at the start of a stream.
func ParseInit(b []byte) (*Init, error) {
	moov, err := findMoov(b)
	if err != nil {
		return nil, fmt.Errorf("mp4: init segment: %w", err)
	}
	in := &Init{trex: map[uint32]*mp4.TrexBox{}}
	if moov.Mvex != nil {
		for _, t := range moov.Mvex.Trexs {
			in.trex[t.TrackID] = t
		}
	}
	for _, trak := range moov.Traks {
		if err := in.add(trak); err != nil {
			return nil, fmt.Errorf("mp4: init segment: %w", err)
		}
	}
	if in.Video == nil && in.Audio == nil {
		return nil, errors.New("mp4: init segment: no track")
	}
	return in, nil
}

func findMoov(b []byte) (*mp4.MoovBox, error) {
	r := bits.NewFixedSliceReader(b)
	for pos := 0; pos < len(b); pos = r.GetPos() {
		box, err := mp4.DecodeBoxSR(uint64(pos), r)
		if err != nil {
			return nil, err
		}
		if moov, ok := box.(*mp4.MoovBox); ok {
			return moov, nil
		}
	}
	return nil, errors.New("no moov box")
}

func (in *Init) add(trak *mp4.TrakBox) error {
	if trak.Tkhd == nil || trak.Mdia == nil || trak.Mdia.Mdhd == nil || trak.Mdia.Hdlr == nil ||
		trak.Mdia.Minf == nil || trak.Mdia.Minf.Stbl == nil || trak.Mdia.Minf.Stbl.Stsd == nil {
		return errors.New("a track without its boxes")
	}
	stsd := trak.Mdia.Minf.Stbl.Stsd
	if len(stsd.Children) != 1 || trak.Mdia.Mdhd.Timescale == 0 {
		return fmt.Errorf("track %d: %d sample entries, timescale %d",
			trak.Tkhd.TrackID, len(stsd.Children), trak.Mdia.Mdhd.Timescale)
	}
	var entry bytes.Buffer
	if err := stsd.Children[0].Encode(&entry); err != nil {
		return fmt.Errorf("track %d: sample entry: %w", trak.Tkhd.TrackID, err)
	}
	t := &Track{ID: trak.Tkhd.TrackID, Timescale: trak.Mdia.Mdhd.Timescale, Entry: entry.Bytes()}
	switch kind := trak.Mdia.Hdlr.HandlerType; {
	case kind == "vide" && in.Video == nil:
		if v, ok := stsd.Children[0].(*mp4.VisualSampleEntryBox); ok {
			t.Width, t.Height = v.Width, v.Height
		}
		in.Video = t
	case kind == "soun" && in.Audio == nil:
		in.Audio = t
	default:
		return fmt.Errorf("track %d: a second track, or one of kind %q", t.ID, kind)
	}
	return nil
}
