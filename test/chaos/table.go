package main

import (
	"fmt"
	"os"
	"strings"
)

// The page is written around these marks: what stands outside of them is written by people.
const (
	tableBegin = "<!-- chaos: begin -->\n"
	tableEnd   = "<!-- chaos: end -->\n"
)

// write puts the results that there are into the page.
func (o options) write() error {
	found, err := o.load()
	if err != nil {
		return err
	}
	page, err := os.ReadFile(o.out)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(page), tableBegin)
	_, after, ends := strings.Cut(rest, tableEnd)
	if !ok || !ends {
		return fmt.Errorf("%s has no place for the table: the lines %q and %q", o.out, tableBegin, tableEnd)
	}
	return os.WriteFile(o.out, []byte(before+tableBegin+matrix(found)+tableEnd+after), 0o644)
}

// matrix is the results as Markdown: a summary of each component, and then every cell.
func matrix(found map[string]result) string {
	var b strings.Builder
	all := cells()
	fmt.Fprintf(&b, "\n%d of %d cells were tried.\n\n", len(found), len(all))
	b.WriteString("| dies | cells | promises kept | captured and lost, worst | capturing again, worst | a killed host answers, worst |\n" +
		"|---|---|---|---|---|---|\n")
	for _, c := range components() {
		summary(&b, c, found)
	}
	b.WriteString("\n| cell | lost | again | sync | sum | callbacks | |\n|---|---|---|---|---|---|---|\n")
	for _, c := range all {
		r, ok := found[c.String()]
		if !ok {
			continue
		}
		verdict := "ok"
		if len(r.Problems) > 0 {
			verdict = "**" + strings.Join(r.Problems, "; ") + "**"
		}
		fmt.Fprintf(&b, "| %s | %.2f s | %.2f s | %.0f ms | %+.2f s | %d | %s |\n", c, r.Lost, r.Again, r.Sync, r.Sum, r.Calls, verdict)
	}
	b.WriteString("\n")
	return b.String()
}

func summary(b *strings.Builder, of component, found map[string]result) {
	var tried, kept int
	var lost, again, back float64
	for _, c := range cells() {
		r, ok := found[c.String()]
		if c.component != of || !ok {
			continue
		}
		tried++
		if len(r.Problems) == 0 {
			kept++
		}
		lost, again, back = max(lost, r.Lost), max(again, r.Again), max(back, r.Back)
	}
	answers := "–"
	if back > 0 {
		answers = fmt.Sprintf("%.2f s", back)
	}
	fmt.Fprintf(b, "| %s | %d | %d | %.2f s | %.2f s | %s |\n", of, tried, kept, lost, again, answers)
}
