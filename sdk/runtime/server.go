package runtime

import (
	"context"

	pluginv1 "github.com/recordhost/recordhost/sdk/proto/recordhost/plugin/v1"
	"github.com/recordhost/recordhost/sdk/status"
)

// server answers the calls of Client from a Driver, which may not be there yet.
type server struct {
	pluginv1.UnimplementedRuntimeServiceServer
	driver func() (Driver, error)
}

// answer makes one call on the driver. A failure gets the form in which it crosses the wire, and drops the answer.
func answer[Response any](s *server, call func(d Driver) (*Response, error)) (*Response, error) {
	d, err := s.driver()
	if err != nil {
		return nil, status.ToGRPC(err)
	}
	res, err := call(d)
	if err != nil {
		return nil, status.ToGRPC(err)
	}
	return res, nil
}

func (s *server) Capacity(ctx context.Context, _ *pluginv1.CapacityRequest) (*pluginv1.CapacityResponse, error) {
	return answer(s, func(d Driver) (*pluginv1.CapacityResponse, error) {
		c, err := d.Capacity(ctx)
		return capacityToProto(c), err
	})
}

func (s *server) Launch(ctx context.Context, req *pluginv1.LaunchRequest) (*pluginv1.LaunchResponse, error) {
	return answer(s, func(d Driver) (*pluginv1.LaunchResponse, error) {
		h, err := d.Launch(ctx, launchFromProto(req))
		return &pluginv1.LaunchResponse{Handle: h}, err
	})
}

func (s *server) Recover(ctx context.Context, req *pluginv1.RecoverRequest) (*pluginv1.RecoverResponse, error) {
	return answer(s, func(d Driver) (*pluginv1.RecoverResponse, error) {
		state, err := d.Recover(ctx, req.GetHandle())
		return &pluginv1.RecoverResponse{State: stateToProto(state)}, err
	})
}

func (s *server) Wait(ctx context.Context, req *pluginv1.WaitRequest) (*pluginv1.WaitResponse, error) {
	return answer(s, func(d Driver) (*pluginv1.WaitResponse, error) {
		exit, err := d.Wait(ctx, req.GetHandle())
		return exitToProto(exit), err
	})
}

func (s *server) Kill(ctx context.Context, req *pluginv1.KillRequest) (*pluginv1.KillResponse, error) {
	return answer(s, func(d Driver) (*pluginv1.KillResponse, error) {
		return &pluginv1.KillResponse{}, d.Kill(ctx, req.GetHandle(), req.GetGrace().AsDuration())
	})
}
