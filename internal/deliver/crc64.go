package deliver

import (
	"encoding/binary"
	"hash"
	"hash/crc64"
)

// joinedCRC64 is the checksum of bytes that were never read in a row: it is put together from those of their pieces.
type joinedCRC64 struct {
	hash.Hash64
	sum uint64
}

// add appends a piece of length bytes. A checksum of bytes A and B is that of A, moved over as many zeros as B has bytes,
// plus that of B. What the checksum does with its bits at begin and end cancels out, as in zlib's crc32_combine.
func (j *joinedCRC64) add(sum uint64, length int64) { j.sum = multiply(j.sum, power(length)) ^ sum }

// Sum64 implements hash.Hash64.
func (j *joinedCRC64) Sum64() uint64 { return j.sum }

// Sum implements hash.Hash.
func (j *joinedCRC64) Sum(b []byte) []byte { return binary.BigEndian.AppendUint64(b, j.sum) }

// Numbers of the checksum are polynomials over two elements, modulo that of ECMA, with the highest bit for x to the power of 0.
const one = 1 << 63

// power is x to the power of the bits that n bytes have.
func power(n int64) uint64 {
	p, square := uint64(one), uint64(one>>8)
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			p = multiply(p, square)
		}
		square = multiply(square, square)
	}
	return p
}

func multiply(a, b uint64) (p uint64) {
	for bit := uint64(one); bit > 0; bit >>= 1 {
		if a&bit != 0 {
			p ^= b
		}
		low := b & 1
		b >>= 1
		if low == 1 {
			b ^= crc64.ECMA
		}
	}
	return p
}
