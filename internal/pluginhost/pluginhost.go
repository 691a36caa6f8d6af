// Package pluginhost is the set of plugin processes that this process has started: found, checked, configured, watched,
// started anew when they die or hang, and ended. It owns those processes and the drivers that it hands out, which stay
// valid over any number of restarts. The host starts all plugins of its configuration with it, and a worker the storage
// plugins that it delivers to. No other package of the engine knows go-plugin.
package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/recordhost/recordhost/sdk/plugin"
	"github.com/recordhost/recordhost/sdk/runtime"
	"github.com/recordhost/recordhost/sdk/schema"
	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// ErrPluginExited is in the error of a call during which the plugin's process ended. The error's kind is
// status.Unavailable: made again, the call reaches the next process.
var ErrPluginExited = errors.New("plugin exited")

// Block is one plugin, configured in one way, under a name.
type Block struct {
	Kind   plugin.Kind
	Plugin string // the file's name is "<kind>-<plugin>"
	Name   string // unique among the blocks of its kind

	// Env is added to what every plugin gets of this process's environment, PATH, HOME, LANG and TZ, and overrides it.
	Env map[string]string

	// SHA256 is the sum that the executable must have; nil: any.
	SHA256 []byte

	// Settings answers the plugin's settings as JSON, given their form. It is asked each time the plugin is started,
	// perhaps from another version of its file. Nil: no settings.
	Settings func(schema.Schema) ([]byte, error)
}

// JSON is a Block's Settings that are known already.
func JSON(settings []byte) func(schema.Schema) ([]byte, error) {
	return func(schema.Schema) ([]byte, error) { return settings, nil }
}

func (b Block) file() string { return string(b.Kind) + "-" + b.Plugin }

// String names the plugin in errors.
func (b Block) String() string { return fmt.Sprintf("plugin %s %q", b.file(), b.Name) }

// Options of a Host. Dir, StateDir and HostExecutable are absolute paths.
type Options struct {
	Dir            string // holds the plugins' files
	StateDir       string // below it each block gets a folder of its own, <kind>-<name>
	HostExecutable string // told to plugins; a runtime starts workers from it
	Plugins        []Block
	Log            *slog.Logger // nil: nothing is logged

	StartTimeout time.Duration // from a plugin's start until it is configured; 0: 30 s
	CallTimeout  time.Duration // of a call that is not a transfer or a wait; 0: 60 s
	PingEvery    time.Duration // between two health checks; 0: 2 s
	PingTimeout  time.Duration // of one health check; a plugin that misses two in a row is replaced; 0: 3 s
	RestartAfter time.Duration // the first pause before a plugin is started anew, about; it doubles up to 30 s; 0: 100 ms
}

const maxRestartAfter = 30 * time.Second

func (o *Options) setDefaults() {
	for value, fallback := range map[*time.Duration]time.Duration{
		&o.StartTimeout: 30 * time.Second,
		&o.CallTimeout:  60 * time.Second,
		&o.PingEvery:    2 * time.Second,
		&o.PingTimeout:  3 * time.Second,
		&o.RestartAfter: 100 * time.Millisecond,
	} {
		if *value == 0 {
			*value = fallback
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

var goodName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)

func (o *Options) check() error {
	for name, path := range map[string]string{"Dir": o.Dir, "StateDir": o.StateDir, "HostExecutable": o.HostExecutable} {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("pluginhost: %s %q is not an absolute path", name, path)
		}
	}
	seen := make(map[string]bool)
	for _, b := range o.Plugins {
		if b.Kind != plugin.KindRuntime && b.Kind != plugin.KindStorage {
			return fmt.Errorf("pluginhost: unknown kind of plugin %q", b.Kind)
		}
		if !goodName.MatchString(b.Plugin) || !goodName.MatchString(b.Name) {
			return fmt.Errorf("pluginhost: %s: letters, digits, dashes and underscores only", b)
		}
		key := string(b.Kind) + "-" + b.Name
		if seen[key] {
			return fmt.Errorf("pluginhost: two blocks %s %q", b.Kind, b.Name)
		}
		seen[key] = true
	}
	return nil
}

// Host is a set of running plugins.
type Host struct {
	plugins []*supervisor
	sockets *socketDir
	end     context.CancelFunc // of all supervisors
	running sync.WaitGroup
	closing sync.Once
}

// Open starts all plugins of o and returns at once; Ready tells what became of it. ctx bounds Open alone. It fails only
// for options that make no sense: a plugin that does not work concerns its callers.
func Open(ctx context.Context, o Options) (*Host, error) {
	o.setDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("pluginhost: open: %w", context.Cause(ctx))
	}
	sockets, err := newSocketDir()
	if err != nil {
		return nil, fmt.Errorf("pluginhost: %w", err)
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	h := &Host{sockets: sockets, end: end}
	for _, b := range o.Plugins {
		h.plugins = append(h.plugins, newSupervisor(b, o, sockets.path))
	}
	for _, s := range h.plugins {
		h.running.Go(func() { s.run(life) })
	}
	return h, nil
}

// Ready waits until each plugin is ready or its first start has failed, and returns what failed, each error naming its
// plugin.
func (h *Host) Ready(ctx context.Context) error {
	var errs []error
	for _, s := range h.plugins {
		select {
		case <-s.tried:
			errs = append(errs, s.firstErr)
		case <-ctx.Done():
			errs = append(errs, fmt.Errorf("%s is not ready: %w", s.block, context.Cause(ctx)))
		}
	}
	return errors.Join(errs...)
}

// Runtime returns the driver of a runtime block. A call waits for the plugin within its own context, fails at once with
// the reason while the plugin cannot be started, and is status.Unavailable, ErrPluginExited, when the plugin dies
// meanwhile.
func (h *Host) Runtime(name string) (runtime.Driver, error) {
	s, err := h.find(plugin.KindRuntime, name)
	if err != nil {
		return nil, err
	}
	return runtime.NewClient(s), nil
}

// Storage returns the driver of a storage block, as Runtime does.
func (h *Host) Storage(name string) (storage.Driver, error) {
	s, err := h.find(plugin.KindStorage, name)
	if err != nil {
		return nil, err
	}
	return storage.NewClient(s), nil
}

func (h *Host) find(kind plugin.Kind, name string) (*supervisor, error) {
	var known []string
	for _, s := range h.plugins {
		if s.block.Kind != kind {
			continue
		}
		if s.block.Name == name {
			return s, nil
		}
		known = append(known, s.block.Name)
	}
	slices.Sort(known)
	return nil, status.Errorf(status.NotFound, "no %s %q among: %s", kind, name, strings.Join(known, ", "))
}

// List answers what is known of each plugin, in the order of Options.Plugins.
func (h *Host) List() []Status {
	list := make([]Status, 0, len(h.plugins))
	for _, s := range h.plugins {
		list = append(list, s.status())
	}
	return list
}

// Close takes no further calls, lets those that run end until ctx ends (but for waits, which are cut), and ends all
// plugins. No process is left when it returns. Calling it again is harmless.
func (h *Host) Close(ctx context.Context) error {
	var err error
	h.closing.Do(func() {
		for _, s := range h.plugins {
			s.close()
		}
		for _, s := range h.plugins {
			s.drain(ctx)
		}
		h.end()
		h.running.Wait()
		err = h.sockets.remove()
	})
	return err
}

// Inspect starts the plugin of a block, asks who it is and which settings it takes, and ends it.
func Inspect(ctx context.Context, o Options, b Block) (plugin.Info, schema.Schema, error) {
	o.setDefaults()
	o.Plugins = []Block{b}
	if err := o.check(); err != nil {
		return plugin.Info{}, schema.Schema{}, err
	}
	sockets, err := newSocketDir()
	if err != nil {
		return plugin.Info{}, schema.Schema{}, fmt.Errorf("pluginhost: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, o.StartTimeout)
	defer cancel()
	i, err := start(ctx, b, o, sockets.path)
	if err == nil {
		i.close()
	} else {
		i = &instance{}
	}
	return i.info, i.schema, errors.Join(err, sockets.remove())
}
