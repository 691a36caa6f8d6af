package control

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	controlv1 "github.com/recordhost/recordhost/internal/control/proto/recordhost/control/v1"
)

// left writes the journal of an earlier launch: two events, of which the host has heard one, and a command that took effect.
func left(t *testing.T) Spec {
	t.Helper()
	s := Spec{SpoolDir: t.TempDir(), Epoch: 3, Heard: map[uint64]uint64{1: 1}}
	j, _, err := openJournal(journalPath(s.SpoolDir, 1))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*controlv1.ConnectRequest{
		{Message: eventMessage(&controlv1.Event{Number: 1})},
		{Message: eventMessage(&controlv1.Event{Number: 2, Progress: &controlv1.Progress{}})},
		{Message: appliedMessage(7)},
	} {
		if err := j.append(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	return s
}

func eventMessage(e *controlv1.Event) *controlv1.ConnectRequest_Event {
	return &controlv1.ConnectRequest_Event{Event: e}
}

// checkLeft holds what is answered against what left has written.
func checkLeft(t *testing.T, got []*controlv1.ConnectRequest) {
	t.Helper()
	if len(got) != 2 || got[0].GetApplied().GetNumber() != 7 {
		t.Fatalf("left: %v", got)
	}
	if e := got[1].GetEvent(); e.GetNumber() != 1 || e.GetProgress() != nil {
		t.Errorf("left: %v", e)
	}
}

func TestWhatAnEarlierWorkerLeftIsTakenOver(t *testing.T) {
	s := left(t)
	path := journalPath(s.SpoolDir, s.Epoch)
	got, err := inherit(path, s)
	if err != nil {
		t.Fatal(err)
	}
	checkLeft(t, got)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	records, _ := parseRecords(data)
	checkLeft(t, records)

	// One that is there is left alone: this launch has begun before.
	if got, err := inherit(path, s); err != nil || got != nil {
		t.Errorf("again: %v, %v", got, err)
	}
}

// Where nothing can be written the worker goes on with what it knows: that is not a reason to lose what was left.
func TestWhatWasLeftIsKnownWhereItCannotBeWritten(t *testing.T) {
	s := left(t)
	got, err := inherit("/no/such/directory/control-3.journal", s)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	checkLeft(t, got)
}
