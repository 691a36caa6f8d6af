package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes the test binary be recordhost, or another program of the scripts, where it is called by that name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"recordhost": main, "puppet": puppet, "post": post})
}

// The scripts are the command line as its users meet it, with real plugins; what needs Chrome is in test/e2e.
func TestScripts(t *testing.T) {
	plugins := buildPlugins(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"answers":   answers,
			"mode":      mode,
			"terminate": terminate,
		},
		Setup: func(e *testscript.Env) error {
			address, err := freeAddress()
			if err != nil {
				return err
			}
			e.Setenv("PLUGINS", plugins)
			e.Setenv("LISTEN", address)
			programs, _, _ := strings.Cut(e.Getenv("PATH"), string(filepath.ListSeparator))
			e.Setenv("PUPPET", filepath.Join(programs, "puppet"))
			e.Setenv("TMPDIR", filepath.Join(e.WorkDir, ".tmp"))
			return nil
		},
	})
}

func buildPlugins(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", dir+"/", "../../plugins/...")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the plugins: %v\n%s", err, out)
	}
	return dir
}

func freeAddress() (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// answers waits until a URL answers with a status: answers 200 http://…
func answers(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: answers STATUS URL")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		got, err := get(ctx, args[1])
		if err == nil && got == want {
			return
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("%s answers %d, %v", args[1], got, err)
		case <-again.C:
		}
	}
}

func get(ctx context.Context, url string) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

// mode checks a file's permissions: mode 0700 data
func mode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode OCTAL FILE")
	}
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[0] {
		ts.Fatalf("%s has mode %s", args[1], got)
	}
}

// terminate sends SIGTERM, which the built-in kill does not know, to what runs in the background.
func terminate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: terminate")
	}
	for _, c := range ts.BackgroundCmds() {
		if err := c.Process.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
			ts.Check(err)
		}
	}
}
