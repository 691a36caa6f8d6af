package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/recordhost/recordhost/internal/host"
)

// lookEach is how often a host that drains is looked at.
const lookEach = 200 * time.Millisecond

func newDrain() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "drain --config FILE",
		Short: "Let a host end once its recordings have ended",
		Long: `drain asks the host that runs on the configuration's data_dir to take no new recordings, and waits until those that
run have ended by themselves and the host with them. Ctrl-C ends the waiting alone: the host drains on.`,
		Args: exactly(0, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			if file == "" {
				return usage("drain needs --config FILE")
			}
			settings, err := load(file)
			if err != nil {
				return err
			}
			ctx, release := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer release()
			return drain(ctx, settings.DataDir, c.OutOrStdout())
		},
	}
	c.Flags().StringVar(&file, "config", "", "the configuration file that the host was started with")
	return c
}

// drain asks the host of a data directory to drain, and waits for its end.
func drain(ctx context.Context, dataDir string, out io.Writer) error {
	running, err := host.Find(dataDir)
	if err != nil {
		return err
	}
	if err := running.Drain(); err != nil {
		return err
	}
	fmt.Fprintf(out, "the host takes no new recordings (process %d)\n", running.Process.PID)
	again := time.NewTicker(lookEach)
	defer again.Stop()
	for told := 0; ; {
		now, err := host.Find(dataDir)
		switch {
		case errors.Is(err, host.ErrNone), err == nil && now.Process != running.Process:
			fmt.Fprintln(out, "the host has ended")
			return nil
		case err != nil:
			return err
		case now.Recordings != told:
			told = now.Recordings
			fmt.Fprintf(out, "recordings left: %d\n", told)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("not waited for: the host ends when its %d recordings have ended", told)
		}
	}
}
