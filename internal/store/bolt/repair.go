package bolt

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/recordhost/recordhost/internal/store"
)

// sumPrefix begins the name under which a setting's checksum is kept.
const sumPrefix = "sum:"

// Damage is what was wrong with a file when it was opened, and what became of it.
type Damage struct {
	Aside    string   // where the damaged file is now
	Cause    error    // what was wrong, the first few of it
	Kept     int      // tasks that were taken over
	Older    []string // IDs of those among them of which only what they were before could be read
	Lost     []string // IDs of the tasks that could not be
	Settings []string // names of the settings that could not be
	Unnamed  bool     // there may be more tasks that were lost, of which not even the IDs can be read
}

// content is what a file holds.
type content struct {
	tasks    map[string]store.Task
	lost     map[string]bool
	older    map[string]bool // tasks as they were some changes before
	settings map[string][]byte
	noValue  []string // settings that are damaged
	unnamed  bool
}

// inspect reads a file's content and says what is wrong with it. A file that is new or empty is sound.
func inspect(path string) (content, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(data) == 0 {
		return content{}, nil
	}
	if err != nil {
		return content{}, fmt.Errorf("read: %w", err)
	}
	all, damage := readPages(data)
	if found := schemaOf(all); found != "" && found != strconv.Itoa(schema) {
		if damage != nil {
			return content{}, fmt.Errorf("it is damaged, and of another release (schema %s), so that nothing is taken out of it: %w",
				found, damage)
		}
		return content{}, nil // prepare knows what to do about it
	}
	c, wrong := readContent(all) // of what can be read
	c.unnamed = damage != nil
	if damage = errors.Join(damage, wrong); damage == nil {
		return c, nil
	}
	c.salvage(data, all)
	return c, damagedError{damage}
}

// damagedError is what is wrong with a file's content.
type damagedError struct{ error }

func schemaOf(all buckets) string {
	for _, p := range all[bucketMeta] {
		if string(p.key) == keySchema {
			return string(p.value)
		}
	}
	return ""
}

// readContent decodes what the pages hold, and checks that the buckets agree.
func readContent(all buckets) (content, error) {
	c := content{
		tasks: make(map[string]store.Task), lost: make(map[string]bool), older: make(map[string]bool),
		settings: make(map[string][]byte),
	}
	var errs []error
	for _, name := range []string{bucketTasks, bucketOrder, bucketOpen, bucketSettings, bucketMeta} {
		if _, there := all[name]; !there {
			errs = append(errs, fmt.Errorf("there is no bucket %s", name))
		}
	}
	want := map[string]map[string]string{bucketOrder: {}, bucketOpen: {}, bucketFinished: {}}
	for _, p := range all[bucketTasks] {
		id := string(p.key)
		t, err := store.Decode(p.value)
		if err == nil && t.ID != id {
			err = fmt.Errorf("it is task %q", t.ID)
		}
		if err != nil {
			c.lost[id] = true
			errs = append(errs, fmt.Errorf("task %q: %w", id, err))
			continue
		}
		c.tasks[id] = t
		for _, k := range indexKeys(t) {
			want[k.bucket][string(k.key)] = k.value
		}
	}
	for bucket, keys := range want {
		if !maps.Equal(keys, asMap(all[bucket])) {
			errs = append(errs, fmt.Errorf("bucket %s does not agree with the tasks", bucket))
		}
	}
	return c, errors.Join(append(errs, c.readSettings(asMap(all[bucketSettings])))...)
}

func asMap(pairs []pair) map[string]string {
	m := make(map[string]string, len(pairs))
	for _, p := range pairs {
		m[string(p.key)] = string(p.value)
	}
	return m
}

// readSettings takes the settings whose checksums are right.
func (c *content) readSettings(all map[string]string) error {
	var errs []error
	for name, value := range all {
		if len(name) > len(sumPrefix) && name[:len(sumPrefix)] == sumPrefix {
			continue
		}
		if all[sumPrefix+name] != settingSum(name, []byte(value)) {
			c.noValue = append(c.noValue, name)
			errs = append(errs, fmt.Errorf("setting %q is damaged", name))
			continue
		}
		c.settings[name] = []byte(value)
	}
	return errors.Join(errs...)
}

func settingSum(name string, value []byte) string {
	return strconv.FormatUint(uint64(crc32.ChecksumIEEE(append([]byte(name+"\x00"), value...))), 16)
}

// salvage adds what stands in a damaged file without belonging to it any more as far as one can tell: a task whose page
// cannot be found. That may be one that was deleted, or what a task was before, so it must agree with the index.
func (c *content) salvage(data []byte, all buckets) {
	known := make(map[string]string) // ID -> status
	for _, p := range all[bucketOrder] {
		if len(p.key) > 8 {
			known[string(p.key[8:])] = string(p.value)
		}
	}
	for _, p := range all[bucketOpen] {
		c.lost[string(p.key)] = true
	}
	for id := range known {
		c.lost[id] = true
	}
	maps.DeleteFunc(c.lost, func(id string, _ bool) bool { _, kept := c.tasks[id]; return kept || !readable(id) })
	for id, t := range store.Carve(data) {
		if !c.unnamed && !c.lost[id] { // all that there is was found
			continue
		}
		if status, listed := known[id]; listed && status != t.Status {
			continue
		}
		if kept, there := c.tasks[id]; !there || t.Version > kept.Version {
			c.tasks[id] = t
			c.older[id] = c.lost[id]
		}
	}
	maps.DeleteFunc(c.lost, func(id string, _ bool) bool { _, kept := c.tasks[id]; return kept })
	maps.DeleteFunc(c.older, func(_ string, older bool) bool { return !older })
}

// readable tells an ID from what damage has made of it.
func readable(id string) bool {
	const longest = 64
	return len(id) > 0 && len(id) <= longest && strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

// replace puts a new file with the content in the place of a damaged one, which is kept beside it.
func replace(path string, c content, cause error, now time.Time) (*Damage, error) {
	aside := path + ".damaged-" + now.UTC().Format("20060102T150405.000")
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	db, err := bbolt.Open(fresh, 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(db.Update(c.write), db.Close()); err != nil {
		return nil, err
	}
	// The damaged file has its second name before it loses its first, so that there is a file at any time.
	if err := os.Link(path, aside); err != nil {
		return nil, err
	}
	if err := os.Rename(fresh, path); err != nil {
		return nil, err
	}
	return &Damage{
		Aside: aside, Cause: cause, Kept: len(c.tasks), Older: slices.Sorted(maps.Keys(c.older)),
		Lost: slices.Sorted(maps.Keys(c.lost)), Settings: slices.Sorted(slices.Values(c.noValue)),
		Unnamed: c.unnamed,
	}, syncDir(filepath.Dir(path))
}

func (c content) write(tx *bbolt.Tx) error {
	if err := prepare(tx); err != nil {
		return err
	}
	for _, t := range c.tasks {
		if err := write(tx, t); err != nil {
			return err
		}
	}
	for name, value := range c.settings {
		if err := keepSetting(tx, name, value); err != nil {
			return err
		}
	}
	return nil
}

// guard turns a panic of f into an error, that over memory which is not there among them.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = damagedError{fmt.Errorf("it cannot be opened: %v", p)}
		}
	}()
	return f()
}

// indexKey is what a bucket says of a task.
type indexKey struct {
	bucket string
	key    []byte
	value  string
}

// indexKeys are all that the buckets besides that of the tasks say of a task.
func indexKeys(t store.Task) []indexKey {
	keys := []indexKey{{bucketOrder, orderKey(t.Created, t.ID), t.Status}}
	switch {
	case t.Open:
		keys = append(keys, indexKey{bucketOpen, []byte(t.ID), ""})
	case !t.Finished.IsZero():
		keys = append(keys, indexKey{bucketFinished, orderKey(t.Finished, t.ID), ""})
	}
	return keys
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
