package storage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"hash"
	"io"
	"os"

	"github.com/recordhost/recordhost/sdk/status"
)

// Open opens the file to be sent, once from begin to end. The reader ends after exactly Size bytes. It fails before its
// last byte, so that nothing whole can come of it: with InvalidArgument when the file, or a file that a piece of it lies in,
// is absent, is not a regular file or is not as long as stated, also when that changes while it is read; with DataLoss when
// its content does not have the checksum SHA256; with ctx's error once ctx has ended.
func (f File) Open(ctx context.Context) (io.ReadCloser, error) {
	if f.SHA256 != nil && len(f.SHA256) != sha256.Size {
		return nil, status.Errorf(status.InvalidArgument, "file %q: a SHA-256 of %d bytes", f.Name, len(f.SHA256))
	}
	r := &fileReader{name: f.Name, left: f.Size, want: f.SHA256}
	if f.SHA256 != nil {
		r.sum = sha256.New()
	}
	var err error
	if f.Extents != nil {
		r.from, err = f.openExtents(ctx)
	} else {
		err = f.openPath(ctx, r)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (f File) openPath(ctx context.Context, r *fileReader) error {
	file, err := openRegular(f.Path)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil && info.Size() != f.Size {
		err = status.Errorf(status.InvalidArgument, "%s has %d bytes, not the %d stated", f.Path, info.Size(), f.Size)
	}
	if err != nil {
		_ = file.Close()
		return err
	}
	r.name, r.file = f.Path, file
	r.from = &extentReader{ctx: ctx, path: f.Path, file: file, left: f.Size}
	return nil
}

func (f File) openExtents(ctx context.Context) (io.ReadCloser, error) {
	part := Part{Extents: f.Extents}
	if f.Path != "" || part.Size() != f.Size {
		return nil, status.Errorf(status.InvalidArgument,
			"file %q: its pieces have %d bytes, not the %d stated", f.Name, part.Size(), f.Size)
	}
	return part.Open(ctx)
}

// Size returns how many bytes the part has.
func (p Part) Size() int64 {
	var n int64
	for _, e := range p.Extents {
		n += e.Length
	}
	return n
}

// Open opens the part to be sent, once from begin to end: its extents one after the other. The reader fails with
// InvalidArgument when a file of it is absent, not regular or shorter than its extent, and with ctx's error once ctx
// has ended.
func (p Part) Open(ctx context.Context) (io.ReadCloser, error) {
	for _, e := range p.Extents {
		if e.Offset < 0 || e.Length < 0 {
			return nil, status.Errorf(status.InvalidArgument, "part %d: extent at %d of %d bytes", p.Number, e.Offset, e.Length)
		}
	}
	return &partReader{ctx: ctx, extents: p.Extents}, nil
}

func openRegular(path string) (*os.File, error) {
	// Asked before it is opened: a pipe would block.
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return nil, status.Errorf(status.InvalidArgument, "%s is not a regular file", path)
	}
	if os.IsNotExist(err) {
		return nil, status.Wrap(status.InvalidArgument, err)
	}
	if err != nil {
		return nil, err
	}
	return os.Open(path)
}

// extentReader reads the next left bytes of a file.
type extentReader struct {
	ctx  context.Context //nolint:containedctx // io.Reader has none, and the reader lives within the call
	path string
	file *os.File
	left int64
}

func (r *extentReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.file.Read(p)
	r.left -= int64(n)
	if err == io.EOF {
		return n, status.Errorf(status.InvalidArgument, "%s ended %d bytes too early", r.path, r.left)
	}
	return n, err
}

func (r *extentReader) Close() error { return r.file.Close() }

// fileReader reads a whole file, and holds its last bytes back until size and checksum are known to be right.
type fileReader struct {
	name    string
	from    io.ReadCloser
	file    *os.File // from's, where it is one
	left    int64
	want    []byte
	sum     hash.Hash // nil where no checksum is wanted
	checked bool
	wrong   error // what check found
}

func (r *fileReader) Read(p []byte) (int, error) {
	if r.wrong != nil {
		return 0, r.wrong
	}
	n, err := r.from.Read(p)
	r.left -= int64(n)
	if r.sum != nil {
		r.sum.Write(p[:n])
	}
	if r.left > 0 || r.checked || err != nil && err != io.EOF {
		return n, err
	}
	r.checked = true
	if r.wrong = r.check(); r.wrong != nil {
		return 0, r.wrong
	}
	return n, err
}

// check is called when the last byte was read.
func (r *fileReader) check() error {
	if r.file != nil {
		if n, _ := r.file.Read(make([]byte, 1)); n > 0 {
			return status.Errorf(status.InvalidArgument, "%s grew while it was read", r.name)
		}
	}
	if r.sum != nil && !bytes.Equal(r.sum.Sum(nil), r.want) {
		return status.Errorf(status.DataLoss, "%s does not have the checksum stated", r.name)
	}
	return nil
}

func (r *fileReader) Close() error { return r.from.Close() }

// partReader reads extents one after the other, each file open only while it is read.
type partReader struct {
	ctx     context.Context //nolint:containedctx // io.Reader has none, and the reader lives within the call
	extents []Extent
	current *extentReader
}

func (r *partReader) Read(p []byte) (int, error) {
	for {
		if err := r.ctx.Err(); err != nil {
			return 0, err
		}
		if r.current == nil {
			if len(r.extents) == 0 {
				return 0, io.EOF
			}
			if err := r.next(); err != nil {
				return 0, err
			}
		}
		n, err := r.current.Read(p)
		if err == io.EOF { //nolint:errorlint // extentReader returns it bare
			err = r.Close()
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (r *partReader) next() error {
	e := r.extents[0]
	r.extents = r.extents[1:]
	file, err := openRegular(e.Path)
	if err != nil {
		return err
	}
	if _, err := file.Seek(e.Offset, io.SeekStart); err != nil {
		_ = file.Close()
		return err
	}
	r.current = &extentReader{ctx: r.ctx, path: e.Path, file: file, left: e.Length}
	return nil
}

func (r *partReader) Close() error {
	if r.current == nil {
		return nil
	}
	err := r.current.Close()
	r.current = nil
	return err
}
