package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/recordhost/recordhost/internal/deliver"
	"github.com/recordhost/recordhost/internal/hls"
	"github.com/recordhost/recordhost/internal/mp4"
	"github.com/recordhost/recordhost/internal/pluginhost"
	"github.com/recordhost/recordhost/internal/spool"
	"github.com/recordhost/recordhost/sdk/plugin"
	"github.com/recordhost/recordhost/sdk/storage"
)

// job is what the process that stands for a worker is told on its standard input.
type job struct {
	Film    string // path
	Dir     string // the spool and the plugin's state lie below it
	Plugins string
	Length  time.Duration
	Live    time.Duration // the end of it comes in at the pace of a recording
	Plugin  string        // of the store; empty: the recording is not delivered
	Config  json.RawMessage
	Env     map[string]string
	Key     string // of the object, or of the playlist
	HLS     bool
	Read    string // a URL under which readers find it
}

// outcome is what it answers on its standard output.
type outcome struct {
	Ready   time.Duration // from Stop until the store has confirmed the object, and a reader gets its first byte
	Size    int64         // of all files
	Memory  int64         // bytes at the most, of the process; of the plugin Plugin
	Plugin  int64
	Extents []mp4.Extent // the local file
}

// film is a fragmented stream of some seconds.
type film struct {
	init      *mp4.Init
	head      []byte
	fragments []*mp4.Fragment
	data      [][]byte
}

func readFilm(path string) (f film, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return f, err
	}
	r := mp4.NewReader(bytes.NewReader(data))
	if f.head, f.init, err = r.Init(); err != nil {
		return f, err
	}
	f.head = bytes.Clone(f.head)
	for {
		data, fragment, err := r.Next()
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err != nil {
			return f, err
		}
		f.fragments, f.data = append(f.fragments, fragment), append(f.data, bytes.Clone(data))
	}
}

// work records the film over and over and delivers it, with the spool, the delivery and the plugin of a real worker.
func (j job) work(ctx context.Context) (o outcome, err error) {
	f, err := readFilm(j.Film)
	if err != nil {
		return o, err
	}
	s, err := spool.Open(filepath.Join(j.Dir, "spool"), nil)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var run *deliver.Run
	var plugins *pluginhost.Host
	if j.Plugin != "" {
		if plugins, err = j.open(ctx); err != nil {
			return o, err
		}
		defer func() { err = errors.Join(err, plugins.Close(ctx)) }()
		driver, err := plugins.Storage("store")
		if err != nil {
			return o, err
		}
		log := slog.New(slog.NewTextHandler(os.Stderr, nil))
		run = deliver.Begin(ctx, s, []deliver.Target{{
			Name: "store", Driver: driver, Delivery: storage.Delivery{TaskID: "bench", Epoch: 1, Main: j.Key},
		}}, j.cargo(), deliver.Options{Log: log})
		defer run.Stop(nil)
	}
	if err := j.record(ctx, s, f, run); err != nil {
		return o, err
	}
	stopped := time.Now()
	file, err := s.Finish(j.Length, j.Dir)
	if err != nil {
		return o, err
	}
	o.Size, o.Extents = file.Size, file.Extents
	if run != nil {
		run.Whole(file)
		r := run.Results()[0]
		if r.Err != nil {
			return o, r.Err
		}
		o.Size = r.Location.Size
		if err := read(ctx, j.Read); err != nil {
			return o, err
		}
		o.Ready = time.Since(stopped)
		if o.Plugin, err = peak(plugins.List()[0].PID); err != nil {
			return o, err
		}
	}
	if o.Memory, err = peak(os.Getpid()); err != nil || !j.HLS {
		return o, err
	}
	return o, j.same(ctx, s)
}

func (j job) cargo() deliver.Cargo {
	if j.HLS {
		return hls.Cargo{}
	}
	return deliver.Movie{}
}

// same makes the segments out of the spool once more, and compares those of the store with them, byte for byte.
func (j job) same(ctx context.Context, s *spool.Spool) error {
	stream, err := hls.New(hls.Options{Playlist: j.Key})
	if err != nil {
		return err
	}
	var walk mp4.Walk
	for {
		g, ok, err := s.Group(&walk)
		if err == nil && !ok {
			g, ok, err = s.Rest(&walk)
		}
		if err != nil || !ok {
			return err
		}
		segment, err := stream.Add(g)
		if err != nil {
			return err
		}
		local, stored := sha256.New(), sha256.New()
		if err := segment.Write(local); err != nil {
			return err
		}
		if err := fetch(ctx, strings.TrimSuffix(j.Read, j.Key)+segment.Name, stored); err != nil {
			return err
		}
		if !bytes.Equal(local.Sum(nil), stored.Sum(nil)) {
			return fmt.Errorf("%s is not what the spool makes of it", segment.Name)
		}
	}
}

// fetch copies what a URL holds.
func fetch(ctx context.Context, url string, to io.Writer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, answer.Status)
	}
	_, err = io.Copy(to, answer.Body)
	return err
}

func (j job) open(ctx context.Context) (*pluginhost.Host, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return pluginhost.Open(ctx, pluginhost.Options{
		Dir: j.Plugins, StateDir: filepath.Join(j.Dir, "plugins"), HostExecutable: executable,
		Plugins: []pluginhost.Block{{
			Kind: plugin.KindStorage, Plugin: j.Plugin, Name: "store", Settings: pluginhost.JSON(j.Config), Env: j.Env,
		}},
	})
}

// record brings the film into the spool. Until the last seconds it comes as fast as it is delivered, so that little waits then,
// as in a recording that takes its time.
func (j job) record(ctx context.Context, s *spool.Spool, f film, run *deliver.Run) error {
	live := time.NewTicker(filmPiece)
	defer live.Stop()
	slow := false
	for at := time.Duration(0); at < j.Length; {
		if err := s.Begin(mp4.Run{Init: f.init, Video: at, Audio: at}, f.head); err != nil {
			return err
		}
		for i, fragment := range f.fragments {
			if at >= j.Length-j.Live {
				if !slow {
					slow = true
					syscall.Sync() // gigabytes of a store on this disk, which a recording would not have made within minutes
				}
				<-live.C
			} else if err := j.caughtUp(ctx, s, run); err != nil {
				return err
			}
			if err := s.Fragment(fragment, f.data[i]); err != nil {
				return err
			}
			at += filmPiece
		}
	}
	return nil
}

// caughtUp waits until not much is on the disk that is not in the store.
func (j job) caughtUp(ctx context.Context, s *spool.Spool, run *deliver.Run) error {
	behind := int64(maxBehind)
	if j.HLS {
		behind = hlsBehind
	}
	for run != nil {
		if media, _ := s.Media(); media-run.Delivered() < behind {
			return nil
		}
		select {
		case <-time.After(time.Millisecond):
		case <-run.Done():
			return run.Results()[0].Err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// read gets the first byte of the object, as any reader.
func read(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Range", "bytes=0-0")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if n, err := io.Copy(io.Discard, answer.Body); err != nil || n != 1 || answer.StatusCode != http.StatusPartialContent {
		return fmt.Errorf("the object cannot be read: %s, %d bytes, %w", answer.Status, n, err)
	}
	return nil
}

// peak is the most memory that a process has had.
func peak(pid int) (int64, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if size, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(size), " kB"), 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, fmt.Errorf("the kernel does not tell the memory of process %d", pid)
}
