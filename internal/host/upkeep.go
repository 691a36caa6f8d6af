package host

import (
	"context"
	"time"

	"github.com/recordhost/recordhost/internal/task"
)

// upkeepEvery is how often what was kept for long enough is looked for.
const upkeepEvery = time.Minute

// keepUp deletes what was kept for long enough and what killed processes have left, now and each minute, until ctx ends.
func (h *Host) keepUp(ctx context.Context) {
	keep := h.config.Retention
	upkeep := h.tasks.Upkeep(task.Retention{Tasks: keep.Tasks, Spool: keep.Spool})
	again := time.NewTicker(upkeepEvery)
	defer again.Stop()
	for {
		h.sweep(time.Now())
		if err := upkeep.Run(ctx, time.Now()); err != nil && ctx.Err() == nil {
			h.log.Error("not all that was kept for long enough could be deleted; it is tried again each minute", "err", err)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}
