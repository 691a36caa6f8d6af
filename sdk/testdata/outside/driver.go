// Command storage-plain keeps recordings in a local directory, each below the id of its delivery. It is a whole storage
// plugin, written with nothing but the SDK: sdk/outside_test.go builds it outside of the repository, and runs the
// conformance suite on it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/recordhost/recordhost/sdk/plugin"
	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

type config struct {
	Dir string `config:"dir" doc:"where recordings are kept"`
}

type driver struct {
	storage.NoParts
	storage.NoReadBack
	root string
}

func (d *driver) Capabilities(context.Context) (storage.Capabilities, error) {
	return storage.Capabilities{}, nil
}

func (d *driver) Check(ctx context.Context) error {
	return errors.Join(ctx.Err(), os.MkdirAll(d.root, 0o755))
}

func (d *driver) Open(ctx context.Context, v storage.Delivery) (storage.State, error) {
	if _, err := v.Key(v.Main); err != nil {
		return nil, err
	}
	if len(v.Target) > 0 {
		return nil, status.Errorf(status.InvalidArgument, "target: this storage has no settings of its own")
	}
	s, err := json.Marshal(v)
	return s, errors.Join(err, ctx.Err())
}

// file returns where the delivery's file lies once it is committed.
func (d *driver) file(ctx context.Context, s storage.State) (string, error) {
	var v storage.Delivery
	if err := json.Unmarshal(s, &v); err != nil || v.Main == "" {
		return "", status.Errorf(status.InvalidArgument, "not a state of this driver")
	}
	return filepath.Join(d.root, v.ID(), filepath.Base(v.Main)), ctx.Err()
}

func (d *driver) Put(ctx context.Context, s storage.State, f storage.File) error {
	file, err := d.file(ctx, s)
	if err != nil {
		return err
	}
	if f.Name != filepath.Base(file) {
		return status.Errorf(status.InvalidArgument, "a delivery is one file here, not %q", f.Name)
	}
	r, err := f.Open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	w, err := os.CreateTemp(filepath.Dir(file), "")
	if err != nil {
		return err
	}
	defer os.Remove(w.Name())
	_, err = io.Copy(w, r)
	if err = errors.Join(err, w.Sync(), w.Close()); err != nil {
		return err
	}
	return os.Rename(w.Name(), filepath.Dir(file)+".put")
}

func (d *driver) Commit(ctx context.Context, s storage.State) (storage.Location, error) {
	file, err := d.file(ctx, s)
	if err != nil {
		return storage.Location{}, err
	}
	_ = os.Rename(filepath.Dir(file)+".put", file) // nothing to do when it was committed before
	info, err := os.Stat(file)
	if err != nil {
		return storage.Location{}, status.Wrap(status.FailedPrecondition, err)
	}
	return storage.Location{Name: filepath.Base(file), URL: "file://" + file, Size: info.Size()}, nil
}

func (d *driver) Abort(ctx context.Context, s storage.State) error {
	file, err := d.file(ctx, s)
	if err != nil {
		return err
	}
	return os.RemoveAll(filepath.Dir(file) + ".put")
}

func open(_ context.Context, _ plugin.Env, c config) (storage.Driver, error) {
	return &driver{root: c.Dir}, nil
}

func main() { storage.Serve(storage.Plugin[config]{Name: "plain", New: open}) }
