package plugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/recordhost/recordhost/sdk/schema"
	"github.com/recordhost/recordhost/sdk/status"
)

// Definition is a plugin with settings C and driver D. Authors write it as runtime.Plugin or storage.Plugin.
type Definition[C, D any] struct {
	Kind    Kind
	Name    string
	Version string // empty: what the build recorded

	// New makes the driver. A *C that has a method Validate() error was asked before. ctx is that of the Configure call and ends
	// with it; a driver that is an io.Closer is closed before the process ends.
	New func(ctx context.Context, env Env, c C) (D, error)
}

// Validator may be implemented by a settings struct whose fields depend on one another.
type Validator interface {
	// Validate returns an error that names the setting at fault and holds no secret.
	Validate() error
}

// Instance is one configured, or not yet configured, plugin. It implements Base.
type Instance[C, D any] struct {
	def    Definition[C, D]
	schema schema.Schema
	log    *slog.Logger

	mu     sync.Mutex // held while Configure runs
	config *Configuration
	driver atomic.Pointer[D]
}

// NewInstance checks def's settings struct and returns the plugin, not yet configured.
func NewInstance[C, D any](def Definition[C, D], log *slog.Logger) (*Instance[C, D], error) {
	s, err := schema.Of[C]()
	if err != nil {
		return nil, fmt.Errorf("settings of %s-%s: %w", def.Kind, def.Name, err)
	}
	if def.Version == "" {
		def.Version = buildVersion()
	}
	return &Instance[C, D]{def: def, schema: s, log: log}, nil
}

// Info implements Base.
func (i *Instance[C, D]) Info(context.Context) (Info, error) {
	return Info{Kind: i.def.Kind, Name: i.def.Name, Version: i.def.Version, Protocol: Protocol}, nil
}

// ConfigSchema implements Base.
func (i *Instance[C, D]) ConfigSchema(context.Context) (schema.Schema, error) { return i.schema, nil }

// Configure implements Base.
func (i *Instance[C, D]) Configure(ctx context.Context, c Configuration) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.config != nil {
		if i.config.equal(c) {
			return nil
		}
		return status.Errorf(status.FailedPrecondition, "configure: the plugin has another configuration already")
	}
	for name, path := range map[string]string{"state directory": c.StateDir, "host executable": c.HostExecutable} {
		if path != "" && !filepath.IsAbs(path) {
			return status.Errorf(status.InvalidArgument, "configure: %s %q is not an absolute path", name, path)
		}
	}
	settings, err := schema.Decode[C](c.JSON)
	if err != nil {
		return err
	}
	if v, ok := any(&settings).(Validator); ok {
		if err := v.Validate(); err != nil {
			return status.Wrap(status.InvalidArgument, err)
		}
	}
	driver, err := i.def.New(ctx, Env{StateDir: c.StateDir, HostExecutable: c.HostExecutable, Log: i.log}, settings)
	if err != nil {
		return fmt.Errorf("configure %s-%s: %w", i.def.Kind, i.def.Name, err)
	}
	i.driver.Store(&driver)
	i.config = &c
	return nil
}

// Driver returns the driver, or FailedPrecondition while there is none.
func (i *Instance[C, D]) Driver() (D, error) {
	if d := i.driver.Load(); d != nil {
		return *d, nil
	}
	var none D
	return none, status.Errorf(status.FailedPrecondition, "%s-%s is not configured", i.def.Kind, i.def.Name)
}

// Close closes the driver, where it is an io.Closer. No call of the driver may be running or follow.
func (i *Instance[C, D]) Close() error {
	d, err := i.Driver()
	if err != nil {
		return nil //nolint:nilerr // what was not configured has nothing to close
	}
	if closer, ok := any(d).(io.Closer); ok {
		if err := closer.Close(); err != nil && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("close %s-%s: %w", i.def.Kind, i.def.Name, err)
		}
	}
	return nil
}

func (c *Configuration) equal(other Configuration) bool {
	return bytes.Equal(c.JSON, other.JSON) && c.StateDir == other.StateDir && c.HostExecutable == other.HostExecutable
}

// buildVersion is the version that the Go tool recorded in the binary: the module's, else the commit.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" && len(setting.Value) >= 12 {
			return setting.Value[:12]
		}
	}
	return "unknown"
}
