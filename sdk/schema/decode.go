package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"time"

	"github.com/recordhost/recordhost/sdk/status"
)

// Decode fills a settings struct from the JSON object that the host sends. Names that the struct does not know, values
// of another type, names that stand twice and required settings that are missing are refused with
// status.InvalidArgument. The message names all of them by their paths ("rule[1].match"), and never holds a value.
// Null is as good as absent.
func Decode[C any](data []byte) (C, error) {
	var c C
	form, err := formOf(reflect.TypeFor[C](), nil)
	if err != nil {
		return c, status.Wrap(status.Internal, err)
	}
	if err := form.decode(reflect.ValueOf(&c).Elem(), data, ""); err != nil {
		var zero C
		return zero, status.Wrap(status.InvalidArgument, err)
	}
	return c, nil
}

// decode fills the struct v from the object in data; path is the struct's own, with a dot behind it unless empty.
// All problems are reported, joined.
func (f *form) decode(v reflect.Value, data json.RawMessage, path string) error {
	members, err := membersOf(data, path)
	if err != nil {
		return err
	}
	var problems []error
	known := map[string]bool{}
	for _, one := range f.fields {
		known[one.name] = true
		if err := one.decode(v.Field(one.index), members.values[one.name], path+one.name); err != nil {
			problems = append(problems, err)
		}
	}
	for _, name := range members.names {
		if !known[name] {
			problems = append(problems, fmt.Errorf("%s%s: no such setting", path, name))
		}
	}
	return errors.Join(problems...)
}

func (f *field) decode(v reflect.Value, data json.RawMessage, path string) error {
	switch {
	case data == nil && f.required:
		return fmt.Errorf("%s: must be set", path)
	case data == nil && f.fallback == nil:
		return nil
	case data == nil:
		data = f.fallback
	}
	switch {
	case f.body == nil:
		if err := f.decodeAttribute(v, data); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	case f.repeated:
		return f.decodeBlocks(v, data, path)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return f.body.decode(v.Elem(), data, path+".")
	default:
		return f.body.decode(v, data, path+".")
	}
}

func (f *field) decodeBlocks(v reflect.Value, data json.RawMessage, path string) error {
	var items []json.RawMessage
	if err := json.Unmarshal(data, &items); err != nil {
		return fmt.Errorf("%s: must be an array of objects", path)
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	var problems []error
	for i, item := range items {
		if err := f.body.decode(v.Index(i), item, path+"["+strconv.Itoa(i)+"]."); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// decodeAttribute sets v from data. The decoder's own errors quote what they read, so they are not passed on.
func (f *field) decodeAttribute(v reflect.Value, data json.RawMessage) error {
	var err error
	switch f.kind {
	case Duration:
		var text string
		if err = json.Unmarshal(data, &text); err == nil {
			var d time.Duration
			d, err = time.ParseDuration(text)
			v.SetInt(int64(d))
		}
	case StringList, StringMap:
		err = decodeStrings(v, data)
	default:
		if secret, ok := reflect.TypeAssert[*Secret](v.Addr()); ok {
			var text string
			err = json.Unmarshal(data, &text)
			*secret = NewSecret(text)
			break
		}
		err = json.Unmarshal(data, v.Addr().Interface())
	}
	if err != nil {
		return fmt.Errorf("must be %v", f.kind)
	}
	return nil
}

// decodeStrings sets a list or map of strings. Plain decoding would take a null among them for an empty string.
func decodeStrings(v reflect.Value, data json.RawMessage) error {
	if err := json.Unmarshal(data, v.Addr().Interface()); err != nil {
		return err
	}
	var list []*string
	var table map[string]*string
	if v.Kind() == reflect.Slice {
		if err := json.Unmarshal(data, &list); err != nil {
			return err
		}
	} else if err := json.Unmarshal(data, &table); err != nil {
		return err
	}
	for _, s := range list {
		if s == nil {
			return errors.New("null in a list")
		}
	}
	for _, s := range table {
		if s == nil {
			return errors.New("null in a map")
		}
	}
	return nil
}

// members are the members of a JSON object that are not null, and their names in the order of the text.
type members struct {
	values map[string]json.RawMessage
	names  []string
}

// membersOf reads an object. No data at all is an empty object: a block of the file may be empty.
func membersOf(data json.RawMessage, path string) (members, error) {
	m := members{values: map[string]json.RawMessage{}}
	if len(bytes.TrimSpace(data)) == 0 {
		return m, nil
	}
	notObject := errors.New(pathName(path) + ": must be an object")
	dec := json.NewDecoder(bytes.NewReader(data))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return m, notObject
	}
	seen := map[string]bool{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return m, notObject
		}
		name, _ := key.(string)
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return m, notObject
		}
		if seen[name] {
			return m, fmt.Errorf("%s%s: stands twice", path, name)
		}
		seen[name] = true
		if string(value) != "null" {
			m.values[name], m.names = value, append(m.names, name)
		}
	}
	if _, err := dec.Token(); err != nil {
		return m, notObject
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return m, notObject
	}
	return m, nil
}

// pathName names the object at path in a message.
func pathName(path string) string {
	if path == "" {
		return "settings"
	}
	return path[:len(path)-1]
}
