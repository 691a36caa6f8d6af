package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/recordhost/recordhost/sdk/storage"
	"github.com/recordhost/recordhost/test/synthetic"
)

const (
	lookEach = 10 * time.Millisecond
	// heldFor bounds a hold, should the test be gone.
	heldFor = time.Minute
)

// script is what the query of the RecordURL says. Until a page is opened it says nothing.
type script struct {
	log *slog.Logger

	mu sync.Mutex
	do synthetic.Script
}

// read takes the script from the page's address.
func (s *script) read(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.do = synthetic.ParseScript(u.Query())
	return nil
}

func (s *script) now() synthetic.Script {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.do
}

// reach notes in the log that a moment has come, and holds it there when the script says so: until a file appears.
func (s *script) reach(m synthetic.Moment) {
	do := s.now()
	s.log.Info("a moment has come", "moment", m)
	if do.Hold != m {
		return
	}
	for end := time.Now().Add(heldFor); time.Now().Before(end); time.Sleep(lookEach) {
		if _, err := os.Stat(do.Until); err == nil {
			break
		}
	}
	s.log.Info("a moment has passed", "passed", m)
}

// store is a target's driver, with the moments of a delivery.
type store struct {
	storage.Driver
	script *script
}

// Put implements storage.Driver.
func (s store) Put(ctx context.Context, state storage.State, f storage.File) error {
	s.script.reach(synthetic.Put)
	return s.Driver.Put(ctx, state, f)
}

// Commit implements storage.Driver.
func (s store) Commit(ctx context.Context, state storage.State) (storage.Location, error) {
	s.script.reach(synthetic.Commit)
	return s.Driver.Commit(ctx, state)
}
