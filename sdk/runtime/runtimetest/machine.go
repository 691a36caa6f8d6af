package runtimetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/recordhost/recordhost/sdk/runtime"
	"github.com/recordhost/recordhost/sdk/status"
)

// Script says how a worker of a Machine behaves, and how the driver's calls about it do. The zero value is a worker that
// runs until it is asked to end and then exits with 0.
type Script struct {
	StartError error // Launch fails with it and starts nothing
	StartHang  bool  // Launch starts nothing and returns only when its context ends

	RunFor   time.Duration // how long the worker runs unless it is asked to end; 0: until then
	ExitCode int
	Reason   string // of Exit
	Stubborn bool   // the worker does not end when asked, only when killed

	RecoverError error
	WaitError    error
	KillError    error // Kill fails with it, and the worker runs on
	KillHang     bool  // Kill does nothing and returns only when its context ends

	// Run is the worker itself, in place of RunFor, ExitCode, Reason and Stubborn. asked is closed when the worker is asked to
	// end; ctx ends when it is killed, and Run must return then. What it returns is the worker's end unless it was killed.
	Run func(ctx context.Context, asked <-chan struct{}, l runtime.Launch) runtime.Exit
}

// Machine is a place where workers run that are goroutines: a runtime without processes, for tests of what lies above a
// runtime.Driver. Its drivers come and go, its workers stay, as with a plugin that is killed and started anew.
type Machine struct {
	slots  int
	script func(l runtime.Launch) Script

	mu       sync.Mutex
	boot     int
	workers  map[string]*worker
	launches []runtime.Launch
}

// worker is one goroutine that passes for a process.
type worker struct {
	script Script
	by     *Driver // the driver that launched it, which alone learns how it ended
	asked  chan struct{}
	ask    sync.Once
	cancel context.CancelFunc
	killed bool // under Machine.mu
	gone   chan struct{}
	exit   runtime.Exit // valid once gone is closed
}

// NewMachine returns a machine with room for that many workers, any number when slots is 0. script says how each worker
// behaves; nil stands for the zero Script.
func NewMachine(slots int, script func(l runtime.Launch) Script) *Machine {
	if script == nil {
		script = func(runtime.Launch) Script { return Script{} }
	}
	return &Machine{slots: slots, script: script, boot: 1, workers: map[string]*worker{}}
}

// Driver returns a new driver of the machine, as a plugin has after it was started anew. Only the driver that launched a
// worker learns its exit code.
func (m *Machine) Driver() *Driver { return &Driver{machine: m} }

// Launches returns all launches that were asked for, in order.
func (m *Machine) Launches() []runtime.Launch {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.launches)
}

// Running returns how many workers run.
func (m *Machine) Running() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.running()
}

// KillAll kills every worker at once, as the kernel does when memory runs out, and returns when they are gone.
func (m *Machine) KillAll() {
	m.mu.Lock()
	killed := slices.Collect(maps.Values(m.workers))
	for _, w := range killed {
		w.killed = true
		w.cancel()
	}
	m.mu.Unlock()
	for _, w := range killed {
		<-w.gone // others may be launched meanwhile
	}
}

// Reboot kills every worker; handles of before are of another boot then.
func (m *Machine) Reboot() {
	m.KillAll()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.boot++
	m.workers = map[string]*worker{}
}

func (m *Machine) running() int {
	n := 0
	for _, w := range m.workers {
		select {
		case <-w.gone:
		default:
			n++
		}
	}
	return n
}

// start runs a worker as its script says.
func (m *Machine) start(ctx context.Context, by *Driver, l runtime.Launch, s Script) *worker {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w := &worker{script: s, by: by, asked: make(chan struct{}), cancel: cancel, gone: make(chan struct{})}
	go func() {
		exit := s.run(ctx, w.asked, l)
		m.mu.Lock()
		if w.killed {
			exit = runtime.Exit{Code: -1, Signal: "killed"}
		}
		exit.Known = true
		w.exit = exit
		m.mu.Unlock()
		cancel()
		close(w.gone)
	}()
	return w
}

func (s Script) run(ctx context.Context, asked <-chan struct{}, l runtime.Launch) runtime.Exit {
	if s.Run != nil {
		return s.Run(ctx, asked, l)
	}
	exit := runtime.Exit{Code: s.ExitCode, Reason: s.Reason}
	if s.Stubborn {
		asked = nil
	}
	var end <-chan time.Time
	if s.RunFor > 0 {
		timer := time.NewTimer(s.RunFor)
		defer timer.Stop()
		end = timer.C
	}
	select {
	case <-end:
	case <-asked:
	case <-ctx.Done():
	}
	return exit
}

// Driver is a driver of a Machine.
type Driver struct {
	machine *Machine
}

var _ runtime.Driver = (*Driver)(nil)

// fakeHandle is what a Handle of a Machine holds.
type fakeHandle struct {
	Boot  int    `json:"boot"`
	Task  string `json:"task"`
	Epoch uint64 `json:"epoch"`
}

// Capacity implements runtime.Driver.
func (d *Driver) Capacity(ctx context.Context) (runtime.Capacity, error) {
	if err := ctx.Err(); err != nil {
		return runtime.Capacity{}, err
	}
	m := d.machine
	m.mu.Lock()
	defer m.mu.Unlock()
	c := runtime.Capacity{Running: m.running(), Free: -1}
	if m.slots > 0 {
		c.Free = m.slots - c.Running
	}
	return c, nil
}

// Launch implements runtime.Driver.
func (d *Driver) Launch(ctx context.Context, l runtime.Launch) (runtime.Handle, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := d.machine.script(l)
	if s.StartHang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	m := d.machine
	m.mu.Lock()
	defer m.mu.Unlock()
	m.launches = append(m.launches, l)
	if s.StartError != nil {
		return nil, s.StartError
	}
	key := fmt.Sprintf("%s/%d", l.TaskID, l.Epoch)
	if _, again := m.workers[key]; !again {
		if m.slots > 0 && m.running() >= m.slots && l.Epoch <= 1 { // a later one has the room of the lost one
			return nil, status.Errorf(status.NoCapacity, "all %d slots are taken", m.slots)
		}
		m.workers[key] = m.start(ctx, d, l, s)
	}
	return json.Marshal(fakeHandle{Boot: m.boot, Task: l.TaskID, Epoch: l.Epoch})
}

// Recover implements runtime.Driver.
func (d *Driver) Recover(ctx context.Context, h runtime.Handle) (runtime.State, error) {
	if err := ctx.Err(); err != nil {
		return runtime.StateUnknown, err
	}
	w, err := d.find(h)
	switch {
	case errors.Is(err, errNotHere):
		return runtime.StateNotHere, nil
	case err != nil:
		return runtime.StateUnknown, err
	case w.script.RecoverError != nil:
		return runtime.StateUnknown, w.script.RecoverError
	}
	select {
	case <-w.gone:
		return runtime.StateGone, nil
	default:
		return runtime.StateRunning, nil
	}
}

// Wait implements runtime.Driver.
func (d *Driver) Wait(ctx context.Context, h runtime.Handle) (runtime.Exit, error) {
	w, err := d.find(h)
	switch {
	case errors.Is(err, errNotHere):
		return runtime.Exit{}, status.Wrap(status.NotFound, err)
	case err != nil:
		return runtime.Exit{}, err
	case w.script.WaitError != nil:
		return runtime.Exit{}, w.script.WaitError
	}
	select {
	case <-ctx.Done():
		return runtime.Exit{}, ctx.Err()
	case <-w.gone:
	}
	if w.by != d {
		return runtime.Exit{}, nil
	}
	return w.exit, nil
}

// Kill implements runtime.Driver.
func (d *Driver) Kill(ctx context.Context, h runtime.Handle, grace time.Duration) error {
	w, err := d.find(h)
	switch {
	case errors.Is(err, errNotHere):
		return status.Wrap(status.NotFound, err)
	case err != nil:
		return err
	case w.script.KillError != nil:
		return w.script.KillError
	case w.script.KillHang:
		<-ctx.Done()
		return ctx.Err()
	}
	if grace > 0 {
		w.ask.Do(func() { close(w.asked) })
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-w.gone:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
	}
	d.machine.mu.Lock()
	w.killed = true
	d.machine.mu.Unlock()
	w.cancel()
	select {
	case <-w.gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errNotHere tells of a handle of another boot.
var errNotHere = errors.New("the worker is of another boot")

func (d *Driver) find(h runtime.Handle) (*worker, error) {
	var id fakeHandle
	if err := json.Unmarshal(h, &id); err != nil || id.Boot == 0 {
		return nil, status.Errorf(status.InvalidArgument, "not a handle of this driver")
	}
	m := d.machine
	m.mu.Lock()
	defer m.mu.Unlock()
	if id.Boot != m.boot {
		return nil, errNotHere
	}
	w, ok := m.workers[fmt.Sprintf("%s/%d", id.Task, id.Epoch)]
	if !ok {
		return nil, status.Errorf(status.InvalidArgument, "not a handle of this driver")
	}
	return w, nil
}
