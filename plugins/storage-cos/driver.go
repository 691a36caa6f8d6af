package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// atOnce is how many parts of one file are sent at the same time.
const atOnce = 4

// afterwards bounds what is still done when the caller has given up, and what is only tidying up.
const afterwards = 10 * time.Second

// Driver keeps recordings in COS. Each object names the delivery that it belongs to, so a driver that was started anew finds its
// delivery's files in the store; only uploads that are on their way are remembered on disk.
type Driver struct {
	config      Config
	log         *slog.Logger
	keys        *keys
	connections *http.Transport
	http        *http.Client

	ledger  ledger
	journal journal
}

var _ storage.Driver = (*Driver)(nil)

// Close implements io.Closer.
func (d *Driver) Close() error { //nolint:unparam // of io.Closer
	d.connections.CloseIdleConnections()
	return nil
}

// Capabilities implements storage.Driver, as tencentcloud.com/document/product/436/14518 has them.
func (d *Driver) Capabilities(context.Context) (storage.Capabilities, error) {
	return storage.Capabilities{
		Parts: true, OutOfOrder: true, MinPartSize: minPart, MaxPartSize: maxPart, MaxParts: maxParts, ReadBack: true, Folders: true,
	}, nil
}

// Check implements storage.Driver: it writes a small object, looks at it and removes it, and begins an upload in parts and gives it up.
func (d *Driver) Check(ctx context.Context) error {
	if err := d.check(ctx); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	return nil
}

func (d *Driver) check(ctx context.Context) error {
	b, err := d.open(d.config.Bucket, d.config.Region)
	if err != nil {
		return err
	}
	key := path.Join(d.config.Prefix, ".recordhost-check-"+rand.Text())
	content := "recordhost was here to see whether it can write"
	a := about{owner: "check", contentType: "text/plain", class: d.config.StorageClass, onlyNew: true}
	sent, err := b.put(ctx, key, strings.NewReader(content), int64(len(content)), a)
	if err != nil {
		return err
	}
	err = d.verify(ctx, b, key, sent)
	// It goes even when the caller gave up meanwhile.
	removeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	if removeErr := b.remove(removeCtx, key); err == nil {
		err = removeErr
	}
	if err != nil {
		return err
	}
	upload, err := b.initiate(ctx, key, a)
	if err != nil {
		return err
	}
	return b.abort(removeCtx, key, upload)
}

// Open implements storage.Driver.
func (d *Driver) Open(ctx context.Context, delivery storage.Delivery) (storage.State, error) {
	p, err := d.place(delivery)
	if err != nil {
		return nil, err
	}
	key, err := d.key(delivery, delivery.Main)
	if err != nil {
		return nil, err
	}
	if _, err := d.mayWrite(ctx, p, key); err != nil {
		return nil, err
	}
	s, err := json.Marshal(state{Delivery: delivery, Nonce: rand.Text()})
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	d.ledger.open(s)
	return s, nil
}

// mayWrite refuses a key that is somebody else's, and tells whether there is an object.
func (d *Driver) mayWrite(ctx context.Context, p place, key string) (exists bool, err error) {
	found, err := p.bucket.stat(ctx, key)
	switch {
	case isNoKey(err):
		return false, nil
	case err != nil:
		return false, err
	case !d.config.Overwrite && found.owner != p.delivery.ID():
		return true, status.Errorf(status.AlreadyExists, "%s exists in %s", key, p.bucket.host)
	default:
		return true, nil
	}
}

// Put implements storage.Driver.
func (d *Driver) Put(ctx context.Context, s storage.State, f storage.File) error {
	p, key, err := d.file(s, f.Name)
	if err != nil {
		return err
	}
	known, _ := d.ledger.known(s)
	_, exists := known[f.Name]
	if !exists {
		if exists, err = d.mayWrite(ctx, p, key); err != nil {
			return err
		}
	}
	onlyNew := !exists && !d.config.Overwrite
	sent, err := d.send(ctx, p, key, f, onlyNew)
	if onlyNew && status.KindOf(err) == status.AlreadyExists {
		// It may be the delivery's own: sent by a process that is gone, and on its way when we looked.
		if _, foreign := d.mayWrite(ctx, p, key); foreign != nil {
			return foreign
		}
		sent, err = d.send(ctx, p, key, f, false)
	}
	if err != nil {
		return err
	}
	d.ledger.put(s, f.Name, sent)
	return nil
}

// send stores a file, in one request where it is small.
func (d *Driver) send(ctx context.Context, p place, key string, f storage.File, onlyNew bool) (object, error) {
	a := d.about(p, f.ContentType)
	if f.Size > maxWhole {
		return d.sendParts(ctx, p, key, f, a, onlyNew)
	}
	r, err := f.Open(ctx)
	if err != nil {
		return object{}, err
	}
	defer r.Close()
	a.onlyNew = onlyNew
	sent, err := p.bucket.put(ctx, key, r, f.Size, a)
	if err != nil {
		return object{}, err
	}
	return sent, d.verify(ctx, p.bucket, key, sent)
}

// about is what is kept with the objects of a delivery.
func (d *Driver) about(p place, contentType string) about {
	return about{owner: p.delivery.ID(), contentType: contentType, class: d.config.StorageClass}
}

// verify asks the store whether an object is what was sent.
func (d *Driver) verify(ctx context.Context, b *bucket, key string, sent object) error {
	found, err := b.stat(ctx, key)
	if err != nil {
		if isNoKey(err) {
			err = status.Errorf(status.DataLoss, "%s was stored and is not there", key)
		}
		return err
	}
	return sent.compare(key, found)
}

// compare refuses an object of the store that differs from what was sent.
func (o object) compare(key string, found object) error {
	if found.size != o.size {
		return status.Errorf(status.DataLoss, "%s: %d bytes were sent, the store reports %d", key, o.size, found.size)
	}
	if found.crc != o.crc {
		return status.Errorf(status.DataLoss, "%s: what was sent has the CRC64 %d, the store reports %d", key, o.crc, found.crc)
	}
	return nil
}

// Commit implements storage.Driver. Uploads that were begun for the delivery and not finished are removed with it.
func (d *Driver) Commit(ctx context.Context, s storage.State) (storage.Location, error) {
	p, err := d.read(s)
	if err != nil {
		return storage.Location{}, err
	}
	key, err := d.key(p.delivery, p.delivery.Main)
	if err != nil {
		return storage.Location{}, err
	}
	files, err := d.delivered(ctx, s, p)
	if err != nil {
		return storage.Location{}, fmt.Errorf("commit: %w", err)
	}
	main, ok := files[p.delivery.Main]
	if !ok {
		return storage.Location{}, status.Errorf(status.FailedPrecondition, "commit: %s was never put", p.located(key))
	}
	l := storage.Location{Name: p.delivery.Main, URL: p.located(key), Checksum: formatCRC(main.crc)}
	for _, f := range files {
		l.Size += f.size
	}
	if err := d.abortUploads(ctx, p); err != nil {
		d.log.WarnContext(ctx, "parts of an upload stay in the store until its lifecycle rule removes them", "key", key, "err", err)
	}
	d.ledger.commit(s)
	return l, nil
}

// Abort implements storage.Driver. It does not remove what this process has committed.
func (d *Driver) Abort(ctx context.Context, s storage.State) error {
	p, err := d.read(s)
	if err != nil {
		return err
	}
	if d.ledger.committed(s) {
		return ctx.Err()
	}
	if err := d.abortUploads(ctx, p); err != nil {
		return fmt.Errorf("abort: %w", err)
	}
	objects, err := d.List(ctx, s)
	if err != nil {
		return fmt.Errorf("abort: %w", err)
	}
	for _, o := range objects {
		if err := d.Delete(ctx, s, o.Name); err != nil {
			return fmt.Errorf("abort: %w", err)
		}
	}
	d.ledger.forget(s)
	return nil
}

// abortUploads gives up what was begun for a delivery and not finished.
func (d *Driver) abortUploads(ctx context.Context, p place) error {
	list, err := d.journal.uploads(p)
	if err != nil {
		return failure(ctx, "read which uploads were begun", err)
	}
	for _, u := range list {
		key, err := d.key(p.delivery, u.Name)
		if err != nil {
			return err
		}
		if err := d.abortUpload(ctx, p, key, u.ID); err != nil {
			return err
		}
	}
	return nil
}

func (d *Driver) abortUpload(ctx context.Context, p place, key, upload string) error {
	if err := p.bucket.abort(ctx, key, upload); err != nil {
		return err
	}
	return failure(ctx, "note that an upload has ended", d.journal.remove(p, upload))
}
