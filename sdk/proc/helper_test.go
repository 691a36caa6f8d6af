package proc_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recordhost/recordhost/sdk/proc"
)

// patience is far longer than anything here takes; only a failing test waits for it.
const patience = 30 * time.Second

// TestMain runs the tests, or, started again by one of them, plays a child.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "as-child" {
		role, known := roles()[os.Args[2]]
		if !known {
			os.Exit(99)
		}
		role(os.Args[3:])
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// roles are what a child can be. Each prints a line when it is ready.
func roles() map[string]func(args []string) {
	return map[string]func(args []string){
		"exit": func(args []string) {
			code, _ := strconv.Atoi(args[0])
			for _, line := range args[1:] {
				fmt.Fprintln(os.Stderr, line)
			}
			os.Exit(code)
		},
		"copy": func([]string) {
			_, _ = io.Copy(os.Stdout, os.Stdin)
		},
		"environ": func([]string) {
			fmt.Println(strings.Join(os.Environ(), "\n"))
		},
		"sleep": func([]string) {
			fmt.Println("ready")
			select {}
		},
		"end-on-term": func([]string) {
			term := make(chan os.Signal, 1)
			signal.Notify(term, syscall.SIGTERM)
			fmt.Println("ready")
			<-term
			os.Exit(7)
		},
		"ignore-term": func([]string) {
			signal.Ignore(syscall.SIGTERM)
			fmt.Println("ready")
			time.Sleep(time.Hour) // select {} with no other goroutine is taken for a deadlock
		},
		"brood":  brood,
		"family": family,
		"parent": parent,
		"adopt":  adopt,
	}
}

// brood starts children in sessions of their own, and dies the moment that it has.
func brood([]string) {
	for range 4 {
		child := exec.CommandContext(context.Background(), "sleep", "1000")
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := child.Start(); err != nil {
			panic(err)
		}
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// family starts descendants that differ in how they could be lost sight of, prints their numbers, and does as told.
func family(args []string) {
	inSession := exec.CommandContext(context.Background(), "sleep", "1000")
	ownSession := exec.CommandContext(context.Background(), "sleep", "1000")
	ownSession.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	noMark := exec.CommandContext(context.Background(), "sleep", "1000")
	noMark.Env = []string{"NOTHING=1"}
	orphan := exec.CommandContext(context.Background(), "sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $!")
	for _, cmd := range []*exec.Cmd{inSession, ownSession, noMark} {
		if err := cmd.Start(); err != nil {
			panic(err)
		}
	}
	pid, err := orphan.Output()
	if err != nil {
		panic(err)
	}
	// An own child in a session of its own, by this package.
	nested, err := proc.Start(context.Background(), proc.Spec{Path: "/bin/sleep", Args: []string{"1000"}})
	if err != nil {
		panic(err)
	}
	fmt.Println(inSession.Process.Pid, ownSession.Process.Pid, noMark.Process.Pid, nested.Identity().PID, strings.TrimSpace(string(pid)))
	if args[0] == "leave" {
		return
	}
	select {}
}

// parent starts a child and prints its identity.
func parent(args []string) {
	c, err := proc.Start(context.Background(), proc.Spec{
		Path: "/bin/sleep", Args: []string{"1000"}, Detached: args[0] == "detached",
	})
	if err != nil {
		panic(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(c.Identity()); err != nil {
		panic(err)
	}
	select {}
}

// adopt takes orphans in and says whether any is left when the child that they stem from has ended.
func adopt([]string) {
	if err := proc.AdoptOrphans(); err != nil {
		panic(err)
	}
	c, err := proc.Start(context.Background(), proc.Spec{
		Path: "/bin/sh", Args: []string{"-c", "(sleep 1000 & (exit 0) &); (setsid sleep 1000 &); sleep 0.1"},
	})
	if err != nil {
		panic(err)
	}
	if _, err := c.Wait(context.Background()); err != nil {
		panic(err)
	}
	_, err = syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
	fmt.Println(errors.Is(err, syscall.ECHILD))
}

// role is a Spec that starts this test binary again.
func role(t *testing.T, args ...string) proc.Spec {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return proc.Spec{
		Path: exe, Args: append([]string{"as-child"}, args...),
		Env:        []string{"PATH=" + os.Getenv("PATH"), "GORACE=atexit_sleep_ms=0"}, // else each end takes a second more
		PipeStdout: true,
	}
}

// start starts a child that the test's end stops.
func start(t *testing.T, s proc.Spec) *proc.Child {
	t.Helper()
	c, err := proc.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := c.Stop(context.Background(), 0); err != nil {
			t.Error(err)
		}
		if c.Stdout != nil {
			_ = c.Stdout.Close()
		}
		if c.Stdin != nil {
			_ = c.Stdin.Close()
		}
	})
	return c
}

// line reads a child's next line.
func line(t *testing.T, c *proc.Child) string {
	t.Helper()
	if err := c.Stdout.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	text, err := bufio.NewReader(c.Stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("%v after %q; %v", err, text, c.LastLines())
	}
	return strings.TrimSpace(text)
}

// wait waits for a child's end.
func wait(t *testing.T, c *proc.Child) proc.Exit {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	exit, err := c.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return exit
}

// running says whether a process of that number runs: one that is dead but not yet waited for does not.
func running(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	rest := string(b[strings.LastIndexByte(string(b), ')')+1:])
	return !strings.HasPrefix(rest, " Z") && !strings.HasPrefix(rest, " X")
}

// eventually waits for a condition that must come true.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func numbers(t *testing.T, text string) []int {
	t.Helper()
	var out []int
	for field := range strings.FieldsSeq(text) {
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, n)
	}
	return out
}
