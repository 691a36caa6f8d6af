package worker

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/recordhost/recordhost/internal/control"
	"github.com/recordhost/recordhost/internal/deliver"
	"github.com/recordhost/recordhost/internal/pluginhost"
	"github.com/recordhost/recordhost/internal/spool"
	"github.com/recordhost/recordhost/sdk/plugin"
	"github.com/recordhost/recordhost/sdk/storage"
)

// deliver stores the file at every target and, once all have confirmed it, removes the local copy.
func (r *recording) deliver(ctx context.Context, file spool.File) error {
	plugins, err := r.openPlugins(ctx)
	if err != nil {
		return &failure{"UploadFailed", err}
	}
	defer func() {
		if err := plugins.Close(ctx); err != nil {
			r.log.Warn("a storage plugin did not end as it should", "err", err)
		}
	}()
	targets, err := r.targets(plugins)
	if err != nil {
		return &failure{"UploadFailed", err}
	}
	results := deliver.File(ctx, r.spool, file, targets, deliver.Options{GiveUp: r.spec.UploadGiveUp, Log: r.log})
	if errors.Is(context.Cause(ctx), errOver) { // another worker may be at the spool
		return errOver
	}
	deliveries, err := r.confirmed(file, results)
	if err != nil {
		return err
	}
	r.delivered = file.Size * int64(len(deliveries))
	r.report()
	r.emit(control.Delivered{Deliveries: deliveries})
	if err := r.spool.Remove(); err != nil {
		r.log.Warn("the spool of a delivered recording was not removed", "err", err)
	}
	return nil
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

// confirmed turns what the stores have confirmed into the host's terms. One target that failed fails the recording; what
// the others hold stays there.
func (r *recording) confirmed(file spool.File, results []deliver.Result) ([]control.Delivery, error) {
	var deliveries []control.Delivery
	for i, result := range results {
		if result.Err != nil {
			return nil, &failure{deliver.Code(result.Err), fmt.Errorf("storage %q: %w", result.Target, result.Err)}
		}
		deliveries = append(deliveries, control.Delivery{
			Storage: result.Target, Filename: r.spec.Targets[i].Main, Size: result.Location.Size,
			Duration: file.Duration, ID: result.Location.ID, URL: result.Location.URL,
		})
	}
	if len(deliveries) == 0 {
		return nil, &failure{"UploadFailed", errors.New("the recording has no target")}
	}
	return deliveries, nil
}
