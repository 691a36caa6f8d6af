package control

import "time"

// Event is something that happened to a recording. A worker makes it with Client.Emit, which stamps it.
type Event struct {
	Number   uint64    // counts the events of one epoch from 1, without a hole
	Time     time.Time // when it happened, by the worker's clock
	Applied  uint64    // the last command that had taken effect before
	Progress Progress  // the figures at that time
	Body     Body      // what happened; nil: something that this release does not know
}

// Body says what happened. It is one of the types below.
type Body interface{ body() }

// The life of a recording that goes well is Loaded, Started, Stopping, Whole, Delivered, Done. Where nothing was
// recorded it is Done alone, after Failed if something failed.
type (
	// Loaded tells that the page is open.
	Loaded struct{}

	// Started tells that the first frame was recorded.
	Started struct{ At time.Time }

	// Paused tells that the recording's time stands still, by command or by the page.
	Paused struct{}

	// Resumed tells that the recording's time goes on, by command or by the page.
	Resumed struct{}

	// Refreshed tells that the page was loaded again.
	Refreshed struct{}

	// Gap tells what is absent from the file.
	Gap struct {
		At     time.Duration // in the recording
		Length time.Duration
		Cause  string
	}

	// Restart tells that a part of the worker was started anew.
	Restart struct {
		What  string // "page", "browser", "encoder", "worker"
		Cause string
	}

	// Stopping tells that nothing is recorded any more.
	Stopping struct{ Reason Reason }

	// Whole tells that the file is whole.
	Whole struct {
		Size     int64
		Duration time.Duration
	}

	// Delivered tells that every target has confirmed its files. It comes once.
	Delivered struct{ Deliveries []Delivery }

	// Failed tells that something failed for good. What was recorded may still be finished and delivered after it.
	Failed struct {
		Code    string // an ErrorCode of the action API
		Message string
	}

	// Done tells that the worker has nothing left to do: its last event.
	Done struct{}
)

func (Loaded) body()    {}
func (Started) body()   {}
func (Paused) body()    {}
func (Resumed) body()   {}
func (Refreshed) body() {}
func (Gap) body()       {}
func (Restart) body()   {}
func (Stopping) body()  {}
func (Whole) body()     {}
func (Delivered) body() {}
func (Failed) body()    {}
func (Done) body()      {}

// Delivery is what one target has.
type Delivery struct {
	Storage  string // the storage's name in the configuration
	Filename string // of the file that people open
	Size     int64  // bytes of all files, as the store reports them
	Duration time.Duration
	ID       string // the store's own id, where it has one
	URL      string
}

// Reason says why capture ended.
type Reason string

// The reasons.
const (
	ReasonStop   Reason = "stop"   // the host said so, or is gone
	ReasonLimit  Reason = "limit"  // the recording is as long as it may be
	ReasonPage   Reason = "page"   // the page said so
	ReasonFailed Reason = "failed" // it could not go on
)

// Progress holds a recording's figures. They only grow, but for Spooled.
type Progress struct {
	Recorded  time.Duration
	Delivered int64 // bytes that the storage has confirmed
	Spooled   int64 // bytes in the spool
	Frames    uint64
	Dropped   uint64 // frames that were lost because the encoder was behind
	Silent    time.Duration
	CPU       time.Duration // of the worker and its children
}

// Plus adds the figures of a worker to those of the workers before it. What is counted is added; how far the recording
// is, the later worker says for all.
func (p Progress) Plus(later Progress) Progress {
	later.Frames += p.Frames
	later.Dropped += p.Dropped
	later.Silent += p.Silent
	later.CPU += p.CPU
	later.Recorded = max(later.Recorded, p.Recorded)
	later.Delivered = max(later.Delivered, p.Delivered)
	return later
}

// Command is one thing to do. Both ends know it by its number.
type Command struct {
	Number uint64 // counts the task's commands from 1
	Kind   CommandKind
	Asked  time.Time // when, in the task's time
}

// CommandKind says what is to be done.
type CommandKind string

// The kinds of commands.
const (
	CommandPause   CommandKind = "pause"
	CommandResume  CommandKind = "resume"
	CommandRefresh CommandKind = "refresh"
	CommandStop    CommandKind = "stop"
)
