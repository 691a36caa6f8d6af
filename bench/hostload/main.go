// Hostload measures one host with hundreds of live tasks: `go run ./bench/hostload`. Their workers record nothing, but tell of
// it over real control streams; bench/hostload/runtime says how. It prints what the host takes, how fast it answers, and how
// long after its death all workers have the next one, against the bars. It exits with 1 where a bar is missed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/rpc"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/recordhost/recordhost/bench/hostload/crowd"
	"github.com/recordhost/recordhost/test/processes"
	"github.com/recordhost/recordhost/test/product"
)

const (
	callers    = 16                    // at once, that start and stop
	askers     = 4                     // at once, that describe
	askPause   = 40 * time.Millisecond // of each, between two questions
	measureFor = 20 * time.Second      // each figure
	absence    = 5 * time.Second       // of the host: long enough for workers to try at their slowest
	lookEach   = 10 * time.Millisecond // whether something has come about
	settle     = 10 * time.Second      // after the starts
	patience   = 10 * time.Minute      // for all of it
)

func main() {
	tasks := flag.Int("tasks", 500, "how many tasks")
	profile := flag.Bool("keep", false, "keep the host's folder, with its log")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	met, err := run(ctx, *tasks, *profile)
	if err != nil {
		fmt.Fprintln(os.Stderr, "hostload:", err)
	}
	if err != nil || !met {
		os.Exit(1) //nolint:gocritic // stop has nothing left to do
	}
}

func run(ctx context.Context, tasks int, keep bool) (met bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("it took too long"))
	defer cancel()
	dir, err := os.MkdirTemp("", "load-") // short: there will be sockets in it
	if err != nil {
		return false, err
	}
	if !keep {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	p, err := build(ctx, dir)
	if err != nil {
		return false, err
	}
	// The workers' files go where nothing slow is measured with them; nobody starts a browser, so that anything that runs will do.
	host, err := p.Serve(ctx, dir, tasks, fmt.Sprintf("engine {\n  chrome = %q\n  min_free = 0\n}", p.Binary))
	if err != nil {
		return false, err
	}
	l := &load{host: host, dir: dir}
	defer func() {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, l.quit(), host.Close(bounded))
		if keep {
			err = errors.Join(err, os.WriteFile(filepath.Join(dir, "host.log"), []byte(host.Log()), 0o600))
		}
	}()
	f, err := l.measure(ctx, tasks)
	if err != nil {
		return false, err
	}
	return f.print()
}

func build(ctx context.Context, dir string) (product.Product, error) {
	p, err := product.Build(ctx, dir)
	if err != nil {
		return p, err
	}
	p.Runtime = "load"
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", filepath.Join(p.Plugins, "runtime-load"),
		"github.com/recordhost/recordhost/bench/hostload/runtime")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		return p, fmt.Errorf("build the runtime: %w: %s", err, said)
	}
	return p, nil
}

// load is a host under load.
type load struct {
	host  *product.Host
	dir   string
	tasks []string
}

// figures are what was measured.
type figures struct {
	tasks       int
	start       time.Duration // of all
	p50, p99    time.Duration // of Describe
	described   int
	memory      int64   // bytes a task
	cpu         float64 // of a core, a task
	total       int64   // bytes of the host
	healthy     time.Duration
	all         time.Duration // until all had the next host
	stop        time.Duration
	interrupted int // tasks that did not end well
}

func (l *load) measure(ctx context.Context, n int) (f figures, err error) {
	f.tasks = n
	empty := processes.Memory(l.host.PID())
	before := time.Now()
	if err := l.start(ctx, n); err != nil {
		return f, err
	}
	if err := l.until(ctx, "all tasks have their workers", n); err != nil {
		return f, err
	}
	f.start = time.Since(before)
	if err := sleep(ctx, settle); err != nil {
		return f, err
	}
	if err := l.cost(ctx, empty, &f); err != nil {
		return f, err
	}
	if err := l.describe(ctx, &f); err != nil {
		return f, err
	}
	if err := l.replace(ctx, &f); err != nil {
		return f, err
	}
	return f, l.stop(ctx, &f)
}

// each calls f for each number, a few at a time.
func each(n, atOnce int, f func(i int) error) error {
	var group sync.WaitGroup
	free := make(chan struct{}, atOnce)
	errs := make([]error, n)
	for i := range n {
		free <- struct{}{}
		group.Go(func() {
			defer func() { <-free }()
			errs[i] = f(i)
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

func (l *load) start(ctx context.Context, n int) error {
	l.tasks = make([]string, n)
	return each(n, callers, func(i int) (err error) {
		l.tasks[i], err = l.host.Start(ctx, map[string]any{"RecordURL": "http://load.invalid/"})
		return err
	})
}

// connected counts the workers that have a host.
func (l *load) connected() (sum int, err error) {
	err = l.crowds(func(c *rpc.Client) error {
		var n int
		defer func() { sum += n }()
		return c.Call("Crowd.Connected", crowd.None{}, &n)
	})
	return sum, err
}

// crowds calls f with each process of workers.
func (l *load) crowds(f func(*rpc.Client) error) error {
	sockets, err := filepath.Glob(filepath.Join(l.dir, "data", "plugins", "runtime-here", "crowd-?"))
	if err != nil {
		return err
	}
	for _, socket := range sockets {
		client, err := rpc.Dial("unix", socket)
		if err != nil {
			return err
		}
		err = f(client)
		if closing := client.Close(); !errors.Is(closing, rpc.ErrShutdown) {
			err = errors.Join(err, closing)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *load) quit() error {
	return l.crowds(func(c *rpc.Client) error {
		err := c.Call("Crowd.Quit", crowd.None{}, &crowd.None{})
		if errors.Is(err, io.ErrUnexpectedEOF) { // it was quick
			return nil
		}
		return err
	})
}

// until waits until so many workers have a host.
func (l *load) until(ctx context.Context, what string, want int) error {
	for {
		n, err := l.connected()
		if err != nil || n == want {
			return err
		}
		if err := sleep(ctx, lookEach); err != nil {
			return fmt.Errorf("until %s (%d of %d): %w", what, n, want, err)
		}
	}
}

// cost is what the host takes while nobody asks it anything.
func (l *load) cost(ctx context.Context, empty int64, f *figures) error {
	before, err := cpu(l.host.PID())
	if err != nil {
		return err
	}
	if err := sleep(ctx, measureFor); err != nil {
		return err
	}
	after, err := cpu(l.host.PID())
	if err != nil {
		return err
	}
	f.total = processes.Memory(l.host.PID())
	f.memory = (f.total - empty) / int64(f.tasks)
	f.cpu = (after - before).Seconds() / measureFor.Seconds() / float64(f.tasks)
	return nil
}

// cpu is the time that a process has taken.
func cpu(pid int) (time.Duration, error) {
	all, err := processes.All()
	if err != nil {
		return 0, err
	}
	for key, p := range all {
		if key.PID == pid {
			return p.CPU, nil
		}
	}
	return 0, fmt.Errorf("process %d: %w", pid, os.ErrProcessDone)
}

// describe asks for tasks at random.
func (l *load) describe(ctx context.Context, f *figures) error {
	var mu sync.Mutex
	var took []time.Duration
	end := time.Now().Add(measureFor)
	err := each(askers, askers, func(int) error {
		for time.Now().Before(end) {
			before := time.Now()
			if _, err := l.host.Describe(ctx, l.tasks[rand.IntN(len(l.tasks))]); err != nil {
				return err
			}
			mu.Lock()
			took = append(took, time.Since(before))
			mu.Unlock()
			if err := sleep(ctx, askPause); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(took)
	f.described, f.p50, f.p99 = len(took), took[len(took)/2], took[len(took)*99/100]
	return nil
}

// replace kills the host and measures how long the next one takes until it has all the workers.
func (l *load) replace(ctx context.Context, f *figures) error {
	if err := l.host.Kill(ctx); err != nil {
		return err
	}
	if err := l.until(ctx, "no worker has a host", 0); err != nil {
		return err
	}
	if err := sleep(ctx, absence); err != nil {
		return err
	}
	before := time.Now()
	healthy := make(chan error, 1)
	go func() {
		err := l.host.Again(ctx)
		f.healthy = time.Since(before)
		healthy <- err
	}()
	err := l.until(ctx, "all workers have the next host", f.tasks)
	f.all = time.Since(before)
	return errors.Join(err, <-healthy)
}

// stop ends all tasks, which must have lost nothing.
func (l *load) stop(ctx context.Context, f *figures) error {
	before := time.Now()
	var mu sync.Mutex
	err := each(len(l.tasks), callers, func(i int) error {
		if err := l.host.Tell(ctx, "Stop", l.tasks[i]); err != nil {
			return err
		}
		d, err := l.host.AwaitStatus(ctx, l.tasks[i], "finished")
		if err == nil && (d.Result.ErrorCode != "" || d.Quality.Restarts != 0) {
			mu.Lock()
			defer mu.Unlock()
			f.interrupted++
		}
		return err
	})
	f.stop = time.Since(before)
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// print prints the table, and says whether all bars are met.
func (f figures) print() (bool, error) {
	met := true
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(out, "%d tasks\tmeasured\tbar\t\n", f.tasks)
	for _, r := range []struct {
		what, measured, bar string
		ok                  bool
	}{
		{"Describe, p50", ms(f.p50), "", true},
		{fmt.Sprintf("Describe, p99 of %d", f.described), ms(f.p99), "<= 20 ms", f.p99 <= 20*time.Millisecond},
		{"memory of the host, a task", fmt.Sprintf("%.3f MB", float64(f.memory)/1e6), "<= 1 MB", f.memory <= 1e6},
		{"memory of the host", fmt.Sprintf("%.0f MB", float64(f.total)/1e6), "", true},
		{"processor, a task", fmt.Sprintf("%.4f %% of a core", 100*f.cpu), "<= 0.1 %", f.cpu <= 0.001},
		{"next host healthy", ms(f.healthy), "", true},
		{"next host has all workers", ms(f.all), "<= 3000 ms", f.all <= 3*time.Second},
		{"tasks that lost something", fmt.Sprint(f.interrupted), "0", f.interrupted == 0},
		{"all started", ms(f.start), "", true},
		{"all stopped and finished", ms(f.stop), "", true},
	} {
		verdict := ""
		if !r.ok {
			met, verdict = false, "missed"
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\n", r.what, r.measured, r.bar, verdict)
	}
	return met, out.Flush()
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
