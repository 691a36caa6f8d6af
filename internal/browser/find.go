package browser

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/recordhost/recordhost/sdk/proc"
)

// ErrNotFound is returned by Find when there is no browser.
var ErrNotFound = errors.New("no Chrome or Chromium found; install chromium, or name its binary in $CHROME")

// Find returns the absolute path of the browser's own binary: the one that $CHROME names, else the first of the usual
// places. Wrapper scripts, which add switches and environment of their own, are passed over.
func Find() (string, error) {
	if named := os.Getenv("CHROME"); named != "" {
		return binary(named)
	}
	for _, c := range candidates() {
		if path, err := binary(c); err == nil {
			return path, nil
		}
	}
	return "", ErrNotFound
}

// Named returns the absolute path of the binary that an operator named, by path or as PATH knows it. A wrapper script
// is an error.
func Named(name string) (string, error) { return binary(name) }

// candidates are where distributions and Google's packages put the binary, then the names that PATH may know.
func candidates() []string {
	return []string{
		"/usr/lib/chromium/chromium",                 // Debian
		"/usr/lib/chromium-browser/chromium-browser", // Debian derivatives, Raspberry Pi OS
		"/usr/lib64/chromium-browser/chromium-browser",
		"/opt/google/chrome/chrome",
		"/opt/google/chrome-beta/chrome",
		"/opt/google/chrome-unstable/chrome",
		"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome",
	}
}

// binary resolves a path or a name to the executable itself.
func binary(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("browser: %w", err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", fmt.Errorf("browser: %w", err)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", fmt.Errorf("browser: %w", err)
	}
	if !isProgram(path) {
		return "", fmt.Errorf("browser: %s is a wrapper, not the browser's own binary", path)
	}
	return path, nil
}

// isProgram tells a browser's binary from scripts and from snap's launcher.
func isProgram(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	magic := make([]byte, 4)
	if _, err := io.ReadFull(f, magic); err != nil {
		return false
	}
	return string(magic) == "\x7fELF" && filepath.Base(path) != "snap"
}

// Version asks the binary for its name and version, as in "Chromium 156.0.8078.79".
func Version(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var out bytes.Buffer
	child, err := proc.Start(ctx, proc.Spec{Path: path, Args: []string{"--version"}, Env: []string{"HOME=/nonexistent"}, Stdout: &out})
	if err != nil {
		return "", fmt.Errorf("browser: version of %s: %w", path, err)
	}
	exit, err := child.Wait(ctx)
	if err != nil {
		_, stopErr := child.Stop(ctx, 0)
		return "", fmt.Errorf("browser: version of %s: %w", path, errors.Join(err, stopErr))
	}
	if err := exit.Err(); err != nil {
		return "", fmt.Errorf("browser: version of %s: %w", path, err)
	}
	return strings.TrimSpace(out.String()), nil
}
