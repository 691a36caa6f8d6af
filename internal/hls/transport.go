package hls

import (
	"encoding/binary"
	"io"
)

// The transport stream, ISO/IEC 13818-1. It is written here, and not by a library, because a segment must be known to the
// byte before it is written, and must be written again without the ones before it: its continuity counters begin where
// the segment before ended.
const (
	packetSize  = 188
	packetHead  = 4
	packetSpace = packetSize - packetHead

	pidTables = 0 // the program association table's
	pidMap    = 0x1000
	pidVideo  = 0x100
	pidAudio  = 0x101

	streamH264, streamAAC = 0x1B, 0x0F // table 2-34
	streamIDVideo         = 0xE0
	streamIDAudio         = 0xC0
)

// counters are the continuity counters that the next packets will have.
type counters struct{ pat, pmt, video, audio uint8 }

// tables counts the two packets that a segment begins with.
func (c *counters) tables() int {
	c.pat, c.pmt = (c.pat+1)&15, (c.pmt+1)&15
	return 2
}

// advance counts a unit's packets.
func (c *counters) advance(u pes) int {
	n := u.packets()
	switch {
	case u.size == 0: // packets without payload do not count
	case u.video:
		c.video = uint8((int(c.video) + n) & 15)
	default:
		c.audio = uint8((int(c.audio) + n) & 15)
	}
	return n
}

// packets is how many packets a unit takes.
func (u pes) packets() int {
	rest := u.size
	if rest > 0 {
		rest += len(u.header())
	}
	rest -= packetSpace - len(u.adaptation())
	return 1 + max(0, (rest+packetSpace-1)/packetSpace)
}

// header is what the unit's bytes begin with (2.4.3.6).
func (u pes) header() []byte {
	id, flags, stamps := byte(streamIDAudio), byte(0x80), stamp(nil, 2, u.present)
	if u.video {
		id = streamIDVideo
	}
	if u.decode != u.present {
		flags, stamps = 0xC0, stamp(stamp(nil, 3, u.present), 1, u.decode)
	}
	length := 3 + len(stamps) + u.size
	if length > 0xFFFF { // which pictures alone may be; then their length is not said
		length = 0
	}
	b := binary.BigEndian.AppendUint16([]byte{0, 0, 1, id}, uint16(length))
	b = append(b, 0x84, flags, byte(len(stamps))) // it begins with the beginning of a picture, or of a packet of sound
	return append(b, stamps...)
}

// stamp appends a time in the form of 33 bits with markers between.
func stamp(b []byte, kind byte, t int64) []byte {
	b = append(b, kind<<4|byte(t>>29)&0x0E|1)
	b = binary.BigEndian.AppendUint16(b, uint16(t>>14)&0xFFFE|1)
	return binary.BigEndian.AppendUint16(b, uint16(t<<1)|1)
}

// adaptation is the adaptation field of the unit's first packet, length and all; nil: none (2.4.3.4).
func (u pes) adaptation() []byte {
	var flags byte
	if u.random {
		flags |= 0x40
	}
	if u.clock < 0 {
		if flags == 0 {
			return nil
		}
		return []byte{1, flags}
	}
	b := []byte{7, flags | 0x10}
	b = binary.BigEndian.AppendUint32(b, uint32(u.clock>>1))
	return append(b, byte(u.clock<<7)|0x7E, 0) // the base's last bit, six bits of ones, and no extension
}

// transport writes packets.
type transport struct {
	w   io.Writer
	cc  counters
	buf [packetSize]byte
}

// packet writes one packet: an adaptation field, as much of data as there is room for, and stuffing where there is more
// room. It answers what is left of data.
func (t *transport) packet(pid uint16, first bool, adaptation, data []byte) ([]byte, error) {
	b := t.buf[:0]
	head := pid
	if first {
		head |= 0x4000
	}
	b = binary.BigEndian.AppendUint16(append(b, 0x47), head)
	n := min(len(data), packetSpace-len(adaptation))
	control := byte(0x10)
	if n == 0 {
		control = 0
	}
	if n < packetSpace {
		control |= 0x20
	}
	b = append(b, control|t.counter(pid, n > 0))
	b = stuffed(b, adaptation, packetSpace-n)
	b = append(b, data[:n]...)
	_, err := t.w.Write(b)
	return data[n:], err
}

// stuffed appends an adaptation field of size bytes.
func stuffed(b, adaptation []byte, size int) []byte {
	if size == 0 {
		return b
	}
	at := len(b)
	b = append(b, adaptation...)
	if len(adaptation) == 0 {
		b = append(b, 0, 0) // no flags
	}
	b = b[:at+min(size, len(b)-at)] // one byte alone is the length
	for len(b) < at+size {
		b = append(b, 0xFF)
	}
	b[at] = byte(size - 1)
	return b
}

// counter answers the continuity counter of a packet. One without payload repeats the last.
func (t *transport) counter(pid uint16, payload bool) byte {
	var c *uint8
	switch pid {
	case pidTables:
		c = &t.cc.pat
	case pidMap:
		c = &t.cc.pmt
	case pidVideo:
		c = &t.cc.video
	default:
		c = &t.cc.audio
	}
	if !payload {
		return (*c - 1) & 15
	}
	n := *c
	*c = (n + 1) & 15
	return n
}

// unit writes a unit whose bytes, header and all, are data.
func (t *transport) unit(u pes, data []byte) error {
	pid := uint16(pidAudio)
	if u.video {
		pid = pidVideo
	}
	if u.size == 0 {
		_, err := t.packet(pid, false, u.adaptation(), nil)
		return err
	}
	rest, err := t.packet(pid, true, u.adaptation(), data)
	for err == nil && len(rest) > 0 {
		rest, err = t.packet(pid, false, nil, rest)
	}
	return err
}

// tables writes what the program consists of (2.4.4): one program, its clock with the picture.
func (t *transport) tables(sound bool) error {
	pat := section(0, 1, []byte{0, 1, 0xE0 | pidMap>>8, pidMap & 0xFF})
	streams := []byte{0xE0 | pidVideo>>8, pidVideo & 0xFF, 0xF0, 0, streamH264, 0xE0 | pidVideo>>8, pidVideo & 0xFF, 0xF0, 0}
	if sound {
		streams = append(streams, streamAAC, 0xE0|pidAudio>>8, pidAudio&0xFF, 0xF0, 0)
	}
	if _, err := t.packet(pidTables, true, nil, table(pat)); err != nil {
		return err
	}
	_, err := t.packet(pidMap, true, nil, table(section(2, 1, streams)))
	return err
}

// section is a table's section, with its checksum.
func section(kind byte, number uint16, body []byte) []byte {
	b := []byte{kind}
	b = binary.BigEndian.AppendUint16(b, 0xB000|uint16(5+len(body)+4))
	b = binary.BigEndian.AppendUint16(b, number)
	b = append(b, 0xC1, 0, 0) // version 0, valid now, the only section
	b = append(b, body...)
	return binary.BigEndian.AppendUint32(b, crc(b))
}

// table fills a packet with a section: pointer, section, and bytes that say that nothing follows.
func table(section []byte) []byte {
	b := append([]byte{0}, section...)
	for len(b) < packetSpace {
		b = append(b, 0xFF)
	}
	return b
}

// crc is the checksum of tables (annex A): the polynomial of Ethernet's, but neither reflected nor inverted.
func crc(b []byte) uint32 {
	sum := uint32(0xFFFFFFFF)
	for _, v := range b {
		sum ^= uint32(v) << 24
		for range 8 {
			carry := sum >> 31
			sum = sum<<1 ^ carry*0x04C11DB7
		}
	}
	return sum
}
