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

// sendParts stores a file that is not small, several parts at a time. Those that a former try has stored, also one in a process that is
// gone, are not sent again.
func (d *Driver) sendParts(ctx context.Context, p place, key string, f storage.File, a about, onlyNew bool) (object, error) {
	if err := checked(ctx, f); err != nil {
		return object{}, err
	}
	id, have, err := d.goOn(ctx, p, key, f, a)
	if err != nil {
		return object{}, err
	}
	pieces := cut(f)
	receipts := make([]storage.Receipt, len(pieces))
	var group errgroup.Group // without a context: parts that are under way when one fails are not sent in vain
	var failed atomic.Bool
	group.SetLimit(atOnce)
	for i, piece := range pieces {
		if failed.Load() {
			break
		}
		group.Go(func() (err error) {
			if receipts[i], err = p.bucket.sendOrKeep(ctx, key, id, piece, have[piece.Number]); err != nil {
				failed.Store(true)
			}
			return err
		})
	}
	err = group.Wait()
	var made object
	if err == nil {
		made, err = d.finish(ctx, p, key, id, receipts, onlyNew)
	}
	if err == nil || ctx.Err() != nil || status.Retryable(err) || status.KindOf(err) == status.AlreadyExists {
		return made, err
	}
	// It will not be gone on with.
	tidyCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	if tidyErr := d.abortUpload(tidyCtx, p, key, id); tidyErr != nil {
		d.log.WarnContext(ctx, "the parts of an upload that failed were not removed", "key", key, "err", tidyErr)
	}
	return object{}, err
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

// goOn finds the upload of a former try and its parts, or begins one. Others of the same file are given up.
func (d *Driver) goOn(ctx context.Context, p place, key string, f storage.File, a about) (id string, have map[int]object, err error) {
	wanted := begun{Name: f.Name, Size: f.Size, Part: partSize(f.Size)}
	list, err := d.journal.uploads(p)
	if err != nil {
		return "", nil, failure(ctx, "read which uploads were begun", err)
	}
	for _, u := range list {
		if u.Name != f.Name || u.Size == 0 { // another file, or one that grows
			continue
		}
		if u.Size == wanted.Size && u.Part == wanted.Part && have == nil {
			found, err := p.bucket.parts(ctx, key, u.ID)
			if err == nil {
				id, have = u.ID, found
				continue
			}
			if !isNoKey(err) {
				return "", nil, err
			}
		}
		if err := d.abortUpload(ctx, p, key, u.ID); err != nil {
			return "", nil, err
		}
	}
	if have != nil {
		return id, have, nil
	}
	id, err = d.begin(ctx, p, key, wanted, a)
	return id, nil, err
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
