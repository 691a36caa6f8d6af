package task

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recordhost/recordhost/internal/control"
	"github.com/recordhost/recordhost/internal/store"
	"github.com/recordhost/recordhost/internal/store/bolt"
)

// loseStore ends the host and takes all of its store away but for the socket's path.
func (h *host) loseStore() {
	h.t.Helper()
	socket, err := h.store.Setting(context.Background(), SettingSocket)
	if err != nil {
		h.t.Fatal(err)
	}
	h.down()
	dir := filepath.Join(h.dir, "data")
	if err := os.Remove(filepath.Join(dir, "tasks.db")); err != nil {
		h.t.Fatal(err)
	}
	s, err := bolt.Open(dir)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := s.SetSetting(context.Background(), SettingSocket, socket); err != nil {
		h.t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) passport(id string) string { return filepath.Join(h.dir, "spool", id, passportName) }

// A recording goes on although the store has lost its task.
func TestATaskThatTheStoreHasLost(t *testing.T) {
	h := newHost(t, nil, nil)
	id, w := h.start(simple)
	w.say(t, control.Started{}, control.Gap{Cause: "before"})
	h.loseStore()
	w.tell(t, control.Gap{Cause: "meanwhile"})
	h.up()
	w.say(t)
	if d := h.describe(id); d.Status != Recording || len(d.Quality.Gaps) != 2 {
		t.Errorf("described as %+v", d)
	}
	h.do(h.Pause, id)
	w.obey(t, control.CommandPause)
	h.restart() // it is in the store, once and for all
	h.wantStatus(id, Paused)
	h.do(h.Stop, id)
	w.obey(t, control.CommandStop)
	w.say(t, finishing()...)
	w.quit <- 0
	if d := h.wait(id); d.Result.ErrorCode != "" || len(d.Result.Videos) != 1 {
		t.Errorf("the result is %+v", d.Result)
	}
	until(t, "the actor ends", func() bool { return h.actor(id) == nil })
	if there(t, h.passport(id)) {
		t.Error("the passport outlives the spool")
	}
}

// The worker tells again what was acknowledged to it and lost since, and takes commands whose numbers it has had.
func TestATaskThatIsOlderThanItsWorkerKnows(t *testing.T) {
	h := newHost(t, nil, nil)
	id, w := h.start(simple)
	w.say(t, control.Started{})
	old, err := os.ReadFile(h.passport(id))
	if err != nil {
		t.Fatal(err)
	}
	w.say(t, control.Gap{Cause: "one"}, control.Gap{Cause: "two"})
	h.do(h.Pause, id)
	w.obey(t, control.CommandPause)
	w.say(t, control.Paused{})
	h.loseStore()
	if err := os.WriteFile(h.passport(id), old, 0o600); err != nil {
		t.Fatal(err)
	}
	h.up()
	w.say(t, control.Gap{Cause: "three"})
	d := h.describe(id)
	if d.Status != Paused || len(d.Quality.Gaps) != 3 {
		t.Errorf("described as %+v", d)
	}
	h.do(h.Resume, id)
	w.obey(t, control.CommandResume)
	w.say(t, append([]control.Body{control.Resumed{}}, finishing()...)...)
	w.quit <- 0
	if d := h.wait(id); d.Result.ErrorCode != "" || len(d.Result.Videos) != 1 {
		t.Errorf("the result is %+v", d.Result)
	}
}

// What a store has is not replaced by what was before, and no passport brings back what is over.
func TestAPassportIsNoNewsToAStoreThatIsWhole(t *testing.T) {
	h := newHost(t, nil, nil)
	id, w := h.start(simple)
	w.say(t, control.Started{})
	old, err := os.ReadFile(h.passport(id))
	if err != nil {
		t.Fatal(err)
	}
	w.say(t, control.Paused{})
	if err := os.WriteFile(h.passport(id), old, 0o600); err != nil {
		t.Fatal(err)
	}
	h.restart()
	h.wantStatus(id, Paused)
	w.say(t, control.Failed{Code: "UploadFailed"}, control.Done{})
	w.quit <- 0
	h.wait(id)
	until(t, "the actor ends", func() bool { return h.actor(id) == nil })
	h.loseStore() // its spool is left, with what it has come to
	h.up()
	h.wantFailure(id, "UploadFailed", "")
}

func TestAPassportThatIsDamaged(t *testing.T) {
	h := newHost(t, nil, nil)
	id, w := h.start(simple)
	w.say(t, control.Started{})
	h.loseStore()
	text, err := os.ReadFile(h.passport(id))
	if err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string][]byte{
		"cut": text[:len(text)/2], "flipped": bytes.Replace(text, []byte("recording"), []byte("recordinG"), 1),
		"another's": bytes.Replace(text, []byte(id), []byte("another"), 1), "empty": nil,
	} {
		if err := os.WriteFile(h.passport(id), damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		h.up()
		if _, err := h.Describe(context.Background(), id); err == nil {
			t.Errorf("%s: the task is there", name)
		}
		h.down()
	}
	if n := strings.Count(h.log.String(), "copy in its spool cannot be used"); n != 4 {
		t.Errorf("it was named %d times", n)
	}
	h.up()
}

// Whatever is damaged in the store: the host comes up, tasks that are not damaged are there, and so are all that are open.
func TestADamagedStore(t *testing.T) {
	var options Options
	h := newHost(t, func(o *Options) { options = *o }, nil)
	open := make(map[string][]byte)
	for range 3 {
		id, w := h.start(simple)
		w.say(t, control.Started{})
		open[id] = nil
	}
	over := make(map[string][]byte)
	for i := range 47 {
		k, err := Record{
			ID: fmt.Sprint("over-", i), Created: time.Unix(int64(i), 0), Launch: Launch{Over: true},
			State: State{Status: Finished, FinishTime: time.Unix(1000, 0)},
		}.encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := h.store.Create(context.Background(), k); err != nil {
			t.Fatal(err)
		}
		k.Version = 1
		if over[k.ID], err = store.Encode(k); err != nil {
			t.Fatal(err)
		}
	}
	h.down()
	defer h.up()
	data, err := os.ReadFile(filepath.Join(h.dir, "data", "tasks.db"))
	if err != nil {
		t.Fatal(err)
	}
	for id := range open {
		if open[id], err = os.ReadFile(h.passport(id)); err != nil {
			t.Fatal(err)
		}
	}
	for at := 0; at < len(data); at += 512 {
		flipped := slices.Clone(data)
		flipped[at] ^= 0xFF
		flipped[at+100] ^= 0xFF
		for what, damaged := range map[string][]byte{"flipped": flipped, "cut": data[:at]} {
			comesUp(t, fmt.Sprintf("%s at %d", what, at), options, damaged, open, over)
			if t.Failed() {
				return
			}
		}
	}
}

// comesUp starts the host's side on a damaged store, with the passports of the tasks that are open.
func comesUp(t *testing.T, what string, o Options, damaged []byte, open, over map[string][]byte) {
	t.Helper()
	dir := quickDir(t)
	defer os.RemoveAll(dir)
	o.SpoolDir = filepath.Join(dir, "spool")
	files := map[string][]byte{filepath.Join(dir, "data", "tasks.db"): damaged}
	for id, text := range open {
		files[filepath.Join(o.SpoolDir, id, passportName)] = text
	}
	for path, content := range files {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := bolt.Open(filepath.Join(dir, "data"))
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer s.Close()
	o.Store, o.Repaired = s, s.Damage() != nil
	if o.Control, err = control.Listen(control.HostOptions{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	defer o.Control.Close()
	m, err := New(context.Background(), o)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer m.Close()
	for id := range open {
		if d, err := m.Describe(context.Background(), id); err != nil || d.Status != Recording {
			t.Errorf("%s: the open task %s is %+v, %v", what, id, d.Status, err)
		}
	}
	for id, text := range over {
		if _, err := m.Describe(context.Background(), id); err != nil && bytes.Contains(damaged, text) {
			t.Errorf("%s: task %s was not damaged: %v", what, id, err)
		}
	}
}

// quickDir is a directory where syncing takes no time, if there is one.
func quickDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "rh-test-")
	if err != nil {
		dir, err = os.MkdirTemp("", "rh-test-")
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
