// Against compares what a recording costs with two builds of recordhost on the same machine, in turn: whether a change has made
// it dearer.
//
//	git worktree add /tmp/before COMMIT && make -C /tmp/before build
//	go run ./bench/against -before /tmp/before/bin [-after bin] [-page frames] [-rounds 5]
//
// Nothing else may run meanwhile. It ends with code 1 where the median of the ratios is above -bar.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"time"

	"github.com/recordhost/recordhost/bench/meter"
	"github.com/recordhost/recordhost/test/pages"
	"github.com/recordhost/recordhost/test/product"
)

const (
	warm    = 8 * time.Second // until the page is loaded and the recording under way
	measure = 12 * time.Second
)

// comparison is of two builds.
type comparison struct {
	before, after product.Product
	url           string
	rounds        int
	dir           string
}

func main() {
	before := flag.String("before", "", "the folder of the one build: recordhost and plugins")
	after := flag.String("after", "bin", "the folder of the other")
	page := flag.String("page", "frames", "which page is recorded: frames, slides, static")
	rounds := flag.Int("rounds", 5, "how often each is measured")
	bar := flag.Float64("bar", 1.03, "how much dearer the other may be")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	ratio, err := compare(ctx, *before, *after, *page, *rounds)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "against:", err)
		os.Exit(1)
	}
	if ratio > *bar {
		fmt.Printf("%.3f is above the bar of %.3f\n", ratio, *bar)
		os.Exit(1)
	}
}

// compare prints every round, and answers the median of the ratios.
func compare(ctx context.Context, before, after, page string, rounds int) (ratio float64, err error) {
	if before == "" || rounds < 1 {
		return 0, errors.New("-before names the folder of a build, -rounds is at least 1")
	}
	c := comparison{rounds: rounds}
	for p, dir := range map[*product.Product]string{&c.before: before, &c.after: after} {
		if dir, err = filepath.Abs(dir); err != nil {
			return 0, err
		}
		*p = product.At(dir)
	}
	server, err := pages.Start(ctx, "")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	c.url = server.URL(page + ".html")
	if c.dir, err = os.MkdirTemp("", "against-"); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(c.dir)) }()
	return c.run(ctx)
}

func (c comparison) run(ctx context.Context) (float64, error) {
	var ratios []float64
	for round := range c.rounds {
		before, err := c.cost(ctx, c.before)
		if err != nil {
			return 0, err
		}
		after, err := c.cost(ctx, c.after)
		if err != nil {
			return 0, err
		}
		ratios = append(ratios, after.Cores/before.Cores)
		fmt.Printf("round %d: before %.3f cores, after %.3f, ratio %.3f; recordhost's own %.3f, %.3f\n",
			round+1, before.Cores, after.Cores, ratios[round], before.ByName["recordhost"], after.ByName["recordhost"])
	}
	slices.Sort(ratios)
	median := ratios[len(ratios)/2]
	fmt.Printf("median ratio %.3f\n", median)
	return median, nil
}

// cost is that of one recording.
func (c comparison) cost(ctx context.Context, p product.Product) (meter.Cost, error) {
	m, err := meter.New()
	if err != nil {
		return meter.Cost{}, err
	}
	file := filepath.Join(c.dir, "recording.mp4")
	recorded := make(chan error, 1)
	go func() {
		_, err := p.Record(ctx, c.url, "--duration", (warm + measure).String(), "--out", file)
		recorded <- err
	}()
	select {
	case <-time.After(warm):
	case err := <-recorded:
		return meter.Cost{}, errors.Join(errors.New("the recording ended early"), err)
	}
	cost, err := m.Measure(ctx, measure)
	return cost, errors.Join(err, <-recorded, os.Remove(file))
}
