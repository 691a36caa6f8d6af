// Soak makes recordings, one after the other and several at once, on one host, and looks whether the host and its plugins take
// ever more memory, descriptors and threads, or leave anything behind: `make soak`, for three hours, or SOAK. `make test` runs a
// short one. The recordings are package synthetic's, so that it is the host that is tried, not Chrome.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
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

// run soaks. A recording in a real Chrome beside it, whose picture and sound are compared, belongs here.
func run(ctx context.Context, s soak) (err error) {
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
