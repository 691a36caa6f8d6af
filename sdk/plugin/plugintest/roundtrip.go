package plugintest

import (
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// RoundTrip proves that a Go type and its message hold the same: it fills every field of a G, sends it as a P, and compares
// what comes back. No field of the message may be left unset, so that none is forgotten on either side. fresh is a new,
// empty message.
func RoundTrip[G any, P proto.Message](t *testing.T, fresh P, to func(G) P, from func(P) G) {
	t.Helper()
	var want G
	n := int64(0)
	fill(t, reflect.ValueOf(&want).Elem(), &n)
	sent := to(want)
	wantAllSet(t, sent.ProtoReflect(), string(sent.ProtoReflect().Descriptor().Name()))
	wire, err := proto.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(wire, fresh); err != nil {
		t.Fatal(err)
	}
	if got := from(fresh); !reflect.DeepEqual(got, want) {
		t.Errorf("%T came back from the wire as\n%+v, want\n%+v", want, got, want)
	}
}

// fill sets every field to a value of its own, none of them zero.
func fill(t *testing.T, v reflect.Value, n *int64) {
	t.Helper()
	*n++
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.Unix(1_700_000_000+*n, *n).UTC()))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(*n)
	case reflect.Uint64:
		v.SetUint(uint64(*n))
	case reflect.String:
		v.SetString("text " + time.Duration(*n).String())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(t, v.Index(i), n)
		}
	case reflect.Uint8:
		v.SetUint(uint64(*n)%255 + 1)
	case reflect.Struct:
		for i := range v.NumField() {
			if !v.Type().Field(i).IsExported() {
				t.Fatalf("%v has the unexported field %s", v.Type(), v.Type().Field(i).Name)
			}
			fill(t, v.Field(i), n)
		}
	default:
		t.Fatalf("nothing is known to fill a %v with", v.Type())
	}
}

func wantAllSet(t *testing.T, m protoreflect.Message, path string) {
	t.Helper()
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		at := path + "." + string(f.Name())
		switch {
		case !m.Has(f):
			t.Errorf("%s is not set", at)
		case f.Message() == nil || f.Message().ParentFile().Package() == "google.protobuf":
		case f.IsList():
			for j := range m.Get(f).List().Len() {
				wantAllSet(t, m.Get(f).List().Get(j).Message(), at)
			}
		default:
			wantAllSet(t, m.Get(f).Message(), at)
		}
	}
}
