package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// pollEvery is how often the end of a process is looked for on kernels without process handles.
const pollEvery = 100 * time.Millisecond

// AdoptOrphans makes this process the parent of descendants whose own parent ends, in place of the machine's first
// process. They are waited for when the child that they stem from ends. For processes that start programs which leave
// such orphans behind; it holds until this process ends.
func AdoptOrphans() error {
	const setChildSubreaper = 36 // PR_SET_CHILD_SUBREAPER of prctl(2)
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, setChildSubreaper, 1, 0); errno != 0 {
		return fmt.Errorf("proc: adopt orphans: %w", errno)
	}
	return nil
}

// awaitExit blocks until the child has ended, and leaves it to be waited for.
func awaitExit(pid int) {
	const (
		byNumber = 1          // P_PID of waitid(2)
		exited   = 0x4        // WEXITED
		leave    = 0x01000000 // WNOWAIT
	)
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, byNumber, uintptr(pid), 0, exited|leave, 0, 0)
		if errno != syscall.EINTR {
			return
		}
	}
}

// awaitEnd returns nil when the process itself has ended. It need not be a child.
func (id Identity) awaitEnd(ctx context.Context) error {
	handle, err := os.FindProcess(id.PID)
	if err != nil {
		return err
	}
	defer func() { _ = handle.Release() }()
	// As in signal: after this the handle is known to be the process's own.
	running, err := id.Running()
	if err != nil || !running {
		return err
	}
	var end *os.File
	var dupErr error
	err = handle.WithHandle(func(fd uintptr) { end, dupErr = pollable(fd) })
	if errors.Is(err, os.ErrNoHandle) {
		return id.poll(ctx)
	}
	if err := errors.Join(err, dupErr); err != nil {
		return err
	}
	defer func() { _ = end.Close() }()
	return awaitReadable(ctx, end, func() (bool, error) {
		running, err := id.Running()
		return !running, err
	})
}

// pollable is a copy of a descriptor that the runtime's poller waits for.
func pollable(fd uintptr) (*os.File, error) {
	dup, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		return nil, errno
	}
	if err := syscall.SetNonblock(int(dup), true); err != nil {
		_ = syscall.Close(int(dup))
		return nil, err
	}
	return os.NewFile(dup, "pidfd"), nil
}

// awaitReadable asks ended at once and each time f becomes readable, which a process handle does when its process ends.
func awaitReadable(ctx context.Context, f *os.File, ended func() (bool, error)) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var askErr error
	err = conn.Read(func(uintptr) bool {
		var done bool
		done, askErr = ended()
		return done || askErr != nil
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return context.Cause(ctx)
	}
	return errors.Join(err, askErr)
}

// poll is awaitEnd without process handles.
func (id Identity) poll(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		running, err := id.Running()
		if err != nil || !running {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
