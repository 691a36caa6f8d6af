package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/recordhost/recordhost/test/media"
	"github.com/recordhost/recordhost/test/pages"
	"github.com/recordhost/recordhost/test/processes"
	"github.com/recordhost/recordhost/test/product"
)

// bars are what may change over the length of a film.
type bars struct {
	drift   float64 // of sound against picture from the beginning to the end, in milliseconds
	spacing float64 // of a second between two beeps from one, in milliseconds
	growth  int64   // of the worker's memory, in bytes
}

// film is one recording in a real Chrome, for as long as the soak lasts. It has a host of its own.
type film struct {
	length time.Duration
	looks  int // at the worker, over the whole
	bars   bars
	out    io.Writer

	dir  string
	host *product.Host
	task string
}

// shoot makes the recording and judges it.
func (f film) shoot(ctx context.Context) (err error) {
	if f.dir, err = os.MkdirTemp("", "recordhost-soak-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(f.dir)) }()
	p, err := product.Build(ctx, filepath.Join(f.dir, "bin"))
	if err != nil {
		return err
	}
	server, err := pages.Start(ctx, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	if f.host, err = p.Serve(ctx, f.dir, 1); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.host.Close(context.WithoutCancel(ctx))) }()
	f.task, err = f.host.Start(ctx, map[string]any{
		"RecordURL": server.URL("frames.html"), "Width": 640, "Height": 360, "TaskID": "film",
	})
	if err != nil {
		return err
	}
	if _, err := f.host.AwaitStatus(ctx, f.task, "recording"); err != nil {
		return err
	}
	memory, err := f.sit(ctx)
	if stopErr := f.host.Tell(context.WithoutCancel(ctx), "Stop", f.task); stopErr != nil || err != nil {
		return errors.Join(err, stopErr)
	}
	return f.judge(ctx, memory)
}

// sit lets the recording run, and looks at its worker's memory meanwhile.
func (f film) sit(ctx context.Context) (memory []int64, err error) {
	for range f.looks {
		select {
		case <-time.After(f.length / time.Duration(f.looks)):
		case <-ctx.Done():
			return memory, context.Cause(ctx)
		}
		bytes, err := f.workerMemory()
		if err != nil {
			return memory, err
		}
		memory = append(memory, bytes)
	}
	return memory, nil
}

// workerMemory is that of the process that runs this film's recordhost and is not its host.
func (f film) workerMemory() (int64, error) {
	all, err := processes.All()
	if err != nil {
		return 0, err
	}
	for _, p := range all {
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.PID))
		if err == nil && strings.HasPrefix(exe, filepath.Join(f.dir, "bin", "recordhost")) && p.PID != f.host.PID() {
			return processes.Memory(p.PID), nil
		}
	}
	return 0, errors.New("the film's worker is gone")
}

// judge looks into the file.
func (f film) judge(ctx context.Context, memory []int64) error {
	d, err := f.host.AwaitStatus(ctx, f.task, "finished")
	if err != nil {
		return err
	}
	if d.Result == nil || len(d.Result.Videos) != 1 || len(d.Quality.Gaps) > 0 || d.Quality.Restarts > 0 {
		return fmt.Errorf("the film ended with result %+v, quality %+v", d.Result, d.Quality)
	}
	recording, err := media.Read(ctx, f.host.File(f.task, d.Result.Videos[0]))
	if err != nil {
		return err
	}
	report, err := recording.Report()
	if err != nil {
		return err
	}
	early, late := memory[len(memory)/3], memory[len(memory)-1]
	_, err = fmt.Fprintf(f.out, "film: %.0f s, %d frames, %d doubled, %d missing, time error p95 %.1f ms, sound drift %+.1f ms, "+
		"beeps %.2f ms off, worker %.1f MB, %.1f MB at the end\n",
		report.Seconds, report.Frames, report.Doubled, report.Missing, report.TimeErrorP95, value(report.SoundDrift),
		value(report.BeepSpacingMax), float64(early)/1e6, float64(late)/1e6)
	return errors.Join(err, f.bars.steady(report, late-early))
}

// steady says what changed more than it may.
func (b bars) steady(r media.Report, grown int64) error {
	var errs []error
	if r.SoundDrift == nil || *r.SoundDrift > b.drift || *r.SoundDrift < -b.drift {
		errs = append(errs, fmt.Errorf("sound moved by %.1f ms against the picture", value(r.SoundDrift)))
	}
	if s := r.BetweenCuts.BeepSpacingMax; s == nil || *s > b.spacing {
		errs = append(errs, fmt.Errorf("a second between two beeps is %.2f ms off", value(s)))
	}
	if r.Seconds-r.AudioSeconds > 0.1 || r.AudioSeconds-r.Seconds > 0.1 {
		errs = append(errs, fmt.Errorf("%.2f s of picture, %.2f s of sound", r.Seconds, r.AudioSeconds))
	}
	if grown > b.growth {
		errs = append(errs, fmt.Errorf("the worker grew by %.1f MB", float64(grown)/1e6))
	}
	return errors.Join(errs...)
}

// value is zero for what could not be told.
func value(f *float64) float64 {
	if f == nil {
		return 0
	}
	return *f
}
