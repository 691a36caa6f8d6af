package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"hash"
	"hash/crc64"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tencentyun/cos-go-sdk-v5"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

const crcHeader = "x-cos-hash-crc64ecma"

// store is the bucket that a session uploads to, with the session's keys. Every error of it has a kind.
type store struct {
	client  *cos.Client
	expires time.Time
	now     func() time.Time
}

func (d *Driver) store(st state, x secrets) (*store, error) {
	host := st.Bucket + ".cos." + st.Region + ".myqcloud.com"
	address, name := "https://"+host, ""
	if d.config.COSEndpoint != "" {
		address, name = d.config.COSEndpoint, host
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, status.Errorf(status.Unavailable, "the session's bucket %q cannot be addressed", st.Bucket)
	}
	client := cos.NewClient(&cos.BaseURL{BucketURL: u}, &http.Client{Transport: &cos.AuthorizationTransport{
		SecretID: x.SecretID, SecretKey: x.SecretKey, SessionToken: x.Token, Transport: errorsInBody{d.transport},
	}})
	client.Host = name
	client.Conf.RetryOpt = cos.RetryOptions{Count: 1} // who calls the driver tries again
	client.Conf.EnableCRC = false                     // here it is compared, to know it from other failures
	expires := st.Expires
	if expires.IsZero() {
		expires = d.now().Add(time.Hour)
	}
	return &store{client: client, expires: expires, now: d.now}, nil
}

func (s *store) failure(ctx context.Context, doing string, err error) error {
	return storeFailure(ctx, doing, s.expires, s.now(), err)
}

// errorsInBody gives an answer of 200 that holds an error, as CompleteMultipartUpload may send, the status that it should have had.
type errorsInBody struct{ http.RoundTripper }

// maxAnswer bounds the answer to CompleteMultipartUpload.
const maxAnswer = 1 << 20

// RoundTrip implements http.RoundTripper.
func (e errorsInBody) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := e.RoundTripper.RoundTrip(r)
	if err != nil || r.Method != http.MethodPost || !r.URL.Query().Has("uploadId") || response.StatusCode != http.StatusOK {
		return response, err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return nil, err
	}
	var answer struct{ XMLName xml.Name }
	if xml.Unmarshal(body, &answer) == nil && answer.XMLName.Local == "Error" {
		response.StatusCode = http.StatusInternalServerError
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

// source is what is sent: it remembers its own failure, which the connection's would hide, and what was read of it.
type source struct {
	r   io.Reader
	err error
	n   int64
	crc hash.Hash64
}

func newSource(r io.Reader) *source { return &source{r: r, crc: crc64.New(crcTable())} }

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n += int64(n)
	_, _ = s.crc.Write(p[:n])
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// failed tells what went wrong with sending: the source's own failure comes first.
func (s *source) failed(ctx context.Context, st *store, doing string, err error) error {
	switch {
	case s.err == nil || ctx.Err() != nil:
		return st.failure(ctx, doing, err)
	case status.KindOf(s.err) == status.Unknown:
		return fmt.Errorf("%s: %w", doing, s.err)
	default:
		return s.err
	}
}

// compare refuses what the store says it has got where that is not what was sent.
func (s *source) compare(doing string, answer http.Header, size int64) error {
	if s.n != size {
		return status.Errorf(status.DataLoss, "%s: %d bytes were sent of %d", doing, s.n, size)
	}
	told := answer.Get(crcHeader)
	if got, err := strconv.ParseUint(told, 10, 64); err != nil || got != s.crc.Sum64() {
		return status.Errorf(status.DataLoss, "%s: what was sent has the CRC64 %d, the store reports %q", doing, s.crc.Sum64(), told)
	}
	return nil
}

// put stores one object.
func (s *store) put(ctx context.Context, key string, r io.Reader, size int64, contentType string) (crc uint64, err error) {
	doing := "put " + key
	from := newSource(r)
	options := &cos.ObjectPutOptions{ObjectPutHeaderOptions: &cos.ObjectPutHeaderOptions{ContentType: contentType, ContentLength: size}}
	var body io.Reader = from
	if size == 0 { // the source is read all the same: its end may be wrong
		if _, err := io.Copy(io.Discard, from); err != nil {
			return 0, from.failed(ctx, s, doing, err)
		}
		body = bytes.NewReader(nil)
	}
	response, err := s.client.Object.Put(ctx, key, body, options)
	if err != nil {
		return 0, from.failed(ctx, s, doing, err)
	}
	return from.crc.Sum64(), from.compare(doing, response.Header, size)
}

// begin begins an upload.
func (s *store) begin(ctx context.Context, key, contentType string) (id string, err error) {
	begun, _, err := s.client.Object.InitiateMultipartUpload(ctx, key, &cos.InitiateMultipartUploadOptions{
		ObjectPutHeaderOptions: &cos.ObjectPutHeaderOptions{ContentType: contentType},
	})
	if err != nil {
		return "", s.failure(ctx, "begin an upload of "+key, err)
	}
	if begun.UploadID == "" {
		return "", status.Errorf(status.Unavailable, "begin an upload of %s: the store answered no id", key)
	}
	return begun.UploadID, nil
}

// putPart stores one part.
func (s *store) putPart(ctx context.Context, key, id string, number int, r io.Reader, size int64) (storage.Receipt, error) {
	doing := fmt.Sprintf("put part %d of %s", number, key)
	from := newSource(r)
	response, err := s.client.Object.UploadPart(ctx, key, id, number, from, &cos.ObjectUploadPartOptions{ContentLength: size})
	if err != nil {
		return storage.Receipt{}, from.failed(ctx, s, doing, err)
	}
	if err := from.compare(doing, response.Header, size); err != nil {
		return storage.Receipt{}, err
	}
	return storage.Receipt{Number: number, Size: size, ETag: response.Header.Get("ETag"), Checksum: formatCRC(from.crc.Sum64())}, nil
}

// complete makes an object of the parts. told is the checksum of the whole, as the store has it; false where it tells none.
func (s *store) complete(ctx context.Context, key, id string, receipts []storage.Receipt) (crc uint64, told bool, err error) {
	options := &cos.CompleteMultipartUploadOptions{}
	for _, r := range receipts {
		options.Parts = append(options.Parts, cos.Object{PartNumber: r.Number, ETag: r.ETag})
	}
	_, response, err := s.client.Object.CompleteMultipartUpload(ctx, key, id, options)
	if err != nil {
		return 0, false, s.failure(ctx, "complete the upload of "+key, err)
	}
	crc, err = strconv.ParseUint(response.Header.Get(crcHeader), 10, 64)
	return crc, err == nil, nil
}

// abort drops an upload; one that is not there is dropped.
func (s *store) abort(ctx context.Context, key, id string) error {
	_, err := s.client.Object.AbortMultipartUpload(ctx, key, id)
	if err = s.failure(ctx, "abort the upload of "+key, err); status.KindOf(err) == status.NotFound {
		return nil
	}
	return err
}

// stat answers what the store says about an object; NotFound when there is none.
func (s *store) stat(ctx context.Context, key string) (stored, error) {
	response, err := s.client.Object.Head(ctx, key, nil)
	if err != nil {
		return stored{}, s.failure(ctx, "look at "+key, err)
	}
	crc, err := strconv.ParseUint(response.Header.Get(crcHeader), 10, 64)
	if err != nil || response.ContentLength < 0 {
		return stored{}, status.Errorf(status.Unavailable, "look at %s: the store tells no checksum", key)
	}
	return stored{Size: response.ContentLength, CRC64: crc}, nil
}

// sizes answers the objects whose keys begin with prefix, by key, in bytes.
func (s *store) sizes(ctx context.Context, prefix string) (map[string]int64, error) {
	found := map[string]int64{}
	options := &cos.BucketGetOptions{Prefix: prefix, EncodingType: "url", MaxKeys: 1000}
	for {
		page, _, err := s.client.Bucket.Get(ctx, options)
		if err != nil {
			return nil, s.failure(ctx, "list "+prefix, err)
		}
		for _, o := range page.Contents {
			key, err := url.QueryUnescape(o.Key)
			if err != nil {
				return nil, status.Errorf(status.Unavailable, "list %s: the store answered an odd name", prefix)
			}
			found[key] = o.Size
		}
		if !page.IsTruncated {
			return found, nil
		}
		if options.Marker, err = url.QueryUnescape(page.NextMarker); err != nil || options.Marker == "" {
			return nil, status.Errorf(status.Unavailable, "list %s: the store answered no next page", prefix)
		}
	}
}

// uploads answers the uploads of objects whose keys begin with prefix, that were begun and not completed.
func (s *store) uploads(ctx context.Context, prefix string) ([]upload, error) {
	page, _, err := s.client.Bucket.ListMultipartUploads(ctx, &cos.ListMultipartUploadsOptions{Prefix: prefix, MaxUploads: 1000})
	if err != nil {
		return nil, s.failure(ctx, "list uploads of "+prefix, err)
	}
	var begun []upload
	for _, u := range page.Uploads {
		begun = append(begun, upload{Key: u.Key, ID: u.UploadID})
	}
	return begun, nil
}

// remove removes an object; one that is not there is removed.
func (s *store) remove(ctx context.Context, key string) error {
	_, err := s.client.Object.Delete(ctx, key)
	if err = s.failure(ctx, "remove "+key, err); status.KindOf(err) == status.NotFound {
		return nil
	}
	return err
}
