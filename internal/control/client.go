package control

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/recordhost/recordhost/internal/clock"
	controlv1 "github.com/recordhost/recordhost/internal/control/proto/recordhost/control/v1"
)

// The ends of a Client, besides ErrRefused.
var (
	// ErrClosed tells that Close was called.
	ErrClosed = errors.New("control: closed")
	// ErrOrphaned tells that the host has been gone for the Spec's OrphanGrace.
	ErrOrphaned = errors.New("control: the host is gone")
)

// Options of a Client. The zero value is what a worker uses.
type Options struct {
	Log       *slog.Logger  // nil: discarded
	Heartbeat time.Duration // zero: 2 s
	Backoff   time.Duration // the longest wait between two tries to connect; zero: 2 s
	Clock     clock.Source  // zero: the machine's
}

// Client is the worker's end of the stream. It lives as long as the worker and connects again for as long as it
// lives; its methods never wait for the host, but for Flush. All may be called from several goroutines.
type Client struct {
	boot      Bootstrap
	instance  string
	log       *slog.Logger
	heartbeat time.Duration
	backoff   time.Duration
	clock     clock.Source

	cancel context.CancelFunc
	tasks  sync.WaitGroup

	ready    chan struct{} // closed when the spec and the journal are there
	refused  chan struct{} // closed when the host will not have us
	orphaned chan struct{} // closed when the host has been gone too long
	ended    chan struct{} // closed when nothing runs any more
	commands chan Command
	inboxed  chan struct{} // holds one: the inbox has grown
	outboxed chan struct{} // holds one: there is something to say

	mu       sync.Mutex
	spec     Spec
	fatal    error // what made the start impossible
	journal  *journal
	number   uint64             // of the last event
	unheard  []*controlv1.Event // not acknowledged yet, by number
	heard    chan struct{}      // closed, and made anew, when unheard shrinks
	done     bool               // an earlier worker has said its last word
	inbox    []Command          // received, not yet taken
	received uint64
	applied  uint64
	progress Progress
	gone     time.Time // since when the host is gone; zero while connected
	orphan   *time.Timer
}

// Dial connects to the host and returns when the recording's spec is there. It tries for ever, until ctx ends or the
// host refuses (ErrRefused). ctx bounds the start alone; Close ends the client.
func Dial(ctx context.Context, b Bootstrap, o Options) (*Client, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	c := newClient(b, o)
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.cancel = cancel
	c.tasks.Go(func() { c.keepConnected(life) })
	c.tasks.Go(func() { c.deliver(life) })

	select {
	case <-c.ready:
		return c, nil
	case <-c.ended:
		_ = c.Close()
		return nil, c.end()
	case <-ctx.Done():
		_ = c.Close()
		return nil, fmt.Errorf("control: reach the host: %w", context.Cause(ctx))
	}
}

func newClient(b Bootstrap, o Options) *Client {
	c := &Client{
		boot:      b,
		instance:  rand.Text(),
		log:       o.Log,
		heartbeat: o.Heartbeat,
		backoff:   o.Backoff,
		clock:     o.Clock,
		ready:     make(chan struct{}),
		refused:   make(chan struct{}),
		orphaned:  make(chan struct{}),
		ended:     make(chan struct{}),
		commands:  make(chan Command),
		inboxed:   make(chan struct{}, 1),
		outboxed:  make(chan struct{}, 1),
		heard:     make(chan struct{}),
		gone:      time.Now(),
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.heartbeat <= 0 {
		c.heartbeat = 2 * time.Second
	}
	if c.backoff <= 0 {
		c.backoff = 2 * time.Second
	}
	if c.clock.Wall == nil {
		c.clock = clock.System()
	}
	return c
}

// Now is the task's time.
func (c *Client) Now() time.Time { return c.clock.Now(c.Spec().Clock) }

// Spec is the recording to make.
func (c *Client) Spec() Spec {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spec
}

// Done tells that a worker before this one has done all there was to do; what it said is left to be heard.
func (c *Client) Done() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done
}

// Commands delivers each command once, in their order, however often the connection was lost. It is closed when the
// client was closed or refused.
func (c *Client) Commands() <-chan Command { return c.commands }

// Applied tells that all commands up to number have taken effect. Events that are emitted from now on say so too.
func (c *Client) Applied(number uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if number <= c.applied || c.isRefused() {
		return
	}
	c.applied = number
	if err := c.write(&controlv1.ConnectRequest{Message: appliedMessage(number)}); err != nil {
		c.log.Error("a command that has taken effect was not journalled", "command", number, "err", err)
	}
	notify(c.outboxed)
}

// Emit tells what happened. A worker that was refused has nothing to tell any more.
//
// The event is in the journal when Emit returns, and reaches the host as soon as there is
// one. An error says that the journal could not be written: the event is kept in memory then, and sent all the same.
func (c *Client) Emit(b Body) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isRefused() { // another worker may be reading the journal
		return nil
	}
	c.number++
	event := eventToWire(Event{
		Number: c.number, Time: c.clock.Now(c.spec.Clock), Applied: c.applied, Progress: c.progress, Body: b,
	})
	c.unheard = append(c.unheard, event)
	err := c.write(&controlv1.ConnectRequest{Message: &controlv1.ConnectRequest_Event{Event: event}})
	notify(c.outboxed)
	return err
}

func (c *Client) isRefused() bool {
	select {
	case <-c.refused:
		return true
	default:
		return false
	}
}

// Report sets the figures that go out with each heartbeat and each event.
func (c *Client) Report(p Progress) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.progress = p
}

// HostGone is how long there has been no host; zero while there is one.
func (c *Client) HostGone() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone.IsZero() {
		return 0
	}
	return time.Since(c.gone)
}

// Orphaned is closed when the host has been gone for the Spec's OrphanGrace, and never when that is zero. The client
// goes on trying to reach it.
func (c *Client) Orphaned() <-chan struct{} { return c.orphaned }

// Refused is closed when the host refuses this worker for good: another one may be writing, so this one must not.
func (c *Client) Refused() <-chan struct{} { return c.refused }

// Flush waits until the host has acknowledged every event. It ends early with ErrRefused, ErrOrphaned, ErrClosed or
// the error of ctx.
func (c *Client) Flush(ctx context.Context) error {
	if c.isRefused() {
		return ErrRefused
	}
	for {
		c.mu.Lock()
		left, heard := len(c.unheard), c.heard
		c.mu.Unlock()
		if left == 0 {
			return nil
		}
		select {
		case <-heard:
		case <-c.orphaned:
			return ErrOrphaned
		case <-c.ended:
			return c.end()
		case <-ctx.Done():
			return fmt.Errorf("control: %d events were not acknowledged: %w", left, context.Cause(ctx))
		}
	}
}

// Close ends the connection and waits until nothing of the client runs any more. What was not acknowledged stays in
// the journal.
func (c *Client) Close() error {
	c.cancel()
	c.tasks.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopOrphanTimer()
	if c.journal == nil {
		return nil
	}
	err := c.journal.close()
	c.journal = nil
	return err
}

// deliver hands the inbox out, one command at a time, so that a slow worker never holds up the stream.
func (c *Client) deliver(ctx context.Context) {
	defer close(c.commands)
	for {
		for _, command := range c.takeInbox() {
			select {
			case c.commands <- command:
			case <-c.refused:
				return
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-c.inboxed:
		case <-c.refused:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (c *Client) takeInbox() []Command {
	c.mu.Lock()
	defer c.mu.Unlock()
	inbox := c.inbox
	c.inbox = nil
	return inbox
}

// begin takes the spec, makes the spool and opens the journal in it. What earlier workers of the task left unheard in
// theirs is said by this one.
func (c *Client) begin(s Spec) error {
	if !filepath.IsAbs(s.SpoolDir) {
		return fmt.Errorf("control: the spool directory %q is not absolute", s.SpoolDir)
	}
	if err := os.MkdirAll(s.SpoolDir, 0o700); err != nil {
		return fmt.Errorf("control: make the spool directory: %w", err)
	}
	path := journalPath(s.SpoolDir, s.Epoch)
	left, err := inherit(path, s)
	if err != nil { // on a disk that takes nothing more, what was left is kept in memory
		c.log.Error("what earlier workers left unsaid was not journalled", "err", err)
	}
	journal, records, err := openJournal(path)
	if err != nil {
		return err
	}
	if len(records) == 0 {
		records = left
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spec, c.journal = s, journal
	for _, r := range records {
		if e := r.GetEvent(); e != nil {
			c.unheard = append(c.unheard, e)
			c.number = e.GetNumber()
			c.done = c.done || e.GetDone() != nil || e.GetDelivered() != nil
		}
		c.applied = max(c.applied, r.GetApplied().GetNumber())
	}
	c.received = max(c.received, c.applied)
	return nil
}

// write journals a message. Before the spec is there, and after Close, there is no journal to write.
func (c *Client) write(m *controlv1.ConnectRequest) error {
	if c.journal == nil {
		return ErrClosed
	}
	return c.journal.append(m)
}

// end says why nothing runs any more.
func (c *Client) end() error {
	select {
	case <-c.refused:
		return ErrRefused
	default:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fatal != nil {
		return c.fatal
	}
	return ErrClosed
}

// notify leaves a note in a channel that holds one.
func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
