// Package crowd is a process that is the workers of many tasks at once: each is a control.Client that tells of a recording and
// makes none. It outlives the host and its plugins, as workers do. The runtime plugin of bench/hostload starts it and gives
// it tasks; the measurement asks it how many of its workers have a host.
package crowd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/rpc"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/recordhost/recordhost/internal/control"
)

const (
	// reportEvery is how often a worker has new figures.
	reportEvery = 2 * time.Second
	// lifetime ends a crowd that was forgotten.
	lifetime = 15 * time.Minute
	// flushFor is how long a worker that has ended waits for a host.
	flushFor = time.Minute
)

// Crowd is the workers of one process. Its exported methods are called over net/rpc.
type Crowd struct {
	end context.CancelFunc
	ctx context.Context //nolint:containedctx // net/rpc gives its methods none: it is the process's life
	log *slog.Logger

	mu      sync.Mutex
	workers map[string]*worker // by the key of their launch
	all     sync.WaitGroup
}

// worker is one of them.
type worker struct {
	done   chan struct{}
	end    context.CancelFunc
	client *control.Client // nil until it has met the host
}

// None is no argument, or no answer.
type None struct{}

// Key names the worker of a launch.
func Key(task string, epoch uint64) string { return fmt.Sprintf("%s-%d", task, epoch) }

// Serve is the process: it returns when it was told to quit.
func Serve(socket string) error {
	ctx, cancel := context.WithTimeout(context.Background(), lifetime)
	defer cancel()
	c := &Crowd{ctx: ctx, end: cancel, log: slog.New(slog.NewJSONHandler(os.Stderr, nil)), workers: make(map[string]*worker)}
	server := rpc.NewServer()
	if err := server.Register(c); err != nil {
		return fmt.Errorf("crowd: %w", err)
	}
	part := socket + ".part"
	if err := os.Remove(part); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("crowd: %w", err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", part)
	if err != nil {
		return fmt.Errorf("crowd: %w", err)
	}
	if err := os.Rename(part, socket); err != nil { // who finds it can dial it
		return fmt.Errorf("crowd: %w", err)
	}
	go func() {
		<-ctx.Done()
		_ = listener.Close()
	}()
	for {
		conn, err := listener.Accept()
		if err != nil {
			break
		}
		go server.ServeConn(conn)
	}
	c.all.Wait()
	return nil
}

// Launch begins a worker.
func (c *Crowd) Launch(b control.Bootstrap, _ *None) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := Key(b.TaskID, b.Epoch)
	if c.workers[key] != nil {
		return nil
	}
	ctx, cancel := context.WithCancel(c.ctx)
	w := &worker{done: make(chan struct{}), end: cancel}
	c.workers[key] = w
	c.all.Go(func() {
		defer close(w.done)
		defer cancel()
		if err := c.work(ctx, w, b); err != nil && ctx.Err() == nil {
			c.log.Error("a worker has failed", "task_id", b.TaskID, "err", err)
		}
	})
	return nil
}

// Wait returns when a worker has ended, or is not known.
func (c *Crowd) Wait(key string, _ *None) error {
	if w := c.worker(key); w != nil {
		<-w.done
	}
	return nil
}

// Kill ends a worker.
func (c *Crowd) Kill(key string, _ *None) error {
	if w := c.worker(key); w != nil {
		w.end()
		<-w.done
	}
	return nil
}

// Runs says whether a worker has not ended.
func (c *Crowd) Runs(key string, runs *bool) error {
	if w := c.worker(key); w != nil {
		select {
		case <-w.done:
		default:
			*runs = true
		}
	}
	return nil
}

// Connected counts the workers that have a host.
func (c *Crowd) Connected(_ None, n *int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.workers {
		if w.client != nil && w.client.HostGone() == 0 {
			*n++
		}
	}
	return nil
}

// Quit ends the process.
func (c *Crowd) Quit(None, *None) error {
	c.end()
	return nil
}

func (c *Crowd) worker(key string) *worker {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.workers[key]
}

// work is a worker's life: it tells what one tells that records until it is stopped.
func (c *Crowd) work(ctx context.Context, w *worker, b control.Bootstrap) error {
	client, err := control.Dial(ctx, b, control.Options{})
	if err != nil {
		return err
	}
	c.set(w, client)
	defer func() {
		c.set(w, nil)
		_ = client.Close()
	}()
	began := client.Now()
	if err := errors.Join(client.Emit(control.Loaded{}), client.Emit(control.Started{At: began})); err != nil {
		return err
	}
	report := time.NewTicker(reportEvery)
	defer report.Stop()
	for running := true; running; {
		select {
		case <-report.C:
			gone := client.Now().Sub(began)
			client.Report(control.Progress{Recorded: gone, Frames: uint64(gone / (time.Second / 30))})
		case command, ok := <-client.Commands():
			if !ok {
				return control.ErrRefused
			}
			client.Applied(command.Number)
			running = command.Kind != control.CommandStop
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return c.finish(ctx, client, client.Now().Sub(began))
}

func (c *Crowd) set(w *worker, client *control.Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w.client = client
}

// finish tells of a delivery.
func (*Crowd) finish(ctx context.Context, client *control.Client, length time.Duration) error {
	var deliveries []control.Delivery
	for _, t := range client.Spec().Targets {
		deliveries = append(deliveries, control.Delivery{
			Storage: t.Storage, Filename: t.Main, Size: 1, Duration: length, URL: "file:///" + filepath.Base(t.Main),
		})
	}
	for _, body := range []control.Body{
		control.Stopping{Reason: control.ReasonStop}, control.Whole{Size: 1, Duration: length},
		control.Delivered{Deliveries: deliveries}, control.Done{},
	} {
		if err := client.Emit(body); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, flushFor)
	defer cancel()
	return client.Flush(ctx)
}
