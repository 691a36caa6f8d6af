// Package proc is a child process: started with a stated environment in a session of its own, watched, ended with
// everything that it started, and never confused with another process that was later given its number.
//
// It owns the rules that plugins, the browser, the encoder and workers share, and nothing about any of them:
//
//   - A child leads its own session and process group, so no terminal and no signal to its parent's group reaches it.
//   - A child and all its descendants carry a mark in their environment. What belongs to a child is what runs in its
//     session, what carries its mark, and what those have started; all of it is ended when the child has ended,
//     however it ended.
//   - When the process that started a child dies, even of SIGKILL, the kernel kills the child, unless it was started
//     Detached.
//   - Signals go through process handles (pidfd) whose owner was verified by its start time. A recycled process
//     number is never signalled.
//
// Linux only. The engine, plugins and plugin authors may use it.
package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// ioDelay bounds how long the end of a child waits for output that a process outside its tree keeps open.
const ioDelay = 2 * time.Second

// Spec says what to start. Path is required; the zero value of everything else works.
type Spec struct {
	Path string   // absolute: what runs never depends on PATH
	Args []string // without the program's own name
	Dir  string   // working directory; empty: this process's

	// Env is the complete environment, as "NAME=value": nothing is inherited. Start adds the child's mark to it.
	Env []string

	// Stdin is the child's standard input; nil: /dev/null. Input and PipeStdin are the other two ways to give one.
	Stdin *os.File

	// Input is what the child reads on its standard input, followed by its end. It is handed over whole before Start
	// returns, so this process may die at once. It may hold secrets: no other process can read it. At most 4 KiB
	// are sure to fit; Start fails when it does not.
	Input []byte

	// PipeStdin and PipeStdout make Start set Child.Stdin and Child.Stdout to this process's end of a pipe. The caller
	// closes both.
	PipeStdin  bool
	PipeStdout bool

	// Stdout and Stderr take what the child writes; nil: nothing does. An *os.File is handed to the child as it is
	// (Stderr only where Detached), any other writer is called from one goroutine. A writer that fails is not called
	// again and costs the child nothing; one that blocks blocks the child.
	Stdout io.Writer
	Stderr io.Writer

	// ExtraFiles become the child's descriptors 3, 4, …; the caller closes its own.
	ExtraFiles []*os.File

	// Credential is the user and groups the child runs as; nil: this process's.
	Credential *syscall.Credential

	// Detached children outlive this process and belong to no other child's tree: no parent-death signal, a mark of
	// their own. Stdout and Stderr are files or nil, since nothing would read a pipe once this process is gone.
	Detached bool
}

// Child is a running or ended child process. All methods may be called from several goroutines.
type Child struct {
	// Stdin and Stdout are this process's ends of the pipes that Spec asked for, nil otherwise. They take deadlines.
	Stdin  *os.File
	Stdout *os.File

	id     Identity
	cmd    *exec.Cmd
	stderr tail
	done   chan struct{}

	exit Exit  // set before done is closed
	err  error // what could not be ended, set before done is closed
}

// Start starts a child. ctx bounds the start alone; the child runs until it ends or is stopped, and its owner must call
// Wait or Stop, or watch Done, to know that it is gone.
func Start(ctx context.Context, s Spec) (*Child, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("proc: start %s: %w", s.Path, context.Cause(ctx))
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("proc: start %q: %w", s.Path, err)
	}
	c := &Child{done: make(chan struct{})}
	mark := newMark(s.Detached)
	c.cmd = s.command(mark)
	theirs, err := c.connect(s)
	if err != nil {
		return nil, fmt.Errorf("proc: start %s: %w", s.Path, err)
	}
	started := make(chan error)
	go c.run(mark, started)
	err = <-started
	closeAll(theirs)
	if err != nil {
		closeAll([]*os.File{c.Stdin, c.Stdout})
		return nil, fmt.Errorf("proc: start %s: %w", s.Path, err)
	}
	return c, nil
}

// check refuses what could not keep the package's guarantees.
func (s *Spec) check() error {
	switch {
	case !filepath.IsAbs(s.Path):
		return errors.New("the path is not absolute")
	case s.Stdin != nil && (s.Input != nil || s.PipeStdin), s.Input != nil && s.PipeStdin:
		return errors.New("more than one standard input")
	case s.Stdout != nil && s.PipeStdout:
		return errors.New("more than one standard output")
	case s.Detached && (s.PipeStdin || s.PipeStdout || !fileOrNil(s.Stdout) || !fileOrNil(s.Stderr)):
		return errors.New("a detached child writes to files only")
	}
	return nil
}

func fileOrNil(w io.Writer) bool {
	if w == nil {
		return true
	}
	_, ok := w.(*os.File)
	return ok
}

func (s *Spec) command(mark string) *exec.Cmd {
	attr := &syscall.SysProcAttr{Setsid: true, Credential: s.Credential}
	if !s.Detached {
		attr.Pdeathsig = syscall.SIGKILL
	}
	return &exec.Cmd{
		Path:        s.Path,
		Args:        append([]string{s.Path}, s.Args...),
		Env:         withMark(s.Env, mark),
		Dir:         s.Dir,
		ExtraFiles:  s.ExtraFiles,
		SysProcAttr: attr,
		WaitDelay:   ioDelay,
	}
}

// connect sets the command's standard streams. It returns the ends that belong to the child, to be closed once the
// child has them.
func (c *Child) connect(s Spec) (theirs []*os.File, err error) {
	defer func() {
		if err != nil {
			closeAll(append(theirs, c.Stdin, c.Stdout))
		}
	}()
	if s.Stdin != nil {
		c.cmd.Stdin = s.Stdin
	}
	if s.Input != nil {
		r, err := filledPipe(s.Input)
		if err != nil {
			return theirs, fmt.Errorf("standard input: %w", err)
		}
		theirs = append(theirs, r)
		c.cmd.Stdin = r
	}
	if s.PipeStdin {
		r, w, err := os.Pipe()
		if err != nil {
			return theirs, fmt.Errorf("standard input: %w", err)
		}
		theirs = append(theirs, r)
		c.cmd.Stdin, c.Stdin = r, w
	}
	if s.PipeStdout {
		r, w, err := os.Pipe()
		if err != nil {
			return theirs, fmt.Errorf("standard output: %w", err)
		}
		theirs = append(theirs, w)
		c.cmd.Stdout, c.Stdout = w, r
	}
	c.connectOutput(s)
	return theirs, nil
}

func (c *Child) connectOutput(s Spec) {
	if _, file := s.Stdout.(*os.File); file {
		c.cmd.Stdout = s.Stdout
	} else if s.Stdout != nil {
		c.cmd.Stdout = &steady{next: s.Stdout}
	}
	if s.Detached {
		if s.Stderr != nil {
			c.cmd.Stderr = s.Stderr
		}
		return
	}
	c.stderr.next = steady{next: s.Stderr}
	c.cmd.Stderr = &c.stderr
}

// run starts the child and waits for its end.
//
// The parent-death signal is sent when the thread that forked ends, not when the process does (golang/go#27505). So the
// goroutine keeps its thread to itself for the child's whole life; it would block in the wait anyway.
func (c *Child) run(mark string, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	if err := c.cmd.Start(); err != nil {
		started <- err
		return
	}
	id, err := identify(c.cmd.Process.Pid, mark)
	if err != nil { // /proc cannot be read: nothing that this package promises could be kept
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
		started <- err
		return
	}
	c.id = id
	started <- nil

	awaitExit(id.PID)
	// The child is a zombie until Wait below, so its number, and with it its session, is still its own.
	err = sweep(id)
	waitErr := c.cmd.Wait()
	if errors.Is(waitErr, exec.ErrWaitDelay) {
		err = errors.Join(err, waitErr)
	}
	if err != nil {
		c.err = fmt.Errorf("proc: end of %s (pid %d): %w", c.cmd.Path, id.PID, err)
	}
	c.exit = exitOf(c.cmd.ProcessState, c.stderr.lines())
	close(c.done)
}

// Identity proves which process this is, to this and to later processes on this machine.
func (c *Child) Identity() Identity { return c.id }

// Done is closed when the child has ended, everything that it started is gone, and its output was taken.
func (c *Child) Done() <-chan struct{} { return c.done }

// Exit says how the child ended. It is the zero Exit until Done is closed.
func (c *Child) Exit() Exit {
	select {
	case <-c.done:
		return c.exit
	default:
		return Exit{}
	}
}

// LastLines are the last lines the child wrote to its standard error: at most twenty, each shortened and free of
// control characters. Empty where Detached.
func (c *Child) LastLines() []string { return c.stderr.lines() }

// Wait returns when Done is closed. Ending ctx ends the wait, not the child. The error is ctx's, or names processes that
// could not be ended; how the child itself ended is no error here but in Exit.
func (c *Child) Wait(ctx context.Context) (Exit, error) {
	select {
	case <-c.done:
		return c.exit, c.err
	case <-ctx.Done():
		return Exit{}, fmt.Errorf("proc: wait for %s (pid %d): %w", c.cmd.Path, c.id.PID, context.Cause(ctx))
	}
}

// Signal sends sig to the child alone. A child that has ended is os.ErrProcessDone.
func (c *Child) Signal(sig syscall.Signal) error {
	if err := c.id.signal(sig); err != nil {
		return fmt.Errorf("proc: signal %s (pid %d): %w", c.cmd.Path, c.id.PID, err)
	}
	return nil
}

// Stop ends the child: TERM to its process group, and after grace, or when ctx ends before, KILL to everything that
// belongs to it. A grace of zero kills at once. It returns when all of it is gone, whatever became of ctx; the error
// names processes that could not be ended. Stopping what has ended returns its Exit again.
func (c *Child) Stop(ctx context.Context, grace time.Duration) (Exit, error) {
	if grace > 0 {
		terminate(c.id)
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-c.done:
			return c.exit, c.err
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return c.Kill()
}

// Kill is Stop without asking first.
func (c *Child) Kill() (Exit, error) {
	select {
	case <-c.done:
	default:
		if err := sweep(c.id); err != nil {
			return Exit{}, fmt.Errorf("proc: kill %s (pid %d): %w", c.cmd.Path, c.id.PID, err)
		}
		<-c.done
	}
	return c.exit, c.err
}

// filledPipe returns the reading end of a pipe that holds b and nothing after it.
func filledPipe(b []byte) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = w.Close() }()
	// A write that would block must fail, not hang: nobody reads yet.
	if err := w.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		_ = r.Close()
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		_ = r.Close()
		return nil, fmt.Errorf("%d bytes do not fit into a pipe: %w", len(b), err)
	}
	return r, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}
