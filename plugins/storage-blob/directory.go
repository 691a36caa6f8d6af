package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"gocloud.dev/blob"

	"github.com/recordhost/recordhost/sdk/status"
)

const (
	// ownerAttribute is the extended attribute that names the delivery which stored a file.
	ownerAttribute = "user.recordhost.delivery"

	// maxPart is how many bytes a part of a path may have, maxFile how many the last one: fileblob's temporary name is longer.
	maxPart = 255
	maxFile = maxPart - len(".0123456789abcdef.tmp")

	// sidecar is the end of names that fileblob keeps for itself.
	sidecar = ".attrs"
)

// temporary matches the names of files that fileblob is writing.
var temporary = regexp.MustCompile(`\.[0-9a-f]{16}\.tmp$`)

// directory is a local directory. It adds to fileblob what a recorder needs: files that outlive a power cut, no race for a name
// between plugins of several workers, and files that tell whose they are. Where the file system has no extended attributes
// they do not tell; then only the process that stored a file knows.
type directory struct {
	root   string
	bucket *blob.Bucket
}

var _ objects = (*directory)(nil)

// path is where a key's file lies. check has refused the keys for which fileblob sees it otherwise.
func (d *directory) path(key string) string { return filepath.Join(d.root, filepath.FromSlash(key)) }

func (d *directory) check(key string) error {
	parts := strings.Split(key, "/")
	for i, part := range parts {
		limit := maxPart
		if i == len(parts)-1 {
			limit = maxFile
		}
		switch {
		case len(part) > limit:
			return status.Errorf(status.InvalidArgument, "%q has %d bytes, a file system takes %d", part, len(part), limit)
		case i < len(parts)-1 && strings.HasSuffix(part, ".."):
			return status.Errorf(status.InvalidArgument, "directory %q ends with two dots", part)
		case strings.Contains(part, "__0x"):
			return status.Errorf(status.InvalidArgument, "%q holds __0x, with which fileblob marks what it escaped", part)
		}
	}
	if last := parts[len(parts)-1]; strings.HasSuffix(last, sidecar) || temporary.MatchString(last) {
		return status.Errorf(status.InvalidArgument, "%q is a name for internal files", last)
	}
	return nil
}

func (d *directory) stat(ctx context.Context, key string) (object, error) {
	if err := ctx.Err(); err != nil {
		return object{}, failure(ctx, "look at "+key, err)
	}
	path := d.path(key)
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		err = status.Errorf(status.InvalidArgument, "%s is a directory", path)
	}
	if err != nil {
		return object{}, failure(ctx, "look at "+key, err)
	}
	return object{size: info.Size(), modified: info.ModTime(), owner: ownerOf(path)}, nil
}

// list does not ask fileblob, which neither ends with its context nor knows its own temporary files.
func (d *directory) list(ctx context.Context, prefix string, each func(key string, o object)) error {
	err := filepath.WalkDir(d.path(prefix), func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went meanwhile, or was never there
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || !entry.Type().IsRegular() || temporary.MatchString(path) {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		key, err := filepath.Rel(d.root, path)
		if err != nil {
			return err
		}
		each(filepath.ToSlash(key), object{size: info.Size(), modified: info.ModTime()})
		return nil
	})
	return failure(ctx, "list "+prefix, err)
}

func (d *directory) write(ctx context.Context, key string, r io.Reader, o writeOptions) error {
	d.removeStale(key, o.owner)
	err := d.writeSynced(ctx, key, r, o)
	if o.onlyNew && kindOf(err) == status.FailedPrecondition {
		return status.Errorf(status.AlreadyExists, "%s exists", d.path(key))
	}
	return failure(ctx, "write "+key, err)
}

func (d *directory) writeSynced(ctx context.Context, key string, r io.Reader, o writeOptions) error {
	writeCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	var file *os.File
	w, err := d.bucket.NewWriter(writeCtx, key, &blob.WriterOptions{
		ContentType: o.contentType,
		IfNotExist:  o.onlyNew,
		BeforeWrite: func(as func(any) bool) error {
			if !as(&file) {
				return errors.New("fileblob does not write a file")
			}
			return setOwner(file.Name(), o.owner)
		},
	})
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	if err == nil {
		err = file.Sync()
	}
	if err != nil {
		cancel() // makes Close remove the temporary file
		_ = w.Close()
		return err
	}
	parent := filepath.Dir(file.Name())
	unlock, err := lock(parent)
	if err != nil {
		cancel()
		_ = w.Close()
		return err
	}
	err = w.Close()
	unlock()
	if err != nil {
		return err
	}
	return d.syncUp(parent)
}

// syncUp writes the entries of dir and of the directories above it, up to the root, to the disk.
func (d *directory) syncUp(dir string) error {
	for {
		if err := syncDir(dir); err != nil {
			return err
		}
		if dir == d.root || !strings.HasPrefix(dir, d.root) || dir == filepath.Dir(dir) {
			return nil
		}
		dir = filepath.Dir(dir)
	}
}

// syncAbove writes the entries of the directories above a root that was just made to the disk. Some of them may be closed to us;
// those were not made by us.
func syncAbove(root string) {
	for dir := filepath.Dir(root); ; dir = filepath.Dir(dir) {
		if syncDir(dir) != nil || dir == filepath.Dir(dir) {
			return
		}
	}
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	err = f.Sync()
	// Some network file systems have no such thing as syncing a directory.
	if err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// removeStale removes what an earlier process of the same delivery left of the file when it was killed while it wrote. That it
// fails does no harm.
func (d *directory) removeStale(key, owner string) {
	path := d.path(key)
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return
	}
	for _, e := range entries {
		rest, ours := strings.CutPrefix(e.Name(), filepath.Base(path))
		stale := filepath.Join(filepath.Dir(path), e.Name())
		if ours && len(rest) == maxPart-maxFile && temporary.MatchString(rest) && ownerOf(stale) == owner {
			_ = os.Remove(stale)
		}
	}
}

// lock holds the directory against other plugins that give files in it their final names. fileblob looks whether a name is free
// and then renames, which alone would let one recording replace another. Where locks are not supported it does not hold.
func lock(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	return func() { _ = f.Close() }, nil // closing unlocks
}

func ownerOf(path string) string {
	owner := make([]byte, 64)
	n, err := syscall.Getxattr(path, ownerAttribute, owner)
	if err != nil {
		return ""
	}
	return string(owner[:n])
}

// setOwner marks a file, where the file system can.
func setOwner(path, owner string) error {
	err := syscall.Setxattr(path, ownerAttribute, []byte(owner), 0)
	if errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.EPERM) {
		return nil
	}
	return err
}
