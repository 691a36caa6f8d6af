package screen

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// errShort means that a message ended before its arguments did.
var errShort = errors.New("message is shorter than its arguments")

// reader takes the arguments of one message off its bytes. The first failure sticks: later reads answer zero values,
// and err tells what was wrong, so a handler reads all it wants and checks once.
type reader struct {
	b   []byte
	err error
}

func (r *reader) uint() uint32 {
	if r.err != nil || len(r.b) < 4 {
		r.fail(errShort)
		return 0
	}
	v := binary.LittleEndian.Uint32(r.b)
	r.b = r.b[4:]
	return v
}

func (r *reader) int() int { return int(int32(r.uint())) }

// text reads a string: its length with the closing NUL, its bytes, padding to 32 bits.
func (r *reader) text() string {
	n := int(r.uint())
	if r.err != nil {
		return ""
	}
	padded := (n + 3) &^ 3
	if n < 1 || padded > len(r.b) {
		r.fail(fmt.Errorf("string of %d bytes in a message with %d left", n, len(r.b)))
		return ""
	}
	s := string(r.b[:n-1])
	r.b = r.b[padded:]
	return s
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// message is an event being written: the header is filled in by finish.
type message []byte

func event(object uint32, opcode uint16) message {
	m := make(message, 8, 48)
	binary.LittleEndian.PutUint32(m, object)
	binary.LittleEndian.PutUint16(m[4:], opcode)
	return m
}

func (m message) uint(v uint32) message { return binary.LittleEndian.AppendUint32(m, v) }

func (m message) int(v int) message { return m.uint(uint32(int32(v))) }

func (m message) text(s string) message {
	m = append(m.uint(uint32(len(s)+1)), s...)
	return m.pad(len(s)+1, 1)
}

// array appends 32-bit values as a Wayland array.
func (m message) array(values ...uint32) message {
	m = m.uint(uint32(4 * len(values)))
	for _, v := range values {
		m = m.uint(v)
	}
	return m
}

// pad appends at least so many zero bytes, and more until n bytes of content are a multiple of 32 bits.
func (m message) pad(n, least int) message {
	for range (4-n%4)%4 + least {
		m = append(m, 0)
	}
	return m
}

func (m message) finish() []byte {
	binary.LittleEndian.PutUint16(m[6:], uint16(len(m)))
	return m
}
