package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recordhost/recordhost/internal/config"
	"github.com/recordhost/recordhost/internal/host"
	"github.com/recordhost/recordhost/internal/scratch"
)

// orphanGrace is how long the worker of a one-shot host that is gone records on before it finishes the file.
const orphanGrace = 3 * time.Second

// order is what the command line asks for.
type order struct {
	url           string
	duration      time.Duration
	out           string
	width, height int
	fps           int
	manualStart   bool
	readyTimeout  time.Duration
	config        string
	json          bool
}

func newRecord() *cobra.Command {
	var o order
	c := &cobra.Command{
		Use:   "record URL",
		Short: "Record one page into a file",
		Long: `record opens a page and records it until --duration has been recorded, the page calls window.stopRecord(), or Ctrl-C.
Ctrl-C finishes the file, which is whole; a second Ctrl-C gives the recording up.

Without --config no configuration is needed: the recording is made on this machine and kept as a local file. With it,
the default runtime and the engine's settings are the configuration's, and so is the default storage, unless --out
names a local file.`,
		Args: exactly(1, "one URL"),
		RunE: func(c *cobra.Command, args []string) error {
			o.url = args[0]
			if err := o.check(); err != nil {
				return err
			}
			log, err := logger(c, slog.LevelWarn)
			if err != nil {
				return err
			}
			return record(c, o, log)
		},
	}
	f := c.Flags()
	f.DurationVar(&o.duration, "duration", 0, "how much to record, in whole seconds, such as 90s or 1h30m; 0: until stopped")
	f.StringVar(&o.out, "out", "", "file or folder to write (default recordings/<date>-<time>.mp4)")
	f.IntVar(&o.width, "width", 0, "width of the page (default 1280)")
	f.IntVar(&o.height, "height", 0, "height of the page (default 720)")
	f.IntVar(&o.fps, "fps", 0, "frames a second, 1 to 60 (default 30, or the configuration's)")
	f.BoolVar(&o.manualStart, "manual-start", false, "wait until the page calls window.startRecord()")
	f.DurationVar(&o.readyTimeout, "ready-timeout", 10*time.Minute, "with --manual-start: how long to wait for that, in whole seconds")
	f.StringVar(&o.config, "config", "", "take runtime, storage and engine from this configuration")
	f.BoolVar(&o.json, "json", false, "print the task's description as JSON, and nothing else, on standard output")
	return c
}

// check refuses what the API could not be asked for. The rest is the API's to judge.
func (o order) check() error {
	if o.duration < 0 || o.duration%time.Second != 0 {
		return usage("--duration %v: must be whole seconds", o.duration)
	}
	if o.readyTimeout <= 0 || o.readyTimeout%time.Second != 0 {
		return usage("--ready-timeout %v: must be whole seconds, at least one", o.readyTimeout)
	}
	return nil
}

// target is where a local recording goes.
type target struct {
	dir  string // absolute
	file string
}

// target of the command line. A name that ends in a slash, or is a folder, is a folder.
func (o order) target(now time.Time) (target, error) {
	out, name := o.out, now.Format("20060102-150405")+".mp4"
	if out == "" {
		out = "recordings" + string(filepath.Separator)
	}
	info, err := os.Stat(out)
	if err == nil && info.IsDir() || strings.HasSuffix(out, string(filepath.Separator)) {
		out = filepath.Join(out, name)
	}
	if !strings.EqualFold(filepath.Ext(out), ".mp4") {
		out += ".mp4"
	}
	absolute, err := filepath.Abs(out)
	if err != nil {
		return target{}, fmt.Errorf("--out: %w", err)
	}
	if _, err := os.Lstat(absolute); err == nil {
		return target{}, usage("%s exists and is not overwritten: remove it, or choose another name with --out", out)
	}
	t := target{dir: filepath.Dir(absolute), file: filepath.Base(absolute)}
	if err := os.MkdirAll(t.dir, 0o755); err != nil {
		return target{}, fmt.Errorf("--out: %w", err)
	}
	return t, nil
}

// settings is the configuration to record with, its state below dir, and the file's place; no place when the
// configuration's own storage is to keep it.
func (o order) settings(dir string) (*config.Config, *target, error) {
	if o.config != "" && o.out == "" {
		c, err := load(o.config)
		if err != nil {
			return nil, nil, err
		}
		c.DataDir = dir
		return c, nil, nil
	}
	t, err := o.target(time.Now())
	if err != nil {
		return nil, nil, err
	}
	local, err := config.Local(dir, t.dir)
	if err != nil || o.config == "" {
		return local, &t, err
	}
	c, err := load(o.config)
	if err != nil {
		return nil, nil, err
	}
	c.DataDir = dir
	c.Storages, c.DefaultStorage = local.Storages, local.DefaultStorage
	return c, &t, nil
}

// start is the Start action of the command line.
func (o order) start(t *target) (json.RawMessage, error) {
	type video struct {
		Fps int `json:",omitempty"`
	}
	type output struct {
		TargetDir  string `json:",omitempty"`
		TargetName string `json:",omitempty"`
		Storage    string `json:",omitempty"`
		Video      video
	}
	s := struct {
		RecordURL        string
		ManualStart      bool
		Width, Height    int
		MaxDurationLimit int64
		ReadyTimeout     int64 `json:",omitempty"`
		Output           output
	}{
		RecordURL: o.url, ManualStart: o.manualStart, Width: o.width, Height: o.height,
		MaxDurationLimit: int64(o.duration / time.Second),
		Output:           output{Video: video{Fps: o.fps}},
	}
	if o.manualStart {
		s.ReadyTimeout = int64(o.readyTimeout / time.Second)
	}
	if t != nil {
		s.Output.TargetDir, s.Output.TargetName = "/", t.file
	}
	return json.Marshal(s)
}

// record makes one recording with a host of its own, whose state nobody else sees and which is gone afterwards, unless
// it holds a recording that could not be delivered.
func record(c *cobra.Command, o order, log *slog.Logger) (err error) {
	ctx, interrupts := watchInterrupts(c.Context())
	defer interrupts.release()
	state, err := stateDir()
	if err != nil {
		return err
	}
	dir, keep := state.Path(), false
	defer func() {
		if keep {
			err = errors.Join(err, state.Leave())
		} else {
			err = errors.Join(err, state.Remove())
		}
	}()
	settings, place, err := o.settings(dir)
	if err != nil {
		return err
	}
	data, err := o.start(place)
	if err != nil {
		return err
	}
	h, err := host.Open(ctx, host.Options{Config: settings, OrphanGrace: orphanGrace, Log: log})
	if err != nil {
		return refusal(err)
	}
	defer func() {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
		defer cancel()
		err = errors.Join(err, h.Close(bounded))
	}()
	taken, err := follow(ctx, h.Tasks(), data, interrupts.asked, newShow(c.ErrOrStderr(), o.duration))
	if errors.Is(context.Cause(ctx), errAbandoned) {
		keep = true
		return &exitError{exitAbandoned, fmt.Errorf(
			"not waited for: the worker finishes the file within about ten seconds; afterwards %s is not needed, unless it holds "+
				"a recording that could not be delivered; it is removed by itself, that with a recording after 7 days", dir)}
	}
	if err != nil {
		return refusal(err)
	}
	if err := report(c.OutOrStdout(), o, place, taken); err != nil {
		return err
	}
	err = verdict(taken.description, dir)
	keep = kept(taken.description)
	return err
}

// stateDir makes the private directory of a one-shot host. It holds the recording until that is delivered, so it is
// not in /tmp, which is often in memory.
func stateDir() (*scratch.Dir, error) {
	parent := os.Getenv("TMPDIR")
	if parent == "" {
		parent = "/var/tmp"
	}
	dir, err := scratch.Make(parent, scratch.PrefixRun)
	if err != nil {
		return nil, fmt.Errorf("make a private state directory: %w; set TMPDIR to a folder with room", err)
	}
	return dir, nil
}
