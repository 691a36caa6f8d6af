package task

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recordhost/recordhost/internal/control"
	"github.com/recordhost/recordhost/internal/store"
)

// keep is longer than a test may take, so that only what a test has made older is due.
func keep() Retention { return Retention{Tasks: 48 * time.Hour, Spool: 24 * time.Hour} }

// leave makes what a worker leaves in the spool of a task.
func (h *host) leave(id string) string {
	h.t.Helper()
	dir := filepath.Join(h.dir, "spool", id)
	if err := os.MkdirAll(filepath.Join(dir, "spool"), 0o700); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "spool", "run-0001.mp4"), []byte("film"), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return dir
}

// fail starts a task that finishes without having been delivered, and answers its spool.
func (h *host) fail() (id, spool string) {
	h.t.Helper()
	id, w := h.start(simple)
	w.say(h.t, control.Started{}, control.Failed{Code: "UploadFailed", Message: "no route"}, control.Done{})
	w.quit <- 1
	spool = h.leave(id)
	h.wait(id)
	until(h.t, "the actor ends", func() bool { return h.actor(id) == nil })
	return id, spool
}

func (h *host) upkeep(u *Upkeep, later time.Duration) {
	h.t.Helper()
	if err := u.Run(context.Background(), time.Now().Add(later)); err != nil {
		h.t.Error(err)
	}
}

func there(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Stat(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return err == nil
}

func TestUpkeepDeletesWhatIsOver(t *testing.T) {
	h := newHost(t, nil, nil)
	failed, spool := h.fail()
	running, w := h.start(simple)
	w.say(t, control.Started{})
	runs := h.leave(running)
	u := h.Upkeep(keep())

	h.upkeep(u, 0)
	if !there(t, spool) {
		t.Error("the spool is gone at once")
	}
	h.upkeep(u, 25*time.Hour)
	if there(t, spool) {
		t.Error("the spool is there after retention.spool")
	}
	if d := h.describe(failed); d.Status != Finished {
		t.Errorf("the task is gone with its spool: %+v", d)
	}
	h.upkeep(u, 49*time.Hour)
	_, err := h.Describe(context.Background(), failed)
	wantCode(t, err, CodeInvalidParam)
	h.wantStatus(running, Recording)
	if !there(t, runs) {
		t.Error("the spool of a recording that runs was removed")
	}
	if log := h.log.String(); !strings.Contains(log, "retention.tasks") || !strings.Contains(log, "retention.spool") {
		t.Error("the log does not say what was deleted and why")
	}
}

// The task may go before its spool's time has come; the spool goes with it.
func TestUpkeepDeletesATaskWithItsSpool(t *testing.T) {
	h := newHost(t, nil, nil)
	_, spool := h.fail()
	h.upkeep(h.Upkeep(Retention{Tasks: time.Hour, Spool: 1000 * time.Hour}), 2*time.Hour)
	if there(t, spool) {
		t.Error("the spool of a deleted task is there")
	}
}

// A task whose worker may still be there is not over.
func TestUpkeepWaitsForTheWorker(t *testing.T) {
	h := newHost(t, func(o *Options) { o.timing.release = time.Hour }, nil)
	id, w := h.start(simple)
	w.say(t, append([]control.Body{control.Started{}}, finishing()...)...)
	h.wantStatus(id, Finished)
	spool := h.leave(id)
	h.upkeep(h.Upkeep(keep()), 1000*time.Hour)
	if !there(t, spool) || h.describe(id).Status != Finished {
		t.Error("it was deleted")
	}
}

func TestUpkeepOfManyTasks(t *testing.T) {
	h := newHost(t, nil, nil)
	const count, old = 2*expireBatch + 7, 2*expireBatch + 3
	for i := range count {
		end := time.Now()
		if i < old {
			end = end.Add(-100 * time.Hour)
		}
		k, err := Record{
			ID: fmt.Sprint("t", i), Created: end, State: State{Status: Finished, FinishTime: end}, Launch: Launch{Over: true},
		}.encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := h.store.Create(context.Background(), k); err != nil {
			t.Fatal(err)
		}
	}
	h.upkeep(h.Upkeep(keep()), 0)
	l, err := h.List(context.Background(), ListQuery{})
	if err != nil || len(l.Tasks) != count-old {
		t.Errorf("%d tasks are left, %v; want %d", len(l.Tasks), err, count-old)
	}
}

// A spool without a task may be all that is left of a recording. It is named, once, and given time.
func TestUpkeepOfASpoolWithoutATask(t *testing.T) {
	h := newHost(t, nil, nil)
	dir := h.leave("nobody")
	u := h.Upkeep(keep())
	h.upkeep(u, 0)
	h.upkeep(u, 23*time.Hour)
	if n := strings.Count(h.log.String(), "belongs to no task"); n != 1 {
		t.Errorf("it was named %d times", n)
	}
	if !there(t, dir) {
		t.Error("it is gone at once")
	}
	h.upkeep(u, 25*time.Hour)
	if there(t, dir) {
		t.Error("it is there for ever")
	}
}

// stubbornStore does not delete one task.
type stubbornStore struct {
	store.Store
	id string
}

func (s stubbornStore) Delete(ctx context.Context, ids ...string) error {
	if slices.Contains(ids, s.id) {
		return errNoSpace
	}
	return s.Store.Delete(ctx, ids...)
}

// What fails is told, and tried again.
func TestUpkeepThatFails(t *testing.T) {
	var stubborn stubbornStore
	h := newHost(t, func(o *Options) { stubborn.Store, o.Store = o.Store, &stubborn }, nil)
	id, spool := h.fail()
	stubborn.id = id
	u := h.Upkeep(keep())
	if err := u.Run(context.Background(), time.Now().Add(49*time.Hour)); !errors.Is(err, errNoSpace) {
		t.Errorf("error %v", err)
	}
	stubborn.id = ""
	h.upkeep(u, 49*time.Hour)
	if _, err := h.Describe(context.Background(), id); err == nil || there(t, spool) {
		t.Error("the task is there")
	}
}

// A spool that cannot be removed keeps its task, and no other.
func TestUpkeepOfASpoolThatStays(t *testing.T) {
	h := newHost(t, nil, nil)
	stays, _ := h.fail()
	goes, _ := h.fail()
	spools := filepath.Join(h.dir, "spool")
	// A file in the spools' place is no directory to look into: what lies below it cannot be removed.
	h.options.SpoolDir = filepath.Join(spools, stays, "spool", "run-0001.mp4")
	u := h.Upkeep(keep())
	if err := u.Run(context.Background(), time.Now().Add(49*time.Hour)); err == nil {
		t.Error("no error")
	}
	for _, id := range []string{stays, goes} {
		h.wantStatus(id, Finished)
	}
	h.options.SpoolDir = spools
	h.upkeep(u, 49*time.Hour)
	for _, id := range []string{stays, goes} {
		if _, err := h.Describe(context.Background(), id); err == nil {
			t.Errorf("task %s is there", id)
		}
	}
}
