// Command demo records the page that ships with the project: it serves docs/demo on a port of its own and runs
// `recordhost record` on it, which prints what came of it. `make demo` runs it from the repository's root.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"
)

const (
	page = "docs/demo"
	out  = "recordings/demo.mp4"
)

func main() {
	// Ctrl-C reaches recordhost too, which stops the recording and finishes the file; this program waits for that.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	if err := demo(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// demo replaces the recording of an earlier run.
func demo(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	if err := os.Remove(out); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("serve the page: %w", err)
	}
	server := &http.Server{Handler: http.FileServer(http.Dir(page)), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	err = record(ctx, "http://"+listener.Addr().String()+"/")
	if closed := server.Close(); err == nil {
		err = closed
	}
	if end := <-served; err == nil && !errors.Is(end, http.ErrServerClosed) {
		err = fmt.Errorf("serve the page: %w", end)
	}
	return err
}

func record(ctx context.Context, url string) error {
	cmd := exec.CommandContext(ctx, "bin/recordhost", "record", url, "--duration", "10s", "--out", out)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("bin/recordhost record: %w", err)
	}
	return nil
}
