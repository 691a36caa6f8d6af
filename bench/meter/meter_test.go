package meter_test

import (
	"context"
	"errors"
	"os/exec"
	"testing"
	"time"

	"github.com/recordhost/recordhost/bench/meter"
)

// busy starts a shell that does nothing but work, until the test ends.
func busy(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", "while :; do :; done")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
}

func TestMeasureCountsWhatWasBornAfter(t *testing.T) {
	busy(t)
	m, err := meter.New()
	if err != nil {
		t.Fatal(err)
	}
	before, err := m.Measure(t.Context(), 500*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	busy(t)
	after, err := m.Measure(t.Context(), 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if before.ByName["bash"] != 0 {
		t.Errorf("a process that was there before counts: %+v", before)
	}
	// However loaded the machine is, the shell gets some time, and no more than one processor's.
	if cores := after.ByName["bash"]; cores < 0.05 || cores > 1.1 {
		t.Errorf("%v cores", cores)
	}
	if after.Cores < after.ByName["bash"] || after.Memory == 0 {
		t.Errorf("%+v", after)
	}
}

func TestMeasureEndsWithItsContext(t *testing.T) {
	m, err := meter.New()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Measure(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}
