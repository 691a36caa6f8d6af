package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/recordhost/recordhost/internal/control"
	"github.com/recordhost/recordhost/internal/task"
)

// showEach is how often the progress is looked up.
const showEach = 250 * time.Millisecond

// errAbandoned is the cause of a context that a second Ctrl-C ended.
var errAbandoned = errors.New("interrupted a second time")

// interrupts are the signals that end a recording.
type interrupts struct {
	asked   <-chan struct{} // closed at the first: stop, and finish the file
	release func()
}

// watchInterrupts watches for Ctrl-C, and for what a terminal that is closed or a supervisor sends. The second signal
// ends the context, with errAbandoned for a cause.
func watchInterrupts(parent context.Context) (context.Context, interrupts) {
	ctx, cancel := context.WithCancelCause(parent)
	received := make(chan os.Signal, 2)
	signal.Notify(received, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	asked := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for _, act := range []func(){func() { close(asked) }, func() { cancel(errAbandoned) }} {
			select {
			case <-received:
				act()
			case <-ctx.Done():
				return
			}
		}
	})
	return ctx, interrupts{asked: asked, release: func() {
		signal.Stop(received)
		cancel(context.Canceled)
		watching.Wait()
	}}
}

// leaving bounds how long a worker may take to clean up once its recording is finished.
const leaving = 20 * time.Second

// taken is a recording that has come to its end.
type taken struct {
	description task.Description
	figures     control.Progress
}

// follow starts a task, shows its progress, stops it when that is asked for, and returns once it is finished and its
// worker is gone.
func follow(ctx context.Context, tasks *task.Manager, start json.RawMessage, stop <-chan struct{}, show *show) (taken, error) {
	defer show.end()
	id, err := tasks.Start(ctx, start)
	if err != nil {
		return taken{}, err
	}
	type end struct {
		description task.Description
		err         error
	}
	waiting, cancel := context.WithCancel(ctx)
	finished := make(chan end, 1)
	go func() {
		d, err := tasks.Wait(waiting, id)
		finished <- end{d, err}
	}()
	fail := func(err error) (taken, error) {
		cancel()
		<-finished
		return taken{}, err
	}
	defer cancel()
	again := time.NewTicker(showEach)
	defer again.Stop()
	for {
		select {
		case e := <-finished:
			if e.err != nil {
				return taken{}, e.err
			}
			figures, err := tasks.Figures(ctx, id)
			if err != nil {
				return taken{}, err
			}
			return taken{e.description, figures}, leave(ctx, tasks)
		case <-stop:
			stop = nil
			show.stopping()
			if err := tasks.Stop(ctx, id); err != nil {
				return fail(err)
			}
		case <-again.C:
			figures, err := tasks.Figures(ctx, id)
			if err != nil {
				return fail(err)
			}
			show.figures(figures)
		}
	}
}

// leave waits until the worker is gone.
func leave(ctx context.Context, tasks *task.Manager) error {
	bounded, cancel := context.WithTimeout(ctx, leaving)
	defer cancel()
	return tasks.Drain(bounded)
}
