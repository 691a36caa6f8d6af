package main

import (
	"hash/crc64"
	"strconv"
	"strings"
)

// table is that of CRC64 as the service computes it: ECMA-182, reflected.
func table() *crc64.Table { return crc64.MakeTable(crc64.ECMA) }

// joinCRC returns the CRC64 of two pieces one after the other, the second n bytes long. It is the method of zlib's crc32_combine: the
// first one's is taken through n zero bytes, which multiplies it, as a polynomial over two elements, by x to the power of 8n. A recording
// of many hours has thousands of parts, and someone waits for their sum.
func joinCRC(first, second uint64, n int64) uint64 {
	power, square := uint64(polyOne), uint64(polyOne>>8)
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			power = polyProduct(power, square)
		}
		square = polyProduct(square, square)
	}
	return polyProduct(first, power) ^ second
}

// polyOne is x to the power of 0: the highest bit is the lowest power.
const polyOne = 1 << 63

// polyProduct multiplies two polynomials modulo that of the CRC.
func polyProduct(a, b uint64) (product uint64) {
	for bit := uint64(polyOne); bit > 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		carry := b & 1
		b >>= 1
		if carry == 1 {
			b ^= crc64.ECMA
		}
	}
	return product
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
