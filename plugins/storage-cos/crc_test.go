package main

import (
	"hash/crc64"
	"math/rand/v2"
	"testing"
)

func TestChecksums(t *testing.T) {
	for text, want := range map[string]string{
		"[Object Content]": "crc64:16749565679157681890", "123456789": "crc64:11051210869376104954", "": "crc64:0",
	} {
		if got := formatCRC(crc64.Checksum([]byte(text), table())); got != want {
			t.Errorf("the checksum of %q is %s, want %s", text, got, want)
		}
	}
	random := rand.New(rand.NewPCG(3, 4))
	content := make([]byte, 100_000)
	for i := range content {
		content[i] = byte(random.Uint32())
	}
	for range 50 {
		n := random.IntN(len(content))
		at := random.IntN(n + 1)
		first, second := crc64.Checksum(content[:at], table()), crc64.Checksum(content[at:n], table())
		if got, want := joinCRC(first, second, int64(n-at)), crc64.Checksum(content[:n], table()); got != want {
			t.Errorf("%d bytes cut at %d: %d, want %d", n, at, got, want)
		}
	}
	for text, want := range map[string]bool{
		"crc64:18446744073709551615": true, "crc64:": false, "md5:1": false, "crc64:-1": false, "": false,
	} {
		if _, ok := parseCRC(text); ok != want {
			t.Errorf("%q is a checksum: %v", text, ok)
		}
	}
}
