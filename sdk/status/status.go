// Package status classifies the errors that cross the border between the engine and its plugins. A kind survives
// gRPC in both directions, so errors.Is tells a remote driver's NotFound just as it tells a local one's. Drivers and
// the engine alike may use it; act on an error's kind, never on its text.
package status

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Kind says what is to be done about an error. Each kind is itself an error, the target of errors.Is:
//
//	if errors.Is(err, status.NotFound) { … }
type Kind uint8 //nolint:errname // a kind is a sentinel, named by its constants

// The kinds of errors. Comments say which of them Retryable accepts.
const (
	Unknown            Kind = iota // nobody classified it; retryable
	InvalidArgument                // the caller's arguments cannot work, now or later
	NotFound                       // what was named does not exist
	AlreadyExists                  // what should be made exists and may not be replaced
	PermissionDenied               // credentials are missing, refused or not sufficient
	NoCapacity                     // there is no room at the moment; retryable
	FailedPrecondition             // it does not fit the state of things until something else was done
	DataLoss                       // what arrived is not what was sent; retryable
	Unavailable                    // the service cannot be reached or does not work at the moment; retryable
	Unimplemented                  // it cannot be done here at all
	Internal                       // a promise of the code itself was broken
	Canceled                       // the caller gave up
	DeadlineExceeded               // the time ran out; retryable
)

// String returns the name of the kind, in words.
func (k Kind) String() string {
	switch k {
	case Unknown:
		return "unknown error"
	case InvalidArgument:
		return "invalid argument"
	case NotFound:
		return "not found"
	case AlreadyExists:
		return "already exists"
	case PermissionDenied:
		return "permission denied"
	case NoCapacity:
		return "no capacity"
	case FailedPrecondition:
		return "failed precondition"
	case DataLoss:
		return "data loss"
	case Unavailable:
		return "unavailable"
	case Unimplemented:
		return "unimplemented"
	case Internal:
		return "internal error"
	case Canceled:
		return "canceled"
	case DeadlineExceeded:
		return "deadline exceeded"
	default:
		return fmt.Sprintf("kind %d", uint8(k))
	}
}

// Error makes a kind usable as a sentinel.
func (k Kind) Error() string { return k.String() }

// Error is an error of a known kind. Errorf and WithRetryAfter make it.
type Error struct {
	kind       Kind
	message    string
	retryAfter time.Duration
	cause      error
}

// Errorf makes an error of kind k, with a text as of fmt.Errorf. What %w wraps stays visible to errors.Is and
// errors.As; the kind of the whole is k.
func Errorf(k Kind, format string, args ...any) error {
	err := fmt.Errorf(format, args...) //nolint:err113 // the format is the caller's
	return &Error{kind: k, message: err.Error(), cause: err}
}

// Wrap gives err the kind k and leaves its text as it is. A nil err stays nil.
func Wrap(k Kind, err error) error {
	if err == nil {
		return nil
	}
	return &Error{kind: k, message: err.Error(), cause: err}
}

// WithRetryAfter adds to err the time before which it makes no sense to try again. Its kind and text stay. A nil err
// stays nil.
func WithRetryAfter(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &Error{kind: KindOf(err), message: err.Error(), retryAfter: d, cause: err}
}

// Error returns the text alone; the kind is not part of it.
func (e *Error) Error() string { return e.message }

// Unwrap returns what the error was made of.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether target is the error's kind. A canceled error is also context.Canceled, one whose time ran out is
// also context.DeadlineExceeded.
func (e *Error) Is(target error) bool {
	switch e.kind {
	case Canceled:
		return target == Canceled || target == context.Canceled
	case DeadlineExceeded:
		return target == DeadlineExceeded || target == context.DeadlineExceeded
	default:
		return target == e.kind
	}
}

// KindOf returns the kind of err: the outermost that err's chain holds, else what a gRPC status or a context's error
// in it says, else Unknown. The kind of nil is Unknown; ask only about failures.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.kind
	}
	if k, ok := errors.AsType[Kind](err); ok {
		return k
	}
	if k, ok := kindOfGRPC(err); ok {
		return k
	}
	switch {
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return DeadlineExceeded
	default:
		return Unknown
	}
}

// Retryable reports whether the same call may succeed when it is made again. It is false for nil.
func Retryable(err error) bool {
	if err == nil {
		return false
	}
	switch KindOf(err) {
	case Unknown, NoCapacity, DataLoss, Unavailable, DeadlineExceeded:
		return true
	default:
		return false
	}
}

// RetryAfter returns the time before which it makes no sense to try again, and false where err does not tell.
func RetryAfter(err error) (time.Duration, bool) {
	for err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			break
		}
		if e.retryAfter > 0 {
			return e.retryAfter, true
		}
		err = e.cause
	}
	return 0, false
}
