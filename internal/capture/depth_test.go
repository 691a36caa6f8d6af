package capture

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

const tick30 = time.Second / 30

// pipeline paints a picture a tick, each arriving some ticks and a phase after its own, and tells depth of it.
type pipeline struct {
	start time.Time
	d     depth
}

func newPipeline() *pipeline {
	return &pipeline{start: time.Now(), d: depth{tick: tick30}}
}

// frame shows the picture of tick k after latency and answers the tick that depth takes it for.
func (p *pipeline) frame(k int64, latency time.Duration) int64 {
	since := time.Duration(k)*tick30 + latency
	return p.d.frame(p.start.Add(since), since)
}

// TestDepthAfterRest: an empty pipeline needs no echo, even when the picture takes most of a tick.
func TestDepthAfterRest(t *testing.T) {
	p := newPipeline()
	k := int64(0)
	for _, pause := range []int64{5, 20, 100, 1000} {
		for _, phase := range []int{2, 9, 20, 31} {
			k += pause + 1
			if got := p.frame(k, time.Duration(phase)*time.Millisecond); got != k {
				t.Errorf("picture of tick %d after %d ms: taken for tick %d", k, phase, got)
			}
		}
	}
}

// TestDepthFollows: once an echo told the latency every picture has its tick, at each depth, through the jitter of
// a real pipeline, and again when the depth changes.
func TestDepthFollows(t *testing.T) {
	p := newPipeline()
	k := int64(100)
	for _, ms := range []int{3, 35, 70, 40, 104, 3} {
		latency := time.Duration(ms) * time.Millisecond
		for i := range 40 {
			jitter := time.Duration(i%7) * 2 * time.Millisecond
			got := p.frame(k, latency+jitter)
			if i == 5 || i == 6 { // two echoes: the first to doubt, the second to be sure
				p.d.echo(latency + jitter)
			}
			if i > 12 && got != k {
				t.Fatalf("latency %v, picture %d: tick %d taken for %d", latency, i, k, got)
			}
			k++
		}
	}
}

// TestDepthDoubtsHiccups: one echo that contradicts the rest changes nothing, but is asked about at once.
func TestDepthDoubtsHiccups(t *testing.T) {
	p := newPipeline()
	for k := range int64(20) {
		p.frame(k, 35*time.Millisecond)
		if k == 5 || k == 6 {
			p.d.echo(35 * time.Millisecond)
		}
	}
	now := p.d.last
	if p.d.wantsEcho(now, now) {
		t.Error("an echo is wanted though all is known")
	}
	p.d.echo(101 * time.Millisecond)
	if got := p.frame(20, 35*time.Millisecond); got != 20 {
		t.Errorf("tick 20 taken for %d after one odd echo", got)
	}
	if !p.d.wantsEcho(p.d.last, now) {
		t.Error("no echo is wanted though the last was odd")
	}
	p.d.echo(34 * time.Millisecond)
	if p.d.wantsEcho(p.d.last, now) {
		t.Error("the doubt was not cleared")
	}
}

// TestDepthNoticesSlips: a tick without a picture, in the midst of them, asks for an echo.
func TestDepthNoticesSlips(t *testing.T) {
	p := newPipeline()
	for k := range int64(10) {
		p.frame(k, 3*time.Millisecond)
	}
	p.d.echo(3 * time.Millisecond)
	p.d.echo(3 * time.Millisecond)
	p.frame(12, 3*time.Millisecond)
	if !p.d.wantsEcho(p.d.last, p.d.last) {
		t.Error("no echo is wanted after a slip")
	}
}

// TestDepthNeverGoesBack holds for any arrivals and any echoes.
func TestDepthNeverGoesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := depth{tick: tick30}
		start, since, last := time.Now(), time.Duration(0), int64(0)
		for range rapid.IntRange(1, 60).Draw(t, "pictures") {
			since += time.Duration(rapid.Int64Range(0, int64(6*tick30)).Draw(t, "pause"))
			if rapid.Bool().Draw(t, "echoed") {
				d.echo(time.Duration(rapid.Int64Range(-1, int64(10*tick30)).Draw(t, "echo")))
			}
			k := d.frame(start.Add(since), since)
			if k < last || k > int64((since+slack)/tick30) {
				t.Fatalf("tick %d after tick %d, at %v", k, last, since)
			}
			if d.latency > maxDepth*tick30 {
				t.Fatalf("latency %v at %v", d.latency, since)
			}
			last = k
		}
	})
}

// TestDepthInFlood: a client that paints without end cannot stop the time of its pictures, nor drag the latency along.
func TestDepthInFlood(t *testing.T) {
	p := newPipeline()
	for i := range int64(100_000) {
		k := i / 1000
		got := p.frame(k, time.Duration(i%1000)*tick30/1000)
		if got < k-1 || p.d.latency > 2*tick30 {
			t.Fatalf("tick %d taken for %d, latency %v", k, got, p.d.latency)
		}
	}
}
