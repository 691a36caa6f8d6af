package plugin

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

// How long calls that were cut when the server stopped may clean up after themselves. go-plugin's host side kills a plugin
// two seconds after it asked it to end. endWithin is for the case that nobody is left to kill it.
const (
	cleanUpWithin = 1500 * time.Millisecond
	endWithin     = 10 * time.Second
)

// Serve runs a plugin process until its host ends it or is gone. It is all that main does, and owns the process: signals of the
// terminal (SIGINT, SIGHUP) are left to the host, SIGTERM ends the plugin in order, standard output and error belong to
// go-plugin. When the host is gone, however it died, the plugin cuts running calls by their contexts and ends: no plugin
// survives its host by more than a few seconds.
//
// glue makes go-plugin's view of the driver, which is not there before Configure.
func Serve[C, D any](def Definition[C, D], glue func(driver func() (D, error)) goplugin.Plugin) {
	stderr := &lineWriter{out: os.Stderr}
	instance, err := NewInstance(def, slog.New(newLogHandler(stderr, logLevel())))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if !startedByHost() {
		explain(os.Stderr, def.Kind, def.Name, instance.def.Version)
		os.Exit(1)
	}
	set := goplugin.PluginSet{BaseName: NewGRPCPlugin(instance), string(def.Kind): glue(instance.Driver)}
	serve(set, stderr)
	if err := instance.Close(); err != nil {
		instance.log.Error("plugin ends", "err", err)
		os.Exit(1)
	}
}

// maxCall is how many bytes a call's arguments may have. A recording of ten hours is stored with some 72000 pieces, each with
// its path; gRPC's own limit is 4 MiB.
const maxCall = 64 << 20

// serve runs go-plugin's server and waits for all that was begun.
func serve(set goplugin.PluginSet, stderr io.Writer) {
	stop := &stopper{}
	ctx, cancel := context.WithCancel(context.Background())
	var watchers sync.WaitGroup
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE)
	defer signal.Stop(signals)
	watchers.Go(func() { stop.onSignal(ctx, signals) })
	watchers.Go(func() {
		if watchParent(ctx) {
			stop.stop()
		}
	})
	var calls callGate
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig:  Handshake(),
		VersionedPlugins: map[int]goplugin.PluginSet{Protocol: set},
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			server := grpc.NewServer(append(opts, grpc.ChainUnaryInterceptor(calls.pass), grpc.MaxRecvMsgSize(maxCall))...)
			stop.use(server)
			return server
		},
		Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: stderr, JSONFormat: true}),
	})
	cancel()
	watchers.Wait()
	calls.wait(cleanUpWithin)
}

// explain tells a person who started the plugin by hand what it is.
func explain(w io.Writer, kind Kind, name, version string) {
	fmt.Fprintf(w, `This is %[1]s-%[2]s %[3]s, a %[1]s plugin of recordhost. It is started by recordhost, not by hand.
Put it into the plugin_dir of your recordhost.hcl and name it there:

    %[1]s %[2]q "any-name" { … }

`+"`recordhost plugin list`"+` shows the plugins that recordhost finds.
`, kind, name, version)
}

// stopper stops the server, also when it is asked to before there is one.
type stopper struct {
	mu      sync.Mutex
	server  *grpc.Server
	stopped bool
}

func (s *stopper) use(server *grpc.Server) {
	s.mu.Lock()
	s.server = server
	stopped := s.stopped
	s.mu.Unlock()
	if stopped {
		server.Stop()
	}
}

// stop cuts all calls by their contexts and ends the server. A process that is stuck all the same is ended hard.
func (s *stopper) stop() {
	time.AfterFunc(endWithin, func() { os.Exit(1) })
	s.mu.Lock()
	s.stopped = true
	server := s.server
	s.mu.Unlock()
	if server != nil {
		server.Stop()
	}
}

// onSignal stops the server at SIGTERM and swallows what is meant for the host. SIGPIPE is swallowed too: a log line
// that nobody reads any more must not end a plugin before it cleaned up. Signals are taken, not ignored, since ignored
// signals would stay ignored in the programs that a plugin starts.
func (s *stopper) onSignal(ctx context.Context, signals <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case sig := <-signals:
			if sig == syscall.SIGTERM {
				s.stop()
			}
		}
	}
}

// callGate is passed by every call while it runs.
type callGate struct {
	running sync.RWMutex // read-held by each call
}

func (g *callGate) pass(
	ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler,
) (any, error) {
	g.running.RLock()
	defer g.running.RUnlock()
	return handler(ctx, req)
}

// wait returns when no call runs any more, at the latest after limit. Calls that come later are held for good.
func (g *callGate) wait(limit time.Duration) {
	done := make(chan struct{})
	go func() {
		g.running.Lock()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(limit):
	}
}
