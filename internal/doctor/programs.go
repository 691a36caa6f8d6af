package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/recordhost/recordhost/internal/browser"
)

const sandboxAdvice = "in a container, give it a seccomp profile that lets unshare and clone through; or give up Chrome's " +
	"sandbox with sandbox = \"off\" in engine {} of the config"

// sandbox tries what Chrome's sandbox does: an unprivileged process makes itself a user, a process and a network
// namespace.
func sandbox(ctx context.Context, o Options) Finding {
	const name = "sandbox"
	if o.SandboxOff {
		return amiss(name, "Chrome's sandbox is switched off by the config",
			"record only pages that you trust as much as a program, or set sandbox = \"on\"")
	}
	var credential *syscall.Credential
	if os.Geteuid() == 0 {
		user := browser.DefaultUser()
		credential = &syscall.Credential{Uid: uint32(user.UID), Gid: uint32(user.GID)}
	}
	out, err := run(ctx, credential, "unshare", "--user", "--pid", "--net", "--fork", "true")
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return amiss(name, "user namespaces could not be tried: unshare is not installed", "apt-get install util-linux")
	case err != nil:
		advice := sandboxAdvice
		if known := browser.SandboxSupport(); known != nil {
			advice = known.Error()
		}
		return amiss(name, "an unprivileged process cannot make namespaces: "+firstLine(out, err), advice)
	}
	return ok(name, "an unprivileged process can make user, process and network namespaces")
}

// ffmpeg looks for the program and the two encoders that every recording uses.
func ffmpeg(ctx context.Context, o Options) Finding {
	const name, advice = "ffmpeg", "apt-get install ffmpeg, or name another in ffmpeg of engine {} of the config"
	program := o.FFmpeg
	if program == "" {
		program = "ffmpeg"
	}
	version, err := run(ctx, nil, program, "-version")
	if err != nil {
		return amiss(name, "ffmpeg does not run: "+firstLine(version, err), advice)
	}
	encoders, err := run(ctx, nil, program, "-hide_banner", "-encoders")
	if err != nil {
		return amiss(name, "ffmpeg does not tell its encoders: "+firstLine(encoders, err), advice)
	}
	for _, encoder := range []string{"libx264", "aac"} {
		if !hasEncoder(encoders, encoder) {
			return amiss(name, firstLine(version, nil)+" has no encoder "+encoder, advice)
		}
	}
	title, _, _ := strings.Cut(firstLine(version, nil), " Copyright")
	return ok(name, title+", encoders libx264 and aac")
}

// hasEncoder looks for name in the second column of ffmpeg's table of encoders.
func hasEncoder(table, name string) bool {
	for line := range strings.Lines(table) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[1] == name {
			return true
		}
	}
	return false
}

func fontsCJK(ctx context.Context, _ Options) Finding {
	return fonts(ctx, "fonts for Chinese, Japanese, Korean", ":charset=4e2d 3042 ac00", "fonts-noto-cjk")
}

func fontsEmoji(ctx context.Context, _ Options) Finding {
	return fonts(ctx, "fonts for emoji", ":color=true:charset=1f600", "fonts-noto-color-emoji")
}

// fonts asks fontconfig, as Chrome does, for the families that match a pattern.
func fonts(ctx context.Context, name, pattern, debian string) Finding {
	out, err := run(ctx, nil, "fc-list", pattern, "family")
	if errors.Is(err, exec.ErrNotFound) {
		return amiss(name, "fc-list is not installed, so it is not known", "apt-get install fontconfig")
	}
	if err != nil {
		return amiss(name, "fc-list failed: "+firstLine(out, err), "apt-get install --reinstall fontconfig")
	}
	var families []string
	for line := range strings.Lines(out) {
		family, _, _ := strings.Cut(strings.TrimSpace(line), ",")
		if family != "" && !slices.Contains(families, family) {
			families = append(families, family)
		}
	}
	if len(families) == 0 {
		return amiss(name, "none: such text is recorded as empty boxes", "apt-get install "+debian)
	}
	slices.Sort(families)
	return ok(name, families[0]+more(len(families)-1))
}

func more(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}

// run runs a program to its end and answers all that it wrote. It ends with ctx.
func run(ctx context.Context, credential *syscall.Credential, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = "/"
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("%s did not answer in time: %w", program, ctx.Err())
	}
	return string(out), err
}

// firstLine is what a program said first, or why it could not say anything.
func firstLine(out string, err error) string {
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); line != "" {
			return line
		}
	}
	if err != nil {
		return err.Error()
	}
	return ""
}
