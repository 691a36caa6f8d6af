package task

import (
	"context"
	"fmt"
)

// Finish takes no new task, lets those that there are go on, and returns when they are finished and their workers gone,
// or when ctx ends. It tells left how many there are, now and each time that changes.
func (m *Manager) Finish(ctx context.Context, left func(int)) error {
	m.mu.Lock()
	m.draining = true
	m.mu.Unlock()
	for told := -1; ; {
		actors, starting, changed := m.current()
		count := len(actors) + starting
		if count != told {
			left(count)
			told = count
		}
		if count == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("task: %d recordings were left unfinished: %w", count, context.Cause(ctx))
		}
	}
}
