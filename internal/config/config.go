// Package config is the configuration of a host: it turns recordhost.hcl into typed settings. It owns the file's
// language, the settings' defaults and ranges, and the errors that name file, line and column; HCL is known nowhere
// else. The commands load a Config and hand its parts on. A plugin's own settings stay unread until the plugin has
// told their schema; Plugin.Settings then reads them, with the same care for positions.
package config

import (
	"time"

	"github.com/recordhost/recordhost/sdk/schema"
)

// Config is what recordhost.hcl says. All paths are absolute.
type Config struct {
	// File is where it was read, empty for the embedded default.
	File string

	// DataDir holds all that a host must not lose: its tasks, and what was recorded but not yet stored.
	DataDir string

	// KeyFile holds the key under which tasks' secrets are sealed. Empty means seal.key in DataDir. It is made where it is missing.
	KeyFile string

	// PluginDir holds the plugins' executables. Empty means the folder "plugins" beside the host's own executable.
	PluginDir string

	// DefaultRuntime and DefaultStorage name a block each; they are always set.
	DefaultRuntime string
	DefaultStorage string

	// OnTerm says what SIGTERM does: OnTermHandover or OnTermDrain.
	OnTerm string

	API       API
	Engine    Engine
	Retention Retention
	Callback  Callback

	// Runtimes and Storages are in the file's order; names are unique within each.
	Runtimes []Plugin
	Storages []Plugin
}

// What SIGTERM does to a host.
const (
	OnTermHandover = "handover" // it ends, and leaves its recordings to the next host
	OnTermDrain    = "drain"    // it takes no new ones, and ends when all have ended
)

// API is the block api.
type API struct {
	Listen      string   // host:port, on a loopback address
	PathPrefix  string   // "" or "/record"
	CORSOrigins []string // what Access-Control-Allow-Origin may answer; "*" stands for all

	// LegacyEncryptKey reads an EncryptKey of 32 hexadecimal digits as the original does: its first 16 characters are the key.
	LegacyEncryptKey bool
}

// Engine is the block engine: how recordings are made.
type Engine struct {
	FPS          int           // frames a second, where a recording does not ask for another rate
	CRF          int           // of libx264, where a recording does not ask for another quality; zero: the encoder's default
	Preset       string        // of libx264; empty: the encoder's default
	AudioBitrate int           // bit/s; zero: the encoder's default
	Chrome       string        // path of the browser's binary; empty: the host looks for it
	FFmpeg       string        // path; empty: the host looks for it
	Sandbox      bool          // Chrome's own
	PageTimeout  time.Duration // for a page to load
	ResumeWithin time.Duration // an outage that is longer ends the recording
	MaxLifetime  time.Duration // of a task that nobody stops, until it is stopped
	UploadGiveUp time.Duration // after which a delivery that fails is given up
	MinFree      int64         // bytes that the spool's file system must have free for a recording to be started; zero: any
}

// Retention is the block retention: how long what is over is kept.
type Retention struct {
	Tasks time.Duration // a finished task, and all that there is of it
	Spool time.Duration // the spool of a finished task that could not be delivered
}

// day is a unit of durations in the file, besides those that Go knows.
const day = 24 * time.Hour

// Callback is the block callback: how callers are told what came of their tasks.
type Callback struct {
	Secret schema.Secret // signs what they are told; none: it is not signed
	GiveUp time.Duration // from the first try to the last; zero: only the documented five are made
}

// defaults is what a file without any optional attribute says.
func defaults() Config {
	return Config{
		DataDir: "data",
		OnTerm:  OnTermHandover,
		API:     API{Listen: "127.0.0.1:8080"},
		Engine: Engine{
			FPS:          30,
			Sandbox:      true,
			PageTimeout:  time.Minute,
			ResumeWithin: 10 * time.Minute,
			MaxLifetime:  day,
			UploadGiveUp: day,
			MinFree:      1 << 30,
		},
		Retention: Retention{Tasks: 30 * day, Spool: 7 * day},
		Callback:  Callback{GiveUp: 72 * time.Hour},
	}
}
