package task

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recordhost/recordhost/internal/control"
	"github.com/recordhost/recordhost/internal/store"
	"github.com/recordhost/recordhost/sdk/runtime"
	"github.com/recordhost/recordhost/sdk/runtime/runtimetest"
	"github.com/recordhost/recordhost/sdk/status"
)

// A worker records on without its host, and the next host goes on with it: commands that were answered arrive, events
// that nobody heard arrive, and nothing arrives twice.
func TestTheNextHostGoesOn(t *testing.T) {
	h := newHost(t, nil, nil)
	id, w := h.start(simple)
	w.say(t, control.Started{})
	h.do(h.Pause, id)
	w.obey(t, control.CommandPause)
	w.say(t, control.Paused{})
	h.do(h.Resume, id) // answered, and perhaps not heard before the host ends
	h.down()
	if err := w.Emit(control.Gap{Cause: "without a host"}); err != nil {
		t.Fatal(err)
	}
	h.up()
	w.obey(t, control.CommandResume)
	w.say(t, control.Resumed{})
	d := h.describe(id)
	if d.Status != Recording || len(d.Quality.Gaps) != 1 || d.Quality.Gaps[0].Cause != "without a host" {
		t.Errorf("described as %+v", d)
	}
	h.do(h.Stop, id)
	w.obey(t, control.CommandStop)
	w.say(t, finishing()...)
	w.quit <- 0
	if d := h.wait(id); d.Result.ErrorCode != "" || len(d.Result.Videos) != 1 {
		t.Errorf("the result is %+v", d.Result)
	}
	until(t, "the actor ends", func() bool { return h.actor(id) == nil })
}

func TestAWorkerThatFinishesWithoutAHost(t *testing.T) {
	h := newHost(t, nil, nil)
	id, w := h.start(simple)
	w.say(t, control.Started{})
	h.down()
	for _, b := range finishing() {
		if err := w.Emit(b); err != nil {
			t.Fatal(err)
		}
	}
	h.up()
	w.say(t)
	w.quit <- 0
	if d := h.wait(id); d.Result.ErrorCode != "" || len(d.Result.Videos) != 1 {
		t.Errorf("the result is %+v", d.Result)
	}
}

func TestAWorkerThatDiesWithoutAHost(t *testing.T) {
	h := newHost(t, nil, nil)
	id, w := h.start(simple)
	w.say(t, control.Started{})
	h.down()
	h.machine.KillAll()
	h.up()
	h.goesOn(id)
}

// goesOn checks that another worker takes the task up, and lets it finish.
func (h *host) goesOn(id string) {
	h.t.Helper()
	w := h.worker()
	if s := w.Spec(); s.TaskID != id || s.Epoch < 2 {
		h.t.Errorf("the worker that came up has the spec %v", s)
	}
	w.say(h.t, finishing()...)
	w.quit <- 0
	if d := h.wait(id); d.Result.ErrorCode != "" || len(d.Result.Videos) != 1 {
		h.t.Errorf("the result is %+v", d.Result)
	}
}

// After a reboot the driver says that the worker is not its to judge. One that does not come back is replaced.
func TestAReboot(t *testing.T) {
	h := newHost(t, func(o *Options) { o.timing.absence = 50 * time.Millisecond }, nil)
	id, w := h.start(simple)
	w.say(t, control.Started{})
	h.down()
	h.machine.Reboot()
	h.up()
	h.goesOn(id)
	until(t, "the actor ends", func() bool { return h.actor(id) == nil })
}

// A driver that does not answer yet, its plugin being restarted, is asked until it does.
func TestADriverThatDoesNotAnswerAtOnce(t *testing.T) {
	var failing atomic.Bool
	failing.Store(true)
	h := newHost(t, nil, nil)
	h.change = func(o *Options) {
		o.Runtimes = map[string]runtime.Driver{"here": &moodyDriver{Driver: h.machine.Driver(), failing: &failing}}
	}
	id, w := h.start(simple)
	w.say(t, control.Started{})
	h.restart()
	w.say(t, control.Gap{})
	h.wantStatus(id, Recording)
	failing.Store(false)
	h.machine.KillAll()
	h.goesOn(id)
}

type moodyDriver struct {
	*runtimetest.Driver
	failing *atomic.Bool
}

func (d *moodyDriver) Recover(ctx context.Context, h runtime.Handle) (runtime.State, error) {
	if d.failing.Load() {
		return runtime.StateUnknown, status.Errorf(status.Unavailable, "the plugin is being restarted")
	}
	return d.Driver.Recover(ctx, h)
}

// A finished task's worker may still be there when the host ends; the next one sees to it that it ends.
func TestAWorkerThatIsStillThereAfterTheEnd(t *testing.T) {
	h := newHost(t, nil, nil)
	id, w := h.start(simple)
	w.say(t, append([]control.Body{control.Started{}}, finishing()...)...)
	h.wantStatus(id, Finished)
	h.change = func(o *Options) { o.timing.release = 20 * time.Millisecond }
	h.restart()
	until(t, "the worker is gone", func() bool { return h.machine.Running() == 0 })
	until(t, "the actor ends", func() bool { return h.actor(id) == nil })
	if d := h.describe(id); d.Result.ErrorCode != "" {
		t.Errorf("the result is %+v", d.Result)
	}
}

// An intent whose launch is not known to have happened was never answered: it is forgotten, and a worker that was
// launched all the same is refused.
func TestAnIntentThatWasNotConfirmed(t *testing.T) {
	h := newHost(t, nil, nil)
	token, hash := control.NewToken()
	r := Record{
		ID: "intent", Created: time.Now(), State: State{Status: Normal}, Launch: Launch{Runtime: "here", Epoch: 1, TokenHash: hash},
	}
	k, err := r.encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.store.Create(context.Background(), k); err != nil {
		t.Fatal(err)
	}
	h.restart()
	if _, err := h.Describe(context.Background(), "intent"); err == nil {
		t.Error("the task is there")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err = control.Dial(ctx, control.Bootstrap{
		TaskID: "intent", Epoch: 1, Token: token, Control: h.control.Addresses(),
	}, control.Options{})
	if !errors.Is(err, control.ErrRefused) {
		t.Errorf("its worker: %v", err)
	}
}

// A task whose launch had failed when the host ended was answered: the next host launches it.
func TestALaunchThatTheNextHostTriesAgain(t *testing.T) {
	var h *host
	h = newHost(t, func(o *Options) { o.timing.retry = time.Hour }, launches(&h,
		&runtimetest.Script{StartError: status.Errorf(status.Unavailable, "gone")}, nil))
	id, err := h.Start(context.Background(), data(simple))
	if err != nil {
		t.Fatal(err)
	}
	h.restart()
	w := h.worker()
	if w.Spec().TaskID != id || w.Spec().Epoch != 2 {
		t.Errorf("the worker's spec is %v", w.Spec())
	}
	w.say(t, control.Started{})
	h.wantStatus(id, Recording)
}

// lostStorage and lostKey are what may be missing when a host comes up: a storage whose plugin is not there yet, say.
func lostStorage(o *Options) { o.Storages, o.DefaultStorage = o.Storages[1:], "other" }
func lostKey(o *Options)     { o.Key = bytes.Repeat([]byte{1}, keySize) }

// A worker that has its spec goes on, whatever has become of the configuration.
func TestAWorkerNeedsItsSpecOnce(t *testing.T) {
	for name, change := range map[string]func(*Options){"its storage is gone": lostStorage, "the key is another": lostKey} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, nil, nil)
			id, w := h.start(simple)
			w.say(t, control.Started{})
			h.change = change
			h.restart()
			w.say(t, finishing()...)
			w.quit <- 0
			if d := h.wait(id); d.Result.ErrorCode != "" || len(d.Result.Videos) != 1 {
				t.Errorf("the result is %+v", d.Result)
			}
		})
	}
}

// What cannot go on must not look as if it did.
func TestATaskThatCannotGoOn(t *testing.T) {
	lostRuntime := func(o *Options) {
		o.Runtimes = map[string]runtime.Driver{"new": o.Runtimes["here"]}
		o.DefaultRuntime = "new"
	}
	h := newHost(t, nil, nil)
	id, w := h.start(simple)
	w.say(t, control.Started{})
	h.change = lostRuntime
	h.restart()
	h.wantFailure(id, CodeWorkerLost, "not configured any more")
	select {
	case <-w.Refused():
	case <-time.After(patience):
		t.Error("the worker is not refused")
	}
	h.change = nil
	h.restart()
	for name, change := range map[string]func(*Options){"its storage is gone": lostStorage, "the key is another": lostKey} {
		t.Run(name, func(t *testing.T) {
			var h *host
			h = newHost(t, func(o *Options) { o.timing.retry = time.Hour }, launches(&h,
				&runtimetest.Script{StartError: status.Errorf(status.Unavailable, "gone")}, nil))
			id, err := h.Start(context.Background(), data(simple)) // to be launched again
			if err != nil {
				t.Fatal(err)
			}
			h.change = change
			h.restart()
			h.wantFailure(id, CodeWorkerLost, "")
		})
	}
}

// moodyStore fails to store when it is told to.
type moodyStore struct {
	store.Store
	failing atomic.Bool
}

var errNoSpace = errors.New("no space left on device")

func (s *moodyStore) Create(ctx context.Context, t store.Task) error {
	if s.failing.Load() {
		return errNoSpace
	}
	return s.Store.Create(ctx, t)
}

func (s *moodyStore) Put(ctx context.Context, t store.Task) (uint64, error) {
	if s.failing.Load() {
		return 0, errNoSpace
	}
	return s.Store.Put(ctx, t)
}

// Nothing is answered, and nothing follows, that is not stored; and what the worker says is not lost over it.
func TestAFullDisk(t *testing.T) {
	moody := &moodyStore{}
	h := newHost(t, func(o *Options) { moody.Store, o.Store = o.Store, moody }, nil)
	id, w := h.start(simple)
	w.say(t, control.Started{})
	moody.failing.Store(true)
	message := wantCode(t, h.Pause(context.Background(), id), CodeInternal)
	if strings.Contains(message, "space") {
		t.Errorf("the caller is told of our disk: %s", message)
	}
	h.wantStatus(id, Recording)
	_, err := h.Start(context.Background(), data(simple))
	wantCode(t, err, CodeInternal)
	if err := w.Emit(control.Gap{Cause: "while the disk was full"}); err != nil {
		t.Fatal(err)
	}
	moody.failing.Store(false)
	w.say(t)
	if d := h.describe(id); d.Status != Recording || len(d.Quality.Gaps) != 1 {
		t.Errorf("described as %+v", d)
	}
	select {
	case c := <-w.Commands():
		t.Errorf("a command that was not stored was sent: %+v", c)
	default:
	}
	moody.failing.Store(true)
	h.machine.KillAll()
	until(t, "the loss is tried to be stored", func() bool { return strings.Contains(h.log.String(), "was not stored") })
	h.wantStatus(id, Recording)
	moody.failing.Store(false)
	h.goesOn(id)
}

// A worker whose handle was not stored could not be found again after a crash.
func TestAHandleThatIsNotStored(t *testing.T) {
	moody := &moodyStore{}
	var h *host
	h = newHost(t, func(o *Options) { moody.Store, o.Store = o.Store, moody }, func(l runtime.Launch) runtimetest.Script {
		moody.failing.Store(true)
		return h.script(l)
	})
	id, err := h.Start(context.Background(), data(simple))
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the worker is ended", func() bool { return h.machine.Running() == 0 })
	moody.failing.Store(false)
	h.wantFailure(id, CodeLaunchFailed, "handle was not stored")
}

func TestNoSecretIsAtRestOrLogged(t *testing.T) {
	h := newHost(t, nil, nil)
	const canary = "CANARY7f3a"
	_, w := h.start(`{"RecordURL":"https://example.com/?token=` + canary + `","TaskID":"t",
		"Browser":{"Headers":{"Authorization":"` + canary + `"},"Cookies":[{"Name":"s","Value":"` + canary + `"}]}}`)
	if b := w.Spec().Browser; b.Headers["Authorization"] != canary || b.Cookies[0].Value != canary {
		t.Error("the worker did not get them")
	}
	w.say(t, control.Started{})
	token := w.launch.Token
	h.down()
	defer h.up()
	var found []string
	err := filepath.WalkDir(filepath.Join(h.dir, "data"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte(canary)) || bytes.Contains(content, []byte(token)) {
			found = append(found, path)
		}
		return err
	})
	if err != nil || len(found) != 0 {
		t.Errorf("secrets in %v (%v)", found, err)
	}
	if log := h.log.String(); strings.Contains(log, canary) || strings.Contains(log, token) {
		t.Error("secrets in the log")
	}
}

func TestTheKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "key")
	key, err := LoadKey(path)
	if err != nil || len(key) != keySize {
		t.Fatalf("%d bytes, %v", len(key), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if again, err := LoadKey(path); err != nil || !bytes.Equal(again, key) {
		t.Errorf("the second time it is another: %v", err)
	}
	if err := os.WriteFile(path, key[1:], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKey(path); err == nil {
		t.Error("half a key was accepted")
	}
}

// Hosts that share a key file may all make it at their first start: one key comes of it.
func TestOneKeyOfManyHosts(t *testing.T) {
	dir := t.TempDir()
	keys := make([][]byte, 16)
	errs := make([]error, len(keys))
	var hosts sync.WaitGroup
	for i := range keys {
		hosts.Go(func() { keys[i], errs[i] = LoadKey(filepath.Join(dir, "key")) })
	}
	hosts.Wait()
	for i := range keys {
		if errs[i] != nil || !bytes.Equal(keys[i], keys[0]) {
			t.Errorf("host %d has another key, %v", i, errs[i])
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestSealedRequestsAreBoundToTheirTask(t *testing.T) {
	s, err := newSealer(bytes.Repeat([]byte{7}, keySize))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := s.seal(t.Context(), "a", Request{RecordURL: "https://example.com/"})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := s.unseal(t.Context(), "a", sealed); err != nil || r.RecordURL != "https://example.com/" {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := s.unseal(t.Context(), "b", sealed); err == nil {
		t.Error("another task's request was accepted")
	}
	a, err := s.digest(data(`{"a":1,"b":[1,2.0]}`))
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.digest(data(` { "b" : [1,2.0], "a": 1 }`))
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("the digest depends on the form: %v", err)
	}
	if c, err := s.digest(data(`{"a":1,"b":[2.0,1]}`)); err != nil || bytes.Equal(a, c) {
		t.Errorf("the digest does not depend on the content: %v", err)
	}
}
