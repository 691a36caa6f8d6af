package main

import (
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/recordhost/recordhost/internal/control"
	"github.com/recordhost/recordhost/internal/worker"
)

// newWorker is the process of one recording. Runtime plugins start it; nobody else has a bootstrap to give it.
func newWorker() *cobra.Command {
	return &cobra.Command{
		Use:    "worker",
		Short:  "Do one recording (started by a runtime plugin, with its bootstrap on standard input)",
		Hidden: true,
		Args:   exactly(0, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			bootstrap, err := control.ReadBootstrap(os.Stdin)
			if err != nil {
				return usage("worker: %w; workers are started by a runtime plugin", err)
			}
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			return worker.Run(ctx, bootstrap, slog.New(slog.NewJSONHandler(os.Stderr, nil)))
		},
	}
}
