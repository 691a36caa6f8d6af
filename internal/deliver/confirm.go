package deliver

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/recordhost/recordhost/internal/spool"
	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// confirm compares what the store says it has with the local file. What differs is DataLoss: it is sent again.
func confirm(l storage.Location, f spool.File) error {
	if l.Size != f.Size {
		return status.Errorf(status.DataLoss, "the store has %d bytes of %d", l.Size, f.Size)
	}
	kind, want, _ := strings.Cut(l.Checksum, ":")
	var sum hash.Hash
	switch kind {
	case "md5":
		sum = md5.New() // against accidents, as the store's own
	case "sha256":
		sum = sha256.New()
	default:
		return nil // none, or one that only the driver can compute
	}
	file := f.Open()
	defer func() { _ = file.Close() }()
	if _, err := io.Copy(sum, file); err != nil {
		return fmt.Errorf("deliver: %w", err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); !strings.EqualFold(got, want) {
		return status.Errorf(status.DataLoss, "the store's %s is %s, the file's %s", kind, want, got)
	}
	return nil
}
