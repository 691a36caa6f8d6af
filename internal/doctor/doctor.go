// Package doctor is the examination of a machine: whether recordings can be made on it, and what to do where they
// cannot. It owns the list of what a recording needs of its machine. It only looks: nothing is installed, changed or
// left behind. The doctor command calls it.
package doctor

import (
	"context"
	"time"
)

// Options say what to examine. The zero value examines the machine as recordhost would use it without a config.
type Options struct {
	Chrome     string // path of Chrome's binary; empty: looked for
	FFmpeg     string // path of ffmpeg; empty: looked for
	DataDir    string // where recordings are spooled; empty: the working directory
	MinFree    int64  // bytes below which the host starts no recording; zero: it always does
	SandboxOff bool   // the config switched Chrome's sandbox off: say so instead of trying it
}

// Finding is the result of one examination.
type Finding struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`           // what was found
	Advice string `json:"advice,omitempty"` // what to do, when it is not well
}

// limit bounds each program that an examination runs.
const limit = 20 * time.Second

// Examine looks at everything that a recording needs, in the order in which a recording needs it. It answers one
// finding for each, whatever the others say; when ctx ends, what could not be looked at is a finding that says so.
func Examine(ctx context.Context, o Options) []Finding {
	if o.DataDir == "" {
		o.DataDir = "."
	}
	examinations := []func(context.Context, Options) Finding{
		chrome, sandbox, ffmpeg, fontsCJK, fontsEmoji, sharedMemory, disk,
	}
	findings := make([]Finding, 0, len(examinations))
	for _, examine := range examinations {
		bounded, cancel := context.WithTimeout(ctx, limit)
		findings = append(findings, examine(bounded, o))
		cancel()
	}
	return findings
}

// Well reports whether nothing is amiss.
func Well(findings []Finding) bool {
	for _, f := range findings {
		if !f.OK {
			return false
		}
	}
	return true
}

func ok(name, detail string) Finding { return Finding{Name: name, OK: true, Detail: detail} }

func amiss(name, detail, advice string) Finding {
	return Finding{Name: name, Detail: detail, Advice: advice}
}
