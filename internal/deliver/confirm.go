package deliver

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"hash/crc64"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/recordhost/recordhost/internal/mp4"
	"github.com/recordhost/recordhost/internal/spool"
	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// digest computes a checksum as a store tells it: "crc64:" with a decimal number, as COS does, "md5:" or "sha256:" with
// hexadecimal digits.
type digest struct {
	hash.Hash
	kind string
}

// digestFor answers nil for no checksum, and for one that only the driver can compute.
func digestFor(checksum string) *digest {
	kind, _, _ := strings.Cut(checksum, ":")
	switch kind {
	case "crc64":
		return &digest{newCRC64(), kind}
	case "md5":
		return &digest{md5.New(), kind} // against accidents, as the store's own
	case "sha256":
		return &digest{sha256.New(), kind}
	default:
		return nil
	}
}

// text is the checksum as a store tells it, without its kind.
func (d *digest) text() string {
	if sum, ok := d.Hash.(hash.Hash64); ok {
		return strconv.FormatUint(sum.Sum64(), 10)
	}
	return hex.EncodeToString(d.Sum(nil))
}

// compare compares what was computed with what the store says.
func (d *digest) compare(checksum string) error {
	got := d.text()
	_, want, _ := strings.Cut(checksum, ":")
	if !strings.EqualFold(got, want) {
		return status.Errorf(status.DataLoss, "the store's %s is %s, that of the local bytes %s", d.kind, want, got)
	}
	return nil
}

// confirm compares what the store says it has of the whole with the local file, and its parts where it was sent in such. What
// differs is DataLoss: it is sent again.
func confirm(at storage.Location, f spool.File, parts []spool.Part) error {
	if at.Size != f.Size {
		return status.Errorf(status.DataLoss, "the store has %d bytes of %d", at.Size, f.Size)
	}
	d := digestFor(at.Checksum)
	if d == nil {
		return nil
	}
	if joined, ok := join(parts); ok && d.kind == "crc64" {
		d.Hash = joined
		return d.compare(at.Checksum)
	}
	file := f.Open()
	defer func() { _ = file.Close() }()
	if _, err := io.Copy(d, file); err != nil {
		return fmt.Errorf("deliver: %w", err)
	}
	return d.compare(at.Checksum)
}

// prove reads the local bytes of a part, compares what the store says of it, and answers what is to be kept of it. They were
// written or read a moment ago, so no disk is asked for them.
func prove(r storage.Receipt, local []storage.Extent, length int64) (proof, error) {
	if r.Size != 0 && r.Size != length {
		return proof{}, status.Errorf(status.DataLoss, "the store has %d bytes of part %d, which has %d", r.Size, r.Number, length)
	}
	crc, d := newCRC64(), digestFor(r.Checksum)
	to := io.Writer(crc)
	if d != nil {
		to = io.MultiWriter(crc, d)
	}
	file := opened(local)
	defer func() { _ = file.Close() }()
	if _, err := io.Copy(to, file); err != nil {
		return proof{}, fmt.Errorf("deliver: %w", err)
	}
	if d != nil {
		if err := d.compare(r.Checksum); err != nil {
			return proof{}, fmt.Errorf("part %d: %w", r.Number, err)
		}
	}
	return proof{Receipt: r, CRC64: crc.Sum64()}, nil
}

// join puts the checksum of a file together from those of its parts; false where there are none.
func join(parts []spool.Part) (hash.Hash64, bool) {
	parts = slices.Clone(parts)
	slices.SortFunc(parts, func(a, b spool.Part) int { return a.Number - b.Number })
	joined := &joinedCRC64{Hash64: newCRC64()}
	for _, p := range parts {
		var known proof
		if err := json.Unmarshal(p.Note, &known); err != nil {
			return nil, false
		}
		joined.add(known.CRC64, p.Length)
	}
	return joined, len(parts) > 0
}

func newCRC64() hash.Hash64 { return crc64.New(crc64.MakeTable(crc64.ECMA)) }

func extents(x mp4.Extents) []storage.Extent {
	out := make([]storage.Extent, 0, len(x))
	for _, e := range x {
		out = append(out, storage.Extent(e))
	}
	return out
}

func opened(x []storage.Extent) io.ReadCloser {
	local := make(mp4.Extents, 0, len(x))
	for _, e := range x {
		local = append(local, mp4.Extent(e))
	}
	return local.Open()
}

// Checksums are those of some bytes, of every kind that a store may tell of them.
type Checksums []string

// ChecksumsOf computes them.
func ChecksumsOf(b []byte) Checksums {
	var all Checksums
	for _, kind := range []string{"crc64", "md5", "sha256"} {
		d := digestFor(kind)
		_, _ = d.Write(b) // never fails
		all = append(all, kind+":"+d.text())
	}
	return all
}

// Match compares what a store tells with what was computed. A kind that is not known here matches. What differs is DataLoss.
func (c Checksums) Match(checksum string) error {
	kind, _, _ := strings.Cut(checksum, ":")
	for _, known := range c {
		if strings.HasPrefix(known, kind+":") && !strings.EqualFold(known, checksum) {
			return status.Errorf(status.DataLoss, "the store's checksum is %s, that of the local bytes %s", checksum, known)
		}
	}
	return nil
}
