package runtime

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	pluginv1 "github.com/recordhost/recordhost/sdk/proto/recordhost/plugin/v1"
	"github.com/recordhost/recordhost/sdk/status"
)

// MaxHandle is how many bytes a Handle may have.
const MaxHandle = 4 << 10

// Client is a Driver at the other end of a connection. It adds nothing but the wire: errors keep their kinds, contexts
// their meaning.
type Client struct {
	rpc pluginv1.RuntimeServiceClient
}

var _ Driver = (*Client)(nil)

// NewClient returns the Driver that is served on conn.
func NewClient(conn grpc.ClientConnInterface) *Client {
	return &Client{rpc: pluginv1.NewRuntimeServiceClient(conn)}
}

// Capacity implements Driver.
func (c *Client) Capacity(ctx context.Context) (Capacity, error) {
	res, err := c.rpc.Capacity(ctx, &pluginv1.CapacityRequest{})
	if err != nil {
		return Capacity{}, status.FromGRPC(ctx, err)
	}
	return capacityFromProto(res), nil
}

// Launch implements Driver. A handle that is empty or over MaxHandle is Internal: the plugin is broken.
func (c *Client) Launch(ctx context.Context, l Launch) (Handle, error) {
	res, err := c.rpc.Launch(ctx, launchToProto(l))
	if err != nil {
		return nil, status.FromGRPC(ctx, err)
	}
	if n := len(res.GetHandle()); n == 0 || n > MaxHandle {
		return nil, status.Errorf(status.Internal, "launch: the plugin answered a handle of %d bytes", n)
	}
	return res.GetHandle(), nil
}

// Recover implements Driver.
func (c *Client) Recover(ctx context.Context, h Handle) (State, error) {
	res, err := c.rpc.Recover(ctx, &pluginv1.RecoverRequest{Handle: h})
	if err != nil {
		return StateUnknown, status.FromGRPC(ctx, err)
	}
	state := stateFromProto(res.GetState())
	if state == StateUnknown {
		return state, status.Errorf(status.Internal, "recover: the plugin answered the unknown state %d", res.GetState())
	}
	return state, nil
}

// Wait implements Driver.
func (c *Client) Wait(ctx context.Context, h Handle) (Exit, error) {
	res, err := c.rpc.Wait(ctx, &pluginv1.WaitRequest{Handle: h})
	if err != nil {
		return Exit{}, status.FromGRPC(ctx, err)
	}
	return exitFromProto(res), nil
}

// Kill implements Driver.
func (c *Client) Kill(ctx context.Context, h Handle, grace time.Duration) error {
	_, err := c.rpc.Kill(ctx, &pluginv1.KillRequest{Handle: h, Grace: durationpb.New(grace)})
	return status.FromGRPC(ctx, err)
}
