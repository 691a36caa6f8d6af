package task

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/recordhost/recordhost/internal/clock"
	"github.com/recordhost/recordhost/internal/control"
	"github.com/recordhost/recordhost/internal/store"
	"github.com/recordhost/recordhost/internal/store/bolt"
	driver "github.com/recordhost/recordhost/sdk/runtime"
	"github.com/recordhost/recordhost/sdk/runtime/runtimetest"
	"github.com/recordhost/recordhost/sdk/schema"
	"github.com/recordhost/recordhost/sdk/status"
)

// message is a request at an endpoint.
type message struct {
	id, stamp, signature string
	body                 string
}

// endpoint is a caller's, and remembers what it was told.
type endpoint struct {
	*httptest.Server
	mu   sync.Mutex
	told []message
}

// newEndpoint answers the n-th request, counted from 1, as the test says.
func newEndpoint(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, n int)) *endpoint {
	t.Helper()
	e := &endpoint{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the host ended
		}
		e.mu.Lock()
		e.told = append(e.told, message{
			r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp"), r.Header.Get("webhook-signature"), string(body),
		})
		n := len(e.told)
		e.mu.Unlock()
		answer(w, r, n)
	}))
	t.Cleanup(e.Close)
	return e
}

// answering answers with these statuses, one after another, and then with the last.
func answering(statuses ...int) func(http.ResponseWriter, *http.Request, int) {
	return func(w http.ResponseWriter, _ *http.Request, n int) { w.WriteHeader(statuses[min(n, len(statuses))-1]) }
}

func (e *endpoint) all() []message {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.told)
}

// wantOne checks that everything told was one message, that many times at least, and answers it.
func (e *endpoint) wantOne(t interface{ Fatalf(string, ...any) }, least int) message {
	all := e.all()
	if len(all) < least {
		t.Fatalf("told %d times, want %d", len(all), least)
	}
	for _, m := range all {
		if m.id != all[0].id || m.body != all[0].body || !strings.HasPrefix(m.id, "msg_") || len(m.id) != len("msg_")+32 {
			t.Fatalf("told %+v, and before %+v", m, all[0])
		}
	}
	return all[0]
}

// quick makes tries follow each other fast.
func quick(o *Options) {
	o.timing.callback, o.timing.later = 2*time.Millisecond, 4*time.Millisecond
	o.Callback.GiveUp = time.Hour
}

// patient makes those behind the documented ones come when the test is long over.
func patient(o *Options) {
	quick(o)
	o.timing.later = time.Hour
}

// startFor starts a task whose caller is to be told at a URL.
func (h *host) startFor(url string) (string, *puppet) {
	h.t.Helper()
	return h.start(string(data(`{"RecordURL":"https://example.com/lesson","CallbackURL":%q}`, url)))
}

// fail ends a task before anything was recorded, and its worker.
func (w *puppet) fail(t *testing.T) {
	t.Helper()
	w.say(t, control.Failed{Code: "PageLoadFailed", Message: "net::ERR_NAME_NOT_RESOLVED"}, control.Done{})
	w.quit <- 0
}

// succeed ends one with a file.
func (w *puppet) succeed(t *testing.T) {
	t.Helper()
	w.say(t, append([]control.Body{control.Started{}}, finishing()...)...)
	w.quit <- 0
}

func (h *host) over(id string) {
	h.t.Helper()
	until(h.t, "the actor ends", func() bool { return h.actor(id) == nil })
}

// wantResult waits for a result with this code and message.
func (h *host) wantResult(id, code, message string) {
	h.t.Helper()
	var d Description
	until(h.t, "the result is "+code+" "+message, func() bool {
		d = h.describe(id)
		return d.Status == Finished && d.Result.ErrorCode == code && d.Result.ErrorMessage == message
	})
}

const untold = "Callback failed even all tries. last error message:"

const refusal = untold + "503:the endpoint refused it with status code 503"

func TestTheCallerIsTold(t *testing.T) {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	proceed := make(chan struct{})
	e := newEndpoint(t, func(http.ResponseWriter, *http.Request, int) { <-proceed })
	h := newHost(t, func(o *Options) { o.Callback.Secret = schema.NewSecret(secret) }, nil)
	id, w := h.startFor(e.URL + "/cb?token=CANARY")
	w.Report(control.Progress{Frames: 5})
	w.succeed(t)
	h.wantStatus(id, Callback)
	until(t, "the endpoint is told", func() bool { return len(e.all()) == 1 })
	document := h.describe(id)
	close(proceed)
	d := h.wait(id)
	if d.Result.ErrorCode != "" || d.FinishTime == 0 || len(d.Result.Videos) != 1 {
		t.Errorf("described as %+v", d)
	}
	want, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	m := e.wantOne(t, 1)
	if m.body != string(want) || strings.Contains(m.body, "RequestID") || !strings.Contains(m.body, `"Status":"callback"`) {
		t.Errorf("told %s\nwant %s", m.body, want)
	}
	if !strings.HasPrefix(m.signature, "v1,") || m.stamp == "" {
		t.Errorf("told %+v", m)
	}
	h.over(id)
	if n := len(e.all()); n != 1 {
		t.Errorf("told %d times", n)
	}
	if log := h.log.String(); strings.Contains(log, "CANARY") || strings.Contains(log, secret[10:]) {
		t.Error("a secret is in the log")
	}
	h.down()
	defer h.up()
	stored, err := os.ReadFile(filepath.Join(h.dir, "data", "tasks.db"))
	if err != nil || bytes.Contains(stored, []byte("CANARY")) || bytes.Contains(stored, []byte(secret[10:])) {
		t.Errorf("a secret is at rest (%v)", err)
	}
}

// After five tries the task is finished, as documented; one that is accepted behind them takes the failure back, and
// nothing else.
func TestACallbackThatIsAcceptedLate(t *testing.T) {
	for name, c := range map[string]struct {
		end           func(*puppet, *testing.T)
		code, message string // of the task's own
	}{
		"of a recording": {(*puppet).succeed, "", ""},
		"of a failure":   {(*puppet).fail, "PageLoadFailed", "net::ERR_NAME_NOT_RESOLVED"},
	} {
		t.Run(name, func(t *testing.T) {
			proceed := make(chan struct{})
			e := newEndpoint(t, func(w http.ResponseWriter, _ *http.Request, n int) {
				if n > 5 {
					<-proceed
				}
				answering(503, 503, 503, 503, 503, 503, 204)(w, nil, n)
			})
			h := newHost(t, quick, nil)
			id, w := h.startFor(e.URL)
			c.end(w, t)
			code, message := CodeCallbackFailed, refusal
			if c.code != "" {
				code, message = c.code, c.message+"; "+refusal
			}
			h.wantResult(id, code, message)
			finished := h.describe(id).FinishTime
			close(proceed)
			h.wantResult(id, c.code, c.message)
			h.over(id)
			e.wantOne(t, 7)
			if n := len(e.all()); n != 7 {
				t.Errorf("told %d times", n)
			}
			d := h.describe(id)
			if d.FinishTime != finished || d.Result.ErrorCode != c.code {
				t.Errorf("from the store: %+v", d)
			}
		})
	}
}

// With a delivery that is given up after the documented tries nothing follows them.
func TestOnlyTheDocumentedTries(t *testing.T) {
	e := newEndpoint(t, answering(503))
	h := newHost(t, func(o *Options) {
		quick(o)
		o.Callback.GiveUp = 0
	}, nil)
	id, w := h.startFor(e.URL)
	w.succeed(t)
	h.wantResult(id, CodeCallbackFailed, refusal)
	h.over(id)
	if e.wantOne(t, 5); len(e.all()) != 5 {
		t.Errorf("told %d times", len(e.all()))
	}
	h.restart()
	if h.actor(id) != nil {
		t.Error("the next host goes on with it")
	}
}

func TestWhatEndsTheDocumentedTries(t *testing.T) {
	for name, c := range map[string]struct {
		status  int
		problem string
		over    bool // nothing follows
	}{
		"410":                 {410, "410:the endpoint wants no more callbacks", true},
		"a long wait":         {429, "429:the endpoint refused it with status code 429", false},
		"a long wait for 503": {503, "503:the endpoint refused it with status code 503", false},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEndpoint(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
				w.Header().Set("Retry-After", "3600")
				w.WriteHeader(c.status)
			})
			h := newHost(t, quick, nil)
			id, w := h.startFor(e.URL)
			w.succeed(t)
			h.wantResult(id, CodeCallbackFailed, untold+c.problem)
			if c.over {
				h.over(id)
			} else if a := h.actor(id); a == nil || time.Until(a.latest.Load().Callback.Due) < time.Hour-2*patience {
				t.Error("it is not tried again when the endpoint wants it")
			}
			if n := len(e.all()); n != 1 {
				t.Errorf("told %d times", n)
			}
		})
	}
}

// The next host goes on where the last one ended, among the documented tries and behind them.
func TestTheNextHostGoesOnCalling(t *testing.T) {
	for _, failures := range []int{1, 4, 5, 7} {
		t.Run(strconv.Itoa(failures), func(t *testing.T) {
			e := newEndpoint(t, func(w http.ResponseWriter, _ *http.Request, n int) {
				if n <= failures {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			})
			slow := func(o *Options) {
				quick(o)
				switch failures {
				case 1, 4:
					o.timing.callback = 300 * time.Millisecond
				default:
					o.timing.later = 300 * time.Millisecond
				}
			}
			h := newHost(t, slow, nil)
			id, w := h.startFor(e.URL)
			w.succeed(t)
			for n := 1; n <= failures; n++ {
				until(t, "it is tried", func() bool { return len(e.all()) >= n })
				h.restart()
			}
			h.wantResult(id, "", "")
			e.wantOne(t, failures+1)
			h.over(id)
		})
	}
}

// A host that ends after it has sent, and before it has stored what came of it, sends the same message again.
func TestAHostThatEndsRightAfterASend(t *testing.T) {
	t.Run("before the answer", func(t *testing.T) {
		e := newEndpoint(t, func(_ http.ResponseWriter, r *http.Request, n int) {
			if n == 1 {
				<-r.Context().Done()
			}
		})
		h := newHost(t, nil, nil)
		id, w := h.startFor(e.URL)
		w.succeed(t)
		until(t, "it is sent", func() bool { return len(e.all()) == 1 })
		h.restart()
		h.wantResult(id, "", "")
		e.wantOne(t, 2)
	})
	t.Run("after the answer", func(t *testing.T) {
		moody := &moodyStore{}
		e := newEndpoint(t, func(_ http.ResponseWriter, _ *http.Request, n int) { moody.failing.Store(n == 1) })
		h := newHost(t, func(o *Options) { moody.Store, o.Store = o.Store, moody }, nil)
		const id = "task-0"
		h.crowd(1, func(int) string { return e.URL }, nil) // no worker that has something to store
		h.up()
		until(t, "the outcome is tried to be stored", func() bool { return strings.Contains(h.log.String(), "was not stored") })
		h.wantStatus(id, Callback)
		h.restart() // as if it had been killed: the store knows nothing of the answer
		moody.failing.Store(false)
		h.wantResult(id, "", "")
		e.wantOne(t, 2)
	})
}

// What came of a try is stored once that is possible again, and nothing is sent over it.
func TestAFullDiskDuringACallback(t *testing.T) {
	moody := &moodyStore{}
	e := newEndpoint(t, func(http.ResponseWriter, *http.Request, int) { moody.failing.Store(true) })
	h := newHost(t, func(o *Options) { moody.Store, o.Store = o.Store, moody }, nil)
	const id = "task-0"
	h.crowd(1, func(int) string { return e.URL }, nil)
	h.up()
	until(t, "the outcome is tried to be stored", func() bool { return strings.Contains(h.log.String(), "was not stored") })
	moody.failing.Store(false)
	h.wantResult(id, "", "")
	if n := len(e.all()); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// Whatever becomes of a task, its caller is told: where it was never launched, where it cannot go on, where the key is lost.
func TestTasksWithoutAWorkerAreCalledBackFor(t *testing.T) {
	refused := func(l driver.Launch) runtimetest.Script {
		return runtimetest.Script{StartError: status.Errorf(status.InvalidArgument, "nobody can launch this")}
	}
	t.Run("never launched, and the host ends", func(t *testing.T) {
		e := newEndpoint(t, answering(503, 503, 503, 503, 503, 503, 200))
		h := newHost(t, patient, refused)
		id, err := h.Start(context.Background(), data(`{"RecordURL":"https://example.com/","CallbackURL":%q}`, e.URL))
		if err != nil {
			t.Fatal(err)
		}
		h.wantFailure(id, CodeLaunchFailed, "nobody can launch this; "+refusal)
		h.change = func(o *Options) {
			quick(o)
			lostStorage(o)
		}
		h.down()
		hurry(t, h, id)
		h.up()
		h.wantResult(id, CodeLaunchFailed, "nobody can launch this")
		e.wantOne(t, 7)
	})
	t.Run("its runtime is gone", func(t *testing.T) {
		e := newEndpoint(t, answering(200))
		h := newHost(t, nil, nil)
		id, w := h.startFor(e.URL)
		w.say(t, control.Started{})
		h.change = func(o *Options) {
			o.Runtimes = map[string]driver.Driver{"new": o.Runtimes["here"]}
			o.DefaultRuntime = "new"
		}
		h.restart()
		h.wantFailure(id, CodeWorkerLost, "not configured any more")
		if m := e.wantOne(t, 1); !strings.Contains(m.body, CodeWorkerLost) {
			t.Errorf("told %s", m.body)
		}
	})
	t.Run("its key is another", func(t *testing.T) {
		e := newEndpoint(t, answering(503))
		h := newHost(t, patient, nil)
		id, w := h.startFor(e.URL)
		w.succeed(t)
		h.wantResult(id, CodeCallbackFailed, refusal)
		h.change = lostKey
		h.down()
		hurry(t, h, id)
		h.up()
		h.wantResult(id, CodeCallbackFailed, untold+"EKEY:the host's sealing key is not the one that the URL was sealed with")
		h.over(id)
	})
}

// hurry makes the next try of a task due, in the store of a host that is down.
func hurry(t *testing.T, h *host, id string) {
	t.Helper()
	alter(t, h, func(s store.Store) {
		k, err := s.Get(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		r, err := decodeRecord(k)
		if err != nil {
			t.Fatal(err)
		}
		r.Callback.Due = r.Callback.First
		if k, err = r.encode(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(context.Background(), k); err != nil {
			t.Fatal(err)
		}
	})
}

func TestResendCallback(t *testing.T) {
	e := newEndpoint(t, answering(503, 503, 503, 503, 503, 200, 200, 503, 503, 503, 503, 503, 410))
	h := newHost(t, patient, nil)
	resend := func(id string) error {
		_, err := h.Do(context.Background(), "ResendCallback", data(`{"TaskID":%q}`, id))
		return err
	}
	id, w := h.startFor(e.URL)
	w.say(t, control.Started{})
	if message := wantCode(t, resend(id), CodeInvalidStatus); message != "can't resend the callback of a task in status recording" {
		t.Error(message)
	}
	wantCode(t, resend("nobody"), CodeInvalidParam)
	w.say(t, finishing()...)
	w.quit <- 0
	h.wantResult(id, CodeCallbackFailed, refusal)

	answer, err := h.Do(context.Background(), "ResendCallback", data(`{"TaskID":%q}`, id)) // while its actor waits for the sixth try
	if err != nil || answer != (Answer{TaskID: id}) {
		t.Fatalf("%v, %v", answer, err)
	}
	h.wantResult(id, "", "")
	h.over(id)
	e.wantOne(t, 6)

	for n, tries := range []int{7, 12} { // accepted again; then refused, which changes nothing
		if err := resend(id); err != nil {
			t.Fatal(err)
		}
		until(t, "it is sent again", func() bool { return len(e.all()) == tries })
		if n == 0 {
			h.over(id)
		}
	}
	h.wantResult(id, "", "")
	if err := resend(id); err != nil {
		t.Fatal(err)
	}
	h.over(id)
	h.wantResult(id, "", "")
	e.wantOne(t, 13)

	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() {
			if err := resend(id); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	h.over(id)
	e.wantOne(t, 14)

	other, w := h.start(simple)
	w.succeed(t)
	h.over(other)
	if message := wantCode(t, resend(other), CodeInvalidParam); !strings.Contains(message, "without a CallbackURL") {
		t.Error(message)
	}
}

// A drain waits for the documented tries, and leaves those behind them to the next host.
func TestADrainAndCallbacks(t *testing.T) {
	proceed := make(chan struct{})
	e := newEndpoint(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		<-proceed
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	h := newHost(t, patient, nil)
	id, w := h.startFor(e.URL)
	w.succeed(t)
	drained := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		drained <- h.Drain(ctx)
	}()
	until(t, "it is tried", func() bool { return len(e.all()) == 1 })
	select {
	case err := <-drained:
		t.Fatalf("drained before the caller was told: %v", err)
	default:
	}
	close(proceed)
	if err := <-drained; err != nil {
		t.Error(err)
	}
	h.wantStatus(id, Finished)
	if h.actor(id) == nil || h.machine.Running() != 0 {
		t.Error("the later tries are forgotten, or a worker runs")
	}
}

// Whatever endpoints answer, and however often the host is restarted, a result is told in the end, and it is one message.
func TestRandomCallbacks(t *testing.T) {
	answers := make(chan int)
	h := newHost(t, quick, nil)
	rapid.Check(t, func(rt *rapid.T) {
		e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			select {
			case status := <-answers:
				w.WriteHeader(status)
			case <-r.Context().Done():
			}
		})
		id, w := h.startFor(e.URL)
		w.succeed(t)
		finished := false
		for _, step := range rapid.SliceOfN(rapid.SampledFrom([]int{0, 503, 503, 503, 429, 302}), 0, 8).Draw(rt, "steps") {
			if step == 0 {
				h.restart()
			} else {
				answers <- step
			}
			d := h.describe(id)
			if d.Status != Callback && d.Status != Finished || finished && d.Status != Finished {
				rt.Fatalf("the status is %s", d.Status)
			}
			if finished = d.Status == Finished; finished && d.Result.ErrorCode != CodeCallbackFailed {
				rt.Fatalf("finished with %+v", d.Result)
			}
		}
		for h.actor(id) != nil {
			select {
			case answers <- 200:
			case <-time.After(time.Millisecond):
			}
		}
		h.wantResult(id, "", "")
		e.wantOne(rt, 1)
	})
}

// alter lets f change the store of a host that is down.
func alter(t *testing.T, h *host, f func(store.Store)) {
	t.Helper()
	s, err := bolt.Open(filepath.Join(h.dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	f(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// crowd takes a host down and puts that many tasks into its store. They have ended, and their callers are to be told.
func (h *host) crowd(n int, url func(i int) string, more func(*Record)) {
	h.t.Helper()
	seal := h.sealer
	h.down()
	alter(h.t, h, func(s store.Store) {
		for i := range n {
			id, anchor := fmt.Sprint("task-", i), clock.System().Anchor()
			r := Record{
				ID: id, Created: anchor.Wall, version: 1, Clock: anchor, Launch: Launch{Runtime: "here", Epoch: 1},
				State: State{Status: Callback, WantsCallback: true},
			}
			sealed, err := seal.seal(context.Background(), id, Request{CallbackURL: url(i)})
			r.Sealed = sealed
			if err := errors.Join(err, r.call(anchor.Wall, []Effect{Call{}})); err != nil {
				h.t.Fatal(err)
			}
			if more != nil {
				more(&r)
			}
			k, err := r.encode()
			if err := errors.Join(err, s.Create(context.Background(), k)); err != nil {
				h.t.Fatal(err)
			}
		}
	})
}

// dead is an endpoint that accepts connections and never answers.
func dead(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	return "http://" + l.Addr().String()
}

// A thousand callers at once, a tenth of whose endpoints are dead: the others are told as if these were not there.
func TestAThousandCallers(t *testing.T) {
	const callers, good = 1000, 900
	nobody := dead(t)
	var mu sync.Mutex
	arrived := make(map[string]time.Time)
	e := newEndpoint(t, func(_ http.ResponseWriter, r *http.Request, _ int) {
		mu.Lock()
		defer mu.Unlock()
		if _, again := arrived[r.URL.Path]; !again {
			arrived[r.URL.Path] = time.Now()
		}
	})
	h := newHost(t, func(o *Options) {
		quick(o)
		o.Log = slog.New(slog.DiscardHandler)
	}, nil)
	h.crowd(callers, func(i int) string {
		if i%10 == 0 {
			return nobody
		}
		return fmt.Sprint(e.URL, "/", i)
	}, nil)
	begin := time.Now()
	h.up()
	waits := func() (waits []time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		for _, at := range arrived {
			waits = append(waits, at.Sub(begin))
		}
		return waits
	}
	until(t, "all are told", func() bool { return len(waits()) == good }) // one after another they would take minutes
	all := slices.Sorted(slices.Values(waits()))
	t.Logf("first tries of the good endpoints: median %v, p99 %v, last %v", all[good/2], all[good*99/100], all[good-1])
	h.down() // cuts what is under way at the dead ones
	h.up()
}

// Tasks that wait for a later try cost a goroutine each, and are left alone until it is due.
func TestTasksThatWait(t *testing.T) {
	const n = 200
	e := newEndpoint(t, answering(200))
	h := newHost(t, quick, nil)
	h.crowd(n, func(int) string { return e.URL }, func(r *Record) {
		r.State.Status, r.State.FinishTime, r.State.CallbackError = Finished, r.Created, "503:x"
		r.Callback.Late, r.Callback.Due = true, time.Now().Add(time.Hour)
	})
	before := runtime.NumGoroutine()
	h.up()
	if actors, _, _ := h.current(); len(actors) != n {
		t.Errorf("%d tasks wait, want %d", len(actors), n)
	}
	until(t, "each has one goroutine", func() bool { return runtime.NumGoroutine() <= before+n+n/4 })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := h.Drain(ctx); err != nil {
		t.Errorf("a drain waits for them: %v", err)
	}
	if n := len(e.all()); n != 0 {
		t.Errorf("%d callers were told early", n)
	}
}
