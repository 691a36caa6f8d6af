package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/recordhost/recordhost/bench/meter"
	"github.com/recordhost/recordhost/test/media"
	"github.com/recordhost/recordhost/test/pages"
)

// A recorder runs for costWarm until its cost is measured for costLength: by then the page is loaded and the recording under
// way. Each page is measured in costRounds rounds, both recorders in turn, since the speed of a machine drifts.
const (
	costWarm   = 8 * time.Second
	costLength = 10 * time.Second
	costRounds = 3
)

// encodeLength is that of the originals which both recipes encode.
const encodeLength = 10 * time.Second

// recorder is what is compared.
type recorder interface {
	name() string
	record(ctx context.Context, url string, length time.Duration, file string) error
}

// results is all that was measured.
type results struct {
	Machine    machine `json:"machine"`
	Recordhost side    `json:"recordhost"`
	Peer       side    `json:"peer"`
}

// side is what was measured of one of the two recorders.
type side struct {
	Recordings map[string][]media.Report `json:"recordings"` // of each measuring page, one for each run
	Costs      map[string]meter.Cost     `json:"costs"`      // by page
	Encodes    map[string]media.Likeness `json:"encodes"`    // by page
	FirstFrame []float64                 `json:"firstFrame"` // seconds from the command to the first recorded frame
	Paused     *paused                   `json:"paused,omitempty"`
	Stopped    float64                   `json:"stopped"` // seconds from Stop to finished
}

func newSide() side {
	return side{Recordings: map[string][]media.Report{}, Costs: map[string]meter.Cost{}, Encodes: map[string]media.Likeness{}}
}

// bench holds what the measurements need.
type bench struct {
	options
	log    *slog.Logger
	dir    string // of all that is recorded; removed at the end
	pages  *pages.Server
	ours   *recordhost
	peer   peer
	serial int
}

func newBench(ctx context.Context, o options) (*bench, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	server, err := pages.Start(ctx, o.film)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &bench{
		options: o, log: slog.New(slog.NewTextHandler(os.Stderr, nil)), dir: dir, pages: server,
		ours: &recordhost{product: o.product}, peer: peer{root: dir},
	}, nil
}

func (b *bench) close() error { return errors.Join(b.pages.Close(), os.RemoveAll(b.dir)) }

// file is a new name for a recording.
func (b *bench) file() string {
	b.serial++
	return filepath.Join(b.dir, fmt.Sprintf("%03d.mp4", b.serial))
}

func (b *bench) url(page string) string { return b.pages.URL(page + ".html") }

// measure runs the parts one after the other: nothing else may run beside a measurement.
func (b *bench) measure(ctx context.Context) (results, error) {
	r := results{Recordhost: newSide(), Peer: newSide()}
	var err error
	if r.Machine, err = describeMachine(ctx); err != nil {
		return results{}, err
	}
	steps := map[string]func(context.Context, *results) error{
		partFrames: b.measureFrames, partPauses: b.measurePauses, partCost: b.measureCost, partEncode: b.measureEncodes,
	}
	for _, part := range parts() {
		if !slices.Contains(b.parts, part) {
			continue
		}
		if err := steps[part](ctx, &r); err != nil {
			return results{}, fmt.Errorf("measure %s: %w", part, err)
		}
	}
	return r, nil
}

// measureFrames records the measuring pages again and again, and reads what was recorded.
func (b *bench) measureFrames(ctx context.Context, r *results) error {
	for _, page := range []string{pageFrames, pageDOM} {
		for run := range b.runs {
			b.log.Info("recording", "page", page, "run", run+1, "by", b.ours.name())
			begin := time.Now()
			report, err := b.recordAndRead(ctx, b.ours, page)
			if err != nil {
				return err
			}
			r.Recordhost.Recordings[page] = append(r.Recordhost.Recordings[page], report.Report)
			first, err := b.firstFrame(begin, report.firstClock)
			if err != nil {
				return err
			}
			r.Recordhost.FirstFrame = append(r.Recordhost.FirstFrame, first.Seconds())
		}
		for run := range b.runs - 1 {
			b.log.Info("recording", "page", page, "run", run+1, "by", b.peer.name())
			report, err := b.recordAndRead(ctx, b.peer, page)
			if err != nil {
				return err
			}
			r.Peer.Recordings[page] = append(r.Peer.Recordings[page], report.Report)
		}
	}
	return nil
}

// readBack is a report, and the page's clock in the first picture.
type readBack struct {
	media.Report
	firstClock time.Duration
}

func (b *bench) recordAndRead(ctx context.Context, by recorder, page string) (readBack, error) {
	file := b.file()
	if err := by.record(ctx, b.url(page), b.length, file); err != nil {
		return readBack{}, fmt.Errorf("%s by %s: %w", page, by.name(), err)
	}
	return read(ctx, file)
}

func read(ctx context.Context, file string) (readBack, error) {
	recording, err := media.Read(ctx, file)
	if err != nil {
		return readBack{}, err
	}
	report, err := recording.Report()
	if err != nil {
		return readBack{}, fmt.Errorf("%s: %w", file, err)
	}
	return readBack{report, time.Duration(recording.Frames[0].Clock) * time.Millisecond}, nil
}

// firstFrame is the time from the command to when the page drew the first picture of the recording. The page has reported
// when its clock was zero.
func (b *bench) firstFrame(command time.Time, clock time.Duration) (time.Duration, error) {
	loads := b.pages.Reports("loaded")
	if len(loads) == 0 {
		return 0, errors.New("the page reported nothing")
	}
	var loaded pages.Loaded
	if err := loads[len(loads)-1].Decode(&loaded); err != nil {
		return 0, err
	}
	origin := time.UnixMicro(int64(loaded.Origin * 1000))
	return origin.Add(clock).Sub(command), nil
}

// pair is what both recorders cost in one round.
type pair struct{ ours, peer meter.Cost }

// measureCost lets each recorder record each kind of page, and watches the processes. Of all rounds the one counts whose
// ratio is the median.
func (b *bench) measureCost(ctx context.Context, r *results) error {
	for _, page := range []string{pageFrames, pageSlides, pageStatic, pageVideo} {
		var rounds []pair
		for round := range costRounds {
			b.log.Info("measuring cost", "page", page, "round", round+1)
			var p pair
			var err error
			if p.ours, err = b.cost(ctx, b.ours, page); err != nil {
				return err
			}
			if p.peer, err = b.cost(ctx, b.peer, page); err != nil {
				return err
			}
			rounds = append(rounds, p)
		}
		slices.SortFunc(rounds, func(x, y pair) int {
			return cmp.Compare(x.ours.Cores/x.peer.Cores, y.ours.Cores/y.peer.Cores)
		})
		median := rounds[len(rounds)/2]
		r.Recordhost.Costs[page], r.Peer.Costs[page] = median.ours, median.peer
	}
	return nil
}

func (b *bench) cost(ctx context.Context, by recorder, page string) (meter.Cost, error) {
	m, err := meter.New()
	if err != nil {
		return meter.Cost{}, err
	}
	played := len(b.pages.Reports("playing"))
	recorded := make(chan error, 1)
	go func() { recorded <- by.record(ctx, b.url(page), costWarm+costLength, b.file()) }()
	if err := wait(ctx, costWarm); err != nil {
		return meter.Cost{}, errors.Join(err, <-recorded)
	}
	cost, err := m.Measure(ctx, costLength)
	if err := errors.Join(err, <-recorded); err != nil {
		return meter.Cost{}, fmt.Errorf("%s by %s: %w", page, by.name(), err)
	}
	if page == pageVideo && len(b.pages.Reports("playing")) == played {
		return meter.Cost{}, fmt.Errorf("%s: the film did not play", by.name())
	}
	return cost, nil
}

// measureEncodes has both recipes encode the same originals.
func (b *bench) measureEncodes(ctx context.Context, r *results) error {
	ours, err := recordhostCodec()
	if err != nil {
		return err
	}
	for _, page := range []string{pageFrames, pageSlides, pageVideo} {
		b.log.Info("capturing without loss", "page", page)
		original := b.file()
		if err := b.peer.capture(ctx, b.url(page), encodeLength, original); err != nil {
			return err
		}
		for _, recipe := range []struct {
			codec []string
			into  map[string]media.Likeness
		}{{ours, r.Recordhost.Encodes}, {strings.Fields(peerCodec), r.Peer.Encodes}} {
			encoded := b.file()
			if err := encode(ctx, original, recipe.codec, encoded); err != nil {
				return err
			}
			if recipe.into[page], err = media.Compare(ctx, encoded, original); err != nil {
				return err
			}
		}
		if err := os.Remove(original); err != nil { // it is large
			return err
		}
	}
	return nil
}
