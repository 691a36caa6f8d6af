package yuv

import "golang.org/x/sys/cpu"

// block is the number of pixels that the vector code converts at a time.
const block = 32

// convertFast converts as many whole blocks as there are and answers the number of pixels done.
func convertFast(above, below, y0, y1, u, v []byte) int {
	n := len(y0) / block * block
	if n == 0 || !cpu.X86.HasAVX2 {
		return 0
	}
	convertAVX2(&above[0], &below[0], &y0[0], &y1[0], &u[0], &v[0], n/block)
	return n
}

// convertAVX2 converts blocks × 32 pixels of two rows. Implemented in convert_amd64.s.
//
//go:noescape
func convertAVX2(above, below, y0, y1, u, v *byte, blocks int)
