package control

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	controlv1 "github.com/recordhost/recordhost/internal/control/proto/recordhost/control/v1"
)

// Admission lets one worker in.
type Admission struct {
	TaskID    string
	Epoch     uint64
	TokenHash []byte    // of NewToken
	Instance  string    // of the worker that an earlier host admitted; empty: none yet
	Spec      Spec      // for the worker
	LastEvent uint64    // the number of the last event of this epoch that is stored
	Commands  []Command // stored, not known to have taken effect; by number
	Handler   Handler
}

// Handler is told what a worker says. Its methods are called one after another for the messages of one connection;
// when a worker connects anew while its old connection is still being taken down, those of both can overlap, but for
// Event, which never does.
type Handler interface {
	// Connected tells that a worker was let in. The first time, instance is to be stored before Connected returns: no
	// other process will get in with the same token. An error keeps the worker out; it tries again.
	Connected(ctx context.Context, instance string) error

	// Event takes the next event of the worker. It is acknowledged when Event returns nil, and so must be stored by
	// then. After an error the connection is cut, and the event comes again with the next one.
	Event(ctx context.Context, e Event) error

	// Progress tells the figures of a heartbeat.
	Progress(p Progress)

	// Disconnected tells that the worker has no connection any more.
	Disconnected()
}

// Session is one worker's place at the host, connected or not. Its methods never wait.
type Session struct {
	host      *Host
	admission Admission

	admitting sync.Mutex // held while a worker is let in
	events    sync.Mutex // held while an event is handled
	over      chan struct{}

	mu       sync.Mutex
	instance string
	acked    uint64    // the number of the last event that was stored
	commands []Command // to be sent on each new connection, until they have taken effect
	link     *link     // the connection, nil when there is none
	seen     time.Time // when the worker last said something
}

// link is one connection.
type link struct {
	wake     chan struct{} // holds one: there may be something to send
	replaced chan struct{} // closed when the worker has made another connection
}

func newSession(h *Host, a Admission) *Session {
	return &Session{
		host:      h,
		admission: a,
		over:      make(chan struct{}),
		instance:  a.Instance,
		acked:     a.LastEvent,
		commands:  slices.Clone(a.Commands),
	}
}

// Send gives the worker a command that the task has stored: now if it is connected, and when it connects. Commands are
// sent in the order of their numbers.
func (s *Session) Send(c Command) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commands = append(s.commands, c)
	if s.link != nil {
		notify(s.link.wake)
	}
}

// Seen tells when the worker last said something, the zero time if never, and whether it is connected.
func (s *Session) Seen() (last time.Time, connected bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen, s.link != nil
}

// Close ends the session: a worker that is connected, or comes back, is refused. It does not wait for a Handler's
// method that runs at the moment.
func (s *Session) Close() {
	s.host.forget(s)
	s.end()
}

func (s *Session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.over:
	default:
		close(s.over)
	}
}

// attach makes a connection the session's own, after the handler has stored whose it is, and answers the welcome. A
// connection that the same worker had before is ended.
func (s *Session) attach(ctx context.Context, hello *controlv1.Hello) (*link, *controlv1.Welcome, error) {
	s.admitting.Lock()
	defer s.admitting.Unlock()
	known := s.worker()
	if known != "" && known != hello.GetInstance() {
		return nil, nil, errOtherWorker
	}
	if err := s.admission.Handler.Connected(ctx, hello.GetInstance()); err != nil {
		return nil, nil, fmt.Errorf("admit the worker: %w", err)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.instance = hello.GetInstance()
	if s.link != nil {
		close(s.link.replaced)
	}
	s.link = &link{wake: make(chan struct{}, 1), replaced: make(chan struct{})}
	s.seen = time.Now()
	s.commands = dropUpTo(s.commands, hello.GetAppliedCommand())
	welcome := &controlv1.Welcome{Acknowledged: s.acked}
	if hello.GetWantsSpec() {
		welcome.Spec = specToWire(s.admission.Spec)
	}
	return s.link, welcome, nil
}

func (s *Session) worker() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.instance
}

// detach ends a connection, if it is still the session's.
func (s *Session) detach(l *link) {
	s.mu.Lock()
	current := s.link == l
	if current {
		s.link = nil
	}
	s.mu.Unlock()
	if current {
		s.admission.Handler.Disconnected()
	}
}

// commandsAfter are those to be sent on a connection that has sent up to number.
func (s *Session) commandsAfter(number uint64) []Command {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(dropUpTo(s.commands, number))
}

func dropUpTo(commands []Command, number uint64) []Command {
	n := 0
	for n < len(commands) && commands[n].Number <= number {
		n++
	}
	return commands[n:]
}

// saw notes that the worker lives.
func (s *Session) saw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = time.Now()
}

// applied drops the commands that need not be sent again.
func (s *Session) applied(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commands = dropUpTo(s.commands, number)
}

// event hands an event on unless it was handled before, and answers the number to acknowledge.
func (s *Session) event(ctx context.Context, e Event) (uint64, error) {
	s.events.Lock()
	defer s.events.Unlock()
	last := s.lastEvent()
	switch {
	case e.Number <= last:
		return last, nil
	case e.Number > last+1:
		return 0, fmt.Errorf("event %d came after %d", e.Number, last)
	}
	if err := s.admission.Handler.Event(ctx, e); err != nil {
		return 0, fmt.Errorf("event %d: %w", e.Number, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked = e.Number
	return e.Number, nil
}

func (s *Session) lastEvent() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked
}
