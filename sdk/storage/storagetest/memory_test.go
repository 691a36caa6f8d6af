package storagetest_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
	"github.com/recordhost/recordhost/sdk/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The suite's own store keeps the contract, whatever it can do.
func TestMemoryConforms(t *testing.T) {
	for name, caps := range map[string]storage.Capabilities{
		"everything":  {Parts: true, OutOfOrder: true, MaxPartSize: 1 << 30, MaxParts: 10000, ReadBack: true, Folders: true},
		"equal parts": {Parts: true, EqualParts: true, MinPartSize: 1 << 10, MaxPartSize: 1 << 20, MaxParts: 4, ReadBack: true},
		"files only":  {},
	} {
		t.Run(name, func(t *testing.T) {
			stores := map[string]*storagetest.Memory{} // by test
			store := func(t *testing.T) *storagetest.Memory {
				t.Helper()
				if stores[t.Name()] == nil {
					stores[t.Name()] = storagetest.NewMemory(storagetest.Options{Capabilities: &caps})
				}
				return stores[t.Name()]
			}
			storagetest.Run(t, storagetest.Harness{
				NewDriver: func(t *testing.T) storage.Driver { return store(t) },
				Read: func(t *testing.T, d storage.Delivery, name string) ([]byte, bool) {
					t.Helper()
					content, ok := store(t).Files()[d.Dir+"/"+name]
					return content, ok
				},
				Overwriting: func(t *testing.T) storage.Driver { return store(t).Overwriting() },
				Denied: func(*testing.T) storage.Driver {
					refuse := func(context.Context, storagetest.Call) error {
						return status.Errorf(status.PermissionDenied, "no")
					}
					return storagetest.NewMemory(storagetest.Options{Before: refuse})
				},
			})
		})
	}
}

// Reading back through the driver is enough for the suite.
func TestMemoryConformsWithoutReader(t *testing.T) {
	store := storagetest.NewMemory(storagetest.Options{})
	storagetest.Run(t, storagetest.Harness{NewDriver: func(*testing.T) storage.Driver { return store }})
}

func TestFaults(t *testing.T) {
	refused := errors.New("refused")
	store := storagetest.NewMemory(storagetest.Options{
		Before: storagetest.FailFirst("Open", 2, refused),
		After:  storagetest.FailFirst("Put", 1, status.Errorf(status.Unavailable, "the answer was lost")),
	})
	delivery := storage.Delivery{TaskID: "t", Main: "a.mp4"}
	for range 2 {
		if _, err := store.Open(t.Context(), delivery); !errors.Is(err, refused) {
			t.Fatalf("open failed with %v, want the injected error", err)
		}
	}
	state, err := store.Open(t.Context(), delivery)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := store.Put(t.Context(), state, storage.File{Name: "a.mp4", Path: path, Size: 7}); !errors.Is(err, status.Unavailable) {
		t.Fatalf("put failed with %v, want the injected error", err)
	}
	if got := string(store.Files()["a.mp4"]); got != "content" {
		t.Errorf("the put whose answer was lost left %q", got)
	}
	if calls := store.Calls(); len(calls) != 4 || calls[3] != (storagetest.Call{Method: "Put", Name: "a.mp4", Count: 1}) {
		t.Errorf("calls: %+v", calls)
	}
}

func TestHang(t *testing.T) {
	store := storagetest.NewMemory(storagetest.Options{Before: storagetest.Hang("Check")})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := store.Check(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a check that hangs failed with %v", err)
	}
}
