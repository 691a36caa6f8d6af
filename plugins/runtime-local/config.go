package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"time"

	"github.com/recordhost/recordhost/sdk/plugin"
)

// config is the plugin's settings.
type config struct {
	Slots    int           `config:"slots,optional" doc:"recordings at a time; by default half the number of processors, at least one"`
	Worker   string        `config:"worker,optional" doc:"absolute path of the program that records; by default recordhost itself"`
	KeepLogs time.Duration `config:"keep_logs" default:"168h" doc:"how long the logs of workers are kept"`
}

// Validate says what cannot work.
func (c *config) Validate() error {
	if c.Slots < 0 {
		return fmt.Errorf("slots: %d is less than none", c.Slots)
	}
	if c.KeepLogs <= 0 {
		return fmt.Errorf("keep_logs: %s is no time to keep anything", c.KeepLogs)
	}
	if c.Worker != "" && !filepath.IsAbs(c.Worker) {
		return fmt.Errorf("worker: %q is not an absolute path", c.Worker)
	}
	return nil
}

// complete fills in what is not set, and looks that there is a worker.
func (c *config) complete(env plugin.Env) error {
	if c.Slots == 0 {
		c.Slots = max(1, goruntime.NumCPU()/2)
	}
	if c.Worker == "" {
		c.Worker = env.HostExecutable
	}
	if c.Worker == "" {
		return errors.New("worker: not set, and the host told no executable of its own")
	}
	info, err := os.Stat(c.Worker)
	if err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		return fmt.Errorf("worker: %s is not a program", c.Worker)
	}
	return nil
}
