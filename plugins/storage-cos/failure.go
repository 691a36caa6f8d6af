package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/tencentyun/cos-go-sdk-v5"

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
	err = unwrap(err)
	answer, ok := errors.AsType[*cos.ErrorResponse](err)
	if !ok {
		return status.Errorf(kindOf(err), "%s: %w", doing, err)
	}
	err = status.Errorf(kindOfAnswer(answer), "%s: %s", doing, told(answer))
	if wait, ok := retryAfter(answer.Response.Header, time.Now()); ok {
		return status.WithRetryAfter(err, wait)
	}
	return err
}

// unwrap finds what the SDK and net/http have wrapped: the SDK's own wrapping hides it from errors.As, and the URL of a request says
// nothing that is not said before.
func unwrap(err error) error {
	for {
		tries, ok := err.(*cos.RetryError) //nolint:errorlint // the SDK returns it bare
		if !ok || len(tries.Errs) == 0 {
			break
		}
		err = tries.Errs[len(tries.Errs)-1]
	}
	if sending, ok := errors.AsType[*url.Error](err); ok {
		return sending.Err
	}
	return err
}

// told is what the service says of an error.
func told(answer *cos.ErrorResponse) string {
	id := answer.RequestID
	if id == "" {
		id = answer.Response.Header.Get("x-cos-request-id")
	}
	if answer.Code == "" {
		return fmt.Sprintf("the store answers %s (request %s)", answer.Response.Status, id)
	}
	return fmt.Sprintf("the store answers %s, %s: %s (request %s)", answer.Response.Status, answer.Code, answer.Message, id)
}

// kindOfAnswer classifies an error of the service, by its code (tencentcloud.com/document/product/436/7730) or, where there is none as with
// HEAD, by its status.
func kindOfAnswer(answer *cos.ErrorResponse) status.Kind {
	switch answer.Code {
	case "AccessDenied", "SignatureDoesNotMatch", "InvalidAccessKeyId", "ExpiredToken", "RequestTimeTooSkewed", "AccountProblem":
		return status.PermissionDenied
	case "NoSuchBucket", "NoSuchKey", "NoSuchUpload":
		return status.NotFound
	case "FileAlreadyExists":
		return status.AlreadyExists
	case "BadDigest", "InvalidDigest", "XCosContentSHA1Mismatch", "IncompleteBody":
		return status.DataLoss
	case "SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "RequestTimeOut", "OperationAborted", "TooManyRequests":
		return status.Unavailable
	case "NotImplemented":
		return status.Unimplemented
	default:
		return kindOfHTTP(answer.Response.StatusCode)
	}
}

func kindOfHTTP(code int) status.Kind {
	switch {
	case code == http.StatusUnauthorized, code == http.StatusPaymentRequired, code == http.StatusForbidden,
		code == http.StatusUnavailableForLegalReasons:
		return status.PermissionDenied
	case code == http.StatusNotFound:
		return status.NotFound
	case code == http.StatusNotImplemented:
		return status.Unimplemented
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code >= http.StatusInternalServerError:
		return status.Unavailable
	default:
		return status.InvalidArgument
	}
}

// kindOf classifies what is no answer of the service: errors of this driver, the network and the operating system.
func kindOf(err error) status.Kind {
	if kind := status.KindOf(err); kind != status.Unknown {
		return kind
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return status.PermissionDenied
	case errors.Is(err, fs.ErrNotExist):
		return status.NotFound
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return status.NoCapacity
	default: // connections that break, in many words of net and net/http, and documents that were cut off
		return status.Unavailable
	}
}

// retryAfter reads the header Retry-After, seconds or a date.
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	text := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(seconds) * time.Second, seconds > 0
	}
	date, err := http.ParseTime(text)
	return date.Sub(now), err == nil && date.After(now)
}
