package task

import (
	"errors"
	"fmt"
	"log/slog"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/recordhost/recordhost/internal/callback"
	"github.com/recordhost/recordhost/internal/clock"
	"github.com/recordhost/recordhost/internal/control"
	"github.com/recordhost/recordhost/internal/store"
	"github.com/recordhost/recordhost/sdk/runtime"
)

// SettingSocket is the name in the store under which the path of the control socket is kept from one run of the host
// to the next.
const SettingSocket = "control_socket"

// Options of a Manager.
type Options struct {
	Store   store.Store
	Control *control.Host

	Runtimes       map[string]runtime.Driver // by name
	DefaultRuntime string

	Storages       []Storage
	DefaultStorage string

	Engine     Engine
	Callback   callback.Options
	ChromePath string
	FFmpegPath string
	PluginDir  string
	SpoolDir   string // holds one directory for each task

	// OrphanGrace makes workers end their recordings when this host has been gone for so long; zero: they record on.
	OrphanGrace time.Duration

	Clock clock.Source // zero: the machine's

	// Repaired tells that the store was damaged: its tasks may be older than what their workers know.
	Repaired bool

	// Room tells why there is no room on the disk for another recording, nil when there is. Nil: nobody is asked.
	Room func() error

	// LegacyEncryptKey reads an EncryptKey of 32 hexadecimal digits as the original does: its first 16 characters are the key.
	LegacyEncryptKey bool

	Key []byte       // of LoadKey
	Log *slog.Logger // nil: discarded

	timing timing
}

// Storage is a storage that recordings may be kept in. Workers get it whole, and start its plugin themselves.
type Storage struct {
	Name   string
	Plugin string
	Config []byte // the plugin's settings, a JSON object
	Env    map[string]string
	SHA256 string
}

// Engine is how recordings are made where the caller does not say.
type Engine struct {
	FPS          int
	CRF          int
	Preset       string
	AudioBitrate int64
	Sandbox      bool
	PageTimeout  time.Duration
	ResumeWithin time.Duration
	MaxLifetime  time.Duration
	UploadGiveUp time.Duration
}

// timing is how long the host waits for what should not take long.
type timing struct {
	launch  time.Duration // a driver, to launch
	retry   time.Duration // between two tries of the same
	discard time.Duration // a worker whose task was stopped before anything was recorded, to end
	release time.Duration // a worker that is done, to end
	drain   time.Duration // what a worker said last, to arrive after it is gone
	silence time.Duration // a worker, to say something
	absence time.Duration // a worker that the driver cannot judge, to connect
	overdue time.Duration // beyond UploadGiveUp, a worker that finishes its file
	grace   time.Duration // a worker that is killed, to end by itself

	callback time.Duration // between two documented tries of a callback
	later    time.Duration // before the first of those that follow them
}

// look is the time between two looks at a worker.
func (t timing) look() time.Duration { return t.silence / 8 }

func defaultTiming() timing {
	return timing{
		launch:  30 * time.Second,
		retry:   time.Second,
		discard: 2 * time.Second,
		release: 10 * time.Second,
		drain:   3 * time.Second,
		silence: 8 * time.Second,
		absence: 10 * time.Minute,
		overdue: time.Hour,
		grace:   2 * time.Second,

		callback: callback.Standard(0).Step,
		later:    callback.Standard(0).Later,
	}
}

// complete checks the options and fills in what may be left out.
func (o Options) complete() (Options, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock.Wall == nil {
		o.Clock = clock.System()
	}
	if o.timing == (timing{}) {
		o.timing = defaultTiming()
	}
	switch {
	case o.Store == nil, o.Control == nil:
		return o, errors.New("task: a store and a control host are needed")
	case o.Runtimes[o.DefaultRuntime] == nil:
		return o, fmt.Errorf("task: the default runtime %q is not among the runtimes", o.DefaultRuntime)
	case !filepath.IsAbs(o.SpoolDir):
		return o, fmt.Errorf("task: the spool directory %q is not absolute", o.SpoolDir)
	case o.Engine.MaxLifetime <= 0 || o.Engine.UploadGiveUp <= 0 || o.Engine.PageTimeout <= 0 || o.Engine.FPS <= 0:
		return o, errors.New("task: the engine's settings are incomplete")
	}
	if _, err := o.storage(o.DefaultStorage); err != nil {
		return o, fmt.Errorf("task: the default storage %q is not among the storages", o.DefaultStorage)
	}
	return o, nil
}

// spec is what the worker of a task is to do.
func (o Options) spec(id string, epoch uint64, made clock.Anchor, r Request) (control.Spec, error) {
	s := control.Spec{
		TaskID:       id,
		Epoch:        epoch,
		RecordURL:    r.RecordURL,
		ManualStart:  r.ManualStart,
		ReadyTimeout: r.ReadyTimeout,
		Width:        r.Width,
		Height:       r.Height,
		PageTimeout:  o.Engine.PageTimeout,
		MaxDuration:  r.MaxDuration,
		ResumeWithin: o.Engine.ResumeWithin,
		UploadGiveUp: o.Engine.UploadGiveUp,
		OrphanGrace:  o.OrphanGrace,
		Video:        r.Video,
		Browser:      r.Browser,
		SpoolDir:     o.spoolOf(id),
		PluginDir:    o.PluginDir,
		ChromePath:   o.ChromePath,
		FFmpegPath:   o.FFmpegPath,
		Clock:        made,
	}
	s.Browser.Sandbox = o.Engine.Sandbox
	s.Video.Preset, s.Video.AudioBitrate = o.Engine.Preset, o.Engine.AudioBitrate
	if s.Video.FPS == 0 {
		s.Video.FPS = o.Engine.FPS
	}
	if s.Video.CRF == 0 && s.Video.Bitrate == 0 {
		s.Video.CRF = o.Engine.CRF
	}
	for _, d := range r.Targets {
		storage, err := o.storage(d.Storage)
		if err != nil {
			return control.Spec{}, err
		}
		dir, main := d.resolve(id, made.Wall, r.Video.Muxer)
		if slices.ContainsFunc(s.Targets, func(t control.Target) bool {
			return t.Storage == storage.Name && t.Dir == dir && t.Main == main
		}) {
			return control.Spec{}, invalidParam("Output.Targets name the file %q of storage %q twice", path.Join(dir, main), storage.Name)
		}
		s.Targets = append(s.Targets, control.Target{
			Storage: storage.Name, Plugin: storage.Plugin, Config: storage.Config, Env: storage.Env, SHA256: storage.SHA256,
			Dir: dir, Main: main, Settings: d.settings(),
		})
	}
	return s, nil
}

// spoolOf is the directory of a task. Task IDs are safe as names.
func (o Options) spoolOf(id string) string { return filepath.Join(o.SpoolDir, id) }
