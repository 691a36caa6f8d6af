package task

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
)

// object reads the members of one JSON object of an action. A member that is absent or null reads as the zero value.
// The first one that is wrong is kept as the document's error, an InvalidParam that names its path; what is read
// after it does not matter any more.
type object struct {
	path    string
	members map[string]json.RawMessage
	err     *error // of the whole document
}

// readObject begins with the document, which is called name. An absent or null document is one without members.
func readObject(name string, data json.RawMessage) object {
	o := object{path: name, err: new(error)}
	if !isNull(data) && (json.Unmarshal(data, &o.members) != nil || o.members == nil) {
		o.fail("", "must be an object")
	}
	return o
}

func isNull(data json.RawMessage) bool {
	text := strings.TrimSpace(string(data))
	return text == "" || text == "null"
}

// problem is the first thing that was wrong.
func (o object) problem() error { return *o.err }

// fail notes that a member, or the object itself, is wrong.
func (o object) fail(name, format string, args ...any) {
	if *o.err == nil {
		*o.err = invalidParam("%s %s", o.pathOf(name), fmt.Sprintf(format, args...))
	}
}

// refuse notes a failure in words of its own.
func (o object) refuse(format string, args ...any) {
	if *o.err == nil {
		*o.err = invalidParam(format, args...)
	}
}

func (o object) pathOf(name string) string {
	if name == "" {
		return o.path
	}
	return o.path + "." + name
}

func (o object) has(name string) bool { return !isNull(o.members[name]) }

// text reads a string.
func (o object) text(name string) string {
	var s string
	if o.has(name) && json.Unmarshal(o.members[name], &s) != nil {
		o.fail(name, "must be a string")
	}
	return s
}

// flag reads a boolean.
func (o object) flag(name string) bool {
	var b bool
	if o.has(name) && json.Unmarshal(o.members[name], &b) != nil {
		o.fail(name, "must be true or false")
	}
	return b
}

// number reads a number within bounds. An absent one is zero, which need not lie within them.
func (o object) number(name string, least, most float64) float64 {
	if !o.has(name) {
		return 0
	}
	var x float64
	if json.Unmarshal(o.members[name], &x) != nil {
		o.fail(name, "must be a number")
		return 0
	}
	if x < least || x > most {
		o.fail(name, "must be a number from %v to %v", least, most)
		return 0
	}
	return x
}

// whole reads a whole number within bounds, however it is written. An absent one is zero, which need not lie within
// them.
func (o object) whole(name string, least, most int64) int64 {
	if !o.has(name) {
		return 0
	}
	var x float64
	if json.Unmarshal(o.members[name], &x) != nil {
		o.fail(name, "must be a whole number")
		return 0
	}
	if x != math.Trunc(x) || x < float64(least) || x > float64(most) {
		o.fail(name, "must be a whole number from %d to %d", least, most)
		return 0
	}
	return int64(x)
}

// object reads an object; an absent one has no members.
func (o object) object(name string) object {
	inner := object{path: o.pathOf(name), err: o.err}
	if o.has(name) && json.Unmarshal(o.members[name], &inner.members) != nil {
		o.fail(name, "must be an object")
	}
	return inner
}

// objects reads an array of objects.
func (o object) objects(name string) []object {
	var items []json.RawMessage
	if o.has(name) && json.Unmarshal(o.members[name], &items) != nil {
		o.fail(name, "must be an array")
	}
	var out []object
	for i, item := range items {
		inner := object{path: fmt.Sprintf("%s[%d]", o.pathOf(name), i), err: o.err}
		if json.Unmarshal(item, &inner.members) != nil || inner.members == nil {
			inner.fail("", "must be an object")
		}
		out = append(out, inner)
	}
	return out
}
