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
	paintWithin   = 10 * time.Second       // for a page that has loaded to show its first picture
	settleWithin  = 500 * time.Millisecond // for the depth of Chrome's pipeline to be measured before recording begins
	finishWithin  = 20 * time.Second       // for ffmpeg to write what it has, once it gets no more
	closeWithin   = 5 * time.Second        // for Chrome to end
	reportEvery   = 2 * time.Second        // the heartbeat that carries the figures is no faster
	refreshWithin = 60 * time.Second       // for a page that is loaded again
)

// recording is one recording of one page. One goroutine, run's, owns its state.
type recording struct {
	client *control.Client
	spec   control.Spec
	log    *slog.Logger
	self   proc.Identity

	private *scratch.Dir
	dir     string // its path, which is short: for sockets and Chrome's files
	spool   *spool.Spool
	screen  *capture.Session
	browser *browser.Browser
	encoder *encode.Recorder
	follow  context.CancelFunc // ends the following of the pipeline's depth, and waits
	pending []browser.PageCall // startRecord, called before the page was ready

	opened  <-chan error // the end of the page's first load
	endLoad func()       // ends a load that is going on, and waits

	loaded, paused bool
	delivered      int64
}

func newRecording(client *control.Client, log *slog.Logger) *recording {
	r := &recording{client: client, spec: client.Spec(), log: log, endLoad: func() {}}
	if self, err := proc.Self(); err == nil {
		r.self = self
	}
	return r
}

// run records and delivers. Its error is why the recording as a whole failed; what was captured before has then been
// delivered all the same, as far as that was possible.
func (r *recording) run(ctx context.Context) error {
	if err := r.open(ctx); err != nil {
		return err
	}
	reason, cause := r.watch(ctx)
	if r.encoder == nil || errors.Is(cause, errOver) {
		return cause
	}
	ctx, release := r.untilRefused(ctx)
	defer release()
	if cause != nil {
		r.fail(cause)
	}
	file, err := r.finish(ctx, reason)
	if err != nil {
		return err
	}
	return r.deliver(ctx, file)
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

// open makes the spool, the screen and the sound card, and starts Chrome on them.
func (r *recording) open(ctx context.Context) (err error) {
	if r.spool, err = spool.Open(filepath.Join(r.spec.SpoolDir, "spool"), r.log); err != nil {
		return fmt.Errorf("worker: open the spool: %w", err)
	}
	if r.private, err = scratch.Make("", scratch.PrefixRun); err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	r.dir = r.private.Path()
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
	r.screen, err = capture.Open(capture.Config{
		Dir: sockets, UID: user.UID, GID: user.GID,
		Width: r.spec.Width, Height: r.spec.Height, WindowW: width, WindowH: height,
		FPS: r.spec.Video.FPS, Constant: r.spec.Video.ConstantFrameRate, PageScale: r.spec.Browser.DeviceScaleFactor,
		Limit: r.spec.MaxDuration,
		Log:   r.log,
	})
	if err != nil {
		return err
	}
	r.browser, err = browser.Launch(ctx, r.browserOptions(user))
	return err
}

func (r *recording) browserOptions(user browser.User) browser.Options {
	b := r.spec.Browser
	o := browser.Options{
		Binary: r.spec.ChromePath, Env: r.screen.Env(), Dir: filepath.Join(r.dir, "c"),
		Width: r.spec.Width, Height: r.spec.Height, User: user, NoSandbox: !b.Sandbox,
		TaskID: r.spec.TaskID, Status: "normal",
		Headers: b.Headers, UserAgent: b.UserAgent, Locale: b.Locale, Timezone: b.Timezone,
		DeviceScaleFactor: b.DeviceScaleFactor, LoadTimeout: r.spec.PageTimeout, Log: r.log,
	}
	for _, c := range b.Cookies {
		o.Cookies = append(o.Cookies, browser.Cookie{Name: c.Name, Value: c.Value, Path: c.Path})
	}
	return o
}

// begin starts to record what the page shows.
func (r *recording) begin(ctx context.Context) error {
	settle, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	r.screen.Settle(settle)

	v := r.spec.Video
	encoder, err := encode.New(encode.Options{
		FFmpeg: r.spec.FFmpegPath, Width: (r.spec.Width + 1) &^ 1, Height: (r.spec.Height + 1) &^ 1,
		FPS: v.FPS, CRF: v.CRF, Bitrate: v.Bitrate, Preset: v.Preset, AudioBitrate: v.AudioBitrate,
		Restarted: r.encoderRestarted, Log: r.log,
	}, r.spool)
	if err != nil {
		return fmt.Errorf("worker: prepare the encoder: %w", err)
	}
	at := r.screen.NextTick()
	if err := r.screen.Record(encoder); err != nil {
		encoder.Stop()
		return fmt.Errorf("worker: begin to record: %w", err)
	}
	r.encoder = encoder
	r.emit(control.Started{At: at})
	r.tellPage(ctx, "recording")
	return nil
}

// encoderRestarted is called by the encoder when an ffmpeg died and another took over. It is no gap: the sound is whole,
// and pictures that could not be fed again count as dropped.
func (r *recording) encoderRestarted(e encode.Restart) {
	r.log.Warn("ffmpeg was replaced", "at", e.At, "lost", e.Lost, "err", e.Cause)
	r.emit(control.Restart{What: "encoder", Cause: e.Cause.Error()})
}

// finish ends the capture and makes the file whole.
func (r *recording) finish(ctx context.Context, reason control.Reason) (spool.File, error) {
	length := r.screen.Stop(ctx)
	r.emit(control.Stopping{Reason: reason})
	r.follow()
	closed := make(chan struct{})
	go func() { defer close(closed); r.closeBrowser(ctx) }()
	defer func() { <-closed }()

	bounded, cancel := context.WithTimeout(ctx, finishWithin)
	defer cancel()
	if err := r.encoder.Finish(bounded); err != nil {
		if reason != control.ReasonFailed { // else it is known why
			r.fail(encoderFailure(err))
		}
		length = min(length, r.spool.Covered())
	}
	file, err := r.spool.Finish(ctx, length)
	if err != nil {
		return spool.File{}, fmt.Errorf("worker: make the file whole: %w", err)
	}
	r.report()
	r.emit(control.Whole{Size: file.Size, Duration: file.Duration})
	return file, nil
}

func (r *recording) closeBrowser(ctx context.Context) {
	if r.browser == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, closeWithin)
	defer cancel()
	if err := r.browser.Close(ctx); err != nil {
		r.log.Warn("Chrome did not end as it should", "err", err)
	}
}

// cleanUp ends what still runs and removes what nobody needs any more. The spool stays when its file was not stored.
func (r *recording) cleanUp() {
	if r.follow != nil {
		r.follow()
	}
	if r.encoder != nil {
		r.encoder.Stop()
	}
	r.closeBrowser(context.Background())
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
