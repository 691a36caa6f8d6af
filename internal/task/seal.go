package task

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// keySize is that of AES-256.
const keySize = 32

// LoadKey reads the key under which requests are sealed in the store, and makes it where there is none yet. The file
// is this user's alone; who copies the store without it learns neither URLs nor cookies.
func LoadKey(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the sealing key: %w", err)
	}
	if len(key) != keySize {
		return nil, fmt.Errorf("the sealing key %s is damaged: %d bytes, not %d", path, len(key), keySize)
	}
	return key, nil
}

// makeKey puts the file in its place whole: a key of which a crash left half would make every task unreadable.
func makeKey(path string) ([]byte, error) {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the sealing key: %w", err)
	}
	file, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the sealing key: %w", err)
	}
	_, err = file.Write(key)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return nil, fmt.Errorf("make the sealing key: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return nil, fmt.Errorf("make the sealing key: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("make the sealing key: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return nil, fmt.Errorf("make the sealing key: %w", err)
	}
	return key, nil
}

// sealer seals requests, each for its task alone.
type sealer struct {
	aead cipher.AEAD
	key  []byte
}

func newSealer(key []byte) (sealer, error) {
	if len(key) != keySize {
		return sealer{}, fmt.Errorf("task: the sealing key has %d bytes, not %d", len(key), keySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, fmt.Errorf("task: sealing key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return sealer{}, fmt.Errorf("task: sealing key: %w", err)
	}
	return sealer{aead: aead, key: key}, nil
}

func (s sealer) seal(id string, r Request) ([]byte, error) {
	plain, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("seal the request: %w", err)
	}
	return s.aead.Seal(nil, nil, plain, []byte(id)), nil
}

func (s sealer) unseal(id string, sealed []byte) (Request, error) {
	plain, err := s.aead.Open(nil, nil, sealed, []byte(id))
	if err != nil {
		return Request{}, fmt.Errorf("unseal the request of task %s: %w", id, err)
	}
	var r Request
	if err := json.Unmarshal(plain, &r); err != nil {
		return Request{}, fmt.Errorf("unseal the request of task %s: %w", id, err)
	}
	return r, nil
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
