package task

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recordhost/recordhost/internal/control"
)

// The columns of the matrix. Canceled stands twice, because much depends on whether something was recorded before.
func columns() []State {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	begun := func(status Status) State { return State{Status: status, StartTime: at(1)} }
	canceled := begun(Canceled)
	canceled.CancelTime = at(2)
	late := func(status Status) State {
		s := begun(status)
		s.StopTime = at(3)
		return s
	}
	called := late(Callback)
	called.Deliveries = []control.Delivery{{Filename: "a.mp4"}}
	finished := called
	finished.Status, finished.FinishTime, finished.CallbackError = Finished, at(4), "ECONNREFUSED:refused"
	unstored := finished
	unstored.Deliveries, unstored.Undelivered, unstored.CallbackError = nil, &Failure{Code: "UploadFailed", Message: "503"}, ""
	retrying := unstored
	retrying.Retry = &Retry{Since: at(5)}
	out := []State{
		{Status: Normal}, begun(Recording), begun(Paused), {Status: Canceled, CancelTime: at(2)}, canceled,
		late(Transcode), late(Upload), called, finished, unstored, retrying,
	}
	for i := range out {
		out[i].Command, out[i].Steering = 4, 3
		if !out[i].Status.ended() {
			out[i].Pending = []control.Command{{Number: 3, Kind: control.CommandResume}, {Number: 4, Kind: control.CommandRefresh}}
		}
	}
	return out
}

// TestCommandsSayWhenTheyWereAsked: a worker that takes another's place learns of them late.
func TestCommandsSayWhenTheyWereAsked(t *testing.T) {
	asked := time.Unix(2000, 0)
	for what, before := range map[any]Status{PauseAsked{}: Recording, ResumeAsked{}: Paused, RefreshAsked{}: Normal, StopAsked{}: Paused} {
		s, _, err := next(State{Status: before}, Event{At: asked, What: what})
		if err != nil || len(s.Pending) != 1 || !s.Pending[0].Asked.Equal(asked) {
			t.Errorf("%T: %+v, %v", what, s.Pending, err)
		}
	}
}

// matrix states what every event does in every status. "canceled*" is canceled before anything was recorded, "finished*" is
// finished without its upload, "finished**" is that while the upload is tried again. In a cell stands the new status, if it is another, and what else changes:
//
//	.        nothing at all            refused  the action is answered with InvalidStatus
//	send     a command is sent         heard    commands that have taken effect are no longer pending
//	end      callback, or finished where nobody wants one, and the worker is let go
//	failed, lost, noroom             the failure's code
//	again    another worker is launched
//	start, cancel, stop, finish      the time that is set
//	files, gap, restart, untold      the member that changes
//	retry, over, stored              an upload is tried again, no longer tried again, and no longer missing
//
//nolint:lll // a table
const matrix = `
event           normal       recording       paused          canceled*  canceled        transcode   upload      callback       finished       finished*   finished**
Pause           refused      paused,send     .               refused    refused         refused     refused     refused        refused        refused     refused
Resume          refused      .               rec,send        refused    refused         refused     refused     refused        refused        refused     refused
Refresh         send         send            send            refused    refused         refused     refused     refused        refused        refused     refused
Stop            cancel,send  cancel,send     cancel,send     .          .               .           .           .              .              .           .
RetryUpload     refused      refused         refused         refused    refused         refused     refused     refused        refused        retry,again .
lifetime-over   cancel,send  cancel,send     cancel,send     .          .               .           .           .              .              .           .
loaded          .            .               .               .          .               .           .           .              .              .           .
started         rec,start    .               .               start      .               .           .           .              .              .           .
paused          heard        paused,heard    heard           heard      heard           heard       heard       .              .              .           .
paused-before   .            .               .               .          .               .           .           .              .              .           .
resumed         heard        heard           rec,heard       heard      heard           heard       heard       .              .              .           .
resumed-before  .            .               .               .          .               .           .           .              .              .           .
refreshed       heard        heard           heard           heard      heard           heard       heard       .              .              .           .
gap             .            gap             gap             gap        gap             gap         gap         .              .              .           .
restart         restart      restart         restart         restart    restart         restart     restart     .              .              .           .
stopping        .            trans,stop      trans,stop      .          trans,stop      .           .           .              .              .           .
whole           .            .               .               .          .               upload      .           .              .              .           .
delivered       .            end,stop,files  end,stop,files  .          end,stop,files  end,files   end,files   .              .              .           files,stored,over
failed          failed       failed          failed          failed     failed          failed      failed      .              .              .           noted
done            end          end,stop,lost   end,stop,lost   end        end,stop,lost   end,lost    end,lost    .              .              .           over
unknown-news    .            .               .               .          .               .           .           .              .              .           .
launch-failed   end,noroom   end,stop,noroom end,stop,noroom end        end,stop,noroom end,noroom  end,noroom  .              .              .           over
worker-lost     again        again           again           end        again           again       again       .              .              .           again
lost-too-often  end,lost     again,lost      again,lost      end        again,lost      again,lost  again,lost  .              .              .           over
call-accepted   .            .               .               .          .               .           .           finish         untold         .           .
call-given-up   .            .               .               .          .               .           .           finish,untold  untold         .           .
`

// whatHappens is the event of each row. The last command which says whether time runs has number 3.
func whatHappens() map[string]any {
	before := func(b control.Body) Report { return Report{Applied: 2, Body: b} }
	after := func(b control.Body) Report { return Report{Applied: 3, Body: b} }
	return map[string]any{
		"Pause": PauseAsked{}, "Resume": ResumeAsked{}, "Refresh": RefreshAsked{}, "Stop": StopAsked{},
		"RetryUpload": RetryAsked{}, "lifetime-over": LifetimeOver{},
		"loaded": before(control.Loaded{}), "started": before(control.Started{At: time.Unix(9, 0)}),
		"paused": after(control.Paused{}), "paused-before": before(control.Paused{}),
		"resumed": after(control.Resumed{}), "resumed-before": before(control.Resumed{}),
		"refreshed": after(control.Refreshed{}), "gap": before(control.Gap{Cause: "x"}), "restart": before(control.Restart{}),
		"stopping": before(control.Stopping{}), "whole": before(control.Whole{}),
		"delivered": before(control.Delivered{Deliveries: []control.Delivery{{}}}), "failed": before(control.Failed{Code: "failed"}),
		"done": before(control.Done{}), "unknown-news": before(nil),
		"launch-failed": LaunchFailed{Code: "noroom"}, "worker-lost": WorkerLost{Code: CodeWorkerLost},
		"lost-too-often": WorkerLost{Code: CodeWorkerLost, Message: "often"},
		"call-accepted":  CallbackAccepted{}, "call-given-up": CallbackGivenUp{Message: "E:x"},
	}
}

// change says in the words of the matrix what a step changed.
func change(before, after State, effects []Effect, err error) string {
	if err != nil {
		return "refused"
	}
	var words []string
	add := func(changed bool, word string) {
		if changed {
			words = append(words, word)
		}
	}
	ending := !before.Status.ended() && after.Status.ended()
	add(ending, "end")
	moved := after.Status != before.Status
	add(moved && after.Status == Recording, "rec")
	add(moved && after.Status == Paused, "paused")
	add(moved && after.Status == Transcode, "trans")
	add(moved && after.Status == Upload, "upload")
	add(!after.StartTime.Equal(before.StartTime), "start")
	add(!after.CancelTime.Equal(before.CancelTime), "cancel")
	add(!after.StopTime.Equal(before.StopTime), "stop")
	add(!after.FinishTime.Equal(before.FinishTime) && !ending, "finish")
	add(len(after.Deliveries) != len(before.Deliveries), "files")
	add(len(after.Gaps) != len(before.Gaps), "gap")
	add(after.Restarts != before.Restarts, "restart")
	add(after.CallbackError != before.CallbackError, "untold")
	add(before.Undelivered != nil && after.Undelivered == nil, "stored")
	add(before.Retry == nil && after.Retry != nil, "retry")
	add(before.Retry != nil && after.Retry == nil, "over")
	add(before.Retry != nil && after.Retry != nil && before.Retry.Failed == nil && after.Retry.Failed != nil, "noted")
	add(slices.Contains(effects, Effect(Relaunch{})), "again")
	if after.Failure != nil && before.Failure == nil {
		words = append(words, strings.Replace(after.Failure.Code, CodeWorkerLost, "lost", 1))
	}
	add(slices.ContainsFunc(effects, func(e Effect) bool { _, ok := e.(Send); return ok }), "send")
	add(!ending && len(after.Pending) < len(before.Pending), "heard")
	if len(words) == 0 {
		return "."
	}
	return strings.Join(words, ",")
}

// sent is the command that each action sends, where it sends one.
func sent() map[string]control.CommandKind {
	return map[string]control.CommandKind{
		"Pause": control.CommandPause, "Resume": control.CommandResume, "Refresh": control.CommandRefresh, "Stop": control.CommandStop,
		"lifetime-over": control.CommandStop,
	}
}

func TestTheWholeMatrix(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(matrix), "\n")
	header, events, seen := strings.Fields(lines[0])[1:], whatHappens(), 0
	for _, line := range lines[1:] {
		cells := strings.Fields(line)
		name, cells := cells[0], cells[1:]
		what, known := events[name]
		if !known || len(cells) != len(header) {
			t.Fatalf("the row %q is not whole", line)
		}
		seen++
		for i, before := range columns() {
			if string(before.Status) != strings.TrimRight(header[i], "*") {
				t.Fatalf("column %d is %s", i, header[i])
			}
			want := cells[i]
			for _, wanted := range []bool{false, true} {
				before.WantsCallback = wanted
				before.Losses = nil
				if name == "lost-too-often" {
					before.Losses = slices.Repeat([]time.Time{time.Unix(98, 0)}, maxLosses)
				}
				t.Run(fmt.Sprintf("%s in %s, callback %t", name, header[i], wanted), func(t *testing.T) {
					untouched := clone(before)
					after, effects, err := next(before, Event{At: time.Unix(99, 0), What: what})
					if got := change(before, after, effects, err); got != want {
						t.Errorf("got %s, want %s", got, want)
					}
					if !reflect.DeepEqual(before, untouched) {
						t.Error("the state that went in was changed")
					}
					for _, e := range effects {
						if s, ok := e.(Send); ok && s.Command.Kind != sent()[name] {
							t.Errorf("it sends %s", s.Command.Kind)
						}
					}
					checkStep(t, before, after, effects, err)
				})
			}
		}
	}
	if seen != len(events) {
		t.Errorf("%d rows for %d events", seen, len(events))
	}
}

func clone(s State) State {
	s.Pending = append([]control.Command(nil), s.Pending...)
	s.Deliveries = append([]control.Delivery(nil), s.Deliveries...)
	return s
}

// checkStep holds for every step of every task.
func checkStep(t interface{ Errorf(string, ...any) }, before, after State, effects []Effect, err error) {
	if err != nil && (!reflect.DeepEqual(before, after) || effects != nil) {
		t.Errorf("a refused action changed something: %+v -> %+v, %v", before, after, effects)
	}
	if rank(after.Status) < rank(before.Status) {
		t.Errorf("the status went back from %s to %s", before.Status, after.Status)
	}
	for name, times := range map[string][2]time.Time{
		"StartTime": {before.StartTime, after.StartTime}, "CancelTime": {before.CancelTime, after.CancelTime},
		"StopTime": {before.StopTime, after.StopTime}, "FinishTime": {before.FinishTime, after.FinishTime},
	} {
		if !times[0].IsZero() && !times[1].Equal(times[0]) {
			t.Errorf("%s was set twice", name)
		}
	}
	if !after.CancelTime.Equal(before.CancelTime) && after.Status != Canceled {
		t.Errorf("canceled, and in status %s", after.Status)
	}
	if (after.Status == Finished) != !after.FinishTime.IsZero() {
		t.Errorf("status %s, FinishTime %v", after.Status, after.FinishTime)
	}
	if (before.Retry != nil || after.Retry != nil) && (before.Status != Finished || after.Status != Finished) {
		t.Errorf("an upload is tried again in %s, then %s", before.Status, after.Status)
	}
	ending := !before.Status.ended() && after.Status.ended()
	retried := before.Retry != nil && after.Retry == nil
	if ending && (after.Status == Callback) != after.WantsCallback {
		t.Errorf("it ended in %s, a callback is wanted: %t", after.Status, after.WantsCallback)
	}
	want := []Effect(nil)
	if ending || retried {
		want = append(want, Release{})
	}
	if (ending || retried && after.Undelivered == nil) && after.WantsCallback {
		want = append(want, Call{})
	}
	for _, e := range effects {
		if s, ok := e.(Send); ok {
			want = append(want, s)
			if after.Command != before.Command+1 || s.Command.Number != after.Command {
				t.Errorf("command %d was sent after %d", s.Command.Number, before.Command)
			}
			if last := after.Pending[len(after.Pending)-1]; last != s.Command {
				t.Errorf("what is sent, %+v, is not what is kept, %+v", s.Command, last)
			}
		}
	}
	if before.Retry == nil && after.Retry != nil || !reflect.DeepEqual(before.Losses, after.Losses) && !ending {
		want = append(want, Relaunch{})
	}
	if !reflect.DeepEqual(effects, want) {
		t.Errorf("effects %v, want %v", effects, want)
	}
}

// rank orders the statuses; recording and paused are equal.
func rank(s Status) int {
	for i, x := range statuses() {
		if x == s && s != Paused {
			return i
		}
	}
	return rank(Recording)
}

func TestUnknownEventIsAnError(t *testing.T) {
	before := State{Status: Recording}
	after, effects, err := next(before, Event{What: 7})
	if err == nil || effects != nil || !reflect.DeepEqual(before, after) {
		t.Errorf("got %+v, %v, %v", after, effects, err)
	}
}

func TestInvalidStatusNamesVerbAndStatus(t *testing.T) {
	_, _, err := next(State{Status: Finished}, Event{What: PauseAsked{}})
	if err == nil || err.Error() != "can't pause a task in status finished" {
		t.Errorf("got %v", err)
	}
}

// A task is given workers to record with as long as it does not lose them too fast, and one more to save what there is.
func TestWorkersAreReplaced(t *testing.T) {
	at := func(minutes int) time.Time { return time.Unix(1000, 0).Add(time.Duration(minutes) * time.Minute) }
	lose := func(s State, minutes int) (State, bool) {
		s, effects, err := next(s, Event{At: at(minutes), What: WorkerLost{Code: CodeWorkerLost, Message: "gone"}})
		if err != nil {
			t.Fatal(err)
		}
		return s, slices.Contains(effects, Effect(Relaunch{}))
	}
	s, again := State{Status: Recording, StartTime: at(0)}, false
	for m := range 60 { // one every four minutes is never too fast
		if s, again = lose(s, 4*m); !again || s.Salvage || s.Failure != nil {
			t.Fatalf("loss %d: %+v", m, s)
		}
		s, _, _ = next(s, Event{At: at(4*m + 1), What: Report{Body: control.Gap{Cause: "x"}}})
		if !s.LostAt.IsZero() {
			t.Fatal("a worker reports, and the task seems to have none")
		}
	}
	for range maxLosses {
		s, again = lose(s, 500)
	}
	if !again || s.Salvage || s.salvage() {
		t.Fatalf("after %d losses: %+v", maxLosses, s)
	}
	if s, again = lose(s, 500); !again || !s.salvage() || s.Failure == nil || s.Failure.Code != CodeWorkerLost || s.Status != Recording {
		t.Fatalf("after one more: %+v", s)
	}
	for range maxLosses {
		if s, again = lose(s, 501); !again {
			t.Fatalf("the worker that saves the recording is not replaced: %+v", s)
		}
	}
	if s, again = lose(s, 501); again || s.Status != Finished {
		t.Fatalf("it goes on for ever: %+v", s)
	}
}

// Times never run back, whatever clock an event comes with.
func TestTimesDoNotRunBack(t *testing.T) {
	s := State{Status: Recording, StartTime: time.Unix(100, 0)}
	s, _, _ = next(s, Event{At: time.Unix(50, 0), What: StopAsked{}})
	s, _, _ = next(s, Event{At: time.Unix(20, 0), What: Report{Body: control.Stopping{}}})
	if s.CancelTime.Before(s.StartTime) || s.StopTime.Before(s.CancelTime) {
		t.Errorf("started %v, canceled %v, stopped %v", s.StartTime, s.CancelTime, s.StopTime)
	}
}

// The first code stays; the text tells everything.
func TestFailuresAddUp(t *testing.T) {
	s := State{Status: Recording, StartTime: time.Unix(1, 0), WantsCallback: true}
	for _, what := range []any{
		Report{Body: control.Failed{Code: "PageCrashed", Message: "three times"}},
		Report{Body: control.Failed{Code: "UploadFailed", Message: "503"}},
		Report{Body: control.Done{}},
		CallbackGivenUp{Message: "ECONNABORTED:timeout of 2000ms exceeded"},
	} {
		s, _, _ = next(s, Event{What: what, At: time.Unix(2, 0)})
	}
	code, message := s.failure()
	const want = "three times; UploadFailed: 503; " +
		"Callback failed even all tries. last error message:ECONNABORTED:timeout of 2000ms exceeded"
	if code != "PageCrashed" || message != want {
		t.Errorf("got %s: %s", code, message)
	}
	s, _, _ = next(s, Event{What: CallbackAccepted{}})
	if code, message = s.failure(); code != "PageCrashed" || message != "three times; UploadFailed: 503" {
		t.Errorf("after the callback was accepted: %s: %s", code, message)
	}
	s.Failure, s.Undelivered = nil, nil
	if code, message = s.failure(); code != "" || message != "" {
		t.Errorf("nothing failed: %s: %s", code, message)
	}
	s.CallbackError = "E:x"
	if code, message = s.failure(); code != CodeCallbackFailed || message != "Callback failed even all tries. last error message:E:x" {
		t.Errorf("only the callback failed: %s: %s", code, message)
	}
}
