package pluginhost

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/recordhost/recordhost/sdk/plugin"
	"github.com/recordhost/recordhost/sdk/proc"
	"github.com/recordhost/recordhost/sdk/runtime"
)

// localOptions is a host with the real plugin runtime-local, whose workers are this test binary.
func localOptions(dir, state string) (Options, error) {
	exe, err := os.Executable()
	if err != nil {
		return Options{}, err
	}
	return Options{
		Dir: dir, StateDir: state, HostExecutable: exe,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Plugins: []Block{{
			Kind: plugin.KindRuntime, Plugin: "local", Name: "it",
			Settings: JSON([]byte(`{"slots":2}`)),
		}},
	}, nil
}

// playHost is a host that has launched one worker; it prints the plugin's process number and the worker's handle.
func playHost(dir, state string) {
	o, err := localOptions(dir, state)
	if err != nil {
		panic(err)
	}
	h, err := Open(context.Background(), o)
	if err != nil {
		panic(err)
	}
	d, err := h.Runtime("it")
	if err != nil {
		panic(err)
	}
	handle, err := d.Launch(context.Background(), runtime.Launch{TaskID: "task", Epoch: 1, Control: []string{"unix:/none"}})
	if err != nil {
		panic(err)
	}
	fmt.Printf("%d\n%s\n", h.List()[0].PID, handle)
	waitForTheEnd()
}

// The promise on which everything rests: whichever of host and plugin is killed, the worker goes on, the plugin does not,
// and the next host finds the worker again and can end it.
func TestWorkerOutlivesPluginAndHost(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "runtime-local"), "../../plugins/runtime-local")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	o, err := localOptions(dir, state)
	if err != nil {
		t.Fatal(err)
	}
	old, err := proc.Start(t.Context(), proc.Spec{
		Path: o.HostExecutable, Args: []string{"host", dir, state}, Env: os.Environ(), PipeStdout: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = old.Stdout.Close() }()
	var pluginPID int
	var handle json.RawMessage
	if _, err := fmt.Fscan(old.Stdout, &pluginPID); err != nil {
		t.Fatalf("%v: %v", err, old.LastLines())
	}
	if err := json.NewDecoder(bufio.NewReader(old.Stdout)).Decode(&handle); err != nil {
		t.Fatalf("%v: %v", err, old.LastLines())
	}
	// Only the host's own process: what becomes of the plugin is the kernel's doing.
	if err := old.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the plugin of a killed host is gone", func() bool { return !alive(pluginPID) })
	if _, err := old.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}

	h, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	d := h.mustRuntime(t)
	wantState := func(want runtime.State) {
		t.Helper()
		for {
			got, err := d.Recover(t.Context(), runtime.Handle(handle))
			if errors.Is(err, ErrPluginExited) {
				continue
			}
			if err != nil || got != want {
				t.Fatalf("recover: %v, %v; want %v", got, err, want)
			}
			return
		}
	}
	wantState(runtime.StateRunning)
	first := h.List()[0].PID
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the plugin was started anew", func() bool { return h.List()[0].PID != first })
	wantState(runtime.StateRunning)
	if c, err := d.Capacity(t.Context()); err != nil || c != (runtime.Capacity{Running: 1, Free: 1}) {
		t.Errorf("capacity: %+v, %v", c, err)
	}
	if err := d.Kill(t.Context(), runtime.Handle(handle), patience); err != nil {
		t.Fatal(err)
	}
	wantState(runtime.StateGone)
}
