// Package synthetic is recordhost with all of its processes, but with recordings that need neither Chrome nor ffmpeg nor a
// fast machine: the worker is test/synthetic/worker. Its tests kill and freeze each process at each moment of a recording;
// test/soak makes thousands of recordings with it. Only tests and measurements use it.
package synthetic

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/recordhost/recordhost/test/product"
)

// What lies beside the worker's program.
const (
	FilmName   = "film.mp4"
	TempName   = "t" // its directory for temporary files; a short name, for sockets are in it
	workerName = "worker"

	// FilmRate is the pictures a second, FilmSeconds the length after which the film begins again.
	FilmRate    = 10
	FilmSeconds = 60
	// FilmWidth is the picture's.
	FilmWidth = 160
	// FilmHeight is the picture's.
	FilmHeight = 90
)

// Installation is everything built, in one folder.
type Installation struct {
	dir     string
	product product.Product
}

// Build builds recordhost, its plugins and the synthetic worker, and makes the film, into a new folder. Remove removes it.
func Build(ctx context.Context) (_ *Installation, err error) {
	dir, err := os.MkdirTemp("", "syn-") // short: there will be sockets in it
	if err != nil {
		return nil, fmt.Errorf("synthetic: %w", err)
	}
	in := &Installation{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, in.Remove())
		}
	}()
	if in.product, err = product.Build(ctx, dir); err != nil {
		return nil, err
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", filepath.Join(dir, workerName),
		"github.com/recordhost/recordhost/test/synthetic/worker")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("synthetic: build the worker: %w: %s", err, said)
	}
	return in, shoot(ctx, filepath.Join(dir, FilmName))
}

// Remove removes the folder.
func (in *Installation) Remove() error { return os.RemoveAll(in.dir) }

// shoot makes the film, in the form in which the encoder writes.
func shoot(ctx context.Context, path string) error {
	seconds, rate := strconv.Itoa(FilmSeconds), strconv.Itoa(FilmRate)
	cmd := exec.CommandContext(ctx, "ffmpeg", "-v", "error",
		"-f", "lavfi", "-i", fmt.Sprintf("testsrc=size=%dx%d:rate=%s:duration=%s", FilmWidth, FilmHeight, rate, seconds),
		"-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration="+seconds,
		"-c:v", "libx264", "-preset", "ultrafast", "-g", rate, "-bf", "0", "-pix_fmt", "yuv420p",
		"-c:a", "aac", "-b:a", "32k", "-ac", "2", "-avoid_negative_ts", "disabled", "-use_editlist", "0",
		"-movflags", "+frag_keyframe+empty_moov+default_base_moof+frag_discont+skip_trailer", "-frag_duration", "500000",
		"-video_track_timescale", "90000", "-f", "mp4", path)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("synthetic: make the film: %w: %s", err, said)
	}
	return nil
}

// site is a folder in which the installation's programs have names of their own: whoever runs from it belongs to it.
func (in *Installation) site(dir string) (product.Product, error) {
	p := product.At(dir)
	p.Env = []string{"TMPDIR=" + filepath.Join(dir, TempName)}
	if err := os.MkdirAll(p.Plugins, 0o755); err != nil {
		return p, fmt.Errorf("synthetic: %w", err)
	}
	if err := os.Mkdir(filepath.Join(dir, TempName), 0o700); err != nil {
		return p, fmt.Errorf("synthetic: %w", err)
	}
	plugins, err := filepath.Glob(filepath.Join(in.product.Plugins, "*"))
	if err != nil {
		return p, fmt.Errorf("synthetic: %w", err)
	}
	links := map[string]string{
		in.product.Binary:                 p.Binary,
		filepath.Join(in.dir, workerName): filepath.Join(dir, workerName),
		filepath.Join(in.dir, FilmName):   filepath.Join(dir, FilmName),
	}
	for _, file := range plugins {
		links[file] = filepath.Join(p.Plugins, filepath.Base(file))
	}
	for from, to := range links {
		if err := syscall.Link(from, to); err != nil {
			return p, fmt.Errorf("synthetic: link %s: %w", to, err)
		}
	}
	return p, nil
}
