// Command chaos kills and freezes each of recordhost's processes at each moment of a recording with a real Chrome, looks into
// the file, and writes down what it cost.
//
//	make chaos [CHAOS="-only worker"]
//	go run ./test/chaos [-only TEXT] [-limit N] [-results DIR] [-out docs/reliability.md]
//
// All cells together take about an hour on two cores. Each cell's result is kept as soon as it is there, and is not made
// again for the same commit unless -again says so: the matrix can be run in pieces. The table is written from all results that
// there are. It ends with code 1 when a promise was broken.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/recordhost/recordhost/test/product"
)

type options struct {
	results string
	out     string
	only    string
	limit   int
	again   bool
	product product.Product
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var o options
	flag.StringVar(&o.results, "results", ".cache/chaos", "the folder that the results are kept in")
	flag.StringVar(&o.out, "out", "docs/reliability.md", "the page that the table is written to")
	flag.StringVar(&o.only, "only", "", "only the cells whose name holds this")
	flag.IntVar(&o.limit, "limit", 0, "at most so many cells; 0: all")
	flag.BoolVar(&o.again, "again", false, "also those that were tried before")
	binary := flag.String("binary", "bin/recordhost", "the recordhost to try")
	plugins := flag.String("plugins", "bin/plugins", "the folder of its plugins")
	flag.Parse()
	var err error
	if o.product.Binary, err = filepath.Abs(*binary); err != nil {
		return err
	}
	if o.product.Plugins, err = filepath.Abs(*plugins); err != nil {
		return err
	}
	if err := os.MkdirAll(o.results, 0o755); err != nil {
		return err
	}
	broken, err := o.tryAll(ctx)
	if err := errors.Join(err, o.write()); err != nil {
		return err
	}
	if broken > 0 {
		return fmt.Errorf("%d cells have broken a promise; see %s", broken, o.out)
	}
	return nil
}

// tryAll tries the cells that were asked for, one after the other, and counts those that broke a promise.
func (o options) tryAll(ctx context.Context) (broken int, err error) {
	commit, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return 0, fmt.Errorf("which commit is tried: %w", err)
	}
	tried := 0
	for _, c := range cells() {
		if !strings.Contains(c.String(), o.only) || !o.again && o.known(c) || o.limit > 0 && tried == o.limit {
			continue
		}
		tried++
		r, err := o.tryOne(ctx, c)
		if ctx.Err() != nil {
			return broken, context.Cause(ctx)
		}
		if err != nil {
			r.problem("%v", err)
		}
		r.Commit = strings.TrimSpace(string(commit))
		if len(r.Problems) > 0 {
			broken++
		}
		fmt.Printf("%s  %-42s lost %5.2f s  again %5.2f s  %s\n",
			time.Now().Format(time.TimeOnly), c, r.Lost, r.Again, strings.Join(r.Problems, "; "))
		if err := o.keep(c, r); err != nil {
			return broken, err
		}
	}
	return broken, nil
}

func (o options) tryOne(ctx context.Context, c cell) (result, error) {
	dir, err := os.MkdirTemp("", "chaos")
	if err != nil {
		return result{}, err
	}
	r, err := try(ctx, c, o.product, dir)
	if err != nil || len(r.Problems) > 0 {
		fmt.Fprintln(os.Stderr, "chaos: what is left of it is in", dir)
		return r, err
	}
	return r, os.RemoveAll(dir)
}

func (o options) file(c cell) string {
	name := strings.NewReplacer(", ", "-", " ", "_").Replace(strings.ToLower(c.String()))
	return filepath.Join(o.results, name+".json")
}

// known says that a result is there.
func (o options) known(c cell) bool {
	_, err := os.Stat(o.file(c))
	return err == nil
}

func (o options) keep(c cell, r result) error {
	document, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(o.file(c), append(document, '\n'), 0o644)
}

// load answers the results that there are.
func (o options) load() (map[string]result, error) {
	found := map[string]result{}
	for _, c := range cells() {
		document, err := os.ReadFile(o.file(c))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var r result
		if err := json.Unmarshal(document, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", o.file(c), err)
		}
		found[c.String()] = r
	}
	return found, nil
}
