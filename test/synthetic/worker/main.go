// Worker is the recording of internal/worker with a page, a screen and an encoder that need neither Chrome nor ffmpeg: time
// goes by as it does in a real one, and the fragments of a film that lies beside this program come into the spool as if they
// had just been captured. Package synthetic builds it and gives it to runtime-local; it is told what to do by the query of
// its RecordURL.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/recordhost/recordhost/internal/browser"
	"github.com/recordhost/recordhost/internal/capture"
	"github.com/recordhost/recordhost/internal/control"
	"github.com/recordhost/recordhost/internal/encode"
	"github.com/recordhost/recordhost/internal/worker"
	"github.com/recordhost/recordhost/sdk/storage"
	"github.com/recordhost/recordhost/test/synthetic"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if err := run(log); err != nil {
		log.Error("the worker failed", "err", err)
		os.Exit(1)
	}
}

func run(log *slog.Logger) error {
	bootstrap, err := control.ReadBootstrap(os.Stdin)
	if err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	executable, err := os.Executable()
	if err != nil {
		return fmt.Errorf("worker: find the own binary: %w", err)
	}
	// The runtime passes no TMPDIR on. With a directory of its own what one test leaves is not taken for another's.
	home := filepath.Dir(executable)
	if err := os.Setenv("TMPDIR", filepath.Join(home, synthetic.TempName)); err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	film, err := readFilm(filepath.Join(home, synthetic.FilmName))
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	s := &script{log: log}
	parts := worker.Parts{
		Screen:  func(c capture.Config) (worker.Screen, error) { return openScreen(c, s), nil },
		Browser: func(context.Context, browser.Options) (worker.Browser, error) { return newPage(s), nil },
		Encoder: func(_ encode.Options, to encode.Output) (worker.Encoder, error) { return newEncoder(film, to, s), nil },
		Storage: func(d storage.Driver) storage.Driver { return store{Driver: d, script: s} },
	}
	if err := parts.Run(ctx, bootstrap, log); err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	return nil
}
