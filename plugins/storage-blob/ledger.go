package main

import (
	"maps"
	"slices"
	"sync"

	"github.com/recordhost/recordhost/sdk/storage"
)

// ledger is what this process knows of the deliveries that it took part in. It spares questions to the store; a process that
// knows nothing asks them.
type ledger struct {
	mu      sync.Mutex
	records map[string]*record // by state
}

type record struct {
	whole     bool // the delivery was opened here, so a main file that was put here is not joined by files put elsewhere
	committed bool
	files     map[string]object   // as they were sent, by name
	growing   map[string]struct{} // names of files that were begun in parts and are not finished
}

// of returns the record of a state, a new one where there is none. The caller holds mu.
func (l *ledger) of(s storage.State) *record {
	r, ok := l.records[string(s)]
	if !ok {
		r = &record{files: map[string]object{}, growing: map[string]struct{}{}}
		if l.records == nil {
			l.records = map[string]*record{}
		}
		l.records[string(s)] = r
	}
	return r
}

func (l *ledger) open(s storage.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of(s).whole = true
}

func (l *ledger) put(s storage.State, name string, sent object) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of(s).files[name] = sent
}

func (l *ledger) begin(s storage.State, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of(s).growing[name] = struct{}{}
}

func (l *ledger) finish(s storage.State, name string, sent object) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.of(s)
	delete(r.growing, name)
	r.files[name] = sent
}

// begun returns the names of the files that were begun here and not finished.
func (l *ledger) begun(s storage.State) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.of(s).growing))
}

func (l *ledger) remove(s storage.State, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.of(s).files, name)
}

func (l *ledger) commit(s storage.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of(s).committed = true
}

func (l *ledger) forget(s storage.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.records, string(s))
}

func (l *ledger) committed(s storage.State) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of(s).committed
}

// has tells whether a file was put here.
func (l *ledger) has(s storage.State, name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.of(s).files[name]
	return ok
}

// known returns the files that were put here, and whether they are all.
func (l *ledger) known(s storage.State) (files map[string]object, whole bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.of(s)
	return maps.Clone(r.files), r.whole
}
