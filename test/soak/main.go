// Soak makes recordings, one after the other and several at once, on one host, and looks whether the host and its plugins take
// ever more memory, descriptors and threads, or leave anything behind: `make soak`, for three hours, or SOAK. `make test` runs a
// short one. These recordings are package synthetic's, so that it is the host that is tried, not Chrome. Beside them one
// recording in a real Chrome lasts as long: its sound may not move against its picture, nor its worker grow.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"time"
)

func main() {
	length := flag.Duration("for", 3*time.Hour, "how long")
	least := flag.Int("tasks", 1000, "how many recordings at least, however long that takes")
	lanes := flag.Int("lanes", 4, "how many recordings at once")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, soak{length: *length, least: *least, lanes: *lanes, looks: 60, out: os.Stdout})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// run soaks, with a film beside.
func run(ctx context.Context, s soak) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var shot error
	var beside sync.WaitGroup
	beside.Go(func() {
		shot = film{length: s.length, looks: s.looks, bars: bars{drift: 20, spacing: 1, growth: 32 << 20}, out: s.out}.shoot(ctx)
		if shot != nil {
			cancel()
		}
	})
	err := tasks(ctx, s)
	if err != nil {
		cancel()
	}
	beside.Wait()
	return errors.Join(err, shot)
}

// tasks makes many recordings, and looks at the host.
func tasks(ctx context.Context, s soak) (err error) {
	stand, remove, err := s.serve(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	looks, err := s.record(ctx, stand)
	err = errors.Join(err, stand.Close(context.WithoutCancel(ctx)))
	if err != nil {
		return errors.Join(err, stand.Abandon())
	}
	if private, err := stand.Private(); err != nil || len(private) > 0 {
		return errors.Join(err, fmt.Errorf("private directories are left: %v", private))
	}
	return errors.Join(s.print(looks), flat(looks))
}
