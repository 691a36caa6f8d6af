package runtime

import (
	"context"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/recordhost/recordhost/sdk/plugin"
	pluginv1 "github.com/recordhost/recordhost/sdk/proto/recordhost/plugin/v1"
)

// Plugin is a runtime plugin with the settings C, a struct with the tags of package schema.
type Plugin[C any] struct {
	Name    string // as the block's first label in the configuration file; the program is called "runtime-<name>"
	Version string // for people; empty: what the build recorded

	// New makes the driver when the host has sent the settings. ctx ends when New has returned. A driver that is an
	// io.Closer is closed before the process ends.
	New func(ctx context.Context, env plugin.Env, c C) (Driver, error)
}

// Definition returns the plugin in the form of package plugin, which serves it and which tests take an instance of.
func (p Plugin[C]) Definition() plugin.Definition[C, Driver] {
	return plugin.Definition[C, Driver]{Kind: plugin.KindRuntime, Name: p.Name, Version: p.Version, New: p.New}
}

// Serve runs the plugin's process; it is all that main does. plugin.Serve says what it takes care of.
func Serve[C any](p Plugin[C]) {
	plugin.Serve(p.Definition(), func(driver func() (Driver, error)) goplugin.Plugin { return NewGRPCPlugin(driver) })
}

// GRPCPlugin is go-plugin's view of a Driver: what plugin.KindRuntime stands for in a plugin set. The host uses the zero value,
// and is dispensed a Driver.
type GRPCPlugin struct {
	goplugin.NetRPCUnsupportedPlugin
	driver func() (Driver, error)
}

var _ goplugin.GRPCPlugin = (*GRPCPlugin)(nil)

// NewGRPCPlugin returns the glue that serves what driver returns, which is asked at each call.
func NewGRPCPlugin(driver func() (Driver, error)) *GRPCPlugin { return &GRPCPlugin{driver: driver} }

// GRPCServer registers the plugin's side.
func (p *GRPCPlugin) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	pluginv1.RegisterRuntimeServiceServer(s, &server{driver: p.driver})
	return nil
}

// GRPCClient returns the host's side, a Driver.
func (p *GRPCPlugin) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return NewClient(conn), nil
}
