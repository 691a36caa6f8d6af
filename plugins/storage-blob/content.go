package main

import (
	"context"
	"crypto/md5"
	"fmt"
	"hash/crc64"
	"io"
	"os"
	"sync"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// content is what a part holds: ranges of local files, one after the other. It is read as often as a request needs it, which first
// signs it and then sends it. A request that has failed may still be reading it, so it takes a lock.
type content struct {
	ctx  context.Context //nolint:containedctx // io.Reader has none, and the reader lives within the call
	part storage.Part

	mu     sync.Mutex
	at     int64
	from   io.ReadCloser // nil until it is read
	err    error         // of the local files; what SDKs make of it is something else
	closed bool
}

var _ io.ReadSeekCloser = (*content)(nil)

// Read implements io.Reader.
func (c *content) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, os.ErrClosed
	}
	if c.from == nil {
		rest := storage.Part{Number: c.part.Number, Extents: behind(c.part.Extents, c.at)}
		if c.from, c.err = rest.Open(c.ctx); c.err != nil {
			return 0, c.err
		}
	}
	n, err := c.from.Read(p)
	c.at += int64(n)
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}

// behind returns what is left of extents after n bytes.
func behind(extents []storage.Extent, n int64) []storage.Extent {
	for i, e := range extents {
		if n < e.Length || n == 0 {
			e.Offset, e.Length = e.Offset+n, e.Length-n
			return append([]storage.Extent{e}, extents[i+1:]...)
		}
		n -= e.Length
	}
	return nil
}

// Seek implements io.Seeker.
func (c *content) Seek(offset int64, whence int) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += c.at
	case io.SeekEnd:
		offset += c.part.Size()
	}
	if offset < 0 {
		return 0, fmt.Errorf("part %d: there is nothing at %d", c.part.Number, offset)
	}
	if offset != c.at {
		c.at = offset
		c.release()
	}
	return offset, nil
}

// Close implements io.Closer. Nothing can be read any more.
func (c *content) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.release()
	return nil
}

func (c *content) release() {
	if c.from != nil {
		_ = c.from.Close() // it was only read
		c.from = nil
	}
}

// sums are the checksums of a part.
type sums struct {
	md5 []byte
	crc uint64 // CRC-64/NVME
}

// sumsOf reads r to its end, and returns how many bytes that were.
func sumsOf(r io.Reader) (sums, int64, error) {
	sum, crc := md5.New(), crc64.New(crc64.MakeTable(nvme))
	n, err := io.Copy(io.MultiWriter(sum, crc), r)
	return sums{md5: sum.Sum(nil), crc: crc.Sum64()}, n, err
}

// sums reads all of it and goes back to the begin.
func (c *content) sums() (sums, error) {
	s, n, err := sumsOf(c)
	if err == nil && n != c.part.Size() {
		err = status.Errorf(status.InvalidArgument, "part %d: its extents have %d bytes, not %d", c.part.Number, n, c.part.Size())
	}
	if err == nil {
		_, err = c.Seek(0, io.SeekStart)
	}
	return s, err
}

// blame returns the error of a request that sent c: that of the local files where they are its cause.
func (c *content) blame(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	return err
}
