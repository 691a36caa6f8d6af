package storagetest

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// BeginParts implements storage.Driver.
func (m *Memory) BeginParts(ctx context.Context, s storage.State, f storage.Growing) (id storage.Upload, err error) {
	err = m.inParts(ctx, Call{Method: "BeginParts", Name: f.Name}, func() error {
		d, key, err := keyOf(s, f.Name)
		if err != nil {
			return err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if err := m.mayWrite(d, key); err != nil {
			return err
		}
		id = fmt.Appendf(nil, "upload-%d", m.counts["BeginParts"])
		m.uploads[string(id)] = &upload{growing: f, state: string(s), parts: map[int][]byte{}}
		return nil
	})
	return id, err
}

// PutPart implements storage.Driver.
func (m *Memory) PutPart(
	ctx context.Context, s storage.State, u storage.Upload, p storage.Part,
) (r storage.Receipt, err error) {
	err = m.inParts(ctx, Call{Method: "PutPart", Part: p.Number}, func() error {
		content, err := p.Open(ctx)
		if err != nil {
			return err
		}
		defer content.Close()
		data, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		up, err := m.uploadOf(s, u)
		if err != nil {
			return err
		}
		if err := m.fits(up, p.Number, len(data)); err != nil {
			return err
		}
		up.parts[p.Number] = data
		sum := checksum(data)
		r = storage.Receipt{Number: p.Number, Size: int64(len(data)), ETag: `"` + sum + `"`, Checksum: sum}
		return nil
	})
	return r, err
}

// fits refuses a part that the capabilities do not allow whatever follows.
func (m *Memory) fits(up *upload, number, size int) error {
	switch {
	case number < 1 || m.caps.MaxParts > 0 && number > m.caps.MaxParts:
		return status.Errorf(status.InvalidArgument, "part %d: parts are numbered from 1 to %d", number, m.caps.MaxParts)
	case m.caps.MaxPartSize > 0 && int64(size) > m.caps.MaxPartSize:
		return status.Errorf(status.InvalidArgument, "part %d has %d bytes, more than %d", number, size, m.caps.MaxPartSize)
	case !m.caps.OutOfOrder && number > 1 && up.parts[number-1] == nil:
		return status.Errorf(status.FailedPrecondition, "part %d comes before part %d", number, number-1)
	default:
		return nil
	}
}

// FinishParts implements storage.Driver.
func (m *Memory) FinishParts(ctx context.Context, s storage.State, u storage.Upload, receipts []storage.Receipt) error {
	return m.inParts(ctx, Call{Method: "FinishParts"}, func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		up, err := m.uploadOf(s, u)
		if err != nil || up.finished {
			return err
		}
		d, key, err := keyOf(s, up.growing.Name)
		if err != nil {
			return err
		}
		if err := m.mayWrite(d, key); err != nil {
			return err
		}
		data, err := m.assemble(up, receipts)
		if err != nil {
			return err
		}
		m.objects[key] = object{
			data: data, owner: d.ID(), contentType: up.growing.ContentType, modified: time.Now().UTC(),
		}
		up.finished, up.parts = true, nil
		return nil
	})
}

// assemble puts the parts together, and refuses sizes that the capabilities do not allow.
func (m *Memory) assemble(up *upload, receipts []storage.Receipt) ([]byte, error) {
	receipts = slices.Clone(receipts)
	slices.SortFunc(receipts, func(a, b storage.Receipt) int { return a.Number - b.Number })
	var data []byte
	for i, r := range receipts {
		part, ok := up.parts[r.Number]
		if !ok || checksum(part) != r.Checksum || i > 0 && receipts[i-1].Number == r.Number {
			return nil, status.Errorf(status.InvalidArgument, "part %d is not the one of the receipt", r.Number)
		}
		last := i == len(receipts)-1
		if !last && int64(len(part)) < m.caps.MinPartSize {
			return nil, status.Errorf(status.InvalidArgument, "part %d has less than %d bytes", r.Number, m.caps.MinPartSize)
		}
		if m.caps.EqualParts && !last && int64(len(part)) != up.growing.PartSize {
			return nil, status.Errorf(status.InvalidArgument, "part %d does not have %d bytes", r.Number, up.growing.PartSize)
		}
		data = append(data, part...)
	}
	return data, nil
}

func (m *Memory) inParts(ctx context.Context, c Call, do func() error) error {
	if !m.caps.Parts {
		return status.Errorf(status.Unimplemented, "this store takes no parts")
	}
	return m.call(ctx, c, do)
}

func (m *Memory) uploadOf(s storage.State, u storage.Upload) (*upload, error) {
	up, ok := m.uploads[string(u)]
	if !ok || up.state != string(s) {
		return nil, status.Errorf(status.NotFound, "no such upload")
	}
	return up, nil
}
