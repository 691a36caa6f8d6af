package main

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"path"
	"strings"
	"time"

	"gocloud.dev/blob"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// Driver keeps recordings in a bucket. Each object names the delivery that it belongs to, so that nothing of this has to be
// remembered: a driver that was started anew finds its delivery's files in the store.
type Driver struct {
	storage.NoParts

	config  Config
	log     *slog.Logger
	url     *url.URL
	bucket  *blob.Bucket
	objects objects
	parts   partStore // nil where the store takes whole files only

	ledger ledger
}

var _ storage.Driver = (*Driver)(nil)

// state is what a storage.State holds.
type state struct {
	Delivery storage.Delivery `json:"delivery"`
	Nonce    string           `json:"nonce"` // tells this Open from others of the same delivery
}

// Close implements io.Closer.
func (d *Driver) Close() error { return d.bucket.Close() }

// Capabilities implements storage.Driver.
func (d *Driver) Capabilities(context.Context) (storage.Capabilities, error) {
	var can storage.Capabilities
	if d.parts != nil {
		can = d.parts.capabilities()
	}
	can.ReadBack, can.Folders = true, true
	return can, nil
}

// Check implements storage.Driver: it writes a small object, looks at it and removes it.
func (d *Driver) Check(ctx context.Context) error {
	key := path.Join(d.config.Prefix, ".recordhost-check-"+rand.Text())
	content := "recordhost was here to see whether it can write"
	err := d.objects.write(ctx, key, strings.NewReader(content), writeOptions{
		owner: "check", contentType: "text/plain", size: int64(len(content)),
	})
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	found, err := d.objects.stat(ctx, key)
	if err == nil && found.size != int64(len(content)) {
		err = status.Errorf(status.DataLoss, "%d bytes were written, the store reports %d", len(content), found.size)
	}
	// It goes even when the caller gave up meanwhile.
	removeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if removeErr := d.bucket.Delete(removeCtx, key); removeErr != nil && err == nil {
		err = failure(removeCtx, "remove "+key, removeErr)
	}
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	return nil
}

// Open implements storage.Driver.
func (d *Driver) Open(ctx context.Context, delivery storage.Delivery) (storage.State, error) {
	if err := checkTarget(delivery.Target); err != nil {
		return nil, err
	}
	key, err := d.key(delivery, delivery.Main)
	if err != nil {
		return nil, err
	}
	if _, err := d.mayWrite(ctx, delivery, key, false); err != nil {
		return nil, err
	}
	s, err := json.Marshal(state{Delivery: delivery, Nonce: rand.Text()})
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	d.ledger.open(s)
	return s, nil
}

// mayWrite refuses a key that is somebody else's, and tells whether there is an object. ours says that this process put it there.
func (d *Driver) mayWrite(ctx context.Context, delivery storage.Delivery, key string, ours bool) (exists bool, err error) {
	found, err := d.objects.stat(ctx, key)
	switch {
	case status.KindOf(err) == status.NotFound:
		return false, nil
	case err != nil:
		return false, err
	case !d.mayReplace(delivery, found, ours):
		return true, status.Errorf(status.AlreadyExists, "%s exists", d.location(key))
	default:
		return true, nil
	}
}

func (d *Driver) mayReplace(delivery storage.Delivery, found object, ours bool) bool {
	return ours || d.config.Overwrite || found.owner == delivery.ID()
}

// place has write put a file under key, and has the store refuse it when another came there since it was seen that none exists.
func (d *Driver) place(
	ctx context.Context, delivery storage.Delivery, key string, exists bool, write func(onlyNew bool) error,
) error {
	if exists || d.config.Overwrite {
		return write(false)
	}
	err := write(true)
	switch status.KindOf(err) {
	case status.Unimplemented:
		// Not every store that speaks S3 knows conditional writes.
		return write(false)
	case status.AlreadyExists:
		// It may be the delivery's own: sent by a process that is gone, and on its way when we looked.
		if _, foreign := d.mayWrite(ctx, delivery, key, false); foreign != nil {
			return foreign
		}
		return write(false)
	default:
		return err
	}
}

// Put implements storage.Driver.
func (d *Driver) Put(ctx context.Context, s storage.State, f storage.File) error {
	delivery, key, err := d.file(s, f.Name)
	if err != nil {
		return err
	}
	exists, err := d.mayWrite(ctx, delivery, key, d.ledger.has(s, f.Name))
	if err != nil {
		return err
	}
	o := writeOptions{owner: delivery.ID(), contentType: contentTypeOf(f.ContentType), size: f.Size}
	sent := object{size: f.Size}
	err = d.place(ctx, delivery, key, exists, func(onlyNew bool) (err error) {
		o.onlyNew = onlyNew
		sent.md5, err = d.send(ctx, key, f, o)
		return err
	})
	if err != nil {
		return err
	}
	found, err := d.objects.stat(ctx, key)
	if err != nil {
		return err
	}
	if err := sent.compare(key, found); err != nil {
		return err
	}
	if len(found.md5) == 0 {
		sent.md5 = nil // what a listing calls its MD5 may be something else
	}
	d.ledger.put(s, f.Name, sent)
	return nil
}

// send writes a local file to the store, and returns the MD5 of what was sent where the store may tell its own.
func (d *Driver) send(ctx context.Context, key string, f storage.File, o writeOptions) ([]byte, error) {
	r, err := f.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if d.url.Scheme == "file" {
		return nil, d.objects.write(ctx, key, r, o)
	}
	sum := md5.New()
	if err := d.objects.write(ctx, key, io.TeeReader(r, sum), o); err != nil {
		return nil, err
	}
	return sum.Sum(nil), nil
}

// compare refuses an object of the store that differs from what was sent, as far as the store tells.
func (o object) compare(key string, found object) error {
	if found.size != o.size {
		return status.Errorf(status.DataLoss, "%s: %d bytes were sent, the store reports %d", key, o.size, found.size)
	}
	if len(found.md5) > 0 && len(o.md5) > 0 && !bytes.Equal(found.md5, o.md5) {
		return status.Errorf(status.DataLoss, "%s: what was sent has the MD5 %x, the store reports %x", key, o.md5, found.md5)
	}
	return nil
}

// Commit implements storage.Driver.
func (d *Driver) Commit(ctx context.Context, s storage.State) (storage.Location, error) {
	delivery, err := deliveryOf(s)
	if err != nil {
		return storage.Location{}, err
	}
	key, err := d.key(delivery, delivery.Main)
	if err != nil {
		return storage.Location{}, err
	}
	files, err := d.delivered(ctx, s, delivery)
	if err != nil {
		return storage.Location{}, fmt.Errorf("commit: %w", err)
	}
	main, ok := files[delivery.Main]
	if !ok {
		return storage.Location{}, status.Errorf(status.FailedPrecondition, "commit: %s was never put", d.location(key))
	}
	l := storage.Location{Name: delivery.Main, URL: d.location(key)}
	if len(main.md5) > 0 {
		l.Checksum = "md5:" + hex.EncodeToString(main.md5)
	}
	for _, f := range files {
		l.Size += f.size
	}
	d.ledger.commit(s)
	// An upload that another way of sending made needless. This process knows of those that it began.
	if _, whole := d.ledger.known(s); !whole || len(d.ledger.begun(s)) > 0 {
		if err := d.abandon(ctx, s, delivery); err != nil {
			d.log.WarnContext(ctx, "parts of an upload may stay in the store", "key", key, "err", err)
		}
	}
	return l, nil
}

// Abort implements storage.Driver. It does not remove files that this process has committed.
func (d *Driver) Abort(ctx context.Context, s storage.State) error {
	delivery, err := deliveryOf(s)
	if err != nil {
		return err
	}
	if !d.ledger.committed(s) {
		if err := d.removeAll(ctx, s); err != nil {
			return fmt.Errorf("abort: %w", err)
		}
	}
	if err := d.abandon(ctx, s, delivery); err != nil {
		return fmt.Errorf("abort: %w", err)
	}
	if !d.ledger.committed(s) {
		d.ledger.forget(s)
	}
	return ctx.Err()
}

func (d *Driver) removeAll(ctx context.Context, s storage.State) error {
	objects, err := d.List(ctx, s)
	if err != nil {
		return err
	}
	for _, o := range objects {
		if err := d.Delete(ctx, s, o.Name); err != nil {
			return err
		}
	}
	return nil
}

// location is where an object can be had.
func (d *Driver) location(key string) string {
	escaped := (&url.URL{Path: "/" + key}).EscapedPath()
	switch {
	case d.config.BaseURL != "":
		return strings.TrimSuffix(d.config.BaseURL, "/") + escaped
	case d.url.Scheme == "file":
		return (&url.URL{Scheme: "file", Path: path.Join(d.url.Path, key)}).String()
	default:
		return d.url.Scheme + "://" + d.url.Host + escaped
	}
}

// key is the name of a file in the bucket.
func (d *Driver) key(delivery storage.Delivery, name string) (string, error) {
	key, err := delivery.Key(name)
	if err != nil {
		return "", err
	}
	key = path.Join(d.config.Prefix, key)
	return key, d.objects.check(key)
}

// deliveryOf reads a state.
func deliveryOf(s storage.State) (storage.Delivery, error) {
	var st state
	if err := json.Unmarshal(s, &st); err != nil || st.Nonce == "" {
		return st.Delivery, status.Errorf(status.InvalidArgument, "not a state of this driver")
	}
	return st.Delivery, nil
}

// file reads a state and returns the key of one of its files.
func (d *Driver) file(s storage.State, name string) (storage.Delivery, string, error) {
	delivery, err := deliveryOf(s)
	if err != nil {
		return delivery, "", err
	}
	key, err := d.key(delivery, name)
	return delivery, key, err
}

// checkTarget refuses settings of the request that this store does not have. Directory and name are in the delivery already.
func checkTarget(target []byte) error {
	if len(target) == 0 {
		return nil
	}
	var settings map[string]json.RawMessage
	if err := json.Unmarshal(target, &settings); err != nil {
		return status.Errorf(status.InvalidArgument, "target: not a JSON object")
	}
	for name, value := range settings {
		if name != "TargetDir" && name != "TargetName" && string(value) != "null" && string(value) != `""` {
			return status.Errorf(status.InvalidArgument, "target: %s is no setting of this storage", name)
		}
	}
	return nil
}
