package main

import "github.com/recordhost/recordhost/sdk/runtime"

// maxEnds is how many ends are remembered: far more than a host could still ask for.
const maxEnds = 1024

// ends remembers how the latest workers have ended, by mark. The zero value works.
type ends struct {
	exits map[string]runtime.Exit
	order []string // oldest first
}

func (e *ends) add(mark string, exit runtime.Exit) {
	if e.exits == nil {
		e.exits = make(map[string]runtime.Exit)
	}
	e.exits[mark] = exit
	e.order = append(e.order, mark)
	if len(e.order) > maxEnds {
		delete(e.exits, e.order[0])
		e.order = e.order[1:]
	}
}

func (e *ends) of(mark string) (runtime.Exit, bool) {
	exit, ok := e.exits[mark]
	return exit, ok
}
