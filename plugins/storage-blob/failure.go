package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"

	"gocloud.dev/gcerrors"

	"github.com/recordhost/recordhost/sdk/status"
)

// failure gives err its kind and says what was being done. When ctx has ended it is ctx's error. Nil stays nil.
func failure(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	if ctxErr := ctx.Err(); ctxErr != nil {
		return fmt.Errorf("%s: %w", doing, ctxErr)
	}
	return status.Errorf(kindOf(err), "%s: %w", doing, err)
}

// kindOf classifies an error of gocloud.dev, of a cloud's SDK below it, or of the operating system.
func kindOf(err error) status.Kind {
	if kind := status.KindOf(err); kind != status.Unknown {
		return kind
	}
	if _, unresolved := errors.AsType[*net.DNSError](err); unresolved {
		return status.Unavailable // gocloud.dev takes it for a container of Azure's that does not exist
	}
	switch gcerrors.Code(err) {
	case gcerrors.NotFound:
		return status.NotFound
	case gcerrors.AlreadyExists:
		return status.AlreadyExists
	case gcerrors.InvalidArgument:
		return status.InvalidArgument
	case gcerrors.FailedPrecondition:
		return status.FailedPrecondition
	case gcerrors.PermissionDenied:
		return status.PermissionDenied
	case gcerrors.ResourceExhausted:
		return status.NoCapacity
	case gcerrors.Unimplemented:
		return status.Unimplemented
	case gcerrors.Canceled:
		return status.Canceled
	case gcerrors.DeadlineExceeded:
		return status.DeadlineExceeded
	default:
		return kindBelow(err)
	}
}

// kindBelow classifies what gocloud.dev does not.
func kindBelow(err error) status.Kind {
	var coded interface{ ErrorCode() string } // of S3's SDK
	if errors.As(err, &coded) {
		if kind, ok := kindOfCode(coded.ErrorCode()); ok {
			return kind
		}
	}
	if kind, ok := kindOfAzure(err); ok {
		return kind
	}
	var answered interface{ HTTPStatusCode() int } // of S3's SDK
	if errors.As(err, &answered) && answered.HTTPStatusCode() != 0 {
		return kindOfHTTP(answered.HTTPStatusCode())
	}
	if kind, ok := kindOfErrno(err); ok {
		return kind
	}
	var netErr net.Error // not asked before: what the operating system says of a file has the same methods
	var urlErr *url.Error
	if errors.As(err, &netErr) || errors.As(err, &urlErr) {
		return status.Unavailable
	}
	return status.Unknown
}

// kindOfCode classifies the codes of S3 and its likes that gocloud.dev leaves.
func kindOfCode(code string) (status.Kind, bool) {
	switch code {
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "AccountProblem", "AllAccessDisabled":
		return status.PermissionDenied, true
	case "NoSuchUpload", "InvalidPart": // parts that the store does not have
		return status.NotFound, true
	case "SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "OperationAborted", "ConditionalRequestConflict",
		"RequestTimeTooSkewed": // the SDK has set its clock by the answer
		return status.Unavailable, true
	case "BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch":
		return status.DataLoss, true
	case "EntityTooLarge", "EntityTooSmall", "InvalidPartOrder", "InvalidBucketName", "KeyTooLongError":
		return status.InvalidArgument, true
	case "NotImplemented":
		return status.Unimplemented, true
	case "QuotaExceeded":
		return status.NoCapacity, true
	default:
		return status.Unknown, false
	}
}

func kindOfHTTP(code int) status.Kind {
	switch {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return status.PermissionDenied
	case code == http.StatusNotFound:
		return status.NotFound
	case code == http.StatusPreconditionFailed:
		return status.FailedPrecondition
	case code == http.StatusNotImplemented:
		return status.Unimplemented
	case code == http.StatusTooManyRequests || code >= http.StatusInternalServerError:
		return status.Unavailable
	default:
		return status.Unknown
	}
}

// kindOfErrno classifies what the operating system says of files.
func kindOfErrno(err error) (status.Kind, bool) {
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return status.PermissionDenied, true
	case errors.Is(err, fs.ErrNotExist):
		return status.NotFound, true
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return status.NoCapacity, true
	case errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR):
		return status.InvalidArgument, true
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.ESTALE):
		return status.Unavailable, true
	default:
		return status.Unknown, false
	}
}
