package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/tencentyun/cos-go-sdk-v5"
	"golang.org/x/sys/unix"
)

const (
	// signedFor is how long a signature is good. A slow part must be over by then only if the service checks it at the end, which it
	// does not.
	signedFor = time.Hour

	// maxAnswer bounds the document that Complete answers, in bytes.
	maxAnswer = 1 << 20
)

// signer signs requests with the keys of the moment. Unlike the SDK's own it takes id, key and token at once, so that they belong
// together when they are being renewed.
type signer struct {
	keys *keys
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (s *signer) RoundTrip(r *http.Request) (*http.Response, error) {
	c, err := s.keys.get(time.Now())
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	r = r.Clone(r.Context())
	cos.AddAuthorizationHeader(c.id, c.key.Reveal(), c.token.Reveal(), r, cos.NewAuthTime(signedFor))
	answer, err := s.next.RoundTrip(r)
	if err != nil || r.Method != http.MethodPost || answer.StatusCode != http.StatusOK {
		return answer, err
	}
	return unmask(answer)
}

// unmask makes an error out of an answer that says 200 and holds one: Complete begins to answer before it is done. The SDK would lose
// what the error says.
func unmask(answer *http.Response) (*http.Response, error) {
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(text))
	if bytes.Contains(text, []byte("<Error>")) && bytes.Contains(text, []byte("</Error>")) {
		answer.StatusCode, answer.Status = http.StatusInternalServerError, "200 OK with an error"
	}
	return answer, nil
}

// newTransport keeps the connections. One over which nothing has moved for stall is given up: a store may be slow, but not silent.
func newTransport(stall time.Duration) *http.Transport {
	dialer := &net.Dialer{Timeout: 15 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return watch(conn, stall), nil
		},
		TLSHandshakeTimeout: 15 * time.Second,
		IdleConnTimeout:     15 * time.Second,
		MaxIdleConnsPerHost: 2 * atOnce,
		DisableCompression:  true,
	}
}

// watched is a connection whose reads and writes fail when nothing has moved for a while in either direction. What counts is what
// the other side has taken, not what this machine's buffers have: on a slow line they hold minutes of it.
type watched struct {
	net.Conn
	stall time.Duration
	raw   syscall.RawConn // nil: the buffers cannot be looked into

	mu   sync.Mutex
	sent int64 // bytes written so far
	gone int64 // of these, how many the other side had when it was last looked
	last time.Time
}

func watch(conn net.Conn, stall time.Duration) net.Conn {
	w := &watched{Conn: conn, stall: stall, last: time.Now()}
	if c, ok := conn.(syscall.Conn); ok {
		w.raw, _ = c.SyscallConn()
	}
	return w
}

// Read implements net.Conn.
func (w *watched) Read(p []byte) (int, error) {
	for {
		if err := w.SetReadDeadline(time.Now().Add(w.stall / 4)); err != nil {
			return 0, err
		}
		n, err := w.Conn.Read(p)
		if n > 0 {
			w.moved()
		}
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !w.alive() {
			return n, err
		}
	}
}

// Write implements net.Conn.
func (w *watched) Write(p []byte) (written int, err error) {
	for {
		if err := w.SetWriteDeadline(time.Now().Add(w.stall / 4)); err != nil {
			return written, err
		}
		n, err := w.Conn.Write(p[written:])
		written += n
		w.mu.Lock()
		w.sent += int64(n)
		w.mu.Unlock()
		if written == len(p) || !errors.Is(err, os.ErrDeadlineExceeded) || !w.alive() {
			return written, err
		}
	}
}

func (w *watched) moved() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = time.Now()
}

// alive tells whether anything has moved lately.
func (w *watched) alive() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if gone := w.sent - w.waiting(); gone > w.gone {
		w.gone, w.last = gone, time.Now()
	}
	return time.Since(w.last) < w.stall
}

// waiting is how many bytes were written and not yet confirmed by the other side.
func (w *watched) waiting() (n int64) {
	if w.raw == nil {
		return 0
	}
	_ = w.raw.Control(func(fd uintptr) {
		if queued, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err == nil {
			n = int64(queued)
		}
	})
	return n
}
