package host

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// room looks whether the file system of a directory has that much free, and says what to do where it has not.
func room(dir string, least int64) error {
	if least == 0 {
		return nil
	}
	free, err := free(dir)
	if err != nil {
		return fmt.Errorf("the free space of %s is not known, so no recording is started: %w; mend that, or set min_free = 0 in "+
			"engine {} of the config", dir, err)
	}
	if free < least {
		return fmt.Errorf("the disk of %s has %s free and no recording is started below %s: free some space there, or change min_free "+
			"in engine {} of the config", dir, mebibytes(free), mebibytes(least))
	}
	return nil
}

// free is what an unprivileged user has below dir, or below the nearest folder above it that exists.
func free(dir string) (int64, error) {
	for {
		var stat unix.Statfs_t
		err := unix.Statfs(dir, &stat)
		if err == nil {
			return int64(stat.Bavail) * stat.Bsize, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || filepath.Dir(dir) == dir {
			return 0, err
		}
		dir = filepath.Dir(dir)
	}
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }
