package mp4

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Extent is a range of bytes of a file.
type Extent struct {
	Path   string
	Offset int64
	Length int64
}

// Extents are bytes that lie in several files, in their order.
type Extents []Extent

// Slice returns length bytes of them from offset on, or fewer where they end before.
func (x Extents) Slice(offset, length int64) Extents {
	var out Extents
	for _, e := range x {
		if length <= 0 {
			break
		}
		if offset >= e.Length {
			offset -= e.Length
			continue
		}
		n := min(e.Length-offset, length)
		out = append(out, Extent{Path: e.Path, Offset: e.Offset + offset, Length: n})
		offset, length = 0, length-n
	}
	return out
}

// Open reads them from begin to end. A file that is shorter than its extent is io.ErrUnexpectedEOF.
func (x Extents) Open() io.ReadCloser { return &extentsReader{rest: x} }

// extentsReader has at most one file open.
type extentsReader struct {
	rest Extents
	file *os.File
	left int64
}

func (r *extentsReader) Read(p []byte) (int, error) {
	for r.left == 0 {
		if err := r.Close(); err != nil {
			return 0, err
		}
		if len(r.rest) == 0 {
			return 0, io.EOF
		}
		if err := r.next(); err != nil {
			return 0, fmt.Errorf("mp4: read: %w", err)
		}
	}
	n, err := r.file.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (r *extentsReader) next() (err error) {
	e := r.rest[0]
	r.rest = r.rest[1:]
	if r.file, err = os.Open(e.Path); err != nil {
		return err
	}
	r.left = e.Length
	_, err = r.file.Seek(e.Offset, io.SeekStart)
	return err
}

func (r *extentsReader) Close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}
