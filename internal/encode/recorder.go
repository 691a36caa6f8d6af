package encode

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/recordhost/recordhost/internal/mp4"
)

const (
	// patience is how many ffmpegs in a row may fail; one that has brought proof of samples counts as healthy.
	patience = 5
	proof    = 10 * sampleRate

	// respite is the wait after the second failure in a row; it doubles.
	respite = 100 * time.Millisecond

	// portion is how much sound waits for a picture to go to ffmpeg with, before it goes alone: waking up costs more than
	// the sound itself.
	portion = 100 * time.Millisecond
)

// ErrFailed is why a Recorder gave up: no ffmpeg stays alive, or none keeps up with the sound.
var ErrFailed = errors.New("the encoder failed")

// errGivenUp is why a Recorder ended that was told to stop.
var errGivenUp = errors.New("encode: stopped")

// Output takes what comes out of the encoder, in order, from one goroutine at a time. An error ends the Recorder. While it
// blocks, media waits in memory.
type Output interface {
	// Begin announces a run of ffmpeg: what its stream begins with, and the bytes of that.
	Begin(run mp4.Run, head []byte) error
	// Fragment takes one fragment of the run; data is valid during the call. What it holds is given up when it returns.
	Fragment(f *mp4.Fragment, data []byte) error
}

// Restart tells that an ffmpeg died or hung, and that another goes on. The sound is whole in any case.
type Restart struct {
	At    time.Duration // recorded time at which the new one begins
	Lost  time.Duration // how long before the picture stands still in the file, because pictures were lost; usually zero
	Cause error
}

// Stats are a Recorder's counts so far.
type Stats struct {
	Frames   int // pictures taken
	Dropped  int // pictures not taken, or lost in a restart
	Restarts int
}

// Recorder encodes one recording, with one ffmpeg after another if it must. Whoever makes one calls Finish or Stop.
type Recorder struct {
	o      Options
	out    Output
	log    *slog.Logger
	cancel context.CancelCauseFunc
	wake   chan struct{} // the feeder has something to do
	done   chan struct{}

	mu        sync.Mutex
	w         *window
	finishing bool
	ended     bool
	covered   int64 // the sound, in samples, that is in fragments
	stats     Stats
	err       error
}

// New returns a Recorder. It starts ffmpeg with the first picture; both pictures and sound must come then.
func New(o Options, out Output) (*Recorder, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	r := &Recorder{
		o: o, out: out, log: o.Log,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
		w: newWindow(o.Width*o.Height*3/2, o.Memory, o.delay()),
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.w.keys.every = o.Segment
	ctx, cancel := context.WithCancelCause(context.Background())
	r.cancel = cancel
	go r.work(ctx)
	return r, nil
}

// Video takes a picture in I420, valid from pts on, the recorded time. The bytes are copied. False: it was dropped, the
// encoder is behind.
func (r *Recorder) Video(pts time.Duration, i420 []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.finishing || r.ended {
		return false
	}
	if len(i420) != r.w.size || !r.w.video(pts, i420) {
		r.stats.Dropped++
		return false
	}
	r.stats.Frames++
	r.nudge()
	return true
}

// Audio takes interleaved stereo sound of 48 kHz that begins at pts. The samples are copied.
func (r *Recorder) Audio(pts time.Duration, pcm []float32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.finishing || r.ended {
		return
	}
	if !r.w.audio(pts, pcm) {
		r.cancel(fmt.Errorf("%w: it is %v behind the sound", ErrFailed, maxSound))
	}
	if r.w.waitingSound() >= samples(portion) {
		r.nudge()
	}
}

func (r *Recorder) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Key has decoding be able to begin with the first picture at or after a recorded time, and a segment begin there, where there
// are segments: something is missing before it.
func (r *Recorder) Key(at time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.w.keys.ask(at)
}

// Finish ends the stream and waits until all of it is with the Output; also where an ffmpeg fails on the way. When ctx
// ends before, what is missing is lost. It returns what Err does.
func (r *Recorder) Finish(ctx context.Context) error {
	r.mu.Lock()
	if !r.finishing && !r.ended {
		r.w.finish()
		r.finishing = true
	}
	r.mu.Unlock()
	r.nudge()
	select {
	case <-r.done:
	case <-ctx.Done():
		r.cancel(fmt.Errorf("encode: finish: %w", context.Cause(ctx)))
		<-r.done
	}
	return r.Err()
}

// Stop gives up what is not with the Output yet. It returns when ffmpeg is gone.
func (r *Recorder) Stop() {
	r.cancel(errGivenUp)
	<-r.done
}

// Done is closed when the Recorder has ended, by itself or not.
func (r *Recorder) Done() <-chan struct{} { return r.done }

// Err says why the Recorder ended: nil when it was finished, or is still at work; ErrFailed; or what the Output answered.
func (r *Recorder) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Stats returns the counts so far.
func (r *Recorder) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}

// work runs one ffmpeg after another until the stream has ended.
func (r *Recorder) work(ctx context.Context) {
	defer close(r.done)
	err := r.awaitPicture(ctx)
	failures := 0
	for err == nil {
		began := r.position()
		err = r.perform(ctx)
		var out *outputError
		switch {
		case err == nil:
			r.end(nil)
			return
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case errors.As(err, &out):
			err = out.err
		default:
			if r.position()-began >= proof {
				failures = 0
			}
			failures++
			if r.complete() {
				r.end(nil)
				return
			}
			err = r.again(ctx, failures, err)
		}
	}
	if errors.Is(err, errNothing) {
		err = nil
	}
	r.end(err)
}

// errNothing ends a Recorder that was never given a picture.
var errNothing = errors.New("no picture")

func (r *Recorder) awaitPicture(ctx context.Context) error {
	for {
		r.mu.Lock()
		_, ready := r.w.oldestWaiting()
		finishing := r.finishing
		r.mu.Unlock()
		switch {
		case ready:
			return nil
		case finishing:
			return errNothing
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// again prepares another run after the given number of failures in a row, or says why there is none.
func (r *Recorder) again(ctx context.Context, failures int, cause error) error {
	if failures > patience {
		return fmt.Errorf("%w: %d times in a row, the last time: %w", ErrFailed, failures, cause)
	}
	r.mu.Lock()
	lost, pictures := r.w.owed(r.covered)
	at := r.w.soundTime(r.covered)
	r.stats.Dropped += pictures
	r.stats.Restarts++
	r.mu.Unlock()
	r.log.Warn("ffmpeg failed, starting another", "err", cause, "failures", failures, "at", at, "lost", lost)
	if r.o.Restarted != nil {
		r.o.Restarted(Restart{At: at, Lost: lost, Cause: cause})
	}
	if failures == 1 {
		return nil
	}
	timer := time.NewTimer(respite << (failures - 2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *Recorder) position() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.covered
}

// complete tells that the stream was ended and nothing of it is missing, however ffmpeg ended.
func (r *Recorder) complete() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.finishing && r.w.complete(r.covered)
}

// gave records what a fragment brought: its pictures, and sound up to a sample.
func (r *Recorder) gave(f *mp4.Fragment, in *mp4.Init, sound int64) {
	shown := make([]time.Duration, len(f.Video))
	sync := make([]bool, len(f.Video))
	for i, s := range f.Video {
		shown[i] = time.Duration(s.Present)*time.Second/time.Duration(in.Video.Timescale) - origin
		sync[i] = s.Sync
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.covered = max(r.covered, min(sound, r.w.soundEnd))
	r.w.gave(shown, sync, r.covered)
}

func (r *Recorder) end(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	if !errors.Is(err, errGivenUp) {
		r.err = err
	}
}
