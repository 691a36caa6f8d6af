package main

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"

	"github.com/recordhost/recordhost/sdk/proc"
	"github.com/recordhost/recordhost/sdk/runtime"
	"github.com/recordhost/recordhost/sdk/status"
)

// handleVersion is raised when an older plugin would misread the handle.
const handleVersion = 1

// handle is what a runtime.Handle of this plugin holds: the proof of which process the worker is.
type handle struct {
	Version int           `json:"version"`
	TaskID  string        `json:"task_id"`
	Epoch   uint64        `json:"epoch"`
	Process proc.Identity `json:"process"`
	Machine string        `json:"machine,omitempty"` // where it was launched, empty when that is not known
}

// machine names this machine, as systemd and D-Bus know it; empty where nobody has named it.
func machine() string {
	id, _ := os.ReadFile("/etc/machine-id")
	return strings.TrimSpace(string(id))
}

// before says that the process belonged to an earlier start of this very machine: it is gone.
func (h handle) before() bool {
	self, err := proc.Self()
	return err == nil && h.Machine != "" && h.Machine == machine() && h.Process.Boot != self.Boot
}

func (h handle) encode() (runtime.Handle, error) {
	b, err := json.Marshal(h)
	if err != nil {
		return nil, status.Wrap(status.Internal, err)
	}
	return b, nil
}

// isMark says whether s is the mark of a detached process, which also names a file of the roster.
func isMark(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 16
}

// decodeHandle accepts only what this plugin made: a handle that lacks a part of the proof proves nothing.
func decodeHandle(b runtime.Handle) (handle, error) {
	var h handle
	if err := json.Unmarshal(b, &h); err != nil {
		return handle{}, status.Errorf(status.InvalidArgument, "not a handle of runtime-local: %w", err)
	}
	if h.Version != handleVersion {
		return handle{}, status.Errorf(status.InvalidArgument,
			"a handle of version %d, this runtime-local knows %d", h.Version, handleVersion)
	}
	p := h.Process
	if p.Boot == "" || p.Namespace == "" || p.PID <= 1 || p.Start == 0 || !isMark(p.Mark) {
		return handle{}, status.Errorf(status.InvalidArgument, "not a handle of runtime-local: it does not identify a process")
	}
	return h, nil
}
