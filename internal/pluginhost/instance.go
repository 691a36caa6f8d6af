package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/recordhost/recordhost/sdk/plugin"
	"github.com/recordhost/recordhost/sdk/runtime"
	"github.com/recordhost/recordhost/sdk/schema"
	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

const (
	// endWithin is how long a plugin that is asked to end may take. The SDK's takes at most 1.5 s to clean up after calls.
	endWithin = 5 * time.Second
	// missedPings in a row are a hang.
	missedPings = 2
)

// instance is one process of a plugin.
type instance struct {
	block  Block
	opts   Options
	log    *slog.Logger
	client *goplugin.Client
	runner *runner
	conn   *grpc.ClientConn

	info         plugin.Info
	schema       schema.Schema
	settings     []byte
	capabilities *storage.Capabilities
}

// refused is an error of settings that the plugin would refuse again.
type refused struct{ error }

// Unwrap makes the plugin's own words, and their kind, visible.
func (r refused) Unwrap() error { return r.error }

// start starts the plugin of b and asks who it is. Every error names the plugin and says what is wrong with it; no
// process is left then.
func start(ctx context.Context, b Block, o Options, sockets string) (*instance, error) {
	i := &instance{block: b, opts: o, log: o.Log.With("plugin", b.file(), "name", b.Name)}
	file := filepath.Join(o.Dir, b.file())
	if err := checkFile(file, b.SHA256); err != nil {
		return nil, i.failure(status.FailedPrecondition, err)
	}
	i.runner = newRunner(file, i.log)
	i.client = goplugin.NewClient(i.clientConfig(ctx, sockets))
	// go-plugin takes no context: when ours ends, the process ends, and with it whatever go-plugin waits for.
	stop := context.AfterFunc(ctx, i.runner.abort)
	defer stop()
	err := i.connect()
	if err == nil {
		err = i.identify(ctx)
	}
	if err != nil {
		err = i.startFailure(ctx, err)
		i.close()
		return nil, err
	}
	return i, nil
}

func (i *instance) clientConfig(ctx context.Context, sockets string) *goplugin.ClientConfig {
	set := goplugin.PluginSet{plugin.BaseName: &plugin.GRPCPlugin{}}
	switch i.block.Kind {
	case plugin.KindRuntime:
		set[string(plugin.KindRuntime)] = &runtime.GRPCPlugin{}
	case plugin.KindStorage:
		set[string(plugin.KindStorage)] = &storage.GRPCPlugin{}
	}
	return &goplugin.ClientConfig{
		HandshakeConfig:  plugin.Handshake(),
		VersionedPlugins: map[int]goplugin.PluginSet{plugin.Protocol: set},
		RunnerFunc:       i.runner.prepare(environ(ctx, i.block.Env, i.log)),
		AutoMTLS:         true,
		SkipHostEnv:      true,
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		StartTimeout:     i.opts.StartTimeout,
		Logger:           goPluginLog(ctx, i.log),
		SyncStdout:       newLineLog(i.log, slog.LevelInfo),
		SyncStderr:       newLineLog(i.log, slog.LevelInfo),
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: sockets},
	}
}

// connect starts the process and takes the connection to it.
func (i *instance) connect() error {
	if _, err := i.client.Start(); err != nil {
		return err
	}
	protocol, err := i.client.Client()
	if err != nil {
		return err
	}
	client, ok := protocol.(*goplugin.GRPCClient)
	if !ok {
		return fmt.Errorf("unexpected protocol %T", protocol)
	}
	i.conn = client.Conn
	return nil
}

// identify asks the plugin who it is and which settings it takes.
func (i *instance) identify(ctx context.Context) (err error) {
	base := plugin.NewClient(i.conn)
	if i.info, err = base.Info(ctx); err != nil {
		return fmt.Errorf("info: %w", err)
	}
	if i.info.Kind != i.block.Kind || i.info.Name != i.block.Plugin {
		return fmt.Errorf("the file holds the plugin %s-%s", i.info.Kind, i.info.Name)
	}
	if i.schema, err = base.ConfigSchema(ctx); err != nil {
		return fmt.Errorf("settings' form: %w", err)
	}
	return nil
}

// configure gives the plugin its settings and its folder.
func (i *instance) configure(ctx context.Context) (err error) {
	i.settings = []byte("{}")
	if i.block.Settings != nil {
		if i.settings, err = i.block.Settings(i.schema); err != nil {
			return i.failure(status.InvalidArgument, refused{err})
		}
	}
	dir, err := i.stateDir()
	if err != nil {
		return i.failure(status.FailedPrecondition, err)
	}
	stop := context.AfterFunc(ctx, i.runner.abort)
	defer stop()
	err = plugin.NewClient(i.conn).Configure(ctx, plugin.Configuration{
		JSON: i.settings, StateDir: dir, HostExecutable: i.opts.HostExecutable,
	})
	if err != nil && status.KindOf(err) == status.InvalidArgument {
		return i.failure(status.InvalidArgument, refused{err})
	}
	if err != nil {
		return i.startFailure(ctx, fmt.Errorf("configure: %w", err))
	}
	if i.block.Kind != plugin.KindStorage {
		return nil
	}
	capabilities, err := storage.NewClient(i.conn).Capabilities(ctx)
	if err != nil {
		return i.startFailure(ctx, fmt.Errorf("capabilities: %w", err))
	}
	i.capabilities = &capabilities
	return nil
}

// stateDir is the block's own folder, made where it is missing, open to nobody else.
func (i *instance) stateDir() (string, error) {
	dir := filepath.Join(i.opts.StateDir, string(i.block.Kind)+"-"+i.block.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("state folder: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return "", fmt.Errorf("state folder: %w", err)
	}
	return dir, nil
}

// watch returns why the process is no longer fit for calls: it has ended, hangs, or ctx has ended.
func (i *instance) watch(ctx context.Context) error {
	tick := time.NewTicker(i.opts.PingEvery)
	defer tick.Stop()
	for missed := 0; ; {
		select {
		case <-ctx.Done():
			return i.failure(status.Unavailable, context.Cause(ctx))
		case <-i.runner.child.Done():
			return i.exited()
		case <-tick.C:
		}
		if err := i.ping(ctx); err == nil {
			missed = 0
		} else if missed++; missed >= missedPings && ctx.Err() == nil && !i.ended() {
			i.runner.abort()
			return i.failure(status.Unavailable, fmt.Errorf("it hangs: %d health checks without an answer: %w", missed, err))
		}
	}
}

func (i *instance) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, i.opts.PingTimeout)
	defer cancel()
	_, err := grpc_health_v1.NewHealthClient(i.conn).
		Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: goplugin.GRPCServiceName})
	return err
}

// close ends the process: it is asked to, and after a while made to. It returns when it is gone.
func (i *instance) close() {
	killed := make(chan struct{})
	go func() { // go-plugin's own request to end has no time limit
		i.client.Kill()
		close(killed)
	}()
	timer := time.NewTimer(endWithin)
	defer timer.Stop()
	select {
	case <-killed:
	case <-timer.C:
	}
	i.runner.abort()
	<-killed
	i.runner.wait()
}

func (i *instance) pid() int { return i.runner.child.Identity().PID }

func (i *instance) ended() bool {
	select {
	case <-i.runner.child.Done():
		return true
	default:
		return false
	}
}

// end says how the process ended; it has.
func (i *instance) end() error {
	if err := i.runner.child.Exit().Err(); err != nil {
		return err
	}
	return errors.New("exit code 0")
}

func (i *instance) exited() error {
	return status.Wrap(status.Unavailable, &exitError{doing: i.block.String(), how: i.end()})
}

// startFailure says why a start went wrong. The plugin's own end or nonsense explains more than what go-plugin made of it,
// and the end of the time explains that end.
func (i *instance) startFailure(ctx context.Context, err error) error {
	byItself := i.runner.endedByItself()
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return i.failure(status.Unavailable, fmt.Errorf("it hangs: not ready within %s of its start%s",
			i.opts.StartTimeout, i.runner.lastWords()))
	case ctx.Err() != nil:
		return i.failure(status.Canceled, context.Cause(ctx))
	case i.runner.startErr != nil:
		return i.failure(status.FailedPrecondition, i.runner.startErr)
	case i.runner.stdout != nil && i.runner.stdout.fault() != nil:
		return i.failure(status.FailedPrecondition, fmt.Errorf("%w%s", i.runner.stdout.fault(), i.runner.lastWords()))
	case byItself:
		return i.exited()
	default:
		return i.failure(status.Unavailable, err)
	}
}

func (i *instance) failure(kind status.Kind, err error) error {
	return status.Errorf(kind, "%s: %w", i.block, err)
}
