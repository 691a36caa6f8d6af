package pluginhost

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/recordhost/recordhost/sdk/plugin"
	"github.com/recordhost/recordhost/sdk/runtime"
	"github.com/recordhost/recordhost/sdk/schema"
	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

func TestPluginsAreConfiguredAndListed(t *testing.T) {
	r := newRig(t, "runtime-fake", "storage-fake")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(binary)
	var form schema.Schema
	run := fake("serve")
	run.SHA256 = sum[:]
	run.Settings = func(s schema.Schema) ([]byte, error) {
		form = s
		return []byte(`{"color":"blue"}`), nil
	}
	keep := Block{Kind: plugin.KindStorage, Plugin: "fake", Name: "files", Env: env("storage")}
	h := r.open(t, run, keep)
	h.mustReady(t)

	if len(form.Attributes) != 2 || form.Attributes[0].Name != "color" {
		t.Errorf("the settings' form is %+v", form)
	}
	handle, err := h.mustRuntime(t).Launch(t.Context(), runtime.Launch{TaskID: "env"})
	stateDir := filepath.Join(r.StateDir, "runtime-it")
	if want := "blue " + stateDir + " /host"; err != nil || string(handle) != want {
		t.Errorf("the plugin was told %q, %v; want %q", handle, err, want)
	}
	if info, err := os.Stat(stateDir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("state folder: %v, %v", info, err)
	}

	list := h.List()
	if len(list) != 2 {
		t.Fatalf("%d plugins listed", len(list))
	}
	one, two := list[0], list[1]
	if one.Kind != plugin.KindRuntime || one.Plugin != "fake" || one.Name != "it" || one.Version != "1.0" ||
		one.Protocol != plugin.Protocol || one.State != StateReady || one.Err != nil || one.Restarts != 0 ||
		string(one.Settings) != `{"color":"blue"}` || one.Capabilities != nil {
		t.Errorf("listed %+v", one)
	}
	if two.Capabilities == nil || two.Capabilities.MaxParts != 77 || two.Version != "2.1" {
		t.Errorf("listed %+v", two)
	}
	files, err := h.Storage("files")
	if err != nil {
		t.Fatal(err)
	}
	wantErr(t, files.Check(t.Context()), status.PermissionDenied, "wrong key")
	_, err = h.Storage("elsewhere")
	wantErr(t, err, status.NotFound, "elsewhere", "files")
}

func TestPluginSeesOnlyTheStatedEnvironment(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "of the host")
	t.Setenv("LANG", "C.UTF-8")
	r := newRig(t, "runtime-fake")
	b := fake("serve")
	b.Env["AWS_REGION"], b.Env["HOME"] = "here", "/nonexistent"
	h := r.open(t, b)
	handle, err := h.mustRuntime(t).Launch(t.Context(), runtime.Launch{TaskID: "environ"})
	if err != nil {
		t.Fatal(err)
	}
	env := strings.Split(string(handle), "\n")
	for _, want := range []string{"AWS_REGION=here", "HOME=/nonexistent", "LANG=C.UTF-8", "PATH=" + os.Getenv("PATH")} {
		if !slices.Contains(env, want) {
			t.Errorf("%s is missing", want)
		}
	}
	for _, e := range env {
		if strings.Contains(e, "of the host") {
			t.Errorf("the plugin sees %s", e)
		}
	}
}

// Each of these is refused at its start with an error that names the plugin and says what is wrong, leaves no process, and
// leaves the other plugin alone.
func TestPluginThatCannotBeStarted(t *testing.T) {
	named := `plugin runtime-fake "it": `
	for name, c := range map[string]struct {
		role  string
		alter func(t *testing.T, r *rig, b *Block)
		kind  status.Kind
		say   []string
	}{
		"missing": {alter: func(_ *testing.T, _ *rig, b *Block) { b.Plugin = "none" },
			kind: status.FailedPrecondition, say: []string{`plugin runtime-none "it": `, "runtime-none does not exist"}},
		"a folder": {alter: replaced(0o755, ""),
			kind: status.FailedPrecondition, say: []string{named, "is not a file"}},
		"not executable": {alter: replaced(0o644, "x"),
			kind: status.FailedPrecondition, say: []string{named, "not executable", "chmod"}},
		"writable by everybody": {alter: replaced(0o777, "x"),
			kind: status.FailedPrecondition, say: []string{named, "written by everybody", "0777"}},
		"in a folder that everybody may write": {
			alter: func(t *testing.T, r *rig, _ *Block) {
				t.Helper()
				chmod(t, r.Dir, 0o777)
			},
			kind: status.FailedPrecondition, say: []string{named, "the folder of"},
		},
		"another file than pinned": {alter: func(_ *testing.T, _ *rig, b *Block) { b.SHA256 = make([]byte, 32) },
			kind: status.FailedPrecondition, say: []string{named, "SHA-256", strings.Repeat("00", 32)}},
		"no program": {alter: replaced(0o755, "\x7fELF nonsense"),
			kind: status.FailedPrecondition, say: []string{named, "exec format error"}},
		"crash": {role: "crash",
			kind: status.Unavailable, say: []string{named, "exited", "exit code 3", "cannot find libfoo.so"}},
		"nonsense": {role: "chatter",
			kind: status.FailedPrecondition, say: []string{named, "Hello, I am a program", "handshake"}},
		"a newer contract":      {role: "version", kind: status.FailedPrecondition, say: []string{named, `protocol "7"`, "speaks 1"}},
		"another go-plugin":     {role: "core", kind: status.FailedPrecondition, say: []string{named, `version "9"`}},
		"another transport":     {role: "tcp", kind: status.FailedPrecondition, say: []string{named, "unix socket"}},
		"another plugin's file": {role: "misnamed", kind: status.Unavailable, say: []string{named, "runtime-other"}},
		"silent": {role: "silent", alter: impatient, kind: status.Unavailable,
			say: []string{named, "hangs", "not ready within"}},
		"deaf": {role: "deaf", kind: status.Unavailable, say: []string{named}},
		"settings refused by the host": {alter: func(_ *testing.T, _ *rig, b *Block) {
			b.Settings = func(schema.Schema) ([]byte, error) { return nil, errors.New("f.hcl:3:1: no such setting") }
		}, kind: status.InvalidArgument, say: []string{named, "f.hcl:3:1: no such setting"}},
		"settings refused by the plugin": {alter: func(_ *testing.T, _ *rig, b *Block) {
			b.Settings = JSON([]byte(`{"color":"invisible"}`))
		}, kind: status.InvalidArgument, say: []string{named, "color: cannot be seen"}},
		"not configurable now": {alter: func(_ *testing.T, _ *rig, b *Block) {
			b.Settings = JSON([]byte(`{"color":"broken"}`))
		}, kind: status.Unavailable, say: []string{named, "the color cannot be reached"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "runtime-fake", "storage-fake")
			r.RestartAfter = patience // one attempt
			b := fake(c.role)
			if c.role == "" {
				b.Env[roleKey] = "serve"
			}
			if c.alter != nil {
				c.alter(t, r, &b)
			}
			other := Block{Kind: plugin.KindStorage, Plugin: "fake", Name: "files", Env: env("storage")}
			blocks := []Block{b, other}
			if strings.Contains(name, "folder that everybody") {
				blocks = blocks[:1]
			}
			h := r.open(t, blocks...)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			err := h.Ready(ctx)
			wantErr(t, err, c.kind, c.say...)
			if strings.Contains(err.Error(), "storage") {
				t.Errorf("%q: the other plugin is concerned", err)
			}
			if s := h.List()[0]; s.State != StateFailed || s.Err == nil {
				t.Errorf("state %s, error %v", s.State, s.Err)
			}
			_, err = h.mustRuntime(t).Capacity(ctx)
			wantErr(t, err, c.kind, c.say...)
			if len(blocks) > 1 {
				files, err := h.Storage("files")
				if err != nil {
					t.Fatal(err)
				}
				wantErr(t, files.Check(ctx), status.PermissionDenied, "wrong key")
			}
		})
	}
}

// replaced puts another file in the plugin's place, or a folder where content is empty.
func replaced(mode os.FileMode, content string) func(*testing.T, *rig, *Block) {
	return func(t *testing.T, r *rig, _ *Block) {
		t.Helper()
		file := filepath.Join(r.Dir, "runtime-fake")
		err := os.Remove(file)
		if content == "" {
			err = errors.Join(err, os.Mkdir(file, mode))
		} else {
			err = errors.Join(err, os.WriteFile(file, []byte(content), mode))
		}
		if err != nil {
			t.Fatal(err)
		}
		chmod(t, file, mode)
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// impatient gives plugins less time than any needs that never starts, and enough for those that do.
func impatient(_ *testing.T, r *rig, _ *Block) { r.StartTimeout = 3 * time.Second }

func TestPluginThatDiesIsStartedAnew(t *testing.T) {
	t.Run("idle", func(t *testing.T) {
		r := newRig(t, "runtime-fake")
		configured := 0
		b := fake("serve")
		b.Settings = func(schema.Schema) ([]byte, error) {
			configured++
			return []byte(`{"color":"blue"}`), nil
		}
		h := r.open(t, b)
		d := h.mustRuntime(t)
		first := answering(t, d)
		if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "another process answers", func() bool {
			c, err := d.Capacity(t.Context())
			if err != nil {
				wantErr(t, err, status.Unavailable, "runtime-fake")
			}
			return err == nil && c.Running != first
		})
		s := h.List()[0]
		if configured != 2 || s.Restarts != 1 || s.PID == first || s.State != StateReady {
			t.Errorf("configured %d times, %+v", configured, s)
		}
		if text := r.log.String(); !strings.Contains(text, "signal: killed") {
			t.Errorf("the log does not tell: %s", text)
		}
	})
	for task, how := range map[string]string{"exit": "out of ideas", "panic": "exit code 2"} {
		t.Run("during a call: "+task, func(t *testing.T) {
			r := newRig(t, "runtime-fake")
			h := r.open(t, fake("serve"))
			d := h.mustRuntime(t)
			_, err := d.Launch(t.Context(), runtime.Launch{TaskID: task})
			wantErr(t, err, status.Unavailable, "runtime-fake", "during Launch", how)
			if !errors.Is(err, ErrPluginExited) {
				t.Errorf("%v is not ErrPluginExited", err)
			}
			if !status.Retryable(err) {
				t.Errorf("%v is not to be tried again", err)
			}
			answering(t, d) // waits for the next process
			if task == "panic" && !strings.Contains(r.log.String(), "nobody catches this") {
				t.Error("the panic is not in the log")
			}
		})
	}
	t.Run("it cannot be started any more", func(t *testing.T) {
		r := newRig(t, "runtime-fake")
		b := fake("crash later")
		b.Env["FAKE_MARK"] = filepath.Join(t.TempDir(), "mark")
		h := r.open(t, b)
		d := h.mustRuntime(t)
		first := answering(t, d)
		if err := os.WriteFile(b.Env["FAKE_MARK"], nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it has failed", func() bool { return h.List()[0].State == StateFailed })
		if err := os.Remove(b.Env["FAKE_MARK"]); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it has recovered", func() bool {
			_, err := d.Capacity(t.Context())
			return err == nil
		})
	})
}

func TestPluginThatHangsIsReplaced(t *testing.T) {
	r := newRig(t, "runtime-fake")
	r.PingEvery, r.PingTimeout = 50*time.Millisecond, 2*time.Second
	h := r.open(t, fake("serve"))
	d := h.mustRuntime(t)
	first := answering(t, d)
	_, err := d.Launch(t.Context(), runtime.Launch{TaskID: "halt"})
	wantErr(t, err, status.Unavailable, "runtime-fake", "during Launch")
	if !errors.Is(err, ErrPluginExited) {
		t.Errorf("%v is not ErrPluginExited", err)
	}
	if second := answering(t, d); second == first {
		t.Error("the same process answers")
	}
	if text := r.log.String(); !strings.Contains(text, "it hangs") {
		t.Errorf("the log does not tell: %s", text)
	}
}

func TestCallsAreBounded(t *testing.T) {
	r := newRig(t, "runtime-fake")
	r.CallTimeout = 300 * time.Millisecond
	h := r.open(t, fake("serve"))
	h.mustReady(t)
	d := h.mustRuntime(t)
	_, err := d.Launch(t.Context(), runtime.Launch{TaskID: "slow"})
	wantErr(t, err, status.DeadlineExceeded, "runtime-fake", "no answer to Launch within 300ms")
	if err := d.Kill(t.Context(), runtime.Handle("x"), 2*r.CallTimeout); err != nil {
		t.Errorf("a call that may last: %v", err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := d.Wait(ctx, runtime.Handle("x")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a call whose time ran out: %v", err)
	}
}

func TestPluginsOwnErrorsAreLeftAlone(t *testing.T) {
	h := newRig(t, "runtime-fake").open(t, fake("serve"))
	d := h.mustRuntime(t)
	_, err := d.Launch(t.Context(), runtime.Launch{TaskID: "full"})
	wantErr(t, err, status.NoCapacity, "no room")
	if after, ok := status.RetryAfter(err); !ok || after != time.Minute {
		t.Errorf("try again after %v", after)
	}
	_, err = d.Launch(t.Context(), runtime.Launch{TaskID: "gone by itself"})
	wantErr(t, err, status.Unavailable, "the cloud is down")
	if errors.Is(err, ErrPluginExited) {
		t.Errorf("%v is ErrPluginExited", err)
	}
}

func TestCallWaitsForThePluginWithinItsContext(t *testing.T) {
	r := newRig(t, "runtime-fake")
	h := r.open(t, fake("silent"))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := h.mustRuntime(t).Capacity(ctx)
	wantErr(t, err, status.DeadlineExceeded, "runtime-fake", "starting")
	if err := h.Ready(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ready: %v", err)
	}
}

func TestClose(t *testing.T) {
	t.Run("lets calls end", func(t *testing.T) {
		r := newRig(t, "runtime-fake")
		h := r.open(t, fake("serve"))
		h.mustReady(t)
		d := h.mustRuntime(t)
		ended := make(chan error, 1)
		go func() { ended <- d.Kill(context.WithoutCancel(t.Context()), runtime.Handle("x"), 500*time.Millisecond) }()
		eventually(t, "the call has begun", func() bool { return h.List()[0].Calls == 1 })
		r.close(t, h)
		if err := <-ended; err != nil {
			t.Errorf("the call that ran: %v", err)
		}
		_, err := d.Capacity(t.Context())
		wantErr(t, err, status.Unavailable, "is being ended")
	})
	t.Run("cuts waits, and calls that do not end", func(t *testing.T) {
		r := newRig(t, "runtime-fake")
		h := r.open(t, fake("serve"))
		h.mustReady(t)
		d := h.mustRuntime(t)
		waited, launched := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := d.Wait(context.WithoutCancel(t.Context()), runtime.Handle("x"))
			waited <- err
		}()
		go func() {
			_, err := d.Launch(context.WithoutCancel(t.Context()), runtime.Launch{TaskID: "slow"})
			launched <- err
		}()
		eventually(t, "the calls have begun", func() bool { return h.List()[0].Calls == 2 })
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := h.Close(ctx); err != nil {
			t.Error(err)
		}
		wantErr(t, <-waited, status.Unavailable, "is being ended")
		if err := <-launched; err == nil {
			t.Error("the call that was cut has succeeded")
		}
	})
	t.Run("while a plugin starts", func(t *testing.T) {
		r := newRig(t, "runtime-fake")
		h := r.open(t, fake("silent"))
		r.close(t, h)
		if s := h.List()[0]; s.State != StateClosed {
			t.Errorf("state %s", s.State)
		}
	})
	t.Run("a plugin that hangs", func(t *testing.T) {
		r := newRig(t, "runtime-fake")
		r.PingEvery = time.Hour
		h := r.open(t, fake("serve"))
		pid := answering(t, h.mustRuntime(t))
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		r.close(t, h)
	})
}

func TestGarbageOfAPluginReachesTheLogAndHarmsNobody(t *testing.T) {
	r := newRig(t, "runtime-fake")
	h := r.open(t, fake("serve"))
	d := h.mustRuntime(t)
	garbage := []string{
		`{"@message":1,"@level":2,"@timestamp":3}`, // go-plugin asserts the type of these without looking
		`{"@message":"half","@timestamp":[]}`,
		`{"@level":{}}`,
		`[]`, `null`, `{`, "\x00\x1b[2J", strings.Repeat("long ", 50_000),
	}
	if _, err := d.Launch(t.Context(), runtime.Launch{TaskID: "log", Control: garbage}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"level=WARN msg=careful", "n=3", "half", "to standard output", "long long"} {
		eventually(t, want+" is logged", func() bool { return strings.Contains(r.log.String(), want) })
	}
	if strings.ContainsAny(r.log.String(), "\x00\x1b") {
		t.Error("control characters are in the log")
	}
	if answering(t, d) != h.List()[0].PID {
		t.Error("another process answers")
	}
}

func TestInspect(t *testing.T) {
	r := newRig(t, "runtime-fake")
	info, form, err := Inspect(t.Context(), r.Options, fake("serve"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Name != "fake" || info.Version != "1.0" || len(form.Attributes) != 2 {
		t.Errorf("%+v, %+v", info, form)
	}
	_, _, err = Inspect(t.Context(), r.Options, fake("crash"))
	wantErr(t, err, status.Unavailable, "runtime-fake", "cannot find libfoo.so")
	_, _, err = Inspect(t.Context(), r.Options, Block{})
	if err == nil {
		t.Error("a block without a kind was inspected")
	}
}

func TestOpenRefuses(t *testing.T) {
	good := newRig(t).Options
	for name, alter := range map[string]func(*Options){
		"a relative folder": func(o *Options) { o.Dir = "plugins" },
		"no state folder":   func(o *Options) { o.StateDir = "" },
		"an unknown kind":   func(o *Options) { o.Plugins = []Block{{Kind: "x", Plugin: "a", Name: "b"}} },
		"a path as a name":  func(o *Options) { o.Plugins = []Block{{Kind: plugin.KindRuntime, Plugin: "../a", Name: "b"}} },
		"two of one name":   func(o *Options) { o.Plugins = []Block{fake(""), fake("")} },
	} {
		o := good
		alter(&o)
		if h, err := Open(t.Context(), o); err == nil {
			t.Errorf("%s: opened", name)
			_ = h.Close(t.Context())
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, good); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
}

func TestNoPlugins(t *testing.T) {
	o := newRig(t).Options
	h, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	h.mustReady(t)
	for range 2 {
		if err := h.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestFileOfManyPieces: ten hours of a recording are stored in one call.
func TestFileOfManyPieces(t *testing.T) {
	block := fake("storage")
	block.Kind = plugin.KindStorage
	h := newRig(t, "storage-fake").open(t, block)
	d, err := h.Storage("it")
	if err != nil {
		t.Fatal(err)
	}
	f := storage.File{Name: "lesson.mp4"}
	for i := range int64(72000) {
		path := fmt.Sprintf("/var/lib/recordhost/spool/%s/spool/run-0001.mp4", strings.Repeat("x", 64))
		f.Extents = append(f.Extents, storage.Extent{Path: path, Offset: i << 20, Length: 1 << 19})
	}
	wantErr(t, d.Put(t.Context(), storage.State("x"), f), status.DataLoss, "72000 pieces")
}
