package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/recordhost/recordhost/internal/browser"
	"github.com/recordhost/recordhost/internal/capture"
	"github.com/recordhost/recordhost/internal/control"
	"github.com/recordhost/recordhost/internal/encode"
	"github.com/recordhost/recordhost/internal/scratch"
	"github.com/recordhost/recordhost/internal/spool"
	"github.com/recordhost/recordhost/sdk/proc"
)

const (
	paintWithin   = 10 * time.Second        // for a page that has loaded to show its first picture
	settleWithin  = 1500 * time.Millisecond // for the depth of Chrome's pipeline to be measured before recording begins
	finishWithin  = 20 * time.Second        // for ffmpeg to write what it has, once it gets no more
	closeWithin   = 5 * time.Second         // for Chrome to end
	reportEvery   = 2 * time.Second         // the heartbeat that carries the figures is no faster
	vacateWithin  = 30 * time.Second        // for an earlier worker to leave the spool
	reopenPause   = 3 * time.Second         // before a page that was there and did not load again is tried once more
	refreshWithin = 60 * time.Second        // for a page that is loaded again
)

// recording is one recording of one page. One goroutine, run's, owns its state; what it lends to another one, it waits for.
type recording struct {
	client *control.Client
	parts  Parts
	spec   control.Spec
	log    *slog.Logger
	self   proc.Identity

	private *scratch.Dir
	dir     string // its path, which is short: for sockets and Chrome's files
	spool   *spool.Spool
	screen  Screen
	stage   stage
	encoder Encoder
	pending []browser.PageCall // startRecord, called before the page was ready
	ready   *time.Timer        // fires when a page that should call it has had its time

	loaded, paused bool
	begun          bool // there is something to be recorded, by this worker or one before
	outage         *outage
	faults         faults
	outbox         *outbox // nil before there is something to be recorded
}

func newRecording(client *control.Client, parts Parts, log *slog.Logger) *recording {
	r := &recording{client: client, parts: parts.complete(), spec: client.Spec(), log: log, stage: stage{end: func() {}}}
	if self, err := proc.Self(); err == nil {
		r.self = self
	}
	return r
}

// run records and delivers. Its error is why the recording as a whole failed; what was captured before has then been
// delivered all the same, as far as that was possible.
func (r *recording) run(ctx context.Context) (err error) {
	if r.spool, err = r.openSpool(ctx); err != nil {
		return fmt.Errorf("worker: open the spool: %w", err)
	}
	reason, cause := r.record(ctx)
	if !r.begun || errors.Is(cause, errOver) {
		return cause
	}
	ctx, release := r.untilRefused(ctx)
	defer release()
	if cause != nil {
		r.fail(cause)
	}
	file, err := r.finish(ctx, reason)
	if err != nil {
		if !r.refused() {
			r.outbox.discard(ctx)
		}
		return err
	}
	return r.deliver(ctx, file)
}

// openSpool waits for a worker before this one that is still taking its leave.
func (r *recording) openSpool(ctx context.Context) (*spool.Spool, error) {
	for deadline := time.Now().Add(vacateWithin); ; {
		s, err := spool.Open(filepath.Join(r.spec.SpoolDir, "spool"), r.log)
		if !errors.Is(err, spool.ErrInUse) || time.Now().After(deadline) {
			return s, err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-r.client.Refused():
			return nil, errOver
		case <-ctx.Done():
			return nil, errUnbegun
		}
	}
}

// record captures until someone or something ends that. Where an earlier worker was at work, it goes on from there, or
// finds that nothing is left to be captured.
func (r *recording) record(ctx context.Context) (control.Reason, error) {
	facts := r.spool.Facts()
	left := facts.Left()
	if left.Begun {
		r.takeOver(left)
	}
	switch {
	case facts.Ended, left.Over, r.spec.Salvage:
		return control.ReasonStop, nil
	case left.Begun && left.At >= r.spec.MaxDuration:
		return control.ReasonLimit, nil
	case r.tooLong():
		return control.ReasonFailed, r.outageTooLong()
	}
	if err := r.open(); err != nil {
		return control.ReasonFailed, err
	}
	return r.watch(ctx)
}

// takeOver goes on where an earlier worker was.
func (r *recording) takeOver(left spool.Left) {
	r.begun, r.paused, r.outage = true, left.Paused, inherited(left)
	r.log.Info("going on with what an earlier worker has recorded", "recorded", left.At, "paused", left.Paused)
	began := r.client.Now()
	if marks := r.spool.Facts().Marks; len(marks) > 0 {
		began = marks[0].Time
	}
	r.emit(control.Started{At: began}) // the one before may not have come to say so; the host takes the first
	r.emit(control.Restart{What: "worker", Cause: "the one before was lost"})
	r.sendEarly()
}

// untilRefused answers a context for what follows the capture: it is finished and delivered, whatever ended it, unless the
// host refuses this worker. From then on another one may be writing. release frees what the context holds.
func (r *recording) untilRefused(ctx context.Context) (_ context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-r.client.Refused():
			cancel(errOver)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil); <-watched }
}

// open makes the screen and the sound card.
func (r *recording) open() (err error) {
	if _, err = r.privateDir(); err != nil {
		return err
	}
	// Chrome's user must get through to its own directories, and see nothing else.
	if err := os.Chmod(r.dir, 0o711); err != nil {
		return fmt.Errorf("worker: open the way to Chrome's directories: %w", err)
	}
	sockets := filepath.Join(r.dir, "s")
	if err := os.Mkdir(sockets, 0o700); err != nil {
		return fmt.Errorf("worker: make a directory for the sockets: %w", err)
	}
	user := browser.DefaultUser()
	width, height := browser.WindowSize(r.spec.Width, r.spec.Height)
	r.screen, err = r.parts.Screen(capture.Config{
		Dir: sockets, UID: user.UID, GID: user.GID,
		Width: r.spec.Width, Height: r.spec.Height, WindowW: width, WindowH: height,
		FPS: r.spec.Video.FPS, Constant: r.spec.Video.ConstantFrameRate, PageScale: r.spec.Browser.DeviceScaleFactor,
		Base: r.recorded(), Limit: r.spec.MaxDuration,
		Log: r.log,
	})
	return err
}

// recorded is the recorded time so far.
func (r *recording) recorded() time.Duration {
	switch {
	case r.screen != nil:
		return r.screen.Stats().Recorded
	case r.outage != nil:
		return r.outage.at
	}
	return 0
}

// begin starts to record what the page shows: from the beginning, or behind what an earlier worker has left.
func (r *recording) begin(ctx context.Context) error {
	r.settle(ctx)
	v := r.spec.Video
	encoder, err := r.parts.Encoder(encode.Options{
		FFmpeg: r.spec.FFmpegPath, Width: (r.spec.Width + 1) &^ 1, Height: (r.spec.Height + 1) &^ 1,
		FPS: v.FPS, CRF: v.CRF, Bitrate: v.Bitrate, Preset: v.Preset, AudioBitrate: v.AudioBitrate,
		Segment: r.segment(), Restarted: r.encoderRestarted, Log: r.log,
	}, r.spool)
	if err != nil {
		return fmt.Errorf("worker: prepare the encoder: %w", err)
	}
	if r.outage != nil {
		if err := r.spool.Gap(r.outage.at, r.outage.missing(r.client.Now()), r.outage.cause); err != nil {
			encoder.Stop()
			return fmt.Errorf("worker: go on with the spool: %w", err)
		}
	}
	at := r.client.Now()
	if r.outage == nil {
		r.mark(spool.MarkRuns)
	}
	if err := r.screen.Record(encoder); err != nil {
		encoder.Stop()
		return fmt.Errorf("worker: begin to record: %w", err)
	}
	r.encoder = encoder
	if r.outage != nil {
		r.regain(ctx)
		return nil
	}
	r.begun = true
	r.sendEarly()
	r.emit(control.Started{At: at})
	r.tellPage(ctx, "recording")
	return nil
}

// settle waits for the depth of Chrome's pipeline to be known.
func (r *recording) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	r.screen.Settle(ctx)
}

// lose begins an outage: nothing can be captured until another Chrome shows the page.
func (r *recording) lose(cause error) {
	if !r.begun || r.outage != nil {
		return
	}
	r.screen.Pause()
	r.outage = &outage{at: r.recorded(), cause: cause.Error(), code: codeOf(cause)}
	if !r.paused {
		r.outage.since = r.client.Now()
		r.mark(spool.MarkLost)
	}
}

// regain ends an outage: the recording goes on, unless it is paused.
func (r *recording) regain(ctx context.Context) {
	now := r.client.Now()
	gap := control.Gap{At: r.outage.at, Length: r.outage.missing(now), Cause: r.outage.cause}
	r.outage = nil
	r.encoder.Key(gap.At)
	if gap.Length > 0 {
		r.emit(gap) // before the mark: told twice is better than never
	}
	if !r.paused {
		r.screen.Resume()
		r.mark(spool.MarkRuns)
	}
	r.tellPage(ctx, r.status())
}

// tooLong says that so much is missing that the page is not opened again.
func (r *recording) tooLong() bool {
	return r.outage != nil && r.spec.ResumeWithin > 0 && r.outage.missing(r.client.Now()) > r.spec.ResumeWithin
}

func (r *recording) outageTooLong() error {
	return &failure{r.outage.code, fmt.Errorf("nothing could be recorded for more than %v (%s): the recording was ended there",
		r.spec.ResumeWithin, r.outage.cause)}
}

// encoderRestarted is called by the encoder when an ffmpeg died and another took over. It is no gap: the sound is whole,
// and pictures that could not be fed again count as dropped.
func (r *recording) encoderRestarted(e encode.Restart) {
	r.log.Warn("ffmpeg was replaced", "at", e.At, "lost", e.Lost, "err", e.Cause)
	r.emit(control.Restart{What: "encoder", Cause: e.Cause.Error()})
}

// finish ends the capture and makes the file whole.
func (r *recording) finish(ctx context.Context, reason control.Reason) (spool.File, error) {
	length := r.recorded()
	if r.screen != nil && r.encoder != nil {
		length = r.screen.Stop(ctx)
	}
	r.over(length)
	r.emit(control.Stopping{Reason: reason})
	closed := make(chan struct{})
	go func() { defer close(closed); r.stage.close(ctx, r.log) }()
	defer func() { <-closed }()

	if r.encoder != nil {
		bounded, cancel := context.WithTimeout(ctx, finishWithin)
		defer cancel()
		if err := r.encoder.Finish(bounded); err != nil {
			if reason != control.ReasonFailed { // else it is known why
				r.fail(encoderFailure(err))
			}
			length = min(length, r.spool.Covered())
		}
	}
	file, err := r.wholeFile(length)
	if err != nil {
		return spool.File{}, fmt.Errorf("worker: make the file whole: %w", err)
	}
	r.report()
	r.emit(control.Whole{Size: file.Size, Duration: file.Duration})
	return file, nil
}

// over notes that nothing more is captured, so that another worker which has to take over from here on neither goes on nor
// misses anything since. What was missing at the end is told. Where an earlier worker has done that, it is done.
func (r *recording) over(length time.Duration) {
	facts := r.spool.Facts()
	if facts.Ended || facts.Left().Over {
		return
	}
	if r.outage != nil {
		if missing := r.outage.missing(r.client.Now()); missing > 0 {
			r.emit(control.Gap{At: r.outage.at, Length: missing, Cause: r.outage.cause})
		}
	}
	r.note(spool.Mark{Kind: spool.MarkOver, At: length, Time: r.client.Now()})
}

// wholeFile makes the recording's file, as long as it was recorded.
func (r *recording) wholeFile(length time.Duration) (spool.File, error) {
	scratch, err := r.privateDir()
	if err != nil {
		return spool.File{}, err
	}
	return r.spool.Finish(length, scratch)
}

// privateDir is this worker's own directory, made when it is first wanted.
func (r *recording) privateDir() (_ string, err error) {
	if r.dir != "" {
		return r.dir, nil
	}
	if r.private, err = scratch.Make("", scratch.PrefixRun); err != nil {
		return "", fmt.Errorf("worker: %w", err)
	}
	r.dir = r.private.Path()
	return r.dir, nil
}

// cleanUp ends what still runs and removes what nobody needs any more. The spool stays when its file was not stored.
func (r *recording) cleanUp() {
	if r.encoder != nil {
		r.encoder.Stop()
	}
	r.stage.close(context.Background(), r.log)
	r.outbox.close(context.Background(), r.log)
	if r.screen != nil {
		r.screen.Close()
	}
	if r.private != nil {
		if err := r.private.Remove(); err != nil {
			r.log.Warn("the private directory was not removed", "err", err)
		}
	}
	if r.spool != nil {
		if err := r.spool.Close(); err != nil {
			r.log.Warn("the spool was not closed as it should", "err", err)
		}
	}
}
