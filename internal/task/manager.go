package task

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/recordhost/recordhost/internal/callback"
	"github.com/recordhost/recordhost/internal/control"
	"github.com/recordhost/recordhost/internal/store"
)

// Manager keeps all tasks of a host. Its methods may be called from several goroutines.
type Manager struct {
	options Options
	sealer  sealer
	sender  *callback.Sender
	life    context.Context //nolint:containedctx // the life time of the actors
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	actors   map[string]*actor
	starting map[string]struct{} // IDs whose Start is under way
	changed  chan struct{}       // closed, and made anew, when either of them changes
	draining bool                // no new task is taken
	closed   bool                // no actor is started
}

// New makes a Manager and takes up what an earlier one left: tasks that are not finished go on, with their workers if
// those are still there.
func New(ctx context.Context, o Options) (*Manager, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	s, err := newSealer(o.Key)
	if err != nil {
		return nil, err
	}
	sender, err := callback.New(o.Callback)
	if err != nil {
		return nil, err
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	m := &Manager{
		options:  o,
		sealer:   s,
		sender:   sender,
		life:     life,
		cancel:   cancel,
		actors:   make(map[string]*actor),
		starting: make(map[string]struct{}),
		changed:  make(chan struct{}),
	}
	if err := m.load(ctx); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// Close ends the Manager and leaves every task as it is. Workers go on; the next host finds them.
func (m *Manager) Close() error {
	m.mu.Lock()
	m.draining, m.closed = true, true
	m.mu.Unlock()
	m.cancel()
	m.running.Wait()
	return nil
}

// Drain takes no new task, stops all that there are, and returns when they are finished and their workers gone, or
// when ctx ends. A finished task whose caller is still to be told is left to the next host.
func (m *Manager) Drain(ctx context.Context) error {
	m.mu.Lock()
	m.draining = true
	m.mu.Unlock()
	stopped := make(map[*actor]bool)
	for {
		actors, starting, changed := m.current()
		actors = slices.DeleteFunc(actors, (*actor).isSettled)
		if len(actors) == 0 && starting == 0 {
			return nil
		}
		for _, a := range actors {
			if stopped[a] {
				continue
			}
			stopped[a] = true
			if err := a.ask(ctx, StopAsked{}); err != nil && !errors.Is(err, errEnded) {
				a.log.Warn("the task was not stopped", "err", err)
			}
		}
		var settled <-chan struct{} // of any: each of them is waited for
		if len(actors) > 0 {
			settled = actors[0].settled
		}
		select {
		case <-changed:
		case <-settled:
		case <-ctx.Done():
			return fmt.Errorf("task: %d recordings were left unfinished: %w", len(actors)+starting, context.Cause(ctx))
		}
	}
}

func (m *Manager) current() (actors []*actor, starting int, changed <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.actors {
		actors = append(actors, a)
	}
	return actors, len(m.starting), m.changed
}

// change is called with mu held, after actors or starting have changed.
func (m *Manager) change() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// load takes up the open tasks. One that is damaged does not keep the others from going on.
func (m *Manager) load(ctx context.Context) error {
	if err := m.restore(ctx); err != nil {
		return err
	}
	ids, err := m.options.Store.Open(ctx)
	if err != nil {
		return fmt.Errorf("task: load: %w", err)
	}
	for _, id := range ids {
		r, err := m.read(ctx, id)
		if err != nil {
			m.options.Log.Error("a task of an earlier host cannot be read and is left alone; a recording of it is in its spool",
				"task_id", id, "spool", m.options.spoolOf(id), "err", err)
			continue
		}
		if m.options.Repaired {
			r.State.Command += commandLeap // it may be older than what its worker knows
		}
		if err := m.takeUp(ctx, r); err != nil {
			m.options.Log.Error("a task of an earlier host cannot go on", "task_id", id, "err", err)
			m.abandon(ctx, r, err)
		}
	}
	return nil
}

// takeUp lets a task of an earlier host go on.
func (m *Manager) takeUp(ctx context.Context, r Record) error {
	if r.Launch.Epoch == 1 && r.Launch.Handle == nil && !r.State.Status.ended() {
		// The host ended between its intent and the launch: nobody was told of this task.
		return errors.Join(os.RemoveAll(m.options.spoolOf(r.ID)), m.remove(ctx, r.ID))
	}
	if !r.State.live() && r.workerless() {
		m.settle(r)
		return nil
	}
	driver := m.options.Runtimes[r.Launch.Runtime]
	if driver == nil {
		return fmt.Errorf("its runtime %q is not configured any more", r.Launch.Runtime)
	}
	spec, err := m.specOf(ctx, r)
	if err != nil && r.Launch.Instance == "" {
		return err
	}
	if err != nil {
		// The worker has its spec, and does not need the configuration to be as it was.
		m.options.Log.Warn("only the worker knows what the task is to do", "task_id", r.ID, "err", err)
		spec = control.Spec{TaskID: r.ID, SpoolDir: m.options.spoolOf(r.ID)}
	}
	a := newActor(m.options, records{m}, driver, spec, r)
	a.awaitWorker()
	m.add(a, a.resume)
	return nil
}

// specOf makes the spec of a stored task, with today's configuration.
func (m *Manager) specOf(ctx context.Context, r Record) (control.Spec, error) {
	request, err := m.sealer.unseal(ctx, r.ID, r.Sealed)
	if err != nil {
		return control.Spec{}, err
	}
	return m.options.spec(r.ID, r.Launch.Epoch, r.Clock, request)
}

// abandon ends a task that cannot go on, so that it does not seem to. Its worker, if there is one, is refused; what
// it recorded stays in the spool.
func (m *Manager) abandon(ctx context.Context, r Record, cause error) {
	var err error
	var effects []Effect
	now := m.options.Clock.Now(r.Clock)
	r.State, effects, err = next(r.State, Event{At: now, What: LaunchFailed{Code: CodeWorkerLost, Message: cause.Error()}})
	if err == nil {
		r.Launch.Over = true
		err = r.call(now, effects)
	}
	if err == nil {
		r, err = m.save(ctx, r)
	}
	switch {
	case err != nil:
		m.options.Log.Error("it was not ended either", "task_id", r.ID, "err", err)
	case r.open():
		m.settle(r)
	}
}

// add starts an actor and keeps it until it ends; false tells that the manager is closed.
func (m *Manager) add(a *actor, begin func(context.Context)) bool {
	id := a.record.ID
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.actors[id] = a
	m.change()
	m.running.Go(func() {
		a.run(m.life, begin)
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.actors, id)
		m.change()
	})
	return true
}

func (m *Manager) actor(id string) *actor {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.actors[id]
}

// Pause stops the recording's time.
func (m *Manager) Pause(ctx context.Context, id string) error { return m.act(ctx, id, PauseAsked{}) }

// Resume lets the recording's time go on.
func (m *Manager) Resume(ctx context.Context, id string) error { return m.act(ctx, id, ResumeAsked{}) }

// Refresh loads the page again.
func (m *Manager) Refresh(ctx context.Context, id string) error {
	return m.act(ctx, id, RefreshAsked{})
}

// Stop ends the recording.
func (m *Manager) Stop(ctx context.Context, id string) error { return m.act(ctx, id, StopAsked{}) }

// act lets an action happen to a task. It is stored when act returns.
func (m *Manager) act(ctx context.Context, id string, what any) error {
	if a := m.actor(id); a != nil {
		if err := a.ask(ctx, what); !errors.Is(err, errEnded) {
			return m.callersError(err)
		}
	}
	r, err := m.find(ctx, id)
	if err != nil {
		return err
	}
	if r.open() {
		return internalError("the task is not served by this host at the moment", nil)
	}
	_, _, err = next(r.State, Event{At: m.options.Clock.Now(r.Clock), What: what}) // nothing changes a finished task
	return m.callersError(err)
}

// callersError turns what is not the caller's own mistake into an internal error.
func (m *Manager) callersError(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	m.options.Log.Error("an action has failed", "err", err)
	return internalError("the action was not taken: the host cannot store it at the moment", err)
}

// Describe answers the document of a task.
func (m *Manager) Describe(ctx context.Context, id string) (Description, error) {
	r, p, err := m.look(ctx, id)
	if err != nil {
		return Description{}, err
	}
	return describe(r, p), nil
}

// Figures answers the latest figures of a task, those of its worker's last heartbeat.
func (m *Manager) Figures(ctx context.Context, id string) (control.Progress, error) {
	_, p, err := m.look(ctx, id)
	return p, err
}

// look reads a task and its latest figures, from its actor if there is one.
func (m *Manager) look(ctx context.Context, id string) (Record, control.Progress, error) {
	if a := m.actor(id); a != nil {
		return *a.latest.Load(), *a.figures.Load(), nil
	}
	r, err := m.find(ctx, id)
	return r, r.Progress, err
}

// Wait returns when a task is finished, with its document.
func (m *Manager) Wait(ctx context.Context, id string) (Description, error) {
	if a := m.actor(id); a != nil {
		select {
		case <-a.finished:
		case <-a.done:
		case <-ctx.Done():
			return Description{}, fmt.Errorf("task: wait: %w", context.Cause(ctx))
		}
	}
	d, err := m.Describe(ctx, id)
	if err == nil && d.Status != Finished {
		err = errEnded
	}
	return d, err
}

// find reads a task for a caller.
func (m *Manager) find(ctx context.Context, id string) (Record, error) {
	r, err := m.read(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return Record{}, notFound()
	}
	if err != nil {
		return Record{}, m.callersError(err)
	}
	return r, nil
}

// read, save and remove are the store of records.
func (m *Manager) read(ctx context.Context, id string) (Record, error) {
	t, err := m.options.Store.Get(ctx, id)
	if err != nil {
		return Record{}, err
	}
	return decodeRecord(t)
}

func (m *Manager) save(ctx context.Context, r Record) (Record, error) {
	t, err := r.encode()
	if err != nil {
		return Record{}, err
	}
	if t.Version, err = m.options.Store.Put(ctx, t); err != nil {
		return Record{}, err
	}
	m.passport(t)
	r.version = t.Version
	return r, nil
}

func (m *Manager) remove(ctx context.Context, id string) error {
	return m.options.Store.Delete(ctx, id)
}

// records is the store as actors see it.
type records struct{ *Manager }

func (r records) save(k Record) (Record, error) {
	return r.Manager.save(context.WithoutCancel(r.life), k)
}

func (r records) remove(id string) error {
	return r.Manager.remove(context.WithoutCancel(r.life), id)
}
