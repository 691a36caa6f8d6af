package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// journal remembers on disk which uploads were begun for a delivery, since the store does not tell whose an upload is: two recordings
// may be on their way to the same name. So they are found again when the process has died, and are gone on with or removed.
type journal struct {
	dir string
	mu  sync.Mutex
}

// begun is an upload that was begun.
type begun struct {
	Name string `json:"name"` // of the file, below the delivery's directory
	ID   string `json:"id"`

	// Of a whole file that is sent in parts; zero for one that grows.
	Size int64 `json:"size,omitempty"`
	Part int64 `json:"part,omitempty"` // bytes of each part but the last
}

func (j *journal) path(p place) string {
	return filepath.Join(j.dir, "uploads", p.delivery.ID()+".json")
}

// uploads answers those of a delivery, the latest last.
func (j *journal) uploads(p place) ([]begun, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.read(p)
}

func (j *journal) read(p place) (list []begun, err error) {
	text, err := os.ReadFile(j.path(p))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return list, json.Unmarshal(text, &list)
}

// add remembers an upload.
func (j *journal) add(p place, b begun) error {
	return j.change(p, func(list []begun) []begun { return append(list, b) })
}

// remove forgets an upload.
func (j *journal) remove(p place, id string) error {
	return j.change(p, func(list []begun) []begun {
		return slices.DeleteFunc(list, func(b begun) bool { return b.ID == id })
	})
}

func (j *journal) change(p place, do func([]begun) []begun) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	list, err := j.read(p)
	if err != nil {
		return err
	}
	if list = do(list); len(list) == 0 {
		if err := os.Remove(j.path(p)); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return j.write(j.path(p), list)
}

// write puts the file in its place whole.
func (j *journal) write(path string, list []begun) error {
	text, err := json.Marshal(list)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
