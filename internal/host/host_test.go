package host

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recordhost/recordhost/internal/config"
	"github.com/recordhost/recordhost/internal/store"
	"github.com/recordhost/recordhost/internal/task"
	"github.com/recordhost/recordhost/sdk/storage"
)

// build builds the real plugins into a folder.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	c := exec.CommandContext(t.Context(), "go", "build", "-o", dir+"/", "../../plugins/...")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("build the plugins: %v\n%s", err, out)
	}
	return dir
}

// settings reads a configuration whose first line names the plugins.
func settings(t *testing.T, plugins, rest string) *config.Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "recordhost.hcl")
	if err := os.WriteFile(file, []byte(`plugin_dir = "`+plugins+`"`+"\n"+rest), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const good = `
default_storage = "files"
runtime "local" "here" { slots = 2 }
storage "blob" "files" { url = "mem://" }
storage "blob" "more" { url = "mem://" }
`

func open(t *testing.T, c *config.Config) (*Host, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return Open(ctx, Options{Config: c, Log: slog.New(slog.DiscardHandler)})
}

func closeHost(t *testing.T, h *Host) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := h.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestHost(t *testing.T) {
	plugins := build(t)

	t.Run("opens and leaves nothing behind", func(t *testing.T) {
		defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
		c := settings(t, plugins, good)
		for range 2 { // the second takes up what the first has left
			h, err := open(t, c)
			if err != nil {
				t.Fatal(err)
			}
			if err := h.up(); err != nil {
				t.Errorf("not up: %v", err)
			}
			if _, err := h.API(); err != nil {
				t.Error(err)
			}
			closeHost(t, h)
		}
	})

	t.Run("what was kept for long enough is deleted at start", func(t *testing.T) {
		c := settings(t, plugins, good+`retention { tasks = "1h" }`)
		h, err := open(t, c)
		if err != nil {
			t.Fatal(err)
		}
		old := store.Task{
			ID: "old", Created: time.Unix(1, 0), Finished: time.Now().Add(-2 * time.Hour), Status: "finished", Body: []byte("{}"),
		}
		young := old
		young.ID, young.Finished = "young", time.Now()
		if err := errors.Join(h.store.Create(t.Context(), old), h.store.Create(t.Context(), young)); err != nil {
			t.Fatal(err)
		}
		closeHost(t, h)
		if h, err = open(t, c); err != nil {
			t.Fatal(err)
		}
		defer closeHost(t, h)
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			_, err := h.Tasks().Describe(t.Context(), "old")
			if e, ok := errors.AsType[*task.Error](err); ok && e.Code == task.CodeInvalidParam {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the old task is there: %v", err)
			}
		}
		if _, err := h.Tasks().Describe(t.Context(), "young"); err != nil {
			t.Errorf("the young task: %v", err)
		}
	})

	t.Run("its directory is its own", func(t *testing.T) {
		c := settings(t, plugins, good)
		h, err := open(t, c)
		if err != nil {
			t.Fatal(err)
		}
		defer closeHost(t, h)
		if _, err := open(t, c); err == nil || !strings.Contains(err.Error(), "in use") {
			t.Errorf("a second host: %v", err)
		}
		if err := h.up(); err != nil {
			t.Errorf("the first host after that: %v", err)
		}
	})

	t.Run("what a plugin refuses has its place", func(t *testing.T) {
		defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
		const local, memory = `runtime "local" "here" { slots = 1 }`, `storage "blob" "files" { url = "mem://" }`
		for source, want := range map[string]string{
			strings.Replace(local, "1", `"x"`, 1) + "\n" + memory:  `:2:34: slots must be a whole number, not "x"`,
			local + "\n" + strings.Replace(memory, "mem", "no", 1): `:3:1: plugin storage-blob "files": `,
		} {
			if _, err := open(t, settings(t, plugins, source)); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want %s", source, err, want)
			}
		}
	})

	t.Run("a broken storage is left out, the default one is needed", func(t *testing.T) {
		h, err := open(t, settings(t, plugins, good+`storage "tape" "tapes" {}`))
		if err != nil {
			t.Fatal(err)
		}
		defer closeHost(t, h)
		if err := h.up(); err == nil || !strings.Contains(err.Error(), "storage-tape") {
			t.Errorf("up: %v", err)
		}
		start := []byte(`{"RecordURL": "http://127.0.0.1:1/", "Output": {"Storage": "tapes"}}`)
		_, err = h.Tasks().Start(t.Context(), start)
		if e, ok := errors.AsType[*task.Error](err); !ok || e.Code != task.CodeInvalidParam {
			t.Errorf("a recording for the broken storage: %v", err)
		}
		_, err = open(t, settings(t, plugins, `runtime "local" "here" {}`+"\n"+`storage "tape" "tapes" {}`))
		if err == nil || !strings.HasPrefix(err.Error(), "the default storage does not work: ") {
			t.Errorf("without a default storage: %v", err)
		}
	})

	t.Run("no wrapper for a Chrome", func(t *testing.T) {
		c := settings(t, plugins, good)
		c.Engine.Chrome = filepath.Join(t.TempDir(), "chromium")
		if err := os.WriteFile(c.Engine.Chrome, []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := open(t, c); err == nil || !strings.Contains(err.Error(), "is a wrapper") {
			t.Errorf("error %v", err)
		}
		if _, err := os.Stat(c.DataDir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the data directory was made: %v", err)
		}
	})

	t.Run("inspection", func(t *testing.T) {
		defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
		list, err := Inspect(t.Context(), settings(t, plugins, good), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if len(list) != 3 || list[0].Capacity == nil || list[0].Capacity.Free != 2 {
			t.Errorf("plugins %+v", list)
		}
		if c := list[1].Capabilities; c == nil || *c == (storage.Capabilities{}) || list[1].Capacity != nil {
			t.Errorf("storage %+v", list[1])
		}
	})
}
