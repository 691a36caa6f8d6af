package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	filmRate   = 30
	filmLength = 2 * time.Minute // longer than a run, so that it never starts over
)

// makeFilm writes a film whose pictures hold the blocks that the measuring pages draw: their number, and their time in
// the film in milliseconds.
func makeFilm(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "video.mp4")
	cmd := exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "gray", "-s", "32x18",
		"-r", fmt.Sprint(filmRate), "-i", "pipe:0",
		"-vf", fmt.Sprintf("scale=%d:%d:flags=neighbor", width, height), "-c:v", "libx264", "-preset", "ultrafast",
		"-pix_fmt", "yuv420p", path)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("make a film: %w", err)
	}
	for n := range int(filmLength / time.Second * filmRate) {
		if _, err = in.Write(filmPicture(n)); err != nil {
			break
		}
	}
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		return "", fmt.Errorf("make a film: %w", err)
	}
	return path, err
}

// filmPicture is one picture, a grey sample per block.
func filmPicture(n int) []byte {
	picture := make([]byte, 32*18)
	for row, value := range []int{n, n * 1000 / filmRate} {
		for i := range blocks {
			picture[32*row+i] = byte(value>>i&1) * 255
		}
	}
	return picture
}
