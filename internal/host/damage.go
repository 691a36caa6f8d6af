package host

import "github.com/recordhost/recordhost/internal/store/bolt"

// tellDamage says what was wrong with the store's file, what could not be saved, and what to do about it.
func (h *Host) tellDamage(d *bolt.Damage) {
	if d == nil {
		return
	}
	h.log.Error("the tasks' file was damaged and has been replaced; look whether the disk or the memory of this machine is failing",
		"damaged_file", d.Aside, "kept", d.Kept, "lost", len(d.Lost), "err", d.Cause)
	for _, id := range d.Lost {
		h.log.Error("a task was lost with the damaged file; if it had a recording that was not delivered, that is in its spool",
			"task_id", id, "damaged_file", d.Aside)
	}
	for _, id := range d.Older {
		h.log.Warn("of a task only an earlier state could be saved from the damaged file", "task_id", id)
	}
	for _, name := range d.Settings {
		h.log.Warn("a setting was lost with the damaged file", "setting", name)
	}
	if d.Unnamed {
		h.log.Error("the damaged file may have held more tasks, of which not even the IDs can be read; restore it from a backup "+
			"if callers miss any", "damaged_file", d.Aside)
	}
}
