package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/recordhost/recordhost/test/media"
	"github.com/recordhost/recordhost/test/product"
)

// recordhost is the product's side: it is driven as a user would.
type recordhost struct{ product product.Product }

func (r *recordhost) name() string { return "recordhost" }

func (r *recordhost) record(ctx context.Context, url string, length time.Duration, file string) error {
	described, err := r.product.Record(ctx, url, "--duration", length.String(), "--out", file)
	if err != nil {
		return err
	}
	return whole(described)
}

// whole says what is wrong with a recording by recordhost's own account.
func whole(d product.Description) error {
	if d.Status != "finished" || d.Result == nil || d.Result.ErrorCode != "" || len(d.Result.Videos) != 1 {
		return fmt.Errorf("recordhost: %s, result %+v", d.Status, d.Result)
	}
	return nil
}

// The measurement with pauses: five of them, each as long as pauseLength, with stretches of recording between.
const (
	pauses       = 5
	pauseLength  = 2 * time.Second
	pauseStretch = 3 * time.Second
)

// paused is a recording that was paused five times.
type paused struct {
	Report    media.Report `json:"report"`
	Duration  float64      `json:"duration"`  // of the file, seconds
	Described float64      `json:"described"` // the same, as Describe says it
	Recorded  float64      `json:"recorded"`  // by the page's clock: from the first picture to the last, less what was cut
}

// measurePauses lets a host record with five pauses, and once without, for the time from Stop to finished.
func (b *bench) measurePauses(ctx context.Context, r *results) (err error) {
	host, err := b.product.Serve(ctx, filepath.Join(b.dir, "host"), 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, host.Close(context.WithoutCancel(ctx))) }()

	b.log.Info("recording with pauses", "pauses", pauses)
	if r.Recordhost.Paused, err = b.recordPaused(ctx, host); err != nil {
		return err
	}
	b.log.Info("measuring the time from Stop to finished")
	r.Recordhost.Stopped, err = b.stopToFinished(ctx, host)
	return err
}

func (b *bench) recordPaused(ctx context.Context, host *product.Host) (*paused, error) {
	task, err := host.Start(ctx, map[string]any{"RecordURL": b.url(pageFrames)})
	if err != nil {
		return nil, err
	}
	if _, err := host.AwaitStatus(ctx, task, "recording"); err != nil {
		return nil, err
	}
	for range pauses {
		if err := wait(ctx, pauseStretch); err != nil {
			return nil, err
		}
		if err := host.Tell(ctx, "Pause", task); err != nil {
			return nil, err
		}
		if err := wait(ctx, pauseLength); err != nil {
			return nil, err
		}
		if err := host.Tell(ctx, "Resume", task); err != nil {
			return nil, err
		}
	}
	if err := wait(ctx, pauseStretch); err != nil {
		return nil, err
	}
	video, err := stop(ctx, host, task)
	if err != nil {
		return nil, err
	}
	return readPaused(ctx, host.File(task, video), video)
}

func readPaused(ctx context.Context, file string, video product.Video) (*paused, error) {
	report, err := read(ctx, file)
	if err != nil {
		return nil, err
	}
	info, err := media.Probe(ctx, file)
	if err != nil {
		return nil, err
	}
	recorded := report.PageSeconds
	for _, cut := range report.Cuts {
		recorded -= cut.Milliseconds / 1000
	}
	return &paused{Report: report.Report, Duration: info.Duration.Seconds(), Described: video.FileDuration, Recorded: recorded}, nil
}

// stopToFinished records for the usual length and answers the time from Stop until Describe says finished.
func (b *bench) stopToFinished(ctx context.Context, host *product.Host) (float64, error) {
	task, err := host.Start(ctx, map[string]any{"RecordURL": b.url(pageFrames)})
	if err != nil {
		return 0, err
	}
	if err := host.AwaitRecorded(ctx, task, b.length); err != nil {
		return 0, err
	}
	begin := time.Now()
	if _, err := stop(ctx, host, task); err != nil {
		return 0, err
	}
	return time.Since(begin).Seconds(), nil
}

// stop ends a recording and waits for its file.
func stop(ctx context.Context, host *product.Host, task string) (product.Video, error) {
	if err := host.Tell(ctx, "Stop", task); err != nil {
		return product.Video{}, err
	}
	described, err := host.AwaitStatus(ctx, task, "finished")
	if err != nil {
		return product.Video{}, err
	}
	if err := whole(described); err != nil {
		return product.Video{}, err
	}
	video := described.Result.Videos[0]
	if _, err := os.Stat(host.File(task, video)); err != nil {
		return product.Video{}, fmt.Errorf("the recording is not where it should be: %w", err)
	}
	return video, nil
}
