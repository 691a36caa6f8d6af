package hls

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"io"
)

// encrypted writes what is written to it in AES-128, in the CBC mode, with the padding of PKCS#7 at the end: what
// METHOD=AES-128 means for a whole segment (RFC 8216, 4.3.2.4).
type encrypted struct {
	w    io.Writer
	mode cipher.BlockMode
	rest []byte // less than a block that waits
}

// newCipher begins the segment of a media sequence number, which is the initialization vector, as a number of 128 bits
// (RFC 8216, 5.2). No two segments of a recording share it.
func newCipher(w io.Writer, key []byte, number uint64) (*encrypted, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("the segments' key: %w", err)
	}
	var iv [aes.BlockSize]byte
	binary.BigEndian.PutUint64(iv[8:], number)
	return &encrypted{w: w, mode: cipher.NewCBCEncrypter(block, iv[:])}, nil
}

// Write implements io.Writer. What is less than a block waits.
func (e *encrypted) Write(p []byte) (int, error) {
	e.rest = append(e.rest, p...)
	whole := len(e.rest) / aes.BlockSize * aes.BlockSize
	e.mode.CryptBlocks(e.rest[:whole], e.rest[:whole])
	if _, err := e.w.Write(e.rest[:whole]); err != nil {
		return 0, err
	}
	e.rest = append(e.rest[:0], e.rest[whole:]...)
	return len(p), nil
}

// close writes the last block, which says how much of it is padding.
func (e *encrypted) close() error {
	n := aes.BlockSize - len(e.rest)
	_, err := e.Write(bytes.Repeat([]byte{byte(n)}, n))
	return err
}
