package proc

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const tail = " 7 42 42 0 -1 4194560 1 2 3 4 100 20 3 1 20 0 5 0 987654 1000 10 18446744073709551615" +
		" 94679598305280 94679598325161 140726512271728 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0" +
		" 94679598341168 94679598342784 94680110825472 140726512274104 140726512274124 140726512274124 140726512275435 0"
	want := process{
		pid: 42, parent: 7, group: 42, session: 42, state: 'S', threads: 5, start: 987654, ticks: 124,
		flags: 4194560, memory: 1000, environEnd: 140726512275435,
	}
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

func TestBetween(t *testing.T) {
	for p, want := range map[process]bool{
		{state: 'R', threads: 1, memory: 4096}:                              true,  // in execve
		{state: 'R', threads: 1, memory: 4096, environEnd: 123}:             false, // a program that runs
		{state: 'R', threads: 1, flags: 0x400104}:                           true,  // in exit
		{state: 'R', threads: 1, memory: 4096, environEnd: 1, flags: 0x104}: true,  // at the beginning of it
		{state: 'S', threads: 1, flags: 0x208040}:                           false, // the kernel's own
		{state: 'Z', threads: 1, flags: 0x4}:                                false,
	} {
		if p.between() != want {
			t.Errorf("%+v: %v", p, !want)
		}
	}
}

func TestBelonging(t *testing.T) {
	id := Identity{PID: 10, Start: 100, Mark: "m"}
	at := func(pid, parent, session int, mark string) candidate {
		return candidate{process: process{pid: pid, parent: parent, session: session, start: 200}, mark: mark}
	}
	leader := at(10, 1, 10, "m")
	leader.start = 100
	recycled := at(10, 1, 10, "")
	hide := func(c candidate) candidate { c.hidden = true; return c }
	for name, c := range map[string]struct {
		candidates []candidate
		want       []int
	}{
		"the process and what is in its session": {
			[]candidate{leader, at(11, 10, 10, ""), at(12, 1, 10, ""), at(13, 1, 13, "")},
			[]int{10, 11, 12},
		},
		"marks, whatever the parent": {
			[]candidate{at(20, 1, 20, "m"), at(21, 1, 21, "m/n"), at(22, 1, 22, "mm")},
			[]int{20, 21},
		},
		"sessions that members lead": {
			[]candidate{at(20, 1, 20, "m/n"), at(21, 1, 20, ""), at(30, 1, 30, "")},
			[]int{20, 21},
		},
		"children, seen before their parents": {
			[]candidate{at(22, 21, 22, ""), at(21, 20, 21, ""), at(20, 1, 20, "m")},
			[]int{20, 21, 22},
		},
		"not what was started detached":         {[]candidate{leader, at(20, 10, 20, "x"), at(21, 20, 20, "x/y")}, []int{10}},
		"hidden ones in their parent's session": {[]candidate{leader, hide(at(11, 10, 10, "")), hide(at(20, 10, 20, ""))}, []int{10, 11}},
		"not who was given the number again":    {[]candidate{recycled, at(11, 10, 10, ""), at(12, 1, 10, "")}, nil},
		"not a session whose leader is gone":    {[]candidate{at(11, 1, 10, "")}, nil},
	} {
		var got []int
		for _, p := range belonging(id, c.candidates) {
			got = append(got, p.pid)
		}
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
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
