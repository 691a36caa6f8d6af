package synthetic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/recordhost/recordhost/internal/scratch"
	"github.com/recordhost/recordhost/internal/store/bolt"
	"github.com/recordhost/recordhost/internal/task"
	"github.com/recordhost/recordhost/test/processes"
	"github.com/recordhost/recordhost/test/product"
)

// Stand is one host that records synthetic pages, in a folder and with programs of its own.
type Stand struct {
	*product.Host
	dir string
}

// Serve starts a host with room for that many recordings. Close must be called.
func (in *Installation) Serve(ctx context.Context, slots int, settings ...string) (*Stand, error) {
	dir, err := os.MkdirTemp(in.dir, "")
	if err != nil {
		return nil, fmt.Errorf("synthetic: %w", err)
	}
	p, err := in.site(dir)
	if err != nil {
		return nil, err
	}
	// Nobody starts the browser, so that anything that runs will do. The disk of a test may be nearly full.
	engine := fmt.Sprintf("engine {\n  chrome = %q\n  min_free = 0\n}", filepath.Join(dir, workerName))
	p.Worker = filepath.Join(dir, workerName)
	host, err := p.Serve(ctx, dir, slots, append(settings, engine)...)
	if err != nil {
		return nil, err
	}
	return &Stand{Host: host, dir: dir}, nil
}

// Abandon kills whatever still runs of a stand that has failed: a worker without a host would wait for one for a day.
func (s *Stand) Abandon() error {
	running, err := s.Running()
	for _, found := range running {
		for _, p := range found {
			if e := syscall.Kill(p.PID, syscall.SIGKILL); e != nil && !errors.Is(e, syscall.ESRCH) {
				err = errors.Join(err, e)
			}
		}
	}
	return err
}

// Spools are the tasks' directories that are left below the data directory.
func (s *Stand) Spools() ([]string, error) {
	return filepath.Glob(filepath.Join(s.dir, "data", "spool", "*"))
}

// Delivered are all files that recordings left in the storage.
func (s *Stand) Delivered() (files []string, err error) {
	err = filepath.WalkDir(s.Files, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	return files, err
}

// Private are the private directories that processes of this stand have left, after a sweep. The folders of pluginhost are
// not among them: it sweeps its own when they are a minute old, and its tests look at that.
func (s *Stand) Private() ([]string, error) {
	temp := filepath.Join(s.dir, TempName)
	for _, prefix := range []string{scratch.PrefixRun, scratch.PrefixSocket} {
		if _, err := scratch.Sweep(temp, prefix, nil); err != nil {
			return nil, err
		}
	}
	left, err := filepath.Glob(filepath.Join(temp, "*"))
	return slices.DeleteFunc(left, func(dir string) bool { return strings.HasPrefix(filepath.Base(dir), "recordhost-plugins-") }), err
}

// Temporary counts what lies in the stand's directory for temporary files.
func (s *Stand) Temporary() (int, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, TempName))
	return len(entries), err
}

// Told says whether a worker of the task has written that to its log.
func (s *Stand) Told(task, what string) (bool, error) {
	logs, err := filepath.Glob(filepath.Join(s.dir, "data", "plugins", "runtime-here", task+"-*.log"))
	if err != nil {
		return false, err
	}
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err != nil {
			return false, fmt.Errorf("synthetic: %w", err)
		}
		if bytes.Contains(text, []byte(what)) {
			return true, nil
		}
	}
	return false, nil
}

// Reached says whether a worker of the task has come to a moment.
func (s *Stand) Reached(task string, m Moment) (bool, error) {
	return s.Told(task, fmt.Sprintf(`"moment":%q`, m))
}

// Passed says whether a worker of the task has left the moment at which it was held.
func (s *Stand) Passed(task string, m Moment) (bool, error) {
	return s.Told(task, fmt.Sprintf(`"passed":%q`, m))
}

// Component is one of the processes.
type Component string

// The components.
const (
	HostProcess   Component = "host"
	Runtime       Component = "runtime plugin"
	HostStorage   Component = "host's storage plugin"
	Worker        Component = "worker"
	WorkerStorage Component = "worker's storage plugin"
)

// Running are the stand's processes. Which program one runs is told by the file, which no other stand has.
func (s *Stand) Running() (map[Component][]processes.Process, error) {
	all, err := processes.All()
	if err != nil {
		return nil, err
	}
	found := make(map[Component][]processes.Process)
	for _, p := range all {
		file, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(p.PID), "exe"))
		if err != nil {
			continue // it ended meanwhile, or is another user's
		}
		name, ours := strings.CutPrefix(file, s.dir+"/")
		if !ours {
			continue
		}
		c := Component(name)
		switch {
		case name == "recordhost":
			c = HostProcess
		case name == workerName:
			c = Worker
		case strings.HasSuffix(name, "runtime-local"):
			c = Runtime
		case strings.HasSuffix(name, "storage-blob") && p.Parent == s.PID():
			c = HostStorage
		case strings.HasSuffix(name, "storage-blob"):
			c = WorkerStorage
		}
		found[c] = append(found[c], p)
	}
	return found, nil
}

// Marked says whether the spool of a task knows of such a mark.
func (s *Stand) Marked(task, kind string) (bool, error) {
	journal, err := os.ReadFile(filepath.Join(s.dir, "data", "spool", task, "spool", "journal"))
	if err != nil {
		return false, fmt.Errorf("synthetic: %w", err)
	}
	return bytes.Contains(journal, fmt.Appendf(nil, `"mark":{"kind":%q`, kind)), nil
}

// Journalled is how much the task's workers have noted of what they told and took.
func (s *Stand) Journalled(task string) (size int64, err error) {
	journals, err := filepath.Glob(filepath.Join(s.dir, "data", "spool", task, "control-*.journal"))
	for _, journal := range journals {
		info, err := os.Stat(journal)
		if err != nil {
			return 0, fmt.Errorf("synthetic: %w", err)
		}
		size += info.Size()
	}
	return size, err
}

// State is what the store of a host that has ended knows of a task.
func (s *Stand) State(ctx context.Context, id string) (_ task.State, err error) {
	tasks, err := bolt.Open(filepath.Join(s.dir, "data"))
	if err != nil {
		return task.State{}, err
	}
	defer func() { err = errors.Join(err, tasks.Close()) }()
	stored, err := tasks.Get(ctx, id)
	if err != nil {
		return task.State{}, err
	}
	var record task.Record
	if err := json.Unmarshal(stored.Body, &record); err != nil {
		return task.State{}, fmt.Errorf("synthetic: task %s: %w", id, err)
	}
	return record.State, nil
}

// ErrNever is in the error of Until.
var ErrNever = errors.New("synthetic: it never came about")

const lookEach = 20 * time.Millisecond

// Until waits until something is so, and names it when it never is.
func Until(ctx context.Context, what string, met func() (bool, error)) error {
	again := time.NewTicker(lookEach)
	defer again.Stop()
	for {
		if ok, err := met(); ok || err != nil {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %s: %w", ErrNever, what, context.Cause(ctx))
		}
	}
}
