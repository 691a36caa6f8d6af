// Package worker is one recording, from the page to the stored file. It runs in a process of its own, which the runtime
// plugin started, and dials the host for its work; package main's hidden command alone calls it.
//
// It reads from top to bottom: Run connects, a recording opens the page behind its own screen and sound card, records
// it into the spool while obeying the host, the page and its limits, makes the file whole, and delivers it. Where Chrome or
// an earlier worker was lost, it goes on in the same spool; what is missing is cut out and told.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/recordhost/recordhost/internal/control"
	"github.com/recordhost/recordhost/sdk/proc"
)

// flushFor is how long a worker that has ended waits for a host to take its last events.
const flushFor = 24 * time.Hour

// Run does the recording that the bootstrap admits this process to, and returns when all of it is done and known to the
// host. When ctx ends, the recording ends as if stopped: its file is finished and delivered. Where nothing was recorded yet,
// the worker ends without a word.
func Run(ctx context.Context, b control.Bootstrap, log *slog.Logger) error {
	return Parts{}.Run(ctx, b, log)
}

// Run is the function Run with these parts.
func (p Parts) Run(ctx context.Context, b control.Bootstrap, log *slog.Logger) error {
	log = log.With("task_id", b.TaskID, "epoch", b.Epoch)
	if err := proc.AdoptOrphans(); err != nil {
		log.Warn("children of Chrome that lose their parent will not be waited for", "err", err)
	}
	client, err := control.Dial(ctx, b, control.Options{Log: log})
	if err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	defer func() { _ = client.Close() }()

	r := newRecording(client, p, log)
	if !client.Done() {
		err = r.run(ctx)
	}
	switch {
	case errors.Is(err, errUnbegun): // the host gives the task another worker
		r.cleanUp()
		return err
	case err != nil:
		r.fail(err)
	}
	r.emit(control.Done{})
	r.cleanUp()

	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushFor)
	defer cancel()
	if err := client.Flush(wait); err != nil && !errors.Is(err, control.ErrOrphaned) {
		return fmt.Errorf("worker: tell the host of the end: %w", err)
	}
	return nil
}
