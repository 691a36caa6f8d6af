package pluginhost

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	goplugin "github.com/hashicorp/go-plugin"

	"github.com/recordhost/recordhost/sdk/plugin"
)

// maxHandshake is far more than the line with its certificate takes.
const maxHandshake = 16 << 10

// handshake takes what a plugin writes to its standard output: its first line is the handshake, the rest is for the log.
type handshake struct {
	rest io.Writer

	mu   sync.Mutex
	line []byte // with its end once it is whole
	err  error  // the line is no handshake, or not one for us
	seen chan struct{}
	done bool
}

func newHandshake(rest io.Writer) *handshake {
	return &handshake{rest: rest, seen: make(chan struct{})}
}

// Write implements io.Writer; it never fails.
func (h *handshake) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(p)
	if !h.done {
		head, tail, whole := bytes.Cut(p, []byte{'\n'})
		h.line = append(h.line, head[:min(len(head), maxHandshake-len(h.line))]...)
		if !whole && len(h.line) < maxHandshake {
			return n, nil
		}
		h.done = true
		if h.err = checkHandshake(string(h.line)); h.err != nil {
			h.line = nil
		} else {
			h.line = append(h.line, '\n')
		}
		close(h.seen)
		p = tail
	}
	if len(p) > 0 {
		_, _ = h.rest.Write(p)
	}
	return n, nil
}

// fault says what is wrong with the first line, if there is one.
func (h *handshake) fault() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

// reader gives the line as soon as it is whole and good, and nothing when it is not or the process ends before.
func (h *handshake) reader(ended <-chan struct{}) io.Reader {
	return &handshakeReader{from: h, ended: ended}
}

type handshakeReader struct {
	from  *handshake
	ended <-chan struct{}
	left  io.Reader
}

func (r *handshakeReader) Read(p []byte) (int, error) {
	if r.left == nil {
		select {
		case <-r.from.seen:
			r.from.mu.Lock()
			r.left = bytes.NewReader(r.from.line)
			r.from.mu.Unlock()
		case <-r.ended:
			r.left = strings.NewReader("")
		}
	}
	return r.left.Read(p)
}

// checkHandshake refuses what go-plugin would refuse less clearly. The fields are core version, protocol version, network,
// address, transport and certificate.
func checkHandshake(line string) error {
	fields := strings.Split(strings.TrimSpace(line), "|")
	if len(fields) < 6 {
		return fmt.Errorf("it wrote %.200q to its standard output in place of a plugin's handshake", line)
	}
	if fields[0] != strconv.Itoa(goplugin.CoreProtocolVersion) {
		return fmt.Errorf("it speaks version %.20q of go-plugin's own protocol, this recordhost speaks %d",
			fields[0], goplugin.CoreProtocolVersion)
	}
	if fields[1] != strconv.Itoa(plugin.Protocol) {
		return fmt.Errorf("it speaks protocol %.20q of recordhost's plugins, this recordhost speaks %d: "+
			"one of the two must be updated", fields[1], plugin.Protocol)
	}
	if fields[2] != "unix" || fields[4] != string(goplugin.ProtocolGRPC) {
		return fmt.Errorf("it serves %.20q over %.20q, not gRPC over a unix socket", fields[4], fields[2])
	}
	return nil
}
