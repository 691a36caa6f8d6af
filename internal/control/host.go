package control

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	controlv1 "github.com/recordhost/recordhost/internal/control/proto/recordhost/control/v1"
	"github.com/recordhost/recordhost/internal/scratch"
)

// HostOptions of a Host. The zero value makes a new socket.
type HostOptions struct {
	// Socket is the path that an earlier host listened on, so that its workers find this one. Where it cannot be had
	// a new one is made.
	Socket string

	// Dir is where a new socket's private directory is made; empty: the system's directory for temporary files.
	Dir string

	Log          *slog.Logger  // nil: discarded
	HelloTimeout time.Duration // how long a new connection may take to say who it is; zero: 5 s
}

// Host is the host's end of all streams. A worker gets in when Admit was called for its task and epoch.
type Host struct {
	log          *slog.Logger
	helloTimeout time.Duration
	listener     net.Listener
	socket       string
	dir          *scratch.Dir // holds the socket
	server       *grpc.Server

	closing chan struct{}
	close   sync.Once
	readers sync.WaitGroup

	mu       sync.Mutex
	sessions map[string]*Session // by task
}

// Listen makes the socket. Nobody is answered before Serve.
func Listen(o HostOptions) (*Host, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.HelloTimeout <= 0 {
		o.HelloTimeout = 5 * time.Second
	}
	listener, dir, err := listen(o)
	if err != nil {
		return nil, err
	}
	h := &Host{
		log:          o.Log,
		helloTimeout: o.HelloTimeout,
		listener:     listener,
		socket:       listener.Addr().String(),
		dir:          dir,
		closing:      make(chan struct{}),
		sessions:     make(map[string]*Session),
	}
	h.server = grpc.NewServer(
		grpc.MaxRecvMsgSize(maxRecord),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}))
	controlv1.RegisterControlServiceServer(h.server, &service{host: h})
	return h, nil
}

// Addresses are what workers are told to dial.
func (h *Host) Addresses() []string { return []string{"unix:" + h.socket} }

// Socket is the path to be given to the next host.
func (h *Host) Socket() string { return h.socket }

// Serve answers workers until Close.
func (h *Host) Serve() error {
	err := h.server.Serve(h.listener)
	select {
	case <-h.closing:
		return nil
	default:
		return fmt.Errorf("control: serve %s: %w", h.socket, err)
	}
}

// Close cuts all streams, waits until nothing of them runs any more, and removes the socket. The workers go on and
// look for the next host.
func (h *Host) Close() error {
	h.close.Do(func() { close(h.closing) })
	h.server.Stop()
	h.readers.Wait()
	_ = h.listener.Close() // closed by Stop where Serve has run
	if err := h.dir.Remove(); err != nil {
		return fmt.Errorf("control: remove the socket: %w", err)
	}
	return nil
}

// Admit lets the worker of a launch in. A session of an earlier epoch ends: its worker is refused from now on.
func (h *Host) Admit(a Admission) (*Session, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old := h.sessions[a.TaskID]; old != nil {
		if old.admission.Epoch >= a.Epoch {
			return nil, fmt.Errorf("control: admit task %s: epoch %d is not above %d", a.TaskID, a.Epoch, old.admission.Epoch)
		}
		old.end()
	}
	s := newSession(h, a)
	h.sessions[a.TaskID] = s
	return s, nil
}

// forget drops a session that was closed.
func (h *Host) forget(s *Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sessions[s.admission.TaskID] == s {
		delete(h.sessions, s.admission.TaskID)
	}
}

// session finds whom hello belongs to. Its errors end the worker.
func (h *Host) session(hello *controlv1.Hello) (*Session, error) {
	h.mu.Lock()
	s := h.sessions[hello.GetTaskId()]
	h.mu.Unlock()
	switch {
	case s == nil:
		return nil, status.Error(codes.FailedPrecondition, "this host has no such task, or it is over")
	case s.admission.Epoch != hello.GetEpoch():
		return nil, status.Error(codes.FailedPrecondition, "this launch is not the task's latest")
	case !tokenFits(hello.GetToken(), s.admission.TokenHash):
		return nil, status.Error(codes.Unauthenticated, "the token is not good")
	default:
		return s, nil
	}
}

// listen takes the earlier socket if it can, else makes a new one. Only this user reaches either: the directory has
// mode 0700, the socket 0600.
func listen(o HostOptions) (net.Listener, *scratch.Dir, error) {
	if o.Socket != "" {
		l, dir, err := listenAgain(o.Socket)
		if err == nil {
			return l, dir, nil
		}
		o.Log.Warn("the control socket of the last run cannot be had; its workers will not find this host",
			"socket", o.Socket, "err", err)
	}
	dir, err := scratch.Make(o.Dir, scratch.PrefixSocket)
	if err != nil {
		return nil, nil, fmt.Errorf("control: make the socket's directory: %w", err)
	}
	l, err := listenAt(filepath.Join(dir.Path(), "c"))
	if err != nil {
		return nil, nil, errors.Join(err, dir.Remove())
	}
	return l, dir, nil
}

// listenAgain takes the path of an earlier socket. Its directory must be as private as the one that was made then.
func listenAgain(path string) (net.Listener, *scratch.Dir, error) {
	dir, err := scratch.Take(filepath.Dir(path))
	if err != nil {
		return nil, nil, fmt.Errorf("control: take the socket's directory: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, errors.Join(fmt.Errorf("control: remove the earlier socket: %w", err), dir.Leave())
	}
	l, err := listenAt(path)
	if err != nil {
		return nil, nil, errors.Join(err, dir.Leave())
	}
	return l, dir, nil
}

func listenAt(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("control: the path %s is longer than the %d bytes a socket's may have", path, maxSocketPath)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("control: listen: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("control: protect the socket: %w", err), l.Close())
	}
	return l, nil
}
