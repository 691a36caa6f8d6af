package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/recordhost/recordhost/internal/control"
)

// puppetLooks is how often a puppet looks whether it is to end.
const puppetLooks = 20 * time.Millisecond

// puppet is a worker without Chrome, for scripts: it says that it records until it is stopped, or until the file exists that
// its page's address names.
func puppet() {
	if err := playPuppet(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "puppet:", err)
		os.Exit(1)
	}
}

func playPuppet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute) // far longer than any script takes
	defer cancel()
	boot, err := control.ReadBootstrap(os.Stdin)
	if err != nil {
		return err
	}
	client, err := control.Dial(ctx, boot, control.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	page, err := url.Parse(client.Spec().RecordURL)
	if err != nil {
		return err
	}
	tell := func(bodies ...control.Body) {
		for _, b := range bodies {
			_ = client.Emit(b)
		}
	}
	tell(control.Loaded{}, control.Started{At: time.Now()})
	again := time.NewTicker(puppetLooks)
	defer again.Stop()
	for over := false; !over; {
		select {
		case c := <-client.Commands():
			client.Applied(c.Number)
			over = c.Kind == control.CommandStop
		case <-client.Refused():
			return control.ErrRefused
		case <-again.C:
			_, err := os.Stat(page.Path)
			over = err == nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	tell(control.Stopping{Reason: control.ReasonStop}, control.Whole{Size: 1},
		control.Delivered{Deliveries: []control.Delivery{{Storage: "files", Filename: "a.mp4", Size: 1}}}, control.Done{})
	return client.Flush(ctx)
}

// post sends a body to the API and prints the answer's status and body: post URL BODY.
func post() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: post URL BODY")
		os.Exit(2)
	}
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, os.Args[1], strings.NewReader(os.Args[2]))
	if err == nil {
		request.Header.Set("Content-Type", "application/json")
		var response *http.Response
		if response, err = http.DefaultClient.Do(request); err == nil {
			var body []byte
			body, err = io.ReadAll(response.Body)
			_ = response.Body.Close()
			fmt.Printf("%d %s\n", response.StatusCode, body)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "post:", err)
		os.Exit(1)
	}
}
