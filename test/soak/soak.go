package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/recordhost/recordhost/test/processes"
	"github.com/recordhost/recordhost/test/product"
	"github.com/recordhost/recordhost/test/synthetic"
)

const (
	// taskWithin bounds one recording.
	taskWithin = 2 * time.Minute
	// goneWithin is for what belongs to recordings that have ended.
	goneWithin = 30 * time.Second
)

// soak says how long, and how much at once.
type soak struct {
	length time.Duration
	least  int // recordings
	lanes  int
	looks  int // at the processes, over the whole
	out    io.Writer
}

// look is what the host and its plugins take while nothing is being recorded.
type look struct {
	at                           time.Duration
	tasks                        int
	memory                       int64
	descriptors, threads, others int // others: processes besides the host and its plugins
	spools, temporary            int
}

func (s soak) serve(ctx context.Context) (*synthetic.Stand, func() error, error) {
	in, err := synthetic.Build(ctx)
	if err != nil {
		return nil, nil, err
	}
	stand, err := in.Serve(ctx, 2*s.lanes) // a worker has its place until it has ended, a little after its task
	if err != nil {
		return nil, nil, errors.Join(err, in.Remove())
	}
	return stand, in.Remove, nil
}

// record makes recordings in rounds: in each, every lane records one after the other until the time of the next look; then
// all wait until nothing is left, and the processes are looked at.
func (s soak) record(ctx context.Context, stand *synthetic.Stand) (looks []look, err error) {
	began := time.Now()
	var tasks atomic.Int64
	for n := 1; n <= s.looks || int(tasks.Load()) < s.least; n++ {
		end := began.Add(s.length * time.Duration(n) / time.Duration(s.looks))
		if err := s.round(ctx, stand, &tasks, end); err != nil {
			return looks, err
		}
		l, err := lookAt(ctx, stand)
		if err != nil {
			return looks, err
		}
		l.at, l.tasks = time.Since(began), int(tasks.Load())
		looks = append(looks, l)
	}
	return looks, nil
}

// round is at least one recording in each lane.
func (s soak) round(ctx context.Context, stand *synthetic.Stand, tasks *atomic.Int64, end time.Time) error {
	errs := make([]error, s.lanes)
	var lanes sync.WaitGroup
	for lane := range s.lanes {
		lanes.Go(func() {
			for n := 0; errs[lane] == nil && (n == 0 || time.Now().Before(end)); n++ {
				errs[lane] = one(ctx, stand, n+lane)
				tasks.Add(1)
			}
		})
	}
	lanes.Wait()
	return errors.Join(errs...)
}

// one makes a recording; some are paused, refreshed, or begun by the page.
func one(ctx context.Context, stand *synthetic.Stand, kind int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, taskWithin, errors.New("the recording took too long"))
	defer cancel()
	script := synthetic.Script{Manual: kind%4 == 1}
	task, err := stand.Start(ctx, map[string]any{
		"RecordURL": script.URL(), "ManualStart": script.Manual, "Width": synthetic.FilmWidth, "Height": synthetic.FilmHeight,
	})
	if err != nil {
		return err
	}
	if _, err := stand.AwaitStatus(ctx, task, "recording"); err != nil {
		return err
	}
	actions := []string{"Stop"}
	switch kind % 4 {
	case 2:
		actions = []string{"Pause", "Resume", "Stop"}
	case 3:
		actions = []string{"Refresh", "Stop"}
	}
	for _, action := range actions {
		if err := stand.Tell(ctx, action, task); err != nil {
			return err
		}
	}
	d, err := stand.AwaitStatus(ctx, task, "finished")
	if err != nil {
		return err
	}
	return judge(stand, task, d)
}

// judge checks what came of a recording, and deletes its file: three hours of them would fill the disk.
func judge(stand *synthetic.Stand, task string, d product.Description) error {
	if d.Result == nil || d.Result.ErrorCode != "" || len(d.Result.Videos) != 1 || len(d.Quality.Gaps) > 0 || d.Quality.Restarts > 0 {
		return fmt.Errorf("task %s: result %+v, quality %+v", task, d.Result, d.Quality)
	}
	file := stand.File(task, d.Result.Videos[0])
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if info.Size() != d.Result.Videos[0].FileSize {
		return fmt.Errorf("task %s: the file has %d bytes, FileSize is %d", task, info.Size(), d.Result.Videos[0].FileSize)
	}
	return os.RemoveAll(filepath.Dir(file))
}

// lookAt waits until the recordings have left, and looks at what stays.
func lookAt(ctx context.Context, stand *synthetic.Stand) (l look, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, goneWithin, fmt.Errorf("%v after the last recording", goneWithin))
	defer cancel()
	err = synthetic.Until(ctx, "the workers and their spools are gone", func() (bool, error) {
		l = look{}
		running, err := stand.Running()
		if err != nil {
			return false, err
		}
		for component, found := range running {
			for _, p := range found {
				l.add(component, p)
			}
		}
		spools, err := stand.Spools()
		l.spools = len(spools)
		return l.others == 0 && l.spools == 0, err
	})
	if err != nil {
		return l, err
	}
	l.temporary, err = stand.Temporary()
	return l, err
}

// add counts a process.
func (l *look) add(component synthetic.Component, p processes.Process) {
	if component == synthetic.Worker || component == synthetic.WorkerStorage {
		l.others++
		return
	}
	l.memory += processes.Memory(p.PID)
	l.descriptors += entries(p.PID, "fd")
	l.threads += entries(p.PID, "task")
}

// entries counts what /proc lists for a process.
func entries(pid int, of string) int {
	list, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), of))
	if err != nil {
		return 0 // it has ended
	}
	return len(list)
}

// flat says what grew. The first third of the looks is left to warm up. What each recording would leave behind shows over
// hundreds of them; a short run can only show what is large.
func flat(looks []look) error {
	early, late := looks[len(looks)/3], looks[len(looks)-1]
	var errs []error
	for what, grown := range map[string]struct {
		by, least int64
		percent   int64 // of what was there
		had       int64
	}{
		"memory":            {late.memory - early.memory, 32 << 20, 25, early.memory},
		"descriptors":       {int64(late.descriptors - early.descriptors), 24, 25, int64(early.descriptors)},
		"threads":           {int64(late.threads - early.threads), 24, 50, int64(early.threads)},
		"temporary entries": {int64(late.temporary - early.temporary), 0, 0, int64(early.temporary)},
	} {
		if bound := max(grown.least, grown.had*grown.percent/100); grown.by > bound {
			errs = append(errs, fmt.Errorf("%s grew by %d from %d over %d recordings; %d would pass",
				what, grown.by, grown.had, late.tasks-early.tasks, bound))
		}
	}
	return errors.Join(errs...)
}

func (s soak) print(looks []look) error {
	out := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "after\trecordings\tmemory\tdescriptors\tthreads\ttemporary\t")
	for _, l := range looks {
		fmt.Fprintf(out, "%v\t%d\t%.1f MB\t%d\t%d\t%d\t\n",
			l.at.Round(time.Second), l.tasks, float64(l.memory)/1e6, l.descriptors, l.threads, l.temporary)
	}
	return out.Flush()
}
