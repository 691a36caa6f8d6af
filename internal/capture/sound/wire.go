package sound

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// The tags of PulseAudio's tagged values (pulsecore/tagstruct.h).
const (
	tagString     = 't'
	tagStringNull = 'N'
	tagU32        = 'L'
	tagU64        = 'R'
	tagS64        = 'r'
	tagSampleSpec = 'a'
	tagTrue       = '1'
	tagFalse      = '0'
	tagTimeval    = 'T'
	tagUsec       = 'U'
	tagChannelMap = 'm'
	tagCVolume    = 'v'
	tagPropList   = 'P'
)

// errTag means that a packet holds another value than the protocol says.
var errTag = errors.New("unexpected value in a packet")

// reader takes tagged values off a packet. The first failure sticks, and later reads answer zero values.
type reader struct {
	b   []byte
	err error
}

// take answers n bytes that follow one of the tags.
func (r *reader) take(n int, tags ...byte) []byte {
	if r.err != nil || len(r.b) < 1+n || !bytes.Contains(tags, r.b[:1]) {
		r.fail()
		return make([]byte, n)
	}
	v := r.b[1 : 1+n]
	r.b = r.b[1+n:]
	return v
}

func (r *reader) u32() uint32 { return binary.BigEndian.Uint32(r.take(4, tagU32)) }

func (r *reader) flag() bool {
	if r.err == nil && len(r.b) > 0 && r.b[0] == tagTrue {
		r.take(0, tagTrue)
		return true
	}
	r.take(0, tagFalse)
	return false
}

// text reads a string; the null string is empty.
func (r *reader) text() string {
	if r.err == nil && len(r.b) > 0 && r.b[0] == tagStringNull {
		r.take(0, tagStringNull)
		return ""
	}
	end := bytes.IndexByte(r.b, 0)
	if end < 1 {
		r.fail()
		return ""
	}
	s := r.take(end-1, tagString)
	if r.err == nil {
		r.b = r.b[1:] // the NUL
	}
	return string(s)
}

func (r *reader) spec() spec {
	b := r.take(6, tagSampleSpec)
	return spec{format: b[0], channels: int(b[1]), rate: binary.BigEndian.Uint32(b[2:])}
}

func (r *reader) channelMap() {
	if len(r.b) < 2 {
		r.fail()
		return
	}
	r.take(1+int(r.b[1]), tagChannelMap)
}

func (r *reader) timeval() []byte { return r.take(8, tagTimeval) }

func (r *reader) fail() {
	if r.err == nil {
		r.err = errTag
	}
}

// packet is a control packet being written.
type packet []byte

// reply begins the answer to the request with this number.
func reply(request uint32) packet { return packet(nil).u32(commandReply).u32(request) }

// failure is the answer to a request that was not granted.
func failure(request uint32, code uint32) packet {
	return packet(nil).u32(commandError).u32(request).u32(code)
}

func (p packet) u32(v uint32) packet { return binary.BigEndian.AppendUint32(append(p, tagU32), v) }

func (p packet) u64(tag byte, v uint64) packet {
	return binary.BigEndian.AppendUint64(append(p, tag), v)
}

func (p packet) text(s string) packet { return append(append(append(p, tagString), s...), 0) }

func (p packet) flag(v bool) packet {
	if v {
		return append(p, tagTrue)
	}
	return append(p, tagFalse)
}

func (p packet) spec(s spec) packet {
	return binary.BigEndian.AppendUint32(append(p, tagSampleSpec, s.format, byte(s.channels)), s.rate)
}

// channelMap writes the usual positions: mono, or left and right.
func (p packet) channelMap(channels int) packet {
	p = append(p, tagChannelMap, byte(channels))
	for i := range channels {
		if channels == 1 {
			p = append(p, 0)
		} else {
			p = append(p, byte(i+1))
		}
	}
	return p
}

// volume writes full volume.
func (p packet) volume(channels int) packet {
	p = append(p, tagCVolume, byte(channels))
	for range channels {
		p = binary.BigEndian.AppendUint32(p, volumeNorm)
	}
	return p
}

func (p packet) noProperties() packet { return append(p, tagPropList, tagStringNull) }

// spec is a stream's sample format.
type spec struct {
	format   byte
	channels int
	rate     uint32
}

// Sample formats of the protocol that streams may have.
const (
	formatS16LE   = 3
	formatFloat32 = 5
)

func (s spec) check() error {
	switch {
	case s.format != formatS16LE && s.format != formatFloat32:
		return fmt.Errorf("sample format %d", s.format)
	case s.channels < 1 || s.channels > 8:
		return fmt.Errorf("%d channels", s.channels)
	case s.rate != Rate:
		return fmt.Errorf("%d samples a second", s.rate)
	}
	return nil
}

// frame is the number of bytes of one sample of all channels.
func (s spec) frame() int {
	if s.format == formatS16LE {
		return 2 * s.channels
	}
	return 4 * s.channels
}
