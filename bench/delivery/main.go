// Delivery measures how long after Stop a recording is in its store: `make bench-delivery`. A process that stands for a worker
// records a film of 20 Mbit/s with the real spool, and delivers it with the real delivery and the real plugins to servers of this
// process, one that speaks S3 and one that speaks COS. Only the capture is missing: the film comes as fast as it is delivered, and at
// its own pace at the end. It prints a table, writes it into docs/benchmarks.md, and exits with 1 where a bar is missed.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"time"

	"github.com/recordhost/recordhost/internal/mp4"
)

const (
	filmPiece  = 500 * time.Millisecond // a fragment
	filmLength = 12 * time.Second       // two segments
	filmRate   = 20_000_000             // bit/s
	maxBehind  = 12 << 20               // part 1, the part that grows, and the one that is sent
	hlsBehind  = 48 << 20               // the same, of segments
	liveFor    = 10 * time.Second
	patience   = time.Hour
)

func main() {
	short := flag.Duration("short", time.Minute, "length of the short recording")
	long := flag.Duration("long", 30*time.Minute, "length of the long one")
	out := flag.String("out", "docs/benchmarks.md", "the page that the table is written into; empty: none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if flag.Arg(0) == "worker" {
		if err := asWorker(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "worker:", err)
			os.Exit(1) //nolint:gocritic // stop has nothing left to do
		}
		return
	}
	met, err := run(ctx, *short, *long, *out)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/delivery:", err)
	}
	if err != nil || !met {
		os.Exit(1)
	}
}

func asWorker(ctx context.Context) error {
	var j job
	if err := json.NewDecoder(os.Stdin).Decode(&j); err != nil {
		return err
	}
	o, err := j.work(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(o)
}

func run(ctx context.Context, short, long time.Duration, out string) (met bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("it took too long"))
	defer cancel()
	dir, err := os.MkdirTemp("/var/tmp", "delivery-") // not where memory is the disk
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := bench{dir: dir}
	if err := b.prepare(ctx); err != nil {
		return false, err
	}
	f := figures{of: map[string]delivered{}}
	if f.bareShort, _, err = b.record(ctx, short, nil); err != nil {
		return false, err
	}
	if f.bareLong, _, err = b.record(ctx, long, nil); err != nil {
		return false, err
	}
	for _, k := range kinds() {
		var d delivered
		if d.short, d.shortSent, err = b.record(ctx, short, &k); err != nil {
			return false, err
		}
		if d.long, d.longSent, err = b.record(ctx, long, &k); err != nil {
			return false, err
		}
		f.of[k.id()] = d
	}
	text, met := f.table(short, long)
	fmt.Print(text)
	if out == "" {
		return met, nil
	}
	return met, write(ctx, out, text)
}

// bench is the folder of a run, and what was built into it.
type bench struct{ dir string }

func (b bench) film() string    { return filepath.Join(b.dir, "film.mp4") }
func (b bench) plugins() string { return filepath.Join(b.dir, "bin") }

func (b bench) prepare(ctx context.Context) error {
	var todo []*exec.Cmd
	for _, k := range kinds() {
		name := "storage-" + k.plugin
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", filepath.Join(b.plugins(), name),
			"github.com/recordhost/recordhost/plugins/"+name)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		todo = append(todo, build)
	}
	seconds, rate := strconv.Itoa(int(filmLength/time.Second)), strconv.Itoa(filmRate)
	shoot := exec.CommandContext(ctx, "ffmpeg", "-v", "error",
		"-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30:duration="+seconds,
		"-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration="+seconds,
		"-vf", "noise=alls=60:allf=t", "-c:v", "libx264", "-preset", "ultrafast", "-g", "180", "-sc_threshold", "0", "-bf", "0",
		"-pix_fmt", "yuv420p",
		"-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", rate, "-c:a", "aac", "-b:a", "128k", "-ac", "2",
		"-avoid_negative_ts", "disabled", "-use_editlist", "0",
		"-movflags", "+frag_keyframe+empty_moov+default_base_moof+frag_discont+skip_trailer", "-frag_duration", "500000",
		"-video_track_timescale", "90000", "-f", "mp4", b.film())
	for _, cmd := range append(todo, shoot) {
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", cmd.Path, err, said)
		}
	}
	return nil
}

// record makes one recording in a process of its own, delivered to such a store if it is given, compares what that has with
// what is local, and answers how many bytes it was sent.
func (b bench) record(ctx context.Context, length time.Duration, to *kind) (o outcome, sent int64, err error) {
	dir, err := os.MkdirTemp(b.dir, "run-")
	if err != nil {
		return o, 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	j := job{Film: b.film(), Dir: dir, Plugins: b.plugins(), Length: length, Live: min(liveFor, length), Key: "lesson.mp4"}
	if to == nil {
		o, err = j.inAnother(ctx)
		return o, 0, err
	}
	objects := filepath.Join(dir, "objects")
	if err := os.Mkdir(objects, 0o700); err != nil {
		return o, 0, err
	}
	server, err := to.start(objects)
	if err != nil {
		return o, 0, err
	}
	defer func() { err = errors.Join(err, server.close()) }()
	if j.HLS = to.hls; j.HLS {
		j.Key = "playlist.m3u8"
	}
	j.Plugin, j.Read = to.plugin, server.read(j.Key)
	if j.Config, j.Env, err = server.settings(); err != nil {
		return o, 0, err
	}
	if o, err = j.inAnother(ctx); err != nil {
		return o, 0, err
	}
	if j.HLS { // which that process has compared
		return o, server.sent(), nil
	}
	return o, server.sent(), same(ctx, j.Read, o)
}

// inAnother has the job done by another process.
func (j job) inAnother(ctx context.Context) (o outcome, err error) {
	order, err := json.Marshal(j)
	if err != nil {
		return o, err
	}
	executable, err := os.Executable()
	if err != nil {
		return o, err
	}
	worker := exec.CommandContext(ctx, executable, "worker")
	worker.Stdin, worker.Stderr = bytes.NewReader(order), os.Stderr
	answer, err := worker.Output()
	if err != nil {
		return o, fmt.Errorf("the worker: %w", err)
	}
	return o, json.Unmarshal(answer, &o)
}

// same reads the object as anybody does, and compares it with the local file, byte for byte.
func same(ctx context.Context, url string, o outcome) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	stored, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	local := mp4.Extents(o.Extents).Open()
	defer func() { _, _ = stored.Body.Close(), local.Close() }()
	a, b := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		n, errA := io.ReadFull(stored.Body, a)
		m, errB := io.ReadFull(local, b)
		if !bytes.Equal(a[:n], b[:m]) {
			return fmt.Errorf("the object is not the local file (%s)", stored.Status)
		}
		switch {
		case errors.Is(errA, io.EOF) || errors.Is(errA, io.ErrUnexpectedEOF):
			return nil // as does the other one: the last pieces are as long
		case errA != nil || errB != nil:
			return errors.Join(errA, errB)
		}
	}
}
