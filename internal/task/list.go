package task

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/recordhost/recordhost/internal/store"
)

// The bounds of a page of List.
const (
	defaultLimit = 50
	maxLimit     = 500
)

// ListQuery selects tasks.
type ListQuery struct {
	Status Status    // empty: any
	Since  time.Time // of the creation; zero: any
	Until  time.Time
	Limit  int
	Cursor string
}

// ListAnswer is a page of tasks, the latest first.
type ListAnswer struct {
	Tasks  []Description
	Cursor string `json:",omitempty"` // for the next page; empty on the last
}

// List answers tasks by the time of their creation.
func (m *Manager) List(ctx context.Context, q ListQuery) (ListAnswer, error) {
	page, err := m.options.Store.List(ctx, store.Query{
		Status: string(q.Status), Since: q.Since, Until: q.Until, Limit: q.Limit, Cursor: q.Cursor,
	})
	if errors.Is(err, store.ErrCursor) {
		return ListAnswer{}, invalidParam("Data.Cursor is none that List has answered")
	}
	if err != nil {
		return ListAnswer{}, m.callersError(err)
	}
	answer := ListAnswer{Tasks: []Description{}, Cursor: page.Cursor}
	for _, t := range page.Tasks {
		r, err := decodeRecord(t)
		if err != nil { // one that is damaged hides no other
			m.options.Log.Error("a task cannot be read, and is left out of a list", "task_id", t.ID, "err", err)
			continue
		}
		figures := r.Progress
		if a := m.actor(t.ID); a != nil {
			figures = *a.figures.Load()
		}
		answer.Tasks = append(answer.Tasks, describe(r, figures))
	}
	return answer, nil
}

func parseList(data json.RawMessage) (ListQuery, error) {
	const latest = 1 << 33 // of a time in seconds: enough for some centuries, and far from overflowing
	o := readObject("Data", data)
	q := ListQuery{
		Status: Status(o.text("Status")),
		Since:  fromUnix(o.whole("Since", 0, latest)),
		Until:  fromUnix(o.whole("Until", 0, latest)),
		Limit:  int(o.whole("Limit", 1, maxLimit)),
		Cursor: o.text("Cursor"),
	}
	if q.Limit == 0 {
		q.Limit = defaultLimit
	}
	if q.Status != "" && !slices.Contains(statuses(), q.Status) {
		o.fail("Status", "must be one of %v", statuses())
	}
	return q, o.problem()
}

// fromUnix is the zero time for zero, which is no time.
func fromUnix(s int64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0)
}
