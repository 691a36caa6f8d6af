package schema_test

import (
	"reflect"
	"testing"

	pluginv1 "github.com/recordhost/recordhost/sdk/proto/recordhost/plugin/v1"
	"github.com/recordhost/recordhost/sdk/schema"
)

func TestSchemaOverTheWire(t *testing.T) {
	want := settingsSchema()
	got, err := schema.FromProto(want.Proto())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the schema came back as\n%+v, want\n%+v", got, want)
	}
	if got, err := schema.FromProto(nil); err != nil || !reflect.DeepEqual(got, schema.Schema{}) {
		t.Errorf("no schema came back as %+v, %v", got, err)
	}
}

// Types of Go and of the wire are the same, number by number.
func TestTypesOfTheWire(t *testing.T) {
	for kind, name := range map[schema.Type]string{
		schema.String: "STRING", schema.Int: "INT", schema.Float: "FLOAT", schema.Bool: "BOOL", schema.Duration: "DURATION",
		schema.StringList: "STRING_LIST", schema.StringMap: "STRING_MAP",
	} {
		if got := pluginv1.AttributeType(kind).String(); got != "ATTRIBUTE_TYPE_"+name {
			t.Errorf("%v is %s on the wire", kind, got)
		}
	}
}

// A plugin may be broken; its host must not be.
func TestSchemasThatNobodyCanUse(t *testing.T) {
	attribute := func(name string) *pluginv1.Attribute {
		return &pluginv1.Attribute{Name: name, Type: pluginv1.AttributeType_ATTRIBUTE_TYPE_STRING}
	}
	deep := &pluginv1.Schema{}
	for range 50 {
		deep = &pluginv1.Schema{Blocks: []*pluginv1.Block{{Name: "b", Body: deep}}}
	}
	wide := &pluginv1.Schema{}
	for i := range 1000 {
		wide.Attributes = append(wide.Attributes, attribute("a"+string(rune('a'+i%26))))
	}
	for name, p := range map[string]*pluginv1.Schema{
		"no name":          {Attributes: []*pluginv1.Attribute{attribute("")}},
		"odd name":         {Attributes: []*pluginv1.Attribute{attribute("a b")}},
		"twice":            {Attributes: []*pluginv1.Attribute{attribute("a"), attribute("a")}},
		"attribute, block": {Attributes: []*pluginv1.Attribute{attribute("a")}, Blocks: []*pluginv1.Block{{Name: "a"}}},
		"no type":          {Attributes: []*pluginv1.Attribute{{Name: "a"}}},
		"future type":      {Attributes: []*pluginv1.Attribute{{Name: "a", Type: 99}}},
		"default":          {Attributes: []*pluginv1.Attribute{{Name: "a", Type: 1, DefaultJson: "{"}}},
		"deep":             deep,
		"wide":             wide,
		"nil members":      {Attributes: []*pluginv1.Attribute{nil}, Blocks: []*pluginv1.Block{nil}},
	} {
		if s, err := schema.FromProto(p); err == nil {
			t.Errorf("%s: got %+v, want an error", name, s)
		}
	}
}
