package main

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// What the service demands of parts (tencentcloud.com/document/product/436/14518).
const (
	minPart  = 1 << 20 // bytes, of all parts but the last
	maxPart  = 5 << 30
	maxParts = 10000
)

// upload is what a storage.Upload holds.
type upload struct {
	Name string `json:"name"`
	ID   string `json:"id"`
}

// BeginParts implements storage.Driver.
func (d *Driver) BeginParts(ctx context.Context, s storage.State, f storage.Growing) (storage.Upload, error) {
	p, key, err := d.file(s, f.Name)
	if err != nil {
		return nil, err
	}
	known, _ := d.ledger.known(s)
	if _, ours := known[f.Name]; !ours {
		if _, err := d.mayWrite(ctx, p, key); err != nil {
			return nil, err
		}
	}
	id, err := d.begin(ctx, p, key, begun{Name: f.Name}, d.about(p, f.ContentType))
	if err != nil {
		return nil, err
	}
	return json.Marshal(upload{Name: f.Name, ID: id})
}

// begin begins an upload and remembers it.
func (d *Driver) begin(ctx context.Context, p place, key string, b begun, a about) (id string, err error) {
	if b.ID, err = p.bucket.initiate(ctx, key, a); err != nil {
		return "", err
	}
	if err := d.journal.add(p, b); err != nil { // a full disk is no reason not to send what is on it
		d.log.WarnContext(ctx, "an upload was not noted; if it cannot be finished, its parts stay in the store", "key", key, "err", err)
	}
	return b.ID, nil
}

// PutPart implements storage.Driver.
func (d *Driver) PutPart(ctx context.Context, s storage.State, u storage.Upload, part storage.Part) (storage.Receipt, error) {
	p, key, id, err := d.upload(s, u)
	if err != nil {
		return storage.Receipt{}, err
	}
	return p.bucket.sendPart(ctx, key, id, part)
}

// sendPart stores a part and answers its receipt.
func (b *bucket) sendPart(ctx context.Context, key, id string, part storage.Part) (storage.Receipt, error) {
	size := part.Size()
	if part.Number < 1 || part.Number > maxParts || size > maxPart {
		return storage.Receipt{}, status.Errorf(status.InvalidArgument,
			"part %d of %d bytes: COS takes parts 1 to %d of at most %d bytes", part.Number, size, maxParts, int64(maxPart))
	}
	r, err := part.Open(ctx)
	if err != nil {
		return storage.Receipt{}, err
	}
	defer r.Close()
	sent, err := b.putPart(ctx, key, id, part.Number, r, size)
	if err != nil {
		return storage.Receipt{}, err
	}
	return receipt(part.Number, sent), nil
}

func receipt(number int, o object) storage.Receipt {
	return storage.Receipt{Number: number, Size: o.size, ETag: o.etag, Checksum: formatCRC(o.crc)}
}

// upload reads a state and an upload.
func (d *Driver) upload(s storage.State, u storage.Upload) (p place, key, id string, err error) {
	var up upload
	if json.Unmarshal(u, &up) != nil || up.ID == "" {
		return place{}, "", "", status.Errorf(status.InvalidArgument, "not an upload of this driver")
	}
	p, key, err = d.file(s, up.Name)
	return p, key, up.ID, err
}

// FinishParts implements storage.Driver.
func (d *Driver) FinishParts(ctx context.Context, s storage.State, u storage.Upload, receipts []storage.Receipt) error {
	p, key, id, err := d.upload(s, u)
	if err != nil {
		return err
	}
	var up upload
	_ = json.Unmarshal(u, &up) // it was read before
	known, _ := d.ledger.known(s)
	_, exists := known[up.Name]
	made, err := d.finish(ctx, p, key, id, receipts, !exists && !d.config.Overwrite)
	if err != nil {
		return err
	}
	d.ledger.put(s, up.Name, made)
	return nil
}

// finish makes the object and compares it with its parts. Whatever Complete answers, or does not, what counts is what is then in the
// store: an answer may be lost, and a second Complete finds no upload any more.
func (d *Driver) finish(ctx context.Context, p place, key, id string, receipts []storage.Receipt, onlyNew bool) (object, error) {
	receipts = slices.SortedFunc(slices.Values(receipts), func(a, b storage.Receipt) int { return a.Number - b.Number })
	want, err := whole(receipts)
	if err != nil {
		return object{}, err
	}
	completed := p.bucket.complete(ctx, key, id, receipts, onlyNew)
	if onlyNew && status.KindOf(completed) == status.AlreadyExists {
		// The object may be what a lost answer was about, or an older one of the same delivery.
		if _, foreign := d.mayWrite(ctx, p, key); foreign != nil {
			return object{}, foreign
		}
		if found, err := d.made(ctx, p, key, want); err == nil {
			d.ended(ctx, p, id)
			return found, nil
		}
		completed = p.bucket.complete(ctx, key, id, receipts, false)
	}
	if completed != nil && ctx.Err() != nil {
		return object{}, completed
	}
	found, err := d.made(ctx, p, key, want)
	switch {
	case err == nil:
		d.ended(ctx, p, id)
		return found, nil
	case completed != nil:
		return object{}, d.blame(ctx, p, key, id, receipts, completed)
	case status.KindOf(err) == status.DataLoss:
		d.discard(ctx, p, key)
		d.ended(ctx, p, id)
		return object{}, err
	default:
		return object{}, err
	}
}

// blame finds out whose fault it is that Complete is refused: the store's, when its parts are not those that it gave receipts for. Nothing
// can come of such an upload, so it is given up.
func (d *Driver) blame(ctx context.Context, p place, key, id string, receipts []storage.Receipt, refused error) error {
	if status.KindOf(refused) != status.InvalidArgument {
		return refused
	}
	have, err := p.bucket.parts(ctx, key, id)
	if err != nil {
		return refused
	}
	for _, r := range receipts {
		if part := have[r.Number]; part.size != r.Size || part.etag != r.ETag {
			if err := d.abortUpload(ctx, p, key, id); err != nil {
				d.log.WarnContext(ctx, "an upload whose parts are spoiled was not given up", "key", key, "err", err)
			}
			return status.Errorf(status.DataLoss, "part %d of %s was stored with %d bytes and the ETag %s, the store reports %d and %q: %w",
				r.Number, key, r.Size, r.ETag, part.size, part.etag, refused)
		}
	}
	return refused
}

// whole is the object that parts make.
func whole(receipts []storage.Receipt) (o object, err error) {
	if len(receipts) == 0 {
		return o, status.Errorf(status.InvalidArgument, "an upload of no part cannot be finished")
	}
	for _, r := range receipts {
		crc, ok := parseCRC(r.Checksum)
		if !ok {
			return o, status.Errorf(status.InvalidArgument, "the receipt of part %d is none of this driver's: it has no CRC64", r.Number)
		}
		o.crc = joinCRC(o.crc, crc, r.Size)
		o.size += r.Size
	}
	return o, nil
}

// made asks whether the delivery's object is there and is as wanted.
func (d *Driver) made(ctx context.Context, p place, key string, want object) (object, error) {
	found, err := p.bucket.stat(ctx, key)
	if err != nil {
		return object{}, err
	}
	if found.owner != p.delivery.ID() {
		return object{}, status.Errorf(status.AlreadyExists, "%s exists in %s", key, p.bucket.host)
	}
	return found, want.compare(key, found)
}

// ended notes that an upload is no more.
func (d *Driver) ended(ctx context.Context, p place, id string) {
	if err := d.journal.remove(p, id); err != nil {
		d.log.WarnContext(ctx, "it was not noted that an upload has ended", "err", err)
	}
}

// discard removes an object of the delivery's that is not what it should be. Better none than that.
func (d *Driver) discard(ctx context.Context, p place, key string) {
	if err := p.bucket.remove(ctx, key); err != nil {
		d.log.WarnContext(ctx, "an object that is not what was sent stays in the store until it is sent again", "key", key, "err", err)
	}
}
