package screen

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// maxShm is how much shared memory one client may have mapped here: some thirty pictures of the largest size.
const maxShm = 1 << 30

// Pixel formats of wl_shm; both are B, G, R and a byte that is not looked at.
const (
	formatARGB = 0
	formatXRGB = 1
)

func bindShm(c *client, id uint32) object {
	c.send(event(id, shmFormat).uint(formatARGB))
	c.send(event(id, shmFormat).uint(formatXRGB))
	return shm{}
}

// shm is wl_shm.
type shm struct{}

func (shm) request(c *client, _ uint32, opcode uint16, r *reader) error {
	if opcode != 0 { // create_pool
		return errOpcode(opcode)
	}
	id, size := r.uint(), r.int()
	fd, err := c.takeFD()
	if err != nil {
		return err
	}
	p := &pool{fd: fd, refs: 1}
	if err := p.grow(c, size); err != nil {
		_ = unix.Close(fd)
		return err
	}
	if err := c.add(id, p); err != nil {
		p.destroy(c)
		return err
	}
	return nil
}

// pool is wl_shm_pool: a mapping of the client's memory. It lives as long as the pool object or one of its buffers.
type pool struct {
	fd   int
	mem  []byte
	refs int
}

func (p *pool) request(c *client, id uint32, opcode uint16, r *reader) error {
	switch opcode {
	case 0: // create_buffer
		newID := r.uint()
		b := &buffer{pool: p, offset: r.int(), width: r.int(), height: r.int(), stride: r.int(), format: r.uint()}
		if r.err != nil {
			return r.err
		}
		if err := b.check(); err != nil {
			return err
		}
		if err := c.add(newID, b); err != nil {
			return err
		}
		p.refs++
		return nil
	case 1: // destroy
		c.remove(id)
		return nil
	case 2: // resize
		return p.grow(c, r.int())
	}
	return errOpcode(opcode)
}

// grow maps size bytes. The file may be shorter, or be cut later: reading there faults, and Server recovers.
func (p *pool) grow(c *client, size int) error {
	if size <= 0 || size < len(p.mem) || c.shm+int64(size-len(p.mem)) > maxShm {
		return fmt.Errorf("shared memory of %d bytes", size)
	}
	mem, err := unix.Mmap(p.fd, 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %d bytes of shared memory: %w", size, err)
	}
	c.shm += int64(size - len(p.mem))
	if p.mem != nil {
		_ = unix.Munmap(p.mem)
	}
	p.mem = mem
	return nil
}

func (p *pool) destroy(c *client) {
	if p.refs--; p.refs > 0 {
		return
	}
	c.shm -= int64(len(p.mem))
	_ = unix.Munmap(p.mem)
	_ = unix.Close(p.fd)
	p.mem = nil
}

// buffer is wl_buffer: a picture inside a pool.
type buffer struct {
	pool                          *pool
	offset, width, height, stride int
	format                        uint32
}

func (b *buffer) check() error {
	if b.format != formatARGB && b.format != formatXRGB {
		return fmt.Errorf("pixel format %#x", b.format)
	}
	const most = 16384 // pixels a side: far above the largest window, far below an overflow
	if b.width < 1 || b.height < 1 || b.width > most || b.height > most || b.stride < 4*b.width || b.offset < 0 ||
		b.stride > math.MaxInt32/b.height || b.offset+b.stride*b.height > len(b.pool.mem) {
		return fmt.Errorf("buffer of %d×%d pixels, stride %d, at %d does not fit into %d bytes",
			b.width, b.height, b.stride, b.offset, len(b.pool.mem))
	}
	return nil
}

func (b *buffer) request(c *client, id uint32, opcode uint16, _ *reader) error {
	if opcode != 0 { // destroy
		return errOpcode(opcode)
	}
	c.remove(id)
	return nil
}

func (b *buffer) destroy(c *client) { b.pool.destroy(c) }

// frame shows the buffer with what changed in it.
func (b *buffer) frame(damage []Rect) *Frame {
	end := b.offset + b.stride*b.height
	return &Frame{Pix: b.pool.mem[b.offset:end:end], Stride: b.stride, Width: b.width, Height: b.height, Damage: damage}
}
