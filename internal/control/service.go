package control

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/recordhost/recordhost/internal/control/proto/recordhost/control/v1"
)

type hostStream = grpc.BidiStreamingServer[controlv1.ConnectRequest, controlv1.ConnectResponse]

// inbound is what one reading of a stream came to.
type inbound struct {
	message *controlv1.ConnectRequest
	err     error
}

// errOtherWorker ends a second process that came with a token in use.
var errOtherWorker = status.Error(codes.PermissionDenied, "another worker was admitted with this token")

// service is the gRPC face of a Host.
type service struct {
	controlv1.UnimplementedControlServiceServer
	host *Host
}

// Connect runs one connection of a worker. One goroutine reads; this one does everything else, so that what the
// worker says is handled in its order.
func (s *service) Connect(stream hostStream) error {
	ctx := stream.Context()
	in := make(chan inbound)
	s.host.readers.Go(func() { read(ctx, stream, in) })

	hello, err := s.hello(ctx, in)
	if err != nil {
		return err
	}
	session, err := s.host.session(hello)
	if err != nil {
		s.host.log.Warn("a worker was refused", "task_id", hello.GetTaskId(), "epoch", hello.GetEpoch(), "err", err)
		return err
	}
	link, welcome, err := session.attach(ctx, hello)
	if err != nil {
		s.host.log.Warn("a worker was not admitted", "task_id", hello.GetTaskId(), "epoch", hello.GetEpoch(), "err", err)
		if isRefusal(err) {
			return err
		}
		return status.Error(codes.Unavailable, "the host cannot admit a worker at the moment")
	}
	defer session.detach(link)

	first := &controlv1.ConnectResponse{Message: &controlv1.ConnectResponse_Welcome{Welcome: welcome}}
	if err := stream.Send(first); err != nil {
		return err
	}
	c := &connection{session: session, link: link, stream: stream, in: in, closing: s.host.closing, sent: hello.GetReceivedCommand()}
	err = c.run(ctx)
	s.host.log.Debug("a worker's connection has ended", "task_id", hello.GetTaskId(), "epoch", hello.GetEpoch(), "err", err)
	return err
}

// read hands on what arrives, until the stream ends.
func read(ctx context.Context, stream hostStream, in chan<- inbound) {
	for {
		m, err := stream.Recv()
		select {
		case in <- inbound{m, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func (s *service) hello(ctx context.Context, in <-chan inbound) (*controlv1.Hello, error) {
	timer := time.NewTimer(s.host.helloTimeout)
	defer timer.Stop()
	select {
	case first := <-in:
		if first.err != nil {
			return nil, first.err
		}
		if first.message.GetHello() == nil {
			return nil, status.Error(codes.InvalidArgument, "the first message must be hello")
		}
		return first.message.GetHello(), nil
	case <-timer.C:
		return nil, status.Error(codes.DeadlineExceeded, "no hello in time")
	case <-s.host.closing:
		return nil, errClosing
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// errClosing sends workers to the next host.
var errClosing = status.Error(codes.Unavailable, "the host is closing")

// connection is one admitted connection.
type connection struct {
	session *Session
	link    *link
	stream  hostStream
	in      <-chan inbound
	closing <-chan struct{}
	sent    uint64 // the last command that was sent or, before, received
}

// run answers the reason why the connection ended, nil when the worker ended it.
func (c *connection) run(ctx context.Context) error {
	for {
		if err := c.sendCommands(); err != nil {
			return err
		}
		select {
		case m := <-c.in:
			if errors.Is(m.err, io.EOF) {
				return nil
			}
			if m.err != nil {
				return m.err
			}
			if err := c.handle(ctx, m.message); err != nil {
				return err
			}
		case <-c.link.wake:
		case <-c.link.replaced:
			return status.Error(codes.Aborted, "the worker has connected anew")
		case <-c.session.over:
			return status.Error(codes.FailedPrecondition, "the task is over, or was launched anew")
		case <-c.closing:
			return errClosing
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *connection) sendCommands() error {
	for _, command := range c.session.commandsAfter(c.sent) {
		m := &controlv1.ConnectResponse{Message: &controlv1.ConnectResponse_Command{Command: commandToWire(command)}}
		if err := c.stream.Send(m); err != nil {
			return err
		}
		c.sent = command.Number
	}
	return nil
}

func (c *connection) handle(ctx context.Context, m *controlv1.ConnectRequest) error {
	c.session.saw()
	switch {
	case m.GetHeartbeat() != nil:
		c.session.admission.Handler.Progress(progressFromWire(m.GetHeartbeat().GetProgress()))
	case m.GetApplied() != nil:
		c.session.applied(m.GetApplied().GetNumber())
	case m.GetEvent() != nil:
		number, err := c.session.event(ctx, eventFromWire(m.GetEvent()))
		if err != nil {
			return status.Errorf(codes.Unavailable, "not stored: %v", err)
		}
		return c.stream.Send(&controlv1.ConnectResponse{Message: &controlv1.ConnectResponse_Acknowledged{
			Acknowledged: &controlv1.Acknowledged{Number: number},
		}})
	}
	return nil
}
