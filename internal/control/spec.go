package control

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/recordhost/recordhost/internal/clock"
)

// Spec is all that a worker needs to make a recording. The host has checked every member and filled in the defaults.
// It holds secrets, which neither fmt nor slog prints.
type Spec struct {
	TaskID string
	Epoch  uint64

	RecordURL    string        // may hold secrets in its query
	ManualStart  bool          // wait for the page's startRecord
	ReadyTimeout time.Duration // how long to wait for it
	Width        int           // as the caller asked, at least 2; may be odd
	Height       int
	PageTimeout  time.Duration // for the page to load
	MaxDuration  time.Duration // of recorded time
	ResumeWithin time.Duration // an outage longer than this ends the recording
	UploadGiveUp time.Duration // a delivery that fails this long is given up
	OrphanGrace  time.Duration // without a host for this long the worker ends the recording; zero: it records on

	Video   Video
	Browser Browser

	SpoolDir   string // absolute, this recording's own; Dial makes it
	PluginDir  string
	ChromePath string
	FFmpegPath string

	Targets []Target // at least one

	// Clock is the task's time.
	Clock clock.Anchor

	// Salvage: the page is not to be opened; what earlier workers have recorded is made whole and delivered.
	Salvage bool

	// Heard is, by epoch, the number of the last event of an earlier launch that the host has stored. What those workers
	// had to say beyond it, this one says.
	Heard map[uint64]uint64
}

// Video says how to encode.
type Video struct {
	Muxer             string        // "mp4" or "hls"
	FPS               int           // 1 to 60
	CRF               int           // 1 to 51; zero: the encoder's default
	Bitrate           int64         // bit/s; zero: by quality
	ConstantFrameRate bool          // every tick has its frame, changed or not
	SegmentDuration   time.Duration // of HLS; zero: the default
	Preset            string        // of libx264; empty: the encoder's default
	AudioBitrate      int64         // bit/s; zero: the encoder's default

	// Key encrypts HLS segments with AES-128: 16 bytes, or nil for none. It is here, in the sealed request that this is made of,
	// in the worker's memory, and nowhere else.
	Key    []byte
	KeyURL string // where players fetch it; may hold secrets in its query
}

// Browser says how the browser looks to the page.
type Browser struct {
	Headers           map[string]string // sent to RecordURL's own origin only
	Cookies           []Cookie          // of RecordURL's own origin only
	UserAgent         string            // empty: Chrome's own, and so on
	Locale            string
	Timezone          string
	DeviceScaleFactor float64 // zero: 1
	Sandbox           bool    // Chrome's own
}

// Cookie is one cookie of the page's origin.
type Cookie struct {
	Name  string
	Value string
	Path  string // empty: "/"
}

// Target is one place to deliver to.
type Target struct {
	Storage  string            // the storage's name in the configuration
	Plugin   string            // the plugin's name, "blob" for storage-blob
	Config   []byte            // the plugin's settings, a JSON object
	Env      map[string]string // of the plugin process
	SHA256   string            // the executable's pinned checksum, hexadecimal; empty: not pinned
	Dir      string            // the delivery's directory
	Main     string            // the delivery's main file
	Settings []byte            // the request's own settings for this kind of store, JSON; nil: none
}

// String names the recording and keeps its secrets.
func (s Spec) String() string {
	return fmt.Sprintf("spec of task %s, epoch %d: %dx%d at %d fps", s.TaskID, s.Epoch, s.Width, s.Height, s.Video.FPS)
}

// GoString is String.
func (s Spec) GoString() string { return s.String() }

// LogValue is String.
func (s Spec) LogValue() slog.Value { return slog.StringValue(s.String()) }

// String names the form and keeps the key.
func (v Video) String() string {
	encrypted := ""
	if v.Key != nil {
		encrypted = ", encrypted"
	}
	return fmt.Sprintf("%s at %d fps%s", v.Muxer, v.FPS, encrypted)
}

// GoString is String.
func (v Video) GoString() string { return v.String() }

// LogValue is String.
func (v Video) LogValue() slog.Value { return slog.StringValue(v.String()) }

// String tells how much there is, and keeps it.
func (b Browser) String() string {
	return fmt.Sprintf("browser with %d headers and %d cookies", len(b.Headers), len(b.Cookies))
}

// GoString is String.
func (b Browser) GoString() string { return b.String() }

// LogValue is String.
func (b Browser) LogValue() slog.Value { return slog.StringValue(b.String()) }

// String names the cookie and keeps its value.
func (c Cookie) String() string { return "cookie " + c.Name }

// GoString is String.
func (c Cookie) GoString() string { return c.String() }

// LogValue is String.
func (c Cookie) LogValue() slog.Value { return slog.StringValue(c.String()) }

// String names the place and keeps the settings.
func (t Target) String() string {
	return fmt.Sprintf("%s in storage %s (%s)", t.Main, t.Storage, t.Plugin)
}

// GoString is String.
func (t Target) GoString() string { return t.String() }

// LogValue is String.
func (t Target) LogValue() slog.Value { return slog.StringValue(t.String()) }
