package encode

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"time"
)

// Options of a Recorder.
type Options struct {
	FFmpeg        string // absolute path
	Width, Height int    // of every picture; even
	FPS           int    // the most pictures a second

	CRF          int    // quality, 1 (best) to 51; zero: the default
	Bitrate      int64  // bits a second of picture, instead of CRF
	Preset       string // of x264: ultrafast to medium; empty: the default
	AudioBitrate int64  // bits a second; zero: the default

	// Segment is how far pictures are apart, in recorded time, where decoding can begin, and where it begins nowhere else: what is
	// made will be cut there. The last may be closer. Zero: an interval of the encoder's own, which is not kept exactly.
	Segment time.Duration

	// Memory bounds the bytes of pictures that are kept; zero: 96 MiB. Four pictures are always kept.
	Memory int64

	// Restarted is told when an ffmpeg died or hung and another takes over. It is called from the recorder's goroutine and
	// must not call the Recorder.
	Restarted func(Restart)

	Log *slog.Logger // nil: none
}

// Defaults, chosen by measurement against x264 veryfast crf 25: not less SSIM on pages of moving shapes, slides and film,
// with up to 1.25 times the bits and less than two thirds of the CPU. A short look-ahead with mbtree buys back on film what
// superfast loses; B-frames without decision do the same; all of it costs little. The transform of 8x8 is left out: on a
// screen's edges it costs bits as well as time. So are B-frames that others refer to: each picture that is referred to is
// filtered and interpolated as a whole, which costs more than coding it where little has changed.
const (
	defaultPreset  = "superfast"
	defaultQuality = "22.9"
	defaultSound   = 128000

	// lookAhead and bFrames bound what x264 keeps to itself: lookAhead pictures, plus one per further thread.
	lookAhead = 5
	bFrames   = 3

	// fragment is the length of a fragment, keyInterval the time between pictures where decoding can begin, as a rule.
	fragment    = 500 * time.Millisecond
	keyInterval = 2 * time.Second
)

func (o *Options) check() error {
	switch {
	case !filepath.IsAbs(o.FFmpeg):
		return fmt.Errorf("the path of ffmpeg, %q, is not absolute", o.FFmpeg)
	case o.Width < 2 || o.Height < 2 || o.Width%2 != 0 || o.Height%2 != 0:
		return fmt.Errorf("pictures of %dx%d: both must be even", o.Width, o.Height)
	case o.FPS < 1:
		return fmt.Errorf("%d pictures a second", o.FPS)
	case o.CRF < 0 || o.CRF > 51:
		return fmt.Errorf("crf %d is not within 0 and 51", o.CRF)
	case o.Bitrate < 0 || o.AudioBitrate < 0:
		return errors.New("a negative bit rate")
	case o.Segment < 0 || o.Segment > 0 && o.Segment < time.Second/2:
		return fmt.Errorf("segments of %v", o.Segment)
	case o.CRF > 0 && o.Bitrate > 0:
		return errors.New("both a quality and a bit rate")
	}
	_, err := o.preset()
	return err
}

// preset is one of x264's that can keep up with a live picture.
func (o *Options) preset() (string, error) {
	switch o.Preset {
	case "":
		return defaultPreset, nil
	case "ultrafast", "superfast", "veryfast", "faster", "fast", "medium":
		return o.Preset, nil
	default:
		return "", fmt.Errorf("preset %q is none of ultrafast, superfast, veryfast, faster, fast, medium", o.Preset)
	}
}

// threads is how many threads x264 uses: one for 100 million pixels a second. More of them only delay the pictures.
func (o *Options) threads() int {
	return min(1+o.Width*o.Height*o.FPS/100_000_000, 4)
}

// delay is how many pictures must follow one before ffmpeg gives it back: x264 keeps lookAhead and one for each further
// thread, and one more waits to know how long it lasts.
func (o *Options) delay() int { return lookAhead + o.threads() + 1 }

// arguments are ffmpeg's, made of numbers and of words that stand in this file.
func (o *Options) arguments() []string {
	args := []string{
		"-hide_banner", "-nostdin", "-loglevel", "error", "-protocol_whitelist", "pipe",
		// All is said in the stream's head: nothing to probe. Its times are kept as they are.
		"-copyts", "-analyzeduration", "1", "-probesize", "32", "-f", "matroska", "-i", "pipe:0",
		"-map", "0:v:0", "-map", "0:a:0", "-fps_mode", "passthrough", "-enc_time_base", "1:90000",
	}
	args = append(args, o.pictures()...)
	sound := o.AudioBitrate
	if sound == 0 {
		sound = defaultSound
	}
	return append(args,
		"-c:a", "aac", "-b:a", strconv.FormatInt(sound, 10),

		// The muxer takes the end of a fragment's last picture, as it believes it, for the beginning of the next fragment.
		// It has to believe the truth.
		"-bsf:v", "setts=pts=PTS:dts=DTS:duration=max(NEXT_DTS-DTS\\,1)",

		// Sound does not wait for a picture that is not coming, and nothing waits in a buffer.
		"-max_interleave_delta", "200000", "-avoid_negative_ts", "disabled", "-use_editlist", "0",
		"-movflags", "+frag_keyframe+empty_moov+default_base_moof+frag_discont+skip_trailer",
		"-frag_duration", strconv.FormatInt(fragment.Microseconds(), 10), "-video_track_timescale", "90000",
		"-flush_packets", "1", "-f", "mp4", "pipe:1")
}

// PictureArguments are those of ffmpeg's arguments that say how pictures are encoded, so that the recipe can be measured on
// pictures that were kept without loss.
func PictureArguments(o Options) ([]string, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return o.pictures(), nil
}

func (o *Options) pictures() []string {
	preset, _ := o.preset() // checked
	return append([]string{
		"-c:v", "libx264", "-preset", preset, "-pix_fmt", "yuv420p", "-threads:v", strconv.Itoa(o.threads()),
		"-bf", strconv.Itoa(bFrames), "-b_strategy", "0", "-b-pyramid", "none", "-rc-lookahead", strconv.Itoa(lookAhead),
		"-mbtree", "1", "-8x8dct", "0",
		"-sc_threshold", "0", "-g", strconv.Itoa(int(o.keyInterval().Seconds() * float64(o.FPS) * 10)), "-forced-idr", "1",
		"-force_key_frames", o.keyFrames(),
		"-color_range", "tv", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709",
	}, o.rate()...)
}

// keyInterval is the time between pictures where decoding can begin.
func (o *Options) keyInterval() time.Duration {
	if o.Segment > 0 {
		return o.Segment
	}
	return keyInterval
}

// keyFrames is the expression by which ffmpeg knows them.
func (o *Options) keyFrames() string {
	if o.Segment > 0 {
		return keyFrames
	}
	return fmt.Sprintf("expr:if(isnan(prev_forced_t),1,gte(t,prev_forced_t+%d))", keyInterval/time.Second)
}

func (o *Options) rate() []string {
	if o.Bitrate > 0 {
		return []string{
			"-b:v", strconv.FormatInt(o.Bitrate, 10), "-maxrate", strconv.FormatInt(o.Bitrate*3/2, 10),
			"-bufsize", strconv.FormatInt(o.Bitrate*2, 10),
		}
	}
	quality := defaultQuality
	if o.CRF > 0 {
		quality = strconv.Itoa(o.CRF)
	}
	return []string{"-crf", quality}
}
