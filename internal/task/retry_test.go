package task

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/recordhost/recordhost/internal/control"
)

// failFor starts a task whose upload fails, and whose caller is told so.
func (h *host) failFor(url string, said ...control.Body) (id, spool string) {
	h.t.Helper()
	id, w := h.startFor(url)
	spool = h.leave(id)
	w.say(h.t, append(append([]control.Body{control.Started{}, control.Stopping{}, control.Whole{}}, said...), control.Done{})...)
	w.quit <- 0
	h.wait(id)
	return id, spool
}

// An upload that is tried again, and succeeds, takes its failure back, and the caller is told once more. Meanwhile the task
// is what it was; the next try of one that fails again is another one.
func TestRetryUpload(t *testing.T) {
	e := newEndpoint(t, answering(200))
	h := newHost(t, quick, nil)
	id, spool := h.failFor(e.URL,
		control.Failed{Code: "PageCrashed", Message: "three times"}, control.Failed{Code: "UploadFailed", Message: "503"})
	h.over(id)
	h.wantResult(id, "PageCrashed", "three times; UploadFailed: 503")

	h.do(h.RetryUpload, id)
	w := h.worker()
	if s := w.Spec(); s.Epoch != 2 || !s.Salvage || len(s.Targets) != 1 || w.Done() {
		t.Errorf("the worker gets %+v, and has nothing to do: %t", s, w.Done())
	}
	h.do(h.RetryUpload, id) // it is under way
	w.say(t, control.Started{}, control.Restart{What: "worker"}, control.Stopping{}, control.Whole{})
	h.wantResult(id, "PageCrashed", "three times; UploadFailed: 503")
	if d := h.describe(id); d.Quality.Restarts != 0 || d.Status != Finished {
		t.Errorf("described as %+v", d)
	}
	w.say(t, control.Failed{Code: "UploadDenied", Message: "403"}, control.Done{})
	w.quit <- 0
	h.over(id)
	h.wantResult(id, "PageCrashed", "three times; UploadDenied: 403")
	if n := len(e.all()); n != 1 || !there(t, spool) {
		t.Errorf("told %d times", n)
	}

	h.do(h.RetryUpload, id)
	w = h.worker()
	h.restart() // the next host takes it up
	w.say(t, video("a.mp4"), control.Done{})
	w.quit <- 0
	h.over(id)
	h.wantResult(id, "PageCrashed", "three times")
	if d := h.describe(id); len(d.Result.Videos) != 1 || there(t, spool) {
		t.Errorf("described as %+v, the spool is there: %t", d, there(t, spool))
	}
	all := e.all()
	if len(all) != 2 || all[0].id == all[1].id || !strings.Contains(all[1].body, "a.mp4") || strings.Contains(all[1].body, "Upload") {
		t.Errorf("told %+v", all)
	}
	wantCode(t, h.RetryUpload(context.Background(), id), CodeInvalidStatus)
}

// What one target holds stays, and is told, when another one fails; the spool stays for that one.
func TestSomeTargetsFail(t *testing.T) {
	h := newHost(t, nil, nil)
	id, w := h.start(string(with(`"Output":{"Targets":[{"TargetName":"a"},{"Storage":"other","TargetName":"b"}]}`)))
	spool := h.leave(id)
	if x := w.Spec().Targets; len(x) != 2 || x[0].Storage != "files" || x[1].Storage != "other" || x[1].Main != "b.mp4" {
		t.Errorf("the targets are %+v", x)
	}
	w.say(t, control.Started{}, control.Stopping{}, control.Whole{},
		control.Failed{Code: "UploadFailed", Message: `storage "other": 503`}, video("a.mp4"), control.Done{})
	w.quit <- 0
	h.wait(id)
	h.over(id)
	h.wantResult(id, "UploadFailed", `storage "other": 503`)
	if d := h.describe(id); len(d.Result.Videos) != 1 || !there(t, spool) {
		t.Errorf("described as %+v, the spool is there: %t", d, there(t, spool))
	}
	h.do(h.RetryUpload, id)
	both := video("a.mp4")
	both.Deliveries = append(both.Deliveries, control.Delivery{Storage: "other", Filename: "b.mp4"})
	w = h.worker()
	w.say(t, both, control.Done{})
	w.quit <- 0
	h.over(id)
	h.wantResult(id, "", "")
	if d := h.describe(id); len(d.Result.Videos) != 2 || there(t, spool) {
		t.Errorf("described as %+v, the spool is there: %t", d, there(t, spool))
	}
}

// A retry that loses its workers over and over has failed, and can be asked for again.
func TestRetryThatLosesItsWorkers(t *testing.T) {
	h := newHost(t, nil, nil)
	id, spool := h.fail()
	h.do(h.RetryUpload, id)
	for range maxLosses + 1 {
		h.worker()
		h.machine.KillAll()
	}
	h.over(id)
	d := h.describe(id)
	if d.Result.ErrorCode != CodeWorkerLost || d.Status != Finished || !there(t, spool) {
		t.Errorf("described as %+v", d)
	}
	h.do(h.RetryUpload, id)
	w := h.worker()
	w.say(t, video("a.mp4"), control.Done{})
	w.quit <- 0
	h.over(id)
	h.wantResult(id, "", "")
}

func TestRetryUploadIsRefused(t *testing.T) {
	h := newHost(t, nil, nil)
	id, w := h.start(simple)
	message := wantCode(t, h.RetryUpload(context.Background(), id), CodeInvalidStatus)
	if message != "can't retry the upload of a task in status normal" {
		t.Error(message)
	}
	w.succeed(t)
	h.over(id)
	if message = wantCode(t, h.RetryUpload(context.Background(), id), CodeInvalidStatus); !strings.Contains(message, "has not failed") {
		t.Error(message)
	}
	id, _ = h.fail()
	h.upkeep(h.Upkeep(keep()), 25*time.Hour)
	if message = wantCode(t, h.RetryUpload(context.Background(), id), CodeInvalidStatus); !strings.Contains(message, "retention.spool") {
		t.Error(message)
	}
	wantCode(t, h.RetryUpload(context.Background(), "x"), CodeInvalidParam)
	ended, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("gone"))
	if err := h.RetryUpload(ended, id); err == nil {
		t.Error("an ended context is no error")
	}
}

// Every code after which the spool is kept can be tried again, also where an older host has stored it.
func TestWhatCanBeRetried(t *testing.T) {
	for code, can := range map[string]bool{
		"UploadFailed": true, "UploadDenied": true, "TargetExists": true, "DiskFull": true, "PageCrashed": false, CodeWorkerLost: false,
	} {
		for what, s := range map[string]State{
			"told now":    {Undelivered: nil},
			"told before": {Failure: &Failure{Code: code}},
		} {
			s.Status, s.StartTime, s.FinishTime = Finished, time.Unix(1, 0), time.Unix(2, 0)
			if what == "told now" {
				s.Status, s.FinishTime = Upload, time.Time{}
				s, _, _ = next(s, Event{At: time.Unix(2, 0), What: Report{Body: control.Failed{Code: code, Message: "x"}}})
				s, _, _ = next(s, Event{At: time.Unix(2, 0), What: Report{Body: control.Done{}}})
			}
			s, _, err := next(s, Event{At: time.Unix(3, 0), What: RetryAsked{}})
			if (err == nil) != can {
				t.Errorf("%s, %s: %v", code, what, err)
			}
			if !can {
				continue
			}
			s, _, _ = next(s, Event{At: time.Unix(4, 0), What: Report{Body: video("a.mp4")}})
			if got, _ := s.failure(); got != "" || len(s.Deliveries) != 1 {
				t.Errorf("%s, %s, mended: %q, %+v", code, what, got, s.Deliveries)
			}
		}
	}
}

// A spool that is needed is not removed with the worker.
func TestRetryKeepsTheSpool(t *testing.T) {
	h := newHost(t, nil, nil)
	id, spool := h.fail()
	h.do(h.RetryUpload, id)
	w := h.worker()
	h.upkeep(h.Upkeep(keep()), 25*time.Hour)
	if _, err := os.Stat(spool); err != nil {
		t.Errorf("the spool was deleted while it is sent: %v", err)
	}
	w.say(t, control.Failed{Code: "UploadFailed", Message: "503"}, control.Done{})
	w.quit <- 0
	h.over(id)
	if !there(t, spool) {
		t.Error("the spool is gone")
	}
}
