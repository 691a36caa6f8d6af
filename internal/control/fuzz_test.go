package control

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/recordhost/recordhost/internal/control/proto/recordhost/control/v1"
)

// journalOf is a journal's file of those records.
func journalOf(f *testing.F, records ...*controlv1.ConnectRequest) []byte {
	f.Helper()
	path := filepath.Join(f.TempDir(), "journal")
	j, _, err := openJournal(path)
	if err != nil {
		f.Fatal(err)
	}
	for _, r := range records {
		if err := j.append(r); err != nil {
			f.Fatal(err)
		}
	}
	if err := j.close(); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	return data
}

// Whatever a crash has made of a journal, it is opened: what is whole at its start is kept, the rest is gone for good, and
// it can be written on.
func FuzzJournal(f *testing.F) {
	event := func(n uint64, b Body) *controlv1.ConnectRequest {
		return &controlv1.ConnectRequest{Message: &controlv1.ConnectRequest_Event{
			Event: eventToWire(Event{Number: n, Time: time.Unix(1700000000, 5), Applied: 1, Body: b}),
		}}
	}
	whole := journalOf(f, appliedRecord(1), event(1, Started{At: time.Unix(1, 0)}),
		event(2, Delivered{Deliveries: []Delivery{{Storage: "files", Filename: "a.mp4", Size: 9, Duration: time.Second}}}))
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add(whole[1:])
	f.Add(append(slices.Clip(whole), make([]byte, 4096)...)) // zeros, as after a power cut
	f.Add([]byte("\xff\xff\xff\xff\x00\x00\x00\x00"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "journal")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		j, records, err := openJournal(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			eventFromWire(r.GetEvent()) // what the client and the host do with it
		}
		if err := errors.Join(j.append(appliedRecord(9)), j.close()); err != nil {
			t.Fatal(err)
		}
		j, again, err := openJournal(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.close(); err != nil {
			t.Fatal(err)
		}
		if len(again) != len(records)+1 || again[len(records)].GetApplied().GetNumber() != 9 {
			t.Fatalf("%d records, then %d", len(records), len(again))
		}
		for i, r := range records {
			if !proto.Equal(r, again[i]) {
				t.Errorf("record %d was %v and is %v", i, r, again[i])
			}
		}
	})
}
