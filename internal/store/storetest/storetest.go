// Package storetest is the conformance suite of stores: what package store promises, checked on any implementation.
// Tests of implementations call Run.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/recordhost/recordhost/internal/store"
)

// Harness makes the stores that a case works on.
type Harness struct {
	// Open opens the store at place. Opened again after a Close, with the same place, it holds what it held.
	Open func(t *testing.T, place string) store.Store
}

// Run runs the suite. Each case has a place of its own.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for name, run := range map[string]func(*testing.T, Harness){
		"create, get, put, delete":   testLifeOfATask,
		"versions":                   testVersions,
		"one writer wins":            testOneWriterWins,
		"what is answered stays":     testReopened,
		"the order of a list":        testOrder,
		"a list by pages":            testPages,
		"a list is selected":         testSelection,
		"a list meets other writers": testListMeetsWriters,
		"cursors":                    testCursors,
		"open tasks":                 testOpen,
		"finished tasks":             testFinished,
		"tasks are deleted together": testDeleteMany,
		"settings":                   testSettings,
		"bodies":                     testBodies,
		"an ended context":           testEndedContext,
	} {
		t.Run(name, func(t *testing.T) { run(t, h) })
	}
}

func (h Harness) new(t *testing.T) store.Store {
	t.Helper()
	s := h.Open(t, t.TempDir())
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func at(second int) time.Time { return time.Unix(1_700_000_000+int64(second), 0).UTC() }

func task(id string, second int) store.Task {
	return store.Task{ID: id, Created: at(second), Status: "normal", Open: true, Body: []byte("body of " + id)}
}

func create(t *testing.T, s store.Store, tasks ...store.Task) {
	t.Helper()
	for _, k := range tasks {
		if err := s.Create(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
}

func list(t *testing.T, s store.Store, q store.Query) store.Page {
	t.Helper()
	p, err := s.List(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func ids(tasks []store.Task) []string {
	out := []string{}
	for _, k := range tasks {
		out = append(out, k.ID)
	}
	return out
}

func equal(a, b store.Task) bool {
	return a.ID == b.ID && a.Version == b.Version && a.Created.Equal(b.Created) && a.Finished.Equal(b.Finished) &&
		a.Status == b.Status && a.Open == b.Open && bytes.Equal(a.Body, b.Body)
}

func testLifeOfATask(t *testing.T, h Harness) {
	s := h.new(t)
	want := task("a", 1)
	if _, err := s.Get(t.Context(), "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get before Create: %v", err)
	}
	create(t, s, want)
	want.Version = 1
	got, err := s.Get(t.Context(), "a")
	if err != nil || !equal(got, want) {
		t.Errorf("Get: %+v, %v; want %+v", got, err, want)
	}
	if err := s.Create(t.Context(), task("a", 2)); !errors.Is(err, store.ErrExists) {
		t.Errorf("Create twice: %v", err)
	}
	want.Status, want.Open, want.Body, want.Finished = "finished", false, []byte("new"), at(7)
	if want.Version, err = s.Put(t.Context(), want); err != nil || want.Version != 2 {
		t.Errorf("Put: version %d, %v", want.Version, err)
	}
	if got, err = s.Get(t.Context(), "a"); err != nil || !equal(got, want) {
		t.Errorf("Get after Put: %+v, %v; want %+v", got, err, want)
	}
	for range 2 {
		if err := s.Delete(t.Context(), "a"); err != nil {
			t.Errorf("Delete: %v", err)
		}
	}
	if _, err := s.Get(t.Context(), "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get after Delete: %v", err)
	}
	if p := list(t, s, store.Query{}); len(p.Tasks) != 0 {
		t.Errorf("List after Delete: %v", ids(p.Tasks))
	}
	create(t, s, task("a", 3))
}

func testVersions(t *testing.T, h Harness) {
	s := h.new(t)
	create(t, s, task("a", 1))
	k, err := s.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	k.Status = "paused"
	if _, err := s.Put(t.Context(), k); !errors.Is(err, store.ErrConflict) {
		t.Errorf("Put of an old version: %v", err)
	}
	if got, _ := s.Get(t.Context(), "a"); got.Status != "normal" {
		t.Errorf("the refused Put left status %q", got.Status)
	}
	k.ID = "b"
	if _, err := s.Put(t.Context(), k); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Put of a task that is not there: %v", err)
	}
}

func testOneWriterWins(t *testing.T, h Harness) {
	s := h.new(t)
	create(t, s, task("a", 1))
	k, err := s.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	errs := make([]error, 8)
	var writers sync.WaitGroup
	for i := range errs {
		writers.Go(func() {
			mine := k
			mine.Body = fmt.Append(nil, i)
			_, errs[i] = s.Put(context.WithoutCancel(t.Context()), mine)
		})
	}
	writers.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			t.Error("two writers won")
		case err == nil:
			winner = i
		case !errors.Is(err, store.ErrConflict):
			t.Error(err)
		}
	}
	if got, _ := s.Get(t.Context(), "a"); string(got.Body) != fmt.Sprint(winner) {
		t.Errorf("the body is %q, the winner was %d", got.Body, winner)
	}
}

func testReopened(t *testing.T, h Harness) {
	place := t.TempDir()
	s := h.Open(t, place)
	create(t, s, task("a", 1), task("b", 2))
	b, err := s.Get(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	b.Status, b.Open = "finished", false
	if _, err := s.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = h.Open(t, place)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if got := ids(list(t, s, store.Query{}).Tasks); !slices.Equal(got, []string{"b", "a"}) {
		t.Errorf("listed: %v", got)
	}
	b.Version = 2
	if got, err := s.Get(t.Context(), "b"); err != nil || !equal(got, b) {
		t.Errorf("Get: %+v, %v; want %+v", got, err, b)
	}
}

func testBodies(t *testing.T, h Harness) {
	s := h.new(t)
	for i, body := range [][]byte{nil, {}, {0}, bytes.Repeat([]byte{0xff, 0}, 256<<10)} {
		id := fmt.Sprint("t", i)
		k := task(id, i)
		k.Body = body
		create(t, s, k)
		got, err := s.Get(t.Context(), id)
		if err != nil || !bytes.Equal(got.Body, body) {
			t.Errorf("a body of %d bytes came back as %d, %v", len(body), len(got.Body), err)
		}
	}
	k := task("mine", 9)
	create(t, s, k)
	k.Body[0] = 'X'
	got, err := s.Get(t.Context(), "mine")
	if err != nil || got.Body[0] == 'X' {
		t.Errorf("the store shares memory with the caller of Create (%v)", err)
	}
	got.Body[0] = 'X'
	if got, err = s.Get(t.Context(), "mine"); err != nil || got.Body[0] == 'X' {
		t.Errorf("the store shares memory with the caller of Get (%v)", err)
	}
}

func testSettings(t *testing.T, h Harness) {
	s := h.new(t)
	if v, err := s.Setting(t.Context(), "x"); err != nil || v != nil {
		t.Errorf("a setting that was never made: %q, %v", v, err)
	}
	for _, want := range []string{"one", "two"} {
		if err := s.SetSetting(t.Context(), "x", []byte(want)); err != nil {
			t.Fatal(err)
		}
		if v, err := s.Setting(t.Context(), "x"); err != nil || string(v) != want {
			t.Errorf("got %q, %v; want %q", v, err, want)
		}
	}
}

func testEndedContext(t *testing.T, h Harness) {
	s := h.new(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Create(ctx, task("a", 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("Create: %v", err)
	}
	if _, err := s.Get(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("Get: %v", err)
	}
	if _, err := s.Get(t.Context(), "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the task was created all the same: %v", err)
	}
}
