package cos

import (
	"hash/crc64"
	"sync"
)

// table is that of CRC64 as the service computes it: ECMA-182, reflected.
func table() *crc64.Table { return crc64.MakeTable(crc64.ECMA) }

// combine returns the CRC64 of two pieces, the second n bytes long, out of those of each. Appending n zero bytes to the first is a
// linear map over bits; it is put together out of those for 1, 2, 4, … bytes.
func combine(first, second uint64, n int64) uint64 {
	shifts := zeros()
	for i := 0; n > 0; i, n = i+1, n>>1 {
		if n&1 == 1 {
			first = shifts[i].apply(first)
		}
	}
	return first ^ second
}

// zeros are the maps for 1, 2, 4, … zero bytes, each the square of the one before.
var zeros = sync.OnceValue(func() *[63]matrix { //nolint:gochecknoglobals // made once: there are thousands of parts
	var shift matrix // by one zero bit
	shift[0] = crc64.ECMA
	for i := 1; i < len(shift); i++ {
		shift[i] = 1 << (i - 1)
	}
	for range 3 { // by one byte
		shift = shift.times(&shift)
	}
	var all [63]matrix
	for i := range all {
		all[i] = shift
		shift = shift.times(&shift)
	}
	return &all
})

// matrix maps 64 bits to 64 bits; each element is the image of one bit.
type matrix [64]uint64

func (m *matrix) apply(v uint64) (out uint64) {
	for i := 0; v != 0; i, v = i+1, v>>1 {
		if v&1 == 1 {
			out ^= m[i]
		}
	}
	return out
}

func (m *matrix) times(other *matrix) (out matrix) {
	for i := range other {
		out[i] = m.apply(other[i])
	}
	return out
}
