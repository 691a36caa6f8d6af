package main

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"time"

	"gocloud.dev/blob"

	"github.com/recordhost/recordhost/sdk/status"
)

// ownerKey is the metadata that names the delivery which stored an object. Some stores take only letters in such names.
const ownerKey = "recordhostdelivery"

// uploadKey is the metadata that names the upload whose parts an object was made of.
const uploadKey = "recordhostupload"

// objects is where object stores and local directories differ.
type objects interface {
	// check refuses keys that the store cannot hold.
	check(key string) error

	// stat answers what the store says about an object; NotFound when there is none.
	stat(ctx context.Context, key string) (object, error)

	// list calls each for every object whose key begins with prefix, with all but the owner.
	list(ctx context.Context, prefix string, each func(key string, o object)) error

	// write stores r under key, whole or not at all. onlyNew refuses to replace an object with AlreadyExists, also one that came
	// while it was written. When write has answered, the object outlives a power cut.
	write(ctx context.Context, key string, r io.Reader, o writeOptions) error
}

// object is what a store says about an object.
type object struct {
	size     int64
	md5      []byte // nil where the store does not tell
	modified time.Time
	owner    string // the id of the delivery, empty where it is not known
	upload   string // the nonce of the upload that made it, empty where none did
}

type writeOptions struct {
	owner       string
	upload      string // the nonce of an upload in parts, empty for a whole file
	contentType string
	size        int64
	onlyNew     bool
}

// forWriter returns the options as gocloud.dev takes them.
func (o writeOptions) forWriter() *blob.WriterOptions {
	metadata := map[string]string{ownerKey: o.owner}
	if o.upload != "" {
		metadata[uploadKey] = o.upload
	}
	return &blob.WriterOptions{
		ContentType: o.contentType, Metadata: metadata, IfNotExist: o.onlyNew, BufferSize: partSize(o.size),
	}
}

// objectStore is a store that gocloud.dev knows all about.
type objectStore struct {
	name      string // of the bucket
	bucket    *blob.Bucket
	log       *slog.Logger
	abortPut  func(ctx context.Context, key string, err error) // removes what a write left that failed; nil: nothing is left
	forbidden string                                           // what no name may hold; "": nothing
}

var _ objects = (*objectStore)(nil)

func (s *objectStore) check(key string) error {
	if s.forbidden != "" && strings.Contains(key, s.forbidden) {
		return status.Errorf(status.InvalidArgument, "%q holds %s, with which gocloud.dev marks what it escaped", key, s.forbidden)
	}
	return nil
}

func (s *objectStore) stat(ctx context.Context, key string) (object, error) {
	attrs, err := s.bucket.Attributes(ctx, key)
	if err != nil {
		return object{}, failure(ctx, "look at "+key, err)
	}
	return object{
		size: attrs.Size, md5: md5OfHead(attrs), modified: attrs.ModTime,
		owner: attrs.Metadata[ownerKey], upload: attrs.Metadata[uploadKey],
	}, nil
}

func (s *objectStore) list(ctx context.Context, prefix string, each func(key string, o object)) error {
	listing := s.bucket.List(&blob.ListOptions{Prefix: prefix})
	for {
		o, err := listing.Next(ctx)
		if err == io.EOF { //nolint:errorlint // Next returns it bare
			return nil
		}
		if err != nil {
			return failure(ctx, "list "+prefix, err)
		}
		each(o.Key, object{size: o.Size, md5: o.MD5, modified: o.ModTime})
	}
}

func (s *objectStore) write(ctx context.Context, key string, r io.Reader, o writeOptions) error {
	uploadCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	source := &failFast{r: r, cancel: cancel}
	err := s.bucket.Upload(uploadCtx, key, source, o.forWriter())
	if err != nil && s.abortPut != nil {
		s.abortPut(ctx, key, err)
	}
	if source.err != nil {
		err = source.err // what the driver says of it is only that it was cancelled
	}
	if o.onlyNew && kindOf(err) == status.FailedPrecondition {
		return status.Errorf(status.AlreadyExists, "%s exists", key)
	}
	return failure(ctx, "write "+key, err)
}

// partSize is how large the parts are in which an object is sent: gocloud.dev's own size for 0. S3 takes at most 10,000.
func partSize(size int64) int {
	const mib = 1 << 20
	if size <= 8*mib*9000 {
		return 0
	}
	return int((size/9000/mib + 1) * mib)
}

// failFast cancels an upload when its source fails. Drivers take the end of what they were given for the end of the object
// unless their context has ended.
type failFast struct {
	r      io.Reader
	cancel context.CancelFunc
	err    error
}

func (f *failFast) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
		f.cancel()
	}
	return n, err
}
