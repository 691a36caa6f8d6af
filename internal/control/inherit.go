package control

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	controlv1 "github.com/recordhost/recordhost/internal/control/proto/recordhost/control/v1"
)

func journalPath(spool string, epoch uint64) string {
	return filepath.Join(spool, fmt.Sprintf("control-%d.journal", epoch))
}

// inherit makes the journal of a launch, at path, out of what the workers before it left: the events that the host has not
// stored, numbered anew, and which command had taken effect. The journal is there whole or not at all, so whoever comes
// next need look at the latest one only. One that is there already is left as it is. What was left is answered even where it
// could not be written.
func inherit(path string, s Spec) ([]*controlv1.ConnectRequest, error) {
	if _, err := os.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return nil, err //nolint:wrapcheck // openJournal meets it again, and says it better
	}
	for epoch := s.Epoch - 1; epoch > 0; epoch-- {
		data, err := os.ReadFile(journalPath(s.SpoolDir, epoch))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("control: read an earlier worker's journal: %w", err)
		}
		records, _ := parseRecords(data)
		left := unheard(records, s.Heard[epoch])
		return left, bequeath(path, left)
	}
	return nil, nil
}

// unheard selects what is still to be said: the events after the number, numbered from 1, and before them the last command
// that had taken effect.
func unheard(records []*controlv1.ConnectRequest, after uint64) []*controlv1.ConnectRequest {
	var left []*controlv1.ConnectRequest
	var applied, number uint64
	for _, r := range records {
		applied = max(applied, r.GetApplied().GetNumber(), r.GetEvent().GetAppliedCommand())
		if e := r.GetEvent(); e != nil && e.GetNumber() > after {
			number++
			e.Number, e.Progress = number, nil // those figures the host has counted
			left = append(left, r)
		}
	}
	if applied == 0 {
		return left
	}
	return append([]*controlv1.ConnectRequest{{Message: appliedMessage(applied)}}, left...)
}

// bequeath writes a journal beside path and gives it the name when it is whole.
func bequeath(path string, records []*controlv1.ConnectRequest) error {
	part := path + ".part"
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("control: make the journal: %w", err)
	}
	j, _, err := openJournal(part)
	if err != nil {
		return err
	}
	for _, r := range records {
		err = errors.Join(err, j.append(r))
	}
	if err := errors.Join(err, j.close()); err != nil {
		return err
	}
	if err := os.Rename(part, path); err != nil {
		return fmt.Errorf("control: make the journal: %w", err)
	}
	return nil
}
