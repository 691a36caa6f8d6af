package main

// nvme is the polynomial of CRC-64/NVME, of which S3 can tell the sum of a whole object that was sent in parts, with the lowest
// power in the highest bit.
const nvme = 0x9a6c9329ac4bc9b5

// joinCRC returns the CRC-64/NVME of what has the sum first, followed by n bytes that have the sum second.
func joinCRC(first, second uint64, n int64) uint64 {
	// Each byte that follows multiplies by x to the 8th, modulo the polynomial.
	shift, factor := uint64(1)<<63, uint64(1)<<(63-8)
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			shift = multiply(shift, factor)
		}
		factor = multiply(factor, factor)
	}
	return multiply(first, shift) ^ second
}

// multiply multiplies two polynomials modulo nvme.
func multiply(a, b uint64) uint64 {
	var product uint64
	for ; a != 0; a <<= 1 {
		if a>>63 != 0 {
			product ^= b
		}
		carry := b & 1
		b >>= 1
		if carry != 0 {
			b ^= nvme
		}
	}
	return product
}
