// Package plugintest puts a plugin's two ends together in one process, over a real gRPC connection on a unix socket. Tests
// of plugins and the conformance suites use it.
package plugintest

import (
	"testing"

	goplugin "github.com/hashicorp/go-plugin"
)

// Dispense serves p under name and returns what go-plugin's host side dispenses for it, a T. The connection ends with the test.
func Dispense[T any](t testing.TB, name string, p goplugin.Plugin) T {
	t.Helper()
	client, server := goplugin.TestPluginGRPCConn(t, false, goplugin.PluginSet{name: p})
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("close the connection to the plugin: %v", err)
		}
		server.Stop()
	})
	raw, err := client.Dispense(name)
	if err != nil {
		t.Fatalf("dispense %s: %v", name, err)
	}
	typed, ok := raw.(T)
	if !ok {
		t.Fatalf("dispense %s: got a %T", name, raw)
	}
	return typed
}
