package proc

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sweepLimit bounds how long processes may take to die of SIGKILL before they are reported: only one that hangs in the
// kernel takes longer than an instant.
const sweepLimit = 10 * time.Second

var (
	errNoProcess = errors.New("no such process")
	errBetween   = errors.New("the process begins or ends")
)

// process is a line of /proc/<pid>/stat.
type process struct {
	pid, parent, group, session int
	state                       byte
	threads                     int
	start                       uint64
	ticks                       uint64 // processor time, with that of children waited for
	memory                      uint64 // bytes mapped; the kernel's own threads have none
	environEnd                  uint64 // address; 0 in the midst of execve(2), and where it may not be read
	flags                       uint64 // PF_ of the kernel's sched.h
}

// alive is false for a process that has ended and was not waited for. One whose first thread has ended shows the same
// letter while its other threads run.
func (p process) alive() bool {
	return p.state != 'Z' && p.state != 'X' || p.threads > 1
}

// membersOf lists what belongs to id, the process itself included. It is incomplete when there are processes of which that
// cannot be known yet.
func membersOf(id Identity) (members []process, complete bool, err error) {
	all, err := processes()
	if err != nil {
		return nil, false, err
	}
	var candidates []candidate
	complete = true
	for _, p := range all {
		if p.start < id.Start { // a descendant is younger
			continue
		}
		mark, err := readMark(p.pid)
		candidates = append(candidates, candidate{process: p, mark: mark, hidden: errors.Is(err, os.ErrPermission)})
		complete = complete && !errors.Is(err, errBetween)
	}
	return belonging(id, candidates), complete, nil
}

// between says that the process has no environment at present: it is in the midst of execve(2), or has begun to exit and
// may still hold files and locks.
func (p process) between() bool {
	const exiting, kernels = 0x4, 0x200000 // PF_EXITING, PF_KTHREAD
	if !p.alive() || p.flags&kernels != 0 {
		return false
	}
	return p.flags&exiting != 0 || p.memory > 0 && p.environEnd == 0
}

// candidate is a process with the mark in its environment, empty when there is none, or when it is hidden: another
// user's, or a process that has closed itself.
type candidate struct {
	process
	mark   string
	hidden bool
}

// belonging selects what belongs to id: what carries its mark, what is in a session that one of these leads, and what one
// of these has started.
//
// A session's or process's number alone proves nothing, it may have been given again: it counts for a leader that is
// there and proven. A child with another mark was started Detached and is another's; one whose mark is hidden may be
// that, so it counts only where it stayed in its parent's session.
func belonging(id Identity, candidates []candidate) (members []process) {
	in := make(map[int]candidate)
	led := make(map[int]bool) // sessions, by their leader
	belongs := func(c candidate) bool {
		if c.pid == id.PID && c.start == id.Start || under(c.mark, id.Mark) || led[c.session] {
			return true
		}
		parent, ours := in[c.parent]
		if !ours || c.hidden && c.session != parent.session {
			return false
		}
		return c.mark == "" || id.Mark == ""
	}
	for grown := true; grown; {
		grown = false
		for _, c := range candidates {
			if _, known := in[c.pid]; known || !belongs(c) {
				continue
			}
			in[c.pid], grown = c, true
			led[c.pid] = led[c.pid] || c.session == c.pid
			members = append(members, c.process)
		}
	}
	return members
}

// terminate asks the process group of id to end. That it reaches nobody is no failure: what follows is KILL.
func terminate(id Identity) {
	members, _, err := membersOf(id)
	if err != nil {
		return
	}
	for _, p := range members {
		if p.group == id.PID {
			_ = p.identity().signal(syscall.SIGTERM)
		}
	}
}

// sweep kills everything that belongs to id until nothing of it runs, and takes in the orphans that this process has
// inherited from it. It looks again while it does not see everything, but for what begins or ends for longer than the
// limit, which nobody can tell whose it is.
func sweep(id Identity) error {
	doomed := make(map[int]process) // once found, a process is followed to its end: a dead one shows no mark
	pause := time.Millisecond
	for deadline := time.Now().Add(sweepLimit); ; {
		members, complete, err := membersOf(id)
		if err != nil {
			return err
		}
		for _, p := range members {
			if p.pid != os.Getpid() {
				doomed[p.pid] = p
			}
		}
		late := time.Now().After(deadline)
		if err = kill(doomed, id); len(doomed) == 0 && (complete || late) {
			return nil
		}
		if late {
			return errors.Join(fmt.Errorf("processes %v cannot be ended", slices.Sorted(maps.Keys(doomed))), err)
		}
		time.Sleep(pause)
		pause = min(2*pause, 50*time.Millisecond)
	}
}

// kill sends SIGKILL to those of doomed that are alive, and removes those that are not.
func kill(doomed map[int]process, id Identity) (err error) {
	for pid, p := range doomed {
		now, readErr := readProcess(pid)
		switch {
		case readErr != nil || now.start != p.start:
			delete(doomed, pid)
		case now.alive():
			if sigErr := p.identity().signal(syscall.SIGKILL); !errors.Is(sigErr, os.ErrProcessDone) {
				err = errors.Join(err, sigErr)
			}
		default:
			// An orphan is ours to wait for when we are a container's first process or adopt orphans. The child itself
			// is waited for by its owner.
			if now.parent == os.Getpid() && pid != id.PID {
				_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
			}
			delete(doomed, pid)
		}
	}
	return err
}

// identity is enough of one to signal a process just seen.
func (p process) identity() Identity { return Identity{PID: p.pid, Start: p.start} }

// processes lists all processes that can be seen.
func processes() ([]process, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("proc: %w", err)
	}
	defer func() { _ = dir.Close() }()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("proc: list processes: %w", err)
	}
	var all []process
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, err := readProcess(pid); err == nil { // the others ended meanwhile, or are hidden
			all = append(all, p)
		}
	}
	return all, nil
}

func readProcess(pid int) (process, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return process{}, errNoProcess
	}
	if err != nil {
		return process{}, fmt.Errorf("proc: %w", err)
	}
	p, err := parseStat(string(b))
	if err != nil {
		return process{}, fmt.Errorf("proc: process %d: %w", pid, err)
	}
	return p, nil
}

// parseStat reads a line as proc(5) describes it. The second field is the program's name in parentheses, which may itself
// hold spaces and parentheses, so the rest is counted from the last one.
func parseStat(line string) (process, error) {
	open, closed := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || closed < open {
		return process{}, fmt.Errorf("unexpected stat %.80q", line)
	}
	fields := strings.Fields(line[closed+1:])
	const first, last = 3, 51 // numbers in proc(5): of fields[0], and of those read
	if len(fields) < last-first+1 {
		return process{}, fmt.Errorf("unexpected stat %.80q", line)
	}
	var bad error
	number := func(n int) uint64 {
		v, err := strconv.ParseInt(fields[n-first], 10, 64)
		bad = errors.Join(bad, err)
		return uint64(v)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line[:open]))
	p := process{
		pid:     pid,
		state:   fields[0][0],
		parent:  int(number(4)),
		group:   int(number(5)),
		session: int(number(6)),
		flags:   number(9),
		ticks:   number(14) + number(15) + number(16) + number(17),
		threads: int(number(20)),
		start:   number(22),
		memory:  number(23),

		environEnd: number(51),
	}
	return p, errors.Join(err, bad)
}
