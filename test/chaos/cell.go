package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/recordhost/recordhost/test/processes"
	"github.com/recordhost/recordhost/test/product"
)

const (
	cellTakes   = 3 * time.Minute  // at the most
	frozenFor   = 12 * time.Second // what is frozen and not ended by then goes on
	pauseTakes  = 4 * time.Second
	steadyFrom  = 5 * time.Second
	goneWithin  = 5 * time.Second  // the processes of a task that is finished
	spoolWithin = 20 * time.Second // its spool
)

// result is what came of a cell. Times are in seconds.
type result struct {
	Component string   `json:"component"`
	Moment    string   `json:"moment"`
	Signal    string   `json:"signal"`
	Lost      float64  `json:"lost"`    // captured, and not in the file
	Again     float64  `json:"again"`   // until a picture was captured again
	Missing   int      `json:"missing"` // pictures that are absent elsewhere
	Sync      float64  `json:"sync_ms"` // sound against picture, four fifths of all flashes at the most
	Sum       float64  `json:"sum"`     // recorded, gaps and pauses, less the wall's time
	Back      float64  `json:"back"`    // of a host that was killed, until it answered for the task
	Calls     int      `json:"calls"`   // callbacks that were taken
	Restarts  int      `json:"restarts"`
	Problems  []string `json:"problems,omitempty"`
	Commit    string   `json:"commit"`
	Took      float64  `json:"took"`
}

func (r *result) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// trial is one cell being tried.
type trial struct {
	cell   cell
	p      product.Product
	world  *world
	dir    string
	family *family

	hostMu sync.Mutex
	host   *product.Host

	task     string
	pausedAt time.Time
	resumed  time.Time // zero when there was no pause
	struck   time.Time
	victims  []processes.Process
	result   result

	traceMu sync.Mutex
	trace   []string
}

// try runs a cell in a directory of its own.
func try(ctx context.Context, c cell, p product.Product, dir string) (r result, err error) {
	ctx, cancel := context.WithTimeout(ctx, cellTakes)
	defer cancel()
	begin := time.Now()
	t := &trial{cell: c, p: p, dir: dir, result: result{
		Component: string(c.component), Moment: string(c.moment), Signal: signalName(c.signal),
	}}
	if t.world, err = newWorld(ctx); err != nil {
		return t.result, err
	}
	defer func() { err = errors.Join(err, t.world.close()) }()
	t.family = newFamily(dir)
	if t.p, err = install(p, dir); err != nil {
		return t.result, err
	}
	if err := t.serve(ctx); err != nil {
		return t.result, err
	}
	watching, stop := context.WithCancel(ctx)
	var watched sync.WaitGroup
	watched.Go(func() { t.watch(watching) })
	err = t.run(ctx)
	stop()
	watched.Wait()
	t.checkTrace()
	err = errors.Join(err, t.end(context.WithoutCancel(ctx)))
	t.result.Took = time.Since(begin).Seconds()
	return t.result, err
}

// install gives the trial binaries of its own, by which its processes are told from others.
func install(p product.Product, dir string) (product.Product, error) {
	own := product.At(filepath.Join(dir, "bin"))
	if err := os.MkdirAll(own.Plugins, 0o755); err != nil {
		return product.Product{}, err
	}
	plugins, err := filepath.Glob(filepath.Join(p.Plugins, "*"))
	if err != nil {
		return product.Product{}, err
	}
	for _, plugin := range plugins {
		err = errors.Join(err, duplicate(plugin, filepath.Join(own.Plugins, filepath.Base(plugin))))
	}
	return own, errors.Join(err, duplicate(p.Binary, own.Binary))
}

// duplicate is a link, where the file systems allow one, or a copy.
func duplicate(from, to string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

// serve starts the host, or another one on the same directory.
func (t *trial) serve(ctx context.Context) error {
	h, err := t.p.Serve(ctx, t.dir, 2, t.world.settings())
	if err != nil {
		return err
	}
	t.hostMu.Lock()
	defer t.hostMu.Unlock()
	t.host = h
	return nil
}

func (t *trial) now() *product.Host {
	t.hostMu.Lock()
	defer t.hostMu.Unlock()
	return t.host
}

// watch follows the task's statuses.
func (t *trial) watch(ctx context.Context) {
	for wait(ctx, 20*time.Millisecond) == nil {
		t.traceMu.Lock()
		task := t.task
		t.traceMu.Unlock()
		_, _ = t.family.alive() // it remembers them
		if task == "" {
			continue
		}
		d, err := t.now().Describe(ctx, task)
		if err != nil {
			continue // the host is away
		}
		t.traceMu.Lock()
		if n := len(t.trace); n == 0 || t.trace[n-1] != d.Status {
			t.trace = append(t.trace, d.Status)
		}
		t.traceMu.Unlock()
	}
}

// checkTrace holds the statuses to their order.
func (t *trial) checkTrace() {
	order := map[string]int{
		"normal": 0, "recording": 1, "paused": 1, "canceled": 2, "transcode": 3, "upload": 4, "callback": 5, "finished": 6,
	}
	t.traceMu.Lock()
	defer t.traceMu.Unlock()
	for i := 1; i < len(t.trace); i++ {
		if order[t.trace[i]] < order[t.trace[i-1]] {
			t.result.problem("the status went back: %s", strings.Join(t.trace, ", "))
			return
		}
	}
}

// run leads the task to the moment, strikes, and leads it to its end.
func (t *trial) run(ctx context.Context) error {
	data := map[string]any{
		"RecordURL": t.world.pages.URL("frames.html"), "Width": 640, "Height": 360,
		"CallbackURL": t.world.server.URL, "Output": map[string]any{"Storage": "store"},
	}
	if t.cell.moment == waiting {
		data["RecordURL"], data["ManualStart"] = t.world.pages.URL("control.html?at=start:8"), true
	}
	task, err := t.now().Start(ctx, data)
	if err != nil {
		return err
	}
	t.traceMu.Lock()
	t.task = task
	t.traceMu.Unlock()
	if err := t.reach(ctx); err != nil {
		return fmt.Errorf("reach the moment: %w", err)
	}
	if err := t.strike(ctx); err != nil {
		return err
	}
	if !t.cell.moment.ended() {
		if err := t.goOn(ctx); err != nil {
			return fmt.Errorf("go on: %w", err)
		}
	}
	return t.finish(ctx)
}

// reach leads the task to the moment of the cell.
func (t *trial) reach(ctx context.Context) error {
	h := t.now()
	switch t.cell.moment {
	case acked:
		return nil
	case loading:
		return t.await(ctx, chrome)
	case waiting:
		_, err := t.world.pages.Wait(ctx, "ready", 1)
		return err
	}
	if _, err := h.AwaitStatus(ctx, t.task, "recording"); err != nil {
		return err
	}
	if t.cell.moment == firstSecond {
		return nil
	}
	if err := h.AwaitRecorded(ctx, t.task, steadyFrom); err != nil {
		return err
	}
	switch t.cell.moment {
	case paused:
		return t.pause(ctx, pauseTakes/2)
	case resumed:
		if err := t.pause(ctx, pauseTakes); err != nil {
			return err
		}
		return t.resume(ctx)
	case refreshed:
		return h.Tell(ctx, "Refresh", t.task)
	case stopped, transcode, upload, callback:
		if err := h.Tell(ctx, "Stop", t.task); err != nil {
			return err
		}
	}
	switch t.cell.moment {
	case transcode:
		return wait(ctx, 150*time.Millisecond)
	case upload:
		return receive(ctx, t.world.uploading)
	case callback:
		return receive(ctx, t.world.called)
	}
	return nil
}

func (t *trial) pause(ctx context.Context, d time.Duration) error {
	t.pausedAt = time.Now()
	if err := t.now().Tell(ctx, "Pause", t.task); err != nil {
		return err
	}
	return wait(ctx, d)
}

func (t *trial) resume(ctx context.Context) error {
	if err := t.now().Tell(ctx, "Resume", t.task); err != nil {
		return err
	}
	t.resumed = time.Now()
	return nil
}

func receive(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// await waits until a component is there.
func (t *trial) await(ctx context.Context, c component) error {
	for {
		found, err := t.family.find(c, t.now().PID())
		if err != nil || len(found) > 0 {
			return err
		}
		if err := wait(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("no %s: %w", c, err)
		}
	}
}

// strike kills or freezes the component, and does what an operator would then: start a killed host again.
func (t *trial) strike(ctx context.Context) (err error) {
	t.victims, t.struck, err = t.family.strike(ctx, t.cell, t.now().PID())
	if err != nil {
		return err
	}
	if t.cell.signal == syscall.SIGSTOP {
		if t.cell.component == host || t.cell.component == renderer {
			if err := wait(ctx, frozenFor); err != nil {
				return err
			}
			return wake(t.victims)
		}
		return nil
	}
	if t.cell.component != host {
		return nil
	}
	if err := t.now().Ended(ctx); err != nil {
		return err
	}
	begin := time.Now()
	if err := t.serve(ctx); err != nil {
		return err
	}
	if _, err := t.now().Describe(ctx, t.task); err != nil {
		t.result.problem("the next host does not know the task: %v", err)
	}
	t.result.Back = time.Since(begin).Seconds()
	return nil
}

// goOn waits until the recording has got over it, and stops it.
func (t *trial) goOn(ctx context.Context) error {
	if t.cell.moment == paused {
		if err := wait(ctx, pauseTakes/2); err != nil {
			return err
		}
		if err := t.resume(ctx); err != nil {
			return err
		}
	}
	before, err := t.now().Describe(ctx, t.task)
	if err != nil {
		return err
	}
	from := 0.0
	if before.Progress != nil {
		from = before.Progress.Recorded
	}
	again := t.cell.promise().again
	if err := wait(ctx, min(again, frozenFor)/2); err != nil {
		return err
	}
	_, err = t.now().Await(ctx, t.task, "it records again", func(d product.Description) bool {
		return d.Status == "recording" && d.Progress != nil && d.Progress.Recorded > from+5
	})
	if err != nil {
		return err
	}
	return t.now().Tell(ctx, "Stop", t.task)
}

// finish waits for the end of the task, and judges it.
func (t *trial) finish(ctx context.Context) error {
	d, err := t.now().AwaitStatus(ctx, t.task, "finished")
	if err != nil {
		return err
	}
	t.result.Calls = t.world.count()
	if d.Quality != nil {
		t.result.Restarts = d.Quality.Restarts
	}
	if t.result.Calls == 0 {
		t.result.problem("nobody was called back")
	}
	if d.Result == nil || d.Result.ErrorCode != "" || len(d.Result.Videos) != 1 {
		t.result.problem("finished with %+v", d.Result)
		return nil
	}
	if sum := t.sum(d); sum > 1 || sum < -1 {
		t.result.Sum = sum
		t.result.problem("recorded, gaps and pauses are %.2f s more than went by", sum)
	} else {
		t.result.Sum = sum
	}
	return t.judge(ctx, d)
}

// sum is what the task's own account adds up to, less the time that went by. Describe tells times in whole seconds.
func (t *trial) sum(d product.Description) float64 {
	sum := d.Result.Videos[0].FileDuration + t.resumed.Sub(t.pausedAt).Seconds()
	for _, g := range d.Quality.Gaps {
		sum += g.Seconds
	}
	wall := float64(d.StopTime - d.StartTime)
	off := sum - wall
	if off > 0 {
		return max(0, off-1)
	}
	return min(0, off+1)
}

// judge looks into the file.
func (t *trial) judge(ctx context.Context, d product.Description) error {
	file := filepath.Join(t.dir, "recording.mp4")
	if err := t.world.fetch(t.task, d.Result.Videos[0], file); err != nil {
		t.result.problem("%v", err)
		return nil
	}
	s, err := look(ctx, file, t.world.pages.Reports("loaded"), t.struck)
	if err != nil {
		t.result.problem("not to be read: %v", err)
		return nil
	}
	t.result.Missing, t.result.Sync = s.missing, s.sync
	if off := s.seconds - d.Result.Videos[0].FileDuration; off > 0.1 || off < -0.1 {
		t.result.problem("the file has %.2f s of sound, Describe says %.2f s", s.seconds, d.Result.Videos[0].FileDuration)
	}
	if t.cell.moment.recording() && t.cell.moment != paused {
		if t.cell.moment == resumed { // what was paused until then was not to be captured
			s.lost = min(s.lost, t.struck.Sub(t.resumed))
			s.cut -= t.resumed.Sub(t.pausedAt)
		}
		t.result.Lost, t.result.Again = max(0, s.lost.Seconds()), s.again.Seconds()
		t.hold(s)
	}
	return nil
}

// hold compares with what is promised. A frame or two are the page's own.
func (t *trial) hold(s seen) {
	const frame = 100 * time.Millisecond
	p := t.cell.promise()
	if p.again == 0 { // nothing stops the capture
		s.lost = s.cut
	}
	if s.lost > p.lost+frame {
		t.result.problem("%.2f s that were captured are lost, promised are %v", s.lost.Seconds(), p.lost)
	}
	if p.again > 0 && s.again > p.again {
		t.result.problem("%.2f s until pictures came again, promised are %v", s.again.Seconds(), p.again)
	}
	if s.sync > 60 {
		t.result.problem("sound is %.0f ms off the picture", s.sync)
	}
}

// end closes the host and looks for what is left behind.
func (t *trial) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	_ = wake(t.victims)
	left := t.leftovers(ctx)
	if len(left) > 0 {
		t.result.problem("still there %v after the end: %s", goneWithin, strings.Join(left, ", "))
	}
	if len(t.result.Problems) == 0 && !t.spoolGone(ctx) {
		t.result.problem("the spool of a delivered recording is still there %v after the end", spoolWithin)
	}
	err := t.now().Close(ctx)
	if len(t.result.Problems) > 0 {
		return errors.Join(err, os.WriteFile(filepath.Join(t.dir, "host.log"), []byte(t.now().Log()), 0o600))
	}
	return err
}

// spoolGone waits until nothing is left of the task's spool. The host sees it off once it knows that the worker is gone, which a
// runtime plugin that was frozen cannot tell before it has been replaced.
func (t *trial) spoolGone(ctx context.Context) bool {
	for deadline := time.Now().Add(spoolWithin); ; {
		spools, _ := filepath.Glob(filepath.Join(t.dir, "data", "spool", "*")) // the pattern is well-formed
		if len(spools) == 0 {
			return true
		}
		if time.Now().After(deadline) || wait(ctx, 100*time.Millisecond) != nil {
			return false
		}
	}
}

// leftovers are the processes of the task that outlive it.
func (t *trial) leftovers(ctx context.Context) (names []string) {
	for deadline := time.Now().Add(goneWithin); ; {
		names = nil
		for _, c := range []component{worker, chrome, renderer, ffmpeg} {
			found, err := t.family.find(c, t.now().PID())
			if err != nil {
				return []string{err.Error()}
			}
			for _, p := range found {
				if !p.Zombie {
					names = append(names, fmt.Sprintf("%s (%d)", p.Name, p.PID))
				}
			}
		}
		if len(names) == 0 || time.Now().After(deadline) || wait(ctx, 100*time.Millisecond) != nil {
			return names
		}
	}
}
