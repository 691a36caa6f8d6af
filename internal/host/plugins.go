package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/recordhost/recordhost/internal/config"
	"github.com/recordhost/recordhost/internal/pluginhost"
	"github.com/recordhost/recordhost/internal/scratch"
	"github.com/recordhost/recordhost/sdk/plugin"
	"github.com/recordhost/recordhost/sdk/runtime"
	"github.com/recordhost/recordhost/sdk/status"
)

// Plugin is what is known of a plugin that was started to be looked at.
type Plugin struct {
	pluginhost.Status
	Capacity *runtime.Capacity // of a runtime that works
}

// Inspect starts all plugins of a configuration with their settings, answers what became of each, in the file's order,
// and ends them. Their state is thrown away. The error holds what the configuration is to blame for.
func Inspect(ctx context.Context, c *config.Config, log *slog.Logger) (list []Plugin, err error) {
	state, err := scratch.Make("", scratch.PrefixRun)
	if err != nil {
		return nil, fmt.Errorf("make a directory for the plugins' state: %w", err)
	}
	defer func() { err = errors.Join(err, state.Remove()) }()
	plugins, err := openPlugins(ctx, c, state.Path(), log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, plugins.Close(ctx)) }()
	started, err := await(ctx, c, plugins)
	for _, s := range started {
		p := Plugin{Status: s}
		if s.Kind == plugin.KindRuntime && s.Err == nil {
			p.Capacity, p.Err = capacity(ctx, plugins, s.Name)
		}
		list = append(list, p)
	}
	return list, err
}

func capacity(ctx context.Context, plugins *pluginhost.Host, name string) (*runtime.Capacity, error) {
	driver, err := plugins.Runtime(name)
	if err != nil {
		return nil, err
	}
	c, err := driver.Capacity(ctx)
	if err != nil {
		return nil, err
	}
	return &c, nil
}

// openPlugins starts the plugins that a configuration names. Their state is kept below stateDir.
func openPlugins(ctx context.Context, c *config.Config, stateDir string, log *slog.Logger) (*pluginhost.Host, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the host's own executable: %w", err)
	}
	o := pluginhost.Options{
		Dir:            pluginDir(c, executable),
		StateDir:       stateDir,
		HostExecutable: executable,
		Log:            log,
	}
	for _, p := range slices.Concat(c.Runtimes, c.Storages) {
		o.Plugins = append(o.Plugins, pluginhost.Block{
			Kind:     plugin.Kind(p.Kind),
			Plugin:   p.Plugin,
			Name:     p.Name,
			Env:      p.Env,
			SHA256:   p.SHA256,
			Settings: p.Settings,
		})
	}
	return pluginhost.Open(ctx, o)
}

// pluginDir is where the plugins are: where the configuration says, else beside the host's executable.
func pluginDir(c *config.Config, executable string) string {
	if c.PluginDir != "" {
		return c.PluginDir
	}
	return filepath.Join(filepath.Dir(executable), "plugins")
}

// await waits until every plugin has come up or failed. Its error holds only what no restart would cure: settings that
// are refused, each with its place in the configuration.
func await(ctx context.Context, c *config.Config, plugins *pluginhost.Host) ([]pluginhost.Status, error) {
	_ = plugins.Ready(ctx) // the list says the same, plugin by plugin
	list := plugins.List()
	var refused []error
	for i, p := range slices.Concat(c.Runtimes, c.Storages) {
		if err := list[i].Err; err != nil && status.KindOf(err) == status.InvalidArgument {
			refused = append(refused, placed(p, err))
		}
	}
	return list, errors.Join(refused...)
}

// placed puts the place of the block before an error that has no place of its own.
func placed(p config.Plugin, err error) error {
	if _, ok := errors.AsType[*config.Error](err); ok {
		return err
	}
	return fmt.Errorf("%s: %w", p.Position(), err)
}
