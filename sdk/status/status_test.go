package status_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	pluginv1 "github.com/recordhost/recordhost/sdk/proto/recordhost/plugin/v1"
	"github.com/recordhost/recordhost/sdk/status"
)

// kinds are all kinds, what Retryable says of them, and the gRPC code beside which they travel.
func kinds() map[status.Kind]struct {
	retryable bool
	code      codes.Code
} {
	type row = struct {
		retryable bool
		code      codes.Code
	}
	return map[status.Kind]row{
		status.Unknown:            {true, codes.Unknown},
		status.InvalidArgument:    {false, codes.InvalidArgument},
		status.NotFound:           {false, codes.NotFound},
		status.AlreadyExists:      {false, codes.AlreadyExists},
		status.PermissionDenied:   {false, codes.PermissionDenied},
		status.NoCapacity:         {true, codes.ResourceExhausted},
		status.FailedPrecondition: {false, codes.FailedPrecondition},
		status.DataLoss:           {true, codes.DataLoss},
		status.Unavailable:        {true, codes.Unavailable},
		status.Unimplemented:      {false, codes.Unimplemented},
		status.Internal:           {false, codes.Internal},
		status.Canceled:           {false, codes.Canceled},
		status.DeadlineExceeded:   {true, codes.DeadlineExceeded},
	}
}

// The kinds of Go and of the wire are the same, number by number.
func TestKindsOfTheWire(t *testing.T) {
	if len(kinds()) != len(pluginv1.ErrorKind_name) {
		t.Errorf("%d kinds in Go, %d on the wire", len(kinds()), len(pluginv1.ErrorKind_name))
	}
	for k := range kinds() {
		name := strings.ToUpper(strings.ReplaceAll(strings.TrimSuffix(k.String(), " error"), " ", "_"))
		if k == status.Unknown {
			name = "UNSPECIFIED"
		}
		if got := pluginv1.ErrorKind(k).String(); got != "ERROR_KIND_"+name {
			t.Errorf("%q is %s on the wire", k, got)
		}
	}
}

func TestErrorsSurviveTheWire(t *testing.T) {
	cause := errors.New("cause")
	for k, row := range kinds() {
		t.Run(k.String(), func(t *testing.T) {
			local := fmt.Errorf("open: %w", status.WithRetryAfter(status.Errorf(k, "bucket %q: %w", "b", cause), 90*time.Second))
			if !errors.Is(local, k) || !errors.Is(local, cause) || status.KindOf(local) != k {
				t.Errorf("%v lost its kind or its cause before the wire", local)
			}
			wire := status.ToGRPC(local)
			if got := grpcstatus.Code(wire); got != row.code {
				t.Errorf("it travels with the code %v, want %v", got, row.code)
			}
			if got := status.KindOf(wire); got != k {
				t.Errorf("the gRPC error is %q, want %q", got, k)
			}
			remote := fmt.Errorf("storage files: %w", status.FromGRPC(t.Context(), wire))
			if !errors.Is(remote, k) || status.KindOf(remote) != k {
				t.Errorf("%v arrived as %q", k, status.KindOf(remote))
			}
			if want := `storage files: open: bucket "b": cause`; remote.Error() != want {
				t.Errorf("the text arrived as %q, want %q", remote, want)
			}
			if after, ok := status.RetryAfter(remote); !ok || after != 90*time.Second {
				t.Errorf("the next try arrived as %v, %v", after, ok)
			}
			for _, err := range []error{local, wire, remote} {
				if status.Retryable(err) != row.retryable {
					t.Errorf("%v: retryable is %v", err, !row.retryable)
				}
			}
			for other := range kinds() {
				if other != k && errors.Is(remote, other) {
					t.Errorf("a %q is a %q too", k, other)
				}
			}
		})
	}
}

func TestKindOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want status.Kind
	}{
		{errors.New("x"), status.Unknown},
		{fs.ErrNotExist, status.Unknown},
		{context.Canceled, status.Canceled},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), status.DeadlineExceeded},
		{fmt.Errorf("x: %w", status.NotFound), status.NotFound},
		{status.Wrap(status.Unavailable, status.Errorf(status.NotFound, "x")), status.Unavailable},
		{status.Errorf(status.DataLoss, "x: %w", context.Canceled), status.DataLoss},
		{errors.Join(errors.New("x"), status.Errorf(status.NoCapacity, "y")), status.NoCapacity},
		{grpcstatus.Error(codes.OutOfRange, "x"), status.InvalidArgument},
		{grpcstatus.Error(codes.Unauthenticated, "x"), status.PermissionDenied},
		{grpcstatus.Error(codes.Aborted, "x"), status.Unavailable},
		{grpcstatus.Error(codes.ResourceExhausted, "x"), status.NoCapacity},
		{grpcstatus.Error(codes.Code(99), "x"), status.Unknown},
	} {
		if got := status.KindOf(c.err); got != c.want {
			t.Errorf("%v is %q, want %q", c.err, got, c.want)
		}
	}
}

func TestNothing(t *testing.T) {
	ctx := t.Context()
	if status.ToGRPC(nil) != nil || status.FromGRPC(ctx, nil) != nil || status.Wrap(status.Internal, nil) != nil ||
		status.WithRetryAfter(nil, time.Second) != nil || status.Retryable(nil) {
		t.Error("nil became an error")
	}
	if _, ok := status.RetryAfter(errors.New("x")); ok {
		t.Error("an error that tells no time told one")
	}
}

// The end of the caller's own context is that context's error, whatever the wire made of it.
func TestFromGRPCWithEndedContext(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-late.Done()
	driver := status.ToGRPC(fmt.Errorf("put: %w", context.Canceled))
	type row struct {
		name string
		err  error
		want error
	}
	check := func(ctx context.Context, rows ...row) {
		for _, c := range rows {
			if got := status.FromGRPC(ctx, c.err); !errors.Is(got, c.want) {
				t.Errorf("%s: %v (%q), want %v", c.name, got, status.KindOf(got), c.want)
			}
		}
	}
	check(canceled,
		row{"given up", grpcstatus.Error(codes.Canceled, "context canceled"), context.Canceled},
		row{"given up, seen by the driver", driver, context.Canceled},
		row{"another failure", status.ToGRPC(status.Errorf(status.DataLoss, "x")), status.DataLoss},
	)
	check(late,
		row{"time ran out", grpcstatus.Error(codes.DeadlineExceeded, "x"), context.DeadlineExceeded},
		row{"time ran out, seen as given up", driver, context.DeadlineExceeded},
	)
	check(t.Context(),
		row{"the driver's own cancellation", driver, context.Canceled},
		row{"the connection was closed", grpcstatus.Error(codes.Canceled, "closing"), status.Unavailable},
	)
	plain := errors.New("no status")
	if got := status.FromGRPC(t.Context(), plain); !errors.Is(got, plain) {
		t.Errorf("an error that is no status became %v", got)
	}
}

// gRPC drops the details of a status whose text is not UTF-8, and a text of any length would travel in a header.
func TestOddTexts(t *testing.T) {
	for name, text := range map[string]string{
		"not UTF-8": "file \xff\xfe", "long": strings.Repeat("é", 100_000), "control": "a\nb\x00c%0A",
	} {
		remote := status.FromGRPC(t.Context(), status.ToGRPC(status.Errorf(status.AlreadyExists, "%s", text)))
		if !errors.Is(remote, status.AlreadyExists) {
			t.Errorf("%s: arrived as %q", name, status.KindOf(remote))
		}
		if len(remote.Error()) > 16<<10 {
			t.Errorf("%s: a text of %d bytes arrived", name, len(remote.Error()))
		}
	}
}

// A newer peer may send kinds that we do not know.
func TestUnknownKindOfTheWire(t *testing.T) {
	s, err := grpcstatus.New(codes.NotFound, "x").WithDetails(&pluginv1.ErrorDetail{Kind: 999})
	if err != nil {
		t.Fatal(err)
	}
	if got := status.KindOf(status.FromGRPC(t.Context(), s.Err())); got != status.NotFound {
		t.Errorf("a kind that nobody knows beside the code NotFound is %q", got)
	}
}
