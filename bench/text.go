package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/recordhost/recordhost/bench/meter"
	"github.com/recordhost/recordhost/test/media"
)

// What a figure looks like in the table. Each says unmeasured when there is nothing to tell.

func lostFramesText(reports []media.Report) string {
	if len(reports) == 0 {
		return unmeasured
	}
	doubled := maximum(reports, func(r media.Report) float64 { return float64(r.Doubled) })
	missing := maximum(reports, func(r media.Report) float64 { return float64(r.Missing) })
	return fmt.Sprintf("%.0f / %.0f", doubled, missing)
}

func timeErrorsText(reports []media.Report) string {
	if len(reports) == 0 {
		return unmeasured
	}
	var runs []string
	for _, r := range reports {
		runs = append(runs, fmt.Sprintf("%.1f", r.TimeErrorP95))
	}
	return strings.Join(runs, ", ") + " ms"
}

func spreadText(s *media.Spread) string {
	if s == nil {
		return unmeasured
	}
	return fmt.Sprintf("%+.0f / %.0f / %+.0f ms", s.Median, s.P80, s.Worst)
}

func spacingText(reports []media.Report) string {
	var told []float64
	for _, r := range reports {
		if ms := r.BetweenCuts.BeepSpacingMax; ms != nil {
			told = append(told, *ms)
		}
	}
	if len(told) == 0 {
		return unmeasured
	}
	return fmt.Sprintf("%.2f ms", maximum(told, func(ms float64) float64 { return ms }))
}

func millisecondsText(ms *float64) string {
	if ms == nil {
		return unmeasured
	}
	return fmt.Sprintf("%.0f ms", *ms)
}

func coresText(c meter.Cost) string { return fmt.Sprintf("%.2f cores", c.Cores) }

func megabytesText(c meter.Cost) string { return fmt.Sprintf("%d MB", c.Memory>>20) }

// byNameText lists who took the time, the largest first. What took less than a hundredth of a core is left out.
func byNameText(c meter.Cost) string {
	names := slices.SortedFunc(maps.Keys(c.ByName), func(a, b string) int {
		return cmp.Or(cmp.Compare(c.ByName[b], c.ByName[a]), cmp.Compare(a, b))
	})
	var parts []string
	for _, name := range names {
		if c.ByName[name] >= 0.01 {
			parts = append(parts, fmt.Sprintf("%s %.2f", name, c.ByName[name]))
		}
	}
	return strings.Join(parts, ", ")
}

func (r row) verdict() string {
	if r.Met {
		return "ok"
	}
	return "missed"
}

// text is the table for a terminal.
func (t table) text() string {
	lines := [][]string{{"figure", "bar", "peer", "recordhost", ""}}
	for _, r := range t {
		lines = append(lines, []string{r.Figure, r.Bar, r.Peer, r.Recordhost, r.verdict()})
	}
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, line := range lines {
		for i, cell := range line {
			b.WriteString(cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// markdown is the table for a page.
func (t table) markdown() string {
	var b strings.Builder
	b.WriteString("| figure | bar | peer | recordhost | |\n|---|---|---|---|---|\n")
	for _, r := range t {
		verdict := r.verdict()
		if !r.Met {
			verdict = "**" + verdict + "**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.Figure, r.Bar, r.Peer, r.Recordhost, verdict)
	}
	return b.String()
}
