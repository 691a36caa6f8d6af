// Package runtimetest proves that a runtime driver keeps its contract: Run is the conformance suite, which a driver's
// test calls with a Harness. Its Machine is a runtime whose workers are goroutines that follow a script, for tests of what
// lies above a driver.
package runtimetest

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/recordhost/recordhost/sdk/plugin/plugintest"
	"github.com/recordhost/recordhost/sdk/runtime"
)

// patience is how long the suite waits for what must happen. It is no measure of a driver's speed.
const patience = time.Minute

// Harness says how the suite gets at a driver. Its workers must be the suite's own: processes whose program calls Main
// with what they were told, or goroutines that call Goroutine.
type Harness struct {
	// NewDriver returns a driver. Within one test, each call is the plugin started anew: it may share nothing with the driver
	// before it but what lies on disk, and is used after that one was dropped. Drivers of different tests need not know
	// of each other's workers. A driver that is an io.Closer is closed at the end of the test.
	NewDriver func(t *testing.T) runtime.Driver

	// Slots is how many workers a driver has room for; 0 where there is no such number.
	Slots int
}

// Run runs every case of the suite twice: on the driver itself, and through gRPC.
func Run(t *testing.T, h Harness) {
	t.Helper()
	cases := []struct {
		name string
		run  func(t *testing.T, s *suite)
	}{
		{"the worker is told what was launched", toldWhatWasLaunched},
		{"the token is neither argument nor environment", tokenIsPrivate},
		{"exit codes", exitCodes},
		{"wait again, several at once, and after the end", waitAgain},
		{"ending the wait leaves the worker", endWait},
		{"a call with an ended context", endedContext},
		{"kill within the grace", killWithinGrace},
		{"kill after the grace, with all children", killAfterGrace},
		{"kill at once, and again", killAtOnce},
		{"killing one leaves the other", killOne},
		{"kill given up goes on later", killGivenUp},
		{"launch twice", launchTwice},
		{"a higher epoch is another worker", higherEpoch},
		{"recover running, by a new driver", recoverRunning},
		{"recover gone", recoverGone},
		{"foreign handles", foreignHandles},
		{"capacity counts", capacityCounts},
		{"no room", noRoom},
	}
	for _, mode := range []string{"direct", "grpc"} {
		t.Run(mode, func(t *testing.T) {
			for _, c := range cases {
				t.Run(c.name, func(t *testing.T) {
					c.run(t, newSuite(t, h, mode == "grpc"))
				})
			}
		})
	}
}

// suite is the state of one case.
type suite struct {
	harness Harness
	overRPC bool
	host    *host
	first   runtime.Driver // the driver that driver returns at its first call
	handed  bool           // whether it was called
	workers []launched     // killed at the end of the test
}

type launched struct {
	launch runtime.Launch
	handle runtime.Handle
}

func newSuite(t *testing.T, h Harness, overRPC bool) *suite {
	t.Helper()
	s := &suite{harness: h, overRPC: overRPC, host: newHost(t)}
	// The first driver comes before the clean-up is registered, so that what NewDriver registers is cleaned up after it:
	// the driver's directory must not go before its workers.
	s.first = s.start(t)
	t.Cleanup(func() {
		for _, w := range s.workers {
			if err := s.first.Kill(context.Background(), w.handle, 0); err != nil {
				t.Errorf("kill what the test left: %v", err)
			}
		}
	})
	return s
}

// driver returns the plugin, after the first call: started anew.
func (s *suite) driver(t *testing.T) runtime.Driver {
	t.Helper()
	if !s.handed {
		s.handed = true
		return s.first
	}
	return s.start(t)
}

func (s *suite) start(t *testing.T) runtime.Driver {
	t.Helper()
	d := s.harness.NewDriver(t)
	if closer, ok := d.(interface{ Close() error }); ok {
		t.Cleanup(func() {
			if err := closer.Close(); err != nil {
				t.Errorf("close the driver: %v", err)
			}
		})
	}
	if !s.overRPC {
		return d
	}
	return plugintest.Dispense[runtime.Driver](t, runtime.NewGRPCPlugin(func() (runtime.Driver, error) { return d, nil }))
}

// newLaunch is a launch of a new task.
func (s *suite) newLaunch() runtime.Launch {
	return runtime.Launch{
		TaskID: "task-" + rand.Text(), Epoch: 1, Control: []string{s.host.address}, Token: "token-" + rand.Text(),
		Resources: runtime.Resources{MilliCPU: 100, MemoryBytes: 16 << 20, DiskBytes: 1 << 20},
	}
}

// launch launches a worker and waits until it has its orders.
func (s *suite) launch(t *testing.T, d runtime.Driver, l runtime.Launch, o orders) (runtime.Handle, *guest) {
	t.Helper()
	s.host.order(l, o)
	h := s.launchOnly(t, d, l)
	return h, s.host.wait(t, l)
}

func (s *suite) launchOnly(t *testing.T, d runtime.Driver, l runtime.Launch) runtime.Handle {
	t.Helper()
	h, err := d.Launch(t.Context(), l)
	if err != nil {
		t.Fatalf("launch: %v", err)
	}
	if len(h) == 0 || len(h) > runtime.MaxHandle {
		t.Fatalf("launch answered a handle of %d bytes, want 1 to %d", len(h), runtime.MaxHandle)
	}
	s.workers = append(s.workers, launched{l, h})
	return h
}

// mustWait waits for a worker's end.
func mustWait(t *testing.T, d runtime.Driver, h runtime.Handle) runtime.Exit {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	exit, err := d.Wait(ctx, h)
	if err != nil {
		t.Fatalf("wait: %v", err)
	}
	return exit
}

func mustKill(t *testing.T, d runtime.Driver, h runtime.Handle, grace time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := d.Kill(ctx, h, grace); err != nil {
		t.Fatalf("kill: %v", err)
	}
}

func wantState(t *testing.T, d runtime.Driver, h runtime.Handle, want runtime.State) {
	t.Helper()
	state, err := d.Recover(t.Context(), h)
	if err != nil {
		t.Fatalf("recover: %v", err)
	}
	if state != want {
		t.Fatalf("recover answered %v, want %v", state, want)
	}
}
