package storage

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/recordhost/recordhost/sdk/status"
)

// MaxKey is how many bytes the name of a file may have, its directory included.
const MaxKey = 850

// ID returns a name for the delivery that no other has: 32 hexadecimal digits, the same in each epoch. Drivers mark what they
// store with it, to tell a delivery's own files from those of others.
func (d Delivery) ID() string {
	sum := sha256.Sum256([]byte(d.TaskID + "\x00" + d.Dir + "\x00" + d.Main))
	return hex.EncodeToString(sum[:16])
}

// Key returns the name that a file of the delivery has below the store's root or prefix: Dir and name, joined. It refuses
// with InvalidArgument what could lead elsewhere or cannot be a name everywhere: "..", ".", empty parts, slashes at the
// ends, backslashes, control characters, text that is not UTF-8, more than MaxKey bytes. Drivers use it for every name, so
// none of them depends on what was checked before.
func (d Delivery) Key(name string) (string, error) {
	if d.Dir != "" {
		if err := checkName("target directory", d.Dir); err != nil {
			return "", err
		}
	}
	if err := checkName("file name", name); err != nil {
		return "", err
	}
	key := path.Join(d.Dir, name)
	if len(key) > MaxKey {
		return "", status.Errorf(status.InvalidArgument, "file name %q… has %d bytes, more than %d", key[:32], len(key), MaxKey)
	}
	return key, nil
}

func checkName(what, name string) error {
	if !utf8.ValidString(name) {
		return status.Errorf(status.InvalidArgument, "%s %q is not UTF-8", what, name)
	}
	if strings.ContainsRune(name, '\\') || strings.ContainsFunc(name, unicode.IsControl) {
		return status.Errorf(status.InvalidArgument, "%s %q has a backslash or a control character", what, name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." {
			return status.Errorf(status.InvalidArgument, "%s %q has the part %q", what, name, part)
		}
	}
	return nil
}
