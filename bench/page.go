package main

import (
	"fmt"
	"strings"
)

// page is docs/benchmarks.md: the last run, whatever it says.
func (r results) page(t table) string {
	m := r.Machine
	var b strings.Builder
	fmt.Fprintf(&b, `# Benchmarks

The last run of `+"`make bench`"+`, which writes this page. Everything is measured by looking into the files that were recorded and at
the machine's process table, never from recordhost's own counters. A bar that is missed stays here with its figure.

| | |
|---|---|
| date | %s |
| commit | %s |
| machine | %s, %d cores, %s, %s |
| software | %s, %s, %s |

`, m.Date, m.Commit, m.Processor, m.Cores, m.Memory, m.System, m.Chrome, m.FFmpeg, m.Go)
	b.WriteString(t.markdown())
	b.WriteString(costDetails(r))
	b.WriteString(explanation)
	return b.String()
}

// costDetails tells where the processor time goes.
func costDetails(r results) string {
	var b strings.Builder
	b.WriteString("\n## Where the time goes\n\nProcessor time by the name of the process, in cores.\n\n")
	b.WriteString("| page | recordhost | peer |\n|---|---|---|\n")
	for _, page := range []string{pageFrames, pageSlides, pageStatic, pageVideo} {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", page, byNameText(r.Recordhost.Costs[page]), byNameText(r.Peer.Costs[page]))
	}
	return b.String()
}

const explanation = `
## What is compared

All recordings are 1280×720 at 30 frames a second, in one session on one machine that does nothing else.

- **recordhost** is the released command, ` + "`recordhost record`" + ` (or ` + "`serve`" + ` for pauses and Stop), with its defaults.
- **peer** is the recipe of today's open recorders of web pages (Jibri, LiveKit Egress, the Chime SDK's demo): Chrome under Xvfb and
  PulseAudio, ffmpeg grabbing the screen 30 times a second, x264 at preset veryfast, crf 25, AAC. bench/peer.go holds it.

## What is measured

- The pages are in test/pages. *frames* is a canvas that changes everywhere, *dom* the same measure as nodes of the document beside an
  animation of the compositor, *slides* a still slide with a small moving picture, *static* a page that never changes, *video* a film
  that fills the page.
- *frames* and *dom* draw a frame counter and a clock as black and white blocks, and flash while they beep once a second. The analyser,
  test/media, reads these back out of the file.
- Frames doubled and missing are counted by the counter. The time of a frame is its time in the file against the page's clock, one
  constant for the whole recording removed.
- Sound minus picture is the distance from each flash to its beep, positive when the sound is late. A flash waits half a frame on
  average until the page draws it, so half a frame is added.
- Processor and memory are those of every process that was born after the recorder was started, from the eighth second of a
  recording on, for ten seconds. Both recorders are measured in turn, three times for each page; the round counts whose ratio is
  the median. Memory that is shared is counted once (Pss).
- SSIM and bits are those of one original, captured without loss from the page, that both recipes encoded.
`
