package synthetic_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/recordhost/recordhost/test/media"
	"github.com/recordhost/recordhost/test/product"
	"github.com/recordhost/recordhost/test/synthetic"
)

const (
	// atATime is how many cells run at once: they mostly wait.
	atATime = 8
	// patience bounds a cell. One that needs it all has failed.
	patience = 2 * time.Minute
	// frozenFor is longer than a worker may say nothing.
	frozenFor = 10 * time.Second
	// goneWithin is for what belongs to a task that has finished.
	goneWithin = 8 * time.Second
	// restartWithin is what a host may need beyond what it needed the first time, when there was no task.
	restartWithin = 3 * time.Second
)

// Every process is killed, or frozen, at every moment of a recording. It ends as if nothing had happened, but for what could
// not be captured meanwhile, which is told to the second; and nothing stays behind.
func TestNoProcessIsNeededForARecording(t *testing.T) {
	in, err := synthetic.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := in.Remove(); err != nil {
			t.Error(err)
		}
	})
	all := cells(t)
	failures := make([]error, len(all))
	var running sync.WaitGroup
	free := make(chan struct{}, atATime)
	for i, c := range all {
		free <- struct{}{}
		running.Go(func() {
			defer func() { <-free }()
			ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errors.New("the cell took too long"))
			defer cancel()
			failures[i] = try(ctx, in, c)
		})
	}
	running.Wait()
	for i, c := range all {
		t.Run(c.String(), func(t *testing.T) {
			if failures[i] != nil {
				t.Error(failures[i])
			}
		})
	}
}

// try runs a cell on a host of its own.
func try(ctx context.Context, in *synthetic.Installation, c cell) (err error) {
	before := time.Now()
	stand, err := in.Serve(ctx, 1)
	if err != nil {
		return err
	}
	e := &experiment{cell: c, stand: stand, until: filepath.Join(stand.Dir, "go"), usual: time.Since(before)}
	e.receiver = newReceiver(c.moment == "callback")
	defer e.receiver.Close()
	defer e.receiver.release() // or Close waits for who is held
	defer func() {
		if err != nil {
			err = errors.Join(err, stand.Abandon())
			err = fmt.Errorf("%w\nstatuses: %v\nlast: %+v", err, e.statuses, e.last)
		}
	}()
	err = e.run(ctx)
	if closing := stand.Close(context.WithoutCancel(ctx)); closing != nil || err != nil {
		return errors.Join(err, closing)
	}
	return e.aftermath(ctx)
}

// experiment is a cell that is being tried.
type experiment struct {
	cell
	stand    *synthetic.Stand
	receiver *receiver
	until    string        // the file that lets the worker go on
	usual    time.Duration // to start the host

	task     string
	statuses []string
	last     product.Description
	begun    bool // there was something recorded at the strike
	pausedAt time.Time
	paused   time.Duration
}

// scene is how a moment is reached, and how the recording goes on after the fault.
type scene struct {
	hold   synthetic.Moment // the worker waits there
	manual bool
	before []func(context.Context) error
	after  []func(context.Context) error
}

func (e *experiment) scene() scene {
	steps := func(s ...func(context.Context) error) []func(context.Context) error { return s }
	goOn := steps(e.more, e.tell("Stop"))
	switch e.moment {
	case "start acked":
		return scene{after: goOn}
	case "loading":
		return scene{hold: synthetic.Loading, after: goOn}
	case "waiting for the page":
		return scene{hold: synthetic.Waiting, manual: true, after: goOn}
	case "beginning to record":
		return scene{hold: synthetic.Beginning, after: goOn}
	case "first second":
		return scene{before: steps(e.records), after: goOn}
	case "steady":
		return scene{before: steps(e.more), after: goOn}
	case "pausing":
		return scene{hold: synthetic.Pausing, before: steps(e.more, e.pause), after: append(steps(e.resume), goOn...)}
	case "paused":
		return scene{before: steps(e.more, e.pause, e.marked("paused")), after: append(steps(e.resume), goOn...)}
	case "resuming":
		return scene{hold: synthetic.Resuming, before: steps(e.more, e.pause, e.marked("paused"), e.resume), after: goOn}
	case "refreshing":
		return scene{hold: synthetic.Refreshing, before: steps(e.more, e.tell("Refresh")), after: goOn}
	case "stopped while loading":
		return scene{hold: synthetic.Loading, before: steps(e.reached(synthetic.Loading), e.stopHeard)}
	case "stopping":
		return scene{hold: synthetic.Stopping, before: steps(e.more, e.tell("Stop"))}
	case "transcode":
		return scene{hold: synthetic.Finishing, before: steps(e.more, e.tell("Stop"))}
	case "upload, before Put":
		return scene{hold: synthetic.Put, before: steps(e.more, e.tell("Stop"))}
	case "upload, before Commit":
		return scene{hold: synthetic.Commit, before: steps(e.more, e.tell("Stop"))}
	case "callback":
		return scene{before: steps(e.more, e.tell("Stop"), e.called)}
	}
	panic("no scene for " + e.moment)
}

// run makes the recording, and the fault, and checks all but what can be seen once the host is gone.
func (e *experiment) run(ctx context.Context) (err error) {
	s := e.scene()
	script := synthetic.Script{Manual: s.manual, Hold: s.hold, Until: e.until}
	e.task, err = e.stand.Start(ctx, map[string]any{
		"RecordURL": script.URL(), "ManualStart": s.manual, "Width": synthetic.FilmWidth, "Height": synthetic.FilmHeight,
		"CallbackURL": e.receiver.URL,
	})
	if err != nil {
		return err
	}
	if e.moment != "start acked" {
		s.before = append(s.before, e.describe)
	}
	for _, step := range s.before {
		if err := step(ctx); err != nil {
			return fmt.Errorf("before: %w", err)
		}
	}
	if s.hold != "" {
		if err := e.reached(s.hold)(ctx); err != nil {
			return err
		}
	}
	e.begun = e.last.StartTime != 0
	if err := e.strike(ctx, s.hold); err != nil {
		return fmt.Errorf("strike: %w", err)
	}
	for _, step := range s.after {
		if err := step(ctx); err != nil {
			return fmt.Errorf("after: %w", err)
		}
	}
	if err := e.await(ctx, "it is finished", func(d product.Description) bool { return d.Status == "finished" }); err != nil {
		return err
	}
	return errors.Join(e.result(ctx), e.receiver.check(e.task, e.last), e.order(), e.gone(ctx))
}

// strike brings the fault about, and whoever is held goes on.
func (e *experiment) strike(ctx context.Context, held synthetic.Moment) error {
	if e.struck == synthetic.HostProcess && e.signal == syscall.SIGKILL {
		return e.replaceHost(ctx, held)
	}
	var pid int
	err := synthetic.Until(ctx, "the "+string(e.struck)+" runs", func() (bool, error) {
		running, err := e.stand.Running()
		if err != nil || len(running[e.struck]) != 1 { // a fork that has not become another program yet looks like two
			return false, err
		}
		pid = running[e.struck][0].PID
		return true, nil
	})
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, e.signal); err != nil {
		return fmt.Errorf("%v to the %s: %w", e.signal, e.struck, err)
	}
	if err := e.release(); err != nil {
		return err
	}
	if e.struck != synthetic.HostProcess {
		return nil
	}
	time.Sleep(frozenFor) // this is the fault
	return syscall.Kill(pid, syscall.SIGCONT)
}

// replaceHost kills the host, lets the worker get past its moment alone, and starts the next host.
func (e *experiment) replaceHost(ctx context.Context, held synthetic.Moment) error {
	if err := e.stand.Kill(ctx); err != nil {
		return err
	}
	if err := e.release(); err != nil {
		return err
	}
	if held != "" {
		err := synthetic.Until(ctx, "the worker goes on alone", func() (bool, error) { return e.stand.Passed(e.task, held) })
		if err != nil {
			return err
		}
	}
	before := time.Now()
	if err := e.stand.Again(ctx); err != nil {
		return err
	}
	if took := time.Since(before); took > e.usual+restartWithin {
		return fmt.Errorf("the next host answered after %v, the first one had needed %v", took, e.usual)
	}
	return e.describe(ctx)
}

func (e *experiment) release() error {
	e.receiver.release()
	return os.WriteFile(e.until, nil, 0o600)
}

// describe asks for the task, and keeps the way of its statuses.
func (e *experiment) describe(ctx context.Context) (err error) {
	if e.last, err = e.stand.Describe(ctx, e.task); err != nil {
		return err
	}
	if n := len(e.statuses); n == 0 || e.statuses[n-1] != e.last.Status {
		e.statuses = append(e.statuses, e.last.Status)
	}
	return nil
}

func (e *experiment) await(ctx context.Context, what string, wanted func(product.Description) bool) error {
	return synthetic.Until(ctx, what, func() (bool, error) {
		if err := e.describe(ctx); err != nil {
			return false, err
		}
		if e.last.Status == "finished" && !wanted(e.last) {
			return false, fmt.Errorf("it has finished before %s", what)
		}
		return wanted(e.last), nil
	})
}

// records waits until recording begins.
func (e *experiment) records(ctx context.Context) error {
	return e.await(ctx, "it records", func(d product.Description) bool { return d.Status == "recording" })
}

// more waits until a second more is recorded than was known of.
func (e *experiment) more(ctx context.Context) error {
	if err := e.describe(ctx); err != nil {
		return err
	}
	least := e.last.Progress.Recorded + 1
	return e.await(ctx, fmt.Sprintf("%.1f s are recorded", least), func(d product.Description) bool { return d.Progress.Recorded >= least })
}

// called waits until the callback has begun.
func (e *experiment) called(ctx context.Context) error {
	select {
	case <-e.receiver.called:
		return e.describe(ctx)
	case <-ctx.Done():
		return fmt.Errorf("nobody is called back: %w", context.Cause(ctx))
	}
}

func (e *experiment) tell(action string) func(context.Context) error {
	return func(ctx context.Context) error { return e.stand.Tell(ctx, action, e.task) }
}

// stopHeard stops and waits until the worker has noted that: one that has not heard of it yet may begin to record.
func (e *experiment) stopHeard(ctx context.Context) error {
	before, err := e.stand.Journalled(e.task)
	if err != nil {
		return err
	}
	if err := e.tell("Stop")(ctx); err != nil {
		return err
	}
	return synthetic.Until(ctx, "the worker has heard of the Stop", func() (bool, error) {
		size, err := e.stand.Journalled(e.task)
		return size > before, err
	})
}

func (e *experiment) pause(ctx context.Context) error {
	err := e.stand.Tell(ctx, "Pause", e.task)
	e.pausedAt = time.Now()
	return err
}

func (e *experiment) resume(ctx context.Context) error {
	err := e.stand.Tell(ctx, "Resume", e.task)
	e.paused += time.Since(e.pausedAt)
	return err
}

func (e *experiment) reached(m synthetic.Moment) func(context.Context) error {
	return func(ctx context.Context) error {
		return synthetic.Until(ctx, "the worker comes to "+string(m), func() (bool, error) {
			if err := e.describe(ctx); err != nil {
				return false, err
			}
			return e.stand.Reached(e.task, m)
		})
	}
}

// marked waits until the spool says that time runs, or stands still.
func (e *experiment) marked(kind string) func(context.Context) error {
	return func(ctx context.Context) error {
		return synthetic.Until(ctx, "the spool knows that it is "+kind, func() (bool, error) { return e.stand.Marked(e.task, kind) })
	}
}

// result checks what came of the task.
func (e *experiment) result(ctx context.Context) error {
	r := e.last.Result
	if r == nil || r.ErrorCode != "" {
		return fmt.Errorf("result %+v", r)
	}
	files, err := e.stand.Delivered()
	if err != nil {
		return err
	}
	if e.moment == "stopped while loading" {
		if len(r.Videos) != 0 || len(files) != 0 {
			return fmt.Errorf("nothing was recorded, and there are videos %+v, files %v", r.Videos, files)
		}
		return nil
	}
	if len(r.Videos) != 1 || len(files) != 1 || files[0] != e.stand.File(e.task, r.Videos[0]) {
		return fmt.Errorf("videos %+v, files %v", r.Videos, files)
	}
	return errors.Join(e.file(ctx, r.Videos[0], files[0]), e.losses())
}

// file looks into the file.
func (e *experiment) file(ctx context.Context, v product.Video, file string) error {
	info, err := media.Probe(ctx, file)
	if err != nil {
		return err
	}
	if info.Size != v.FileSize || info.Index != media.IndexFirst || info.Video == nil || info.Audio == nil {
		return fmt.Errorf("the file is %+v, Describe says %+v", info, v)
	}
	const near = 0.1
	for what, length := range map[string]time.Duration{
		"file": info.Duration, "picture": info.Video.Duration, "sound": info.Audio.Duration,
	} {
		if off := length.Seconds() - v.FileDuration; off > near || off < -near {
			return fmt.Errorf("the %s is %v long, FileDuration is %.3f", what, length, v.FileDuration)
		}
	}
	decode := exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-xerror", "-i", file, "-f", "null", "-")
	if said, err := decode.CombinedOutput(); err != nil {
		return fmt.Errorf("it does not decode: %w: %s", err, said)
	}
	return nil
}

// losses checks that a worker was lost, and something missed, just where that was the fault.
func (e *experiment) losses() error {
	q := e.last.Quality
	lost := e.struck == synthetic.Worker
	switch {
	case lost && (q.Restarts > 1 || e.begun && q.Restarts == 0):
		return fmt.Errorf("the worker was replaced, and Restarts is %d", q.Restarts)
	case !lost && (q.Restarts != 0 || len(q.Gaps) != 0):
		return fmt.Errorf("the worker was not at fault, and quality is %+v", *q)
	}
	return nil
}

// order checks that statuses came in their order.
func (e *experiment) order() error {
	rank := map[string]int{
		"normal": 0, "recording": 1, "paused": 1, "canceled": 2, "transcode": 3, "upload": 4, "callback": 5, "finished": 6,
	}
	for i := 1; i < len(e.statuses); i++ {
		if rank[e.statuses[i]] < rank[e.statuses[i-1]] {
			return fmt.Errorf("%s came after %s", e.statuses[i], e.statuses[i-1])
		}
	}
	return nil
}

// gone waits until nothing is left of the task but its file.
func (e *experiment) gone(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, goneWithin, fmt.Errorf("%v after the end", goneWithin))
	defer cancel()
	return errors.Join(
		synthetic.Until(ctx, "its processes are gone", func() (bool, error) {
			running, err := e.stand.Running()
			return len(running[synthetic.Worker])+len(running[synthetic.WorkerStorage]) == 0, err
		}),
		synthetic.Until(ctx, "its spool is gone", func() (bool, error) {
			spools, err := e.stand.Spools()
			return len(spools) == 0, err
		}),
	)
}

// aftermath checks what a host that has ended leaves, and what its store says more exactly than Describe does.
func (e *experiment) aftermath(ctx context.Context) error {
	private, err := e.stand.Private()
	if err != nil || len(private) > 0 {
		return errors.Join(err, fmt.Errorf("private directories that are left: %v", private))
	}
	err = synthetic.Until(ctx, "the host's processes are gone", func() (bool, error) {
		running, err := e.stand.Running()
		return len(running) == 0, err
	})
	if err != nil || len(e.last.Result.Videos) == 0 {
		return err
	}
	state, err := e.stand.State(ctx, e.task)
	if err != nil {
		return err
	}
	wall := state.StopTime.Sub(state.StartTime)
	accounted := e.paused + e.last.Result.Videos[0].Length()
	for _, g := range state.Gaps {
		accounted += g.Length
	}
	if off := wall - accounted; off > time.Second || off < -time.Second {
		return fmt.Errorf("%v went by: %v paused, %v in the file, gaps %v: %v are unaccounted for",
			wall, e.paused, e.last.Result.Videos[0].Length(), state.Gaps, off)
	}
	return nil
}
