package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// machine is where, when and of what the figures are.
type machine struct {
	Date      string `json:"date"`
	Commit    string `json:"commit"`
	Processor string `json:"processor"`
	Cores     int    `json:"cores"`
	Memory    string `json:"memory"`
	System    string `json:"system"`
	Chrome    string `json:"chrome"`
	FFmpeg    string `json:"ffmpeg"`
	Go        string `json:"go"`
}

func describeMachine(ctx context.Context) (machine, error) {
	m := machine{Date: time.Now().UTC().Format(time.DateOnly), Cores: runtime.NumCPU(), Go: runtime.Version()}
	if build, ok := debug.ReadBuildInfo(); ok {
		m.Go = build.GoVersion
	}
	for _, ask := range []struct {
		into    *string
		command string
	}{
		{&m.Commit, "git describe --always --dirty"},
		{&m.System, "uname -srm"},
		{&m.Chrome, "chromium --version"},
		{&m.FFmpeg, "ffmpeg -version"},
	} {
		words := strings.Fields(ask.command)
		out, err := exec.CommandContext(ctx, words[0], words[1:]...).Output()
		if err != nil {
			return machine{}, fmt.Errorf("describe the machine: %s: %w", ask.command, err)
		}
		line, _, _ := strings.Cut(string(out), "\n")
		*ask.into = strings.TrimSpace(line)
	}
	m.FFmpeg, _, _ = strings.Cut(m.FFmpeg, " Copyright")
	m.Chrome, _, _ = strings.Cut(m.Chrome, " built on")
	m.Processor = procLine("/proc/cpuinfo", "model name")
	m.Memory = gigabytes(procLine("/proc/meminfo", "MemTotal"))
	return m, nil
}

// gigabytes makes of the kernel's "24683656 kB" what people say.
func gigabytes(size string) string {
	kilobytes, err := strconv.ParseInt(strings.TrimSuffix(size, " kB"), 10, 64)
	if err != nil {
		return size
	}
	return fmt.Sprintf("%.0f GB", float64(kilobytes)/(1<<20))
}

// procLine is the value of the first line of that name; empty where the kernel does not tell.
func procLine(file, name string) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(content)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
