// Package runtime is the contract of a runtime plugin: where a recording runs.
//
// A driver starts workers, finds them again after it or the host was killed, and ends them. It never sees what is
// recorded: a worker fetches its work over the control stream that it dials itself. Plugin authors implement Driver
// and call Serve; the host holds the same interface, in front of gRPC.
package runtime

import (
	"context"
	"time"
)

// Driver says where recordings run. Every method may be called from several goroutines at once. A driver keeps no
// state that it could not lose: what must survive is in the Handle, which the host stores.
//
// Errors carry a kind of package status: NoCapacity when Launch finds no room (the host refuses the Start),
// InvalidArgument for a Handle this driver did not make, NotFound from Wait and Kill for a worker that is StateNotHere,
// Unavailable for what may work when tried again.
type Driver interface {
	// Capacity says how many workers run and how many more could.
	Capacity(ctx context.Context) (Capacity, error)

	// Launch starts one worker and answers as soon as it is known to have been started; it does not wait for the
	// worker to dial the host. A second Launch with the same task and epoch is harmless: the token admits one worker.
	// A launch of a higher epoch takes the room of the worker before it, which is lost: it need not find room of its own.
	// When ctx ends, Launch may have started a worker or not; the host launches again with a higher epoch.
	Launch(ctx context.Context, l Launch) (Handle, error)

	// Recover says what became of a worker that this or an earlier instance of the driver launched. It is idempotent
	// and never disturbs the worker. A process that merely has the worker's old number is StateGone, not running.
	Recover(ctx context.Context, h Handle) (State, error)

	// Wait returns when the worker has ended, at once when it has already. Ending ctx ends the wait, not the worker.
	Wait(ctx context.Context, h Handle) (Exit, error)

	// Kill asks the worker to end, and after grace ends it and all its children. It returns when they are gone; a
	// worker that is gone already is no error. A grace of zero kills at once. Only what the handle proves to be
	// the worker is ever signalled.
	Kill(ctx context.Context, h Handle, grace time.Duration) error
}

// Launch is all that a driver learns of a recording.
type Launch struct {
	TaskID string // of the task, [A-Za-z0-9_-]{1,64}
	Epoch  uint64 // counts the launches of this task from 1; a higher epoch fences a lower one

	// Control lists the addresses under which the worker can reach the host, best first: "unix:/path" or
	// "tls://host:port".
	Control []string

	// Token admits one worker of this task and epoch to the control stream. It reaches the worker by a way that
	// no other process can read: not by its arguments, not by its environment where children inherit it.
	Token string

	Resources Resources
}

// Resources is what the recording is expected to need at its peak.
type Resources struct {
	MilliCPU    int64 // thousandths of a core
	MemoryBytes int64
	DiskBytes   int64 // of the spool, 0 if unknown
}

// Handle identifies one worker of one driver. It is opaque to the host, at most 4 KiB, and meaningful to any later
// instance of the same driver; it proves identity (boot, process number and its start time, say), it does not
// merely name.
type Handle []byte

// State is what a driver knows about a worker.
type State int

// The states of a worker.
const (
	StateUnknown State = iota // never answered without an error
	StateRunning              // it runs, and Wait and Kill reach it
	StateGone                 // it runs no more, nor do its children
	StateNotHere              // it was launched on another machine or boot, and is not ours to judge
)

// Exit says how a worker ended.
type Exit struct {
	// Known is false when the driver can only tell that the worker is gone, as after a restart of the driver.
	Known  bool
	Code   int    // the process's exit code; -1 when a signal ended it
	Signal string // such as "killed"; empty when none did
	Reason string // what the driver knows beyond that, for people: "out of memory"; may be empty
}

// Capacity of a driver. A negative Free means that it is not known: the only way to learn it is to try.
type Capacity struct {
	Running int
	Free    int
}
