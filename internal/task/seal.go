package task

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"gocloud.dev/secrets"
	"gocloud.dev/secrets/localsecrets"
)

// keySize is that of NaCl's secret box, which localsecrets seals with.
const keySize = 32

// LoadKey reads the key under which requests are sealed in the store, and makes it where there is none yet. The file
// is this user's alone; who copies the store without it learns neither URLs nor cookies. Several hosts may share it, and make
// it at once.
func LoadKey(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeKey(path); err != nil {
			return nil, fmt.Errorf("make the sealing key %s: %w", path, err)
		}
		key, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the sealing key: %w", err)
	}
	if len(key) != keySize {
		return nil, fmt.Errorf("the sealing key %s is damaged: %d bytes, not %d", path, len(key), keySize)
	}
	return key, nil
}

// makeKey puts a file in its place whole, unless one has come there: a key of which a crash left half, or that another host
// has replaced, would make every task unreadable.
func makeKey(path string) (err error) {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, filepath.Base(path)+".new-") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(file.Name())) }()
	_, err = file.Write(key)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Link(file.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// sealer seals requests, each for its task alone.
type sealer struct {
	keeper *secrets.Keeper
	key    []byte
}

func newSealer(key []byte) (sealer, error) {
	if len(key) != keySize {
		return sealer{}, fmt.Errorf("task: the sealing key has %d bytes, not %d", len(key), keySize)
	}
	return sealer{keeper: localsecrets.NewKeeper([keySize]byte(key)), key: key}, nil
}

// sealed is what is sealed of a task.
type sealed struct {
	Task    string  `json:"task"` // the one that it is for
	Request Request `json:"request"`
}

func (s sealer) seal(ctx context.Context, id string, r Request) ([]byte, error) {
	plain, err := json.Marshal(sealed{Task: id, Request: r})
	if err != nil {
		return nil, fmt.Errorf("seal the request: %w", err)
	}
	box, err := s.keeper.Encrypt(ctx, plain)
	if err != nil {
		return nil, fmt.Errorf("seal the request: %w", err)
	}
	return box, nil
}

func (s sealer) unseal(ctx context.Context, id string, box []byte) (Request, error) {
	plain, err := s.keeper.Decrypt(ctx, box)
	if err != nil {
		return Request{}, fmt.Errorf("unseal the request of task %s: it was sealed with another key, or is damaged: %w", id, err)
	}
	var content sealed
	if err := json.Unmarshal(plain, &content); err != nil {
		return Request{}, fmt.Errorf("unseal the request of task %s: %w", id, err)
	}
	if content.Task != id {
		return Request{}, fmt.Errorf("unseal the request of task %s: it is another task's", id)
	}
	return content.Request, nil
}

// digest tells one Data from another, however its members are ordered, and tells nothing else of it.
func (s sealer) digest(data json.RawMessage) ([]byte, error) {
	var v any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("digest: %w", err)
	}
	plain, err := json.Marshal(v) // sorts the members
	if err != nil {
		return nil, fmt.Errorf("digest: %w", err)
	}
	sum := hmac.New(sha256.New, s.key)
	sum.Write(plain)
	return sum.Sum(nil), nil
}
