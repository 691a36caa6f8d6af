package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	tcerr "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"
	"github.com/tencentyun/cos-go-sdk-v5"

	"github.com/recordhost/recordhost/sdk/status"
)

// Codes of the API that more is done about than to pass them on.
const (
	codeSessionKey = "InvalidParameterValue.VodSessionKey"
	codeNoResource = "ResourceNotFound"
)

// errLost is why a delivery has to be opened anew: nothing can come of its session any more.
func errLost(format string, args ...any) error {
	return status.Errorf(status.FailedPrecondition, "the upload session is over, all must be sent again in another: "+format, args...)
}

// apiFailure gives an error of the API's client its kind. When ctx has ended it is ctx's error.
func apiFailure(ctx context.Context, action string, err error) error {
	if ctxErr := ctx.Err(); ctxErr != nil {
		return fmt.Errorf("%s: %w", action, ctxErr)
	}
	answered, ok := errors.AsType[*tcerr.TencentCloudSDKError](err)
	if !ok {
		return status.Errorf(status.Unavailable, "%s: %w", action, err)
	}
	return status.Errorf(kindOfAPI(answered.Code), "%s: %w", action, err)
}

// hasCode tells whether VOD answered an error of this code, or one below it.
func hasCode(err error, code string) bool {
	answered, ok := errors.AsType[*tcerr.TencentCloudSDKError](err)
	return ok && (answered.Code == code || strings.HasPrefix(answered.Code, code+"."))
}

// kindOfAPI classifies the codes of Tencent Cloud API 3.0. What stands before the first dot is common to all products. Errors of
// the SDK itself, "ClientError", are about the connection.
func kindOfAPI(code string) status.Kind {
	if code == "FailedOperation.InvalidVodUser" { // VOD was never activated, or no such application
		return status.PermissionDenied
	}
	family, _, _ := strings.Cut(code, ".")
	switch family {
	case "AuthFailure", "UnauthorizedOperation", "OperationDenied", "UnsupportedOperation":
		return status.PermissionDenied
	case "InvalidParameter", "InvalidParameterValue", "MissingParameter", "UnknownParameter", "UnsupportedProtocol", "UnsupportedRegion",
		"InvalidAction", "NoSuchVersion", "NoSuchProduct", "RequestSizeLimitExceeded":
		return status.InvalidArgument
	case codeNoResource:
		return status.NotFound
	case "LimitExceeded", "ResourceInsufficient":
		return status.NoCapacity
	default:
		return status.Unavailable
	}
}

// storeFailure gives an error of the store its kind. When ctx has ended it is ctx's error. The keys of a session end with it, so what
// they are refused for then is errLost.
func storeFailure(ctx context.Context, doing string, expires, now time.Time, err error) error {
	if err == nil {
		return nil
	}
	if ctxErr := ctx.Err(); ctxErr != nil {
		return fmt.Errorf("%s: %w", doing, ctxErr)
	}
	answered, ok := errors.AsType[*cos.ErrorResponse](err)
	if !ok {
		if kind := status.KindOf(err); kind != status.Unknown {
			return status.Errorf(kind, "%s: %w", doing, err)
		}
		return status.Errorf(status.Unavailable, "%s: %w", doing, err)
	}
	// The SDK's own text has the whole address in it.
	text := fmt.Sprintf("%d %s: %s", answered.Response.StatusCode, answered.Code, answered.Message)
	refused := answered.Response.StatusCode == http.StatusForbidden
	if answered.Code == "ExpiredToken" || refused && !now.Before(expires) {
		return errLost("%s: its keys have expired: %s", doing, text)
	}
	err = status.Errorf(kindOfStore(answered), "%s: the store answered %s", doing, text)
	if after := retryAfter(answered.Response.Header.Get("Retry-After")); after > 0 {
		err = status.WithRetryAfter(err, after)
	}
	return err
}

// kindOfStore classifies the codes of COS, and the HTTP status where there is none: answers to HEAD have no body.
func kindOfStore(r *cos.ErrorResponse) status.Kind {
	code := r.Response.StatusCode
	switch r.Code {
	case "NoSuchUpload", "NoSuchKey", "NoSuchBucket", "InvalidPart", "InvalidPartOrder":
		return status.NotFound
	case "BadDigest", "InvalidDigest", "IncompleteBody":
		return status.DataLoss
	case "RequestTimeout", "SlowDown", "InternalError", "ServiceUnavailable", "OperationAborted":
		return status.Unavailable
	}
	switch {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return status.PermissionDenied
	case code == http.StatusBadRequest && r.Code == "": // HEAD with a token that is refused
		return status.PermissionDenied
	case code == http.StatusNotFound:
		return status.NotFound
	case code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code >= http.StatusInternalServerError:
		return status.Unavailable
	case code >= http.StatusBadRequest:
		return status.InvalidArgument
	default:
		return status.Unavailable
	}
}

// retryAfter reads the header, in whole seconds; zero for none.
func retryAfter(text string) time.Duration {
	d, err := time.ParseDuration(text + "s")
	if err != nil || d < 0 {
		return 0
	}
	return d
}

// isDenied tells that the keys do not allow what was tried. Those of a session are for uploading, and need not allow anything else.
func isDenied(err error) bool { return status.KindOf(err) == status.PermissionDenied }

// isLost tells that the session is over.
func isLost(err error) bool { return status.KindOf(err) == status.FailedPrecondition }
