package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
)

// Error is one mistake in a configuration, and where it is. It is always the mistake of who wrote the file.
type Error struct {
	File    string
	Line    int // from 1
	Column  int // from 1, in characters
	Message string
}

// Error is "file:line:column: message".
func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
}

// errorf is a mistake at the start of a range.
func errorf(at hcl.Range, format string, args ...any) *Error {
	return &Error{
		File:    at.Filename,
		Line:    max(at.Start.Line, 1),
		Column:  max(at.Start.Column, 1),
		Message: fmt.Sprintf(format, args...),
	}
}

// asErrors turns HCL's diagnostics into Errors, all of them.
func asErrors(diags hcl.Diagnostics) []error {
	var errs []error
	for _, d := range diags {
		if d.Severity != hcl.DiagError {
			continue
		}
		var at hcl.Range
		if d.Subject != nil {
			at = *d.Subject
		}
		message := d.Summary
		if d.Detail != "" {
			message += ": " + d.Detail
		}
		errs = append(errs, errorf(at, "%s", message))
	}
	return errs
}

// List answers the single mistakes in an error, however they were joined and wrapped: a mistake in a configuration as
// the Error that names its place, anything else as it is.
func List(err error) []error {
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		var list []error
		for _, e := range joined.Unwrap() {
			list = append(list, List(e)...)
		}
		return list
	}
	if mistake, ok := errors.AsType[*Error](err); ok {
		return []error{mistake}
	}
	return []error{err}
}

// sorted puts mistakes into the file's order.
func sorted(errs []error) []error {
	slices.SortStableFunc(errs, func(a, b error) int {
		x, isX := errors.AsType[*Error](a)
		y, isY := errors.AsType[*Error](b)
		if !isX || !isY {
			return 0
		}
		return cmp.Or(cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column))
	})
	return errs
}
