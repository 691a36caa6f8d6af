package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/recordhost/recordhost/internal/api"
	"github.com/recordhost/recordhost/internal/config"
	"github.com/recordhost/recordhost/internal/host"
	"github.com/recordhost/recordhost/internal/task"
)

// closing bounds how long calls to plugins may take to end when the host ends.
const closing = 10 * time.Second

func newServe() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run the host: answer the API and make recordings",
		Long: `serve runs until it is told to end.

SIGTERM ends the host and leaves the recordings alone: their workers record on, and the next host on the same
data_dir takes them up again; with on_term = "drain" in the configuration it does what 'recordhost drain' does.
Ctrl-C (SIGINT) takes no new recordings, stops every running one, finishes its file, delivers it, and ends; a
second Ctrl-C ends the host at once and leaves the recordings alone.`,
		Args: exactly(0, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			if file == "" {
				return usage("serve needs --config FILE")
			}
			settings, err := load(file)
			if err != nil {
				return err
			}
			log, err := logger(c, slog.LevelInfo)
			if err != nil {
				return err
			}
			return serve(c.Context(), settings, log)
		},
	}
	c.Flags().StringVar(&file, "config", "", "the configuration file")
	return c
}

func serve(ctx context.Context, settings *config.Config, log *slog.Logger) (err error) {
	living, asked := watchSignals(ctx, settings.OnTerm)
	defer asked.release()

	log.Info("recordhost starts", "version", version, "data_dir", settings.DataDir)
	h, err := host.Open(living, host.Options{Config: settings, Log: log})
	if err != nil {
		return refusal(err)
	}
	defer func() {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
		defer cancel()
		err = errors.Join(err, h.Close(bounded))
		log.Info("recordhost ends")
	}()
	if err := h.Announce(); err != nil {
		return err
	}
	server, err := h.API()
	if err != nil {
		return err
	}
	listener, err := api.Listen(ctx, settings.API.Listen)
	if err != nil {
		return err
	}
	log.Info("recordhost serves", "address", listener.Addr().String())
	serving, end := context.WithCancel(living)
	defer end()
	served := make(chan error, 1)
	go func() { served <- server.Serve(serving, listener) }()
	select {
	case err := <-served:
		return err
	case <-asked.stop:
		log.Info("draining: running recordings are stopped and delivered; Ctrl-C again leaves them to the next host")
		server.Drain()
		err = h.Tasks().Drain(living)
	case <-asked.finish:
		log.Info("draining: running recordings go on until they end; SIGTERM or Ctrl-C leaves them to the next host")
		server.Drain()
		err = h.Tasks().Finish(living, func(left int) { tellLeft(h, left, log) })
	}
	if err != nil && living.Err() == nil {
		log.Error("drain", "err", err)
	}
	end()
	return <-served
}

// tellLeft tells who reads the log, and who waits with `recordhost drain`.
func tellLeft(h *host.Host, left int, log *slog.Logger) {
	log.Info("draining", "recordings", left)
	if err := h.AnnounceLeft(left); err != nil {
		log.Warn("recordhost drain will not see how many recordings are left", "err", err)
	}
}

// wishes are what signals ask of a host, besides to end at once.
type wishes struct {
	stop    <-chan struct{} // closed: stop all recordings, and end when they are delivered
	finish  <-chan struct{} // closed: end when all recordings have ended
	release func()
}

// watchSignals watches what a host may be told. The context ends when it is to end at once and leave its recordings to
// the next host: that is what SIGTERM means unless onTerm says otherwise, and whatever else comes once it drains.
func watchSignals(parent context.Context, onTerm string) (context.Context, wishes) {
	ctx, cancel := context.WithCancel(parent)
	received := make(chan os.Signal, 4)
	signal.Notify(received, syscall.SIGTERM, os.Interrupt, syscall.SIGUSR1)
	stop, finish := make(chan struct{}), make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for draining := false; ; {
			var s os.Signal
			select {
			case s = <-received:
			case <-ctx.Done():
				return
			}
			switch {
			case draining && s == syscall.SIGUSR1: // asked for again
			case draining, s == syscall.SIGTERM && onTerm != config.OnTermDrain:
				cancel()
				return
			case s == os.Interrupt:
				draining = true
				close(stop)
			default:
				draining = true
				close(finish)
			}
		}
	})
	return ctx, wishes{stop: stop, finish: finish, release: func() {
		signal.Stop(received)
		cancel()
		watching.Wait()
	}}
}

// refusal says whose fault it is that nothing is recorded: a mistake in the configuration or in what was asked for is
// the caller's.
func refusal(err error) error {
	if _, ok := errors.AsType[*config.Error](err); ok {
		return &exitError{exitUsage, mistakes(err)}
	}
	if e, ok := errors.AsType[*task.Error](err); ok && e.Code == task.CodeInvalidParam {
		return &exitError{exitUsage, err}
	}
	return err
}
