package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/recordhost/recordhost/internal/store"
)

func testOrder(t *testing.T, h Harness) {
	s := h.new(t)
	near := task("near", 5)
	near.Created = near.Created.Add(time.Nanosecond)
	early := task("early", 0)
	early.Created = time.Unix(-10, 0)
	create(t, s, task("b", 5), task("late", 9), early, task("a", 5), near, task("first", 1))
	if got, want := ids(list(t, s, store.Query{}).Tasks), []string{"late", "near", "b", "a", "first", "early"}; !slices.Equal(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
	k, err := s.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	k.Created = at(100)
	if _, err := s.Put(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	if got := ids(list(t, s, store.Query{}).Tasks); got[3] != "a" || len(got) != 6 {
		t.Errorf("a Put moved a task: %v", got)
	}
}

func testPages(t *testing.T, h Harness) {
	s := h.new(t)
	const count = 23
	want := []string{}
	for i := range count {
		create(t, s, task(fmt.Sprintf("t%02d", i), i/3))
	}
	for i := range count {
		want = append(want, fmt.Sprintf("t%02d", count-1-i))
	}
	for _, limit := range []int{1, 5, count - 1, count, count + 1, 0} {
		got := []string{}
		q := store.Query{Limit: limit}
		for {
			p := list(t, s, q)
			if limit > 0 && len(p.Tasks) > limit {
				t.Fatalf("%d tasks on a page of %d", len(p.Tasks), limit)
			}
			got = append(got, ids(p.Tasks)...)
			if p.Cursor == "" {
				break
			}
			if len(p.Tasks) == 0 {
				t.Fatal("an empty page that is not the last")
			}
			q.Cursor = p.Cursor
		}
		if !slices.Equal(got, want) {
			t.Errorf("by pages of %d: %v, want %v", limit, got, want)
		}
	}
}

func testSelection(t *testing.T, h Harness) {
	s := h.new(t)
	for i := range 9 {
		k := task(fmt.Sprint("t", i), i)
		if i%3 == 0 {
			k.Status = "paused"
		}
		create(t, s, k)
	}
	for name, c := range map[string]struct {
		query store.Query
		want  []string
	}{
		"by status":    {store.Query{Status: "paused"}, []string{"t6", "t3", "t0"}},
		"no such":      {store.Query{Status: "other"}, []string{}},
		"since":        {store.Query{Since: at(6)}, []string{"t8", "t7", "t6"}},
		"until":        {store.Query{Until: at(2)}, []string{"t1", "t0"}},
		"between":      {store.Query{Since: at(3), Until: at(5)}, []string{"t4", "t3"}},
		"nothing left": {store.Query{Since: at(5), Until: at(5)}, []string{}},
		"all of it":    {store.Query{Status: "paused", Since: at(1), Until: at(6)}, []string{"t3"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ids(list(t, s, c.query).Tasks); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			q, got := c.query, []string{}
			for q.Limit = 1; ; {
				p := list(t, s, q)
				got = append(got, ids(p.Tasks)...)
				if q.Cursor = p.Cursor; p.Cursor == "" {
					break
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("one by one: %v, want %v", got, c.want)
			}
		})
	}
	k, err := s.Get(t.Context(), "t1")
	if err != nil {
		t.Fatal(err)
	}
	k.Status = "paused"
	if _, err := s.Put(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	if got := ids(list(t, s, store.Query{Status: "paused"}).Tasks); !slices.Equal(got, []string{"t6", "t3", "t1", "t0"}) {
		t.Errorf("after a change of status: %v", got)
	}
}

// A page's cursor holds whatever is created and deleted between two pages: the task it points at, too.
func testListMeetsWriters(t *testing.T, h Harness) {
	s := h.new(t)
	for i := range 6 {
		create(t, s, task(fmt.Sprint("t", i), i))
	}
	p := list(t, s, store.Query{Limit: 2})
	create(t, s, task("new", 100))
	for _, id := range []string{"t4", "t3"} {
		if err := s.Delete(context.WithoutCancel(t.Context()), id); err != nil {
			t.Fatal(err)
		}
	}
	rest := list(t, s, store.Query{Cursor: p.Cursor})
	if got := ids(rest.Tasks); !slices.Equal(got, []string{"t2", "t1", "t0"}) {
		t.Errorf("the rest is %v", got)
	}
}

func testCursors(t *testing.T, h Harness) {
	s := h.new(t)
	create(t, s, task("a", 1))
	for _, cursor := range []string{"x", "!", "AAAA", "//////////////////8", "a b"} {
		if _, err := s.List(t.Context(), store.Query{Cursor: cursor}); !errors.Is(err, store.ErrCursor) {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
}

func testOpen(t *testing.T, h Harness) {
	s := h.new(t)
	open := func() []string {
		got, err := s.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(got)
		return got
	}
	create(t, s, task("a", 1), task("b", 2), task("c", 3))
	b, err := s.Get(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	b.Open = false
	if _, err := s.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if got := open(); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("open: %v", got)
	}
	if err := s.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if got := open(); !slices.Equal(got, []string{"c"}) {
		t.Errorf("open: %v", got)
	}
}
