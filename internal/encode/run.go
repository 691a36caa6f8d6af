package encode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/recordhost/recordhost/internal/mp4"
	"github.com/recordhost/recordhost/sdk/proc"
)

// pipeSize is asked for the pipe to ffmpeg, so that a picture takes few switches between the two processes.
const pipeSize = 1 << 20

// outputError marks what the Output answered: another ffmpeg would not change it.
type outputError struct{ err error }

func (e *outputError) Error() string { return e.err.Error() }
func (e *outputError) Unwrap() error { return e.err }

// run is one ffmpeg: fed from the window by one goroutine, read by another, watched by its owner.
type run struct {
	r     *Recorder
	child *proc.Child
	video time.Duration // of the first picture that it is fed
	start int64         // the first sample of sound that it is fed
	from  int64         // the first one that it owes

	over chan struct{} // closed when nothing more is to be fed
	progress
}

// progress is what the watchdog looks at.
type progress struct {
	written   atomic.Int64 // bytes that ffmpeg took
	writing   atomic.Bool  // the feeder waits for ffmpeg to take more
	closed    atomic.Bool  // ffmpeg was told that nothing follows
	storing   atomic.Bool  // the Output is at work, not ffmpeg
	fragments atomic.Int64
	fedSound  atomic.Int64 // the end, in samples, of the sound that ffmpeg was fed
}

// perform starts an ffmpeg and stays with it to its end. nil: the stream was ended, and all of it is with the Output.
func (r *Recorder) perform(ctx context.Context) error {
	child, err := proc.Start(ctx, proc.Spec{
		Path: r.o.FFmpeg, Args: r.o.arguments(), Dir: os.TempDir(), Env: []string{"LC_ALL=C"},
		PipeStdin: true, PipeStdout: true,
	})
	if err != nil {
		return err
	}
	enlarge(child.Stdin)
	n := &run{r: r, child: child, over: make(chan struct{})}
	r.mu.Lock()
	n.video, n.start = r.w.beginning()
	r.covered = max(r.covered, n.start)
	n.from = r.covered
	r.mu.Unlock()

	var feeding sync.WaitGroup
	feeding.Go(n.feed)
	read := make(chan error, 1)
	go func() {
		read <- n.read()
		close(read)
	}()

	cause, readErr := n.watch(ctx, read)
	if cause != nil {
		_, err = child.Stop(context.WithoutCancel(ctx), 0)
	} else {
		_, err = child.Wait(context.WithoutCancel(ctx))
	}
	close(n.over)
	_ = child.Stdin.Close()
	feeding.Wait()
	for err := range read { // when it was not awaited yet
		readErr = err
	}
	_ = child.Stdout.Close()
	return n.verdict(cause, readErr, err)
}

// enlarge makes the pipe hold more. Where the system refuses, the default serves.
func enlarge(f *os.File) {
	if c, err := f.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) })
	}
}

// verdict is the reason why the run ended, nil when it has done its work.
func (n *run) verdict(cause, read, end error) error {
	var out *outputError
	exit := n.child.Exit()
	switch {
	case errors.As(read, &out):
		return read
	case cause != nil:
		return fmt.Errorf("%w; its last words: %q", cause, exit.Stderr)
	case exit.Err() != nil:
		return fmt.Errorf("ffmpeg ended: %w", exit.Err())
	case read != nil:
		return fmt.Errorf("what ffmpeg wrote: %w", read)
	case end != nil:
		return end
	case !n.closed.Load():
		return fmt.Errorf("ffmpeg ended before its input did; its last words: %q", exit.Stderr)
	}
	return nil
}

// feed writes the window to ffmpeg until ffmpeg takes no more or the stream has been ended.
func (n *run) feed() {
	head := matroskaHead(n.r.o.Width, n.r.o.Height, n.r.o.FPS)
	for {
		n.r.mu.Lock()
		b, pic, items := n.r.w.batch(head)
		finishing := n.r.finishing
		n.r.mu.Unlock()
		if !n.write(b) || !n.write(pic) {
			return
		}
		if items > 0 {
			n.r.mu.Lock()
			n.fedSound.Store(max(n.fedSound.Load(), n.r.w.took(items)))
			n.r.mu.Unlock()
		}
		head = b[:0]
		if items > 0 {
			continue
		}
		if finishing {
			n.closed.Store(true)
			_ = n.child.Stdin.Close()
			return
		}
		select {
		case <-n.r.wake:
		case <-n.over:
			return
		}
	}
}

func (n *run) write(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	n.writing.Store(true)
	k, err := n.child.Stdin.Write(b)
	n.written.Add(int64(k))
	n.writing.Store(false)
	return err == nil
}

// read hands what ffmpeg writes to the Output, to the end of it. How ffmpeg ended is not its business: a stream that was
// cut short is no error.
func (n *run) read() error {
	stream := mp4.NewReader(n.child.Stdout)
	head, in, err := stream.Init()
	if err != nil {
		return unlessCut(err)
	}
	n.r.mu.Lock()
	begun := mp4.Run{Init: in, Video: n.video, Audio: n.r.w.soundTime(n.start), AudioFrom: n.r.w.soundTime(n.from)}
	n.r.mu.Unlock()
	if err := n.store(func() error { return n.r.out.Begin(begun, head) }); err != nil {
		return err
	}
	var packets int64
	for {
		data, f, err := stream.Next()
		if err != nil {
			return unlessCut(err)
		}
		if err := n.store(func() error { return n.r.out.Fragment(f, data) }); err != nil {
			return err
		}
		packets += int64(len(f.Audio))
		n.r.gave(f, in, n.start+max(0, packets-1)*mp4.Packet)
		n.fragments.Add(1)
	}
}

func (n *run) store(call func() error) error {
	n.storing.Store(true)
	defer n.storing.Store(false)
	if err := call(); err != nil {
		return &outputError{err}
	}
	return nil
}

func unlessCut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
