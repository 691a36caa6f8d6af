package main

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"hash/crc64"
	"io"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

const (
	maxWhole  = 16 << 20 // bytes that are sent in one request
	partBytes = 8 << 20  // of the parts of what is larger
)

// sendParts stores a file that is not small, several parts at a time. What a former try has stored, also one in a process that is gone,
// is not sent again.
func (d *Driver) sendParts(ctx context.Context, p place, key string, f storage.File, a about, onlyNew bool) (object, error) {
	if err := checked(ctx, f); err != nil {
		return object{}, err
	}
	had, err := d.former(ctx, p, key, f)
	if err != nil || had.complete {
		return had.made, err
	}
	if had.id == "" {
		if had.id, err = d.begin(ctx, p, key, begun{Name: f.Name, Size: f.Size, Part: partSize(f.Size)}, a); err != nil {
			return object{}, err
		}
	}
	receipts, err := p.bucket.sendPieces(ctx, key, had, cut(f))
	var made object
	if err == nil {
		made, err = d.finish(ctx, p, key, had.id, receipts, onlyNew)
	}
	if err == nil || ctx.Err() != nil || status.Retryable(err) {
		return made, err
	}
	// It will not be gone on with.
	if tidyErr := d.abortUpload(ctx, p, key, had.id); tidyErr != nil {
		d.log.WarnContext(ctx, "the parts of an upload that failed were not removed", "key", key, "err", tidyErr)
	}
	return object{}, err
}

// sendPieces stores the pieces of a file that the store does not have, and answers the receipts of all. Pieces that are under way when one
// fails are not sent in vain: no more are begun, and that is all.
func (b *bucket) sendPieces(ctx context.Context, key string, had former, pieces []storage.Part) ([]storage.Receipt, error) {
	receipts := make([]storage.Receipt, len(pieces))
	var failed atomic.Bool
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i, piece := range pieces {
		if failed.Load() {
			break
		}
		group.Go(func() (err error) {
			if receipts[i], err = b.sendOrKeep(ctx, key, had.id, piece, had.parts[piece.Number]); err != nil {
				failed.Store(true)
			}
			return err
		})
	}
	return receipts, group.Wait()
}

// checked reads a file once where its checksum is stated: of parts that are sent side by side it cannot be computed on the way.
func checked(ctx context.Context, f storage.File) error {
	r, err := f.Open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	if f.SHA256 == nil {
		return nil
	}
	_, err = io.Copy(io.Discard, r)
	return err
}

// former is what a former try to send a file has left in the store.
type former struct {
	id       string         // of its upload; empty: there is none
	parts    map[int]object // of the upload
	complete bool           // made is the object that it made
	made     object
}

// former finds what a former try has left. Uploads that cannot be gone on with are given up.
func (d *Driver) former(ctx context.Context, p place, key string, f storage.File) (had former, err error) {
	list, err := d.journal.uploads(p)
	if err != nil {
		return had, failure(ctx, "read which uploads were begun", err)
	}
	for _, u := range list {
		if u.Name != f.Name || u.Size == 0 { // another file, or one that grows
			continue
		}
		if u.Size == f.Size && u.Part == partSize(f.Size) && had.id == "" {
			parts, err := p.bucket.parts(ctx, key, u.ID)
			if err == nil {
				had.id, had.parts = u.ID, parts
				continue
			}
			if !isNoKey(err) {
				return had, err
			}
			if had.made, had.complete, err = d.completed(ctx, p, key, f); err != nil {
				return had, err
			}
		}
		if err := d.abortUpload(ctx, p, key, u.ID); err != nil {
			return had, err
		}
	}
	return had, nil
}

// completed tells whether an upload that is no more has become this file.
func (d *Driver) completed(ctx context.Context, p place, key string, f storage.File) (made object, ok bool, err error) {
	r, err := f.Open(ctx)
	if err != nil {
		return made, false, err
	}
	defer r.Close()
	crc := crc64.New(table())
	if _, err := io.Copy(crc, r); err != nil {
		return made, false, err
	}
	made, err = d.made(ctx, p, key, object{size: f.Size, crc: crc.Sum64()})
	if kind := status.KindOf(err); err != nil && (kind == status.NotFound || kind == status.AlreadyExists || kind == status.DataLoss) {
		return made, false, nil // it was given up, or it is another's or an older one
	}
	return made, err == nil, err
}

// sendOrKeep stores a part unless the store has it, byte for byte: a part's ETag is the MD5 of its content.
func (b *bucket) sendOrKeep(ctx context.Context, key, id string, piece storage.Part, have object) (storage.Receipt, error) {
	if have.etag == "" || have.size != piece.Size() {
		return b.sendPart(ctx, key, id, piece)
	}
	r, err := piece.Open(ctx)
	if err != nil {
		return storage.Receipt{}, err
	}
	defer r.Close()
	digest, crc := md5.New(), crc64.New(table()) // against accidents, as the store's own
	if _, err := io.Copy(io.MultiWriter(digest, crc), r); err != nil {
		return storage.Receipt{}, failure(ctx, "read "+key, err)
	}
	if have.etag != `"`+hex.EncodeToString(digest.Sum(nil))+`"` {
		return b.sendPart(ctx, key, id, piece)
	}
	have.crc = crc.Sum64()
	return receipt(piece.Number, have), nil
}

// partSize is how large the parts of a file are: 8 MiB, or so many whole MiB that there are not too many.
func partSize(size int64) int64 {
	const mib = 1 << 20
	if size <= partBytes*maxParts {
		return partBytes
	}
	return ((size-1)/maxParts/mib + 1) * mib
}

// cut cuts a file into its parts.
func cut(f storage.File) []storage.Part {
	extents := f.Extents
	if extents == nil {
		extents = []storage.Extent{{Path: f.Path, Length: f.Size}}
	}
	size := partSize(f.Size)
	var parts []storage.Part
	room := int64(0) // in the last part
	for _, e := range extents {
		for e.Length > 0 {
			if room == 0 {
				parts, room = append(parts, storage.Part{Number: len(parts) + 1}), size
			}
			piece := e
			piece.Length = min(e.Length, room)
			last := &parts[len(parts)-1]
			last.Extents = append(last.Extents, piece)
			e.Offset, e.Length, room = e.Offset+piece.Length, e.Length-piece.Length, room-piece.Length
		}
	}
	return parts
}
