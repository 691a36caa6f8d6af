package proc

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const tail = " 7 42 42 0 -1 4194560 1 2 3 4 100 20 3 1 20 0 5 0 987654 1000 10 18446744073709551615"
	want := process{pid: 42, parent: 7, group: 42, session: 42, state: 'S', threads: 5, start: 987654, ticks: 124}
	for line, ok := range map[string]bool{
		"42 (sleep) S" + tail:            true,
		"42 (a b) c) (d) S" + tail:       true,
		"42 (sleep) S 7 42 42":           false,
		"42 sleep S" + tail:              false,
		"":                               false,
		"x (sleep) S" + tail:             false,
		"42 (sleep) S x" + tail[2:]:      false,
		"42 )( S" + tail:                 false,
		"42 (sleep) S" + tail + "\n":     true,
		"42 (sl\neep) S" + tail + " 1 2": true,
	} {
		got, err := parseStat(line)
		if ok != (err == nil) || ok && got != want {
			t.Errorf("%q: %+v, %v", line, got, err)
		}
	}
}

func TestAlive(t *testing.T) {
	for p, want := range map[process]bool{
		{state: 'R', threads: 1}: true,
		{state: 'D', threads: 1}: true,
		{state: 'T', threads: 1}: true,
		{state: 'Z', threads: 1}: false,
		{state: 'X', threads: 0}: false,
		{state: 'Z', threads: 4}: true, // its first thread has ended, the others run
	} {
		if p.alive() != want {
			t.Errorf("%c with %d threads: %v", p.state, p.threads, !want)
		}
	}
}

// Kernels older than 5.4 and some sandboxes have no process handles; the end is then looked for.
func TestPollWithoutHandles(t *testing.T) {
	c, err := Start(t.Context(), Spec{Path: "/bin/sleep", Args: []string{"1000"}})
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := c.id.poll(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("poll of a running process: %v", err)
	}
	if _, err := c.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if err := c.id.poll(t.Context()); err != nil {
		t.Errorf("poll of an ended process: %v", err)
	}
}

func TestMarksNest(t *testing.T) {
	t.Setenv(markName, "root")
	if m := newMark(false); !under(m, "root") || under(m, "roo") || under("root", m) {
		t.Errorf("mark %q", m)
	}
	if m := newMark(true); under(m, "root") {
		t.Errorf("a detached child's mark %q is below its parent's", m)
	}
	if under("any", "") {
		t.Error("everything is below no mark")
	}
}
