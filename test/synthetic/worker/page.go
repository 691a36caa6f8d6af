package main

import (
	"context"
	"image/color"
	"sync"

	"github.com/recordhost/recordhost/internal/browser"
	"github.com/recordhost/recordhost/test/synthetic"
)

// page is a browser that shows nothing.
type page struct {
	script  *script
	calls   chan browser.PageCall
	done    chan struct{} // never closed: it does not fail
	closed  chan struct{}
	waiting sync.WaitGroup
}

func newPage(s *script) *page {
	return &page{script: s, calls: make(chan browser.PageCall, 1), done: make(chan struct{}), closed: make(chan struct{})}
}

// Open loads the page; one that is recorded by its own will calls startRecord a moment later.
func (p *page) Open(_ context.Context, url string) error {
	if err := p.script.read(url); err != nil {
		return err
	}
	p.script.reach(synthetic.Loading)
	if p.script.now().Manual {
		p.waiting.Go(func() {
			p.script.reach(synthetic.Waiting)
			select {
			case p.calls <- browser.PageCall{Name: browser.CallStart}:
			case <-p.closed:
			}
		})
	}
	return nil
}

func (p *page) Reload(context.Context) error {
	p.script.reach(synthetic.Refreshing)
	return nil
}

func (p *page) Close(context.Context) error {
	close(p.closed)
	p.waiting.Wait()
	return nil
}

func (p *page) Calls() <-chan browser.PageCall                           { return p.calls }
func (p *page) Done() <-chan struct{}                                    { return p.done }
func (*page) Err() error                                                 { return nil }
func (*page) SetStatus(context.Context, string) error                    { return nil }
func (*page) Mark(context.Context, int, int, int, int, color.RGBA) error { return nil }
func (*page) Unmark(context.Context) error                               { return nil }
