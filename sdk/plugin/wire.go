package plugin

import (
	"context"
	"fmt"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	pluginv1 "github.com/recordhost/recordhost/sdk/proto/recordhost/plugin/v1"
	"github.com/recordhost/recordhost/sdk/schema"
	"github.com/recordhost/recordhost/sdk/status"
)

// GRPCPlugin is go-plugin's view of Base: what BaseName stands for in a plugin set. The host uses the zero value, and is
// dispensed a Base.
type GRPCPlugin struct {
	goplugin.NetRPCUnsupportedPlugin
	base Base
}

var _ goplugin.GRPCPlugin = (*GRPCPlugin)(nil)

// NewGRPCPlugin returns the glue that serves base.
func NewGRPCPlugin(base Base) *GRPCPlugin { return &GRPCPlugin{base: base} }

// GRPCServer registers the plugin's side.
func (p *GRPCPlugin) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	pluginv1.RegisterPluginServiceServer(s, &baseServer{base: p.base})
	return nil
}

// GRPCClient returns the host's side, a Base.
func (p *GRPCPlugin) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return NewClient(conn), nil
}

// Client is Base at the other end of a connection.
type Client struct {
	rpc pluginv1.PluginServiceClient
}

var _ Base = (*Client)(nil)

// NewClient returns the Base that is served on conn.
func NewClient(conn grpc.ClientConnInterface) *Client {
	return &Client{rpc: pluginv1.NewPluginServiceClient(conn)}
}

// Info implements Base.
func (c *Client) Info(ctx context.Context) (Info, error) {
	res, err := c.rpc.Info(ctx, &pluginv1.InfoRequest{})
	if err != nil {
		return Info{}, status.FromGRPC(ctx, err)
	}
	return infoFromProto(res), nil
}

// ConfigSchema implements Base. A schema that no host could use is Internal.
func (c *Client) ConfigSchema(ctx context.Context) (schema.Schema, error) {
	res, err := c.rpc.ConfigSchema(ctx, &pluginv1.ConfigSchemaRequest{})
	if err != nil {
		return schema.Schema{}, status.FromGRPC(ctx, err)
	}
	s, err := schema.FromProto(res.GetSchema())
	return s, status.Wrap(status.Internal, err)
}

// Configure implements Base.
func (c *Client) Configure(ctx context.Context, conf Configuration) error {
	_, err := c.rpc.Configure(ctx, configurationToProto(conf))
	return status.FromGRPC(ctx, err)
}

// baseServer answers the calls of Client from a Base.
type baseServer struct {
	pluginv1.UnimplementedPluginServiceServer
	base Base
}

func (s *baseServer) Info(ctx context.Context, _ *pluginv1.InfoRequest) (*pluginv1.InfoResponse, error) {
	info, err := s.base.Info(ctx)
	if err != nil {
		return nil, status.ToGRPC(err)
	}
	return infoToProto(info), nil
}

func (s *baseServer) ConfigSchema(
	ctx context.Context, _ *pluginv1.ConfigSchemaRequest,
) (*pluginv1.ConfigSchemaResponse, error) {
	form, err := s.base.ConfigSchema(ctx)
	if err != nil {
		return nil, status.ToGRPC(err)
	}
	return &pluginv1.ConfigSchemaResponse{Schema: form.Proto()}, nil
}

func (s *baseServer) Configure(
	ctx context.Context, req *pluginv1.ConfigureRequest,
) (*pluginv1.ConfigureResponse, error) {
	if err := s.base.Configure(ctx, configurationFromProto(req)); err != nil {
		return nil, status.ToGRPC(err)
	}
	return &pluginv1.ConfigureResponse{}, nil
}

func infoToProto(info Info) *pluginv1.InfoResponse {
	res := &pluginv1.InfoResponse{Name: info.Name, Version: info.Version, Protocol: int32(info.Protocol)}
	switch info.Kind {
	case KindRuntime:
		res.Kind = pluginv1.PluginKind_PLUGIN_KIND_RUNTIME
	case KindStorage:
		res.Kind = pluginv1.PluginKind_PLUGIN_KIND_STORAGE
	}
	return res
}

func infoFromProto(res *pluginv1.InfoResponse) Info {
	info := Info{Name: res.GetName(), Version: res.GetVersion(), Protocol: int(res.GetProtocol())}
	switch kind := res.GetKind(); kind {
	case pluginv1.PluginKind_PLUGIN_KIND_RUNTIME:
		info.Kind = KindRuntime
	case pluginv1.PluginKind_PLUGIN_KIND_STORAGE:
		info.Kind = KindStorage
	default:
		info.Kind = Kind(fmt.Sprintf("unknown kind %d", kind))
	}
	return info
}

func configurationToProto(c Configuration) *pluginv1.ConfigureRequest {
	return &pluginv1.ConfigureRequest{ConfigJson: c.JSON, StateDir: c.StateDir, HostExecutable: c.HostExecutable}
}

func configurationFromProto(req *pluginv1.ConfigureRequest) Configuration {
	return Configuration{JSON: req.GetConfigJson(), StateDir: req.GetStateDir(), HostExecutable: req.GetHostExecutable()}
}
