package pluginhost

import (
	"context"
	"fmt"
	"path"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	pluginv1 "github.com/recordhost/recordhost/sdk/proto/recordhost/plugin/v1"
	"github.com/recordhost/recordhost/sdk/status"
)

// deathWithin is how long after a connection broke the end of its process is waited for, to tell one from the other.
const deathWithin = 2 * time.Second

var _ grpc.ClientConnInterface = (*supervisor)(nil)

// Invoke makes a call on the process that is ready, or the next one that is.
func (s *supervisor) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	i, release, err := s.ready(ctx)
	if err != nil {
		return err
	}
	defer release()
	limited, cancel := s.limit(ctx, method)
	defer cancel(nil)
	err = i.conn.Invoke(limited, method, args, reply, opts...)
	if err == nil || ctx.Err() != nil {
		return err
	}
	if limited.Err() != nil {
		return context.Cause(limited)
	}
	return i.explain(method, err)
}

// NewStream is not needed: the contract has no streams.
func (s *supervisor) NewStream(
	context.Context, *grpc.StreamDesc, string, ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return nil, status.Errorf(status.Unimplemented, "%s: streams are not part of the contract", s.block)
}

// limit bounds a call. What transfers media or waits may take any time: the health check finds a plugin that hangs. A wait
// for a worker moreover is cut by Close.
func (s *supervisor) limit(ctx context.Context, method string) (context.Context, context.CancelCauseFunc) {
	limited, cancel := context.WithCancelCause(ctx)
	stop := func() bool { return true }
	switch method {
	case pluginv1.RuntimeService_Wait_FullMethodName:
		stop = context.AfterFunc(s.waits, func() {
			cancel(status.Errorf(status.Unavailable, "%s is being ended", s.block))
		})
	case pluginv1.RuntimeService_Kill_FullMethodName,
		pluginv1.StorageService_Put_FullMethodName,
		pluginv1.StorageService_PutPart_FullMethodName,
		pluginv1.StorageService_FinishParts_FullMethodName,
		pluginv1.StorageService_Commit_FullMethodName,
		pluginv1.StorageService_Abort_FullMethodName,
		pluginv1.StorageService_Fetch_FullMethodName:
	default:
		timer := time.AfterFunc(s.opts.CallTimeout, func() {
			cancel(status.Errorf(status.DeadlineExceeded, "%s: no answer to %s within %s",
				s.block, path.Base(method), s.opts.CallTimeout))
		})
		stop = timer.Stop
	}
	return limited, func(cause error) {
		stop()
		cancel(cause)
	}
}

// explain tells an error that the plugin answered, which it leaves alone, from the end of the plugin's process.
func (i *instance) explain(method string, err error) error {
	s, isStatus := grpcstatus.FromError(err)
	if isStatus && len(s.Details()) > 0 {
		return err // the SDK's server adds details to each
	}
	if s.Code() != codes.Unavailable && s.Code() != codes.Canceled {
		return err // not what becomes of a call whose connection breaks
	}
	timer := time.NewTimer(deathWithin)
	defer timer.Stop()
	select {
	case <-i.runner.child.Done():
		return status.Wrap(status.Unavailable, &exitError{
			doing: fmt.Sprintf("%s: during %s", i.block, path.Base(method)), how: i.end(),
		})
	case <-timer.C:
		return status.Errorf(status.Unavailable, "%s: %s: %s", i.block, path.Base(method), s.Message())
	}
}

// exitError is an ErrPluginExited that knows how.
type exitError struct {
	doing string
	how   error
}

func (e *exitError) Error() string   { return fmt.Sprintf("%s: %v: %v", e.doing, ErrPluginExited, e.how) }
func (e *exitError) Unwrap() []error { return []error{ErrPluginExited, e.how} }
