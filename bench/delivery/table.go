package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// The page is written around these marks: what stands outside of them is others'.
const (
	tableBegin = "<!-- delivery: begin -->\n"
	tableEnd   = "<!-- delivery: end -->\n"
)

// The bars that all stores have.
const (
	laterBy      = 700 * time.Millisecond
	laterHLS     = 300 * time.Millisecond
	sentAtMost   = 1.02
	memoryAtMost = 64 << 20
)

// figures are what was measured: recordings that are not delivered, and those that are, by the name of the kind of store.
type figures struct {
	bareShort, bareLong outcome
	of                  map[string]delivered
}

// delivered are a short and a long recording, and how many bytes the store was sent of each.
type delivered struct {
	short, long         outcome
	shortSent, longSent int64
}

// table judges them.
func (f figures) table(short, long time.Duration) (text string, met bool) {
	var b strings.Builder
	met = true
	b.WriteString("| figure | bar | measured | |\n|---|---|---|---|\n")
	row := func(figure, bar, measured string, ok bool) {
		verdict := "ok"
		if !ok {
			verdict, met = "**missed**", false
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", figure, bar, measured, verdict)
	}
	seconds := func(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
	ratio := func(sent int64, o outcome) float64 { return float64(sent) / float64(o.Size) }
	var plugins []string
	for _, k := range kinds() {
		d := f.of[k.id()]
		row(fmt.Sprintf("Stop to the object confirmed and readable, %s of 20 Mbit/s after %v, %s", k.form(), short, k.name),
			"≤ "+seconds(k.bar), seconds(d.short.Ready), d.short.Ready <= k.bar)
		row(fmt.Sprintf("the same after %v", long), "≤ the first + "+seconds(k.later),
			seconds(d.long.Ready), d.long.Ready <= d.short.Ready+k.later)
		a, z := ratio(d.shortSent, d.short), ratio(d.longSent, d.long)
		row("bytes sent / bytes of the object", fmt.Sprintf("≤ %.2f", sentAtMost), fmt.Sprintf("%.4f, %.4f", a, z), max(a, z) <= sentAtMost)
		more := max(d.short.Memory-f.bareShort.Memory, d.long.Memory-f.bareLong.Memory)
		row("worker's memory at the most, above a recording without delivery", "≤ 64 MB",
			fmt.Sprintf("%.1f MB", float64(more)/1e6), more <= memoryAtMost)
		row("byte differences between spool and object", "0",
			fmt.Sprintf("0 in %d and %d bytes", d.short.Size, d.long.Size), true) // else there is no table
		most := float64(max(d.short.Plugin, d.long.Plugin)) / 1e6
		plugins = append(plugins, fmt.Sprintf("storage-%s (%s) %.0f MB", k.plugin, k.form(), most))
	}
	fmt.Fprintf(&b, "\nThe storage plugin is a process of its own, at the most: %s.\n", strings.Join(plugins, ", "))
	return b.String(), met
}

// write puts the table into the page.
func write(ctx context.Context, path, text string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(page), tableBegin)
	_, after, ends := strings.Cut(rest, tableEnd)
	if !ok || !ends {
		return fmt.Errorf("%s has no place for the table: the lines %q and %q", path, tableBegin, tableEnd)
	}
	commit, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return fmt.Errorf("ask for the commit: %w", err)
	}
	date := time.Now().UTC().Format(time.DateOnly)
	text = fmt.Sprintf("\nMeasured on %s at commit %s.\n\n%s\n", date, strings.TrimSpace(string(commit)), text)
	return os.WriteFile(path, []byte(before+tableBegin+text+tableEnd+after), 0o644)
}
