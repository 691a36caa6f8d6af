package runtimetest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/recordhost/recordhost/sdk/runtime"
)

// ChildArg is the first argument of the children that Main starts: copies of the test's own program that do nothing but wait.
// A TestMain that calls Main must hand programs started with it to Child.
const ChildArg = "runtimetest-child"

// Launched is what a worker was told of itself, by whatever way its driver has.
type Launched struct {
	TaskID  string   `json:"task_id"`
	Epoch   uint64   `json:"epoch"`
	Control []string `json:"control"`
	Token   string   `json:"token"`
}

// hello is the first line that a worker of the suite sends to the suite.
type hello struct {
	Launched
	PID      int   `json:"pid"` // 0 when it is no process
	Children []int `json:"children"`
}

// orders is the suite's answer: what the worker is to do.
type orders struct {
	Children int  `json:"children"`  // to start before it says hello a second time
	Exit     bool `json:"exit"`      // at once, with ExitCode
	Stubborn bool `json:"stubborn"`  // do not end when asked to
	ExitCode int  `json:"exit_code"` // with which it ends, at once or when asked
}

// Main is the worker program of the suite. A harness whose driver starts processes has its worker call it, with what the
// driver told the worker; it does what the suite asks for over the first control address, and exits.
func Main(l Launched) {
	asked := make(chan struct{})
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		<-signals
		close(asked)
	}()
	code, err := work(context.Background(), asked, l, startChild)
	if err != nil {
		fmt.Fprintln(os.Stderr, "runtimetest worker:", err)
		os.Exit(125)
	}
	os.Exit(code)
}

// Child is the program of a worker's children. It waits until it is killed.
func Child() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	for range signals {
		continue // it takes SIGKILL to end it
	}
}

// Goroutine is the worker program of the suite for drivers whose workers are no processes: what Script.Run needs.
func Goroutine(ctx context.Context, asked <-chan struct{}, l runtime.Launch) runtime.Exit {
	told := Launched{TaskID: l.TaskID, Epoch: l.Epoch, Control: l.Control, Token: l.Token}
	code, err := work(ctx, asked, told, nil)
	if err != nil {
		return runtime.Exit{Code: 125, Reason: err.Error()}
	}
	return runtime.Exit{Code: code}
}

// work dials the suite, tells it what the worker was told, and does what the suite answers.
func work(ctx context.Context, asked <-chan struct{}, l Launched, child func() (int, error)) (int, error) {
	if len(l.Control) == 0 {
		return 0, fmt.Errorf("no control address")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", strings.TrimPrefix(l.Control[0], "unix:"))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	me := hello{Launched: l}
	if child != nil {
		me.PID = os.Getpid()
	}
	enc, dec := json.NewEncoder(conn), json.NewDecoder(bufio.NewReader(conn))
	if err := enc.Encode(me); err != nil {
		return 0, err
	}
	var o orders
	if err := dec.Decode(&o); err != nil {
		return 0, err
	}
	if child != nil {
		for range o.Children {
			pid, err := child()
			if err != nil {
				return 0, err
			}
			me.Children = append(me.Children, pid)
		}
	}
	if err := enc.Encode(me); err != nil {
		return 0, err
	}
	switch {
	case o.Exit:
	case o.Stubborn:
		<-ctx.Done()
	default:
		select {
		case <-asked:
		case <-ctx.Done():
		}
	}
	return o.ExitCode, nil
}

// startChild starts a process that only SIGKILL ends, in the worker's own group.
func startChild() (int, error) {
	cmd := exec.Command(os.Args[0], ChildArg) //nolint:noctx // it is to outlive whatever does not kill it
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	go func() { _ = cmd.Wait() }() // reaped; the suite looks whether it is gone
	return cmd.Process.Pid, nil
}

// processGone reports whether no process of that number runs. One that nobody reaped yet is gone.
func processGone(pid int) bool {
	if pid == 0 {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	// The state stands behind the name, which is in brackets and may hold anything.
	rest := string(stat[strings.LastIndexByte(string(stat), ')')+1:])
	return strings.HasPrefix(strings.TrimSpace(rest), "Z")
}

// until waits for something that must become true, and reports whether it did.
func until(limit time.Duration, met func() bool) bool {
	deadline := time.Now().Add(limit)
	for !met() {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(5 * time.Millisecond)
	}
	return true
}
