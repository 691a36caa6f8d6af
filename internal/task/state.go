package task

import (
	"time"

	"github.com/recordhost/recordhost/internal/control"
)

// State is all that the rules know of a task. It is stored as it is.
type State struct {
	Status     Status
	StartTime  time.Time // zero until it is set, as are the others
	CancelTime time.Time
	StopTime   time.Time
	FinishTime time.Time

	// WantsCallback: the caller is to be told the result.
	WantsCallback bool

	// Command is the number of the last command. Steering is that of the last one which says whether the recording's
	// time runs; what a worker reports from before it is not news.
	Command  uint64
	Steering uint64
	// Pending are the commands that are not known to have taken effect.
	Pending []control.Command

	Failure       *Failure // what failed for good: the code of the first thing, and the text of all
	Undelivered   *Failure // why not every target has the recording; the spool is kept then
	CallbackError string   // why the caller could not be told
	Deliveries    []control.Delivery
	Gaps          []control.Gap
	Restarts      int

	// Losses are when the latest workers were lost, the oldest first; LostAt is since when there is none, zero while
	// there is one that reports.
	Losses []time.Time
	LostAt time.Time
	// Salvage: no further worker opens the page. What was recorded is made whole and delivered.
	Salvage bool

	// Retry is set while the upload of a finished task is tried again.
	Retry *Retry `json:",omitempty"`
}

// Retry is an upload that is tried again.
type Retry struct {
	Since  time.Time
	Failed *Failure // what its workers told so far
}

// live tells whether there is work for a worker.
func (s State) live() bool { return !s.Status.ended() || s.Retry != nil }

// unstored tells whether an upload has failed that can be tried again.
func (s State) unstored() bool {
	if s.Undelivered != nil {
		return true
	}
	return s.Failure != nil && len(s.Deliveries) == 0 && (s.Failure.Code == codeDiskFull || isUpload(s.Failure.Code))
}

// codeDiskFull is the code under which a worker tells that the recording's own disk takes nothing more.
const codeDiskFull = "DiskFull"

// isUpload tells whether a worker's code says that the recording is whole, and a storage does not have it.
func isUpload(code string) bool {
	return code == "UploadFailed" || code == "UploadDenied" || code == "TargetExists"
}

// latest is the time of the last thing that is known to have happened: nothing happens before it.
func (s State) latest() time.Time {
	last := s.StartTime
	for _, t := range []time.Time{s.CancelTime, s.StopTime, s.FinishTime} {
		last = later(last, t)
	}
	return last
}

// salvage says that a worker that is launched now is not to open the page.
func (s State) salvage() bool {
	return s.Salvage || s.Status == Transcode || s.Status == Upload || s.Status == Canceled || s.Retry != nil
}

// Failure is why a task failed.
type Failure struct {
	Code    string
	Message string
}

// Event is something that happens to a task.
type Event struct {
	At   time.Time
	What any // one of the types below
}

// The first five come from the caller, Report from the worker, the others from the host itself.
type (
	// PauseAsked is the action Pause.
	PauseAsked struct{}
	// ResumeAsked is the action Resume.
	ResumeAsked struct{}
	// RefreshAsked is the action Refresh.
	RefreshAsked struct{}
	// StopAsked is the action Stop.
	StopAsked struct{}
	// RetryAsked is the action RetryUpload.
	RetryAsked struct{}

	// Report is what the worker told.
	Report struct {
		Applied uint64 // the last command that had taken effect
		Body    control.Body
	}

	// LaunchFailed tells that there is no worker, and that it is hopeless to launch one.
	LaunchFailed struct{ Code, Message string }
	// WorkerLost tells that the worker is gone before it was done.
	WorkerLost struct {
		Code, Message string // what the task fails with, if it does
		Unheard       bool   // it may have recorded what nobody was told of
	}
	// LifetimeOver tells that the task has been going for as long as any task may.
	LifetimeOver struct{}
	// CallbackAccepted tells that the caller was told.
	CallbackAccepted struct{}
	// CallbackGivenUp tells that the caller could not be told.
	CallbackGivenUp struct{ Message string }
)

// Effect is what must follow once a change was stored.
type Effect any

// The effects.
type (
	// Send gives the worker a command. It is among the state's pending ones.
	Send struct{ Command control.Command }
	// Release lets the worker go: it is given time to end, and then ended.
	Release struct{}
	// Relaunch launches another worker in place of one that is gone.
	Relaunch struct{}
	// Call tells the caller the result.
	Call struct{}
)

// failure is what the document says of what went wrong. The callback's failure does not hide an earlier one.
func (s State) failure() (code, message string) {
	const given = "Callback failed even all tries. last error message:"
	f := s.Failure
	if s.Undelivered != nil {
		f = failed(f, *s.Undelivered)
	}
	switch {
	case f == nil && s.CallbackError == "":
		return "", ""
	case f == nil:
		return CodeCallbackFailed, given + s.CallbackError
	case s.CallbackError == "":
		return f.Code, f.Message
	default:
		return f.Code, f.Message + "; " + given + s.CallbackError
	}
}
