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
data_dir takes them up again. Ctrl-C (SIGINT) drains it: no new recordings, every running one is stopped, its file
finished and delivered; a second Ctrl-C ends the host at once, as SIGTERM does.`,
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
	terminated, release := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer release()
	interrupts := make(chan os.Signal, 2)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)

	log.Info("recordhost starts", "version", version, "data_dir", settings.DataDir)
	h, err := host.Open(terminated, host.Options{Config: settings, Log: log})
	if err != nil {
		return refusal(err)
	}
	defer func() {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
		defer cancel()
		err = errors.Join(err, h.Close(bounded))
		log.Info("recordhost ends")
	}()
	server, err := h.API()
	if err != nil {
		return err
	}
	listener, err := api.Listen(ctx, settings.API.Listen)
	if err != nil {
		return err
	}
	log.Info("recordhost serves", "address", listener.Addr().String())
	serving, end := context.WithCancel(terminated)
	defer end()
	served := make(chan error, 1)
	go func() { served <- server.Serve(serving, listener) }()
	select {
	case err := <-served:
		return err
	case <-interrupts:
	}
	log.Info("draining: running recordings are stopped and delivered; Ctrl-C again leaves them to the next host")
	server.Drain()
	draining, abandon := context.WithCancel(serving)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer abandon()
	watching.Go(func() {
		select {
		case <-interrupts:
			abandon()
		case <-draining.Done():
		}
	})
	if err := h.Tasks().Drain(draining); err != nil && draining.Err() == nil {
		log.Error("drain", "err", err)
	}
	end()
	return <-served
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
