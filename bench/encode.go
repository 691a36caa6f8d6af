package main

import (
	"context"
	"fmt"
	"os/exec"

	engine "github.com/recordhost/recordhost/internal/encode"
)

// recordhostCodec is what recordhost itself tells ffmpeg of the pictures, with its defaults.
func recordhostCodec() ([]string, error) {
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		return nil, fmt.Errorf("recordhost's codec: %w", err)
	}
	codec, err := engine.PictureArguments(engine.Options{FFmpeg: ffmpeg, Width: peerWidth, Height: peerHeight, FPS: peerRate})
	if err != nil {
		return nil, fmt.Errorf("recordhost's codec: %w", err)
	}
	return codec, nil
}

// encode encodes the pictures of the original with those options of ffmpeg.
func encode(ctx context.Context, original string, codec []string, file string) error {
	args := append([]string{"-v", "error", "-i", original, "-an", "-fps_mode", "passthrough"}, codec...)
	out, err := exec.CommandContext(ctx, "ffmpeg", append(args, file)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("encode with %q: %w: %s", codec, err, out)
	}
	return nil
}
