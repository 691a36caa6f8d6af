package main

import (
	"hash/crc64"
	"strconv"
	"strings"
)

// crcTable is that of the checksums that COS reports: ECMA-182, reflected.
func crcTable() *crc64.Table { return crc64.MakeTable(crc64.ECMA) }

const crcPrefix = "crc64:"

// formatCRC writes a checksum as receipts and locations have it.
func formatCRC(crc uint64) string { return crcPrefix + strconv.FormatUint(crc, 10) }

// parseCRC is formatCRC's counterpart.
func parseCRC(text string) (crc uint64, ok bool) {
	digits, ok := strings.CutPrefix(text, crcPrefix)
	if !ok {
		return 0, false
	}
	crc, err := strconv.ParseUint(digits, 10, 64)
	return crc, err == nil
}

// joinCRC returns the checksum of two pieces, of which the second has n bytes, put one behind the other. Putting n bytes of zeros
// behind the first is a linear map of its checksum's bits; it is made of that for one bit by squaring.
func joinCRC(first, second uint64, n int64) uint64 {
	var zeros bits // one zero bit
	zeros[0] = crc64.ECMA
	for i := 1; i < len(zeros); i++ {
		zeros[i] = 1 << (i - 1)
	}
	for range 3 {
		zeros = zeros.squared()
	}
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			first = zeros.of(first)
		}
		zeros = zeros.squared()
	}
	return first ^ second
}

// bits is a linear map of 64 bits, as the images of each.
type bits [64]uint64

func (b *bits) of(x uint64) (y uint64) {
	for i := 0; x != 0; i, x = i+1, x>>1 {
		if x&1 == 1 {
			y ^= b[i]
		}
	}
	return y
}

func (b *bits) squared() (s bits) {
	for i := range b {
		s[i] = b.of(b[i])
	}
	return s
}
