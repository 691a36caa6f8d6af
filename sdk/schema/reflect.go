package schema

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Of returns the schema of the settings struct C. An error is a mistake in C's tags.
func Of[C any]() (Schema, error) {
	form, err := formOf(reflect.TypeFor[C](), nil)
	if err != nil {
		return Schema{}, err
	}
	return form.schema(), nil
}

// form is a struct type as its tags describe it. Of and Decode both work from it, so they cannot disagree.
type form struct {
	fields []field
}

// field is one tagged field of a form: an attribute where body is nil, else a block.
type field struct {
	name        string
	index       int
	description string

	kind      Type
	required  bool
	fallback  json.RawMessage // of an attribute that is not set; nil for none
	sensitive bool

	body     *form
	repeated bool
}

// validName is what HCL takes as a name and what looks like the other names of the configuration file.
var validName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// formOf reads the tags of t. within lists the types around t, since a type that contains itself has no schema.
func formOf(t reflect.Type, within []reflect.Type) (*form, error) {
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("settings must be a struct, %v is none", t)
	}
	if slices.Contains(within, t) {
		return nil, fmt.Errorf("%v contains itself", t)
	}
	within = append(within, t)
	f, taken := &form{}, map[string]bool{}
	for i := range t.NumField() {
		one, err := fieldOf(t.Field(i), i, within)
		if err != nil {
			return nil, fmt.Errorf("%v.%s: %w", t, t.Field(i).Name, err)
		}
		if taken[one.name] {
			return nil, fmt.Errorf("%v.%s: %q is taken by another field", t, t.Field(i).Name, one.name)
		}
		taken[one.name] = true
		f.fields = append(f.fields, one)
	}
	return f, nil
}

func fieldOf(sf reflect.StructField, index int, within []reflect.Type) (field, error) {
	tag, ok := sf.Tag.Lookup("config")
	if !ok || !sf.IsExported() {
		return field{}, fmt.Errorf("must be exported and have a tag such as `config:%q`", strings.ToLower(sf.Name))
	}
	options := strings.Split(tag, ",")
	f := field{name: options[0], index: index, description: sf.Tag.Get("doc")}
	if !validName.MatchString(f.name) {
		return field{}, fmt.Errorf("%q is no name of lower case letters, digits and underscores", f.name)
	}
	block, optional := false, false
	for _, option := range options[1:] {
		switch option {
		case "block":
			block = true
		case "optional":
			optional = true
		case "sensitive":
			f.sensitive = true
		default:
			return field{}, fmt.Errorf("unknown option %q", option)
		}
	}
	fallback, hasFallback := sf.Tag.Lookup("default")
	if block {
		if optional || f.sensitive || hasFallback {
			return field{}, fmt.Errorf("a block has no options: its Go type says how often it may stand")
		}
		return f, f.setBlock(sf.Type, within)
	}
	if optional && hasFallback {
		return field{}, fmt.Errorf("what has a default is optional anyway")
	}
	f.required = !optional && !hasFallback
	return f, f.setAttribute(sf.Type, fallback, hasFallback)
}

func (f *field) setBlock(t reflect.Type, within []reflect.Type) error {
	f.required = true
	switch t.Kind() {
	case reflect.Pointer:
		f.required, t = false, t.Elem()
	case reflect.Slice:
		f.required, f.repeated, t = false, true, t.Elem()
	default:
	}
	body, err := formOf(t, within)
	f.body = body
	return err
}

func (f *field) setAttribute(t reflect.Type, fallback string, hasFallback bool) error {
	kind, ok := typeOf(t)
	if !ok {
		return fmt.Errorf("no setting can be a %v", t)
	}
	f.kind = kind
	f.sensitive = f.sensitive || t == reflect.TypeFor[Secret]()
	if !hasFallback {
		return nil
	}
	if f.sensitive {
		return fmt.Errorf("a secret has no default")
	}
	raw, err := fallbackJSON(kind, fallback)
	if err != nil {
		return fmt.Errorf("default %q is not %v", fallback, kind)
	}
	f.fallback = raw
	return f.decodeAttribute(reflect.New(t).Elem(), raw)
}

func typeOf(t reflect.Type) (Type, bool) {
	switch t {
	case reflect.TypeFor[string](), reflect.TypeFor[Secret]():
		return String, true
	case reflect.TypeFor[int](), reflect.TypeFor[int64]():
		return Int, true
	case reflect.TypeFor[float64]():
		return Float, true
	case reflect.TypeFor[bool]():
		return Bool, true
	case reflect.TypeFor[time.Duration]():
		return Duration, true
	case reflect.TypeFor[[]string]():
		return StringList, true
	case reflect.TypeFor[map[string]string]():
		return StringMap, true
	default:
		return 0, false
	}
}

// fallbackJSON turns the text of a default tag into the value's JSON. Lists and maps are written as JSON in the tag.
func fallbackJSON(kind Type, text string) (json.RawMessage, error) {
	switch kind {
	case String, Duration:
		return json.Marshal(text)
	case Float:
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
			return nil, fmt.Errorf("not a number")
		}
		return json.Marshal(v)
	default:
		if !json.Valid([]byte(text)) {
			return nil, fmt.Errorf("not JSON")
		}
		return json.RawMessage(text), nil
	}
}

func (f *form) schema() Schema {
	var s Schema
	for _, one := range f.fields {
		if one.body != nil {
			s.Blocks = append(s.Blocks, Block{
				Name: one.name, Repeated: one.repeated, Required: one.required,
				Body: one.body.schema(), Description: one.description,
			})
			continue
		}
		s.Attributes = append(s.Attributes, Attribute{
			Name: one.name, Type: one.kind, Required: one.required, Default: string(one.fallback),
			Sensitive: one.sensitive, Description: one.description,
		})
	}
	return s
}
