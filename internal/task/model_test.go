package task

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/recordhost/recordhost/internal/control"
)

// Whatever happens in whatever order, each step keeps the rules, and the worker's end is the task's.
func TestRandomHistories(t *testing.T) {
	events := whatHappens()
	names := rapid.SampledFrom(slices.Sorted(maps.Keys(events)))
	rapid.Check(t, func(rt *rapid.T) {
		s := State{Status: Normal, WantsCallback: rapid.Bool().Draw(rt, "wants a callback")}
		now := time.Unix(1, 0)
		step := func(what any) {
			now = now.Add(time.Second)
			after, effects, err := next(s, Event{At: now, What: what})
			checkStep(rt, s, after, effects, err)
			s = after
		}
		for range rapid.IntRange(0, 30).Draw(rt, "steps") {
			what := events[names.Draw(rt, "event")]
			if r, ok := what.(Report); ok { // a worker has applied some of what it was sent
				r.Applied = rapid.Uint64Range(0, s.Command).Draw(rt, "applied")
				what = r
			}
			step(what)
		}
		for range 2 * (maxLosses + 1) {
			step(WorkerLost{})
		}
		if !s.Status.ended() {
			rt.Errorf("without a worker the task is in %s", s.Status)
		}
		step(CallbackGivenUp{})
		if s.Status != Finished {
			rt.Errorf("at last the task is in %s", s.Status)
		}
	})
}

// model is what a caller may expect of a task, told by the table of actions alone.
type model struct {
	status   Status
	recorded bool
	unheard  int  // commands that the worker has not taken
	steering bool // one of them says whether time runs
}

func (m *model) live() bool { return m.status == Normal || m.status == Recording || m.status == Paused }

// say is the caller's side: whether the action succeeds, and what it does.
func (m *model) say(action string) bool {
	command := func(steers bool) { m.unheard, m.steering = m.unheard+1, m.steering || steers }
	switch {
	case action == "Stop":
		if m.live() {
			m.status = Canceled
			command(true)
		}
		return true
	case action == "Refresh":
		if m.live() {
			command(false)
		}
		return m.live()
	case m.status != Recording && m.status != Paused:
		return false
	case action == "Pause" && m.status == Recording:
		m.status = Paused
		command(true)
	case action == "Resume" && m.status == Paused:
		m.status = Recording
		command(true)
	}
	return true
}

// report is the worker's side.
func (m *model) report(event string) {
	switch {
	case event == "Started" && m.status == Normal:
		m.status, m.recorded = Recording, true
	case event == "Started" && m.status == Canceled:
		m.recorded = true
	case event == "Paused" && m.status == Recording && !m.steering:
		m.status = Paused
	case event == "Resumed" && m.status == Paused && !m.steering:
		m.status = Recording
	case event == "Stopping" && m.recorded && (m.status == Recording || m.status == Paused || m.status == Canceled):
		m.status = Transcode
	case event == "Whole" && m.status == Transcode:
		m.status = Upload
	}
}

// A manager, over hosts that come and go, answers like the model.
func TestRandomActionsAgainstAModel(t *testing.T) {
	h := newHost(t, nil, nil)
	actions := []string{"Pause", "Resume", "Refresh", "Stop"}
	events := []string{"Started", "Paused", "Resumed", "Stopping", "Whole", "Gap"}
	bodies := map[string]control.Body{
		"Started": control.Started{}, "Paused": control.Paused{}, "Resumed": control.Resumed{}, "Stopping": control.Stopping{},
		"Whole": control.Whole{}, "Gap": control.Gap{},
	}
	rapid.Check(t, func(rt *rapid.T) {
		id, w := h.start(simple)
		m := model{status: Normal}
		steps := rapid.SliceOfN(rapid.SampledFrom(append(append([]string{
			"Started", "Pause", "Resume", "listen", "listen", "restart",
		}, actions...), events...)), 1, 20).Draw(rt, "steps")
		for i, step := range steps {
			switch {
			case step == "restart":
				h.restart()
			case step == "listen":
				for ; m.unheard > 0; m.unheard-- {
					w.Applied((<-w.Commands()).Number)
				}
				m.steering = false
			case bodies[step] != nil:
				w.say(t, bodies[step])
				m.report(step)
			default:
				_, err := h.Do(context.Background(), step, data(`{"TaskID":%q}`, id))
				if ok := m.say(step); ok != (err == nil) {
					rt.Fatalf("step %d of %v: %v, the model says success: %t", i, steps, err, ok)
				}
			}
			if got := h.describe(id).Status; got != m.status {
				rt.Fatalf("after step %d of %v: %s, the model says %s", i, steps, got, m.status)
			}
		}
		w.say(t, control.Done{})
		w.quit <- 0
		lost := h.wait(id).Result.ErrorCode == CodeWorkerLost
		if lost != m.recorded {
			rt.Fatalf("after %v: lost is %t, recorded is %t", steps, lost, m.recorded)
		}
	})
}

// A record is stored as it is: what JSON would drop would be forgotten at the next start of the host.
func TestRecordsAreStoredWhole(t *testing.T) {
	var r Record
	n := int64(0)
	fill(t, reflect.ValueOf(&r).Elem(), &n)
	k, err := r.encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeRecord(k)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, r) {
		t.Errorf("got  %+v\nwant %+v", got, r)
	}
	var request Request
	fill(t, reflect.ValueOf(&request).Elem(), &n)
	text, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	var again Request
	if err := json.Unmarshal(text, &again); err != nil || !reflect.DeepEqual(again, request) {
		t.Errorf("a request came back as %+v, %v", reflect.ValueOf(again), err)
	}
}

// fill sets every exported field below v to a value of its own.
func fill(t *testing.T, v reflect.Value, n *int64) {
	t.Helper()
	*n++
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(*n, 0).UTC()))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(t, v.Field(i), n)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), n)
	case reflect.String:
		v.SetString(fmt.Sprint("text ", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(*n)
	case reflect.Uint64:
		v.SetUint(uint64(*n))
	case reflect.Uint8:
		v.SetUint(uint64(*n % 256))
	case reflect.Float64:
		v.SetFloat(float64(*n))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0), n)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(t, key, n)
		fill(t, value, n)
		v.SetMapIndex(key, value)
	default:
		t.Fatalf("a field has kind %s, which this test does not fill", v.Kind())
	}
}
