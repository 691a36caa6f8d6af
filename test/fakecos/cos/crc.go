package cos

import "hash/crc64"

// table is that of CRC64 as the service computes it: ECMA-182, reflected.
func table() *crc64.Table { return crc64.MakeTable(crc64.ECMA) }

// combine returns the CRC64 of two pieces, the second n bytes long, out of those of each. Appending n zero bytes to the first is a
// linear map over bits; it is squared together out of the map for one bit.
func combine(first, second uint64, n int64) uint64 {
	var shift matrix // by one zero bit
	shift[0] = crc64.ECMA
	for i := 1; i < len(shift); i++ {
		shift[i] = 1 << (i - 1)
	}
	for range 3 { // by one byte
		shift = shift.times(&shift)
	}
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			first = shift.apply(first)
		}
		shift = shift.times(&shift)
	}
	return first ^ second
}

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
