package main

import (
	"hash/crc64"
	"strconv"
	"strings"
)

// table is that of CRC64 as the service computes it: ECMA-182, reflected.
func table() *crc64.Table { return crc64.MakeTable(crc64.ECMA) }

// joinCRC returns the CRC64 of two pieces one after the other, the second n bytes long. It is the method of zlib's crc32_combine: the
// first one's is taken through n zero bytes, a linear map that is squared together out of that of one bit.
func joinCRC(first, second uint64, n int64) uint64 {
	var zeros [64]uint64 // what becomes of each bit
	zeros[0] = crc64.ECMA
	for i := 1; i < len(zeros); i++ {
		zeros[i] = 1 << (i - 1)
	}
	for range 3 {
		zeros = squared(&zeros)
	}
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			first = mapped(&zeros, first)
		}
		zeros = squared(&zeros)
	}
	return first ^ second
}

func mapped(m *[64]uint64, v uint64) (out uint64) {
	for i := 0; v != 0; i, v = i+1, v>>1 {
		if v&1 == 1 {
			out ^= m[i]
		}
	}
	return out
}

func squared(m *[64]uint64) (out [64]uint64) {
	for i := range m {
		out[i] = mapped(m, m[i])
	}
	return out
}

// crcPrefix stands before a CRC64 in receipts and locations, which is written in decimal as the service does.
const crcPrefix = "crc64:"

func formatCRC(crc uint64) string { return crcPrefix + strconv.FormatUint(crc, 10) }

func parseCRC(text string) (crc uint64, ok bool) {
	digits, ok := strings.CutPrefix(text, crcPrefix)
	if !ok {
		return 0, false
	}
	crc, err := strconv.ParseUint(digits, 10, 64)
	return crc, err == nil
}
