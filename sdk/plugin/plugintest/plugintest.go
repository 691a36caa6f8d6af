// Package plugintest puts a plugin's two ends together in one process, over a real gRPC connection on a unix socket. Tests
// of plugins and the conformance suites use it.
package plugintest

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// Dispense serves p and returns what a host is dispensed for it, a T. The connection ends with the test.
func Dispense[T any](t testing.TB, p goplugin.GRPCPlugin) T {
	t.Helper()
	// A directory of its own and a short name: a socket's path holds 108 bytes, which t.TempDir may exceed.
	dir, err := os.MkdirTemp("", "plugin")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	if err := p.GRPCServer(nil, server); err != nil {
		t.Fatalf("register the plugin: %v", err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(listener); err != nil {
			t.Errorf("serve the plugin: %v", err)
		}
	})
	conn, err := grpc.NewClient("unix:"+listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		serving.Wait()
		_ = os.RemoveAll(dir)
	})
	raw, err := p.GRPCClient(context.Background(), nil, conn)
	if err != nil {
		t.Fatalf("dispense the plugin: %v", err)
	}
	typed, ok := raw.(T)
	if !ok {
		t.Fatalf("the plugin is a %T", raw)
	}
	return typed
}
