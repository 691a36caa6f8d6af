package media

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// Info is what a file says of itself.
type Info struct {
	Format   string        // ffmpeg's name of the container
	Duration time.Duration // of the container
	Size     int64         // of the file, in bytes
	Index    Index
	Video    *VideoInfo // nil: no picture
	Audio    *AudioInfo // nil: no sound
}

// Index says where a container keeps its index.
type Index string

// An MP4 can be played while it is fetched only when its index stands before the media.
const (
	IndexNone  Index = ""      // no MP4, or one without index
	IndexFirst Index = "first" // progressive
	IndexLast  Index = "last"
)

// VideoInfo describes the first video stream.
type VideoInfo struct {
	Codec, Profile, PixelFormat        string
	Width, Height                      int
	PixelAspect                        string // "1:1": square
	Range, Matrix, Transfer, Primaries string
	Start, Duration                    time.Duration
	BitRate                            int64
	Frames                             int64
	ReorderedFrames                    int    // has_b_frames
	NominalRate, AverageRate           string // fractions of ffprobe
}

// AudioInfo describes the first audio stream.
type AudioInfo struct {
	Codec           string
	Rate, Channels  int
	Start, Duration time.Duration
	BitRate         int64
}

// probed is the part of ffprobe's document that Info is made of.
type probed struct {
	Format struct {
		FormatName string `json:"format_name"`
		Duration   string `json:"duration"`
		Size       string `json:"size"`
	} `json:"format"`
	Streams []struct {
		CodecType         string `json:"codec_type"`
		CodecName         string `json:"codec_name"`
		Profile           string `json:"profile"`
		PixFmt            string `json:"pix_fmt"`
		Width             int    `json:"width"`
		Height            int    `json:"height"`
		HasBFrames        int    `json:"has_b_frames"`
		SampleAspectRatio string `json:"sample_aspect_ratio"`
		ColorRange        string `json:"color_range"`
		ColorSpace        string `json:"color_space"`
		ColorTransfer     string `json:"color_transfer"`
		ColorPrimaries    string `json:"color_primaries"`
		RFrameRate        string `json:"r_frame_rate"`
		AvgFrameRate      string `json:"avg_frame_rate"`
		StartTime         string `json:"start_time"`
		Duration          string `json:"duration"`
		BitRate           string `json:"bit_rate"`
		NbFrames          string `json:"nb_frames"`
		SampleRate        string `json:"sample_rate"`
		Channels          int    `json:"channels"`
	} `json:"streams"`
}

// Probe reads what the file says of itself, without decoding it.
func Probe(ctx context.Context, file string) (Info, error) {
	document, err := ffprobe(ctx, file)
	if err != nil {
		return Info{}, err
	}
	index, err := findIndex(file)
	if err != nil {
		return Info{}, err
	}
	info := Info{
		Format:   document.Format.FormatName,
		Duration: duration(document.Format.Duration),
		Size:     number(document.Format.Size),
		Index:    index,
	}
	for _, s := range document.Streams {
		switch {
		case s.CodecType == "video" && info.Video == nil:
			info.Video = &VideoInfo{
				Codec: s.CodecName, Profile: s.Profile, PixelFormat: s.PixFmt, Width: s.Width, Height: s.Height,
				PixelAspect: s.SampleAspectRatio, Range: s.ColorRange, Matrix: s.ColorSpace, Transfer: s.ColorTransfer,
				Primaries: s.ColorPrimaries, Start: duration(s.StartTime), Duration: duration(s.Duration), BitRate: number(s.BitRate),
				Frames: number(s.NbFrames), ReorderedFrames: s.HasBFrames, NominalRate: s.RFrameRate, AverageRate: s.AvgFrameRate,
			}
		case s.CodecType == "audio" && info.Audio == nil:
			info.Audio = &AudioInfo{
				Codec: s.CodecName, Rate: int(number(s.SampleRate)), Channels: s.Channels,
				Start: duration(s.StartTime), Duration: duration(s.Duration), BitRate: number(s.BitRate),
			}
		}
	}
	return info, nil
}

func ffprobe(ctx context.Context, file string) (probed, error) {
	cmd := exec.CommandContext(ctx, "ffprobe", "-v", "error", "-show_format", "-show_streams", "-of", "json", file)
	cmd.WaitDelay = stopGrace
	out, err := cmd.Output()
	if err != nil {
		if failed, ok := errors.AsType[*exec.ExitError](err); ok {
			return probed{}, fmt.Errorf("ffprobe %s: %w: %s", file, err, failed.Stderr)
		}
		return probed{}, fmt.Errorf("ffprobe %s: %w", file, errors.Join(err, context.Cause(ctx)))
	}
	var document probed
	if err := json.Unmarshal(out, &document); err != nil {
		return probed{}, fmt.Errorf("ffprobe %s: %w", file, err)
	}
	return document, nil
}

// number reads a number of ffprobe, which leaves out what it does not know: that is zero.
func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// duration reads a time of ffprobe, in the same way.
func duration(s string) time.Duration {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0
	}
	return time.Duration(f * float64(time.Second))
}

// findIndex walks the outermost boxes of an MP4 until it has met the index or the media.
func findIndex(name string) (Index, error) {
	file, err := os.Open(name)
	if err != nil {
		return IndexNone, fmt.Errorf("find index: %w", err)
	}
	defer file.Close()
	media := false
	for at := int64(0); ; {
		kind, size, err := box(file, at)
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || err == nil && size < 8:
			return IndexNone, nil
		case err != nil:
			return IndexNone, fmt.Errorf("find index of %s: %w", name, err)
		case kind == "moov" && media:
			return IndexLast, nil
		case kind == "moov":
			return IndexFirst, nil
		case kind == "mdat":
			media = true
		}
		at += size
	}
}

// box reads the kind and the size of the box at that offset.
func box(file io.ReaderAt, at int64) (kind string, size int64, err error) {
	header := make([]byte, 16)
	n, err := file.ReadAt(header, at)
	if n < 8 {
		return "", 0, errors.Join(err, io.ErrUnexpectedEOF)
	}
	size = int64(binary.BigEndian.Uint32(header))
	if size == 1 && n == 16 {
		size = int64(binary.BigEndian.Uint64(header[8:]))
	}
	return string(header[4:8]), size, nil
}
