package main

import (
	"bytes"
	"context"
	"errors"
	"hash"
	"hash/crc64"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/tencentyun/cos-go-sdk-v5"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

const (
	// ownerHeader is the metadata that names the delivery which stored an object.
	ownerHeader = "x-cos-meta-recordhost-delivery"
	crcHeader   = "x-cos-hash-crc64ecma"
	// onlyNewHeader makes PUT and Complete fail where there is an object. Buckets that keep versions ignore it.
	onlyNewHeader = "x-cos-forbid-overwrite"
)

// bucket is a bucket as the driver uses it: the SDK without its retries and checks, with errors that have a kind.
type bucket struct {
	host      string // as it is signed, whatever is connected to
	client    *cos.Client
	renewable bool // keys that have expired may be others the next time
}

// open makes the client of a bucket.
func (d *Driver) open(name, region string) (*bucket, error) {
	host := name + ".cos." + region + ".myqcloud.com"
	address := "https://" + host
	if d.config.Endpoint != "" {
		address = d.config.Endpoint
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, status.Errorf(status.InvalidArgument, "bucket %.64q in region %.64q: %w", name, region, err)
	}
	client := cos.NewClient(&cos.BaseURL{BucketURL: u}, d.http)
	client.Host = host
	client.Conf.EnableCRC = false // its failure has no kind; every checksum is compared here
	client.Conf.RetryOpt.Count = 1
	client.UserAgent = "recordhost"
	return &bucket{host: host, client: client, renewable: d.keys.renewable()}, nil
}

func (b *bucket) failure(ctx context.Context, doing string, err error) error {
	out := failure(ctx, doing, err)
	answer, ok := errors.AsType[*cos.ErrorResponse](unwrap(err))
	if ok && b.renewable && answer.Code == "ExpiredToken" && ctx.Err() == nil {
		return status.Wrap(status.Unavailable, out)
	}
	return out
}

// object is what the store says about an object or a part.
type object struct {
	size     int64
	etag     string // with its quotes
	crc      uint64
	owner    string // the id of the delivery; empty where it is not known
	modified time.Time
}

// about is what is kept with an object.
type about struct {
	owner       string
	contentType string
	class       string
	onlyNew     bool
}

func (a about) header() *cos.ObjectPutHeaderOptions {
	if a.contentType == "" {
		a.contentType = "application/octet-stream"
	}
	meta := &http.Header{}
	meta.Set(ownerHeader, a.owner)
	h := &cos.ObjectPutHeaderOptions{ContentType: a.contentType, XCosMetaXXX: meta, XCosStorageClass: a.class}
	if a.onlyNew {
		h.XOptionHeader = &http.Header{http.CanonicalHeaderKey(onlyNewHeader): {"true"}}
	}
	return h
}

// stat asks for an object; NotFound when there is none. A bucket that does not exist looks the same: HEAD's answer does not tell.
func (b *bucket) stat(ctx context.Context, key string) (object, error) {
	answer, err := b.client.Object.Head(ctx, key, nil)
	if err != nil {
		return object{}, b.failure(ctx, "look at "+key, b.reason(ctx, key, err))
	}
	o := object{size: answer.ContentLength, etag: answer.Header.Get("ETag"), owner: answer.Header.Get(ownerHeader)}
	o.modified, _ = http.ParseTime(answer.Header.Get("Last-Modified")) // zero when it is not told
	o.crc, err = crcOf(answer.Header)
	return o, err
}

// reason asks again, in a way whose answer has a body, why a question was refused: HEAD's answer does not tell keys that have expired
// from those that are wrong.
func (b *bucket) reason(ctx context.Context, key string, refused error) error {
	answer, ok := errors.AsType[*cos.ErrorResponse](unwrap(refused))
	if !ok || answer.Response.StatusCode != http.StatusBadRequest && answer.Response.StatusCode != http.StatusForbidden {
		return refused
	}
	again, err := b.client.Object.Get(ctx, key, &cos.ObjectGetOptions{Range: "bytes=0-0"})
	if err == nil {
		_ = again.Body.Close()
		return refused
	}
	if told, ok := errors.AsType[*cos.ErrorResponse](unwrap(err)); ok && told.Code == "NoSuchKey" {
		return refused
	}
	return err
}

// crcOf reads the checksum that the service tells with every object and part.
func crcOf(h http.Header) (uint64, error) {
	crc, err := strconv.ParseUint(h.Get(crcHeader), 10, 64)
	if err != nil {
		return 0, status.Errorf(status.Unimplemented,
			"the store tells no %s with what it stores; it is not COS, or something between drops it", crcHeader)
	}
	return crc, nil
}

// put stores an object of so many bytes, and answers what was stored.
func (b *bucket) put(ctx context.Context, key string, r io.Reader, size int64, a about) (object, error) {
	header := a.header()
	header.ContentLength = size
	return b.send(ctx, "write "+key, r, size, func(body io.Reader) (*cos.Response, error) {
		return b.client.Object.Put(ctx, key, body, &cos.ObjectPutOptions{ObjectPutHeaderOptions: header})
	})
}

// putPart stores a part of an upload.
func (b *bucket) putPart(ctx context.Context, key, upload string, number int, r io.Reader, size int64) (object, error) {
	return b.send(ctx, "write part "+strconv.Itoa(number)+" of "+key, r, size, func(body io.Reader) (*cos.Response, error) {
		return b.client.Object.UploadPart(ctx, key, upload, number, body, &cos.ObjectUploadPartOptions{ContentLength: size})
	})
}

// send sends a body and compares what the store says it has with what was sent.
func (b *bucket) send(
	ctx context.Context, doing string, r io.Reader, size int64, do func(io.Reader) (*cos.Response, error),
) (object, error) {
	s := &source{r: r, sum: crc64.New(table())}
	var body io.Reader = s
	if size == 0 {
		body = bytes.NewReader(nil) // with a length that the SDK sees, since none is sent in chunks
		if _, err := io.Copy(io.Discard, s); err != nil {
			return object{}, failure(ctx, doing, err)
		}
	}
	answer, err := do(body)
	sent, readErr := s.end()
	if readErr != nil {
		return object{}, failure(ctx, doing, readErr) // what the SDK says of it is only that it did not end well
	}
	if err != nil {
		return object{}, b.failure(ctx, doing, err)
	}
	crc, err := crcOf(answer.Header)
	if err != nil {
		return object{}, err
	}
	if crc != sent {
		return object{}, status.Errorf(status.DataLoss, "%s: what was sent has the CRC64 %d, what is stored %d", doing, sent, crc)
	}
	return object{size: size, etag: answer.Header.Get("ETag"), crc: crc}, nil
}

// source is what is sent. It is read by net/http, which may do so still when it has answered.
type source struct {
	mu    sync.Mutex
	r     io.Reader
	sum   hash.Hash64
	err   error // other than the end
	ended bool
}

func (s *source) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return 0, io.ErrClosedPipe
	}
	n, err := s.r.Read(p)
	s.sum.Write(p[:n])
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// end answers the checksum of what was read, and why it could not be.
func (s *source) end() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	return s.sum.Sum64(), s.err
}

// remove deletes an object; one that is not there is no error.
func (b *bucket) remove(ctx context.Context, key string) error {
	_, err := b.client.Object.Delete(ctx, key)
	if err = b.failure(ctx, "delete "+key, err); isNoKey(err) {
		return nil
	}
	return err
}

func isNoKey(err error) bool { return err != nil && status.KindOf(err) == status.NotFound }

// list calls each for every object whose key begins with prefix, with size, ETag and time.
func (b *bucket) list(ctx context.Context, prefix string, each func(key string, o object)) error {
	o := &cos.BucketGetOptions{Prefix: prefix, EncodingType: "url"}
	for {
		page, _, err := b.client.Bucket.Get(ctx, o)
		if err != nil {
			return b.failure(ctx, "list "+prefix, err)
		}
		for _, c := range page.Contents {
			key, err := url.QueryUnescape(c.Key)
			if err != nil {
				return failure(ctx, "list "+prefix, err)
			}
			modified, _ := time.Parse(time.RFC3339, c.LastModified) // zero when it is not told
			each(key, object{size: c.Size, etag: c.ETag, modified: modified})
		}
		if !page.IsTruncated {
			return nil
		}
		if o.Marker, err = url.QueryUnescape(page.NextMarker); err != nil || o.Marker == "" {
			return status.Errorf(status.Internal, "list %s: the store's listing does not say where it goes on", prefix)
		}
	}
}

// get reads an object. The caller closes it.
func (b *bucket) get(ctx context.Context, key string) (io.ReadCloser, object, error) {
	answer, err := b.client.Object.Get(ctx, key, nil)
	if err != nil {
		return nil, object{}, b.failure(ctx, "read "+key, err)
	}
	crc, err := crcOf(answer.Header)
	if err != nil {
		return nil, object{}, errors.Join(err, answer.Body.Close())
	}
	return answer.Body, object{size: answer.ContentLength, crc: crc}, nil
}

// initiate begins an upload in parts.
func (b *bucket) initiate(ctx context.Context, key string, a about) (upload string, err error) {
	a.onlyNew = false // it would say nothing of the time when the upload is complete
	o := &cos.InitiateMultipartUploadOptions{ObjectPutHeaderOptions: a.header()}
	begun, _, err := b.client.Object.InitiateMultipartUpload(ctx, key, o)
	if err == nil && begun.UploadID == "" {
		err = errors.New("the answer holds no id")
	}
	return begun.UploadID, b.failure(ctx, "begin an upload of "+key, err)
}

// parts answers the parts that an upload has, by number.
func (b *bucket) parts(ctx context.Context, key, upload string) (map[int]object, error) {
	found := map[int]object{}
	o := &cos.ObjectListPartsOptions{}
	for {
		page, _, err := b.client.Object.ListParts(ctx, key, upload, o)
		if err != nil {
			return nil, b.failure(ctx, "list the parts of "+key, err)
		}
		for _, p := range page.Parts {
			found[p.PartNumber] = object{size: p.Size, etag: p.ETag}
		}
		if !page.IsTruncated || page.NextPartNumberMarker == o.PartNumberMarker {
			return found, nil
		}
		o.PartNumberMarker = page.NextPartNumberMarker
	}
}

// complete makes the object out of its parts, in the order of receipts.
func (b *bucket) complete(ctx context.Context, key, upload string, receipts []storage.Receipt, onlyNew bool) error {
	o := &cos.CompleteMultipartUploadOptions{}
	for _, r := range receipts {
		o.Parts = append(o.Parts, cos.Object{PartNumber: r.Number, ETag: r.ETag})
	}
	if onlyNew {
		o.XOptionHeader = &http.Header{http.CanonicalHeaderKey(onlyNewHeader): {"true"}}
	}
	_, _, err := b.client.Object.CompleteMultipartUpload(ctx, key, upload, o)
	return b.failure(ctx, "complete "+key, err)
}

// abort gives an upload up; one that is not there is no error.
func (b *bucket) abort(ctx context.Context, key, upload string) error {
	_, err := b.client.Object.AbortMultipartUpload(ctx, key, upload)
	if err = b.failure(ctx, "abort the upload of "+key, err); isNoKey(err) {
		return nil
	}
	return err
}
