// Package control is the stream between a host and its workers: it owns both ends, the messages, and what makes them
// arrive once. The task manager holds the host's end (Host, Session), a worker the other (Client); nobody else uses
// it.
//
// The worker dials, so the same stream serves a child process and one behind a firewall. A worker tells what happens
// in numbered events, which it keeps in a journal until the host has stored them; the host tells what to do in
// numbered commands, which it has stored before it sends them. Either end may lose the other at any time and for any
// while: what was not acknowledged is said again, and what was received before is not taken twice.
package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxBootstrap bounds what is read from a worker's standard input.
const maxBootstrap = 64 << 10

// ErrRefused tells a worker that the host will never admit it, or not any more: its token is not good, another process
// was admitted with it, a later launch has taken its place, or the task is over. It must end without writing.
var ErrRefused = errors.New("control: refused by the host")

// Bootstrap is all that a worker is started with: one JSON document on its standard input. Everything else comes over
// the stream.
type Bootstrap struct {
	TaskID  string
	Epoch   uint64
	Control []string // addresses of the host, best first
	Token   string
}

// ReadBootstrap reads the document up to the end of r.
func ReadBootstrap(r io.Reader) (Bootstrap, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxBootstrap+1))
	if err != nil {
		return Bootstrap{}, fmt.Errorf("control: read the bootstrap: %w", err)
	}
	if len(data) > maxBootstrap {
		return Bootstrap{}, fmt.Errorf("control: the bootstrap is longer than %d bytes", maxBootstrap)
	}
	var b Bootstrap
	if err := json.Unmarshal(data, &b); err != nil {
		// The error's text may quote the document, and the document holds the token.
		return Bootstrap{}, errors.New("control: the bootstrap is not the JSON document that a runtime plugin writes")
	}
	if err := b.check(); err != nil {
		return Bootstrap{}, err
	}
	return b, nil
}

func (b Bootstrap) check() error {
	switch {
	case b.TaskID == "":
		return errors.New("control: the bootstrap names no task")
	case b.Epoch == 0:
		return errors.New("control: the bootstrap names no epoch")
	case b.Token == "":
		return errors.New("control: the bootstrap holds no token")
	case len(b.Control) == 0:
		return errors.New("control: the bootstrap names no address of the host")
	}
	for _, address := range b.Control {
		if _, err := dialTarget(address); err != nil {
			return err
		}
	}
	return nil
}

// String leaves the token out.
func (b Bootstrap) String() string {
	return fmt.Sprintf("task %s, epoch %d, control %q", b.TaskID, b.Epoch, b.Control)
}

// GoString leaves the token out.
func (b Bootstrap) GoString() string { return b.String() }
