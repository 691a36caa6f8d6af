package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	controlv1 "github.com/recordhost/recordhost/internal/control/proto/recordhost/control/v1"
)

const (
	// firstBackoff is the wait after the first failure; it doubles from there.
	firstBackoff = 50 * time.Millisecond
	// welcomeTimeout bounds how long a host may take to admit a worker: it stores that it did.
	welcomeTimeout = 10 * time.Second
)

type clientStream = grpc.BidiStreamingClient[controlv1.ConnectRequest, controlv1.ConnectResponse]

// keepConnected connects, again and again, until ctx ends, the host refuses or the start turns out to be impossible.
func (c *Client) keepConnected(ctx context.Context) {
	defer close(c.ended)
	wait := firstBackoff
	for ctx.Err() == nil {
		started := time.Now()
		err := c.connectAny(ctx)
		if isRefusal(err) {
			c.log.Warn("the host refuses this worker", "err", err)
			close(c.refused)
			return
		}
		if c.startFailed() {
			return
		}
		if time.Since(started) > c.backoff {
			wait = firstBackoff // it was connected for a while
		}
		c.log.Debug("not connected to the host", "err", err, "wait", wait)
		select {
		case <-time.After(wait/2 + rand.N(wait/2)):
		case <-ctx.Done():
		}
		wait = min(2*wait, c.backoff)
	}
}

func isRefusal(err error) bool {
	switch status.Code(err) {
	case codes.Unauthenticated, codes.PermissionDenied, codes.FailedPrecondition:
		return true
	default:
		return false
	}
}

// connectAny tries the addresses in their order. It returns when the connection that it found has ended.
func (c *Client) connectAny(ctx context.Context) error {
	var errs []error
	for _, address := range c.boot.Control {
		target, err := dialTarget(address)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		welcomed, err := c.connect(ctx, target)
		if welcomed || isRefusal(err) || ctx.Err() != nil || c.startFailed() {
			return err
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// connect runs one connection from hello to its end, and tells whether the host had admitted us.
func (c *Client) connect(ctx context.Context, target string) (welcomed bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := grpc.NewClient(target,
		grpc.WithTransportCredentials(insecure.NewCredentials()), // a unix socket that only this user can open
		grpc.WithNoProxy(),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}))
	if err != nil {
		return false, fmt.Errorf("control: dial %s: %w", target, err)
	}
	defer func() { err = errors.Join(err, ignoreCanceled(conn.Close())) }()

	stream, err := controlv1.NewControlServiceClient(conn).Connect(ctx)
	if err != nil {
		return false, err
	}
	hello := c.hello()
	welcome, err := introduce(stream, hello, cancel)
	if err != nil {
		return false, err
	}
	if err := c.welcome(welcome, hello.GetWantsSpec()); err != nil {
		return false, err
	}
	defer c.disconnected()

	var hostErr error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		hostErr = c.receive(stream)
	}()
	sendErr := c.send(ctx, stream, welcome.GetAcknowledged(), hello.GetAppliedCommand(), ended)
	cancel()
	<-ended
	if status.Code(hostErr) != codes.Canceled {
		return true, hostErr // the host's own reason
	}
	return true, sendErr
}

func ignoreCanceled(err error) error {
	if status.Code(err) == codes.Canceled {
		return nil
	}
	return err
}

func (c *Client) hello() *controlv1.Hello {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &controlv1.Hello{
		TaskId:          c.boot.TaskID,
		Epoch:           c.boot.Epoch,
		Token:           c.boot.Token,
		Instance:        c.instance,
		ReceivedCommand: c.received,
		AppliedCommand:  c.applied,
		WantsSpec:       c.journal == nil,
	}
}

// introduce says hello and waits for the welcome, giving up by cancel.
func introduce(stream clientStream, hello *controlv1.Hello, cancel context.CancelFunc) (*controlv1.Welcome, error) {
	timer := time.AfterFunc(welcomeTimeout, cancel)
	defer timer.Stop()
	message := &controlv1.ConnectRequest{Message: &controlv1.ConnectRequest_Hello{Hello: hello}}
	if err := stream.Send(message); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	first, err := stream.Recv() // the host's reason, where Send has met io.EOF
	if err != nil {
		return nil, err
	}
	if first.GetWelcome() == nil {
		return nil, errors.New("control: the host did not begin with a welcome")
	}
	return first.GetWelcome(), nil
}

// welcome takes the spec of the first connection, and marks the host as there.
func (c *Client) welcome(w *controlv1.Welcome, first bool) error {
	if first {
		if w.GetSpec() == nil {
			return errors.New("control: the host sent no spec")
		}
		if err := c.begin(specFromWire(w.GetSpec())); err != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.fatal = err
			return err
		}
		close(c.ready)
	}
	c.acknowledge(w.GetAcknowledged())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recall(w.GetAcknowledged())
	c.gone = time.Time{}
	c.stopOrphanTimer()
	return nil
}

// recall takes events from the journal that were acknowledged, and that the host has lost since: its store was damaged, and
// knows an earlier state. It is called with mu held.
func (c *Client) recall(acknowledged uint64) {
	if acknowledged+uint64(len(c.unheard)) >= c.number || c.journal == nil {
		return
	}
	records, err := c.journal.records()
	if err != nil {
		c.log.Error("events that the host has lost cannot be read", "err", err)
		return
	}
	c.unheard = nil
	for _, r := range records {
		if e := r.GetEvent(); e.GetNumber() > acknowledged {
			c.unheard = append(c.unheard, e)
		}
	}
	c.log.Warn("the host has lost events, which are told again", "events", len(c.unheard))
}

func (c *Client) startFailed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fatal != nil
}

// disconnected marks the host as gone, and winds the clock that tells when it has been gone too long.
func (c *Client) disconnected() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = time.Now()
	if grace := c.spec.OrphanGrace; grace > 0 {
		c.orphan = time.AfterFunc(grace, c.becomeOrphan)
	}
}

func (c *Client) becomeOrphan() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.orphan == nil {
		return // the host came back while this timer went off
	}
	select {
	case <-c.orphaned:
	default:
		close(c.orphaned)
	}
}

// stopOrphanTimer is called with mu held.
func (c *Client) stopOrphanTimer() {
	if c.orphan != nil {
		c.orphan.Stop()
		c.orphan = nil
	}
}

// receive takes what the host says, until the stream ends.
func (c *Client) receive(stream clientStream) error {
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		switch {
		case m.GetCommand() != nil:
			c.take(commandFromWire(m.GetCommand()))
		case m.GetAcknowledged() != nil:
			c.acknowledge(m.GetAcknowledged().GetNumber())
		}
	}
}

// take keeps a command that was not received before.
func (c *Client) take(command Command) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if command.Number <= c.received {
		return
	}
	c.received = command.Number
	c.inbox = append(c.inbox, command)
	notify(c.inboxed)
}

// acknowledge forgets the events up to number.
func (c *Client) acknowledge(number uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for n < len(c.unheard) && c.unheard[n].GetNumber() <= number {
		n++
	}
	if n == 0 {
		return
	}
	c.unheard = c.unheard[n:]
	close(c.heard)
	c.heard = make(chan struct{})
}

// send says what there is to say, and each heartbeat that we live, until ctx or the stream ends.
func (c *Client) send(ctx context.Context, stream clientStream, event, applied uint64, ended <-chan struct{}) error {
	beat := time.NewTicker(c.heartbeat)
	defer beat.Stop()
	for first := true; ; first = false {
		messages := c.outbox(event, applied)
		if first {
			messages = append(messages, c.heartbeatMessage())
		}
		for _, m := range messages {
			if err := stream.Send(m); err != nil {
				return err
			}
			event = max(event, m.GetEvent().GetNumber())
			applied = max(applied, m.GetApplied().GetNumber())
		}
		select {
		case <-c.outboxed:
		case <-beat.C:
			if err := stream.Send(c.heartbeatMessage()); err != nil {
				return err
			}
		case <-ended:
			return io.EOF
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// outbox is what was not yet said on this connection.
func (c *Client) outbox(event, applied uint64) []*controlv1.ConnectRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*controlv1.ConnectRequest
	if c.applied > applied {
		out = append(out, &controlv1.ConnectRequest{Message: appliedMessage(c.applied)})
	}
	for _, e := range c.unheard {
		if e.GetNumber() > event {
			out = append(out, &controlv1.ConnectRequest{Message: &controlv1.ConnectRequest_Event{Event: e}})
		}
	}
	return out
}

func (c *Client) heartbeatMessage() *controlv1.ConnectRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &controlv1.ConnectRequest{Message: &controlv1.ConnectRequest_Heartbeat{
		Heartbeat: &controlv1.Heartbeat{Progress: progressToWire(c.progress)},
	}}
}

func appliedMessage(number uint64) *controlv1.ConnectRequest_Applied {
	return &controlv1.ConnectRequest_Applied{Applied: &controlv1.Applied{Number: number}}
}
