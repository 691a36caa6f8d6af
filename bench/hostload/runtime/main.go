// Runtime-load is the runtime plugin of bench/hostload: its workers are those of a few crowds, processes that outlive it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/rpc"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/recordhost/recordhost/bench/hostload/crowd"
	"github.com/recordhost/recordhost/internal/control"
	"github.com/recordhost/recordhost/sdk/plugin"
	"github.com/recordhost/recordhost/sdk/proc"
	"github.com/recordhost/recordhost/sdk/runtime"
	"github.com/recordhost/recordhost/sdk/status"
)

// crowds is how many processes the workers are in.
const crowds = 4

// config is the plugin's settings.
type config struct {
	Slots int `config:"slots" doc:"tasks at a time"`
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "crowd" {
		if err := crowd.Serve(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	runtime.Serve(runtime.Plugin[config]{Name: "load", New: newDriver})
}

// driver gives each task to one of the crowds.
type driver struct {
	dir string

	mu    sync.Mutex
	peers [crowds]*rpc.Client
}

var _ runtime.Driver = (*driver)(nil)

func newDriver(_ context.Context, env plugin.Env, _ config) (runtime.Driver, error) {
	return &driver{dir: env.StateDir}, nil
}

// handle names a worker: the crowd's process is not followed beyond its socket.
type handle struct {
	Key   string
	Crowd int
}

// peer is the connection to a crowd, which is started where it is missing and may be.
func (d *driver) peer(ctx context.Context, i int, start bool) (*rpc.Client, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.peers[i] != nil {
		return d.peers[i], nil
	}
	socket := filepath.Join(d.dir, fmt.Sprintf("crowd-%d", i))
	client, err := rpc.Dial("unix", socket)
	if err != nil && start {
		client, err = d.start(ctx, socket)
	}
	if err != nil {
		return nil, status.Wrap(status.Unavailable, err)
	}
	d.peers[i] = client
	return client, nil
}

func (d *driver) start(ctx context.Context, socket string) (*rpc.Client, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(socket + ".log")
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	if _, err := proc.Start(ctx, proc.Spec{
		Path: self, Args: []string{"crowd", socket}, Dir: "/", Stdout: log, Stderr: log, Detached: true,
	}); err != nil {
		return nil, err
	}
	for {
		client, err := rpc.Dial("unix", socket)
		if err == nil {
			return client, nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// call asks a crowd, for as long as ctx lives.
func (d *driver) call(ctx context.Context, b runtime.Handle, method string, answer any) error {
	var h handle
	if err := json.Unmarshal(b, &h); err != nil || h.Crowd < 0 || h.Crowd >= crowds {
		return status.Errorf(status.InvalidArgument, "not a handle of runtime-load")
	}
	peer, err := d.peer(ctx, h.Crowd, false)
	if err != nil {
		return err
	}
	select {
	case call := <-peer.Go("Crowd."+method, h.Key, answer, make(chan *rpc.Call, 1)).Done:
		return call.Error
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Capacity implements runtime.Driver.
func (*driver) Capacity(context.Context) (runtime.Capacity, error) {
	return runtime.Capacity{Free: -1}, nil
}

// Launch implements runtime.Driver.
func (d *driver) Launch(ctx context.Context, l runtime.Launch) (runtime.Handle, error) {
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(l.TaskID))
	h := handle{Key: crowd.Key(l.TaskID, l.Epoch), Crowd: int(sum.Sum32() % crowds)}
	peer, err := d.peer(ctx, h.Crowd, true)
	if err != nil {
		return nil, err
	}
	b := control.Bootstrap{TaskID: l.TaskID, Epoch: l.Epoch, Control: l.Control, Token: l.Token}
	if err := peer.Call("Crowd.Launch", b, &crowd.None{}); err != nil {
		return nil, err
	}
	return json.Marshal(h)
}

// Recover implements runtime.Driver.
func (d *driver) Recover(ctx context.Context, b runtime.Handle) (runtime.State, error) {
	var runs bool
	if err := d.call(ctx, b, "Runs", &runs); err != nil {
		return runtime.StateUnknown, err
	}
	if runs {
		return runtime.StateRunning, nil
	}
	return runtime.StateGone, nil
}

// Wait implements runtime.Driver.
func (d *driver) Wait(ctx context.Context, b runtime.Handle) (runtime.Exit, error) {
	return runtime.Exit{}, d.call(ctx, b, "Wait", &crowd.None{})
}

// Kill implements runtime.Driver.
func (d *driver) Kill(ctx context.Context, b runtime.Handle, _ time.Duration) error {
	return d.call(ctx, b, "Kill", &crowd.None{})
}
