package schema_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/recordhost/recordhost/sdk/schema"
)

// settings has every type of setting there is.
type settings struct {
	URL     string            `config:"url" doc:"where"`
	Key     schema.Secret     `config:"key"`
	Token   string            `config:"token,optional,sensitive"`
	Retries int               `config:"retries" default:"3"`
	Bytes   int64             `config:"bytes,optional"`
	Factor  float64           `config:"factor" default:"1.5"`
	On      bool              `config:"on" default:"true"`
	Wait    time.Duration     `config:"wait" default:"1m30s"`
	Names   []string          `config:"names" default:"[\"a\"]"`
	Labels  map[string]string `config:"labels,optional"`
	Limits  *limits           `config:"limits,block" doc:"at most"`
	Base    limits            `config:"base,block"`
	Rules   []rule            `config:"rule,block"`
}

type limits struct {
	Max int `config:"max"`
}

type rule struct {
	Match string `config:"match"`
	Sub   *rule2 `config:"sub,block"`
}

type rule2 struct {
	N int `config:"n,optional"`
}

func settingsSchema() schema.Schema {
	limits := schema.Schema{Attributes: []schema.Attribute{{Name: "max", Type: schema.Int, Required: true}}}
	sub := schema.Schema{Attributes: []schema.Attribute{{Name: "n", Type: schema.Int}}}
	return schema.Schema{
		Attributes: []schema.Attribute{
			{Name: "url", Type: schema.String, Required: true, Description: "where"},
			{Name: "key", Type: schema.String, Required: true, Sensitive: true},
			{Name: "token", Type: schema.String, Sensitive: true},
			{Name: "retries", Type: schema.Int, Default: "3"},
			{Name: "bytes", Type: schema.Int},
			{Name: "factor", Type: schema.Float, Default: "1.5"},
			{Name: "on", Type: schema.Bool, Default: "true"},
			{Name: "wait", Type: schema.Duration, Default: `"1m30s"`},
			{Name: "names", Type: schema.StringList, Default: `["a"]`},
			{Name: "labels", Type: schema.StringMap},
		},
		Blocks: []schema.Block{
			{Name: "limits", Body: limits, Description: "at most"},
			{Name: "base", Required: true, Body: limits},
			{Name: "rule", Repeated: true, Body: schema.Schema{
				Attributes: []schema.Attribute{{Name: "match", Type: schema.String, Required: true}},
				Blocks:     []schema.Block{{Name: "sub", Body: sub}},
			}},
		},
	}
}

func TestOf(t *testing.T) {
	got, err := schema.Of[settings]()
	if err != nil {
		t.Fatal(err)
	}
	if want := settingsSchema(); !reflect.DeepEqual(got, want) {
		t.Errorf("the schema is\n%+v, want\n%+v", got, want)
	}
	if empty, err := schema.Of[struct{}](); err != nil || !reflect.DeepEqual(empty, schema.Schema{}) {
		t.Errorf("a plugin without settings has the schema %+v, %v", empty, err)
	}
}

func TestMistakesInTags(t *testing.T) {
	type self struct {
		Again []self2 `config:"again,block"`
	}
	for name, of := range map[string]func() (schema.Schema, error){
		"no struct": schema.Of[int],
		"no tag":    schema.Of[struct{ A string }],
		"not exported": schema.Of[struct {
			a string `config:"a"`
		}],
		"empty name": schema.Of[struct {
			A string `config:""`
		}],
		"odd name": schema.Of[struct {
			A string `config:"a-b"`
		}],
		"upper case": schema.Of[struct {
			A string `config:"A"`
		}],
		"unknown option": schema.Of[struct {
			A string `config:"a,requird"`
		}],
		"unknown type": schema.Of[struct {
			A uint8 `config:"a"`
		}],
		"block of a string": schema.Of[struct {
			A string `config:"a,block"`
		}],
		"struct, no block": schema.Of[struct {
			A limits `config:"a"`
		}],
		"optional block": schema.Of[struct {
			A limits `config:"a,block,optional"`
		}],
		"twice": schema.Of[struct {
			A string `config:"a"`
			B string `config:"a"`
		}],
		"optional with default": schema.Of[struct {
			A string `config:"a,optional" default:"x"`
		}],
		"secret default": schema.Of[struct {
			A schema.Secret `config:"a" default:"x"`
		}],
		"wrong default int": schema.Of[struct {
			A int `config:"a" default:"x"`
		}],
		"wrong default wait": schema.Of[struct {
			A time.Duration `config:"a" default:"3"`
		}],
		"wrong default list": schema.Of[struct {
			A []string `config:"a" default:"[1]"`
		}],
		"wrong default float": schema.Of[struct {
			A float64 `config:"a" default:"NaN"`
		}],
		"without end": schema.Of[self],
	} {
		if s, err := of(); err == nil {
			t.Errorf("%s: got %+v, want an error", name, s)
		}
	}
}

type self2 struct {
	Again []self2 `config:"again,block"`
}

func TestTypesSpeak(t *testing.T) {
	for kind := schema.String; kind <= schema.StringMap; kind++ {
		if kind.String() == "unknown" {
			t.Errorf("type %d has no words", int(kind))
		}
	}
}
