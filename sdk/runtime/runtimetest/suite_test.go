package runtimetest_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/recordhost/recordhost/sdk/runtime"
	"github.com/recordhost/recordhost/sdk/runtime/runtimetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The suite's own runtime keeps the contract, over goroutines.
func TestMachineConforms(t *testing.T) {
	const slots = 3
	machines := map[string]*runtimetest.Machine{} // by test
	runtimetest.Run(t, runtimetest.Harness{
		Slots: slots,
		NewDriver: func(t *testing.T) runtime.Driver {
			if machines[t.Name()] == nil {
				machines[t.Name()] = runtimetest.NewMachine(slots, func(runtime.Launch) runtimetest.Script {
					return runtimetest.Script{Run: runtimetest.Goroutine}
				})
			}
			return machines[t.Name()].Driver()
		},
	})
}
