// Command analyse tells what the recording of a measuring page holds: frames lost and doubled, the time of each against the
// page's clock, sound against picture, gaps. With -json it prints one line.
//
//	go run ./test/media/cmd/analyse [-json] FILE
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/recordhost/recordhost/test/media"
)

func main() {
	oneLine := flag.Bool("json", false, "print one line")
	flag.Parse()
	file := flag.Arg(0)
	if flag.NArg() > 1 { // flags may follow the file
		_ = flag.CommandLine.Parse(flag.Args()[1:]) // ends the program on a wrong flag
	}
	if file == "" || flag.NArg() > 1 {
		fmt.Fprintln(os.Stderr, "usage: analyse [-json] FILE")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, file, *oneLine)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "analyse:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, file string, oneLine bool) error {
	recording, err := media.Read(ctx, file)
	if err != nil {
		return err
	}
	report, err := recording.Report()
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	out := json.NewEncoder(os.Stdout)
	if !oneLine {
		out.SetIndent("", "  ")
	}
	return out.Encode(report)
}
