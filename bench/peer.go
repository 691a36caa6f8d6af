package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/recordhost/recordhost/sdk/proc"
)

// The peer is the recipe of today's open recorders of web pages (Jibri, LiveKit Egress, the Chime SDK's demo): Chrome under Xvfb and
// PulseAudio, the screen grabbed 30 times a second, x264 at preset veryfast. Its parameters are never tuned, so that figures of
// different days compare.
type peer struct {
	root string // a folder for what it writes
}

const (
	peerWidth, peerHeight, peerRate = 1280, 720, 30

	// peerLoad is how long the page may load before the recording begins.
	peerLoad = 4 * time.Second
)

// The encodes: the recipe's own, and one without loss as an original for others.
const (
	peerCodec     = "-c:v libx264 -preset veryfast -crf 25 -g 60 -pix_fmt yuv420p"
	peerSound     = "-c:a aac"
	losslessCodec = "-c:v libx264 -preset ultrafast -qp 0 -pix_fmt yuv420p"
)

func (p peer) name() string { return "peer" }

func (p peer) record(ctx context.Context, url string, length time.Duration, file string) error {
	return p.grab(ctx, url, length, file, peerCodec+" "+peerSound)
}

// capture records the picture alone, without loss.
func (p peer) capture(ctx context.Context, url string, length time.Duration, file string) error {
	return p.grab(ctx, url, length, file, losslessCodec+" -an")
}

// grab sets everything up, records and takes it down again.
func (p peer) grab(ctx context.Context, url string, length time.Duration, file, codec string) (err error) {
	dir, err := os.MkdirTemp(p.root, "peer")
	if err != nil {
		return fmt.Errorf("peer: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &set{env: append(os.Environ(), "XDG_RUNTIME_DIR="+dir, "PULSE_SERVER=unix:"+filepath.Join(dir, "pa.sock"))}
	defer func() { err = errors.Join(err, s.stop(context.WithoutCancel(ctx))) }()

	display, err := s.screen(ctx)
	if err != nil {
		return err
	}
	s.env = append(s.env, "DISPLAY="+display)
	if err := s.soundCard(ctx, filepath.Join(dir, "pa.sock")); err != nil {
		return err
	}
	if err := s.browser(ctx, filepath.Join(dir, "profile"), url); err != nil {
		return err
	}
	if err := wait(ctx, peerLoad); err != nil {
		return err
	}
	input := fmt.Sprintf("-y -v error -f x11grab -framerate %d -video_size %dx%d -draw_mouse 0 -thread_queue_size 4096 -i %s "+
		"-f pulse -thread_queue_size 4096 -i rec.monitor", peerRate, peerWidth, peerHeight, display)
	return s.encoder(ctx, strings.Fields(fmt.Sprintf("%s %s -t %.3f %s", input, codec, length.Seconds(), file)))
}

// set is what the recipe has started, in this order.
type set struct {
	env      []string
	children []*proc.Child
}

func (s *set) start(ctx context.Context, program string, extra []*os.File, args ...string) (*proc.Child, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return nil, fmt.Errorf("peer: %w", err)
	}
	child, err := proc.Start(ctx, proc.Spec{Path: path, Args: args, Env: s.env, ExtraFiles: extra})
	if err != nil {
		return nil, fmt.Errorf("peer: start %s: %w", program, err)
	}
	s.children = append(s.children, child)
	return child, nil
}

// screen starts an X server on a number that it chooses itself.
func (s *set) screen(ctx context.Context) (string, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return "", fmt.Errorf("peer: %w", err)
	}
	defer read.Close()
	size := fmt.Sprintf("%dx%dx24", peerWidth, peerHeight)
	_, err = s.start(ctx, "Xvfb", []*os.File{write}, "-displayfd", "3", "-screen", "0", size, "-nolisten", "tcp")
	if closeErr := write.Close(); err != nil || closeErr != nil {
		return "", errors.Join(err, closeErr)
	}
	line, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("peer: Xvfb told no display: %w", err)
	}
	number, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return "", fmt.Errorf("peer: Xvfb told no display: %w", err)
	}
	return fmt.Sprintf(":%d", number), nil
}

// soundCard starts a PulseAudio with one sink that goes nowhere, and waits for its socket.
func (s *set) soundCard(ctx context.Context, socket string) error {
	child, err := s.start(ctx, "pulseaudio", nil, "-n", "--daemonize=no", "--exit-idle-time=-1",
		"--load=module-native-protocol-unix auth-anonymous=1 socket="+socket, "--load=module-null-sink sink_name=rec rate=48000")
	if err != nil {
		return err
	}
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		if _, err := os.Stat(socket); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-child.Done():
			return fmt.Errorf("peer: pulseaudio: %s", strings.Join(child.LastLines(), " | "))
		case <-again.C:
		}
	}
}

func (s *set) browser(ctx context.Context, profile, url string) error {
	_, err := s.start(ctx, "chromium", nil, "--no-sandbox", "--user-data-dir="+profile, "--kiosk", "--no-first-run", "--test-type",
		"--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--autoplay-policy=no-user-gesture-required", "--window-position=0,0",
		fmt.Sprintf("--window-size=%d,%d", peerWidth, peerHeight), url)
	return err
}

func (s *set) encoder(ctx context.Context, args []string) error {
	child, err := s.start(ctx, "ffmpeg", nil, args...)
	if err != nil {
		return err
	}
	exit, err := child.Wait(ctx)
	if err != nil {
		return fmt.Errorf("peer: ffmpeg: %w", err)
	}
	if err := exit.Err(); err != nil {
		return fmt.Errorf("peer: ffmpeg: %w", err)
	}
	return nil
}

// stop ends everything, the last started first.
func (s *set) stop(ctx context.Context) error {
	var failed error
	for len(s.children) > 0 {
		last := len(s.children) - 1
		_, err := s.children[last].Stop(ctx, 5*time.Second)
		failed = errors.Join(failed, err)
		s.children = s.children[:last]
	}
	return failed
}

// wait lets time pass.
func wait(ctx context.Context, length time.Duration) error {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
