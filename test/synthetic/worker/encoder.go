package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/recordhost/recordhost/internal/encode"
	"github.com/recordhost/recordhost/internal/mp4"
	"github.com/recordhost/recordhost/test/synthetic"
)

// film is a fragmented MP4, as an encoder would write it.
type film struct {
	init   *mp4.Init
	head   []byte
	pieces []piece
	length time.Duration
}

// piece is a fragment of it.
type piece struct {
	fragment *mp4.Fragment
	data     []byte
	end      time.Duration // of its pictures, from the film's beginning
}

func readFilm(path string) (film, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return film{}, fmt.Errorf("worker: %w", err)
	}
	var f film
	r := mp4.NewReader(bytes.NewReader(data))
	if f.head, f.init, err = r.Init(); err != nil {
		return film{}, fmt.Errorf("worker: the film %s: %w", path, err)
	}
	f.head = bytes.Clone(f.head)
	var first int64
	for {
		data, fragment, err := r.Next()
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err != nil {
			return film{}, fmt.Errorf("worker: the film %s: %w", path, err)
		}
		if len(f.pieces) == 0 && len(fragment.Video) > 0 {
			first = fragment.Video[0].Present
		}
		for _, s := range fragment.Video {
			end := time.Duration(s.Present+int64(s.Ticks)-first) * time.Second / time.Duration(f.init.Video.Timescale)
			f.length = max(f.length, end)
		}
		f.pieces = append(f.pieces, piece{fragment: fragment, data: bytes.Clone(data), end: f.length})
	}
}

// encoder brings the film into the spool, each fragment when its time has come; when the film is over, it begins again.
type encoder struct {
	film   film
	to     encode.Output
	script *script
	done   chan struct{}

	mu      sync.Mutex
	begun   bool
	began   time.Duration // recorded time where the film began
	next    int           // piece
	reached time.Duration // recorded time that was captured
	over    bool
	err     error
}

func newEncoder(f film, to encode.Output, s *script) *encoder {
	return &encoder{film: f, to: to, script: s, done: make(chan struct{})}
}

// Video implements capture.Sink. The screen shows none.
func (*encoder) Video(time.Duration, []byte) bool { return true }

// Audio takes notice of what was captured up to a recorded time.
func (e *encoder) Audio(upTo time.Duration, _ []float32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.begun {
		e.begun = true
		e.fail(e.begin(upTo))
	}
	e.reached = upTo
	for !e.over && e.began+e.film.pieces[e.next].end <= e.reached {
		e.fail(e.step())
	}
}

// begin begins the film at a recorded time. e.mu is held.
func (e *encoder) begin(at time.Duration) error {
	e.began, e.next = at, 0
	return e.to.Begin(mp4.Run{Init: e.film.init, Video: at, Audio: at}, e.film.head)
}

// step hands out one fragment. e.mu is held.
func (e *encoder) step() error {
	p := e.film.pieces[e.next]
	if err := e.to.Fragment(p.fragment, p.data); err != nil {
		return err
	}
	if e.next++; e.next < len(e.film.pieces) {
		return nil
	}
	return e.begin(e.began + e.film.length)
}

// fail ends the encoder, if there is an error. e.mu is held.
func (e *encoder) fail(err error) {
	if err != nil && !e.over {
		e.over, e.err = true, err
		close(e.done)
	}
}

// Finish hands out what is still to come, as ffmpeg does when its input ends.
func (e *encoder) Finish(context.Context) error {
	e.script.reach(synthetic.Finishing)
	e.mu.Lock()
	defer e.mu.Unlock()
	for handed := e.began; e.begun && !e.over && handed < e.reached; {
		handed = e.began + e.film.pieces[e.next].end
		e.fail(e.step())
	}
	if !e.over {
		e.over = true
		close(e.done)
	}
	return e.err
}

func (e *encoder) Stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.over {
		e.over = true
		close(e.done)
	}
}

func (e *encoder) Err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

func (e *encoder) Done() <-chan struct{} { return e.done }
func (*encoder) Key(time.Duration)       {} // the film is cut as it is
func (*encoder) Stats() encode.Stats     { return encode.Stats{} }
