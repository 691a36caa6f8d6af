// Delivery measures how long after Stop a recording is in its store: `make bench-delivery`. A process that stands for a worker
// records a film of 20 Mbit/s with the real spool, and delivers it with the real delivery and the real plugin to an S3 server of
// this process. Only the capture is missing: the film comes as fast as it is delivered, and at its own pace at the end. It prints
// a table, writes it into docs/benchmarks.md, and exits with 1 where a bar is missed.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
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
	filmLength = 10 * time.Second
	filmRate   = 20_000_000 // bit/s
	maxBehind  = 12 << 20   // part 1, the part that grows, and the one that is sent
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
	var f figures
	if f.bare, _, err = b.record(ctx, short, false); err != nil {
		return false, err
	}
	if f.short, f.shortSent, err = b.record(ctx, short, true); err != nil {
		return false, err
	}
	if f.bareLong, _, err = b.record(ctx, long, false); err != nil {
		return false, err
	}
	if f.long, f.longSent, err = b.record(ctx, long, true); err != nil {
		return false, err
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
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", filepath.Join(b.plugins(), "storage-blob"),
		"github.com/recordhost/recordhost/plugins/storage-blob")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	seconds, rate := strconv.Itoa(int(filmLength/time.Second)), strconv.Itoa(filmRate)
	shoot := exec.CommandContext(ctx, "ffmpeg", "-v", "error",
		"-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30:duration="+seconds,
		"-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration="+seconds,
		"-vf", "noise=alls=60:allf=t", "-c:v", "libx264", "-preset", "ultrafast", "-g", "30", "-bf", "0", "-pix_fmt", "yuv420p",
		"-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", rate, "-c:a", "aac", "-b:a", "128k", "-ac", "2",
		"-avoid_negative_ts", "disabled", "-use_editlist", "0",
		"-movflags", "+frag_keyframe+empty_moov+default_base_moof+frag_discont+skip_trailer", "-frag_duration", "500000",
		"-video_track_timescale", "90000", "-f", "mp4", b.film())
	for _, cmd := range []*exec.Cmd{build, shoot} {
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", cmd.Path, err, said)
		}
	}
	return nil
}

// record makes one recording in a process of its own, compares what the store has with what is local, and answers how many
// bytes the store was sent.
func (b bench) record(ctx context.Context, length time.Duration, delivered bool) (o outcome, sent int64, err error) {
	dir, err := os.MkdirTemp(b.dir, "run-")
	if err != nil {
		return o, 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	objects := filepath.Join(dir, "objects")
	if err := os.Mkdir(objects, 0o700); err != nil {
		return o, 0, err
	}
	server, err := startS3(objects)
	if err != nil {
		return o, 0, err
	}
	defer func() { err = errors.Join(err, server.close()) }()
	const key = "lesson.mp4"
	j := job{Film: b.film(), Dir: dir, Plugins: b.plugins(), Length: length, Live: min(liveFor, length), Key: key}
	if delivered {
		j.URL, j.Read = server.url(), fmt.Sprintf("http://%s/%s/%s", server.address, bucket, key)
	}
	order, err := json.Marshal(j)
	if err != nil {
		return o, 0, err
	}
	executable, err := os.Executable()
	if err != nil {
		return o, 0, err
	}
	worker := exec.CommandContext(ctx, executable, "worker")
	worker.Stdin, worker.Stderr = bytes.NewReader(order), os.Stderr
	answer, err := worker.Output()
	if err != nil {
		return o, 0, fmt.Errorf("the worker: %w", err)
	}
	if err := json.Unmarshal(answer, &o); err != nil {
		return o, 0, err
	}
	if delivered {
		err = same(server, key, o)
	}
	return o, server.received.Load(), err
}

// same compares the object with the local file, byte for byte.
func same(server *s3, key string, o outcome) error {
	object := server.object(key)
	if object == nil {
		return errors.New("the store has no object that was sent in parts")
	}
	stored, local := object.open(0, object.size()), mp4.Extents(o.Extents).Open()
	defer func() { _, _ = stored.Close(), local.Close() }()
	a, b := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		n, errA := io.ReadFull(stored, a)
		m, errB := io.ReadFull(local, b)
		if !bytes.Equal(a[:n], b[:m]) {
			return errors.New("the object is not the local file")
		}
		switch {
		case errors.Is(errA, io.EOF) || errors.Is(errA, io.ErrUnexpectedEOF):
			return nil // as does the other one, which has as many bytes
		case errA != nil || errB != nil:
			return errors.Join(errA, errB)
		}
	}
}
