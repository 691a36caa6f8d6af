package task

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/recordhost/recordhost/internal/control"
	"github.com/recordhost/recordhost/sdk/runtime"
	"github.com/recordhost/recordhost/sdk/runtime/runtimetest"
	"github.com/recordhost/recordhost/sdk/status"
)

func TestARecordingFromStartToFinished(t *testing.T) {
	h := newHost(t, nil, nil)
	begin := time.Now().Unix()
	id, w := h.start(simple)
	if spec := w.Spec(); spec.RecordURL != "https://example.com/lesson" || spec.Epoch != 1 || spec.TaskID != id {
		t.Errorf("the worker's spec is %v", spec)
	}
	d := h.describe(id)
	if d.Status != Normal || d.CreateTime < begin || d.StartTime != 0 || d.Result != nil {
		t.Errorf("after Start: %+v", d)
	}
	w.say(t, control.Loaded{}, control.Started{At: time.Now()})
	if d = h.describe(id); d.Status != Recording || d.StartTime < begin {
		t.Errorf("after the first frame: %+v", d)
	}
	h.do(h.Pause, id)
	h.wantStatus(id, Paused)
	w.obey(t, control.CommandPause)
	w.say(t, control.Paused{})
	h.do(h.Resume, id)
	h.wantStatus(id, Recording)
	w.obey(t, control.CommandResume)
	w.say(t, control.Resumed{}, control.Gap{At: time.Second, Length: 2 * time.Second, Cause: "the encoder was restarted"},
		control.Restart{What: "encoder"})
	h.do(h.Refresh, id)
	w.obey(t, control.CommandRefresh)
	w.Report(control.Progress{Recorded: 9 * time.Second, Frames: 270, Dropped: 1, Silent: 2 * time.Second, Delivered: 5})
	until(t, "the heartbeat's figures", func() bool { return h.describe(id).Quality.Frames == 270 })

	h.do(h.Stop, id)
	if d = h.describe(id); d.Status != Canceled || d.CancelTime < begin {
		t.Errorf("after Stop: %+v", d)
	}
	w.obey(t, control.CommandStop)
	w.say(t, control.Stopping{Reason: control.ReasonStop})
	if d = h.describe(id); d.Status != Transcode || d.StopTime < begin {
		t.Errorf("after the capture's end: %+v", d)
	}
	w.say(t, control.Whole{})
	h.wantStatus(id, Upload)
	w.say(t, video("a.mp4"), control.Done{})
	w.quit <- 0

	d = h.wait(id)
	if d.FinishTime < begin {
		t.Errorf("FinishTime is %d", d.FinishTime)
	}
	d.CreateTime, d.StartTime, d.CancelTime, d.StopTime, d.FinishTime = 1, 2, 3, 4, 5
	got, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"TaskID":"` + id + `","CreateTime":1,"Status":"finished","StartTime":2,"CancelTime":3,"StopTime":4,"FinishTime":5,` +
		`"Result":{"Videos":[{"Filename":"a.mp4","FileSize":1000,"FileDuration":9.033,"FileURL":"file:///a.mp4"}]},` +
		`"Progress":{"Recorded":9,"Delivered":5},"Quality":{"Frames":270,"Dropped":1,"SilentSeconds":2,` +
		`"Gaps":[{"At":1,"Seconds":2,"Cause":"the encoder was restarted"}],"Restarts":1}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	until(t, "the actor ends", func() bool { return h.actor(id) == nil })
	if _, err := os.Stat(filepath.Join(h.dir, "spool", id)); !os.IsNotExist(err) {
		t.Errorf("the spool is left: %v", err)
	}
	if again := h.describe(id); again.Result == nil || again.Quality.Frames != 270 {
		t.Errorf("from the store: %+v", again)
	}
	wantCode(t, h.Pause(context.Background(), id), CodeInvalidStatus)
	h.do(h.Stop, id)
}

func TestUnknownTask(t *testing.T) {
	h := newHost(t, nil, nil)
	for name, action := range map[string]func(context.Context, string) error{
		"Pause": h.Pause, "Resume": h.Resume, "Refresh": h.Refresh, "Stop": h.Stop,
		"Describe": func(ctx context.Context, id string) error { _, err := h.Describe(ctx, id); return err },
	} {
		if message := wantCode(t, action(context.Background(), "nobody"), CodeInvalidParam); message != "invalid task id, task not found" {
			t.Errorf("%s: %s", name, message)
		}
	}
}

// What the caller has said since counts more than what the page did before.
func TestThePageAndTheCallerRace(t *testing.T) {
	h := newHost(t, nil, nil)
	id, w := h.start(simple)
	w.say(t, control.Started{}, control.Paused{}) // by the page
	h.wantStatus(id, Paused)
	h.do(h.Resume, id)
	w.say(t, control.Paused{}) // the page paused again before the worker had heard of the resume
	h.wantStatus(id, Recording)
	w.obey(t, control.CommandResume)
	w.say(t, control.Resumed{}, control.Paused{}) // the page pauses after it
	h.wantStatus(id, Paused)
}

func TestARuntimeThatIsFullMakesNoTask(t *testing.T) {
	h := newHost(t, nil, func(runtime.Launch) runtimetest.Script {
		return runtimetest.Script{StartError: status.WithRetryAfter(status.Errorf(status.NoCapacity, "full"), 7*time.Second)}
	})
	_, err := h.Start(context.Background(), data(`{"RecordURL":"https://example.com/","TaskID":"mine"}`))
	wantCode(t, err, CodeNoCapacity)
	if e, ok := errors.AsType[*Error](err); !ok || e.RetryAfter() != 7*time.Second {
		t.Errorf("to be tried again: %+v", e)
	}
	wantCode(t, h.Stop(context.Background(), "mine"), CodeInvalidParam)
	if l, err := h.List(context.Background(), ListQuery{}); err != nil || len(l.Tasks) != 0 {
		t.Errorf("listed: %+v, %v", l, err)
	}
}

// launches answers the scripts one after another, the last one for ever. A nil script is a puppet.
func launches(h **host, scripts ...*runtimetest.Script) func(runtime.Launch) runtimetest.Script {
	n := 0
	return func(l runtime.Launch) runtimetest.Script {
		s := scripts[min(n, len(scripts)-1)]
		n++
		if s == nil {
			return (*h).script(l)
		}
		return *s
	}
}

func TestALaunchThatFailsAtFirst(t *testing.T) {
	unavailable := &runtimetest.Script{StartError: status.Errorf(status.Unavailable, "the plugin is being restarted")}
	var h *host
	h = newHost(t, nil, launches(&h, unavailable, unavailable, nil))
	id, w := h.start(simple)
	if w.Spec().Epoch != 3 {
		t.Errorf("epoch %d, want 3", w.Spec().Epoch)
	}
	w.say(t, control.Started{})
	h.wantStatus(id, Recording)
}

func TestALaunchThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		script runtimetest.Script
		tries  int
		code   string
		text   string
	}{
		"for ever":        {runtimetest.Script{StartError: status.Errorf(status.Unavailable, "no bus")}, 3, CodeLaunchFailed, "no bus"},
		"for good":        {runtimetest.Script{StartError: status.Errorf(status.PermissionDenied, "no")}, 1, CodeLaunchFailed, "no"},
		"it hangs":        {runtimetest.Script{StartHang: true}, 3, CodeLaunchFailed, "deadline"},
		"the worker dies": {runtimetest.Script{RunFor: time.Millisecond, ExitCode: 7}, maxLosses + 1, CodeLaunchFailed, "exit code 7"},
	} {
		t.Run(name, func(t *testing.T) {
			tries := 0
			change := func(o *Options) {
				if c.script.StartHang {
					o.timing.launch = 20 * time.Millisecond
				}
			}
			h := newHost(t, change, func(runtime.Launch) runtimetest.Script {
				tries++
				return c.script
			})
			id, err := h.Start(context.Background(), data(simple))
			if err != nil {
				t.Fatal(err)
			}
			h.wantFailure(id, c.code, c.text)
			if tries != c.tries {
				t.Errorf("launched %d times, want %d", tries, c.tries)
			}
			if d := h.describe(id); d.Result.Videos == nil || d.StartTime != 0 {
				t.Errorf("described as %+v", d)
			}
		})
	}
}

func TestRoomThatIsGoneWhenALaunchIsTriedAgain(t *testing.T) {
	var h *host
	h = newHost(t, nil, launches(&h,
		&runtimetest.Script{StartError: status.Errorf(status.Unavailable, "gone")},
		&runtimetest.Script{StartError: status.Errorf(status.NoCapacity, "full")}))
	id, err := h.Start(context.Background(), data(simple))
	if err != nil {
		t.Fatal(err)
	}
	h.wantFailure(id, CodeNoCapacity, "full")
}

func TestAWorkerThatDies(t *testing.T) {
	h := newHost(t, nil, nil)
	id, w := h.start(simple)
	w.Report(control.Progress{Frames: 300, Recorded: 10 * time.Second})
	w.say(t, control.Started{})
	h.do(h.Pause, id)
	h.machine.KillAll()
	w = h.worker()
	if s := w.Spec(); s.Epoch != 2 || s.Salvage || s.RecordURL == "" || s.Heard[1] != 1 {
		t.Errorf("the next worker gets epoch %d, salvage %t, heard %v", s.Epoch, s.Salvage, s.Heard)
	}
	w.obey(t, control.CommandPause) // nobody knows whether the first one had
	w.Report(control.Progress{Frames: 100, Recorded: 9 * time.Second})
	w.say(t, control.Gap{At: 9 * time.Second, Length: 4 * time.Second, Cause: "x"})
	h.wantStatus(id, Paused)
	d := h.describe(id)
	if d.Quality.Frames != 400 || d.Progress.Recorded != 10 || len(d.Quality.Gaps) != 1 {
		t.Errorf("described as %+v", d)
	}
	w.say(t, finishing()...)
	w.quit <- 0
	if d := h.wait(id); d.Result.ErrorCode != "" || len(d.Result.Videos) != 1 {
		t.Errorf("the result is %+v", d.Result)
	}
}

// A task that loses one worker after the other is saved as it is; when even that fails, its spool stays.
func TestWorkersThatDieOverAndOver(t *testing.T) {
	h := newHost(t, nil, nil)
	id, w := h.start(simple)
	w.say(t, control.Started{})
	for n := range 2*maxLosses + 1 {
		h.machine.KillAll()
		w = h.worker()
		if s := w.Spec(); s.Salvage != (n >= maxLosses) {
			t.Errorf("worker %d: salvage %t", n+2, s.Salvage)
		}
	}
	h.machine.KillAll()
	h.wantFailure(id, CodeWorkerLost, "killed")
	d := h.describe(id)
	if d.StopTime == 0 || d.Result.Videos == nil || len(d.Result.Videos) != 0 {
		t.Errorf("described as %+v", d)
	}
	if _, err := os.Stat(filepath.Join(h.dir, "spool", id)); err != nil {
		t.Errorf("the spool of a lost recording is gone: %v", err)
	}
}

// A worker's last words arrive although it is gone already.
func TestAWorkerThatDiesAfterItsLastWord(t *testing.T) {
	h := newHost(t, nil, nil)
	id, w := h.start(simple)
	w.say(t, append([]control.Body{control.Started{}}, finishing()...)...)
	w.quit <- 1
	if d := h.wait(id); d.Result.ErrorCode != "" || len(d.Result.Videos) != 1 {
		t.Errorf("the result is %+v", d.Result)
	}
	until(t, "the actor ends", func() bool { return h.actor(id) == nil })
}

func TestAWorkerThatFallsSilent(t *testing.T) {
	h := newHost(t, func(o *Options) { o.timing.silence = 2 * time.Second }, nil)
	id, w := h.start(simple)
	w.say(t, control.Started{})
	if err := w.Close(); err != nil { // it lives on, and says nothing
		t.Fatal(err)
	}
	next := h.worker()
	if n := h.machine.Running(); n != 1 {
		t.Errorf("%d workers run", n)
	}
	next.say(t, finishing()...)
	next.quit <- 0
	h.wait(id)
}

// A host that stood still has heard nothing, and that is not its workers' fault.
func TestAHostThatStoodStill(t *testing.T) {
	w := worker{}
	const every = time.Second
	now := time.Unix(1000, 0)
	heard := now
	for range 100 {
		w.look(now, heard, every)
		now = now.Add(time.Hour)
		heard = now.Add(-time.Minute)
	}
	if w.quiet > 1 {
		t.Errorf("%d looks found the worker quiet", w.quiet)
	}
	for range 5 {
		now = now.Add(every)
		w.look(now, heard, every)
	}
	if w.quiet < 5 {
		t.Errorf("only %d looks found the worker quiet", w.quiet)
	}
}

func TestAWorkerThatNeverComes(t *testing.T) {
	h := newHost(t, func(o *Options) { o.timing.silence = 50 * time.Millisecond }, func(runtime.Launch) runtimetest.Script {
		return runtimetest.Script{}
	})
	id, err := h.Start(context.Background(), data(simple))
	if err != nil {
		t.Fatal(err)
	}
	h.wantFailure(id, CodeLaunchFailed, "never reported")
}

func TestStopBeforeAnythingWasRecorded(t *testing.T) {
	h := newHost(t, nil, nil)
	id, w := h.start(`{"RecordURL":"https://example.com/","ManualStart":true}`)
	w.say(t, control.Loaded{})
	h.do(h.Stop, id)
	h.wantStatus(id, Canceled)
	w.obey(t, control.CommandStop)
	w.say(t, control.Done{})
	d := h.wait(id)
	if d.Result.ErrorCode != "" || d.Result.Videos == nil || len(d.Result.Videos) != 0 || d.StartTime != 0 || d.StopTime != 0 {
		t.Errorf("described as %+v, %+v", d, d.Result)
	}
}

// Nothing is lost by ending a worker that does not hear of the Stop, if nothing was recorded.
func TestStopOfAWorkerThatDoesNotStop(t *testing.T) {
	h := newHost(t, func(o *Options) { o.timing.discard = 50 * time.Millisecond }, nil)
	id, _ := h.start(simple)
	h.do(h.Stop, id)
	if d := h.wait(id); d.Result.ErrorCode != "" || len(d.Result.Videos) != 0 {
		t.Errorf("the result is %+v", d.Result)
	}
	until(t, "the worker is gone", func() bool { return h.machine.Running() == 0 })
}

func TestAWorkerThatDoesNotEnd(t *testing.T) {
	h := newHost(t, func(o *Options) { o.timing.release = 50 * time.Millisecond }, nil)
	id, w := h.start(simple)
	w.tell(t, append([]control.Body{control.Started{}}, finishing()...)...)
	if d := h.wait(id); d.Result.ErrorCode != "" {
		t.Errorf("the result is %+v", d.Result)
	}
	until(t, "the worker is gone", func() bool { return h.machine.Running() == 0 })
}

func TestAWorkerThatNeverFinishesItsFile(t *testing.T) {
	h := newHost(t, func(o *Options) {
		o.timing.overdue, o.Engine.UploadGiveUp = 50*time.Millisecond, 50*time.Millisecond
	}, nil)
	id, w := h.start(simple)
	w.tell(t, control.Started{}, control.Stopping{Reason: control.ReasonLimit})
	h.wantFailure(id, CodeWorkerLost, "did not finish the recording in time")
}

func TestATaskThatNobodyStops(t *testing.T) {
	h := newHost(t, func(o *Options) { o.Engine.MaxLifetime = 300 * time.Millisecond }, nil)
	id, w := h.start(simple)
	w.say(t, control.Started{}, control.Paused{})
	w.obey(t, control.CommandStop)
	h.wantStatus(id, Canceled)
	w.say(t, finishing()...)
	if d := h.wait(id); d.Result.ErrorCode != "" || len(d.Result.Videos) != 1 {
		t.Errorf("the result is %+v", d.Result)
	}
}

func TestFailuresOfTheWorker(t *testing.T) {
	h := newHost(t, nil, nil)
	id, w := h.start(simple)
	w.say(t, control.Failed{Code: "PageLoadFailed", Message: "net::ERR_NAME_NOT_RESOLVED"}, control.Done{})
	h.wantFailure(id, "PageLoadFailed", "net::ERR_NAME_NOT_RESOLVED")

	id, w = h.start(simple)
	w.say(t, control.Started{}, control.Failed{Code: "PageCrashed", Message: "three times"})
	h.wantStatus(id, Recording)
	w.say(t, finishing()...)
	h.wantFailure(id, "PageCrashed", "three times")
	if d := h.describe(id); len(d.Result.Videos) != 1 {
		t.Errorf("what was recorded before was not delivered: %+v", d.Result)
	}
}

func TestTheCallersOwnTaskID(t *testing.T) {
	h := newHost(t, nil, nil)
	const body = `{"RecordURL":"https://example.com/","TaskID":"lesson-1","Width":640}`
	id, _ := h.start(body)
	if id != "lesson-1" {
		t.Errorf("the task is %s", id)
	}
	var callers sync.WaitGroup
	for range 50 {
		callers.Go(func() {
			again, err := h.Start(context.Background(), data(`{"Width":640, "TaskID":"lesson-1","RecordURL":"https://example.com/"}`))
			if again != id || err != nil {
				t.Errorf("again: %s, %v", again, err)
			}
		})
	}
	callers.Wait()
	_, err := h.Start(context.Background(), data(`{"RecordURL":"https://example.com/","TaskID":"lesson-1","Width":641}`))
	wantCode(t, err, CodeInvalidParam)
	h.restart()
	if again, err := h.Start(context.Background(), data(body)); again != id || err != nil {
		t.Errorf("at the next host: %s, %v", again, err)
	}
	if n := len(h.machine.Launches()); n != 1 {
		t.Errorf("%d launches, want 1", n)
	}
}

func TestManyStartsOfOneTaskIDAtOnce(t *testing.T) {
	h := newHost(t, nil, nil)
	var callers sync.WaitGroup
	for range 100 {
		callers.Go(func() {
			id, err := h.Start(context.Background(), data(`{"RecordURL":"https://example.com/","TaskID":"one"}`))
			if id != "one" || err != nil {
				t.Errorf("%s, %v", id, err)
			}
		})
	}
	callers.Wait()
	if n := len(h.machine.Launches()); n != 1 {
		t.Errorf("%d launches, want 1", n)
	}
}

// A caller who went away without its TaskID can never stop the task.
func TestACallerWhoGoesAway(t *testing.T) {
	proceed := make(chan struct{})
	var h *host
	h = newHost(t, nil, func(l runtime.Launch) runtimetest.Script {
		<-proceed
		return h.script(l)
	})
	ctx, cancel := context.WithCancel(context.Background())
	started := make(chan error, 1)
	go func() {
		_, err := h.Start(ctx, data(simple))
		started <- err
	}()
	until(t, "the task is there", func() bool {
		l, err := h.List(context.Background(), ListQuery{})
		return err == nil && len(l.Tasks) == 1
	})
	cancel()
	wantCode(t, <-started, CodeInternal)
	close(proceed)
	h.worker().obey(t, control.CommandStop)
}

func TestDrain(t *testing.T) {
	h := newHost(t, nil, nil)
	_, w := h.start(simple)
	other, v := h.start(simple)
	w.say(t, control.Started{})
	h.do(h.Stop, other)
	drained := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		drained <- h.Drain(ctx)
	}()
	w.obey(t, control.CommandStop)
	_, err := h.Start(context.Background(), data(simple))
	wantCode(t, err, CodeDraining)
	select {
	case err := <-drained:
		t.Fatalf("drained while workers run: %v", err)
	default:
	}
	w.say(t, finishing()...)
	w.quit <- 0
	v.say(t, control.Done{})
	v.quit <- 0
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if h.machine.Running() != 0 {
		t.Error("workers run after the drain")
	}
}

// Recordings that run are not stopped: they end when they would have.
func TestFinish(t *testing.T) {
	h := newHost(t, nil, nil)
	id, w := h.start(simple)
	w.say(t, control.Started{})
	counts := make(chan int, 100)
	finished := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		finished <- h.Finish(ctx, func(n int) { counts <- n })
	}()
	if n := <-counts; n != 1 {
		t.Errorf("%d recordings are left, want 1", n)
	}
	_, err := h.Start(context.Background(), data(simple))
	wantCode(t, err, CodeDraining)
	h.wantStatus(id, Recording)
	h.do(h.Pause, id) // it can still be told what to do
	w.obey(t, control.CommandPause)
	w.say(t, finishing()...)
	w.quit <- 0
	if err := <-finished; err != nil {
		t.Error(err)
	}
	last := -1
	for len(counts) > 0 { // a Start that was refused may have counted meanwhile
		last = <-counts
	}
	if last != 0 {
		t.Errorf("%d recordings are left, want none", last)
	}
	if d := h.describe(id); len(d.Result.Videos) != 1 {
		t.Errorf("the result is %+v", d.Result)
	}
}

func TestFinishIsBounded(t *testing.T) {
	h := newHost(t, nil, nil)
	_, w := h.start(simple)
	w.say(t, control.Started{})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := h.Finish(ctx, func(int) {}); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 recordings") {
		t.Errorf("got %v", err)
	}
}

func TestADrainIsBounded(t *testing.T) {
	h := newHost(t, nil, nil)
	_, w := h.start(simple)
	w.say(t, control.Started{})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := h.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 recordings") {
		t.Errorf("got %v", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	h := newHost(t, nil, nil)
	good := h.options
	for name, change := range map[string]func(*Options){
		"no store":        func(o *Options) { o.Store = nil },
		"no control":      func(o *Options) { o.Control = nil },
		"no runtime":      func(o *Options) { o.DefaultRuntime = "x" },
		"no storage":      func(o *Options) { o.DefaultStorage = "x" },
		"relative spool":  func(o *Options) { o.SpoolDir = "spool" },
		"no key":          func(o *Options) { o.Key = nil },
		"no engine":       func(o *Options) { o.Engine = Engine{} },
		"no max lifetime": func(o *Options) { o.Engine.MaxLifetime = 0 },
	} {
		o := good
		change(&o)
		if _, err := New(context.Background(), o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
