package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/recordhost/recordhost/sdk/plugin"
	"github.com/recordhost/recordhost/sdk/proc"
	"github.com/recordhost/recordhost/sdk/runtime"
	"github.com/recordhost/recordhost/sdk/status"
)

// retryAfter is told with NoCapacity: recordings are long, but any may end.
const retryAfter = 10 * time.Second

// driver runs workers as processes. What it knows beyond the handles is how workers that it launched itself have ended;
// everything else is read from the process table and from the roster.
type driver struct {
	config config
	logs   logs
	log    *slog.Logger
	roster *roster

	launching sync.Mutex // from counting the workers to counting in the next

	mu       sync.Mutex
	children map[string]*proc.Child // by mark: launched by this driver, running
	ends     ends
	watchers sync.WaitGroup
	closed   chan struct{}
}

var (
	_ runtime.Driver = (*driver)(nil)
	_ io.Closer      = (*driver)(nil)
)

func local() runtime.Plugin[config] {
	return runtime.Plugin[config]{Name: "local", Version: version, New: newDriver}
}

func newDriver(_ context.Context, env plugin.Env, c config) (runtime.Driver, error) {
	if err := c.complete(env); err != nil {
		return nil, status.Wrap(status.InvalidArgument, err)
	}
	roster, err := newRoster(filepath.Join(env.StateDir, "workers"))
	if err != nil {
		return nil, err
	}
	d := &driver{
		config: c, logs: logs{dir: env.StateDir, keep: c.KeepLogs}, log: env.Log,
		roster: roster, children: make(map[string]*proc.Child), closed: make(chan struct{}),
	}
	return d, nil
}

// Close ends the driver, and no worker.
func (d *driver) Close() error {
	close(d.closed)
	d.watchers.Wait()
	return nil
}

// Capacity implements runtime.Driver.
func (d *driver) Capacity(ctx context.Context) (runtime.Capacity, error) {
	if err := ctx.Err(); err != nil {
		return runtime.Capacity{}, err
	}
	running, err := d.roster.running()
	if err != nil {
		return runtime.Capacity{}, err
	}
	return runtime.Capacity{Running: running, Free: max(0, d.config.Slots-running)}, nil
}

// Launch implements runtime.Driver.
func (d *driver) Launch(ctx context.Context, l runtime.Launch) (runtime.Handle, error) {
	d.launching.Lock()
	defer d.launching.Unlock()
	capacity, err := d.Capacity(ctx)
	if err != nil {
		return nil, err
	}
	if capacity.Free == 0 && l.Epoch <= 1 { // a later one has the room of the worker that it replaces
		full := status.Errorf(status.NoCapacity, "all %d slots are taken", d.config.Slots)
		return nil, status.WithRetryAfter(full, retryAfter)
	}
	if err := d.endEarlier(ctx, l); err != nil {
		return nil, fmt.Errorf("launch: %w", err)
	}
	child, err := d.start(ctx, l)
	if err != nil {
		return nil, fmt.Errorf("launch: %w", err)
	}
	h := handle{Version: handleVersion, TaskID: l.TaskID, Epoch: l.Epoch, Process: child.Identity(), Machine: machine()}
	encoded, err := h.encode()
	if err == nil {
		err = d.roster.add(h)
	}
	if err != nil { // a worker that could not be found again must not be
		_, stopErr := child.Stop(context.WithoutCancel(ctx), 0)
		return nil, fmt.Errorf("launch: %w", errors.Join(err, stopErr))
	}
	d.mu.Lock()
	d.children[h.Process.Mark] = child
	d.mu.Unlock()
	d.watchers.Go(func() { d.watch(context.WithoutCancel(ctx), h, child) })
	d.log.Info("worker launched", "task_id", l.TaskID, "epoch", l.Epoch, "pid", h.Process.PID)
	return encoded, nil
}

// endEarlier ends the workers of earlier launches of the task that nobody knows of: those whose Launch was never answered.
func (d *driver) endEarlier(ctx context.Context, l runtime.Launch) error {
	if l.Epoch <= 1 {
		return nil
	}
	earlier, err := d.roster.of(l.TaskID)
	if err != nil {
		return err
	}
	for _, h := range earlier {
		if h.Epoch >= l.Epoch {
			continue
		}
		if err := h.Process.Stop(ctx, 0); err != nil && !errors.Is(err, proc.ErrElsewhere) {
			return fmt.Errorf("end the worker of launch %d: %w", h.Epoch, err)
		}
	}
	return nil
}

// bootstrap is what a worker reads on its standard input. The token travels nowhere else.
type bootstrap struct {
	TaskID  string
	Epoch   uint64
	Control []string
	Token   string
}

// start starts the worker in a session of its own. It has no tie to this process: its input is in the kernel already,
// its output goes to a file.
func (d *driver) start(ctx context.Context, l runtime.Launch) (*proc.Child, error) {
	input, err := json.Marshal(bootstrap{TaskID: l.TaskID, Epoch: l.Epoch, Control: l.Control, Token: l.Token})
	if err != nil {
		return nil, err
	}
	log, err := d.logs.create(l)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	return proc.Start(ctx, proc.Spec{
		Path: d.config.Worker, Args: []string{"worker"}, Dir: "/", Env: workerEnv(),
		Input: input, Stdout: log, Stderr: log, Detached: true,
	})
}

// workerEnv is all that a worker gets of an environment.
func workerEnv() []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "LANG", "TZ"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// watch keeps how a worker ends, unless the driver ends before.
func (d *driver) watch(ctx context.Context, h handle, child *proc.Child) {
	select {
	case <-child.Done():
	case <-d.closed:
		return
	}
	exit, err := child.Wait(ctx) // at once
	if err != nil {
		d.log.Error("a worker left processes behind", "task_id", h.TaskID, "err", err)
	}
	d.mu.Lock()
	delete(d.children, h.Process.Mark)
	d.ends.add(h.Process.Mark, known(exit))
	d.mu.Unlock()
	if err := d.roster.remove(h); err != nil {
		d.log.Warn("a worker that has ended stays on the list", "task_id", h.TaskID, "err", err)
	}
	end := known(exit)
	d.log.Info("worker ended", "task_id", h.TaskID, "epoch", h.Epoch, "code", end.Code, "signal", end.Signal)
}

func known(e proc.Exit) runtime.Exit {
	exit := runtime.Exit{Known: true, Code: e.Code}
	if e.Signal != 0 {
		exit.Signal = e.Signal.String()
	}
	return exit
}

// Recover implements runtime.Driver. What a worker that has ended left running is ended before it is called gone.
func (d *driver) Recover(ctx context.Context, b runtime.Handle) (runtime.State, error) {
	h, err := decodeHandle(b)
	if err != nil {
		return runtime.StateUnknown, err
	}
	if err := ctx.Err(); err != nil {
		return runtime.StateUnknown, err
	}
	running, err := h.Process.Running()
	switch {
	case errors.Is(err, proc.ErrElsewhere) && h.before():
		return runtime.StateGone, nil
	case errors.Is(err, proc.ErrElsewhere):
		return runtime.StateNotHere, nil
	case err != nil:
		return runtime.StateUnknown, err
	case running:
		return runtime.StateRunning, nil
	}
	if err := h.Process.Wait(ctx); err != nil {
		return runtime.StateUnknown, err
	}
	return runtime.StateGone, nil
}

// Wait implements runtime.Driver. The code of a worker is known as long as the driver that launched it lives.
func (d *driver) Wait(ctx context.Context, b runtime.Handle) (runtime.Exit, error) {
	h, err := decodeHandle(b)
	if err != nil {
		return runtime.Exit{}, err
	}
	d.mu.Lock()
	child := d.children[h.Process.Mark]
	exit, ended := d.ends.of(h.Process.Mark)
	d.mu.Unlock()
	switch {
	case ended:
		return exit, nil
	case child != nil:
		exit, err := child.Wait(ctx)
		if err != nil {
			return runtime.Exit{}, err
		}
		return known(exit), nil
	}
	if err := h.Process.Wait(ctx); err != nil {
		return runtime.Exit{}, notHere(err)
	}
	if err := d.roster.remove(h); err != nil {
		return runtime.Exit{}, err
	}
	return runtime.Exit{}, nil
}

// Kill implements runtime.Driver. When ctx ends within the grace the worker has been asked and nothing more.
func (d *driver) Kill(ctx context.Context, b runtime.Handle, grace time.Duration) error {
	h, err := decodeHandle(b)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if grace > 0 {
		gone, err := ask(ctx, h.Process, grace)
		if err != nil {
			return notHere(err)
		}
		if gone {
			return d.settle(ctx, h)
		}
	}
	if err := h.Process.Stop(ctx, 0); err != nil {
		return notHere(err)
	}
	return d.settle(ctx, h)
}

// ask asks a process to end, and says whether it was gone within the grace.
func ask(ctx context.Context, p proc.Identity, grace time.Duration) (gone bool, err error) {
	if err := p.Terminate(); err != nil {
		return false, err
	}
	graceful, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	err = p.Wait(graceful)
	if graceful.Err() != nil && ctx.Err() == nil {
		return false, nil
	}
	return err == nil, err
}

// settle waits until it is known how a worker that is gone has ended, and takes it off the list.
func (d *driver) settle(ctx context.Context, h handle) error {
	d.mu.Lock()
	child := d.children[h.Process.Mark]
	d.mu.Unlock()
	if child != nil {
		if _, err := child.Wait(ctx); err != nil {
			return err
		}
	}
	return d.roster.remove(h)
}

// notHere classifies what cannot be done to a process of another boot or machine.
func notHere(err error) error {
	if errors.Is(err, proc.ErrElsewhere) {
		return status.Wrap(status.FailedPrecondition, err)
	}
	return err
}
