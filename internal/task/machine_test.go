package task

import (
	"fmt"
	"reflect"
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
	out := []State{
		{Status: Normal}, begun(Recording), begun(Paused), {Status: Canceled, CancelTime: at(2)}, canceled,
		late(Transcode), late(Upload), called, finished,
	}
	for i := range out {
		out[i].Command, out[i].Steering = 4, 3
		if !out[i].Status.ended() {
			out[i].Pending = []control.Command{{Number: 3, Kind: control.CommandResume}, {Number: 4, Kind: control.CommandRefresh}}
		}
	}
	return out
}

// The cells: what changes, in the words of change. END stands for the end of a recording, with or without a callback.
const (
	same     = ""
	canceled = "canceled CancelTime send(stop) pending(3,4,5)"
	noPause  = "can't pause"
	noResume = "can't resume"
	noReload = "can't refresh"
)

// row is one event. Its cells are normal, recording, paused, canceled before the start, canceled, transcode, upload,
// callback, finished.
type row struct {
	name  string
	what  any
	cells [9]string
}

// matrix states what every event does in every state.
//
//nolint:lll // one row, one line: it is read as a table
func matrix() []row {
	report := func(b control.Body) Report { return Report{Applied: 2, Body: b} } // before the last steering command
	fresh := func(b control.Body) Report { return Report{Applied: 3, Body: b} }  // after it
	const reload, read = "send(refresh) pending(3,4,5)", "pending(4)"
	return []row{
		{"Pause", PauseAsked{}, [9]string{noPause, "paused send(pause) pending(3,4,5)", same, noPause, noPause, noPause, noPause, noPause, noPause}},
		{"Resume", ResumeAsked{}, [9]string{noResume, same, "recording send(resume) pending(3,4,5)", noResume, noResume, noResume, noResume, noResume, noResume}},
		{"Refresh", RefreshAsked{}, [9]string{reload, reload, reload, noReload, noReload, noReload, noReload, noReload, noReload}},
		{"Stop", StopAsked{}, [9]string{canceled, canceled, canceled, same, same, same, same, same, same}},
		{"lifetime over", LifetimeOver{}, [9]string{canceled, canceled, canceled, same, same, same, same, same, same}},

		{"loaded", report(control.Loaded{}), [9]string{same, same, same, same, same, same, same, same, same}},
		{"started", report(control.Started{At: time.Unix(9, 0)}), [9]string{"recording StartTime", same, same, "StartTime", same, same, same, same, same}},
		{"paused", fresh(control.Paused{}), [9]string{read, "paused " + read, read, read, read, read, read, same, same}},
		{"paused, but resumed since", report(control.Paused{}), [9]string{same, same, same, same, same, same, same, same, same}},
		{"resumed", fresh(control.Resumed{}), [9]string{read, read, "recording " + read, read, read, read, read, same, same}},
		{"resumed, but paused since", report(control.Resumed{}), [9]string{same, same, same, same, same, same, same, same, same}},
		{"refreshed", fresh(control.Refreshed{}), [9]string{read, read, read, read, read, read, read, same, same}},
		{"gap", report(control.Gap{Cause: "x"}), [9]string{same, "Gaps", "Gaps", "Gaps", "Gaps", "Gaps", "Gaps", same, same}},
		{"restart", report(control.Restart{}), [9]string{"Restarts", "Restarts", "Restarts", "Restarts", "Restarts", "Restarts", "Restarts", same, same}},
		{"stopping", report(control.Stopping{}), [9]string{same, "transcode StopTime", "transcode StopTime", same, "transcode StopTime", same, same, same, same}},
		{"whole", report(control.Whole{}), [9]string{same, same, same, same, same, "upload", same, same, same}},
		{"delivered", report(control.Delivered{Deliveries: []control.Delivery{{}}}), [9]string{same, "END StopTime Deliveries", "END StopTime Deliveries", same, "END StopTime Deliveries", "END Deliveries", "END Deliveries", same, same}},
		{"failed", report(control.Failed{Code: "X"}), [9]string{"X", "X", "X", "X", "X", "X", "X", same, same}},
		{"done", report(control.Done{}), [9]string{"END", "END StopTime WorkerLost", "END StopTime WorkerLost", "END", "END StopTime WorkerLost", "END WorkerLost", "END WorkerLost", same, same}},
		{"news of a later release", report(nil), [9]string{same, same, same, same, same, same, same, same, same}},

		{"launch failed", LaunchFailed{Code: "NoCapacity"}, [9]string{"END NoCapacity", "END StopTime NoCapacity", "END StopTime NoCapacity", "END", "END StopTime NoCapacity", "END NoCapacity", "END NoCapacity", same, same}},
		{"worker lost", WorkerLost{}, [9]string{"END WorkerLost", "END StopTime WorkerLost", "END StopTime WorkerLost", "END", "END StopTime WorkerLost", "END WorkerLost", "END WorkerLost", same, same}},
		{"callback accepted", CallbackAccepted{}, [9]string{same, same, same, same, same, same, same, "finished FinishTime", "CallbackError"}},
		{"callback given up", CallbackGivenUp{Message: "E:x"}, [9]string{same, same, same, same, same, same, same, "finished FinishTime CallbackError", same}},
	}
}

// change says in words what a step changed: the new status, the fields, the failure's code, the effects. What every
// end brings with it is drawn together as END.
func change(before, after State, effects []Effect, err error) string {
	if err != nil {
		return err.Error()[:len("can't ")+strings.IndexByte(err.Error()[len("can't "):], ' ')]
	}
	ending := !before.Status.ended() && after.Status.ended()
	var words []string
	if after.Status != before.Status && !ending {
		words = append(words, string(after.Status))
	}
	if ending {
		words = append(words, "END")
	}
	add := func(changed bool, name string) {
		if changed {
			words = append(words, name)
		}
	}
	add(!after.StartTime.Equal(before.StartTime), "StartTime")
	add(!after.CancelTime.Equal(before.CancelTime), "CancelTime")
	add(!after.StopTime.Equal(before.StopTime), "StopTime")
	add(!after.FinishTime.Equal(before.FinishTime) && !ending, "FinishTime")
	add(len(after.Deliveries) != len(before.Deliveries), "Deliveries")
	add(len(after.Gaps) != len(before.Gaps), "Gaps")
	add(after.Restarts != before.Restarts, "Restarts")
	add(after.CallbackError != before.CallbackError, "CallbackError")
	if after.Failure != nil && before.Failure == nil {
		words = append(words, after.Failure.Code)
	}
	for _, e := range effects {
		if s, ok := e.(Send); ok {
			words = append(words, fmt.Sprintf("send(%s)", s.Command.Kind))
		}
	}
	if !ending && !reflect.DeepEqual(before.Pending, after.Pending) {
		var numbers []string
		for _, c := range after.Pending {
			numbers = append(numbers, fmt.Sprint(c.Number))
		}
		words = append(words, "pending("+strings.Join(numbers, ",")+")")
	}
	return strings.Join(words, " ")
}

func TestTheWholeMatrix(t *testing.T) {
	for _, wanted := range []bool{false, true} {
		for _, row := range matrix() {
			for i, before := range columns() {
				before.WantsCallback = wanted
				t.Run(fmt.Sprintf("%s in %s/%d/callback %t", row.name, before.Status, i, wanted), func(t *testing.T) {
					untouched := clone(before)
					after, effects, err := next(before, Event{At: time.Unix(99, 0), What: row.what})
					if got := change(before, after, effects, err); got != row.cells[i] {
						t.Errorf("got  %q\nwant %q", got, row.cells[i])
					}
					if !reflect.DeepEqual(before, untouched) {
						t.Error("the state that went in was changed")
					}
					checkStep(t, before, after, effects, err)
				})
			}
		}
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
	if (after.Status == Finished) != !after.FinishTime.IsZero() {
		t.Errorf("status %s, FinishTime %v", after.Status, after.FinishTime)
	}
	ending := !before.Status.ended() && after.Status.ended()
	if ending && (after.Status == Callback) != after.WantsCallback {
		t.Errorf("it ended in %s, a callback is wanted: %t", after.Status, after.WantsCallback)
	}
	want := []Effect(nil)
	if ending {
		want = append(want, Release{})
	}
	if ending && after.WantsCallback {
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
	const want = "three times; UploadFailed: 503; Callback failed even all tries. last error message:ECONNABORTED:timeout of 2000ms exceeded"
	if code != "PageCrashed" || message != want {
		t.Errorf("got %s: %s", code, message)
	}
	s, _, _ = next(s, Event{What: CallbackAccepted{}})
	if code, message = s.failure(); code != "PageCrashed" || message != "three times; UploadFailed: 503" {
		t.Errorf("after the callback was accepted: %s: %s", code, message)
	}
	s.Failure = nil
	if code, message = s.failure(); code != "" || message != "" {
		t.Errorf("nothing failed: %s: %s", code, message)
	}
	s.CallbackError = "E:x"
	if code, message = s.failure(); code != CodeCallbackFailed || message != "Callback failed even all tries. last error message:E:x" {
		t.Errorf("only the callback failed: %s: %s", code, message)
	}
}
