package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
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
func (d *Driver) delivered(ctx context.Context, s storage.State, delivery storage.Delivery) (map[string]object, error) {
	known, whole := d.ledger.known(s)
	files := maps.Clone(known)
	if _, main := known[delivery.Main]; !whole || !main || len(known) > 1 {
		var err error
		if files, err = d.find(ctx, s, delivery); err != nil {
			return nil, err
		}
	}
	if _, put := files[delivery.Main]; put {
		main, err := d.lookAtMain(ctx, delivery)
		if err != nil {
			return nil, err
		}
		files[delivery.Main] = main
	}
	for name, sent := range known {
		found, ok := files[name]
		if !ok {
			return nil, status.Errorf(status.DataLoss, "%s was put and is not in the store", name)
		}
		if err := sent.compare(name, found); err != nil {
			return nil, err
		}
	}
	return files, ctx.Err()
}

// lookAtMain asks for the file that people open; a listing does not tell everything.
func (d *Driver) lookAtMain(ctx context.Context, delivery storage.Delivery) (object, error) {
	key, err := d.key(delivery, delivery.Main)
	if err != nil {
		return object{}, err
	}
	main, err := d.objects.stat(ctx, key)
	if status.KindOf(err) == status.NotFound {
		err = status.Errorf(status.DataLoss, "%s was put and is not in the store", delivery.Main)
	}
	return main, err
}

// find returns the files below the delivery's directory that are the delivery's, by name.
func (d *Driver) find(ctx context.Context, s storage.State, delivery storage.Delivery) (map[string]object, error) {
	prefix := path.Join(d.config.Prefix, delivery.Dir)
	if prefix != "" {
		prefix += "/"
	}
	known, _ := d.ledger.known(s)
	found := map[string]object{}
	var mu sync.Mutex
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(asked)
	err := d.objects.list(ctx, prefix, func(key string, o object) {
		name := strings.TrimPrefix(key, prefix)
		if _, ours := known[name]; ours {
			mu.Lock()
			found[name] = o
			mu.Unlock()
			return
		}
		group.Go(func() error {
			about, err := d.objects.stat(groupCtx, key)
			if status.KindOf(err) == status.NotFound {
				return nil // it went meanwhile
			}
			if err != nil || about.owner != delivery.ID() {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			found[name] = o
			return nil
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
	delivery, err := deliveryOf(s)
	if err != nil {
		return nil, err
	}
	found, err := d.find(ctx, s, delivery)
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
func (d *Driver) owns(ctx context.Context, s storage.State, delivery storage.Delivery, name, key string) (bool, error) {
	found, err := d.objects.stat(ctx, key)
	if status.KindOf(err) == status.NotFound {
		return false, nil
	}
	known, _ := d.ledger.known(s)
	_, ours := known[name]
	return ours || found.owner == delivery.ID(), err
}

// Fetch implements storage.Driver. It writes beside the path and then gives the file its name.
func (d *Driver) Fetch(ctx context.Context, s storage.State, name, to string) error {
	delivery, key, err := d.file(s, name)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(to); err == nil {
		return status.Errorf(status.AlreadyExists, "fetch: %s exists", to)
	}
	ours, err := d.owns(ctx, s, delivery, name, key)
	if err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	if !ours {
		return status.Errorf(status.NotFound, "fetch: the delivery has no file %q", name)
	}
	beside := to + "." + rand.Text()
	defer os.Remove(beside)
	if err := d.download(ctx, key, beside); err != nil {
		return failure(ctx, "fetch "+key, err)
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

func (d *Driver) download(ctx context.Context, key, to string) error {
	file, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = d.copyTo(ctx, file, key)
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (d *Driver) copyTo(ctx context.Context, w io.Writer, key string) error {
	r, err := d.bucket.NewReader(ctx, key, nil)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(w, untilEnd{ctx, r})
	return err
}

// untilEnd is a reader that ends with its context. fileblob's own readers do not.
type untilEnd struct {
	ctx context.Context //nolint:containedctx // io.Reader has none, and the reader lives within the call
	io.Reader
}

func (u untilEnd) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.Reader.Read(p)
}

// Delete implements storage.Driver.
func (d *Driver) Delete(ctx context.Context, s storage.State, name string) error {
	delivery, key, err := d.file(s, name)
	if err != nil {
		return err
	}
	ours, err := d.owns(ctx, s, delivery, name, key)
	if err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	if !ours {
		return nil
	}
	if err := d.bucket.Delete(ctx, key); err != nil && kindOf(err) != status.NotFound {
		return failure(ctx, "delete "+key, err)
	}
	d.ledger.remove(s, name)
	return nil
}
