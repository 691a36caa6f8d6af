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

// The bars.
const (
	readyWithin  = 3500 * time.Millisecond // S3, whose smallest part is 5 MiB
	laterBy      = 700 * time.Millisecond
	sentAtMost   = 1.02
	memoryAtMost = 64 << 20
)

// figures are what was measured: a recording that is not delivered and one that is, short and long.
type figures struct {
	bare, short, bareLong, long outcome
	shortSent, longSent         int64
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
	more := max(f.short.Memory-f.bare.Memory, f.long.Memory-f.bareLong.Memory)
	row(fmt.Sprintf("Stop to the object confirmed and readable, S3, MP4 of 20 Mbit/s, after %v", short), "≤ "+seconds(readyWithin),
		seconds(f.short.Ready), f.short.Ready <= readyWithin)
	row(fmt.Sprintf("the same after %v", long), "≤ the first + "+seconds(laterBy),
		seconds(f.long.Ready), f.long.Ready <= f.short.Ready+laterBy)
	row("bytes sent / bytes of the object", fmt.Sprintf("≤ %.2f", sentAtMost),
		fmt.Sprintf("%.4f, %.4f", ratio(f.shortSent, f.short), ratio(f.longSent, f.long)),
		ratio(f.shortSent, f.short) <= sentAtMost && ratio(f.longSent, f.long) <= sentAtMost)
	row("worker's memory at the most, above a recording without delivery", "≤ 64 MB",
		fmt.Sprintf("%.1f MB", float64(more)/1e6), more <= memoryAtMost)
	row("byte differences between spool and object", "0",
		fmt.Sprintf("0 in %d and %d bytes", f.short.Size, f.long.Size), true) // else there is no table
	plugin := float64(max(f.short.Plugin, f.long.Plugin)) / 1e6
	fmt.Fprintf(&b, "\nThe storage plugin is a process of its own, of %.0f MB at the most.\n", plugin)
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
