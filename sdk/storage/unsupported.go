package storage

import (
	"context"

	"github.com/recordhost/recordhost/sdk/status"
)

// NoParts may be embedded by drivers of stores that take whole files only: BeginParts, PutPart and FinishParts are
// Unimplemented.
type NoParts struct{}

// BeginParts implements Driver.
func (NoParts) BeginParts(context.Context, State, Growing) (Upload, error) { return nil, errNoParts() }

// PutPart implements Driver.
func (NoParts) PutPart(context.Context, State, Upload, Part) (Receipt, error) {
	return Receipt{}, errNoParts()
}

// FinishParts implements Driver.
func (NoParts) FinishParts(context.Context, State, Upload, []Receipt) error { return errNoParts() }

// NoReadBack may be embedded by drivers of stores that give nothing back: List, Fetch and Delete are Unimplemented.
type NoReadBack struct{}

// List implements Driver.
func (NoReadBack) List(context.Context, State) ([]Object, error) { return nil, errNoReadBack() }

// Fetch implements Driver.
func (NoReadBack) Fetch(context.Context, State, string, string) error { return errNoReadBack() }

// Delete implements Driver.
func (NoReadBack) Delete(context.Context, State, string) error { return errNoReadBack() }

func errNoParts() error {
	return status.Errorf(status.Unimplemented, "this storage takes whole files, not parts")
}

func errNoReadBack() error {
	return status.Errorf(status.Unimplemented, "this storage gives nothing back")
}
