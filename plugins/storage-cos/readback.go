package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// asked is how many questions to the store are under way at once.
const asked = 16

// delivered returns the files of a delivery, each checked against what was sent where this process sent it; none when the main
// file was never put. It asks for no more than it must: one recording in a directory of many is one question.
func (d *Driver) delivered(ctx context.Context, s storage.State, p place) (map[string]object, error) {
	main := p.delivery.Main
	known, isWhole := d.ledger.known(s)
	files := maps.Clone(known)
	if _, put := known[main]; !isWhole || !put || len(known) > 1 {
		var err error
		if files, err = d.find(ctx, s, p); err != nil {
			return nil, err
		}
	}
	for name, sent := range known {
		found, ok := files[name]
		switch {
		case !ok:
			return nil, status.Errorf(status.DataLoss, "%s was put and is not in the store", name)
		case name == main: // looked at below
		case found.size != sent.size || found.etag != sent.etag: // a listing tells no CRC64
			return nil, status.Errorf(status.DataLoss, "%s was put with %d bytes and the ETag %s, the store reports %d and %s",
				name, sent.size, sent.etag, found.size, found.etag)
		}
	}
	if _, put := files[main]; !put {
		return files, ctx.Err()
	}
	found, err := d.lookAtMain(ctx, p)
	if err != nil {
		return nil, err
	}
	files[main] = found
	if sent, ok := known[main]; ok {
		err = sent.compare(main, found)
	}
	return files, err
}

// lookAtMain asks for the file that people open; a listing does not tell everything.
func (d *Driver) lookAtMain(ctx context.Context, p place) (object, error) {
	key, err := d.key(p.delivery, p.delivery.Main)
	if err != nil {
		return object{}, err
	}
	main, err := p.bucket.stat(ctx, key)
	if isNoKey(err) {
		err = status.Errorf(status.DataLoss, "%s was put and is not in the store", p.delivery.Main)
	}
	return main, err
}

// find returns the files below the delivery's directory that are the delivery's, by name.
func (d *Driver) find(ctx context.Context, s storage.State, p place) (map[string]object, error) {
	prefix := path.Join(d.config.Prefix, p.delivery.Dir)
	if prefix != "" {
		prefix += "/"
	}
	known, _ := d.ledger.known(s)
	found := map[string]object{}
	var mu sync.Mutex
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(asked)
	err := p.bucket.list(ctx, prefix, func(key string, o object) {
		name := strings.TrimPrefix(key, prefix)
		if _, ours := known[name]; ours {
			mu.Lock()
			found[name] = o
			mu.Unlock()
			return
		}
		group.Go(func() error {
			about, err := p.bucket.stat(groupCtx, key)
			if isNoKey(err) {
				return nil // it went meanwhile
			}
			if about.owner != p.delivery.ID() {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			found[name] = o
			return err
		})
	})
	if groupErr := group.Wait(); err == nil {
		err = groupErr
	}
	if err == nil {
		err = ctx.Err()
	}
	return found, err
}

// List implements storage.Driver.
func (d *Driver) List(ctx context.Context, s storage.State) ([]storage.Object, error) {
	p, err := d.read(s)
	if err != nil {
		return nil, err
	}
	found, err := d.find(ctx, s, p)
	if err != nil {
		return nil, err
	}
	var objects []storage.Object
	for _, name := range slices.Sorted(maps.Keys(found)) {
		objects = append(objects, storage.Object{Name: name, Size: found[name].size, Modified: found[name].modified.UTC()})
	}
	return objects, nil
}

// owns tells whether a file is there and is the delivery's.
func (d *Driver) owns(ctx context.Context, s storage.State, p place, name, key string) (bool, error) {
	found, err := p.bucket.stat(ctx, key)
	if isNoKey(err) {
		return false, nil
	}
	known, _ := d.ledger.known(s)
	_, ours := known[name]
	return ours || found.owner == p.delivery.ID(), err
}

// Fetch implements storage.Driver. It writes beside the path and then gives the file its name.
func (d *Driver) Fetch(ctx context.Context, s storage.State, name, to string) error {
	p, key, err := d.file(s, name)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(to); err == nil {
		return status.Errorf(status.AlreadyExists, "fetch: %s exists", to)
	}
	ours, err := d.owns(ctx, s, p, name, key)
	if err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	if !ours {
		return status.Errorf(status.NotFound, "fetch: the delivery has no file %q", name)
	}
	beside := to + "." + rand.Text()
	defer os.Remove(beside)
	if err := download(ctx, p.bucket, key, beside); err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	// A link, unlike a rename, replaces nothing.
	if err := os.Link(beside, to); err != nil {
		if errors.Is(err, os.ErrExist) {
			return status.Wrap(status.AlreadyExists, err)
		}
		return failure(ctx, "fetch "+key, err)
	}
	return nil
}

func download(ctx context.Context, b *bucket, key, to string) error {
	file, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return failure(ctx, key, err)
	}
	err = copyTo(ctx, file, b, key)
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return failure(ctx, key, err)
}

func copyTo(ctx context.Context, w io.Writer, b *bucket, key string) error {
	r, stored, err := b.get(ctx, key)
	if err != nil {
		return err
	}
	defer r.Close()
	crc := crc64.New(table())
	n, err := io.Copy(io.MultiWriter(w, crc), r)
	if err != nil {
		return err
	}
	if got := crc.Sum64(); n != stored.size || got != stored.crc {
		return status.Errorf(status.DataLoss,
			"%d bytes with the CRC64 %d came, the store reports %d with %d", n, got, stored.size, stored.crc)
	}
	return nil
}

// Delete implements storage.Driver.
func (d *Driver) Delete(ctx context.Context, s storage.State, name string) error {
	p, key, err := d.file(s, name)
	if err != nil {
		return err
	}
	ours, err := d.owns(ctx, s, p, name, key)
	if err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	if !ours {
		return nil
	}
	if err := p.bucket.remove(ctx, key); err != nil {
		return err
	}
	d.ledger.remove(s, name)
	return nil
}
