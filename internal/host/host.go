// Package host is a recordhost that runs: it puts a configuration, the plugins, the store, the control stream, the task
// manager and the API together, in the order in which each needs the others, and takes them apart again. The commands
// serve and record, and tests, open one; no other package knows all the parts.
package host

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/recordhost/recordhost/internal/api"
	"github.com/recordhost/recordhost/internal/callback"
	"github.com/recordhost/recordhost/internal/config"
	"github.com/recordhost/recordhost/internal/control"
	"github.com/recordhost/recordhost/internal/pluginhost"
	"github.com/recordhost/recordhost/internal/store"
	"github.com/recordhost/recordhost/internal/store/bolt"
	"github.com/recordhost/recordhost/internal/task"
	"github.com/recordhost/recordhost/sdk/runtime"
)

// Options of a Host.
type Options struct {
	Config *config.Config

	// OrphanGrace is how long a worker records on without its host before it finishes the file. Zero: until its own
	// limit, since another host will come.
	OrphanGrace time.Duration

	Log *slog.Logger
}

// Host is all the parts, running.
type Host struct {
	config  *config.Config
	log     *slog.Logger
	store   store.Store
	plugins *pluginhost.Host
	control *control.Host
	tasks   *task.Manager
	serving chan error // the end of the control stream's server

	announced Running // of Announce

	endUpkeep context.CancelFunc
	upkeep    sync.WaitGroup
}

// Open starts a host on the configuration's data directory, which is its own from then on, and takes up the recordings
// that an earlier one left there. It fails for what only a person can mend: a configuration that a plugin refuses, no
// Chrome, a directory in use. A plugin that is merely down is started anew while the host runs. ctx bounds Open alone.
func Open(ctx context.Context, o Options) (h *Host, err error) {
	h = &Host{config: o.Config, log: o.Log}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Close(context.WithoutCancel(ctx)))
		}
	}()
	chrome, ffmpeg, err := programs(o.Config.Engine)
	if err != nil {
		return h, err
	}
	dir := o.Config.DataDir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return h, fmt.Errorf("make the data directory: %w", err)
	}
	tasks, err := bolt.Open(dir)
	if err != nil {
		return h, err
	}
	h.store = tasks
	h.tellDamage(tasks.Damage())
	if h.plugins, err = openPlugins(ctx, o.Config, filepath.Join(dir, "plugins"), o.Log); err != nil {
		return h, err
	}
	started, err := await(ctx, o.Config, h.plugins)
	if err != nil {
		return h, err
	}
	options, err := h.taskOptions(started)
	if err != nil {
		return h, err
	}
	options.ChromePath, options.FFmpegPath = chrome, ffmpeg
	options.OrphanGrace = o.OrphanGrace
	options.Repaired = tasks.Damage() != nil
	return h, h.openTasks(ctx, options)
}

// openTasks opens the control stream and the task manager. The stream's server starts last, so that it knows every
// worker of an earlier host when they dial.
func (h *Host) openTasks(ctx context.Context, options task.Options) error {
	socket, err := h.earlierSocket(ctx)
	if err != nil {
		return err
	}
	if h.control, err = control.Listen(control.HostOptions{Socket: string(socket), Log: h.log}); err != nil {
		return err
	}
	if err := h.keepSocket(ctx, h.control.Socket()); err != nil {
		return err
	}
	options.Control = h.control
	if h.tasks, err = task.New(ctx, options); err != nil {
		return err
	}
	h.serving = make(chan error, 1)
	go func() { h.serving <- h.control.Serve() }()
	upkeep, end := context.WithCancel(context.WithoutCancel(ctx))
	h.endUpkeep = end
	h.upkeep.Go(func() { h.keepUp(upkeep) })
	return nil
}

// taskOptions is the configuration as the task manager wants it. A storage whose plugin has not come up is left out,
// and said so, unless it is the default: without that no recording could be kept.
func (h *Host) taskOptions(started []pluginhost.Status) (task.Options, error) {
	c := h.config
	key, err := task.LoadKey(cmp.Or(c.KeyFile, filepath.Join(c.DataDir, "seal.key")))
	if err != nil {
		return task.Options{}, err
	}
	executable, err := os.Executable()
	if err != nil {
		return task.Options{}, fmt.Errorf("find the host's own executable: %w", err)
	}
	spool := filepath.Join(c.DataDir, "spool")
	o := task.Options{
		Store:          h.store,
		Runtimes:       map[string]runtime.Driver{},
		DefaultRuntime: c.DefaultRuntime,
		DefaultStorage: c.DefaultStorage,
		Engine: task.Engine{
			FPS: c.Engine.FPS, CRF: c.Engine.CRF, Preset: c.Engine.Preset, AudioBitrate: int64(c.Engine.AudioBitrate),
			Sandbox: c.Engine.Sandbox, PageTimeout: c.Engine.PageTimeout, ResumeWithin: c.Engine.ResumeWithin,
			MaxLifetime: c.Engine.MaxLifetime, UploadGiveUp: c.Engine.UploadGiveUp,
		},
		Callback:         callback.Options{Secret: c.Callback.Secret, GiveUp: c.Callback.GiveUp},
		PluginDir:        pluginDir(c, executable),
		SpoolDir:         spool,
		LegacyEncryptKey: c.API.LegacyEncryptKey,

		Room: func() error { return room(spool, c.Engine.MinFree) },
		Key:  key,
		Log:  h.log,
	}
	for _, p := range c.Runtimes {
		if o.Runtimes[p.Name], err = h.plugins.Runtime(p.Name); err != nil {
			return o, err
		}
	}
	for i, p := range c.Storages {
		s := started[len(c.Runtimes)+i]
		if s.Err != nil && p.Name == c.DefaultStorage {
			return o, fmt.Errorf("the default storage does not work: %w", s.Err)
		}
		if s.Err != nil {
			h.log.Error("storage left out", "storage", p.Name, "plugin", p.Plugin, "err", s.Err)
			continue
		}
		o.Storages = append(o.Storages, task.Storage{
			Name: p.Name, Plugin: p.Plugin, Config: s.Settings, Env: p.Env, SHA256: hex.EncodeToString(p.SHA256),
		})
	}
	return o, nil
}

// Tasks is the recordings' manager.
func (h *Host) Tasks() *task.Manager { return h.tasks }

// API makes the HTTP server, which is then the caller's.
func (h *Host) API() (*api.Server, error) {
	return api.New(api.Options{
		Actions:     h.tasks,
		PathPrefix:  h.config.API.PathPrefix,
		CORSOrigins: h.config.API.CORSOrigins,
		Up:          h.up,
		Log:         h.log,
	})
}

// up is nil while every plugin is up.
func (h *Host) up() error {
	var errs []error
	for _, p := range h.plugins.List() {
		if p.State != pluginhost.StateReady {
			errs = append(errs, fmt.Errorf("plugin %s-%s %q is %s: %w", p.Kind, p.Plugin, p.Name, p.State, p.Err))
		}
	}
	return errors.Join(errs...)
}

// Close takes the parts apart. It ends no recording: workers go on, and the next host on the same directory finds them.
// ctx bounds how long running plugin calls may take to end. It is harmless on a host that Open did not finish.
func (h *Host) Close(ctx context.Context) error {
	var errs []error
	if h.endUpkeep != nil {
		h.endUpkeep()
		h.upkeep.Wait()
	}
	if h.tasks != nil {
		errs = append(errs, h.tasks.Close())
	}
	if h.control != nil {
		errs = append(errs, h.control.Close())
	}
	if h.serving != nil {
		errs = append(errs, <-h.serving)
		h.serving = nil
	}
	if h.plugins != nil {
		errs = append(errs, h.plugins.Close(ctx))
	}
	if h.store != nil { // the directory is ours until then
		errs = append(errs, h.conceal(), h.store.Close())
	}
	return errors.Join(errs...)
}
