// Package product is recordhost as its users meet it: a binary with plugins beside it, a command line, an HTTP API. The
// end-to-end tests and the measurements drive recordhost through it alone, so that what they find is what a user gets.
package product

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/recordhost/recordhost/sdk/proc"
)

// module is where everything is built from.
const module = "github.com/recordhost/recordhost"

// stopGrace is how long a recordhost that was told to end may take before it is killed.
const stopGrace = 30 * time.Second

// Product is an installed recordhost.
type Product struct {
	Binary  string   // absolute path
	Plugins string   // absolute path of the folder
	Env     []string // NAME=value, added to this process's environment for recordhost
	Runtime string   // the runtime plugin; empty: local
	Worker  string   // the program that records; empty: recordhost itself
}

// At is the product that is installed in the folder, in the way of Build.
func At(dir string) Product {
	return Product{Binary: filepath.Join(dir, "recordhost"), Plugins: filepath.Join(dir, "plugins")}
}

// Build builds recordhost and its plugins into the folder, in the way of the Makefile.
func Build(ctx context.Context, dir string) (Product, error) {
	p := At(dir)
	if err := os.MkdirAll(p.Plugins, 0o755); err != nil {
		return Product{}, fmt.Errorf("build recordhost: %w", err)
	}
	for out, what := range map[string]string{p.Binary: module + "/cmd/recordhost", p.Plugins + "/": module + "/plugins/..."} {
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", out, what)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if said, err := build.CombinedOutput(); err != nil {
			return Product{}, fmt.Errorf("build %s: %w: %s", what, err, said)
		}
	}
	return p, nil
}

// Run is a recordhost command that was started.
type Run struct {
	child          *proc.Child
	stdout, stderr output
}

// output is what a command has said so far. It may be read while the command runs.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Outcome is how a command ended and what it said.
type Outcome struct {
	Code           int
	Signal         string // that ended it, if one did
	Stdout, Stderr string
}

// Start starts a command of recordhost. ctx bounds the start alone; Wait must be called.
func (p Product) Start(ctx context.Context, args ...string) (*Run, error) {
	r := &Run{}
	child, err := proc.Start(ctx, proc.Spec{
		Path: p.Binary, Args: args, Env: append(os.Environ(), p.Env...), Stdout: &r.stdout, Stderr: &r.stderr,
	})
	if err != nil {
		return nil, fmt.Errorf("recordhost %s: %w", strings.Join(args, " "), err)
	}
	r.child = child
	return r, nil
}

// PID is the command's process.
func (r *Run) PID() int { return r.child.Identity().PID }

// Signal sends a signal to the command alone, as a terminal or a supervisor would.
func (r *Run) Signal(signal syscall.Signal) error { return r.child.Signal(signal) }

// Wait returns when the command has ended. When ctx ends first, the command is ended.
func (r *Run) Wait(ctx context.Context) (Outcome, error) {
	exit, err := r.child.Wait(ctx)
	if err != nil {
		_, stopErr := r.child.Stop(context.WithoutCancel(ctx), stopGrace)
		return Outcome{}, errors.Join(fmt.Errorf("recordhost did not end: %w: %s", err, tail(r.child.LastLines())), stopErr)
	}
	o := Outcome{Code: exit.Code, Stdout: r.stdout.String(), Stderr: r.stderr.String()}
	if exit.Signal != 0 {
		o.Signal = exit.Signal.String()
	}
	return o, nil
}

// Run runs a command to its end.
func (p Product) Run(ctx context.Context, args ...string) (Outcome, error) {
	r, err := p.Start(ctx, args...)
	if err != nil {
		return Outcome{}, err
	}
	return r.Wait(ctx)
}

// Record runs `recordhost record --json` with those further arguments and answers what it printed. A recording that
// failed is an error.
func (p Product) Record(ctx context.Context, url string, args ...string) (Description, error) {
	outcome, err := p.Run(ctx, append([]string{"record", url, "--json"}, args...)...)
	if err != nil {
		return Description{}, err
	}
	return outcome.Description()
}

// Description reads what `record --json` printed: one document and nothing else.
func (o Outcome) Description() (Description, error) {
	if o.Code != 0 || o.Signal != "" {
		return Description{}, fmt.Errorf("recordhost ended with code %d %s: %s", o.Code, o.Signal, o.Stderr)
	}
	var d Description
	document := json.NewDecoder(strings.NewReader(o.Stdout))
	if err := document.Decode(&d); err != nil {
		return Description{}, fmt.Errorf("recordhost printed %q: %w", o.Stdout, err)
	}
	if document.More() {
		return Description{}, fmt.Errorf("recordhost printed more than one document: %q", o.Stdout)
	}
	return d, nil
}

func tail(lines []string) string { return strings.Join(lines[max(0, len(lines)-5):], " | ") }
