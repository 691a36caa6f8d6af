package task

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/recordhost/recordhost/internal/control"
	"github.com/recordhost/recordhost/internal/store"
	"github.com/recordhost/recordhost/sdk/status"
)

const (
	// defaultWait is how long a caller who finds no room is asked to wait, where the runtime does not say.
	defaultWait = 10 * time.Second
	// diskWait is the same for a disk that has no room: somebody must do something about it.
	diskWait = time.Minute
)

// Start checks Data, makes a task and launches its worker. When it answers a TaskID, the task and the worker's handle
// are stored. The same Start under a caller's own TaskID answers it again and starts nothing.
func (m *Manager) Start(ctx context.Context, data json.RawMessage) (string, error) {
	request, err := parseStart(data, m.options.LegacyEncryptKey)
	if err != nil {
		return "", err
	}
	id := request.TaskID
	if id == "" {
		id = uuid.NewString()
	}
	release, err := m.reserve(ctx, id)
	if err != nil {
		return "", err
	}
	defer release()
	if request.TaskID != "" {
		known, err := m.startedBefore(ctx, id, data)
		if known || err != nil {
			return id, err
		}
	}
	if m.isDraining() {
		return "", draining()
	}
	if err := m.noRoom(); err != nil {
		return "", err
	}
	return m.start(ctx, id, data, request)
}

// noRoom refuses a task for which the disk has no room.
func (m *Manager) noRoom() error {
	if m.options.Room == nil {
		return nil
	}
	err := m.options.Room()
	if err == nil {
		return nil
	}
	m.options.Log.Warn("a task was refused", "err", err)
	return &Error{Code: CodeNoCapacity, Message: err.Error(), Wait: diskWait, cause: err}
}

// start makes the task: its intent is stored, then the worker is launched, then the handle is stored.
func (m *Manager) start(ctx context.Context, id string, data json.RawMessage, request Request) (string, error) {
	anchor := m.options.Clock.Anchor()
	for i, d := range request.Targets { // another default, of a later host, is not what was asked for
		s, err := m.options.choose(d)
		if err != nil {
			return "", m.callersError(err)
		}
		if d.Expires != 0 && d.Expires <= anchor.Wall.Unix() {
			return "", invalidParam("Data.Output.Vod.MediaInfo.ExpireTime must be in the future")
		}
		request.Targets[i].Storage = s.Name
	}
	token, hash := control.NewToken()
	launch := Launch{Runtime: m.options.DefaultRuntime, Epoch: 1, TokenHash: hash}
	spec, err := m.options.spec(id, launch.Epoch, anchor, request)
	if err != nil {
		return "", m.callersError(err)
	}
	r := Record{ID: id, Created: anchor.Wall, version: 1, Clock: anchor, Launch: launch}
	r.State = State{Status: Normal, WantsCallback: request.CallbackURL != ""}
	if r.Sealed, err = m.sealer.seal(ctx, id, request); err != nil {
		return "", m.callersError(err)
	}
	if request.TaskID != "" {
		if r.Digest, err = m.sealer.digest(data); err != nil {
			return "", m.callersError(err)
		}
	}
	t, err := r.encode()
	if err != nil {
		return "", m.callersError(err)
	}
	if err := m.options.Store.Create(ctx, t); err != nil {
		return "", m.callersError(err)
	}
	a := newActor(m.options, records{m}, m.options.Runtimes[launch.Runtime], spec, r)
	if !m.add(a, a.begin(token)) {
		return "", errors.Join(draining(), m.remove(ctx, id))
	}
	return m.launched(ctx, a, request.TaskID != "")
}

// launched waits for the first launch. A caller who goes away before it could be told the TaskID cannot stop the task;
// unless the TaskID is its own, that is done for it.
func (m *Manager) launched(ctx context.Context, a *actor, ownID bool) (string, error) {
	id := a.latest.Load().ID
	select {
	case err := <-a.answered:
		switch {
		case err == nil:
			return id, nil
		case errors.Is(err, status.NoCapacity):
			wait, ok := status.RetryAfter(err)
			if !ok {
				wait = defaultWait
			}
			return "", &Error{Code: CodeNoCapacity, Message: "no room for another recording", Wait: wait, cause: err}
		default:
			return "", m.callersError(err)
		}
	case <-ctx.Done():
		if !ownID {
			err := a.ask(context.WithoutCancel(ctx), StopAsked{})
			if err != nil && !errors.Is(err, errEnded) {
				a.log.Warn("a task whose caller went away was not stopped", "err", err)
			}
		}
		return "", m.callersError(fmt.Errorf("task: start: %w", context.Cause(ctx)))
	}
}

// startedBefore tells whether the caller's own TaskID is known, by the same Start.
func (m *Manager) startedBefore(ctx context.Context, id string, data json.RawMessage) (bool, error) {
	r, err := m.read(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, m.callersError(err)
	}
	digest, err := m.sealer.digest(data)
	if err != nil {
		return false, m.callersError(err)
	}
	if !bytes.Equal(digest, r.Digest) {
		return false, invalidParam("Data.TaskID is that of a task which was started with other Data")
	}
	return true, nil
}

// reserve makes this the only Start of an ID, waiting for another one of the same.
func (m *Manager) reserve(ctx context.Context, id string) (release func(), err error) {
	for {
		m.mu.Lock()
		_, busy := m.starting[id]
		changed := m.changed
		if !busy {
			m.starting[id] = struct{}{}
			m.mu.Unlock()
			return func() { m.release(id) }, nil
		}
		m.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, m.callersError(fmt.Errorf("task: start: %w", context.Cause(ctx)))
		}
	}
}

func (m *Manager) release(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.starting, id)
	m.change()
}

func draining() *Error {
	return &Error{Code: CodeDraining, Message: "the host is being stopped and takes no new task"}
}

func (m *Manager) isDraining() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.draining
}
