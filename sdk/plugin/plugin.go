// Package plugin is what runtime and storage plugins have in common: who they are, how they are configured, and how
// their process is served and ends. Authors reach it through runtime.Serve and storage.Serve; the host takes Base, the
// handshake and the go-plugin glue from it.
package plugin

import (
	"context"
	"log/slog"

	"github.com/recordhost/recordhost/sdk/schema"
)

// Protocol is the version of the contract that this SDK speaks: the key of go-plugin's VersionedPlugins on both sides.
const Protocol = 1

// BaseName is the name under which go-plugin dispenses a plugin's Base. Its driver is dispensed under the name of its kind.
const BaseName = "base"

// Kind says what a plugin is for. It is also the first part of its file's name: "storage-blob".
type Kind string

// The kinds of plugins.
const (
	KindRuntime Kind = "runtime"
	KindStorage Kind = "storage"
)

// Info is a plugin's identity.
type Info struct {
	Kind     Kind
	Name     string // as a block's first label in the configuration file
	Version  string // the plugin's own, for people
	Protocol int    // the contract that it was negotiated to speak
}

// Configuration is all that a plugin learns of its host.
type Configuration struct {
	JSON           []byte // the settings, as schema.Decode reads them; may hold secrets
	StateDir       string // absolute, mode 0700, this plugin block's own; outlives the process
	HostExecutable string // absolute path of the host's executable, which is also the worker's
}

// Env is what a driver is given besides its settings.
type Env struct {
	StateDir       string
	HostExecutable string
	Log            *slog.Logger // reaches the host's log; never nil
}

// Base is what every plugin answers besides its driver's calls. Both ends of the wire implement it.
type Base interface {
	// Info answers who the plugin is. It needs no configuration.
	Info(ctx context.Context) (Info, error)

	// ConfigSchema answers which settings the plugin takes. It needs no configuration.
	ConfigSchema(ctx context.Context) (schema.Schema, error)

	// Configure hands the settings over. A mistake in them is InvalidArgument, naming each setting by its path, and
	// Configure may be called again. After a success the same configuration is accepted again without effect, another
	// one is FailedPrecondition: a plugin is configured anew by starting it anew.
	Configure(ctx context.Context, c Configuration) error
}
