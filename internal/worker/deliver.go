package worker

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/recordhost/recordhost/internal/control"
	"github.com/recordhost/recordhost/internal/deliver"
	"github.com/recordhost/recordhost/internal/hls"
	"github.com/recordhost/recordhost/internal/pluginhost"
	"github.com/recordhost/recordhost/internal/spool"
	"github.com/recordhost/recordhost/sdk/plugin"
	"github.com/recordhost/recordhost/sdk/storage"
)

// outbox is the delivery of a recording, which goes on beside the capture from when there is something to be recorded.
type outbox struct {
	plugins *pluginhost.Host
	run     *deliver.Run
}

// send begins to deliver what is in the spool and what comes into it. It waits for nobody: the plugins come up meanwhile.
func (r *recording) send() (err error) {
	if r.outbox != nil {
		return nil
	}
	o := &outbox{}
	ctx := context.Background()
	if o.plugins, err = r.openPlugins(ctx); err != nil {
		return err
	}
	targets, err := r.targets(o.plugins)
	if err != nil {
		o.close(ctx, r.log)
		return err
	}
	cargo, err := r.cargo()
	if err != nil {
		o.close(ctx, r.log)
		return err
	}
	o.run = deliver.Begin(ctx, r.spool, targets, cargo, deliver.Options{GiveUp: r.spec.UploadGiveUp, Log: r.log})
	r.outbox = o
	return nil
}

// sendEarly is send while there is still time: what fails is tried again when the recording is whole.
func (r *recording) sendEarly() {
	if err := r.send(); err != nil {
		r.log.Warn("the recording cannot be delivered yet", "err", err)
	}
}

// muxerHLS is the spec's word for a recording that becomes a playlist and its segments; any other is one MP4.
const muxerHLS = "hls"

// cargo is what the recording is delivered as.
func (r *recording) cargo() (deliver.Cargo, error) {
	v := r.spec.Video
	if v.Muxer != muxerHLS {
		return deliver.Movie{}, nil
	}
	dir, err := r.privateDir()
	if err != nil {
		return nil, err
	}
	return hls.Cargo{Options: hls.Options{Segment: r.segment(), Key: v.Key, KeyURL: v.KeyURL}, Dir: dir}, nil
}

// segment is how far apart the pictures are at which decoding can begin; zero: the encoder's own choice.
func (r *recording) segment() time.Duration {
	if r.spec.Video.Muxer != muxerHLS {
		return 0
	}
	return cmp.Or(r.spec.Video.SegmentDuration, hls.DefaultSegment)
}

// delivered is how many bytes all stores together have confirmed.
func (o *outbox) delivered() int64 {
	if o == nil {
		return 0
	}
	return o.run.Delivered()
}

// close ends what still runs and leaves all as it is: whoever goes on with the spool goes on with the delivery.
func (o *outbox) close(ctx context.Context, log *slog.Logger) {
	if o == nil {
		return
	}
	if o.run != nil {
		o.run.Stop(errOver)
	}
	if err := o.plugins.Close(ctx); err != nil {
		log.Warn("a storage plugin did not end as it should", "err", err)
	}
}

// discard removes what a recording that came to nothing has left in the stores.
func (o *outbox) discard(ctx context.Context) {
	if o != nil {
		o.run.Discard(ctx)
	}
}

// deliver waits until every target has the file and, once all have confirmed it, removes the local copy. What some of them
// have stays there when others fail, and the local copy stays too.
func (r *recording) deliver(ctx context.Context, file spool.File) error {
	results, err := r.store(ctx, file)
	if err != nil {
		return err
	}
	deliveries, missing := r.confirmed(file, results)
	if len(deliveries) == 0 {
		return missing
	}
	r.report()
	if missing != nil {
		r.fail(missing) // before Delivered, which comes last
	}
	r.emit(control.Delivered{Deliveries: deliveries})
	if missing != nil {
		return nil //nolint:nilerr // it is told
	}
	if err := r.spool.Remove(); err != nil {
		r.log.Warn("the spool of a delivered recording was not removed", "err", err)
	}
	return nil
}

// store waits for the end of the deliveries.
func (r *recording) store(ctx context.Context, file spool.File) ([]deliver.Result, error) {
	if err := r.send(); err != nil {
		return nil, &failure{"UploadFailed", err}
	}
	run := r.outbox.run
	run.Whole(file)
	report := time.NewTicker(reportEvery)
	defer report.Stop()
	for {
		select {
		case <-run.Done():
			return run.Results(), nil
		case <-report.C:
			r.report()
		case <-ctx.Done(): // another worker may be at the spool
			run.Stop(context.Cause(ctx))
			return nil, context.Cause(ctx) //nolint:wrapcheck // errOver
		}
	}
}

// openPlugins starts the storage plugins of the targets. They are this worker's own, so that no host's end cuts an upload.
func (r *recording) openPlugins(ctx context.Context) (*pluginhost.Host, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("worker: find the own binary: %w", err)
	}
	state := filepath.Join(r.spec.SpoolDir, "plugins")
	if err := os.MkdirAll(state, 0o700); err != nil { // the disk takes nothing more
		r.log.Warn("the plugins keep their state elsewhere", "err", err)
		dir, err := r.privateDir()
		if err != nil {
			return nil, err
		}
		state = filepath.Join(dir, "plugins")
	}
	o := pluginhost.Options{Dir: r.spec.PluginDir, StateDir: state, HostExecutable: executable, Log: r.log}
	seen := map[string]bool{}
	for _, t := range r.spec.Targets {
		if seen[t.Storage] {
			continue
		}
		seen[t.Storage] = true
		sum, err := hex.DecodeString(t.SHA256)
		if err != nil {
			return nil, fmt.Errorf("worker: sha256 of storage %q: %w", t.Storage, err)
		}
		if len(sum) == 0 {
			sum = nil
		}
		o.Plugins = append(o.Plugins, pluginhost.Block{
			Kind: plugin.KindStorage, Plugin: t.Plugin, Name: t.Storage, Env: t.Env, SHA256: sum, Settings: pluginhost.JSON(t.Config),
		})
	}
	return pluginhost.Open(ctx, o)
}

func (r *recording) targets(plugins *pluginhost.Host) ([]deliver.Target, error) {
	var targets []deliver.Target
	for _, t := range r.spec.Targets {
		driver, err := plugins.Storage(t.Storage)
		if err != nil {
			return nil, fmt.Errorf("worker: %w", err)
		}
		targets = append(targets, deliver.Target{
			Name: t.Storage, Driver: r.parts.Storage(driver),
			Delivery: storage.Delivery{
				TaskID: r.spec.TaskID, Epoch: r.spec.Epoch, Dir: t.Dir, Main: t.Main, Target: t.Settings,
			},
		})
	}
	return targets, nil
}

// confirmed turns what the stores have confirmed into the host's terms, and what has failed into one failure.
func (r *recording) confirmed(file spool.File, results []deliver.Result) (deliveries []control.Delivery, failed error) {
	var code string
	var errs []error
	for i, result := range results {
		if result.Err != nil {
			if code == "" {
				code = deliver.Code(result.Err)
			}
			errs = append(errs, fmt.Errorf("storage %q: %w", result.Target, result.Err))
			continue
		}
		deliveries = append(deliveries, control.Delivery{
			Storage: result.Target, Filename: r.spec.Targets[i].Main, Size: result.Location.Size,
			Duration: file.Duration, ID: result.Location.ID, URL: result.Location.URL,
		})
	}
	switch {
	case len(results) == 0:
		return nil, &failure{"UploadFailed", errors.New("the recording has no target")}
	case len(errs) > 0:
		return deliveries, &failure{code, errors.Join(errs...)}
	}
	return deliveries, nil
}
