package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/systeminfo"
)

// ErrSandbox is returned by Launch when Chrome's sandbox does not work here. Nothing is recorded without it unless the
// operator has said so.
var ErrSandbox = errors.New("the sandbox of Chrome does not work on this machine")

const (
	sandboxWait  = 3 * time.Second
	sandboxPause = 20 * time.Millisecond

	// seccompFilter is the mode in /proc/<pid>/status of a process whose system calls are filtered.
	seccompFilter = "2"
)

// SandboxSupport is nil when nothing known on this machine forbids what Chrome's sandbox is made of, user namespaces for
// ordinary users. The error says what does, and what to do about it.
func SandboxSupport() error {
	return sandboxSupport(func(name string) string {
		b, err := os.ReadFile("/proc/sys/" + name)
		if err != nil {
			return "" // a kernel without this setting
		}
		return strings.TrimSpace(string(b))
	})
}

func sandboxSupport(sysctl func(name string) string) error {
	settings := []struct{ name, bad, fix string }{
		{"user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"},
		{"kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"},
		{
			"kernel/apparmor_restrict_unprivileged_userns", "1",
			"sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for Chrome",
		},
	}
	for _, s := range settings {
		if sysctl(s.name) == s.bad {
			return fmt.Errorf("%w: %s is %s and forbids user namespaces (%s)", ErrSandbox, s.name, s.bad, s.fix)
		}
	}
	return nil
}

// sandboxRefused reports whether Chrome ended because it could not set up its sandbox. Chrome has no exit code for it;
// these are the words it has used since 2014.
func sandboxRefused(lines []string) bool {
	for _, l := range lines {
		if strings.Contains(l, "No usable sandbox") || strings.Contains(l, "sandbox_host_linux") ||
			strings.Contains(l, "Failed to move to new namespace") || strings.Contains(l, "without --no-sandbox is not supported") {
			return true
		}
	}
	return false
}

// checkSandbox looks at the running renderers themselves: each must have its system calls filtered.
func (b *Browser) checkSandbox(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sandboxWait)
	defer cancel()
	for {
		err := b.renderersFiltered(ctx)
		if err == nil {
			return nil
		}
		// A renderer that has just been forked is filtered a moment later, before it loads anything.
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrSandbox, err)
		case <-time.After(sandboxPause):
		}
	}
}

func (b *Browser) renderersFiltered(ctx context.Context) error {
	info, err := do(ctx, b.root, systeminfo.GetProcessInfo, cdp.Empty{})
	if err != nil {
		return err
	}
	seen := 0
	for _, p := range info.ProcessInfo {
		if p.Type != "renderer" {
			continue
		}
		seen++
		mode, err := seccompMode(int(p.ID))
		if err != nil {
			return err
		}
		if mode != seccompFilter {
			return fmt.Errorf("renderer %d runs with seccomp mode %s", p.ID, mode)
		}
	}
	if seen == 0 {
		return errors.New("no renderer to be checked")
	}
	return nil
}

func seccompMode(pid int) (string, error) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(status)) {
		if mode, ok := strings.CutPrefix(line, "Seccomp:"); ok {
			return strings.TrimSpace(mode), nil
		}
	}
	return "", fmt.Errorf("no seccomp mode in the status of process %d", pid)
}
