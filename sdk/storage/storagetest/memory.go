package storagetest

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// Options of a Memory. The zero value is a store that can do everything and never fails.
type Options struct {
	// Capabilities that the store answers and keeps to; nil: all of them, with parts of any size.
	Capabilities *storage.Capabilities

	// Overwrite lets a delivery replace files of others.
	Overwrite bool

	// Before is asked at the begin of each call; an error is the call's answer, and nothing is done. It may wait for ctx to end,
	// as a store that hangs.
	Before func(ctx context.Context, c Call) error

	// After is asked when a call was done; an error is the call's answer though it was done, as when an answer is lost.
	After func(ctx context.Context, c Call) error
}

// Call is one call of a Memory.
type Call struct {
	Method string // "Put"
	Name   string // of the file, where the call has one
	Part   int    // the number of the part, of PutPart
	Count  int    // of calls of this method, this one included
}

// FailFirst makes the first n calls of a method fail with err, for Options.Before or After.
func FailFirst(method string, n int, err error) func(context.Context, Call) error {
	return func(_ context.Context, c Call) error {
		if c.Method == method && c.Count <= n {
			return err
		}
		return nil
	}
}

// Hang makes all calls of a method wait until their contexts end, for Options.Before.
func Hang(method string) func(context.Context, Call) error {
	return func(ctx context.Context, c Call) error {
		if c.Method != method {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}
}

// Memory is a storage driver that keeps deliveries in memory: a store without a service, for tests of what lies above a
// storage.Driver. It keeps no state but the store's, so it also stands for a driver that was started anew.
type Memory struct {
	*store
	options   Options
	caps      storage.Capabilities
	overwrite bool
}

// store is what outlives a Memory's drivers.
type store struct {
	mu        sync.Mutex
	objects   map[string]object
	uploads   map[string]*upload
	committed map[string]bool // by state
	calls     []Call
	counts    map[string]int
}

var _ storage.Driver = (*Memory)(nil)

type object struct {
	data        []byte
	owner       string // the delivery's id; empty for somebody else's
	contentType string
	modified    time.Time
}

// upload is a growing file. It stays when it was finished, so that finishing it again is harmless.
type upload struct {
	growing  storage.Growing
	state    string
	parts    map[int][]byte
	finished bool
}

// NewMemory returns an empty store.
func NewMemory(o Options) *Memory {
	caps := storage.Capabilities{
		Parts: true, OutOfOrder: true, MaxPartSize: 1 << 30, MaxParts: 10000, ReadBack: true, Folders: true,
	}
	if o.Capabilities != nil {
		caps = *o.Capabilities
	}
	return &Memory{
		store: &store{
			objects: map[string]object{}, uploads: map[string]*upload{}, committed: map[string]bool{}, counts: map[string]int{},
		},
		options: o, caps: caps, overwrite: o.Overwrite,
	}
}

// Overwriting returns a driver of the same store that may replace files of others.
func (m *Memory) Overwriting() *Memory {
	return &Memory{store: m.store, options: m.options, caps: m.caps, overwrite: true}
}

// Files returns what any reader of the store sees: the files by their names, directories included.
func (m *Memory) Files() map[string][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	files := map[string][]byte{}
	for key, o := range m.objects {
		files[key] = slices.Clone(o.data)
	}
	return files
}

// Calls returns all calls so far, in order.
func (m *Memory) Calls() []Call {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.calls)
}

// Uploads returns how many growing files were begun and neither finished nor aborted.
func (m *Memory) Uploads() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, u := range m.uploads {
		if !u.finished {
			n++
		}
	}
	return n
}

// Plant puts a file of somebody else into the store.
func (m *Memory) Plant(key string, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[key] = object{data: slices.Clone(data), modified: time.Now().UTC()}
}

// Corrupt changes a stored file behind the driver's back.
func (m *Memory) Corrupt(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.objects[key]
	o.data = append(slices.Clone(o.data), 0)
	m.objects[key] = o
}

// call runs one call between the faults that the options inject.
func (m *Memory) call(ctx context.Context, c Call, do func() error) error {
	m.mu.Lock()
	m.counts[c.Method]++
	c.Count = m.counts[c.Method]
	m.calls = append(m.calls, c)
	m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.options.Before != nil {
		if err := m.options.Before(ctx, c); err != nil {
			return err
		}
	}
	if err := do(); err != nil {
		return err
	}
	if m.options.After != nil {
		return m.options.After(ctx, c)
	}
	return nil
}

// Capabilities implements storage.Driver.
func (m *Memory) Capabilities(ctx context.Context) (storage.Capabilities, error) {
	err := m.call(ctx, Call{Method: "Capabilities"}, func() error { return nil })
	return m.caps, err
}

// Check implements storage.Driver.
func (m *Memory) Check(ctx context.Context) error {
	return m.call(ctx, Call{Method: "Check"}, func() error { return nil })
}

// Open implements storage.Driver. The target's settings are refused: the store has none.
func (m *Memory) Open(ctx context.Context, d storage.Delivery) (state storage.State, err error) {
	err = m.call(ctx, Call{Method: "Open", Name: d.Main}, func() error {
		key, err := d.Key(d.Main)
		if err != nil {
			return err
		}
		if len(d.Target) > 0 && string(d.Target) != "{}" && string(d.Target) != "null" {
			return status.Errorf(status.InvalidArgument, "target: this store has no settings of its own")
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if err := m.mayWrite(d, key); err != nil {
			return err
		}
		state, err = json.Marshal(d)
		return err
	})
	return state, err
}

// mayWrite refuses a name that is somebody else's.
func (m *Memory) mayWrite(d storage.Delivery, key string) error {
	if o, exists := m.objects[key]; exists && !m.overwrite && o.owner != d.ID() {
		return status.Errorf(status.AlreadyExists, "%s exists", key)
	}
	return nil
}

// Put implements storage.Driver.
func (m *Memory) Put(ctx context.Context, s storage.State, f storage.File) error {
	return m.call(ctx, Call{Method: "Put", Name: f.Name}, func() error {
		d, key, err := keyOf(s, f.Name)
		if err != nil {
			return err
		}
		if !m.caps.Folders && f.Name != d.Main {
			return status.Errorf(status.InvalidArgument, "file name %q: a delivery is one file here, %q", f.Name, d.Main)
		}
		r, err := f.Open(ctx)
		if err != nil {
			return err
		}
		defer r.Close()
		var content bytes.Buffer
		content.Grow(int(f.Size) + bytes.MinRead)
		if _, err := content.ReadFrom(r); err != nil {
			return err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if err := m.mayWrite(d, key); err != nil {
			return err
		}
		m.objects[key] = object{data: content.Bytes(), owner: d.ID(), contentType: f.ContentType, modified: time.Now().UTC()}
		return nil
	})
}

// Commit implements storage.Driver.
func (m *Memory) Commit(ctx context.Context, s storage.State) (l storage.Location, err error) {
	err = m.call(ctx, Call{Method: "Commit"}, func() error {
		d, err := deliveryOf(s)
		if err != nil {
			return err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		files := m.filesOf(d)
		main, ok := files[d.Main]
		if !ok {
			return status.Errorf(status.FailedPrecondition, "commit: %s was never put", d.Main)
		}
		l = storage.Location{Name: d.Main, URL: "memory:///" + path.Join(d.Dir, d.Main), Checksum: checksum(main.data)}
		for _, o := range files {
			l.Size += int64(len(o.data))
		}
		m.committed[string(s)] = true
		return nil
	})
	return l, err
}

// Abort implements storage.Driver.
func (m *Memory) Abort(ctx context.Context, s storage.State) error {
	return m.call(ctx, Call{Method: "Abort"}, func() error {
		d, err := deliveryOf(s)
		if err != nil {
			return err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		maps.DeleteFunc(m.uploads, func(_ string, u *upload) bool { return u.state == string(s) })
		if m.committed[string(s)] {
			return nil
		}
		for name := range m.filesOf(d) {
			key, _ := d.Key(name)
			delete(m.objects, key)
		}
		return nil
	})
}

// List implements storage.Driver.
func (m *Memory) List(ctx context.Context, s storage.State) (objects []storage.Object, err error) {
	err = m.readBack(ctx, Call{Method: "List"}, func() error {
		d, err := deliveryOf(s)
		if err != nil {
			return err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		files := m.filesOf(d)
		for _, name := range slices.Sorted(maps.Keys(files)) {
			o := files[name]
			objects = append(objects, storage.Object{Name: name, Size: int64(len(o.data)), Modified: o.modified})
		}
		return nil
	})
	return objects, err
}

// Fetch implements storage.Driver.
func (m *Memory) Fetch(ctx context.Context, s storage.State, name, to string) error {
	return m.readBack(ctx, Call{Method: "Fetch", Name: name}, func() error {
		d, err := deliveryOf(s)
		if err != nil {
			return err
		}
		m.mu.Lock()
		o, ok := m.filesOf(d)[name]
		m.mu.Unlock()
		if !ok {
			return status.Errorf(status.NotFound, "fetch: no file %q", name)
		}
		file, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if os.IsExist(err) {
			return status.Wrap(status.AlreadyExists, err)
		}
		if err != nil {
			return err
		}
		_, err = file.Write(o.data)
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			_ = os.Remove(to)
		}
		return err
	})
}

// Delete implements storage.Driver.
func (m *Memory) Delete(ctx context.Context, s storage.State, name string) error {
	return m.readBack(ctx, Call{Method: "Delete", Name: name}, func() error {
		d, key, err := keyOf(s, name)
		if err != nil {
			return err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if _, ok := m.filesOf(d)[name]; ok {
			delete(m.objects, key)
		}
		return nil
	})
}

func (m *Memory) readBack(ctx context.Context, c Call, do func() error) error {
	if !m.caps.ReadBack {
		return status.Errorf(status.Unimplemented, "this store cannot be read back")
	}
	return m.call(ctx, c, do)
}

// deliveryOf reads a state.
func deliveryOf(s storage.State) (storage.Delivery, error) {
	var d storage.Delivery
	if err := json.Unmarshal(s, &d); err != nil || d.Main == "" {
		return d, status.Errorf(status.InvalidArgument, "not a state of this driver")
	}
	return d, nil
}

// keyOf reads a state, and returns the key of one of its files.
func keyOf(s storage.State, name string) (storage.Delivery, string, error) {
	d, err := deliveryOf(s)
	if err != nil {
		return d, "", err
	}
	key, err := d.Key(name)
	return d, key, err
}

// filesOf returns the files of a delivery by their names below its directory.
func (m *Memory) filesOf(d storage.Delivery) map[string]object {
	files := map[string]object{}
	for key, o := range m.objects {
		name, below := key, true
		if d.Dir != "" {
			name, below = strings.CutPrefix(key, d.Dir+"/")
		}
		if below && o.owner == d.ID() {
			files[name] = o
		}
	}
	return files
}

func checksum(data []byte) string {
	sum := md5.Sum(data)
	return fmt.Sprintf("md5:%s", hex.EncodeToString(sum[:]))
}
