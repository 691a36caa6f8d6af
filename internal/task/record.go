package task

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/recordhost/recordhost/internal/callback"
	"github.com/recordhost/recordhost/internal/clock"
	"github.com/recordhost/recordhost/internal/control"
	"github.com/recordhost/recordhost/internal/store"
	"github.com/recordhost/recordhost/sdk/runtime"
)

// Record is a task as it is stored.
type Record struct {
	ID      string    `json:"-"`
	Created time.Time `json:"-"` // the Wall of Clock
	version uint64    // of the store

	Clock    clock.Anchor // of the task's time
	State    State
	Launch   Launch
	Progress control.Progress   // the last that came with an event
	Sealed   []byte             // the Request
	Digest   []byte             // of the Start's Data, where the caller chose the ID
	Callback *callback.Delivery `json:",omitempty"` // what the caller is told; nil before it is known
}

// Launch is what the host knows of the task's worker. It is journalled in two steps: the epoch and the token's hash
// before the driver is asked, the handle after it has answered.
type Launch struct {
	Runtime   string // the runtime's name in the configuration
	Epoch     uint64 // counts the launches
	TokenHash []byte
	Handle    runtime.Handle // nil: not known to have been launched
	Instance  string         // the process that was admitted, empty before
	LastEvent uint64         // the number of the last event of this epoch that was taken
	Over      bool           // the worker is gone

	// Heard is LastEvent of the earlier epochs.
	Heard map[uint64]uint64 `json:",omitempty"`
	// Before is what the earlier workers have counted.
	Before control.Progress
	// Reported: one of the earlier workers had come to the host, and may have recorded what nobody was told of.
	Reported bool `json:",omitempty"`
}

// reported tells whether any worker of the task has ever come to the host.
func (l Launch) reported() bool { return l.Reported || l.Instance != "" }

// successor is the launch that takes this one's place. It has no token yet.
func (l Launch) successor(counted control.Progress) Launch {
	heard := maps.Clone(l.Heard)
	if l.LastEvent > 0 {
		if heard == nil {
			heard = make(map[uint64]uint64)
		}
		heard[l.Epoch] = l.LastEvent
	}
	return Launch{Runtime: l.Runtime, Epoch: l.Epoch + 1, Heard: heard, Before: counted, Reported: l.reported()}
}

// open tells whether an actor is needed: the task is not finished, or its worker may still be there, or its caller is to be told.
func (r Record) open() bool {
	return r.State.Status != Finished || r.State.live() || !r.workerless() || r.Callback != nil && !r.Callback.Due.IsZero()
}

// workerless tells that there is no worker.
func (r Record) workerless() bool { return r.Launch.Handle == nil || r.Launch.Over }

func (r Record) encode() (store.Task, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return store.Task{}, fmt.Errorf("encode task %s: %w", r.ID, err)
	}
	return store.Task{
		ID: r.ID, Version: r.version, Created: r.Created, Finished: r.State.FinishTime, Status: string(r.State.Status), Open: r.open(),
		Body: body,
	}, nil
}

func decodeRecord(t store.Task) (Record, error) {
	var r Record
	if err := json.Unmarshal(t.Body, &r); err != nil {
		return Record{}, fmt.Errorf("decode task %s: %w", t.ID, err)
	}
	r.ID, r.Created, r.version = t.ID, t.Created, t.Version
	return r, nil
}

// admission is the worker's place at the host, for a handler.
func (r Record) admission(spec control.Spec, h control.Handler) control.Admission {
	return control.Admission{
		TaskID:    r.ID,
		Epoch:     r.Launch.Epoch,
		TokenHash: r.Launch.TokenHash,
		Instance:  r.Launch.Instance,
		Spec:      spec,
		LastEvent: r.Launch.LastEvent,
		Commands:  slices.Clone(r.State.Pending),
		Handler:   h,
	}
}
