package main

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/recordhost/recordhost/sdk/status"
)

// abortWithin is how long the clean-up after a failed upload may take. It goes on when the caller has given up.
const abortWithin = 10 * time.Second

// abortMultipart removes from S3 the parts of the upload that failed with err. The SDK does so itself, but with the context of the
// upload, which has ended when the caller gave up. Parts that stay are invisible, and are paid for.
func (s *objectStore) abortMultipart(ctx context.Context, key string, err error) {
	var begun interface{ UploadID() string }
	var client *s3.Client
	if !errors.As(err, &begun) || !s.bucket.As(&client) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortWithin)
	defer cancel()
	_, err = client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket: aws.String(s.name), Key: aws.String(key), UploadId: aws.String(begun.UploadID()),
	})
	if err != nil && kindOf(err) != status.NotFound {
		s.log.WarnContext(ctx, "parts of an upload stay in the store", "key", key, "err", err)
	}
}
