package control

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	controlv1 "github.com/recordhost/recordhost/internal/control/proto/recordhost/control/v1"
)

func appliedRecord(n uint64) *controlv1.ConnectRequest {
	return &controlv1.ConnectRequest{Message: appliedMessage(n)}
}

func TestJournalSurvivesATearAnywhere(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "journal")
	j, _, err := openJournal(whole)
	if err != nil {
		t.Fatal(err)
	}
	var ends []int64 // of each record
	for n := range uint64(3) {
		if err := j.append(appliedRecord(n + 1)); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, j.size)
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	for length := range len(data) + 1 {
		torn := filepath.Join(t.TempDir(), "journal")
		if err := os.WriteFile(torn, data[:length], 0o600); err != nil {
			t.Fatal(err)
		}
		want := 0
		for _, end := range ends {
			if int64(length) >= end {
				want++
			}
		}
		j, records, err := openJournal(torn)
		if err != nil {
			t.Fatalf("at %d bytes: %v", length, err)
		}
		if len(records) != want {
			t.Errorf("at %d bytes: %d records, want %d", length, len(records), want)
		}
		if err := errors.Join(j.append(appliedRecord(9)), j.close()); err != nil {
			t.Fatal(err)
		}
		j, records, err = openJournal(torn)
		if err != nil || len(records) != want+1 || records[want].GetApplied().GetNumber() != 9 {
			t.Errorf("at %d bytes, after an append: %d records, %v", length, len(records), err)
		}
		if err := j.close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestJournalStopsAtAFlippedByte(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, _, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range uint64(3) {
		if err := j.append(appliedRecord(n + 1)); err != nil {
			t.Fatal(err)
		}
	}
	second := j.size / 3
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[second+recordHeader] ^= 0xff
	if records, size := parseRecords(data); len(records) != 1 || size != second {
		t.Errorf("%d records in %d bytes, want 1 in %d", len(records), size, second)
	}
}

// After a power cut a file may have its length and zeros for its content. A record of no bytes has a checksum of zero: they
// were once taken for records.
func TestJournalEndsAtZeros(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, _, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(j.append(appliedRecord(1)), j.file.Truncate(j.size+4096), j.close()); err != nil {
		t.Fatal(err)
	}
	whole := j.size
	j, records, err := openJournal(path)
	if err != nil || len(records) != 1 || j.size != whole {
		t.Errorf("%d records in %d bytes, want 1 in %d: %v", len(records), j.size, whole, err)
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
}

// A full disk must not lose what happens meanwhile: when there is room again, the next record brings the earlier ones.
func TestJournalCatchesUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, _, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	good := j.file
	closed, err := os.Create(filepath.Join(t.TempDir(), "closed"))
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	j.file = closed
	for n := range uint64(2) {
		if err := j.append(appliedRecord(n + 1)); err == nil {
			t.Fatal("writing to a closed file succeeded")
		}
	}
	j.file = good
	if err := errors.Join(j.append(appliedRecord(3)), j.close()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	records, _ := parseRecords(data)
	if len(records) != 3 {
		t.Fatalf("%d records, want 3", len(records))
	}
	for i, r := range records {
		if r.GetApplied().GetNumber() != uint64(i+1) {
			t.Errorf("record %d is %v", i, r)
		}
	}
}
