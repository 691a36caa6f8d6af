package encode

import (
	"encoding/binary"
	"math"
	"time"
)

// Tracks of the stream that ffmpeg reads.
const (
	videoTrack = 1
	audioTrack = 2
)

const (
	sampleRate = 48000
	channels   = 2
	frameBytes = channels * 4 // one sample of sound, all channels
)

// origin is where recorded time zero lies in the stream. The encoders give the first packet of sound, and pictures that
// wait for others, decoding times before their own: those should not be negative.
const origin = 10 * time.Second

// tick is the stream's resolution.
const tick = time.Microsecond

// EBML element numbers, https://www.matroska.org/technical/elements.html.
const (
	idEBML            = 0x1A45DFA3
	idDocType         = 0x4282
	idDocTypeVersion  = 0x4287
	idDocTypeReadable = 0x4285
	idSegment         = 0x18538067
	idInfo            = 0x1549A966
	idTimestampScale  = 0x2AD7B1
	idMuxingApp       = 0x4D80
	idWritingApp      = 0x5741
	idTracks          = 0x1654AE6B
	idTrackEntry      = 0xAE
	idTrackNumber     = 0xD7
	idTrackUID        = 0x73C5
	idTrackType       = 0x83
	idFlagLacing      = 0x9C
	idDefaultDuration = 0x23E383
	idCodecID         = 0x86
	idVideo           = 0xE0
	idPixelWidth      = 0xB0
	idPixelHeight     = 0xBA
	idColourSpace     = 0x2EB524
	idColour          = 0x55B0
	idMatrix          = 0x55B1
	idRange           = 0x55B9
	idTransfer        = 0x55BA
	idPrimaries       = 0x55BB
	idAudio           = 0xE1
	idSampling        = 0xB5
	idChannels        = 0x9F
	idBitDepth        = 0x6264
	idCluster         = 0x1F43B675
	idTimestamp       = 0xE7
	idSimpleBlock     = 0xA3
)

// matroskaHead is the stream before its first block: raw I420 in BT.709 of limited range, and stereo sound in floats.
func matroskaHead(width, height, fps int) []byte {
	const bt709, limited = 1, 1
	b := element(nil, idEBML, text(idDocType, "matroska"), number(idDocTypeVersion, 4), number(idDocTypeReadable, 2))
	b = elementID(b, idSegment)
	b = append(b, 0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF) // of unknown size
	b = element(b, idInfo, number(idTimestampScale, uint64(tick)), text(idMuxingApp, "recordhost"), text(idWritingApp, "recordhost"))
	video := element(nil, idTrackEntry,
		number(idTrackNumber, videoTrack), number(idTrackUID, videoTrack), number(idTrackType, 1), number(idFlagLacing, 0),
		number(idDefaultDuration, uint64(time.Second)/uint64(fps)),
		text(idCodecID, "V_UNCOMPRESSED"),
		element(nil, idVideo,
			number(idPixelWidth, uint64(width)), number(idPixelHeight, uint64(height)),
			text(idColourSpace, "I420"),
			element(nil, idColour,
				number(idMatrix, bt709), number(idTransfer, bt709), number(idPrimaries, bt709), number(idRange, limited))))
	audio := element(nil, idTrackEntry,
		number(idTrackNumber, audioTrack), number(idTrackUID, audioTrack), number(idTrackType, 2), number(idFlagLacing, 0),
		text(idCodecID, "A_PCM/FLOAT/IEEE"),
		element(nil, idAudio,
			element(nil, idSampling, binary.BigEndian.AppendUint64(nil, math.Float64bits(sampleRate))),
			number(idChannels, channels), number(idBitDepth, 32)))
	return element(b, idTracks, video, audio)
}

// blockHead appends what precedes the bytes of one picture, or of a piece of sound: a cluster of its own, so that its time
// is exact and nothing has to be known of what follows.
func blockHead(b []byte, track byte, pts time.Duration, size int) []byte {
	const timestamp, blockStart = 1 + 8 + 8, 4 // sizes of the timestamp element, and of the block's own header
	block := blockStart + uint64(size)
	b = elementID(b, idCluster)
	b = elementSize(b, timestamp+1+8+block)
	b = append(b, number(idTimestamp, uint64((pts+origin+tick/2)/tick))...)
	b = elementID(b, idSimpleBlock)
	b = elementSize(b, block)
	return append(b, 0x80|track, 0, 0, 0x80) // no offset from the cluster's time; a key frame
}

func element(b []byte, id uint32, parts ...[]byte) []byte {
	var size uint64
	for _, p := range parts {
		size += uint64(len(p))
	}
	b = elementSize(elementID(b, id), size)
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// elementID appends an element's number, which carries its own length in its first bits.
func elementID(b []byte, id uint32) []byte {
	var raw [4]byte
	binary.BigEndian.PutUint32(raw[:], id)
	for i, v := range raw {
		if v != 0 {
			return append(b, raw[i:]...)
		}
	}
	return b
}

// elementSize appends a size in its eight-byte form.
func elementSize(b []byte, n uint64) []byte { return binary.BigEndian.AppendUint64(b, n|1<<56) }

func number(id uint32, v uint64) []byte {
	return element(nil, id, binary.BigEndian.AppendUint64(nil, v))
}

func text(id uint32, s string) []byte { return element(nil, id, []byte(s)) }
