package storage

import (
	"context"

	"google.golang.org/grpc"

	pluginv1 "github.com/recordhost/recordhost/sdk/proto/recordhost/plugin/v1"
	"github.com/recordhost/recordhost/sdk/status"
)

// How many bytes a State and an Upload may have.
const (
	MaxState  = 64 << 10
	MaxUpload = 16 << 10
)

// Client is a Driver at the other end of a connection. It adds nothing but the wire: errors keep their kinds, contexts
// their meaning.
type Client struct {
	rpc pluginv1.StorageServiceClient
}

var _ Driver = (*Client)(nil)

// NewClient returns the Driver that is served on conn.
func NewClient(conn grpc.ClientConnInterface) *Client {
	return &Client{rpc: pluginv1.NewStorageServiceClient(conn)}
}

// Capabilities implements Driver.
func (c *Client) Capabilities(ctx context.Context) (Capabilities, error) {
	res, err := c.rpc.Capabilities(ctx, &pluginv1.CapabilitiesRequest{})
	if err != nil {
		return Capabilities{}, status.FromGRPC(ctx, err)
	}
	return capabilitiesFromProto(res), nil
}

// Check implements Driver.
func (c *Client) Check(ctx context.Context) error {
	_, err := c.rpc.Check(ctx, &pluginv1.CheckRequest{})
	return status.FromGRPC(ctx, err)
}

// Open implements Driver. A state that is empty or over MaxState is Internal: the plugin is broken.
func (c *Client) Open(ctx context.Context, d Delivery) (State, error) {
	res, err := c.rpc.Open(ctx, deliveryToProto(d))
	if err != nil {
		return nil, status.FromGRPC(ctx, err)
	}
	if n := len(res.GetState()); n == 0 || n > MaxState {
		return nil, status.Errorf(status.Internal, "open: the plugin answered a state of %d bytes", n)
	}
	return res.GetState(), nil
}

// Put implements Driver.
func (c *Client) Put(ctx context.Context, s State, f File) error {
	_, err := c.rpc.Put(ctx, putToProto(s, f))
	return status.FromGRPC(ctx, err)
}

// BeginParts implements Driver. An upload that is empty or over MaxUpload is Internal: the plugin is broken.
func (c *Client) BeginParts(ctx context.Context, s State, f Growing) (Upload, error) {
	res, err := c.rpc.BeginParts(ctx, beginPartsToProto(s, f))
	if err != nil {
		return nil, status.FromGRPC(ctx, err)
	}
	if n := len(res.GetUpload()); n == 0 || n > MaxUpload {
		return nil, status.Errorf(status.Internal, "begin parts: the plugin answered an upload of %d bytes", n)
	}
	return res.GetUpload(), nil
}

// PutPart implements Driver.
func (c *Client) PutPart(ctx context.Context, s State, u Upload, p Part) (Receipt, error) {
	res, err := c.rpc.PutPart(ctx, putPartToProto(s, u, p))
	if err != nil {
		return Receipt{}, status.FromGRPC(ctx, err)
	}
	return receiptFromProto(res.GetReceipt()), nil
}

// FinishParts implements Driver.
func (c *Client) FinishParts(ctx context.Context, s State, u Upload, r []Receipt) error {
	_, err := c.rpc.FinishParts(ctx, finishPartsToProto(s, u, r))
	return status.FromGRPC(ctx, err)
}

// Commit implements Driver.
func (c *Client) Commit(ctx context.Context, s State) (Location, error) {
	res, err := c.rpc.Commit(ctx, &pluginv1.CommitRequest{State: s})
	if err != nil {
		return Location{}, status.FromGRPC(ctx, err)
	}
	return locationFromProto(res), nil
}

// Abort implements Driver.
func (c *Client) Abort(ctx context.Context, s State) error {
	_, err := c.rpc.Abort(ctx, &pluginv1.AbortRequest{State: s})
	return status.FromGRPC(ctx, err)
}

// List implements Driver.
func (c *Client) List(ctx context.Context, s State) ([]Object, error) {
	res, err := c.rpc.List(ctx, &pluginv1.ListRequest{State: s})
	if err != nil {
		return nil, status.FromGRPC(ctx, err)
	}
	return objectsFromProto(res.GetObjects()), nil
}

// Fetch implements Driver.
func (c *Client) Fetch(ctx context.Context, s State, name, path string) error {
	_, err := c.rpc.Fetch(ctx, &pluginv1.FetchRequest{State: s, Name: name, Path: path})
	return status.FromGRPC(ctx, err)
}

// Delete implements Driver.
func (c *Client) Delete(ctx context.Context, s State, name string) error {
	_, err := c.rpc.Delete(ctx, &pluginv1.DeleteRequest{State: s, Name: name})
	return status.FromGRPC(ctx, err)
}
