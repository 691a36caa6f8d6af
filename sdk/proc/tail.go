package proc

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"sync"
	"unicode"
)

const (
	tailLines = 20
	tailWidth = 512 // bytes of a line that are kept
)

// tail keeps the last lines written to it and passes everything on. Whatever a child writes, it holds a bounded
// amount, and what it shows is printable.
type tail struct {
	next steady

	mu   sync.Mutex
	last [][]byte // whole lines, oldest first
	part []byte   // the line that has not ended
}

// Write never fails: a child must not die of what its parent does with its messages.
func (t *tail) Write(p []byte) (int, error) {
	t.keep(p)
	return t.next.Write(p)
}

func (t *tail) keep(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, []byte{'\n'})
		t.part = append(t.part, line[:min(len(line), tailWidth-len(t.part))]...)
		p = rest
		if !ended {
			return
		}
		if len(t.last) == tailLines {
			t.last = append(t.last[:0], t.last[1:]...)
		}
		t.last = append(t.last, t.part)
		t.part = nil
	}
}

func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []string
	for _, line := range append(slices.Clip(t.last), t.part) {
		if text := printable(line); text != "" {
			out = append(out, text)
		}
	}
	return out[max(0, len(out)-tailLines):]
}

// printable is a line without what could move a terminal's cursor or forge another line.
func printable(line []byte) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsPrint(r):
			return r
		default:
			return unicode.ReplacementChar
		}
	}, strings.TrimRight(string(line), "\r"))
	return strings.TrimSpace(clean)
}

// steady is a writer that always takes what it is given: after the first failure of next it discards.
type steady struct {
	next   io.Writer
	failed bool
}

func (s *steady) Write(p []byte) (int, error) {
	if s.next != nil && !s.failed {
		_, err := s.next.Write(p)
		s.failed = err != nil
	}
	return len(p), nil
}
