// Package screen is the monitor that Chrome believes in: a Wayland compositor that draws nothing and hands each picture
// of the page's window to its viewer. It owns the socket, the protocol objects and the mappings of the client's shared
// memory. Only package capture may use it.
//
// The protocol is Wayland's core (wayland.xml, version 1.22) with xdg-shell and presentation-time, as far as Chrome's
// software path uses them: wl_compositor, wl_subcompositor, wl_shm, wl_output, wl_seat, wl_data_device_manager,
// xdg_wm_base, wp_presentation. Every client is taken to be hostile: messages are checked against their bounds,
// objects and memory are limited, and a client that breaks a rule is disconnected, never the recorder.
package screen

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// Config of a screen.
type Config struct {
	Socket  string // absolute path of the socket to make; at most 107 bytes
	Width   int    // of the window, pixels
	Height  int
	Refresh int // Hz that the output claims; the page paints at this rate
	Log     *slog.Logger
}

// Viewer sees the page's window.
type Viewer interface {
	// Frame is called for each picture that the page's window commits. f and its pixels are valid during the call only,
	// and the pixels are the client's memory: when the client takes them away the call is ended by a panic that Server
	// recovers, so Frame keeps no lock without a defer. Calls do not overlap.
	Frame(at time.Time, f *Frame)
}

// Frame is one picture of the page's window.
type Frame struct {
	Pix           []byte // 4 bytes a pixel: B, G, R, unused
	Stride        int    // bytes from row to row
	Width, Height int    // pixels
	Damage        []Rect // what changed since the last frame, inside the picture
}

// Rect is a rectangle of pixels: X0 ≤ x < X1, Y0 ≤ y < Y1.
type Rect struct{ X0, Y0, X1, Y1 int }

// Server is a screen with its clients.
type Server struct {
	cfg      Config
	viewer   Viewer
	listener *net.UnixListener
	wg       sync.WaitGroup

	mu      sync.Mutex // guards all below, and every client's state
	clients map[*client]struct{}
	page    *surface // the window that is recorded: the first toplevel of the newest client
	seq     uint32   // of ticks
	closed  bool
}

// maxClients at once: Chrome's browser process makes one connection; a second one appears while it restarts.
const maxClients = 8

// Listen makes the socket and serves clients until Close.
func Listen(cfg Config, viewer Viewer) (*Server, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: cfg.Socket, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("screen: make the Wayland socket: %w", err)
	}
	if err := os.Chmod(cfg.Socket, 0o600); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("screen: protect the Wayland socket: %w", err)
	}
	s := &Server{cfg: cfg, viewer: viewer, listener: l, clients: map[*client]struct{}{}}
	s.wg.Add(1)
	go s.accept()
	return s, nil
}

// Close disconnects all clients and removes the socket.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for c := range s.clients {
		c.disconnect(nil)
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

// Tick tells the clients that what they committed since the last tick is shown now. at is the tick's nominal time;
// Chrome paces itself by it, so ticks must be exactly periodic even when the caller is late.
func (s *Server) Tick(at time.Time) {
	shown := monotonic(at)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	for c := range s.clients {
		c.presented(shown, s.seq)
	}
}

// forget drops a client that has ended; s.mu is held.
func (s *Server) forget(c *client) {
	delete(s.clients, c)
	if s.page != nil && s.page.client == c {
		s.page = nil
	}
}
