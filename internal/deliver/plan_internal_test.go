package deliver

import (
	"bytes"
	"hash/crc64"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/recordhost/recordhost/internal/spool"
	"github.com/recordhost/recordhost/sdk/storage"
)

// TestPlan: the parts of a file lie end to end, are as large as the store wants them, and never too many.
func TestPlan(t *testing.T) {
	const tenHours = 10 * 3600 * 20e6 / 8
	for name, caps := range map[string]storage.Capabilities{
		"S3":    {MinPartSize: 5 << 20, MaxPartSize: 5 << 30, MaxParts: 10000},
		"COS":   {MinPartSize: 1 << 20, MaxPartSize: 5 << 30, MaxParts: 10000},
		"Azure": {MaxPartSize: 4000 << 20, MaxParts: 50000},
		"any":   {},
	} {
		for _, size := range []int64{1, 700, 1 << 20, 5 << 20, 5<<20 + 1, 77 << 20, tenHours} {
			for kind, p := range map[string]plan{
				"growing": growingPlan(caps), "equal": equalPlan(caps, spool.File{Head: 12345, Size: 12345 + size}),
			} {
				p.finish(spool.File{Head: 12345, Size: 12345 + size})
				n, next := p.count(), int64(-12345)
				if caps.MaxParts > 0 && n > caps.MaxParts || n > 10000 {
					t.Errorf("%s, %s: %d parts for %d bytes", name, kind, n, size)
				}
				for i := 1; i <= n; i++ {
					offset, length := p.part(i)
					small, large := i < n && length < caps.MinPartSize, caps.MaxPartSize > 0 && length > caps.MaxPartSize
					if offset != next || length <= 0 || small || large {
						t.Fatalf("%s, %s, %d bytes: part %d of %d at %d, not at %d, has %d bytes",
							name, kind, size, i, n, offset, next, length)
					}
					next += length
				}
				if next != size {
					t.Errorf("%s, %s: the parts have %d bytes of %d", name, kind, next, size)
				}
			}
		}
	}
}

// TestPlanIsKnownBeforeTheEnd: what was sent while the file grew is the same part when it is whole.
func TestPlanIsKnownBeforeTheEnd(t *testing.T) {
	caps := storage.Capabilities{MinPartSize: 1 << 20, MaxParts: 10000}
	grows, whole := growingPlan(caps), growingPlan(caps)
	whole.finish(spool.File{Head: 1000, Size: 3 << 30})
	for n := 2; n < whole.count(); n++ {
		o1, l1 := grows.part(n)
		o2, l2 := whole.part(n)
		if o1 != o2 || l1 != l2 {
			t.Fatalf("part %d: %d+%d, then %d+%d", n, o1, l1, o2, l2)
		}
	}
	if grows.end != math.MaxInt64 {
		t.Error("it has ended")
	}
}

func TestJoinedCRC64(t *testing.T) {
	table := crc64.MakeTable(crc64.ECMA)
	for range 50 {
		var all bytes.Buffer
		joined := &joinedCRC64{Hash64: newCRC64()}
		for range rand.IntN(6) {
			piece := make([]byte, rand.IntN(70000))
			for i := range piece {
				piece[i] = byte(rand.Uint32())
			}
			all.Write(piece)
			joined.add(crc64.Checksum(piece, table), int64(len(piece)))
		}
		if want := crc64.Checksum(all.Bytes(), table); joined.Sum64() != want {
			t.Fatalf("%d bytes: %x, want %x", all.Len(), joined.Sum64(), want)
		}
	}
}
