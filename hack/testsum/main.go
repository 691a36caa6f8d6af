// Command testsum makes a run of the tests readable: it reads `go test -json` on its standard input, shows the output
// of what failed, and ends with one line that counts the tests. It exits with 1 when a test or a package failed.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// event is one line of `go test -json`, as `go doc test2json` describes it; a build's lines carry an import path.
type event struct {
	Action      string
	Package     string
	ImportPath  string
	Test        string
	Output      string
	FailedBuild string
}

// summary holds what was said by the tests that have not ended yet, and what became of the others.
type summary struct {
	out     io.Writer
	output  map[string]*bytes.Buffer
	passed  int
	failed  int
	skipped int
	broken  int             // packages that failed although none of their tests did: a build, an exit, a leak
	failing map[string]bool // packages of which a test failed
	parents map[string]bool // tests that have subtests
}

func main() {
	started := time.Now()
	s := newSummary(os.Stdout)
	if err := s.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testsum: cannot read the tests' output:", err)
		os.Exit(2)
	}
	fmt.Fprintln(s.out, s.line(time.Since(started)))
	if s.bad() {
		os.Exit(1)
	}
}

func newSummary(out io.Writer) *summary {
	return &summary{out: out, output: map[string]*bytes.Buffer{}, failing: map[string]bool{}, parents: map[string]bool{}}
}

func (s *summary) bad() bool { return s.failed+s.broken > 0 }

// read takes in the whole stream. A line that is no event is shown as it is: the go command itself complains so.
func (s *summary) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			if !strings.HasPrefix(lines.Text(), "go: downloading ") {
				fmt.Fprintln(s.out, lines.Text())
			}
			continue
		}
		s.add(e)
	}
	return lines.Err()
}

func (s *summary) add(e event) {
	key := e.Package + e.ImportPath + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		if s.output[key] == nil {
			s.output[key] = &bytes.Buffer{}
		}
		s.output[key].WriteString(e.Output)
		return
	case "pass", "skip", "fail", "build-fail":
	default:
		return
	}
	if e.Action == "fail" && e.Test == "" {
		s.showUnfinished(e.Package)
	}
	if e.Action == "fail" || e.Action == "build-fail" {
		s.show(key)
	}
	delete(s.output, key)
	s.count(e)
}

// count keeps the books. A test that has subtests is their sum and is not counted itself.
func (s *summary) count(e event) {
	if e.Test == "" {
		if e.Action == "fail" && !s.failing[e.Package] {
			s.broken++
		}
		return
	}
	if parent := strings.LastIndexByte(e.Test, '/'); parent >= 0 {
		s.parents[e.Package+" "+e.Test[:parent]] = true
	}
	if e.Action == "fail" {
		s.failing[e.Package] = true
	}
	switch {
	case s.parents[e.Package+" "+e.Test]:
	case e.Action == "pass":
		s.passed++
	case e.Action == "fail":
		s.failed++
	default:
		s.skipped++
	}
}

func (s *summary) show(key string) {
	if b := s.output[key]; b != nil {
		_, _ = b.WriteTo(s.out)
	}
}

// showUnfinished shows what the tests said that a package's sudden end cut short: an exit, a panic, a time-out.
func (s *summary) showUnfinished(pkg string) {
	for _, key := range slices.Sorted(maps.Keys(s.output)) {
		if strings.HasPrefix(key, pkg+" ") && key != pkg+" " {
			s.show(key)
			delete(s.output, key)
		}
	}
}

func (s *summary) line(d time.Duration) string {
	line := fmt.Sprintf("%d passed, %d failed", s.passed, s.failed)
	if s.broken > 0 {
		line += fmt.Sprintf(", %d packages broken", s.broken)
	}
	if s.skipped > 0 {
		line += fmt.Sprintf(", %d skipped", s.skipped)
	}
	return fmt.Sprintf("%s, in %s", line, d.Round(time.Second))
}
