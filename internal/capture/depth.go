package capture

import "time"

// depth follows how far Chrome's pipeline is behind the page: the time from the tick that a picture's content was
// drawn for to the moment the picture arrives. It is a whole number of ticks plus a few milliseconds, differs from
// run to run and changes within one, and no message of the protocol tells it (ADR 0001). Two things do:
//
//   - A pipeline that rested is empty: the first picture after a rest belongs to the tick just passed.
//   - An echo: something is drawn into the page at a known tick, and the picture that shows it tells the latency.
//
// Between echoes the latency is taken to stay, and a tick that brings no picture in the midst of a stream of them is
// the sign that it may have changed. depth is a pure value; it is owned by Session under its lock.
type depth struct {
	tick time.Duration // between two refreshes of the page

	latency  time.Duration // of the present stream of pictures; 0: not known yet
	doubt    time.Duration // the last echo, when no other has confirmed it yet
	measured bool          // by two echoes that agree, since the stream began
	slipped  bool          // a tick brought no picture since the last echo
	stream   int           // pictures since the last rest
	last     time.Time     // when the last picture came
	content  int64         // its tick
}

const (
	// rest is how many ticks without a picture say that the pipeline has run empty. The deepest that was seen is three.
	rest = 4

	// maxDepth in ticks: an echo beyond it was not one.
	maxDepth = 8

	// slack is what an arrival may seem to precede its tick by: the clock ticks and the page draws in other threads.
	slack = time.Millisecond

	// settled is the number of pictures after which a stream's own phase is taken for its latency.
	settled = 3

	// echoEvery is how often a latency that holds is measured again.
	echoEvery = time.Second
)

// frame tells of a picture that came at the time at, which lies since after tick 0, and answers the number of the tick
// that its content belongs to. The answers never decrease; two pictures may have the same tick.
func (d *depth) frame(at time.Time, since time.Duration) int64 {
	pause := at.Sub(d.last)
	switch {
	case d.last.IsZero() || pause > rest*d.tick:
		d.stream, d.measured, d.slipped, d.latency, d.doubt = 0, false, false, 0, 0
	case pause > d.tick*3/2:
		d.slipped = true
	}
	d.last = at
	d.stream++

	latest := int64((since + slack) / d.tick)
	k := latest
	if d.latency > 0 {
		k = int64((since - d.latency + d.tick/2) / d.tick)
		if pause > d.tick/2 {
			d.drift(since - d.latency - time.Duration(k)*d.tick)
		}
		k = min(k, latest)
	} else if d.stream == settled {
		d.latency = max(since-time.Duration(latest)*d.tick, slack)
	}
	d.content = max(d.content, k)
	return d.content
}

// drift lets the latency follow the pictures' arrivals slowly, so that their scatter lies around it and half a tick is room
// enough on both sides. Whole ticks are for echoes to tell. Pictures that come faster than the clock ticks have no part in
// it: a flood of them would take the latency along with the time.
func (d *depth) drift(off time.Duration) {
	d.latency = min(max(d.latency+min(max(off, -d.tick/4), d.tick/4)/16, slack), maxDepth*d.tick)
}

// echo tells of a measurement: what was drawn for a tick came latency later. A measurement counts when the next one
// says the same, to half a tick: a single one may be a hiccup of the page.
func (d *depth) echo(latency time.Duration) {
	if latency <= 0 || latency > maxDepth*d.tick {
		return
	}
	near := func(other time.Duration) bool { return (latency - other).Abs() < d.tick/2 }
	switch {
	case d.measured && near(d.latency):
		d.latency, d.doubt = d.latency+(latency-d.latency)/4, 0
	case d.doubt != 0 && near(d.doubt):
		d.latency, d.doubt, d.measured = latency, 0, true
	default:
		d.doubt = latency
		if !d.measured { // better than nothing
			d.latency = latency
		}
	}
	d.slipped = false
}

// wantsEcho says whether the latency should be measured: at once when it is unknown or may have changed, once in
// echoEvery while it holds, and not while nothing moves.
func (d *depth) wantsEcho(now time.Time, lastEcho time.Time) bool {
	if d.stream < settled || now.Sub(d.last) > rest*d.tick {
		return false
	}
	return !d.measured || d.slipped || d.doubt != 0 || now.Sub(lastEcho) >= echoEvery
}

// known says that the next picture's tick will be told rightly.
func (d *depth) known(now time.Time) bool {
	return d.measured || now.Sub(d.last) > rest*d.tick
}
