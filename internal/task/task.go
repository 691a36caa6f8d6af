// Package task is what a recording is to its host: it owns the states of a task, the rules by which they change, and
// the goroutine that carries each task from Start to finished. The action endpoint and the commands use its Manager;
// it uses the store, the runtime driver and the host's end of the control stream.
//
// The rules are one pure function, next, without clock or I/O. Around it, each unfinished task has one actor: a
// goroutine that alone changes the task, stores every change before anything follows from it, and then sends commands,
// launches and ends workers. Everything else about a task is a snapshot that the actor publishes.
package task

import (
	"fmt"
	"time"
)

// Status is where a task stands. A status is never left for an earlier one; recording and paused are equal.
type Status string

// The statuses, in their order.
const (
	Normal    Status = "normal"    // started, nothing recorded yet
	Recording Status = "recording" // the recording's time runs
	Paused    Status = "paused"    // it stands still
	Canceled  Status = "canceled"  // Stop was taken
	Transcode Status = "transcode" // nothing is recorded any more, the file is being finished
	Upload    Status = "upload"    // the file is whole
	Callback  Status = "callback"  // the caller is being told
	Finished  Status = "finished"
)

// statuses are all of them, in their order.
func statuses() []Status {
	return []Status{Normal, Recording, Paused, Canceled, Transcode, Upload, Callback, Finished}
}

// ended tells whether nothing more comes of the recording itself.
func (s Status) ended() bool { return s == Callback || s == Finished }

// The codes of failed actions.
const (
	CodeInvalidParam  = "InvalidParam"
	CodeInvalidStatus = "InvalidStatus"
	CodeNoCapacity    = "NoCapacity"
	CodeDraining      = "Draining"
	CodeInternal      = "InternalError"
)

// The codes of failed tasks that the host itself finds; workers report others.
const (
	CodeLaunchFailed   = "LaunchFailed"
	CodeWorkerLost     = "WorkerLost"
	CodeCallbackFailed = "CallbackFailed"
)

// Error is the failure of an action.
type Error struct {
	Code    string        // an ErrorCode of the action API
	Message string        // for the caller
	Wait    time.Duration // before the same action may succeed; zero where waiting does not help
	cause   error
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns what the failure came from, nil for the caller's own mistakes.
func (e *Error) Unwrap() error { return e.cause }

// ErrorCode returns the code.
func (e *Error) ErrorCode() string { return e.Code }

// RetryAfter returns Wait.
func (e *Error) RetryAfter() time.Duration { return e.Wait }

func invalidParam(format string, args ...any) *Error {
	return &Error{Code: CodeInvalidParam, Message: fmt.Sprintf(format, args...)}
}

// internalError is a failure that is not the caller's; its cause goes to the log, not to the caller.
func internalError(what string, cause error) *Error {
	return &Error{Code: CodeInternal, Message: what, cause: cause}
}

func notFound() *Error { return invalidParam("invalid task id, task not found") }
