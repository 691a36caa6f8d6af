package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
)

// What a machine should have free. A recording of a lesson at 720p takes some hundred megabytes an hour; Chrome keeps
// the pictures it draws, and what its processes share, in /dev/shm.
const (
	diskWanted   = 5 << 30
	sharedWanted = 512 << 20
)

func disk(_ context.Context, o Options) Finding {
	dir, free, err := room(o.DataDir)
	const advice = "free some space, or set data_dir in the config to a folder on a larger disk"
	if err != nil {
		return amiss("disk", fmt.Sprintf("cannot ask for the free space of %s: %v", o.DataDir, err), advice)
	}
	detail := fmt.Sprintf("%s free below %s", size(free), dir)
	if free < o.MinFree {
		return amiss("disk", detail+", the host starts no recording below "+size(o.MinFree), advice+", or change min_free in engine {}")
	}
	if free < diskWanted {
		return amiss("disk", detail+", recordings want "+size(diskWanted), advice)
	}
	return ok("disk", detail)
}

func sharedMemory(context.Context, Options) Finding {
	const name = "/dev/shm"
	const advice = "mount a larger one: mount -o remount,size=1g /dev/shm; for a container: --shm-size=1g"
	_, free, err := room(name)
	if err != nil {
		return amiss(name, fmt.Sprintf("cannot ask for its free space: %v", err), advice)
	}
	if free < sharedWanted {
		return amiss(name, size(free)+" free, Chrome wants "+size(sharedWanted), advice)
	}
	return ok(name, size(free)+" free")
}

// room answers what is free for an unprivileged user below dir, or below the nearest folder above it that exists.
func room(dir string) (string, int64, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", 0, err
	}
	for {
		var stat syscall.Statfs_t
		err := syscall.Statfs(dir, &stat)
		if err == nil {
			return dir, int64(stat.Bavail) * stat.Bsize, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || filepath.Dir(dir) == dir {
			return "", 0, err
		}
		dir = filepath.Dir(dir)
	}
}

// size writes a number of bytes for people.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	default:
		return fmt.Sprintf("%d MiB", n/(1<<20))
	}
}
