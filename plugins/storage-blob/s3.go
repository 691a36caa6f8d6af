package main

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"gocloud.dev/blob"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

const (
	// abortWithin is how long the clean-up after a failed upload may take. It goes on when the caller has given up.
	abortWithin = 10 * time.Second

	// lastPart is the highest number that S3 has for a part (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html). It
	// is the mark that tells whose an upload is, and never becomes a piece of the file.
	lastPart = 10000

	// summed begins the ids of uploads for which the store keeps CRC-64/NVME sums.
	summed = "crc64nvme "
)

// s3Parts sends files in parts to S3 and what speaks its protocol, as multipart uploads.
type s3Parts struct {
	store  *objectStore
	client *s3.Client
}

var _ partStore = (*s3Parts)(nil)

// capabilities are from https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html.
func (s *s3Parts) capabilities() storage.Capabilities {
	return storage.Capabilities{Parts: true, OutOfOrder: true, MinPartSize: 5 << 20, MaxPartSize: 5 << 30, MaxParts: lastPart - 1}
}

// once makes a call without the SDK's own repetitions, since the caller repeats, and without the sums that it would add to those
// that are given.
func once(o *s3.Options) {
	o.Retryer = aws.NopRetryer{}
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
}

var errPlanned = errors.New("only planned")

// plan returns how gocloud.dev would write an object: its name as the store has it, its metadata, its encryption.
func (s *s3Parts) plan(ctx context.Context, key string, o writeOptions) (*transfermanager.UploadObjectInput, error) {
	var planned *transfermanager.UploadObjectInput
	options := o.forWriter()
	options.BeforeWrite = func(as func(any) bool) error {
		as(&planned)
		return errPlanned
	}
	_, err := s.store.bucket.NewWriter(ctx, key, options)
	if planned == nil {
		return nil, failure(ctx, "plan "+key, err)
	}
	return planned, nil
}

// name is the object's name as the store has it.
func (s *s3Parts) name(ctx context.Context, key string) (*string, error) {
	planned, err := s.plan(ctx, key, writeOptions{contentType: contentTypeOf("")})
	if err != nil {
		return nil, err
	}
	return planned.Key, nil
}

func (s *s3Parts) begin(ctx context.Context, key string, o writeOptions) (string, error) {
	planned, err := s.plan(ctx, key, o)
	if err != nil {
		return "", err
	}
	if err := s.abandon(ctx, key, o.owner); err != nil {
		s.store.log.WarnContext(ctx, "what an earlier upload left may stay in the store", "key", key, "err", err)
	}
	in := &s3.CreateMultipartUploadInput{
		Bucket: planned.Bucket, Key: planned.Key, ContentType: planned.ContentType, Metadata: planned.Metadata,
		ServerSideEncryption: types.ServerSideEncryption(planned.ServerSideEncryption), SSEKMSKeyId: planned.SSEKMSKeyID,
	}
	if s.client.Options().RequestChecksumCalculation != aws.RequestChecksumCalculationWhenRequired {
		in.ChecksumAlgorithm, in.ChecksumType = types.ChecksumAlgorithmCrc64nvme, types.ChecksumTypeFullObject
	}
	out, err := s.client.CreateMultipartUpload(ctx, in, once)
	if in.ChecksumAlgorithm != "" && refused(err) {
		// Not every store that speaks S3 knows this sum.
		in.ChecksumAlgorithm, in.ChecksumType = "", ""
		out, err = s.client.CreateMultipartUpload(ctx, in, once)
	}
	if err != nil {
		return "", failure(ctx, "begin "+key, err)
	}
	id := aws.ToString(out.UploadId)
	if out.ChecksumAlgorithm == types.ChecksumAlgorithmCrc64nvme {
		id = summed + id
	}
	if err := s.mark(ctx, planned.Key, id, o.owner); err != nil {
		s.abort(ctx, planned.Key, id)
		return "", failure(ctx, "begin "+key, err)
	}
	return id, nil
}

// refused tells whether the store did not like what it was asked for.
func refused(err error) bool {
	var answered interface{ HTTPStatusCode() int }
	if !errors.As(err, &answered) {
		return false
	}
	code := answered.HTTPStatusCode()
	return code == http.StatusBadRequest || code == http.StatusNotImplemented
}

// markOf is the content of the part that tells whose an upload is. A store lists the parts of an upload, with their sizes and MD5
// sums, but not its metadata.
func markOf(owner string) string { return "recordhost " + owner }

func (s *s3Parts) mark(ctx context.Context, name *string, id, owner string) error {
	mark := strings.NewReader(markOf(owner))
	sum, _, err := sumsOf(mark)
	if err == nil {
		_, err = mark.Seek(0, io.SeekStart)
	}
	if err == nil {
		_, err = s.sendPart(ctx, name, id, lastPart, mark, sum)
	}
	return err
}

func (s *s3Parts) send(ctx context.Context, key string, up upload, c *content) (storage.Receipt, error) {
	name, err := s.name(ctx, key)
	if err != nil {
		return storage.Receipt{}, err
	}
	sum, err := c.sums()
	if err != nil {
		return storage.Receipt{}, failure(ctx, "read for "+key, err)
	}
	doing := "send part " + strconv.Itoa(c.part.Number) + " of " + key
	out, err := s.sendPart(ctx, name, up.ID, c.part.Number, struct{ io.ReadSeeker }{c}, sum)
	if err != nil {
		return storage.Receipt{}, failure(ctx, doing, c.blame(err))
	}
	r := storage.Receipt{Number: c.part.Number, Size: c.part.Size(), ETag: aws.ToString(out.ETag)}
	if etag := md5OfETag(r.ETag); etag != "" && !sealed(out.ServerSideEncryption, out.SSECustomerAlgorithm) {
		if sent := hex.EncodeToString(sum.md5); etag != sent {
			return storage.Receipt{}, changed(doing, "MD5", sent, etag)
		}
		r.Checksum = "md5:" + etag
	}
	if told := aws.ToString(out.ChecksumCRC64NVME); told != "" {
		if sent := crcText(sum.crc); told != sent {
			return storage.Receipt{}, changed(doing, "CRC-64/NVME", sent, told)
		}
		r.Checksum = "crc64nvme:" + told
	}
	return r, nil
}

// sendPart sends one part, which the store refuses where it does not have the sums that it is sent with.
func (s *s3Parts) sendPart(
	ctx context.Context, name *string, id string, number int, body io.ReadSeeker, sum sums,
) (*s3.UploadPartOutput, error) {
	id, withCRC := strings.CutPrefix(id, summed)
	in := &s3.UploadPartInput{
		Bucket: aws.String(s.store.name), Key: name, UploadId: aws.String(id), PartNumber: aws.Int32(int32(number)), Body: body,
		ContentMD5: aws.String(base64.StdEncoding.EncodeToString(sum.md5)),
	}
	if withCRC {
		in.ChecksumAlgorithm, in.ChecksumCRC64NVME = types.ChecksumAlgorithmCrc64nvme, aws.String(crcText(sum.crc))
	}
	return s.client.UploadPart(ctx, in, once)
}

// crcText is how S3 writes a CRC: its bytes, the highest first, in base64.
func crcText(crc uint64) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, crc))
}

// md5OfETag returns the MD5 that an ETag is, in hexadecimal, "" where it is none.
func md5OfETag(etag string) string {
	etag = strings.ToLower(strings.Trim(etag, `"`))
	if sum, err := hex.DecodeString(etag); err != nil || len(sum) != md5.Size {
		return ""
	}
	return etag
}

// sealed tells whether the store has encrypted something so that its ETag is no MD5, though it looks like one.
func sealed(with types.ServerSideEncryption, customer *string) bool {
	return customer != nil || strings.HasPrefix(string(with), "aws:kms")
}

func (s *s3Parts) finish(ctx context.Context, key string, up upload, parts []storage.Receipt, onlyNew bool) error {
	name, err := s.name(ctx, key)
	if err != nil {
		return err
	}
	id, withCRC := strings.CutPrefix(up.ID, summed)
	in := &s3.CompleteMultipartUploadInput{
		Bucket: aws.String(s.store.name), Key: name, UploadId: aws.String(id), MultipartUpload: &types.CompletedMultipartUpload{},
	}
	for _, r := range parts {
		part := types.CompletedPart{PartNumber: aws.Int32(int32(r.Number)), ETag: aws.String(r.ETag)}
		if told := checksumOf(r, "crc64nvme"); withCRC && told != "" {
			part.ChecksumCRC64NVME = aws.String(told)
		}
		in.MultipartUpload.Parts = append(in.MultipartUpload.Parts, part)
	}
	if crc, ok := crcOfAll(parts); withCRC && ok {
		in.ChecksumType, in.ChecksumCRC64NVME = types.ChecksumTypeFullObject, aws.String(crcText(crc))
		in.MpuObjectSize = aws.Int64(sizeOf(parts))
	}
	if onlyNew {
		in.IfNoneMatch = aws.String("*")
	}
	_, err = s.client.CompleteMultipartUpload(ctx, in, once)
	if onlyNew && kindOf(err) == status.FailedPrecondition {
		return status.Errorf(status.AlreadyExists, "%s exists", key)
	}
	return failure(ctx, "finish "+key, err)
}

// crcOfAll returns the CRC of the file that parts make, false where the store did not tell that of each.
func crcOfAll(parts []storage.Receipt) (crc uint64, ok bool) {
	for _, r := range parts {
		part, err := base64.StdEncoding.DecodeString(checksumOf(r, "crc64nvme"))
		if err != nil || len(part) != 8 {
			return 0, false
		}
		crc = joinCRC(crc, binary.BigEndian.Uint64(part), r.Size)
	}
	return crc, true
}

// abandon asks of each upload under this very key whose it is.
func (s *s3Parts) abandon(ctx context.Context, key, owner string) error {
	name, err := s.name(ctx, key)
	if err != nil {
		return err
	}
	pages := s3.NewListMultipartUploadsPaginator(s.client, &s3.ListMultipartUploadsInput{
		Bucket: aws.String(s.store.name), Prefix: name,
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if noUpload(err) {
			return nil // there is none
		}
		if err != nil {
			return failure(ctx, "list the uploads of "+key, err)
		}
		for _, u := range page.Uploads {
			if aws.ToString(u.Key) != *name {
				continue
			}
			ours, err := s.owned(ctx, name, u.UploadId, owner)
			if err != nil {
				return failure(ctx, "look at an upload of "+key, err)
			}
			if !ours {
				continue
			}
			if err := s.remove(ctx, name, u.UploadId); err != nil {
				return failure(ctx, "remove an upload of "+key, err)
			}
		}
	}
	return nil
}

// owned tells whether an upload bears the owner's mark, which is its last part.
func (s *s3Parts) owned(ctx context.Context, name, id *string, owner string) (bool, error) {
	mark := markOf(owner)
	sum := md5.Sum([]byte(mark))
	pages := s3.NewListPartsPaginator(s.client, &s3.ListPartsInput{Bucket: aws.String(s.store.name), Key: name, UploadId: id})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			if noUpload(err) {
				err = nil // it ended meanwhile
			}
			return false, err
		}
		for _, p := range page.Parts {
			if aws.ToInt32(p.PartNumber) == lastPart {
				return aws.ToInt64(p.Size) == int64(len(mark)) && md5OfETag(aws.ToString(p.ETag)) == hex.EncodeToString(sum[:]), nil
			}
		}
	}
	return false, nil
}

// remove ends an upload and removes its parts. One that is not there is no error.
func (s *s3Parts) remove(ctx context.Context, name, id *string) error {
	_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket: aws.String(s.store.name), Key: name, UploadId: id,
	})
	if noUpload(err) {
		return nil
	}
	return err
}

// abort removes an upload that failed, also when the caller has given up. Parts that stay are invisible, and are paid for.
func (s *s3Parts) abort(ctx context.Context, name *string, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortWithin)
	defer cancel()
	if err := s.remove(ctx, name, aws.String(strings.TrimPrefix(id, summed))); err != nil {
		s.store.log.WarnContext(ctx, "parts of an upload stay in the store", "key", *name, "err", err)
	}
}

// abortPut removes from S3 the parts of the Put that failed with err. The SDK does so itself, but with the context of the upload,
// which has ended when the caller gave up.
func (s *s3Parts) abortPut(ctx context.Context, key string, err error) {
	var begun interface{ UploadID() string }
	if !errors.As(err, &begun) {
		return
	}
	if name, err := s.name(context.WithoutCancel(ctx), key); err == nil {
		s.abort(ctx, name, begun.UploadID())
	}
}

// noUpload tells whether S3 has answered that there is no such upload.
func noUpload(err error) bool {
	var coded interface{ ErrorCode() string }
	return errors.As(err, &coded) && coded.ErrorCode() == "NoSuchUpload"
}

// md5OfHead returns the MD5 of the object of which these are the attributes, nil where the store does not tell it.
func md5OfHead(attrs *blob.Attributes) []byte {
	var head s3.HeadObjectOutput
	if attrs.As(&head) && sealed(head.ServerSideEncryption, head.SSECustomerAlgorithm) {
		return nil
	}
	return attrs.MD5
}
