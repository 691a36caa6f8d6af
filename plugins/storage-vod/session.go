package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// state is what a storage.State holds: one session of ApplyUpload.
type state struct {
	Delivery storage.Delivery `json:"delivery"`
	SubAppID uint64           `json:"sub_app_id,omitempty"`
	Bucket   string           `json:"bucket"`
	Region   string           `json:"region"`
	Path     string           `json:"path"`    // of the main object, without a leading slash
	Expires  time.Time        `json:"expires"` // the keys; zero: they do not
	Sealed   []byte           `json:"sealed"`  // secrets
}

// secrets are what the engine's journal must not hold in clear.
type secrets struct {
	SessionKey string `json:"session_key"`
	SecretID   string `json:"secret_id"`
	SecretKey  string `json:"secret_key"`
	Token      string `json:"token"`
}

// parseState reads a state.
func parseState(s storage.State) (state, error) {
	var st state
	if err := json.Unmarshal(s, &st); err != nil || st.Path == "" || len(st.Sealed) == 0 {
		return st, status.Errorf(status.InvalidArgument, "not a state of this driver")
	}
	return st, nil
}

// encode is parseState's counterpart.
func (st state) encode() (storage.State, error) {
	s, err := json.Marshal(st)
	if err == nil && len(s) > storage.MaxState {
		err = fmt.Errorf("a state of %d bytes", len(s))
	}
	return s, status.Wrap(status.Internal, err)
}

// dir is the folder of the bucket in which all files of the delivery are, with a slash at its end.
func (st state) dir() string { return path.Dir(st.Path) + "/" }

// key is the name of a file's object: the main file has the one that VOD chose, the others lie beside it.
func (st state) key(name string) (string, error) {
	if _, err := st.Delivery.Key(name); err != nil {
		return "", err
	}
	if name == st.Delivery.Main {
		return st.Path, nil
	}
	key := st.dir() + name
	if key == st.Path || len(key) > storage.MaxKey {
		return "", status.Errorf(status.InvalidArgument, "%q cannot be the name of a file beside the main one", name)
	}
	return key, nil
}

// name is key's counterpart.
func (st state) name(key string) string {
	if key == st.Path {
		return st.Delivery.Main
	}
	return strings.TrimPrefix(key, st.dir())
}

// expired tells whether the session's keys are over.
func (st state) expired(now time.Time) bool { return !st.Expires.IsZero() && !now.Before(st.Expires) }

// sealer keeps the secrets of sessions from who reads a journal. Whoever has the account's secret key can read them, and needs not.
type sealer struct{ aead cipher.AEAD }

func newSealer(secretKey string) (sealer, error) {
	key, err := hkdf.Key(sha256.New, []byte(secretKey), nil, "recordhost storage-vod session", 32)
	if err != nil {
		return sealer{}, status.Errorf(status.Internal, "derive a key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, status.Errorf(status.Internal, "derive a key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return sealer{aead}, status.Wrap(status.Internal, err)
}

func (s sealer) seal(st state, x secrets) ([]byte, error) {
	text, err := json.Marshal(x)
	if err != nil {
		return nil, status.Wrap(status.Internal, err)
	}
	return s.aead.Seal(nil, nil, text, []byte(st.Path)), nil
}

// open fails with errLost when the account's secret key is another one since.
func (s sealer) open(st state) (secrets, error) {
	var x secrets
	text, err := s.aead.Open(nil, nil, st.Sealed, []byte(st.Path))
	if err == nil {
		err = json.Unmarshal(text, &x)
	}
	if err != nil {
		return x, errLost("it was begun with another secret_key")
	}
	return x, nil
}

// newState makes the state of a session.
func (d *Driver) newState(delivery storage.Delivery, subApp uint64, a applied) (state, error) {
	st := state{
		Delivery: delivery, SubAppID: subApp, Bucket: a.StorageBucket, Region: a.StorageRegion,
		Path: strings.TrimPrefix(a.MediaStoragePath, "/"),
	}
	x := secrets{SessionKey: a.VodSessionKey, SecretID: d.config.SecretID, SecretKey: d.config.SecretKey.Reveal()}
	if c := a.TempCertificate; c != nil { // else the account's own keys are meant
		x.SecretID, x.SecretKey, x.Token = c.SecretID, c.SecretKey, c.Token
		if c.ExpiredTime > 0 {
			st.Expires = time.Unix(c.ExpiredTime, 0).UTC()
		}
	}
	sealed, err := d.sealer.seal(st, x)
	st.Sealed = sealed
	return st, err
}
