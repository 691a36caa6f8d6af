package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/recordhost/recordhost/internal/task"
)

// report prints what came of a recording: the task's description for programs, or a line for each file and one for its
// cost for people.
func report(out io.Writer, o order, place *target, t taken) error {
	if o.json {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(t.description)
	}
	if t.description.Result == nil {
		return nil
	}
	for _, v := range t.description.Result.Videos {
		where := v.FileURL
		if place != nil {
			where = short(filepath.Join(place.dir, filepath.FromSlash(v.Filename)))
		}
		fmt.Fprintf(out, "%s\n%.2f s, %s, %d frames, %d dropped, %.2f cores\n", where, v.FileDuration, bytesText(v.FileSize),
			t.figures.Frames, t.figures.Dropped, cores(t.figures.CPU, t.figures.Recorded))
	}
	return nil
}

// short is the path from the working directory, where the file is below it.
func short(file string) string {
	here, err := filepath.Abs(".")
	if err != nil {
		return file
	}
	if relative, err := filepath.Rel(here, file); err == nil && filepath.IsLocal(relative) {
		return relative
	}
	return file
}

// verdict is the error that a recording's end amounts to, with the exit code that it deserves.
func verdict(d task.Description, dir string) error {
	r := d.Result
	switch {
	case r == nil:
		return fmt.Errorf("the recording ended in status %s without a result", d.Status)
	case r.ErrorCode == "" && len(r.Videos) > 0:
		return nil
	case r.ErrorCode == "":
		return errors.New("stopped before anything was recorded: there is no file")
	case kept(d):
		return fmt.Errorf("%s: %s; what was recorded is kept below %s for 7 days", r.ErrorCode, r.ErrorMessage, dir)
	case len(r.Videos) > 0:
		return &exitError{exitIncomplete, fmt.Errorf("the file is whole, but not all was recorded: %s: %s", r.ErrorCode, r.ErrorMessage)}
	default:
		return fmt.Errorf("%s: %s", r.ErrorCode, r.ErrorMessage)
	}
}

// kept reports whether a recording exists that could not be delivered.
func kept(d task.Description) bool {
	undelivered := []string{"DiskFull", "UploadFailed", "UploadDenied", "TargetExists"}
	return d.Result != nil && len(d.Result.Videos) == 0 && slices.Contains(undelivered, d.Result.ErrorCode)
}
