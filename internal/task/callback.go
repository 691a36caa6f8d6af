package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/recordhost/recordhost/internal/callback"
	"github.com/recordhost/recordhost/internal/control"
)

// caller is what an actor knows of telling its task's caller beyond the record.
type caller struct {
	busy   bool        // a helper makes a try
	result *callResult // of a try, until it is stored
}

// callResult is what came of a try.
type callResult struct{ outcome callback.Outcome }

// call puts the delivery that a Call demands into the record. It is stored together with the status, so the message and its
// ID exist once, whatever happens to the host.
func (r *Record) call(now time.Time, effects []Effect) error {
	if !slices.Contains(effects, Effect(Call{})) {
		return nil
	}
	body, err := r.letter()
	if err != nil {
		return err
	}
	d := callback.Begin("msg_"+strings.ReplaceAll(uuid.NewString(), "-", ""), body, now)
	r.Callback = &d
	return nil
}

// letter is what the caller is told: the document of a task that is telling it, which cannot know yet how that will end.
func (r *Record) letter() ([]byte, error) {
	told := *r
	told.State.Status, told.State.FinishTime, told.State.CallbackError = Callback, time.Time{}, ""
	body, err := json.Marshal(describe(told, told.Progress))
	if err != nil {
		return nil, fmt.Errorf("task: make the callback: %w", err)
	}
	return body, nil
}

// attendCallback tells the caller what came of the task. Each try is a helper's, so nobody waits for an endpoint; what came
// of it is stored before another follows. A host that ends in between sends the same message once more.
func (a *actor) attendCallback(ctx context.Context, now time.Time) (time.Time, error) {
	if a.caller.result != nil {
		if err := a.conclude(now, a.caller.result.outcome); err != nil {
			return time.Time{}, err
		}
		a.caller = caller{}
	}
	d := a.record.Callback
	if d == nil || d.Due.IsZero() || a.caller.busy {
		return time.Time{}, nil
	}
	if now.Before(d.Due) {
		return d.Due, nil
	}
	a.caller.busy = true
	r := a.record
	a.helpers.Go(func() { a.send(ctx, r) })
	return time.Time{}, nil
}

// send makes one try. When the host ends first, nobody is told: the next host tries again.
func (a *actor) send(ctx context.Context, r Record) {
	var outcome callback.Outcome
	url, err := a.store.callbackURL(ctx, r)
	if err != nil {
		a.log.Error("the callback cannot be made", "err", err)
		outcome = callback.Outcome{Gone: true, Problem: "EKEY:the host's sealing key is not the one that the URL was sealed with"}
	} else {
		m := callback.Message{URL: url, ID: r.Callback.ID, At: a.options.Clock.Wall(), Body: r.Callback.Body}
		if outcome, err = a.store.send(ctx, m); err != nil {
			return
		}
	}
	select {
	case a.called <- callResult{outcome}:
	case <-ctx.Done():
	}
}

// conclude stores what came of a try, and when the next is made.
func (a *actor) conclude(now time.Time, o callback.Outcome) error {
	d, verdict := a.options.schedule().After(*a.record.Callback, o, now, rand.Float64()) //nolint:gosec // it spreads tries, no more
	keep := func(r *Record) { r.Callback = &d }
	var err error
	switch verdict {
	case callback.Again:
		r := a.record
		keep(&r)
		err = a.save(r)
	case callback.Accepted:
		err = a.happen(Event{At: now, What: CallbackAccepted{}}, keep)
	default:
		err = a.happen(Event{At: now, What: CallbackGivenUp{Message: o.Problem}}, keep)
	}
	if err != nil {
		return err
	}
	switch verdict {
	case callback.Accepted:
		a.log.Info("the callback was accepted", "tries", d.Tries)
	case callback.GivenUp:
		a.log.Warn("the callback is given up", "tries", d.Tries, "problem", o.Problem)
	default:
		a.log.Warn("the callback failed, and will be tried again", "tries", d.Tries, "problem", o.Problem, "in", d.Due.Sub(now))
	}
	return nil
}

// schedule is when callbacks are tried.
func (o Options) schedule() callback.Schedule {
	s := callback.Standard(o.Callback.GiveUp)
	s.Step, s.Later = o.timing.callback, o.timing.later
	return s
}

// isSettled tells that nothing is left to be done but telling the caller.
func (a *actor) isSettled() bool {
	select {
	case <-a.settled:
		return true
	default:
		return false
	}
}

// resend begins the delivery of a finished task's result anew.
func (r *Record) resend(now time.Time) error {
	switch {
	case !r.State.WantsCallback:
		return invalidParam("the task was started without a CallbackURL: there is nobody to call back")
	case r.State.Status != Finished || r.Callback == nil:
		return invalidStatus("resend the callback of", r.State.Status)
	}
	d := callback.Begin(r.Callback.ID, r.Callback.Body, now)
	r.Callback = &d
	return nil
}

// ResendCallback tells the caller of a finished task the result once more, whether it was accepted before or not. The tries
// are begun anew, with the message as it was, and go on after ResendCallback has returned.
func (m *Manager) ResendCallback(ctx context.Context, id string) error {
	for {
		a, changed := m.actorAnd(id)
		if a == nil {
			return m.resendStored(ctx, id)
		}
		err := a.call(ctx, func() error {
			r := a.record
			if err := r.resend(a.now()); err != nil {
				return err
			}
			return a.save(r)
		})
		if !errors.Is(err, errEnded) {
			return m.callersError(err)
		}
		select { // it ends, and the manager lets it go
		case <-changed:
		case <-ctx.Done():
			return m.callersError(fmt.Errorf("task: resend the callback: %w", context.Cause(ctx)))
		}
	}
}

// actorAnd is the actor of a task, if it has one, and what is closed when that changes.
func (m *Manager) actorAnd(id string) (*actor, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.actors[id], m.changed
}

// resendStored gives a task that has no actor one.
func (m *Manager) resendStored(ctx context.Context, id string) error {
	release, err := m.reserve(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	if m.actor(id) != nil { // another caller was faster
		return nil
	}
	r, err := m.find(ctx, id)
	if err != nil {
		return err
	}
	if err := r.resend(m.options.Clock.Now(r.Clock)); err != nil {
		return m.callersError(err)
	}
	if r, err = m.save(ctx, r); err != nil {
		return m.callersError(err)
	}
	m.settle(r)
	return nil
}

// settle lets an ended task come to rest: its worker is seen off, and its caller told. When the manager is closed the next
// one does it.
func (m *Manager) settle(r Record) {
	spec := control.Spec{TaskID: r.ID, SpoolDir: m.options.spoolOf(r.ID)}
	a := newActor(m.options, records{m}, m.options.Runtimes[r.Launch.Runtime], spec, r)
	m.add(a, a.resume)
}

// callbackURL is where the caller of a task wants to be told.
func (r records) callbackURL(ctx context.Context, k Record) (string, error) {
	request, err := r.sealer.unseal(ctx, k.ID, k.Sealed)
	return request.CallbackURL, err
}

func (r records) send(ctx context.Context, m callback.Message) (callback.Outcome, error) {
	return r.sender.Send(ctx, m)
}
