package plugin

import (
	"context"
	"errors"
	"os"
	"strconv"
	"syscall"
	"time"
)

// parentPoll is how often a plugin looks whether its host still lives. PR_SET_PDEATHSIG would tell at once, but it tells of
// the death of the host's thread that made the process, and Go's threads come and go.
const parentPoll = time.Second

// watchParent returns true once the process that started this one is gone, false when ctx ends before.
func watchParent(ctx context.Context) bool {
	gone := parentGone(os.Getppid(), os.Getenv(hostPIDKey))
	tick := time.NewTicker(parentPoll)
	defer tick.Stop()
	for !gone() {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}

// parentGone returns the question whether the host is gone. An orphan gets another parent; when the host died before the
// plugin could look, only the host's number, which it left in the environment, tells.
func parentGone(parent int, hostPID string) func() bool {
	host, err := strconv.Atoi(hostPID)
	if err != nil || host <= 0 {
		host = 0
	}
	return func() bool {
		if os.Getppid() != parent {
			return true
		}
		return host != 0 && host != parent && errors.Is(syscall.Kill(host, 0), syscall.ESRCH)
	}
}
