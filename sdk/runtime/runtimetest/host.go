package runtimetest

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/recordhost/recordhost/sdk/runtime"
)

// host is the control address that the suite's workers dial.
type host struct {
	address string

	mu     sync.Mutex
	orders map[string]orders // by token
	guests map[string][]*guest
}

// guest is a worker that has its orders.
type guest struct {
	hello hello
	gone  chan struct{} // closed when its connection ended
}

// newHost listens on a socket in a short directory of its own, since a socket's path holds 108 bytes.
func newHost(t *testing.T) *host {
	t.Helper()
	dir, err := os.MkdirTemp("", "rt")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	h := &host{address: "unix:" + path, orders: map[string]orders{}, guests: map[string][]*guest{}}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { h.serve(conn) })
		}
	})
	// Runs last of all: by then the test's workers are gone, and with them their connections.
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
		_ = os.RemoveAll(dir)
	})
	return h
}

// serve welcomes one worker: it says hello, gets its orders, and says hello again once its children run.
func (h *host) serve(conn net.Conn) {
	defer conn.Close()
	g := &guest{gone: make(chan struct{})}
	defer close(g.gone)
	dec := json.NewDecoder(conn)
	var first hello
	if err := dec.Decode(&first); err != nil {
		return
	}
	h.mu.Lock()
	o := h.orders[first.Token]
	h.mu.Unlock()
	if err := json.NewEncoder(conn).Encode(o); err != nil {
		return
	}
	if err := dec.Decode(&g.hello); err != nil {
		return
	}
	h.mu.Lock()
	h.guests[first.Token] = append(h.guests[first.Token], g)
	h.mu.Unlock()
	var end json.RawMessage
	_ = dec.Decode(&end) // workers say no more; this is their end
}

// order sets what the worker of l will be told to do.
func (h *host) order(l runtime.Launch, o orders) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.orders[l.Token] = o
}

// all returns the workers of l that have come so far.
func (h *host) all(l runtime.Launch) []*guest {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]*guest(nil), h.guests[l.Token]...)
}

// wait returns the first worker of l.
func (h *host) wait(t *testing.T, l runtime.Launch) *guest {
	t.Helper()
	if !until(patience, func() bool { return len(h.all(l)) > 0 }) {
		t.Fatal("the worker never dialled the host")
	}
	return h.all(l)[0]
}
