package status

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pluginv1 "github.com/recordhost/recordhost/sdk/proto/recordhost/plugin/v1"
)

// maxText is how many bytes of an error's text cross the wire.
const maxText = 8 << 10

// ToGRPC returns err as the gRPC status that a server answers: its text, the nearest code, and the kind and the time
// of the next try as a detail. Nil stays nil.
func ToGRPC(err error) error {
	if err == nil {
		return nil
	}
	kind := KindOf(err) // its number is the same on the wire
	detail := &pluginv1.ErrorDetail{Kind: pluginv1.ErrorKind(kind)}
	if after, ok := RetryAfter(err); ok {
		detail.RetryAfter = durationpb.New(after)
	}
	plain := grpcstatus.New(codeOf(kind), wireText(err.Error()))
	detailed, detailErr := plain.WithDetails(detail)
	if detailErr != nil {
		return plain.Err()
	}
	return detailed.Err()
}

// FromGRPC returns what a call made with ctx failed with, as the server's ToGRPC was given it: same text, kind and
// time of the next try. A status of another server gets the kind nearest to its code. When the call failed because
// ctx ended, the result is ctx's error in errors.Is; a call that was cancelled though ctx was not (the connection
// was closed) is Unavailable. Nil stays nil.
func FromGRPC(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	s, ok := grpcstatus.FromError(err)
	if !ok {
		return err
	}
	detail, fromServer := detailOf(s)
	e := &Error{kind: kindOfStatus(s), message: s.Message(), retryAfter: max(detail.GetRetryAfter().AsDuration(), 0)}
	switch ctxErr := ctx.Err(); {
	case e.kind != Canceled && e.kind != DeadlineExceeded:
	case errors.Is(ctxErr, context.Canceled):
		e.kind, e.cause = Canceled, ctxErr
	case errors.Is(ctxErr, context.DeadlineExceeded):
		e.kind, e.cause = DeadlineExceeded, ctxErr
	case e.kind == Canceled && !fromServer:
		e.kind = Unavailable
	}
	return e
}

// wireText makes text fit for the wire: gRPC would drop the detail of a status whose text is not UTF-8, and the text
// travels in a header.
func wireText(text string) string {
	if len(text) > maxText {
		text = text[:maxText] + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// kindOfGRPC finds a gRPC status in err's chain.
func kindOfGRPC(err error) (Kind, bool) {
	var carrier interface{ GRPCStatus() *grpcstatus.Status }
	if !errors.As(err, &carrier) {
		return Unknown, false
	}
	return kindOfStatus(carrier.GRPCStatus()), true
}

// kindOfStatus prefers the detail to the code, unless it is a kind that we do not know.
func kindOfStatus(s *grpcstatus.Status) Kind {
	if detail, ok := detailOf(s); ok {
		if _, known := pluginv1.ErrorKind_name[int32(detail.GetKind())]; known {
			return Kind(detail.GetKind())
		}
	}
	return kindOfCode(s.Code())
}

func detailOf(s *grpcstatus.Status) (*pluginv1.ErrorDetail, bool) {
	for _, d := range s.Details() {
		if detail, ok := d.(*pluginv1.ErrorDetail); ok {
			return detail, true
		}
	}
	return nil, false
}

func codeOf(k Kind) codes.Code {
	switch k {
	case InvalidArgument:
		return codes.InvalidArgument
	case NotFound:
		return codes.NotFound
	case AlreadyExists:
		return codes.AlreadyExists
	case PermissionDenied:
		return codes.PermissionDenied
	case NoCapacity:
		return codes.ResourceExhausted
	case FailedPrecondition:
		return codes.FailedPrecondition
	case DataLoss:
		return codes.DataLoss
	case Unavailable:
		return codes.Unavailable
	case Unimplemented:
		return codes.Unimplemented
	case Internal:
		return codes.Internal
	case Canceled:
		return codes.Canceled
	case DeadlineExceeded:
		return codes.DeadlineExceeded
	default:
		return codes.Unknown
	}
}

// kindOfCode classifies the status of a server that sent no detail: a plugin that was not written with this SDK, or
// gRPC itself.
func kindOfCode(c codes.Code) Kind {
	switch c {
	case codes.InvalidArgument, codes.OutOfRange:
		return InvalidArgument
	case codes.NotFound:
		return NotFound
	case codes.AlreadyExists:
		return AlreadyExists
	case codes.PermissionDenied, codes.Unauthenticated:
		return PermissionDenied
	case codes.ResourceExhausted:
		return NoCapacity
	case codes.FailedPrecondition:
		return FailedPrecondition
	case codes.DataLoss:
		return DataLoss
	case codes.Unavailable, codes.Aborted:
		return Unavailable
	case codes.Unimplemented:
		return Unimplemented
	case codes.Internal:
		return Internal
	case codes.Canceled:
		return Canceled
	case codes.DeadlineExceeded:
		return DeadlineExceeded
	default:
		return Unknown
	}
}
