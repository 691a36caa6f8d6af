package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/recordhost/recordhost/internal/store"
)

// finish ends a task at a time.
func finish(t *testing.T, s store.Store, id string, when time.Time) {
	t.Helper()
	k, err := s.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	k.Status, k.Open, k.Finished = "finished", false, when
	if _, err := s.Put(t.Context(), k); err != nil {
		t.Fatal(err)
	}
}

func finished(t *testing.T, s store.Store, before time.Time, limit int) []string {
	t.Helper()
	got, err := s.Finished(t.Context(), before, limit)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func testFinished(t *testing.T, h Harness) {
	s := h.new(t)
	const all = 100
	for i := range 6 { // the later created ones finish earlier
		id := fmt.Sprint("t", i)
		create(t, s, task(id, i))
		finish(t, s, id, at(100-i))
	}
	create(t, s, task("open", 0), task("never", 0))
	k, err := s.Get(t.Context(), "open") // its result is known, its worker is still there
	if err != nil {
		t.Fatal(err)
	}
	k.Finished = at(1)
	if _, err := s.Put(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		before time.Time
		limit  int
		want   []string
	}{
		"all":         {at(1000), all, []string{"t5", "t4", "t3", "t2", "t1", "t0"}},
		"some":        {at(98), all, []string{"t5", "t4", "t3"}},
		"a batch":     {at(98), 2, []string{"t5", "t4"}},
		"none so old": {at(95), all, nil},
		"none wanted": {at(1000), 0, nil},
	} {
		if got := finished(t, s, c.before, c.limit); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	finish(t, s, "open", at(1))
	if got := finished(t, s, at(2), all); !slices.Equal(got, []string{"open"}) {
		t.Errorf("once its worker is gone: %v", got)
	}
	finish(t, s, "t5", at(200)) // the time of what is finished may still be corrected
	if got := finished(t, s, at(97), all); !slices.Equal(got, []string{"open", "t4"}) {
		t.Errorf("after a change: %v", got)
	}
	if err := s.Delete(t.Context(), "open", "t4", "t3"); err != nil {
		t.Fatal(err)
	}
	if got := finished(t, s, at(1000), all); !slices.Equal(got, []string{"t2", "t1", "t0", "t5"}) {
		t.Errorf("after the deletion: %v", got)
	}
}

func testDeleteMany(t *testing.T, h Harness) {
	s := h.new(t)
	create(t, s, task("a", 1), task("b", 2), task("c", 3))
	if err := s.Delete(t.Context(), "a", "nobody", "c"); err != nil {
		t.Fatal(err)
	}
	if got := ids(list(t, s, store.Query{}).Tasks); !slices.Equal(got, []string{"b"}) {
		t.Errorf("left: %v", got)
	}
	if err := s.Delete(t.Context()); err != nil {
		t.Errorf("nothing to delete: %v", err)
	}
}
