package worker

import (
	"context"
	"time"

	"github.com/recordhost/recordhost/internal/browser"
	"github.com/recordhost/recordhost/internal/capture"
	"github.com/recordhost/recordhost/internal/encode"
	"github.com/recordhost/recordhost/sdk/storage"
)

// Parts make what a recording is made with. Those of the zero value make the real things. Tests put others in their places, so
// that the recording itself, with all that it does about lost workers, can be tried without Chrome and ffmpeg.
type Parts struct {
	Screen  func(capture.Config) (Screen, error)
	Browser func(context.Context, browser.Options) (Browser, error)
	Encoder func(encode.Options, encode.Output) (Encoder, error)
	Storage func(storage.Driver) storage.Driver // stands before the driver of each target
}

// Screen is what the page is seen and heard with: a capture.Session.
type Screen interface {
	Env() []string
	Painted() <-chan struct{}
	Renew()
	Follow(ctx context.Context, m capture.Marker)
	Settle(ctx context.Context)

	Record(to capture.Sink) error
	Pause()
	Resume()
	Full() <-chan struct{}
	Stats() capture.Stats
	Stop(ctx context.Context) time.Duration
	Close()
}

// Browser is what shows the page: a browser.Browser.
type Browser interface {
	capture.Marker
	Open(ctx context.Context, url string) error
	Reload(ctx context.Context) error
	SetStatus(ctx context.Context, status string) error
	Calls() <-chan browser.PageCall
	Done() <-chan struct{}
	Err() error
	Close(ctx context.Context) error
}

// Encoder takes what is captured, and brings it into the spool: an encode.Recorder.
type Encoder interface {
	capture.Sink
	Key(at time.Duration)
	Stats() encode.Stats
	Done() <-chan struct{}
	Err() error
	Finish(ctx context.Context) error
	Stop()
}

var (
	_ Screen  = (*capture.Session)(nil)
	_ Browser = (*browser.Browser)(nil)
	_ Encoder = (*encode.Recorder)(nil)
)

// complete puts the real things where nothing else is.
func (p Parts) complete() Parts {
	if p.Screen == nil {
		p.Screen = func(c capture.Config) (Screen, error) { return orNil[Screen](capture.Open(c)) }
	}
	if p.Browser == nil {
		p.Browser = func(ctx context.Context, o browser.Options) (Browser, error) {
			return orNil[Browser](browser.Launch(ctx, o))
		}
	}
	if p.Encoder == nil {
		p.Encoder = func(o encode.Options, to encode.Output) (Encoder, error) { return orNil[Encoder](encode.New(o, to)) }
	}
	if p.Storage == nil {
		p.Storage = func(d storage.Driver) storage.Driver { return d }
	}
	return p
}

// orNil answers no interface at all where there is an error, rather than one that holds a nil pointer.
func orNil[I any](made I, err error) (I, error) {
	if err != nil {
		var none I
		return none, err
	}
	return made, nil
}
