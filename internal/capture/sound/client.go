package sound

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/recordhost/recordhost/internal/capture/outbox"
)

// Limits of one client.
const (
	maxPacket  = 1 << 20 // bytes of one packet
	headerSize = 20      // length, channel, offset (8 bytes), flags
	control    = 0xffffffff
)

// client is one connection. Its streams are guarded by Server.mu.
type client struct {
	srv     *Server
	conn    *net.UnixConn
	streams map[uint32]*stream
	next    uint32
	refused int // streams of a format that was not offered

	out *outbox.Outbox
}

func newClient(s *Server, conn *net.UnixConn) *client {
	return &client{srv: s, conn: conn, streams: map[uint32]*stream{}, out: outbox.New(conn)}
}

// read serves the client until it ends or breaks the protocol.
func (c *client) read() {
	err := c.serve()
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	if err != nil && !c.srv.closed {
		c.srv.log.Warn("disconnected a client of the sound card that broke the protocol", "err", err)
	}
	c.disconnect()
	delete(c.srv.clients, c)
}

func (c *client) serve() error {
	header, body := make([]byte, headerSize), []byte(nil)
	for {
		if _, err := io.ReadFull(c.conn, header); err != nil {
			return ended(err)
		}
		size, channel := binary.BigEndian.Uint32(header), binary.BigEndian.Uint32(header[4:])
		if size > maxPacket {
			return fmt.Errorf("packet of %d bytes", size)
		}
		if int(size) > cap(body) {
			body = make([]byte, size)
		}
		body = body[:size]
		if _, err := io.ReadFull(c.conn, body); err != nil {
			return ended(err)
		}
		if err := c.packet(channel, body); err != nil {
			return err
		}
	}
}

// ended answers nil for the ordinary ways in which a connection ends.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	return fmt.Errorf("read: %w", err)
}

// packet handles samples for a stream, or a request.
func (c *client) packet(channel uint32, body []byte) error {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	if channel != control {
		if st := c.streams[channel]; st != nil {
			st.write(body)
		}
		return nil
	}
	r := &reader{b: body}
	command, tag := r.u32(), r.u32()
	if r.err != nil {
		return r.err
	}
	answer := c.request(command, tag, r)
	if r.err != nil {
		return fmt.Errorf("request %d: %w", command, r.err)
	}
	if answer != nil {
		c.send(answer)
	}
	return nil
}

// refill answers a drain whose time has come and asks for the samples that the stream lacks.
func (c *client) refill(st *stream) {
	if st.drain != 0 && len(st.queue) < st.spec.frame() {
		c.send(reply(st.drain - 1))
		st.drain = 0
	}
	if n := st.missing(); n > 0 {
		st.requested += n
		c.send(packet(nil).u32(commandRequest).u32(control).u32(st.index).u32(uint32(n)))
	}
}

// send queues a control packet. A client that does not take its packets is disconnected.
func (c *client) send(p packet) {
	b := make([]byte, headerSize, headerSize+len(p))
	binary.BigEndian.PutUint32(b, uint32(len(p)))
	binary.BigEndian.PutUint32(b[4:], control)
	c.out.Send(append(b, p...))
}

func (c *client) disconnect() { c.out.Close() }

// position answers how many bytes of the stream have been heard by now: what was pulled, and since then as much as
// time went by. Chrome's own synchronisation of sound and picture, and AudioContext.outputLatency, follow it.
func (c *client) position(st *stream, now time.Time) int64 {
	heard := st.read
	if st.playing() {
		since := min(max(now.Sub(c.srv.pulled), 0), 100*time.Millisecond)
		heard += int64(since*Rate/time.Second) * int64(st.spec.frame())
	}
	return min(heard, st.written)
}
