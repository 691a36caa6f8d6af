package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/recordhost/recordhost/sdk/schema"
	"github.com/recordhost/recordhost/sdk/status"
)

// maxCredentials bounds the file with the keys, in bytes.
const maxCredentials = 64 << 10

// credentials are a pair of keys, as one request is signed with them.
type credentials struct {
	id      string
	key     schema.Secret
	token   schema.Secret
	expires time.Time // zero: not known
}

// keys are the keys of the configuration, or those of a file that somebody renews.
type keys struct {
	file string
	log  *slog.Logger

	mu      sync.Mutex
	current credentials
	read    fs.FileInfo // of the file, when current was read
}

func newKeys(c Config, log *slog.Logger) (*keys, error) {
	k := &keys{file: c.CredentialsFile, log: log, current: credentials{id: c.SecretID, key: c.SecretKey, token: c.Token}}
	if k.file == "" {
		return k, nil
	}
	_, err := k.get(time.Now())
	if status.KindOf(err) == status.Unavailable {
		return k, nil // they have expired, and may be renewed any time
	}
	return k, err
}

// renewable says that other keys may be there the next time.
func (k *keys) renewable() bool { return k.file != "" }

// get answers the keys to sign with. The file is read whenever it has changed, so whoever renews the keys may do so at any time
// before the old ones expire; one that cannot be read is of no matter as long as the keys from before are good.
func (k *keys) get(now time.Time) (credentials, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.file == "" {
		return k.current, nil
	}
	err := k.refresh()
	switch {
	case k.current.id == "":
		return credentials{}, err
	case !k.current.expires.IsZero() && !now.Before(k.current.expires):
		expired := fmt.Errorf("credentials_file: the keys in %s have expired at %s, and were not renewed",
			k.file, k.current.expires.UTC().Format(time.RFC3339))
		return credentials{}, status.Wrap(status.Unavailable, errors.Join(expired, err))
	case err != nil:
		k.log.Warn("the keys were not read again, those from before are used on", "err", err)
	}
	return k.current, nil
}

// refresh reads the file if it is another than before. The caller holds mu.
func (k *keys) refresh() error {
	info, err := os.Stat(k.file)
	if err == nil && k.read != nil && os.SameFile(info, k.read) && info.ModTime().Equal(k.read.ModTime()) && info.Size() == k.read.Size() {
		return nil
	}
	if err == nil && info.Size() > maxCredentials {
		err = errors.New("it is larger than 64 KiB")
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(k.file)
	}
	if err != nil {
		return status.Errorf(status.InvalidArgument, "credentials_file: %w", err)
	}
	c, err := parseCredentials(text)
	if err != nil {
		return status.Errorf(status.InvalidArgument, "credentials_file: %s: %w", k.file, err)
	}
	k.current, k.read = c, info
	return nil
}

// pair is how keys are written: as the instance metadata of CVM does, or STS within Credentials. The names without Tmp are for keys
// that do not expire.
type pair struct {
	TmpSecretID  string `json:"TmpSecretId"`
	TmpSecretKey schema.Secret
	SecretID     string `json:"SecretId"`
	SecretKey    schema.Secret
	Token        schema.Secret
	SessionToken schema.Secret
	ExpiredTime  int64 // Unix seconds
	Expiration   time.Time
	Credentials  *pair
	Response     *pair // STS's answer as it came
}

// parseCredentials reads the file's text. Its errors do not quote it.
func parseCredentials(text []byte) (credentials, error) {
	var p pair
	if json.Unmarshal(text, &p) != nil {
		return credentials{}, errors.New("it is not a JSON object with TmpSecretId, TmpSecretKey, Token and ExpiredTime")
	}
	if p.Response != nil {
		p = *p.Response
	}
	c := credentials{expires: p.Expiration}
	if p.ExpiredTime > 0 {
		c.expires = time.Unix(p.ExpiredTime, 0)
	}
	if p.Credentials != nil {
		p = *p.Credentials
	}
	c.id, c.key, c.token = p.TmpSecretID, p.TmpSecretKey, p.Token
	if c.id == "" {
		c.id, c.key = p.SecretID, p.SecretKey
	}
	if c.token.IsZero() {
		c.token = p.SessionToken
	}
	if c.id == "" || c.key.IsZero() {
		return credentials{}, errors.New("TmpSecretId and TmpSecretKey are missing")
	}
	return c, nil
}
