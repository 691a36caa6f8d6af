package schema

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted is what a secret prints as.
const redacted = "(redacted)"

// Secret is a text that prints as "(redacted)" wherever a value is printed by accident: fmt with any verb, errors, log/slog,
// JSON and text encodings, and inside other values. Reveal is the only way to the text. The zero value is no secret.
type Secret struct {
	// A pointer, since fmt prints unexported fields of structs around a Secret without asking its methods.
	text *string
}

// NewSecret makes a secret of text.
func NewSecret(text string) Secret { return Secret{text: &text} }

// Reveal returns the text. Callers hand it to the service that it is for, and nowhere else.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether there is no text.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// String returns "(redacted)", or nothing where there is nothing to hide.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return redacted
}

// Format writes the same for every verb and flag.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue hides the text from log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the text from encoders, JSON among them.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes the text in.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}
