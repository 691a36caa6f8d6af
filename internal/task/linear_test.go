package task

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/recordhost/recordhost/internal/control"
)

// step is what a caller asked of a task, or what its worker said of it.
type step struct {
	what   string // an action, or an event
	worker bool
}

// outcome is what came of a step. An answer that failed while its host ended tells nothing: it may have happened.
type outcome struct {
	unknown bool
	refused bool
	status  Status // of a Describe
}

// after is the sequential model: what a step makes of a task, and what it is answered.
func (m model) after(s step) (model, outcome) {
	switch {
	case s.what == "Describe":
		return m, outcome{status: m.status}
	case s.what == "Done", s.what == "Delivered" && m.recorded:
		m.status = Finished
	case s.worker:
		m.report(s.what)
	default:
		refused := !m.say(s.what)
		m.unheard, m.steering = 0, false // the worker's affair
		return m, outcome{refused: refused}
	}
	return m, outcome{}
}

// rules are the model in porcupine's terms.
func rules() porcupine.Model {
	return (&porcupine.NondeterministicModel{
		Init: func() []any { return []any{model{status: Normal}} },
		Step: func(state, input, output any) []any {
			before, got := state.(model), output.(outcome)
			next, want := before.after(input.(step))
			switch {
			case got.unknown:
				return []any{before, next}
			case got == want:
				return []any{next}
			default:
				return nil
			}
		},
		Equal: func(a, b any) bool { return a == b },
		DescribeOperation: func(input, output any) string {
			return fmt.Sprintf("%s: %+v", input.(step).what, output.(outcome))
		},
	}).ToModel()
}

// history is what was seen of one task.
type history struct {
	begin time.Time
	mu    sync.Mutex
	seen  []porcupine.Operation
}

func (h *history) now() int64 { return int64(time.Since(h.begin)) }

// note takes a step down that was begun at the time given. One whose outcome is unknown may happen until the very end.
func (h *history) note(client int, s step, call int64, o outcome) {
	end := h.now()
	if o.unknown {
		end = math.MaxInt64
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = append(h.seen, porcupine.Operation{ClientId: client, Input: s, Call: call, Output: o, Return: end})
}

// stopped tells whether a Stop was answered.
func (h *history) stopped() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.seen, func(o porcupine.Operation) bool {
		return o.Input.(step).what == "Stop" && !o.Output.(outcome).unknown
	})
}

func (h *history) check(t *testing.T, id string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if got := porcupine.CheckOperationsTimeout(rules(), h.seen, time.Minute); got != porcupine.Ok {
		t.Errorf("the history of task %s is %s", id, got)
		for _, o := range h.seen {
			t.Logf("%12d %20d client %2d: %-10s %+v", o.Call, o.Return, o.ClientId, o.Input.(step).what, o.Output)
		}
	}
}

// perform has a worker's puppet obey, and say all that a worker says. It takes its time, so that the callers have gone on
// when it is heard.
func (h *history) perform(w *puppet, begin <-chan struct{}, dawdle func()) error {
	const client = crowdSize // behind the callers
	say := func(what string, b control.Body) error {
		call := h.now()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		err := errors.Join(w.Emit(b), w.Flush(ctx))
		if what != "" {
			h.note(client, step{what: what, worker: true}, call, outcome{unknown: err != nil})
		}
		return err
	}
	recording := false
	for {
		var err error
		select {
		case <-begin:
			begin, recording = nil, true
			err = say("Started", control.Started{})
		case c, ok := <-w.Commands():
			if !ok {
				return errors.New("the commands ended without a Stop")
			}
			w.Applied(c.Number)
			dawdle()
			switch c.Kind {
			case control.CommandPause: // the caller has seen to the status: these two may change nothing any more
				err = say("", control.Paused{})
			case control.CommandResume:
				err = say("", control.Resumed{})
			case control.CommandStop:
				if recording {
					err = errors.Join(say("Stopping", control.Stopping{}), say("Whole", control.Whole{}), say("Delivered", video("a.mp4")))
				}
				err = errors.Join(err, say("Done", control.Done{}))
				w.quit <- 0
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

// The crowd of a history: so many callers, so many actions of each, over so many tasks.
const (
	crowdSize    = 16
	crowdActions = 30
	crowdTasks   = 3
)

// crowd are the callers, and the host that they find at the time.
type crowd struct {
	t         *testing.T
	tasks     []string
	histories map[string]*history
	taken     atomic.Int64 // actions so far

	mu      sync.Mutex
	host    *Manager
	changed chan struct{}
}

func (c *crowd) present() (*Manager, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.host, c.changed
}

func (c *crowd) meet(m *Manager) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.host = m
	close(c.changed)
	c.changed = make(chan struct{})
}

// dawdle waits until a few more actions were taken, or there are no more.
func (c *crowd) dawdle() {
	deadline := time.Now().Add(patience)
	for from := c.taken.Load(); c.taken.Load() < min(from+2*crowdTasks, crowdSize*crowdActions) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
}

// caller takes its actions at random. Stop is rare, and comes late.
func (c *crowd) caller(client int, rng *rand.Rand) {
	for n := range crowdActions {
		actions := []string{"Pause", "Resume", "Pause", "Resume", "Describe", "Describe", "Refresh"}
		if n > crowdActions/2 && rng.IntN(12) == 0 {
			actions = []string{"Stop"}
		}
		id := c.tasks[rng.IntN(len(c.tasks))]
		host, changed := c.present()
		if c.take(host, client, id, actions[rng.IntN(len(actions))]) {
			continue
		}
		select { // the next host answers again
		case <-changed:
		case <-time.After(patience):
			c.t.Error("an action failed although its host went on")
			return
		}
	}
}

// take lets one action be taken, and tells whether it was answered.
func (c *crowd) take(m *Manager, client int, id, action string) bool {
	h := c.histories[id]
	call := h.now()
	answer, err := m.Do(context.Background(), action, data(`{"TaskID":%q}`, id))
	c.taken.Add(1)
	var o outcome
	e, isAnswer := errors.AsType[*Error](err)
	switch {
	case err == nil && action == "Describe":
		o.status = answer.(Description).Status
	case err == nil:
	case isAnswer && e.Code == CodeInvalidStatus:
		o.refused = true
	case isAnswer && e.Code == CodeInternal:
		o.unknown = true
	default:
		c.t.Errorf("%s: %v", action, err)
		return true
	}
	if !o.unknown || action != "Describe" { // a Describe without an answer says nothing
		h.note(client, step{what: action}, call, o)
	}
	return !o.unknown
}

// Many callers act at once on a few tasks, over hosts that come and go: what each was answered can be explained by one
// order, and a Stop that was answered wins.
func TestEveryHistoryHasAnOrder(t *testing.T) {
	for round := range uint64(6) {
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) { crowdRound(t, round) })
	}
}

func crowdRound(t *testing.T, seed uint64) {
	var workers, callers sync.WaitGroup
	t.Cleanup(func() { workers.Wait(); callers.Wait() }) // after the host's, which ends what they wait for
	h := newHost(t, nil, nil)
	c := &crowd{t: t, histories: map[string]*history{}, changed: make(chan struct{})}
	begin := make([]chan struct{}, crowdTasks)
	for i := range begin {
		id, w := h.start(simple)
		c.tasks = append(c.tasks, id)
		seen := &history{begin: time.Now()}
		c.histories[id] = seen
		begin[i] = make(chan struct{})
		workers.Go(func() {
			if err := seen.perform(w, begin[i], c.dawdle); err != nil {
				t.Errorf("the worker of %s: %v", id, err)
			}
		})
	}
	c.host = h.Manager
	for client := range crowdSize {
		callers.Go(func() { c.caller(client, rand.New(rand.NewPCG(seed, uint64(client)))) })
	}

	const all = crowdSize * crowdActions
	for i, b := range begin { // the tasks begin one after another, while they are acted on
		until(t, "the callers are under way", func() bool { return c.taken.Load() >= int64(all*(i+1)/12) })
		close(b)
	}
	for _, part := range []int64{2, 3} { // quarters
		until(t, "the callers have gone on", func() bool { return c.taken.Load() >= all*part/4 })
		h.restart()
		c.meet(h.Manager)
	}
	callers.Wait()
	for _, id := range c.tasks {
		if !c.histories[id].stopped() {
			c.take(h.Manager, crowdSize+1, id, "Stop")
		}
		if d := h.wait(id); d.Status != Finished {
			t.Errorf("task %s was stopped, and is %s", id, d.Status)
		}
	}
	workers.Wait()
	for _, id := range c.tasks {
		c.histories[id].check(t, id)
	}
}

// The check tells a history that no order explains from one that some order does.
func TestTheRulesTellOrderFromDisorder(t *testing.T) {
	one := func(what string, call, end int64, o outcome) porcupine.Operation {
		return porcupine.Operation{Input: step{what: what, worker: what == "Started"}, Call: call, Output: o, Return: end}
	}
	is := func(s Status) outcome { return outcome{status: s} }
	unknown, refused := outcome{unknown: true}, outcome{refused: true}
	started := one("Started", 1, 2, outcome{})
	type steps = []porcupine.Operation
	pause, stop := one("Pause", 3, 4, outcome{}), one("Stop", 3, 4, outcome{})
	describe := func(s Status) porcupine.Operation { return one("Describe", 5, 6, is(s)) }
	for name, c := range map[string]struct {
		then steps
		want porcupine.CheckResult
	}{
		"a pause is seen":           {steps{pause, describe(Paused)}, porcupine.Ok},
		"a pause is not seen":       {steps{pause, describe(Recording)}, porcupine.Illegal},
		"a pause at the same time":  {steps{one("Pause", 3, 7, outcome{}), describe(Recording)}, porcupine.Ok},
		"a pause that may not be":   {steps{one("Pause", 3, 99, unknown), describe(Recording)}, porcupine.Ok},
		"a pause that may be":       {steps{one("Pause", 3, 99, unknown), describe(Paused)}, porcupine.Ok},
		"a pause that nobody asked": {steps{describe(Paused)}, porcupine.Illegal},
		"a pause after the end":     {steps{stop, one("Pause", 5, 6, outcome{})}, porcupine.Illegal},
		"refused without a reason":  {steps{one("Pause", 3, 4, refused)}, porcupine.Illegal},
		"refused after the end":     {steps{stop, one("Pause", 5, 6, refused)}, porcupine.Ok},
		"a stop that does not last": {steps{stop, describe(Paused)}, porcupine.Illegal},
	} {
		seen := append(steps{started}, c.then...)
		if got := porcupine.CheckOperationsTimeout(rules(), seen, time.Minute); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
