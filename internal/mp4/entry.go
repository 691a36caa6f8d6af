package mp4

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/Eyevinn/mp4ff/aac"
	"github.com/Eyevinn/mp4ff/bits"
	"github.com/Eyevinn/mp4ff/mp4"
)

// ParameterSets reads, out of a sample entry of H.264, what a decoder must be given before the first picture where it comes
// with the pictures: the sequence's and the pictures' parameter sets, in this order, without their lengths. An entry whose
// pictures consist of units with lengths of other than four bytes is refused.
func ParameterSets(entry []byte) ([][]byte, error) {
	box, err := mp4.DecodeBoxSR(0, bits.NewFixedSliceReader(entry))
	if err != nil {
		return nil, fmt.Errorf("mp4: sample entry: %w", err)
	}
	video, ok := box.(*mp4.VisualSampleEntryBox)
	if !ok || video.AvcC == nil {
		return nil, fmt.Errorf("mp4: a sample entry %q that is not of H.264", box.Type())
	}
	sets := append(append([][]byte{}, video.AvcC.SPSnalus...), video.AvcC.PPSnalus...)
	if len(video.AvcC.SPSnalus) == 0 || len(video.AvcC.PPSnalus) == 0 {
		return nil, errors.New("mp4: a sample entry without parameter sets")
	}
	return sets, nil
}

// ADTS reads, out of a sample entry of AAC, how its packets are introduced where they come without it: the answer is the
// head of a packet of size bytes, seven bytes long (ISO/IEC 13818-7, 6.2.1).
func ADTS(entry []byte) (head func(size int) ([]byte, error), err error) {
	box, err := mp4.DecodeBoxSR(0, bits.NewFixedSliceReader(entry))
	if err != nil {
		return nil, fmt.Errorf("mp4: sample entry: %w", err)
	}
	audio, ok := box.(*mp4.AudioSampleEntryBox)
	if !ok || audio.Esds == nil || audio.Esds.DecConfigDescriptor == nil || audio.Esds.DecConfigDescriptor.DecSpecificInfo == nil {
		return nil, fmt.Errorf("mp4: a sample entry %q that is not of AAC", box.Type())
	}
	config, err := aac.DecodeAudioSpecificConfig(bytes.NewReader(audio.Esds.DecConfigDescriptor.DecSpecificInfo.DecConfig))
	if err != nil {
		return nil, fmt.Errorf("mp4: sample entry: %w", err)
	}
	return func(size int) ([]byte, error) {
		const most = 1<<13 - 1 - ADTSHead
		if size > most {
			return nil, fmt.Errorf("mp4: a packet of sound of %d bytes", size)
		}
		h, err := aac.NewADTSHeader(config.SamplingFrequency, config.ChannelConfiguration, config.ObjectType, uint16(size))
		if err != nil {
			return nil, fmt.Errorf("mp4: %w", err)
		}
		return h.Encode(), nil
	}, nil
}

// ADTSHead is the length of what ADTS answers, in bytes.
const ADTSHead = 7
