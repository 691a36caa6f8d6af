package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// Driver makes media of recordings. A delivery is a session of ApplyUpload: its files go to the session's place in a bucket of VOD's,
// with the session's keys, and CommitUpload makes a media of them. Without it nothing is ever seen of them, and however often it
// is called the session has one media. When session or keys expire before, the delivery is opened anew (FailedPrecondition).
type Driver struct {
	storage.NoReadBack

	config    Config
	log       *slog.Logger
	transport *http.Transport
	sealer    sealer
	vod       *vod
	records   *records
	singlePut int64 // bytes from which on a file is sent in parts
	now       func() time.Time
}

var _ storage.Driver = (*Driver)(nil)

// Limits of the store, cloud.tencent.com/document/product/436/14518.
const (
	minPart  = 1 << 20
	maxPart  = 5 << 30
	maxParts = 10000
)

// Close implements io.Closer.
func (d *Driver) Close() error { //nolint:unparam // so io.Closer has it
	d.transport.CloseIdleConnections()
	return nil
}

// Capabilities implements storage.Driver.
func (d *Driver) Capabilities(context.Context) (storage.Capabilities, error) {
	return storage.Capabilities{
		Parts: true, OutOfOrder: true, MinPartSize: minPart, MaxPartSize: maxPart, MaxParts: maxParts, Folders: true,
	}, nil
}

// cleanWithin bounds the removal of what Check has written. It goes on when the caller has given up.
const cleanWithin = 10 * time.Second

// Check implements storage.Driver: it begins a session and writes a small object, and never makes a media of it.
func (d *Driver) Check(ctx context.Context) error {
	a := d.apply(storage.Delivery{Main: "recordhost-check.mp4"}, target{}, uint64(d.config.SubAppID))
	a.Procedure = ""
	session, err := d.vod.apply(ctx, a)
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	st, err := d.newState(storage.Delivery{}, a.SubAppID, session)
	if err != nil {
		return err
	}
	bucket, err := d.open(st)
	if err != nil {
		return err
	}
	content := "recordhost was here to see whether it can write"
	_, err = bucket.put(ctx, st.Path, strings.NewReader(content), int64(len(content)), "text/plain")
	removeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanWithin)
	defer cancel()
	if removeErr := bucket.remove(removeCtx, st.Path); removeErr != nil && !isDenied(removeErr) && err == nil {
		err = removeErr
	}
	if isLost(err) { // just begun: it is no matter of time
		err = status.Wrap(status.PermissionDenied, err)
	}
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	return nil
}

// open returns the store of a session.
func (d *Driver) open(st state) (*store, error) {
	x, err := d.sealer.open(st)
	if err != nil {
		return nil, err
	}
	return d.store(st, x)
}

// Open implements storage.Driver. While the session of an earlier call can still be used, it answers that.
func (d *Driver) Open(ctx context.Context, delivery storage.Delivery) (storage.State, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t, err := parseTarget(delivery.Target)
	if err != nil {
		return nil, err
	}
	subApp, err := d.application(t)
	if err != nil {
		return nil, err
	}
	if _, err := delivery.Key(delivery.Main); err != nil {
		return nil, err
	}
	if s, ok := d.known(delivery); ok {
		return s, nil
	}
	session, err := d.vod.apply(ctx, d.apply(delivery, t, subApp))
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	st, err := d.newState(delivery, subApp, session)
	if err != nil {
		return nil, err
	}
	s, err := st.encode()
	if err != nil {
		return nil, err
	}
	if err := d.records.begin(delivery, s); err != nil {
		d.log.WarnContext(ctx, "a session's record cannot be written", "err", err)
	}
	return s, nil
}

// known is the delivery's session on this machine, while it can be used.
func (d *Driver) known(delivery storage.Delivery) (storage.State, bool) {
	r := d.records.of(delivery)
	if r.state == nil {
		return nil, false
	}
	st, err := parseState(r.state)
	if err != nil || !reflect.DeepEqual(st.Delivery, delivery) || st.expired(d.now()) {
		return nil, false
	}
	if _, err := d.sealer.open(st); err != nil {
		return nil, false
	}
	return r.state, true
}

// place reads a state, and returns the store and the key of one of its files.
func (d *Driver) place(ctx context.Context, s storage.State, name string) (state, *store, string, error) {
	st, err := parseState(s)
	if err != nil {
		return st, nil, "", err
	}
	key, err := st.key(name)
	if err != nil {
		return st, nil, "", err
	}
	if err := ctx.Err(); err != nil {
		return st, nil, "", err
	}
	if st.expired(d.now()) {
		return st, nil, "", d.lost(ctx, st, s, errLost("its keys expired at %s", st.Expires.Format(time.RFC3339)))
	}
	bucket, err := d.open(st)
	return st, bucket, key, d.lost(ctx, st, s, err)
}

// lost forgets the session when err says that it is over, so that the next Open begins another one.
func (d *Driver) lost(ctx context.Context, st state, s storage.State, err error) error {
	if isLost(err) {
		if failed := d.records.forget(st.Delivery, s); failed != nil {
			d.log.WarnContext(ctx, "a session is over", "task_id", st.Delivery.TaskID, "err", failed)
		}
	}
	return err
}

// Put implements storage.Driver.
func (d *Driver) Put(ctx context.Context, s storage.State, f storage.File) error {
	st, bucket, key, err := d.place(ctx, s, f.Name)
	if err != nil {
		return err
	}
	r, err := f.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	contentType := f.ContentType
	if contentType == "" {
		contentType = "application/octet-stream"
	}
	var crc uint64
	if f.Size < d.singlePut {
		crc, err = bucket.put(ctx, key, r, f.Size, contentType)
	} else {
		crc, err = putInParts(ctx, bucket, key, r, f.Size, contentType)
	}
	if err != nil {
		return d.lost(ctx, st, s, err)
	}
	d.records.note(st.Delivery, s, line{File: &stored{Name: f.Name, Size: f.Size, CRC64: crc}})
	return nil
}

// putInParts sends a large file. Until the last part is there and found right, nothing is seen of it.
func putInParts(ctx context.Context, bucket *store, key string, r io.Reader, size int64, contentType string) (crc uint64, err error) {
	id, err := bucket.begin(ctx, key, contentType)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			abortCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanWithin)
			defer cancel()
			_ = bucket.abort(abortCtx, key, id) // what stays is not seen, and goes with the session
		}
	}()
	part := max(16<<20, (size/maxParts/minPart+1)*minPart)
	var receipts []storage.Receipt
	for sent := int64(0); sent < size; sent += part {
		n := min(part, size-sent)
		receipt, err := bucket.putPart(ctx, key, id, len(receipts)+1, io.LimitReader(r, n), n)
		if err != nil {
			return 0, err
		}
		receipts = append(receipts, receipt)
	}
	if _, err := io.Copy(io.Discard, r); err != nil { // the file's own last word
		return 0, err
	}
	return finish(ctx, bucket, key, id, receipts)
}

// finish makes the object and compares its checksum with that of the parts.
func finish(ctx context.Context, bucket *store, key, id string, receipts []storage.Receipt) (uint64, error) {
	want, err := whole(receipts)
	if err != nil {
		return 0, err
	}
	got, told, err := bucket.complete(ctx, key, id, receipts)
	if err == nil && told && got != want.CRC64 {
		err = status.Errorf(status.DataLoss, "%s: the parts have the CRC64 %d, the store reports %d", key, want.CRC64, got)
	}
	return want.CRC64, err
}

// whole is what the parts are together.
func whole(receipts []storage.Receipt) (stored, error) {
	var all stored
	for i, r := range receipts {
		crc, ok := parseCRC(r.Checksum)
		if r.Number != i+1 || !ok || r.Size < 0 {
			return all, status.Errorf(status.InvalidArgument, "the receipt of part %d is wrong or missing", i+1)
		}
		all.CRC64 = joinCRC(all.CRC64, crc, r.Size)
		all.Size += r.Size
	}
	return all, nil
}
