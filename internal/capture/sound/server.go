// Package sound is the sound card that Chrome believes in: the playback half of a PulseAudio server, whose samples are
// pulled by the recorder's clock, so that sound cannot drift from picture. It owns the socket and the streams. Only
// package capture may use it.
//
// The protocol is PulseAudio's native one, version 13 (protocol-native.c of PulseAudio 0.9.15 to 16): no shared memory,
// little state, and all that libpulse needs. Clients are taken to be hostile: packets are checked against their bounds
// and a client that breaks a rule is disconnected.
package sound

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// The one format that is recorded.
const (
	Rate     = 48000 // samples a second
	Channels = 2
)

// Limits of the whole card. Each of Chrome's processes that plays makes one connection, each sound that plays one stream.
const (
	maxClients = 32
	maxStreams = 128
)

// Server is a sound card with its clients.
type Server struct {
	log      *slog.Logger
	listener *net.UnixListener
	wg       sync.WaitGroup
	began    chan struct{} // holds one: a stream has begun to play

	mu      sync.Mutex // guards all below and every stream
	clients map[*client]struct{}
	pulled  time.Time // the moment up to which samples were pulled
	closed  bool
}

// Listen makes the socket, at most 107 bytes long, and serves clients until Close.
func Listen(socket string, log *slog.Logger) (*Server, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("sound: make the PulseAudio socket: %w", err)
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("sound: protect the PulseAudio socket: %w", err)
	}
	s := &Server{
		log: log, listener: l, began: make(chan struct{}, 1), clients: map[*client]struct{}{}, pulled: time.Now(),
	}
	s.wg.Add(1)
	go s.accept()
	return s, nil
}

// Close disconnects all clients and removes the socket.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for c := range s.clients {
		c.disconnect()
	}
	s.mu.Unlock()
	_ = s.listener.Close()
	s.wg.Wait()
}

func (s *Server) accept() {
	defer s.wg.Done()
	for {
		conn, err := s.listener.AcceptUnix()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.closed || len(s.clients) >= maxClients {
			s.mu.Unlock()
			_ = conn.Close()
			continue
		}
		c := newClient(s, conn)
		s.clients[c] = struct{}{}
		s.wg.Add(2)
		s.mu.Unlock()
		go func() { defer s.wg.Done(); c.read() }()
		go func() { defer s.wg.Done(); c.out.Run() }()
	}
}

// streams counts those of all clients; s.mu is held.
func (s *Server) streams() (n int) {
	for c := range s.clients {
		n += len(c.streams)
	}
	return n
}

// Idle says that nothing plays, and nothing is about to: no stream that is not corked.
func (s *Server) Idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		for _, st := range c.streams {
			if !st.corked {
				return false
			}
		}
	}
	return true
}

// Began tells, once for any number of them, that streams have begun to play.
func (s *Server) Began() <-chan struct{} { return s.began }

// begin tells that a stream is not corked any more.
func (s *Server) begin() {
	select {
	case s.began <- struct{}{}:
	default:
	}
}

// Pull mixes what all streams play up to the moment until into out, interleaved stereo, and asks the clients for as
// much again. A stream that has too little is silent for the rest: time goes on.
func (s *Server) Pull(until time.Time, out []float32) {
	clear(out)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pulled = until
	for c := range s.clients {
		for _, st := range c.streams {
			st.mix(out)
			c.refill(st)
		}
	}
}
