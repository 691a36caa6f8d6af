package main

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// upload is what a storage.Upload holds: a multipart upload of the session's store.
type upload struct {
	Key  string `json:"key"`
	Name string `json:"name,omitempty"` // of the file
	ID   string `json:"id"`
}

// BeginParts implements storage.Driver.
func (d *Driver) BeginParts(ctx context.Context, s storage.State, g storage.Growing) (storage.Upload, error) {
	st, bucket, key, err := d.place(ctx, s, g.Name)
	if err != nil {
		return nil, err
	}
	id, err := bucket.begin(ctx, key, g.ContentType)
	if err != nil {
		return nil, d.lost(ctx, st, s, err)
	}
	u := upload{Key: key, Name: g.Name, ID: id}
	d.records.note(st.Delivery, s, line{Upload: &u})
	text, err := json.Marshal(u)
	if err == nil && len(text) > storage.MaxUpload {
		err = status.Errorf(status.Internal, "an upload of %d bytes", len(text))
	}
	return text, err
}

// growing reads a state and an upload of it.
func (d *Driver) growing(ctx context.Context, s storage.State, text storage.Upload) (state, *store, upload, error) {
	var u upload
	if err := json.Unmarshal(text, &u); err != nil || u.ID == "" {
		return state{}, nil, u, status.Errorf(status.InvalidArgument, "not an upload of this driver")
	}
	st, bucket, key, err := d.place(ctx, s, u.Name)
	if err == nil && key != u.Key {
		err = status.Errorf(status.NotFound, "the upload is of another session")
	}
	return st, bucket, u, err
}

// PutPart implements storage.Driver.
func (d *Driver) PutPart(ctx context.Context, s storage.State, text storage.Upload, p storage.Part) (storage.Receipt, error) {
	st, bucket, u, err := d.growing(ctx, s, text)
	if err != nil {
		return storage.Receipt{}, err
	}
	if p.Number < 1 || p.Number > maxParts {
		return storage.Receipt{}, status.Errorf(status.InvalidArgument, "part %d: numbers go from 1 to %d", p.Number, maxParts)
	}
	r, err := p.Open(ctx)
	if err != nil {
		return storage.Receipt{}, err
	}
	defer func() { _ = r.Close() }()
	receipt, err := bucket.putPart(ctx, u.Key, u.ID, p.Number, r, p.Size())
	return receipt, d.lost(ctx, st, s, err)
}

// FinishParts implements storage.Driver.
func (d *Driver) FinishParts(ctx context.Context, s storage.State, text storage.Upload, receipts []storage.Receipt) error {
	st, bucket, u, err := d.growing(ctx, s, text)
	if err != nil {
		return err
	}
	receipts = slices.SortedFunc(slices.Values(receipts), func(a, b storage.Receipt) int { return cmp.Compare(a.Number, b.Number) })
	want, err := whole(receipts)
	if err != nil {
		return err
	}
	want.Name = u.Name
	d.records.note(st.Delivery, s, line{Expected: &want}) // no media is made of anything else, also if the answer is lost
	_, err = finish(ctx, bucket, u.Key, u.ID, receipts)
	if status.KindOf(err) == status.NotFound && d.finished(ctx, bucket, st, s, u, want) {
		err = nil
	}
	if err != nil {
		return d.lost(ctx, st, s, err)
	}
	d.records.note(st.Delivery, s, line{File: &want})
	return nil
}

// finished tells whether an upload that the store does not know any more has become the file that it should: the answer of the
// call that made it was lost, or the call is made again.
func (d *Driver) finished(ctx context.Context, bucket *store, st state, s storage.State, u upload, want stored) bool {
	if d.records.session(st.Delivery, s).files[u.Name] == want {
		return true
	}
	found, err := bucket.stat(ctx, u.Key)
	found.Name = u.Name
	return err == nil && found == want
}
