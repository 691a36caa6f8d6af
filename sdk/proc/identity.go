package proc

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Identity names one process for ever: a number is given again, a number with its start time within one boot is not.
// It is plain data, to be stored as JSON.
type Identity struct {
	Boot      string `json:"boot"`      // the machine's boot
	Namespace string `json:"namespace"` // in which PID counts: a container has its own
	PID       int    `json:"pid"`
	Start     uint64 `json:"start"` // clock ticks between the boot and the process's start
	Mark      string `json:"mark"`  // in the environment of the process and its descendants
}

// ErrElsewhere is told about a process of another boot, machine or container: nothing can be known of it here.
var ErrElsewhere = errors.New("process of another boot or machine")

// Running says whether the process itself runs; one that ended and was not yet waited for does not. It fails with
// ErrElsewhere when that cannot be known here.
func (id Identity) Running() (bool, error) {
	if err := id.here(); err != nil {
		return false, err
	}
	p, err := readProcess(id.PID)
	if errors.Is(err, errNoProcess) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return p.start == id.Start && p.alive(), nil
}

// Wait returns when the process, which need not be a child, and everything that belonged to it are gone: what outlived
// the process is killed. Ending ctx ends the wait, and nothing else.
func (id Identity) Wait(ctx context.Context) error {
	if err := id.here(); err != nil {
		return err
	}
	if err := id.awaitEnd(ctx); err != nil {
		return fmt.Errorf("proc: wait for pid %d: %w", id.PID, err)
	}
	if err := sweep(id); err != nil {
		return fmt.Errorf("proc: end of pid %d: %w", id.PID, err)
	}
	return nil
}

// Terminate asks the process to end: TERM to its process group. One that is gone is not asked.
func (id Identity) Terminate() error {
	if err := id.here(); err != nil {
		return err
	}
	terminate(id)
	return nil
}

// Signal sends a signal to the process itself, and fails with os.ErrProcessDone when it is gone.
func (id Identity) Signal(sig syscall.Signal) error {
	if err := id.here(); err != nil {
		return err
	}
	if err := id.signal(sig); err != nil {
		return fmt.Errorf("proc: signal pid %d: %w", id.PID, err)
	}
	return nil
}

// Stop is Child.Stop for a process that need not be a child.
func (id Identity) Stop(ctx context.Context, grace time.Duration) error {
	if err := id.here(); err != nil {
		return err
	}
	if grace > 0 {
		terminate(id)
		graceful, cancel := context.WithTimeout(ctx, grace)
		defer cancel()
		// The end of the grace, or of ctx, is not a failure but the time to kill.
		if err := id.awaitEnd(graceful); err != nil && graceful.Err() == nil {
			return fmt.Errorf("proc: stop pid %d: %w", id.PID, err)
		}
	}
	if err := sweep(id); err != nil {
		return fmt.Errorf("proc: stop pid %d: %w", id.PID, err)
	}
	return nil
}

// CPU is the processor time used so far by the process and everything that belongs to it and still runs, and by those
// of their children that they have waited for.
func (id Identity) CPU() (time.Duration, error) {
	if err := id.here(); err != nil {
		return 0, err
	}
	members, _, err := membersOf(id)
	if err != nil {
		return 0, err
	}
	var sum uint64
	for _, p := range members {
		sum += p.ticks
	}
	const perSecond = 100 // USER_HZ, the same on every Linux architecture that Go knows
	return time.Duration(sum) * (time.Second / perSecond), nil
}

func (id Identity) here() error {
	boot, namespace, err := whereabouts()
	if err != nil {
		return err
	}
	if id.Boot != boot || id.Namespace != namespace {
		return fmt.Errorf("pid %d: %w", id.PID, ErrElsewhere)
	}
	return nil
}

// signal sends sig through a handle that is known to be this process's. The handle is taken first and the start time
// read after it: as the process is there then, the handle cannot be another's.
func (id Identity) signal(sig syscall.Signal) error {
	handle, err := os.FindProcess(id.PID)
	if err != nil {
		return err
	}
	defer func() { _ = handle.Release() }()
	p, err := readProcess(id.PID)
	if errors.Is(err, errNoProcess) || err == nil && p.start != id.Start {
		return os.ErrProcessDone
	}
	if err != nil {
		return err
	}
	return handle.Signal(sig)
}

// Self is the identity of this process.
func Self() (Identity, error) {
	return identify(os.Getpid(), os.Getenv(markName))
}

// identify reads the identity of a process that cannot end meanwhile: a child that was not waited for, or oneself.
func identify(pid int, mark string) (Identity, error) {
	boot, namespace, err := whereabouts()
	if err != nil {
		return Identity{}, err
	}
	p, err := readProcess(pid)
	if err != nil {
		return Identity{}, err
	}
	return Identity{Boot: boot, Namespace: namespace, PID: pid, Start: p.start, Mark: mark}, nil
}

// whereabouts tells boot and process number space. Containers on one machine share the boot but not the numbers.
func whereabouts() (boot, namespace string, err error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", "", fmt.Errorf("proc: this boot's id: %w", err)
	}
	namespace, err = os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return "", "", fmt.Errorf("proc: this process's number space: %w", err)
	}
	return strings.TrimSpace(string(b)), namespace, nil
}

// markName is the environment variable that holds the mark. A mark is a path: a child's begins with its parent's, so that
// a process and all its descendants, in whatever session, are found by one prefix.
const markName = "RECORDHOST_PROC"

func newMark(detached bool) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	mark := hex.EncodeToString(b[:])
	if parent := os.Getenv(markName); parent != "" && !detached {
		mark = parent + "/" + mark
	}
	return mark
}

// withMark is env with the mark in place of any it had.
func withMark(env []string, mark string) []string {
	out := make([]string, 0, len(env)+1)
	for _, e := range env {
		if !strings.HasPrefix(e, markName+"=") {
			out = append(out, e)
		}
	}
	return append(out, markName+"="+mark)
}

// readMark is the mark in a process's environment, empty when it has none. It fails with os.ErrPermission when it may not
// be read, and with errBetween when there is no environment at present.
func readMark(pid int) (string, error) {
	env, err := readEnviron(pid)
	if err != nil {
		return "", err
	}
	for entry := range bytes.SplitSeq(env, []byte{0}) {
		if mark, ok := bytes.CutPrefix(entry, []byte(markName+"=")); ok {
			return string(mark), nil
		}
	}
	return "", nil
}

// readEnviron reads a process's environment. While the process begins or ends it reads as empty or, as newer kernels have
// it, cannot be opened; so does none at all and that of a kernel's own process. The next look at the process tells, unless
// the beginning was over meanwhile: then a second reading holds.
func readEnviron(pid int) ([]byte, error) {
	path := "/proc/" + strconv.Itoa(pid) + "/environ"
	env, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, syscall.ESRCH) || len(env) > 0 {
		return env, err
	}
	if p, err := readProcess(pid); err != nil {
		return nil, err
	} else if p.between() {
		return nil, errBetween
	}
	return os.ReadFile(path)
}

func under(mark, root string) bool {
	return root != "" && (mark == root || strings.HasPrefix(mark, root+"/"))
}
