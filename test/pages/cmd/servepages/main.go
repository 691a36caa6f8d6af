// Command servepages serves the measuring pages until it is interrupted, for recordings made by hand. It prints the
// address of the first page, then each report of a page as a line of JSON.
//
//	go run ./test/pages/cmd/servepages [-film video.mp4]
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/recordhost/recordhost/test/pages"
)

func main() {
	film := flag.String("film", "", "the file that video.html plays")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *film)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "servepages:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, film string) error {
	server, err := pages.Start(ctx, film)
	if err != nil {
		return err
	}
	fmt.Println(server.URL("frames.html"))
	err = printReports(ctx, server)
	if errors.Is(err, context.Canceled) {
		err = nil // it was interrupted, which is how it ends
	}
	return errors.Join(err, server.Close())
}

func printReports(ctx context.Context, server *pages.Server) error {
	out := json.NewEncoder(os.Stdout)
	for printed := 0; ; {
		reports, err := server.Wait(ctx, "", printed+1)
		if err != nil {
			return err
		}
		for _, report := range reports[printed:] {
			if err := out.Encode(report); err != nil {
				return err
			}
		}
		printed = len(reports)
	}
}
