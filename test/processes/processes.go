// Package processes reads the machine's process table, as the tests and the measurements need it: who came from whom, and
// what each has cost. It only looks; ending processes is package proc's. Linux only.
package processes

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of the kernel's accounting, the same on every Linux machine.
const tick = time.Second / 100

// Key names a process for ever: its number may be given again, with another start.
type Key struct {
	PID   int
	Start string // in ticks since the machine started
}

// Process is one line of the table.
type Process struct {
	Key
	Name   string // as the kernel cuts it, at 15 bytes
	Parent int
	Zombie bool          // it has ended, and its parent has not looked
	CPU    time.Duration // so far, of itself alone
}

// All are the processes that run now.
func All() (map[Key]Process, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	all := make(map[Key]Process, len(files))
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil {
			continue // it ended meanwhile
		}
		if p, ok := parse(line); ok {
			all[p.Key] = p
		}
	}
	return all, nil
}

// Below are the processes that the one of that number started, and those that these started.
func Below(pid int) ([]Process, error) {
	all, err := All()
	if err != nil {
		return nil, err
	}
	var found []Process
	wanted := map[int]bool{pid: true}
	for grown := true; grown; {
		grown = false
		for key, p := range all {
			if wanted[p.Parent] && !wanted[p.PID] {
				wanted[p.PID], grown = true, true
				found = append(found, p)
				delete(all, key)
			}
		}
	}
	return found, nil
}

// Memory is the process's share of the machine's memory in bytes: what it shares with others is divided among them (Pss).
// It is zero for a process that has ended, and for the kernel's own.
func Memory(pid int) int64 {
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(rollup)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return 0
			}
			return kilobytes << 10
		}
	}
	return 0
}

// Arguments is the process's command line; nil for one that has ended, and for the kernel's own.
func Arguments(pid int) ([]string, error) {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(line) == 0 {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00"), nil
}

// parse reads a line of /proc/PID/stat. The name stands in parentheses and may hold any byte, parentheses too.
func parse(line []byte) (Process, bool) {
	open, closed := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 0 || closed < open {
		return Process{}, false
	}
	const parent, userTime, systemTime, start = 1, 11, 12, 19 // places behind the name, of proc(5) less three
	fields := strings.Fields(string(line[closed+1:]))
	if len(fields) <= start {
		return Process{}, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(line[:open])))
	if err != nil {
		return Process{}, false
	}
	var numbers [3]int64
	for i, at := range []int{parent, userTime, systemTime} {
		if numbers[i], err = strconv.ParseInt(fields[at], 10, 64); err != nil {
			return Process{}, false
		}
	}
	return Process{
		Key:    Key{PID: pid, Start: fields[start]},
		Name:   string(line[open+1 : closed]),
		Parent: int(numbers[0]),
		Zombie: fields[0] == "Z",
		CPU:    time.Duration(numbers[1]+numbers[2]) * tick,
	}, true
}
