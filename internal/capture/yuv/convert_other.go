//go:build !amd64

package yuv

// convertFast converts nothing: there is no vector code for this processor.
func convertFast(_, _, _, _, _, _ []byte) int { return 0 }
