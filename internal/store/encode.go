package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

// ErrDamaged tells that what was read is no task as it was written.
var ErrDamaged = errors.New("store: the task is damaged")

// row is a task as it is written down, in a store and elsewhere. Its ID comes first, so that rows are found even in a
// file of which nothing else can be read.
type row struct {
	ID       string
	Version  uint64
	Created  time.Time
	Finished time.Time
	Status   string
	Open     bool
	Body     []byte
	Sum      *uint32 `json:",omitempty"` // over all the others
}

// rowBegin is what each row begins with.
const rowBegin = `{"ID":"`

// maxRow bounds what is looked at for one row.
const maxRow = 8 << 20

// Encode writes a task down, with a checksum.
func Encode(t Task) ([]byte, error) {
	r := row{
		ID: t.ID, Version: t.Version, Created: t.Created.UTC(), Finished: t.Finished.UTC(), Status: t.Status, Open: t.Open, Body: t.Body,
	}
	sum, err := r.checksum()
	if err != nil {
		return nil, fmt.Errorf("encode task %s: %w", t.ID, err)
	}
	r.Sum = &sum
	return json.Marshal(r)
}

// Decode reads what Encode wrote, or fails with ErrDamaged.
func Decode(data []byte) (Task, error) {
	var r row
	if err := json.Unmarshal(data, &r); err != nil {
		return Task{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return r.task()
}

// Carve answers every task that stands somewhere in data as Encode wrote it, of each the latest version.
func Carve(data []byte) map[string]Task {
	found := make(map[string]Task)
	for at := 0; ; at++ {
		next := bytes.Index(data[at:], []byte(rowBegin))
		if next < 0 {
			return found
		}
		at += next
		var r row
		if json.NewDecoder(bytes.NewReader(data[at:min(len(data), at+maxRow)])).Decode(&r) != nil {
			continue
		}
		t, err := r.task()
		if last, known := found[t.ID]; err == nil && (!known || t.Version > last.Version) {
			found[t.ID] = t
		}
	}
}

func (r row) task() (Task, error) {
	if r.Sum == nil {
		return Task{}, fmt.Errorf("%w: it has no checksum", ErrDamaged)
	}
	sum, err := r.checksum()
	if err != nil || sum != *r.Sum {
		return Task{}, fmt.Errorf("%w: its checksum is another", ErrDamaged)
	}
	return Task{
		ID: r.ID, Version: r.Version, Created: r.Created, Finished: r.Finished, Status: r.Status, Open: r.Open, Body: r.Body,
	}, nil
}

func (r row) checksum() (uint32, error) {
	r.Sum = nil
	plain, err := json.Marshal(r)
	return crc32.ChecksumIEEE(plain), err
}
