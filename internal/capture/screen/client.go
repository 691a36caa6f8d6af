package screen

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/recordhost/recordhost/internal/capture/outbox"
)

// Limits of one client, each far above what Chrome uses.
const (
	maxObjects = 8192
	maxFDs     = 64
	displayID  = 1
	readSize   = 64 << 10
)

// client is one connection. Its state is guarded by Server.mu.
type client struct {
	srv     *Server
	conn    *net.UnixConn
	objects map[uint32]object
	fds     []int
	serial  uint32
	shm     int64 // bytes mapped
	lost    int   // pictures that could not be read

	out *outbox.Outbox
}

// object is what an id of the protocol stands for. request handles one message to it.
type object interface {
	request(c *client, id uint32, opcode uint16, r *reader) error
}

// destroyer is an object that holds more than memory of the Go heap.
type destroyer interface{ destroy(c *client) }

func newClient(s *Server, conn *net.UnixConn) *client {
	return &client{srv: s, conn: conn, objects: map[uint32]object{displayID: display{}}, out: outbox.New(conn)}
}

// read serves the client until it ends or breaks the protocol.
func (c *client) read() {
	err := c.serve()
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	c.disconnect(err)
	for id, o := range c.objects {
		if d, ok := o.(destroyer); ok {
			d.destroy(c)
		}
		delete(c.objects, id)
	}
	for _, fd := range c.fds {
		_ = unix.Close(fd)
	}
	c.srv.forget(c)
}

func (c *client) serve() error {
	var pending []byte
	data, oob := make([]byte, readSize), make([]byte, unix.CmsgSpace(4*28))
	for {
		n, oobn, _, _, err := c.conn.ReadMsgUnix(data, oob)
		if err := c.takeFDs(oob[:oobn]); err != nil {
			return err
		}
		if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || (err == nil && n == 0) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		pending = append(pending, data[:n]...)
		rest, err := c.dispatch(pending)
		if err != nil {
			return err
		}
		pending = append(pending[:0], rest...)
	}
}

// dispatch handles all whole messages of b and answers what is left.
func (c *client) dispatch(b []byte) ([]byte, error) {
	for len(b) >= 8 {
		id, opcode := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint16(b[4:])
		size := int(binary.LittleEndian.Uint16(b[6:]))
		if size < 8 || size%4 != 0 {
			return nil, fmt.Errorf("message of %d bytes to object %d", size, id)
		}
		if size > len(b) {
			return b, nil
		}
		if err := c.handle(id, opcode, b[8:size]); err != nil {
			return nil, err
		}
		b = b[size:]
	}
	return b, nil
}

func (c *client) handle(id uint32, opcode uint16, args []byte) error {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	o, ok := c.objects[id]
	if !ok {
		return fmt.Errorf("request %d to object %d, which does not exist", opcode, id)
	}
	r := &reader{b: args}
	if err := o.request(c, id, opcode, r); err != nil {
		return fmt.Errorf("%T request %d: %w", o, opcode, err)
	}
	if r.err != nil {
		return fmt.Errorf("%T request %d: %w", o, opcode, r.err)
	}
	return nil
}

// takeFDs keeps the descriptors that came with a message. They belong to the client's next requests, in order.
func (c *client) takeFDs(oob []byte) error {
	if len(oob) == 0 {
		return nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return fmt.Errorf("control message: %w", err)
	}
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	for _, m := range msgs {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue
		}
		c.fds = append(c.fds, fds...)
	}
	if len(c.fds) > maxFDs {
		return fmt.Errorf("%d file descriptors waiting", len(c.fds))
	}
	return nil
}

func (c *client) takeFD() (int, error) {
	if len(c.fds) == 0 {
		return -1, errors.New("a file descriptor is missing")
	}
	fd := c.fds[0]
	c.fds = c.fds[1:]
	return fd, nil
}

// add gives a new object its id.
func (c *client) add(id uint32, o object) error {
	if id == 0 || c.objects[id] != nil {
		return fmt.Errorf("new object with id %d, which is not free", id)
	}
	if len(c.objects) >= maxObjects {
		return fmt.Errorf("more than %d objects", maxObjects)
	}
	c.objects[id] = o
	return nil
}

// remove takes an object away and tells the client that its id is free again.
func (c *client) remove(id uint32) {
	if d, ok := c.objects[id].(destroyer); ok {
		d.destroy(c)
	}
	delete(c.objects, id)
	c.send(event(displayID, displayDeleteID).uint(id))
}

func (c *client) nextSerial() uint32 {
	c.serial++
	return c.serial
}

// send queues an event. A client that does not take its events is disconnected.
func (c *client) send(m message) { c.out.Send(m.finish()) }

// disconnect ends the client; err says what it did wrong, nil that nothing was. Server.mu is held.
func (c *client) disconnect(err error) {
	if err != nil && !c.srv.closed {
		c.srv.cfg.Log.Warn("disconnected a client of the screen that broke the protocol", "err", err)
	}
	c.out.Close()
}

// monotonic converts t to CLOCK_MONOTONIC, the clock that wp_presentation promises.
func monotonic(t time.Time) time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // it cannot fail on Linux
	return time.Duration(ts.Nano()) - time.Since(t)
}
