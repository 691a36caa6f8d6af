package main

import (
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0:00", 59900 * time.Millisecond: "0:59", 90 * time.Second: "1:30", 3599 * time.Second: "59:59",
		3723 * time.Second: "1:02:03", 36000 * time.Second: "10:00:00",
	} {
		if got := clock(d); got != want {
			t.Errorf("clock(%v) = %s, want %s", d, got, want)
		}
	}
}

func TestBytesText(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 kB", 999_000: "999 kB", 1_500_000: "1.5 MB", 2_340_000_000: "2.34 GB",
	} {
		if got := bytesText(n); got != want {
			t.Errorf("bytesText(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestCores(t *testing.T) {
	if got := cores(3*time.Second, 2*time.Second); got != 1.5 {
		t.Errorf("cores = %v", got)
	}
	if got := cores(time.Second, 0); got != 0 {
		t.Errorf("cores of no time = %v", got)
	}
}
