package mp4

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// maxBox bounds one box of a stream. A fragment holds half a second: 60 pictures of 2560x2560 stay far below.
const maxBox = 512 << 20

// Reader takes a fragmented stream apart while it is being written.
type Reader struct {
	r    *bufio.Reader
	init *Init
	buf  []byte
}

// NewReader returns a Reader of the stream r.
func NewReader(r io.Reader) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 64<<10)}
}

// Fragments returns a Reader of what follows the head of a stream that in describes.
func (in *Init) Fragments(r io.Reader) *Reader {
	n := NewReader(r)
	n.init = in
	return n
}

// Init reads the head of the stream, and returns it both as it came and understood. It is called first, once.
func (r *Reader) Init() ([]byte, *Init, error) {
	r.buf = r.buf[:0]
	for {
		start := len(r.buf)
		kind, err := r.box()
		if err != nil {
			return nil, nil, err
		}
		switch kind {
		case "ftyp":
		case "moov":
			if r.init, err = ParseInit(r.buf); err != nil {
				return nil, nil, err
			}
			head := r.buf
			r.buf = nil
			return head, r.init, nil
		default:
			r.buf = r.buf[:start]
		}
	}
}

// Next reads the next fragment. The bytes are valid until the next call. At the end of the stream it answers io.EOF, and
// io.ErrUnexpectedEOF when the stream ends within a fragment.
func (r *Reader) Next() ([]byte, *Fragment, error) {
	r.buf = r.buf[:0]
	for {
		start := len(r.buf)
		kind, err := r.box()
		switch {
		case errors.Is(err, io.EOF) && start > 0:
			return nil, nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, nil, err
		}
		switch {
		case kind == "moof" && start == 0:
		case kind == "mdat" && start > 0:
			f, err := r.init.ParseFragment(r.buf)
			return r.buf, f, err
		case kind == "moof" || kind == "mdat":
			return nil, nil, fmt.Errorf("mp4: stream: a %q box in the wrong place", kind)
		default:
			r.buf = r.buf[:start]
		}
	}
}

// box appends one whole box to r.buf. io.EOF means that the stream ended before it.
func (r *Reader) box() (string, error) {
	h, err := r.r.Peek(8)
	if err == nil && binary.BigEndian.Uint32(h) == 1 {
		h, err = r.r.Peek(16)
	}
	if err != nil {
		if errors.Is(err, io.EOF) && len(h) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return "", err
	}
	size, _, kind, err := header(h)
	if err != nil {
		return "", fmt.Errorf("mp4: stream: %w", err)
	}
	if size > maxBox {
		return "", fmt.Errorf("mp4: stream: a %q box of %d bytes", kind, size)
	}
	for size > 0 { // in steps: a box may claim more than ever comes
		n := min(size, 1<<20)
		start := len(r.buf)
		r.buf = grow(r.buf, int(n))
		if _, err := io.ReadFull(r.r, r.buf[start:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return "", err
		}
		size -= n
	}
	return kind, nil
}

// grow returns b with n bytes more, of any content.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b[:len(b)+n]
	}
	return append(b, make([]byte, n)...)
}
