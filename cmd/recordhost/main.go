// Command recordhost turns URLs into recordings: as a host that answers an HTTP API, or for a single recording from the
// command line. It owns the flags, the exit codes and what is written to the terminal; all else is wiring.
package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// version is set by the build: -ldflags "-X main.version=v1.2.3".
var version = "unknown"

// The exit codes. They are part of the command line's contract: see docs/operating.md.
const (
	exitFailed     = 1   // it could not be done
	exitUsage      = 2   // the command line or the configuration is wrong
	exitIncomplete = 3   // a file was made, but something went wrong while it was recorded
	exitAbandoned  = 130 // ended by a second Ctrl-C
)

// silent is the log level of commands that report themselves whatever is worth knowing.
const silent = slog.LevelError + 1

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program without its process.
func run(args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	if err == nil {
		return 0
	}
	code := exitFailed
	if failure, ok := errors.AsType[*exitError](err); ok {
		code = failure.code
	}
	fmt.Fprintln(stderr, "recordhost:", err)
	return code
}

// exitError is an error that chooses the exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usage is a mistake of the caller.
func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "recordhost",
		Short:         "Turn web pages into recordings",
		Long:          "recordhost opens a page in a browser and records what a viewer would see and hear, as MP4.",
		Args:          unknown,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.PersistentFlags().String("log-level", "", "least level that is logged: debug, info, warn or error")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage("%w; see '%s --help'", err, c.CommandPath())
	})
	root.AddCommand(newRecord(), newServe(), newDrain(), newValidate(), newPlugin(), newDoctor(), newVersion(), newWorker())
	return root
}

// unknown refuses the words that are no command.
func unknown(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("unknown command %q; see '%s --help'", args[0], c.CommandPath())
	}
	return nil
}

// exactly is cobra's check of the number of arguments, as a mistake of the caller.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return usage("%s takes %s; see '%s --help'", c.CommandPath(), what, c.CommandPath())
		}
		return nil
	}
}

// logger makes the program's log, on standard error: text for people, JSON for machines. The level is the command's own
// unless --log-level says otherwise.
func logger(c *cobra.Command, level slog.Level) (*slog.Logger, error) {
	if name, _ := c.Flags().GetString("log-level"); name != "" {
		if err := level.UnmarshalText([]byte(name)); err != nil {
			return nil, usage("--log-level %q: must be debug, info, warn or error", name)
		}
	}
	options := &slog.HandlerOptions{Level: level}
	if terminal(c.ErrOrStderr()) {
		return slog.New(slog.NewTextHandler(c.ErrOrStderr(), options)), nil
	}
	return slog.New(slog.NewJSONHandler(c.ErrOrStderr(), options)), nil
}

// terminal reports whether a person reads what is written to w.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
