// Package outbox is what a server still has to send to one client, so that a client that does not read never delays the
// clock. The screen and the sound card use it.
package outbox

import (
	"net"
	"sync"
)

// limit is how many bytes may wait for a client that does not read, before it is disconnected.
const limit = 1 << 20

// Outbox queues bytes for one connection. Run sends them; all other methods return at once.
type Outbox struct {
	conn net.Conn

	mu    sync.Mutex
	more  *sync.Cond
	queue []byte
	ended bool
}

// New makes the outbox of a connection, which it closes in the end.
func New(conn net.Conn) *Outbox {
	o := &Outbox{conn: conn}
	o.more = sync.NewCond(&o.mu)
	return o
}

// Send queues b, which the caller may use again. What is sent after the end is forgotten.
func (o *Outbox) Send(b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return
	}
	o.queue = append(o.queue, b...)
	if len(o.queue) > limit {
		o.ended = true
		_ = o.conn.Close()
	}
	o.more.Signal()
}

// Close disconnects the client. What was not sent yet is lost.
func (o *Outbox) Close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	o.more.Signal()
	_ = o.conn.Close()
}

// Run sends what is queued until the connection ends.
func (o *Outbox) Run() {
	var b []byte
	for {
		o.mu.Lock()
		for len(o.queue) == 0 && !o.ended {
			o.more.Wait()
		}
		b, o.queue = o.queue, b[:0]
		ended := o.ended
		o.mu.Unlock()
		if len(b) > 0 {
			if _, err := o.conn.Write(b); err != nil {
				_ = o.conn.Close()
				return
			}
		}
		if ended {
			return
		}
	}
}
