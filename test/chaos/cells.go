package main

import (
	"fmt"
	"slices"
	"syscall"
	"time"
)

// component is what dies.
type component string

// The components. A storage plugin runs for the host, which checks the configuration with it, and for the worker that delivers.
const (
	host          component = "host"
	runtimePlugin component = "runtime plugin"
	storagePlugin component = "storage plugin"
	worker        component = "worker"
	chrome        component = "Chrome"
	renderer      component = "renderer"
	ffmpeg        component = "ffmpeg"
)

func components() []component {
	return []component{host, runtimePlugin, storagePlugin, worker, chrome, renderer, ffmpeg}
}

// moment is when it dies.
type moment string

// The moments of a task's life.
const (
	acked       moment = "Start acked"
	loading     moment = "loading"
	waiting     moment = "waiting"
	firstSecond moment = "first second"
	steady      moment = "steady"
	paused      moment = "paused"
	resumed     moment = "resume"
	refreshed   moment = "refresh"
	stopped     moment = "stop"
	transcode   moment = "transcode"
	upload      moment = "upload"
	callback    moment = "callback"
)

func moments() []moment {
	return []moment{
		acked, loading, waiting, firstSecond, steady, paused, resumed, refreshed, stopped, transcode, upload, callback,
	}
}

// recording says that something has been captured by then, and more is to come.
func (m moment) recording() bool {
	return slices.Contains([]moment{firstSecond, steady, paused, resumed, refreshed}, m)
}

// ended says that nothing is captured any more.
func (m moment) ended() bool {
	return slices.Contains([]moment{stopped, transcode, upload, callback}, m)
}

// cell is one way to die.
type cell struct {
	component component
	moment    moment
	signal    syscall.Signal // SIGKILL or SIGSTOP
}

func (c cell) String() string {
	return fmt.Sprintf("%s, %s, %s", c.component, c.moment, signalName(c.signal))
}

func signalName(s syscall.Signal) string {
	if s == syscall.SIGSTOP {
		return "SIGSTOP"
	}
	return "SIGKILL"
}

// cells are all that can be: what is not there at a moment cannot die then.
func cells() []cell {
	var all []cell
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP} {
		for _, c := range components() {
			for _, m := range moments() {
				if exists(c, m) {
					all = append(all, cell{c, m, signal})
				}
			}
		}
	}
	return all
}

func exists(c component, m moment) bool {
	switch c {
	case ffmpeg: // it is started with the first picture, and ends with the last
		return m.recording()
	case chrome, renderer:
		return m == loading || m == waiting || m.recording()
	case worker: // it has done its work when the caller is told
		return m != callback
	}
	return true
}

// bound is what may be lost and how long it may last.
type bound struct {
	lost  time.Duration // of what was captured
	again time.Duration // until pictures are captured again; a hang has to be noticed first
}

// promise is what the documents say of a component's death.
func (c cell) promise() bound {
	hang := time.Duration(0)
	if c.signal == syscall.SIGSTOP {
		hang = 10 * time.Second
	}
	switch c.component {
	case worker:
		return bound{2 * time.Second, 15*time.Second + hang}
	case chrome, renderer:
		return bound{2 * time.Second, 15*time.Second + hang}
	case ffmpeg:
		return bound{lost: 2 * time.Second}
	}
	return bound{}
}
