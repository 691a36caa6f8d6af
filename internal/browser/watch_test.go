package browser

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/systeminfo"
)

// renderers are the process ids of Chrome's renderers.
func renderers(t *testing.T, b *Browser) []int {
	t.Helper()
	info, err := do(t.Context(), b.root, systeminfo.GetProcessInfo, cdp.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, p := range info.ProcessInfo {
		if p.Type == "renderer" {
			pids = append(pids, int(p.ID))
		}
	}
	return pids
}

// A fault is reported with its kind, everything that waits is told, and Close leaves nothing behind. The hang tests
// take nearly as long as a hang may stay unnoticed: ten seconds.
func TestFaults(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"/": "page"})
	// signal sends one to Chrome's renderers, or to its main process.
	signal := func(t *testing.T, b *Browser, sig syscall.Signal, toRenderers bool) {
		t.Helper()
		pids := []int{b.PID()}
		if toRenderers {
			pids = renderers(t, b)
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, sig); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name      string
		sig       syscall.Signal // 0: a script that does not end
		renderers bool
		want      FaultKind
		within    time.Duration
	}{
		{"renderer killed", syscall.SIGKILL, true, PageCrashed, 5 * time.Second},
		{"browser killed", syscall.SIGKILL, false, BrowserExited, 5 * time.Second},
		{"browser stopped", syscall.SIGSTOP, false, BrowserHung, 15 * time.Second},
		{"renderer stopped", syscall.SIGSTOP, true, PageHung, 15 * time.Second},
		{"endless script", 0, false, PageHung, 15 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := chrome(t, nil)
			open(t, b, s.URL+"/")
			began := time.Now()
			if c.sig == 0 {
				b.page.post(runtime.CommandEvaluate, runtime.EvaluateParams{Expression: "for (;;) {}"})
			} else {
				signal(t, b, c.sig, c.renderers)
			}
			waitFault(t, b, c.want)
			if took := time.Since(began); took > c.within {
				t.Errorf("found after %s", took)
			}
			if _, open := <-b.Calls(); open {
				t.Error("a call of a page that is gone")
			}
			var fault *Fault
			if err := b.Open(t.Context(), s.URL+"/"); !errors.As(err, &fault) {
				t.Errorf("open after a fault: %v", err)
			}
		})
	}
}

// A page that has not gone anywhere yet may close its own window; with its first navigation it loses that right.
func TestPageCannotCloseItself(t *testing.T) {
	s := newSite(t, map[string]string{"/": "<script>window.close()</script>page"})
	b := chrome(t, nil)
	open(t, b, s.URL+"/")
	if got := ask[string](t, b, "document.body.textContent"); !strings.Contains(got, "page") {
		t.Errorf("the page is %q", got)
	}
}

func TestFaultEndsLoading(t *testing.T) {
	asked := make(chan struct{}, 1)
	s := newSite(t, nil)
	s.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case asked <- struct{}{}:
		default:
		}
		<-r.Context().Done()
	})
	b := chrome(t, nil)
	result := make(chan error, 1)
	go func() { result <- b.Open(context.WithoutCancel(t.Context()), s.URL) }()
	<-asked
	if err := syscall.Kill(b.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var fault *Fault
	if err := <-result; !errors.As(err, &fault) || fault.Kind != BrowserExited {
		t.Errorf("%v", err)
	}
}

// What a running Chrome is made of: nobody's processes, filtered renderers, no port, no inherited secret, and a command
// line that no caller's word is on.
func TestProcesses(t *testing.T) {
	t.Setenv("CANARY", "inherited-secret")
	s := newSite(t, map[string]string{"/": "page"})
	b := chrome(t, func(o *Options) {
		o.TaskID, o.Status = "canary-task", "canary-status"
		o.UserAgent, o.Locale, o.Timezone = "canary-agent", "de-AT", "Asia/Tokyo"
		o.Headers = map[string]string{"X-Canary": "canary-header"}
		o.Cookies = []Cookie{{Name: "canary", Value: "canary-cookie"}}
	})
	open(t, b, s.URL+"/?canary-url")

	for _, pid := range renderers(t, b) {
		mode, err := seccompMode(pid)
		if err != nil || mode != seccompFilter {
			t.Errorf("renderer %d: seccomp %q, %v", pid, mode, err)
		}
		own, err := os.Readlink("/proc/self/ns/user")
		if err != nil {
			t.Fatal(err)
		}
		if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/user", pid)); err != nil || ns == own {
			t.Errorf("renderer %d: user namespace %s, %v", pid, ns, err)
		}
	}
	listening := listeners(t)
	seen := 0
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || !strings.Contains(string(line), b.opts.Dir) {
			continue
		}
		seen++
		if st, err := os.Stat(dir); err == nil && st.Sys().(*syscall.Stat_t).Uid == 0 {
			t.Errorf("a process runs as root: %q", line)
		}
		if strings.Contains(string(line), "canary") || strings.Contains(string(line), "no-sandbox ") {
			t.Errorf("command line %q", line)
		}
		if env, err := os.ReadFile(filepath.Join(dir, "environ")); err == nil && strings.Contains(strings.ToLower(string(env)), "canary") {
			t.Errorf("environment %q", env)
		}
		fds, _ := filepath.Glob(filepath.Join(dir, "fd", "*")) // of a process that has just ended: none
		for _, fd := range fds {
			if to, err := os.Readlink(fd); err == nil && listening[strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")] {
				t.Errorf("%s listens on a port", dir)
			}
		}
	}
	if seen < 4 {
		t.Errorf("only %d processes were looked at", seen)
	}
}

// listeners are the inodes of the machine's listening TCP sockets.
func listeners(t *testing.T) map[string]bool {
	t.Helper()
	inodes := make(map[string]bool)
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		table, err := os.ReadFile(name)
		if err != nil {
			continue // no IPv6
		}
		for line := range strings.Lines(string(table)) {
			if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" {
				inodes[f[9]] = true
			}
		}
	}
	return inodes
}

func TestLaunchFailures(t *testing.T) {
	t.Run("not a browser", func(t *testing.T) {
		o := testOptions(t)
		o.Binary = "/bin/false"
		if _, err := Launch(t.Context(), o); !errors.Is(err, errLost) {
			t.Errorf("%v", err)
		}
	})
	t.Run("no such binary", func(t *testing.T) {
		o := testOptions(t)
		o.Binary = "/nonexistent"
		if _, err := Launch(t.Context(), o); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v", err)
		}
	})
	t.Run("no display", func(t *testing.T) {
		o := testOptions(t)
		o.Env = append(o.Env, "WAYLAND_DISPLAY=/nonexistent/socket")
		_, err := Launch(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), "isplay") {
			t.Errorf("%v", err)
		}
		if left := processesOf(t, o.Dir); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	})
	t.Run("sandbox refused", func(t *testing.T) {
		o := testOptions(t)
		o.Binary = script(t, filepath.Dir(o.Dir), `echo "[1:FATAL:zygote_host_impl_linux.cc] No usable sandbox! If you want" >&2; exit 1`)
		if _, err := Launch(t.Context(), o); !errors.Is(err, ErrSandbox) {
			t.Errorf("%v", err)
		}
	})
	t.Run("sandbox off unasked", func(t *testing.T) {
		o := testOptions(t)
		o.ExtraFlags = []string{"--ozone-platform=headless", "--no-sandbox"}
		if _, err := Launch(t.Context(), o); !errors.Is(err, ErrSandbox) {
			t.Errorf("%v", err)
		}
	})
	t.Run("sandbox off", func(t *testing.T) {
		b := chrome(t, func(o *Options) { o.NoSandbox = true })
		if mode, err := seccompMode(renderers(t, b)[0]); err != nil || mode == seccompFilter {
			t.Errorf("seccomp %q, %v", mode, err)
		}
	})
	t.Run("caller gives up", func(t *testing.T) {
		o := testOptions(t)
		o.Binary = script(t, filepath.Dir(o.Dir), "exec sleep 600 "+strconv.Itoa(os.Getpid()))
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if _, err := Launch(ctx, o); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if left := processesOf(t, "600\x00"+strconv.Itoa(os.Getpid())); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	})
}

// script writes an executable that stands in for a browser.
func script(t *testing.T, dir, body string) string {
	t.Helper()
	path := filepath.Join(dir, "browser")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nPATH=/usr/bin:/bin\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCloseIsOnce(t *testing.T) {
	b := chrome(t, nil)
	done := make(chan error, 2)
	for range 2 {
		go func() { done <- b.Close(context.Background()) }()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if b.Err() != nil {
		t.Errorf("a close is no fault: %v", b.Err())
	}
	if err := b.SetStatus(t.Context(), "x"); !errors.Is(err, errLost) {
		t.Errorf("%v", err)
	}
	if _, open := <-b.Calls(); open {
		t.Error("a call after the close")
	}
}
