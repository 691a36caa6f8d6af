package config

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/recordhost/recordhost/sdk/schema"
)

// field is an attribute that a block may have, bound to the place its value goes to.
type field struct {
	name string
	set  func(cty.Value) error // the error completes the sentence "<name> must be …"
}

// schemaOf lists the attributes for HCL, which refuses all others.
func schemaOf(fields []field) *hcl.BodySchema {
	s := &hcl.BodySchema{}
	for _, f := range fields {
		s.Attributes = append(s.Attributes, hcl.AttributeSchema{Name: f.name})
	}
	return s
}

// fill sets every field that the attributes mention; null is as if absent.
func fill(attributes hcl.Attributes, fields []field, ctx *hcl.EvalContext) []error {
	var errs []error
	for _, f := range fields {
		a, mentioned := attributes[f.name]
		if !mentioned {
			continue
		}
		v, diags := a.Expr.Value(ctx)
		if diags.HasErrors() {
			errs = append(errs, asErrors(diags)...)
			continue
		}
		if v.IsNull() {
			continue
		}
		if err := f.set(v); err != nil {
			errs = append(errs, errorf(a.Expr.Range(), "%s must be %v", f.name, err))
		}
	}
	return errs
}

func integer(name string, to *int, least, most int) field {
	return field{name, func(v cty.Value) error {
		n, ok := wholeNumber(v)
		if !ok || n < int64(least) || n > int64(most) {
			return fmt.Errorf("a whole number from %d to %d, not %s", least, most, show(v))
		}
		*to = int(n)
		return nil
	}}
}

func text(name string, to *string, wanted string, good func(string) bool) field {
	return field{name, func(v cty.Value) error {
		if v.Type() != cty.String || !good(v.AsString()) {
			return fmt.Errorf("%s, not %s", wanted, show(v))
		}
		*to = v.AsString()
		return nil
	}}
}

// secret takes a text that must not be empty, and never shows it. What check says completes the sentence too.
func secret(name string, to *schema.Secret, check func(schema.Secret) error) field {
	return field{name, func(v cty.Value) error {
		if v.Type() != cty.String {
			return fmt.Errorf("a string, not %s", kindOf(v))
		}
		s := schema.NewSecret(v.AsString())
		if s.IsZero() {
			return errors.New("a secret, not empty")
		}
		if err := check(s); err != nil {
			return err
		}
		*to = s
		return nil
	}}
}

func oneOf(name string, to *string, words ...string) field {
	wanted := `one of "` + strings.Join(words, `", "`) + `"`
	return text(name, to, wanted, func(s string) bool { return slices.Contains(words, s) })
}

func onOff(name string, to *bool) field {
	return field{name, func(v cty.Value) error {
		var word string
		if err := oneOf(name, &word, "on", "off").set(v); err != nil {
			return err
		}
		*to = word == "on"
		return nil
	}}
}

// boolean is true or false.
func boolean(name string, to *bool) field {
	return field{name, func(v cty.Value) error {
		if v.Type() != cty.Bool {
			return errors.New("true or false")
		}
		*to = v.True()
		return nil
	}}
}

// path is a file or folder; a relative one counts from dir.
func path(name string, to *string, dir string) field {
	return field{name, func(v cty.Value) error {
		if v.Type() != cty.String || v.AsString() == "" || strings.ContainsRune(v.AsString(), 0) {
			return fmt.Errorf("a path, not %s", show(v))
		}
		*to = below(dir, v.AsString())
		return nil
	}}
}

func below(dir, p string) string {
	if filepath.IsAbs(p) {
		return filepath.Clean(p)
	}
	return filepath.Join(dir, p)
}

func duration(name string, to *time.Duration, least, most time.Duration) field {
	return field{name, func(v cty.Value) error {
		if v.Type() == cty.String {
			if d, err := parseDuration(v.AsString()); err == nil && d >= least && d <= most {
				*to = d
				return nil
			}
		}
		return fmt.Errorf(`a duration such as "90s", "1h30m" or "30d", from %s to %s, not %s`, short(least), short(most), show(v))
	}}
}

// parseDuration is time.ParseDuration with days before the hours: "30d", "1d12h".
func parseDuration(text string) (time.Duration, error) {
	days, rest, found := strings.Cut(text, "d")
	if !found {
		return time.ParseDuration(text)
	}
	n, err := strconv.ParseUint(days, 10, 16) // so many days are no overflow
	if err != nil {
		return 0, fmt.Errorf("%q is no whole number of days", days)
	}
	if rest == "" {
		return time.Duration(n) * day, nil
	}
	hours, err := time.ParseDuration(rest)
	if err != nil || hours < 0 || hours >= day {
		return 0, fmt.Errorf("%q is no part of a day", rest)
	}
	return time.Duration(n)*day + hours, nil
}

// short writes a duration as people would: 10m rather than 10m0s.
func short(d time.Duration) string {
	if d >= 2*day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// size is a number of bytes, written with its unit. Zero needs none.
func size(name string, to *int64) field {
	return field{name, func(v cty.Value) error {
		if n, ok := wholeNumber(v); ok && n == 0 {
			*to = 0
			return nil
		}
		if v.Type() == cty.String {
			if n, err := parseSize(v.AsString()); err == nil {
				*to = n
				return nil
			}
		}
		return fmt.Errorf(`a size such as "500MB" or "1GiB", or 0, not %s`, show(v))
	}}
}

// parseSize reads a whole number of a unit: "1GiB", "500 MB", "0".
func parseSize(text string) (int64, error) {
	units := map[string]int64{
		"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
	}
	digits := strings.TrimRight(text, " kKMGTiB")
	unit := strings.TrimLeft(text[len(digits):], " ")
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%q is no whole number", digits)
	}
	if n == 0 && unit == "" {
		return 0, nil
	}
	factor, known := units[unit]
	if !known || n > uint64(math.MaxInt64/factor) {
		return 0, fmt.Errorf("%q is no size", text)
	}
	return int64(n) * factor, nil
}

func texts(name string, to *[]string, wanted string, good func(string) bool) field {
	return field{name, func(v cty.Value) error {
		if !v.Type().IsTupleType() && !v.Type().IsListType() {
			return fmt.Errorf("a list, not %s", show(v))
		}
		var list []string
		for _, e := range v.AsValueSlice() {
			if e.IsNull() || e.Type() != cty.String || !good(e.AsString()) {
				return fmt.Errorf("a list of %s; %s is none", wanted, show(e))
			}
			list = append(list, e.AsString())
		}
		*to = list
		return nil
	}}
}

// textMap never shows a value in its error: what stands in an environment is often secret.
func textMap(name string, to *map[string]string) field {
	return field{name, func(v cty.Value) error {
		if !v.Type().IsObjectType() && !v.Type().IsMapType() {
			return fmt.Errorf("a map of strings, not %s", kindOf(v))
		}
		m := map[string]string{}
		for key, e := range v.AsValueMap() {
			if e.IsNull() || e.Type() != cty.String {
				return fmt.Errorf("a map of strings; %q is none", key)
			}
			m[key] = e.AsString()
		}
		*to = m
		return nil
	}}
}

func wholeNumber(v cty.Value) (int64, bool) {
	if v.IsNull() || v.Type() != cty.Number {
		return 0, false
	}
	n, accuracy := v.AsBigFloat().Int64()
	if accuracy != big.Exact || n == math.MinInt64 || n == math.MaxInt64 {
		return 0, false
	}
	return n, true
}

// show writes a value for an error.
func show(v cty.Value) string {
	switch {
	case v.IsNull():
		return "null"
	case v.Type() == cty.String:
		return fmt.Sprintf("%.60q", v.AsString())
	case v.Type() == cty.Number:
		return v.AsBigFloat().Text('g', 12)
	case v.Type() == cty.Bool:
		return strconv.FormatBool(v.True())
	default:
		return kindOf(v)
	}
}

// kindOf names a value's type and keeps the value to itself. HCL tells tuples from lists and objects from maps; the
// people who write files need not.
func kindOf(v cty.Value) string {
	switch t := v.Type(); {
	case t.IsTupleType() || t.IsListType():
		return "a list"
	case t.IsObjectType() || t.IsMapType():
		return "a map"
	default:
		return "a " + t.FriendlyName()
	}
}
