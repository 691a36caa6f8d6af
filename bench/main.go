// Command bench measures what the README claims: recordhost beside the usual way to record a page, on the same machine, by
// looking into the files that both made.
//
//	make bench
//	go run ./bench [-only frames,pauses,cost,encode] [-json FILE] [-out docs/benchmarks.md]
//
// It takes about a quarter of an hour, in which the machine should do nothing else. The table goes to the standard
// output, and with all parts measured to docs/benchmarks.md too. It ends with code 1 only when something could not be
// measured: a bar that is missed is a result.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/recordhost/recordhost/test/product"
)

// The pages, and the parts of the measurement.
const (
	pageFrames, pageDOM, pageSlides, pageStatic, pageVideo = "frames", "dom", "slides", "static", "video"

	partFrames, partPauses, partCost, partEncode = "frames", "pauses", "cost", "encode"
)

func parts() []string { return []string{partFrames, partPauses, partCost, partEncode} }

// options are the command line.
type options struct {
	product product.Product
	film    string
	length  time.Duration // of each recording
	runs    int           // of recordhost over each measuring page
	parts   []string
	json    string
	out     string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	opts, err := readOptions()
	if err != nil {
		return err
	}
	if err := fetchFilm(ctx, opts.film); err != nil {
		return err
	}
	b, err := newBench(ctx, opts)
	if err != nil {
		return err
	}
	measured, err := b.measure(ctx)
	if err := errors.Join(err, b.close()); err != nil {
		return err
	}
	return publish(opts, measured)
}

func readOptions() (options, error) {
	var o options
	binary := flag.String("binary", "bin/recordhost", "the recordhost to measure")
	plugins := flag.String("plugins", "bin/plugins", "the folder of its plugins")
	only := flag.String("only", strings.Join(parts(), ","), "the parts to measure")
	seconds := flag.Int("seconds", 20, "length of each recording")
	flag.StringVar(&o.film, "film", ".cache/film/video.mp4", "what video.html plays; fetched when missing")
	flag.IntVar(&o.runs, "runs", 3, "recordings of each measuring page by recordhost; the peer makes one less")
	flag.StringVar(&o.json, "json", "", "write all that was measured to this file")
	flag.StringVar(&o.out, "out", "docs/benchmarks.md", "write the table to this file when all parts were measured")
	flag.Parse()
	o.length = time.Duration(*seconds) * time.Second
	o.parts = strings.Split(*only, ",")
	for _, part := range o.parts {
		if !slices.Contains(parts(), part) {
			return options{}, fmt.Errorf("no part %q; there are %s", part, strings.Join(parts(), ", "))
		}
	}
	if *seconds < 10 || o.runs < 2 {
		return options{}, fmt.Errorf("%d s and %d runs are too few to tell anything: at least 10 s and 2", *seconds, o.runs)
	}
	var err error
	if o.product.Binary, err = filepath.Abs(*binary); err != nil {
		return options{}, err
	}
	if o.product.Plugins, err = filepath.Abs(*plugins); err != nil {
		return options{}, err
	}
	return o, nil
}

// all says whether every part is measured.
func (o options) all() bool {
	return !slices.ContainsFunc(parts(), func(part string) bool { return !slices.Contains(o.parts, part) })
}

func fetchFilm(ctx context.Context, file string) error {
	fetch := exec.CommandContext(ctx, "bench/film.sh", file)
	fetch.Stderr = os.Stderr
	if err := fetch.Run(); err != nil {
		return fmt.Errorf("fetch the film of video.html (bench runs in the root of the repository): %w", err)
	}
	return nil
}

func publish(opts options, r results) error {
	t := r.table()
	fmt.Print(t.text())
	if opts.json != "" {
		document, err := json.MarshalIndent(struct {
			results
			Table table `json:"table"`
		}{r, t}, "", "  ")
		if err != nil {
			return fmt.Errorf("write %s: %w", opts.json, err)
		}
		if err := os.WriteFile(opts.json, append(document, '\n'), 0o644); err != nil {
			return fmt.Errorf("write the results: %w", err)
		}
	}
	if !opts.all() {
		return nil
	}
	before, err := os.ReadFile(opts.out)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write the results: %w", err)
	}
	page := r.page(t)
	if _, others, ok := strings.Cut(string(before), delivery); ok {
		page += delivery + others
	}
	if err := os.WriteFile(opts.out, []byte(page), 0o644); err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	return nil
}

// delivery begins the part of the page that bench/delivery writes.
const delivery = "\n## After Stop\n"
