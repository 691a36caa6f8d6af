package task

import (
	"encoding/hex"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/recordhost/recordhost/internal/control"
)

// The bounds and defaults of Start's members.
const (
	maxSize       = 2560
	defaultWidth  = 1280
	defaultHeight = 720
	maxDuration   = 36000
	defaultMax    = 21600 * time.Second
	maxFPS        = 60
	maxCRF        = 51 // 0 would be lossless, which players do not play
	minBitrate    = 10_000
	maxBitrate    = 100_000_000
	maxURL        = 8192
	maxSegment    = 60
	hlsKey        = 16 // bytes
	storageRaw    = "cos"
	storageSpool  = "cfs"
	muxerMP4      = "mp4"
	muxerHLS      = "hls"
	rateVariable  = "variable"
	rateConstant  = "constant"
	notConfigured = "not configured"
)

var callersID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Request is a Start that was checked. It may hold secrets, and is stored sealed.
type Request struct {
	TaskID       string // the caller's own; empty: the host makes one
	RecordURL    string
	CallbackURL  string // empty: nobody is told
	ManualStart  bool
	ReadyTimeout time.Duration
	MaxDuration  time.Duration
	Width        int
	Height       int
	Video        control.Video   // zero members: the engine's
	Browser      control.Browser // without the engine's part
	Targets      []Destination   // one at least
}

// Destination is one place where the recording is to be kept.
type Destination struct {
	Storage  string // empty: that of Plugin, or the default storage
	Plugin   string // of the storage, where the request names a kind; empty: any
	Settings string // for that plugin, JSON; empty: none
	Expires  int64  // Unix seconds at which the store shall delete the recording; zero: never
	Dir      string
	DirSet   bool   // an empty Dir is meant
	Name     string // empty: a time stamp
}

// parseStart checks Data of Start.
//
// legacyKey reads an EncryptKey of 32 characters as the original does, see encryptKey.
func parseStart(data json.RawMessage, legacyKey bool) (Request, error) {
	o := readObject("Data", data)
	if o.problem() == nil && o.text("RecordURL") == "" {
		o.refuse("RecordURL missing")
	}
	r := Request{
		TaskID:       o.text("TaskID"),
		RecordURL:    pageURL(o, "RecordURL"),
		ManualStart:  o.flag("ManualStart"),
		ReadyTimeout: seconds(o.whole("ReadyTimeout", 0, maxDuration)),
		MaxDuration:  seconds(o.whole("MaxDurationLimit", 0, maxDuration)),
		Width:        size(o, "Width", defaultWidth),
		Height:       size(o, "Height", defaultHeight),
	}
	if o.has("TaskID") && !callersID.MatchString(r.TaskID) {
		o.fail("TaskID", "must be 1 to 64 of the characters A-Z a-z 0-9 _ -")
	}
	if r.MaxDuration == 0 {
		r.MaxDuration = defaultMax
	}
	if r.ReadyTimeout == 0 {
		r.ReadyTimeout = r.MaxDuration
	}
	if o.text("CallbackURL") != "" {
		r.CallbackURL = pageURL(o, "CallbackURL")
	}
	checkStorageType(o)
	r.Browser = parseBrowser(o.object("Browser"))
	output := o.object("Output")
	r.Targets = parseTargets(output)
	r.Video = parseVideo(output.object("Video"), legacyKey)
	return r, o.problem()
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

// size reads a width or height. A picture of one line cannot be encoded; two lines hold it.
func size(o object, name string, otherwise int) int {
	switch n := int(o.whole(name, 0, maxSize)); n {
	case 0:
		return otherwise
	case 1:
		return 2
	default:
		return n
	}
}

// pageURL reads the URL of a page, or of an endpoint. Credentials in it would end in Chrome's own log, among other places.
func pageURL(o object, name string) string {
	text := o.text(name)
	u := webURL(o, name, text)
	if u != nil && u.User != nil {
		o.fail(name, "must not contain credentials")
	}
	return text
}

// webURL checks an absolute http or https URL; nil when it is none. The message never quotes it: it may hold secrets.
func webURL(o object, name, text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Hostname() == "" || !isWeb(u.Scheme) || strings.ContainsAny(text, " \t\r\n") {
		o.fail(name, "must be an http or https URL")
		return nil
	}
	if len(text) > maxURL {
		o.fail(name, "must not be longer than %d bytes", maxURL)
		return nil
	}
	return u
}

func isWeb(scheme string) bool { return scheme == "http" || scheme == "https" }

func checkStorageType(o object) {
	switch o.text("StorageType") {
	case "", storageSpool:
	case storageRaw:
		o.fail("StorageType", "cannot be %q: the raw storage is %s", storageRaw, notConfigured)
	default:
		o.fail("StorageType", "must be %q or %q", storageSpool, storageRaw)
	}
}

func parseVideo(o object, legacyKey bool) control.Video {
	v := control.Video{
		Muxer:           o.text("Muxer"),
		FPS:             int(o.whole("Fps", 1, maxFPS)),
		CRF:             int(o.whole("Crf", 1, maxCRF)),
		Bitrate:         o.whole("Bitrate", minBitrate, maxBitrate),
		SegmentDuration: time.Duration(o.number("SegmentDuration", 1, maxSegment) * float64(time.Second)),
	}
	switch v.Muxer {
	case "":
		v.Muxer = muxerMP4
	case muxerMP4, muxerHLS:
	default:
		o.fail("Muxer", "must be %q or %q", muxerMP4, muxerHLS)
	}
	v.Key, v.KeyURL = parseKey(o, v.Muxer, legacyKey)
	switch o.text("FrameRate") {
	case "", rateVariable:
	case rateConstant:
		v.ConstantFrameRate = true
	default:
		o.fail("FrameRate", "must be %q or %q", rateVariable, rateConstant)
	}
	if v.CRF != 0 && v.Bitrate != 0 {
		o.fail("Crf", "and Bitrate exclude each other")
	}
	return v
}

// parseKey reads what HLS segments are encrypted with, and where players fetch that. No message quotes the key.
func parseKey(o object, muxer string, legacy bool) (key []byte, where string) {
	text, where := o.text("EncryptKey"), o.text("AuthUrl")
	switch {
	case text == "" && where == "":
		return nil, ""
	case muxer != muxerHLS && text != "":
		o.fail("EncryptKey", "is only for Muxer %q", muxerHLS)
	case muxer != muxerHLS:
		o.fail("AuthUrl", "is only for Muxer %q", muxerHLS)
	case text == "":
		o.fail("EncryptKey", "must be there where AuthUrl is")
	case where == "":
		o.fail("AuthUrl", "must be there where EncryptKey is")
	}
	webURL(o, "AuthUrl", where)
	if strings.ContainsFunc(where, func(r rune) bool { return r == '"' || unicode.IsControl(r) }) { // it stands in quotes in the playlist
		o.fail("AuthUrl", "must not contain quotes or control characters")
	}
	if key = encryptKey(text, legacy); key == nil {
		o.fail("EncryptKey", "must be %d hexadecimal digits, or %d bytes of text", 2*hlsKey, hlsKey)
	}
	return key, where
}

// encryptKey is the key that a text stands for; nil: none. The original's program takes the first 16 characters of the hexadecimal
// digits for the key; those who serve that to their players say so in the configuration (legacy).
func encryptKey(text string, legacy bool) []byte {
	decoded, err := hex.DecodeString(text)
	switch {
	case len(text) == hlsKey:
		return []byte(text)
	case err != nil || len(decoded) != hlsKey:
		return nil
	case legacy:
		return []byte(text[:hlsKey])
	default:
		return decoded
	}
}
