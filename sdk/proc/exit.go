package proc

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// Exit says how a child ended.
type Exit struct {
	Code   int            // the exit code; -1 when a signal ended it
	Signal syscall.Signal // that ended it, or 0
	CPU    time.Duration  // user and system time of the child and of the children it waited for
	MaxRSS int64          // bytes, the largest resident set among them
	Stderr []string       // its last lines, as Child.LastLines
}

// ExitError is an Exit that is not success.
type ExitError struct {
	Exit Exit
}

// Err is nil when the child ended with code 0, an *ExitError otherwise.
func (e Exit) Err() error {
	if e.Code == 0 && e.Signal == 0 {
		return nil
	}
	return &ExitError{Exit: e}
}

// Error tells code or signal, and what the child said last.
func (e *ExitError) Error() string {
	text := fmt.Sprintf("exit code %d", e.Exit.Code)
	if e.Exit.Signal != 0 {
		text = "signal: " + e.Exit.Signal.String()
	}
	if n := len(e.Exit.Stderr); n > 0 {
		text += ": " + strings.Join(e.Exit.Stderr[max(0, n-3):], " / ")
	}
	return text
}

func exitOf(state *os.ProcessState, lines []string) Exit {
	e := Exit{Code: state.ExitCode(), CPU: state.UserTime() + state.SystemTime(), Stderr: lines}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		e.Signal = ws.Signal()
	}
	if ru, ok := state.SysUsage().(*syscall.Rusage); ok {
		e.MaxRSS = ru.Maxrss << 10
	}
	return e
}
