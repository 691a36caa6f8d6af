// Package storagetest proves that a storage driver keeps its contract: Run is the conformance suite, which a driver's
// test calls with a Harness. Its Memory is a store without a service that fails where it is told to, for tests of what
// lies above a driver.
package storagetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/recordhost/recordhost/sdk/plugin/plugintest"
	"github.com/recordhost/recordhost/sdk/storage"
)

// Harness says how the suite gets at a driver and its store. Only NewDriver is required.
type Harness struct {
	// NewDriver returns a driver. Within one test, each call is the plugin started anew on the same store: it may share nothing
	// with the driver before it but what the store and the disk hold. Different tests may share a store. A driver that
	// is an io.Closer is closed at the end of the test.
	NewDriver func(t *testing.T) storage.Driver

	// Read returns a file of a delivery as any reader of the store sees it, and false when there is none. A store may hide files
	// until the delivery is committed. Without Read the suite reads back through the driver; a store that cannot be read
	// back needs it.
	Read func(t *testing.T, d storage.Delivery, name string) ([]byte, bool)

	// Overwriting returns a driver of the same store that may replace files of others. Optional.
	Overwriting func(t *testing.T) storage.Driver

	// Denied returns a driver whose credentials or permissions the store refuses. Optional.
	Denied func(t *testing.T) storage.Driver

	// OwnNames says that deliveries never meet: the store makes up its own names, so two of one name are two files. The cases of
	// names that are taken do not run then.
	OwnNames bool

	// Target is the request's own settings that each delivery has; nil for none.
	Target []byte
}

// Run runs every case of the suite twice: on the driver itself, and through gRPC.
func Run(t *testing.T, h Harness) {
	t.Helper()
	cases := []struct {
		name string
		run  func(t *testing.T, s *suite)
	}{
		{"check leaves nothing", checkLeavesNothing},
		{"put and commit", putAndCommit},
		{"no byte at all", emptyFile},
		{"larger than one part", largeFile},
		{"odd names", oddNames},
		{"names that lead elsewhere", badNames},
		{"a target that nobody knows", unknownTarget},
		{"states that are none", foreignStates},
		{"put again replaces", putAgain},
		{"the same delivery is opened again", openAgain},
		{"a later epoch of the same task", laterEpoch},
		{"a name that is taken", takenName},
		{"a name that is taken meanwhile", takenMeanwhile},
		{"a name that may be overwritten", overwritten},
		{"no local file, or not as stated", badFiles},
		{"eight at once", atOnce},
		{"put given up", putGivenUp},
		{"calls with an ended context", endedContext},
		{"commit without the main file", commitNothing},
		{"commit again, by a new driver", commitAgain},
		{"abort removes, and again", abortRemoves},
		{"abort leaves what is committed, and others'", abortLeaves},
		{"several files", severalFiles},
		{"list, fetch and delete", readBack},
		{"what the store cannot do", unimplemented},
		{"refused credentials", denied},
		{"parts", parts},
		{"parts in any order", partsOutOfOrder},
		{"parts go on with a new driver", partsResume},
		{"parts that are not as stated", badParts},
		{"parts given up", partsAborted},
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
	local   string // a directory for local files
	driver  storage.Driver
	caps    storage.Capabilities
}

func newSuite(t *testing.T, h Harness, overRPC bool) *suite {
	t.Helper()
	s := &suite{harness: h, overRPC: overRPC, local: t.TempDir()}
	s.driver = s.anew(t)
	caps, err := s.driver.Capabilities(t.Context())
	if err != nil {
		t.Fatalf("capabilities: %v", err)
	}
	s.caps = caps
	if !caps.ReadBack && h.Read == nil {
		t.Fatal("the store cannot be read back, so the harness needs Read")
	}
	return s
}

// anew returns the plugin, started anew.
func (s *suite) anew(t *testing.T) storage.Driver { return s.wrap(t, s.harness.NewDriver(t)) }

func (s *suite) wrap(t *testing.T, d storage.Driver) storage.Driver {
	t.Helper()
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
	return plugintest.Dispense[storage.Driver](t, storage.NewGRPCPlugin(func() (storage.Driver, error) { return d, nil }))
}

// delivery is a delivery of a new task into a directory of its own.
func (s *suite) delivery(main string) storage.Delivery {
	return storage.Delivery{
		TaskID: "task-" + rand.Text(), Epoch: 1, Dir: "suite/" + rand.Text(), Main: main, Target: s.harness.Target,
	}
}

func mustOpen(t *testing.T, d storage.Driver, delivery storage.Delivery) storage.State {
	t.Helper()
	state, err := d.Open(t.Context(), delivery)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	if len(state) == 0 || len(state) > storage.MaxState {
		t.Fatalf("open answered a state of %d bytes, want 1 to %d", len(state), storage.MaxState)
	}
	return state
}

// file makes a local file.
func (s *suite) file(t *testing.T, name string, content []byte) storage.File {
	t.Helper()
	path := filepath.Join(s.local, rand.Text())
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	return storage.File{Name: name, Path: path, Size: int64(len(content)), SHA256: sum[:], ContentType: "video/mp4"}
}

func (s *suite) mustPut(t *testing.T, d storage.Driver, state storage.State, name string, content []byte) {
	t.Helper()
	if err := d.Put(t.Context(), state, s.file(t, name, content)); err != nil {
		t.Fatalf("put %q: %v", name, err)
	}
}

func mustCommit(t *testing.T, d storage.Driver, state storage.State) storage.Location {
	t.Helper()
	l, err := d.Commit(t.Context(), state)
	if err != nil {
		t.Fatalf("commit: %v", err)
	}
	return l
}

// read returns a file of a delivery as readers see it.
func (s *suite) read(t *testing.T, delivery storage.Delivery, name string) ([]byte, bool) {
	t.Helper()
	if s.harness.Read != nil {
		return s.harness.Read(t, delivery, name)
	}
	d := s.driver
	state := mustOpen(t, d, delivery)
	objects, err := d.List(t.Context(), state)
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	for _, o := range objects {
		if o.Name != name {
			continue
		}
		path := filepath.Join(s.local, rand.Text())
		if err := d.Fetch(t.Context(), state, name, path); err != nil {
			t.Fatalf("fetch %q: %v", name, err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return content, true
	}
	return nil, false
}

func (s *suite) wantContent(t *testing.T, delivery storage.Delivery, name string, want []byte) {
	t.Helper()
	got, ok := s.read(t, delivery, name)
	if !ok {
		t.Fatalf("the store has no %q", name)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%q has %d bytes in the store that are not the %d that were put", name, len(got), len(want))
	}
}

func (s *suite) wantNothing(t *testing.T, delivery storage.Delivery, name string) {
	t.Helper()
	if content, ok := s.read(t, delivery, name); ok {
		t.Fatalf("the store has %q, of %d bytes", name, len(content))
	}
}

func wantKind(t *testing.T, what string, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: failed with %v, want %q", what, err, kind)
	}
}

// pattern is content of which no two places are alike.
func pattern(size int) []byte {
	content := make([]byte, size)
	_, _ = mathrand.NewChaCha8([32]byte{byte(size), byte(size >> 8), byte(size >> 16)}).Read(content)
	return content
}

// ended is a context that has ended.
func ended(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
