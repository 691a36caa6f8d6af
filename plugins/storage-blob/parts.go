package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// partStore is where stores differ that take a file in parts, in any order, and show it to readers when it is finished.
type partStore interface {
	// capabilities answers what holds for parts.
	capabilities() storage.Capabilities

	// begin begins a file, and answers what the store calls the upload. What the same owner began before under this key, and
	// has not finished, is removed.
	begin(ctx context.Context, key string, o writeOptions) (id string, err error)

	// send sends a part, checks that the store has taken it unchanged, and answers what the store says of it.
	send(ctx context.Context, key string, up upload, c *content) (storage.Receipt, error)

	// finish makes the file of its parts, which come in order. onlyNew is as in writeOptions, as far as the store knows such a thing.
	finish(ctx context.Context, key string, up upload, parts []storage.Receipt, onlyNew bool) error

	// abandon removes what the owner began under this key and has not finished.
	abandon(ctx context.Context, key, owner string) error
}

// upload is what a storage.Upload holds.
type upload struct {
	Name        string `json:"name"`
	ContentType string `json:"content_type"`
	Owner       string `json:"owner"` // the id of the delivery
	Nonce       string `json:"nonce"` // the object carries it, so that it can be told which upload has made it
	ID          string `json:"id"`    // what the store calls it
}

// BeginParts implements storage.Driver.
func (d *Driver) BeginParts(ctx context.Context, s storage.State, f storage.Growing) (storage.Upload, error) {
	if d.parts == nil {
		return d.NoParts.BeginParts(ctx, s, f)
	}
	delivery, key, err := d.file(s, f.Name)
	if err != nil {
		return nil, err
	}
	if _, err := d.mayWrite(ctx, delivery, key, d.ledger.has(s, f.Name)); err != nil {
		return nil, err
	}
	up := upload{Name: f.Name, ContentType: contentTypeOf(f.ContentType), Owner: delivery.ID(), Nonce: rand.Text()}
	d.ledger.begin(s, f.Name)
	up.ID, err = d.parts.begin(ctx, key, writeOptions{owner: up.Owner, upload: up.Nonce, contentType: up.ContentType})
	if err != nil {
		return nil, err
	}
	u, err := json.Marshal(up)
	if err != nil {
		return nil, fmt.Errorf("begin parts: %w", err)
	}
	return u, nil
}

// uploadOf reads a state and an upload, and returns the key of its file.
func (d *Driver) uploadOf(s storage.State, u storage.Upload) (up upload, delivery storage.Delivery, key string, err error) {
	if json.Unmarshal(u, &up) != nil || up.Nonce == "" {
		return up, delivery, "", status.Errorf(status.InvalidArgument, "not an upload of this driver")
	}
	if delivery, key, err = d.file(s, up.Name); err != nil {
		return up, delivery, "", err
	}
	if up.Owner != delivery.ID() {
		return up, delivery, "", status.Errorf(status.InvalidArgument, "the upload is another delivery's")
	}
	return up, delivery, key, nil
}

// PutPart implements storage.Driver.
func (d *Driver) PutPart(ctx context.Context, s storage.State, u storage.Upload, p storage.Part) (storage.Receipt, error) {
	if d.parts == nil {
		return d.NoParts.PutPart(ctx, s, u, p)
	}
	up, _, key, err := d.uploadOf(s, u)
	if err != nil {
		return storage.Receipt{}, err
	}
	if err := fits(p, d.parts.capabilities()); err != nil {
		return storage.Receipt{}, err
	}
	c := &content{ctx: ctx, part: p}
	defer c.Close()
	return d.parts.send(ctx, key, up, c)
}

// fits refuses a part that the store does not take.
func fits(p storage.Part, can storage.Capabilities) error {
	if p.Number < 1 || p.Number > can.MaxParts {
		return status.Errorf(status.InvalidArgument, "part %d: parts are numbered from 1 to %d", p.Number, can.MaxParts)
	}
	if size := p.Size(); size > can.MaxPartSize {
		return status.Errorf(status.InvalidArgument, "part %d has %d bytes, more than %d", p.Number, size, can.MaxPartSize)
	}
	return nil
}

// changed is the error of a part that does not have the sum which was sent with it.
func changed(doing, kind, sent, found string) error {
	return status.Errorf(status.DataLoss, "%s: it has the %s %s, the store reports %s", doing, kind, sent, found)
}

// FinishParts implements storage.Driver.
func (d *Driver) FinishParts(ctx context.Context, s storage.State, u storage.Upload, receipts []storage.Receipt) error {
	if d.parts == nil {
		return d.NoParts.FinishParts(ctx, s, u, receipts)
	}
	up, delivery, key, err := d.uploadOf(s, u)
	if err != nil {
		return err
	}
	if receipts, err = inOrder(receipts); err != nil {
		return err
	}
	found, err := d.objects.stat(ctx, key)
	switch exists := err == nil; {
	case !exists && status.KindOf(err) != status.NotFound:
		return err
	case exists && found.upload == up.Nonce: // it was finished before, and the answer was lost
	case exists && !d.mayReplace(delivery, found, d.ledger.has(s, up.Name)):
		return status.Errorf(status.AlreadyExists, "%s exists", d.location(key))
	default:
		err = d.place(ctx, delivery, key, exists, func(onlyNew bool) error {
			return d.parts.finish(ctx, key, up, receipts, onlyNew)
		})
		if found, err = d.made(ctx, key, up, err); err != nil {
			return err
		}
	}
	sent := object{size: sizeOf(receipts)}
	if err := sent.compare(key, found); err != nil {
		return err
	}
	d.ledger.finish(s, up.Name, sent)
	return nil
}

// made returns the object that an upload has made. Whatever the store has answered when it was told to finish, what counts is whether
// it then has the object: an answer may have been lost, and be that to an earlier call.
func (d *Driver) made(ctx context.Context, key string, up upload, answer error) (object, error) {
	if ctx.Err() != nil {
		return object{}, failure(ctx, "finish "+key, ctx.Err())
	}
	found, err := d.objects.stat(ctx, key)
	switch {
	case err == nil && found.upload == up.Nonce:
		return found, nil
	case answer != nil:
		return object{}, answer
	case err != nil && status.KindOf(err) != status.NotFound:
		return object{}, err
	default:
		return object{}, status.Errorf(status.DataLoss, "%s: it was finished, and is not in the store", key)
	}
}

// inOrder returns the receipts by the numbers of their parts, each of which there is once.
func inOrder(receipts []storage.Receipt) ([]storage.Receipt, error) {
	if len(receipts) == 0 {
		return nil, status.Errorf(status.InvalidArgument, "finish parts: there is none")
	}
	receipts = slices.SortedFunc(slices.Values(receipts), func(a, b storage.Receipt) int { return a.Number - b.Number })
	for i, r := range receipts {
		if i > 0 && receipts[i-1].Number == r.Number {
			return nil, status.Errorf(status.InvalidArgument, "finish parts: two receipts for part %d", r.Number)
		}
	}
	return receipts, nil
}

func sizeOf(receipts []storage.Receipt) (n int64) {
	for _, r := range receipts {
		n += r.Size
	}
	return n
}

// abandon removes the uploads of a delivery that are not finished: of its main file, and of what this process began.
func (d *Driver) abandon(ctx context.Context, s storage.State, delivery storage.Delivery) error {
	if d.parts == nil {
		return nil
	}
	names := d.ledger.begun(s)
	if !slices.Contains(names, delivery.Main) {
		names = append(names, delivery.Main)
	}
	for _, name := range names {
		key, err := d.key(delivery, name)
		if err != nil {
			return err
		}
		if err := d.parts.abandon(ctx, key, delivery.ID()); err != nil {
			return err
		}
	}
	return nil
}

// contentTypeOf is the type that a file is stored with.
func contentTypeOf(given string) string {
	if given == "" {
		return "application/octet-stream"
	}
	return given
}

// checksumOf returns the sum of a receipt whose kind is given, "" for none.
func checksumOf(r storage.Receipt, kind string) string {
	sum, ok := strings.CutPrefix(r.Checksum, kind+":")
	if !ok {
		return ""
	}
	return sum
}
