package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recordhost/recordhost/sdk/schema"
)

// shelf is a plugin's settings with one of everything that a schema can hold.
type shelf struct {
	URL     string            `config:"url"`
	Token   schema.Secret     `config:"token,optional"`
	Slots   int               `config:"slots" default:"4"`
	Ratio   float64           `config:"ratio" default:"0.5"`
	Strict  bool              `config:"strict" default:"false"`
	Timeout time.Duration     `config:"timeout" default:"30s"`
	Regions []string          `config:"regions,optional"`
	Tags    map[string]string `config:"tags,optional"`
	Limits  *limits           `config:"limits,block"`
	Rules   []rule            `config:"rule,block"`
}

type limits struct {
	Size int64 `config:"size"`
}

type rule struct {
	Match string `config:"match"`
}

// settingsOf reads a storage block's body, which begins in line 2 of its file, by the schema of shelf.
func settingsOf(t *testing.T, body string) ([]byte, error) {
	t.Helper()
	c, err := read(t, "storage \"shelf\" \"s\" {\n"+body+"\n}\nruntime \"local\" \"here\" {}\n")
	if err != nil {
		t.Fatal(err)
	}
	s, err := schema.Of[shelf]()
	if err != nil {
		t.Fatal(err)
	}
	return c.Storages[0].Settings(s)
}

func TestSettingsReachThePlugin(t *testing.T) {
	t.Setenv("TOKEN", "s3cret")
	encoded, err := settingsOf(t, `
		sha256  = "`+strings.Repeat("00", 32)+`"
		env     = { HOME = "/nowhere" }
		url     = "file://${dir}/recordings"
		token   = env("TOKEN")
		slots   = 2
		ratio   = 0.25
		strict  = true
		timeout = "1d"
		regions = ["a", "b"]
		tags    = { colour = "red" }
		limits { size = 9007199254740993 }
		rule { match = "x" }
		rule { match = "y" }`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := schema.Decode[shelf](encoded)
	if err != nil {
		t.Fatalf("the plugin refuses %s: %v", encoded, err)
	}
	if !strings.HasPrefix(got.URL, "file:///") || !strings.HasSuffix(got.URL, "/recordings") {
		t.Errorf("url %q", got.URL)
	}
	if got.Token.Reveal() != "s3cret" {
		t.Error("the token is not the environment's")
	}
	got.URL, got.Token = "", schema.Secret{}
	want := shelf{
		Slots: 2, Ratio: 0.25, Strict: true, Timeout: 24 * time.Hour, Regions: []string{"a", "b"},
		Tags: map[string]string{"colour": "red"}, Limits: &limits{Size: 1<<53 + 1}, Rules: []rule{{"x"}, {"y"}},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b schema.Secret) bool { return a.Reveal() == b.Reveal() })); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestSettingsDefaultsAreThePlugins(t *testing.T) {
	encoded, err := settingsOf(t, `
		url   = "mem://"
		slots = null`)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(encoded), `{"url":"mem://"}`; got != want {
		t.Errorf("settings %s, want %s", got, want)
	}
}

func TestSettingsMistakes(t *testing.T) {
	tests := []struct {
		name, body string // the body begins in line 2
		want       []string
	}{
		{"required", `slots = 1`,
			[]string{`1:21: Missing required argument: The argument "url" is required, but no definition was found.`}},
		{"required is null", `url = null`, []string{`2:7: url must be a string, not null`}},
		{"unknown", "url = \"\"\nsolts = 1",
			[]string{`3:1: Unsupported argument: An argument named "solts" is not expected here. Did you mean "slots"?`}},
		{"string", `url = 1`, []string{`2:7: url must be a string, not 1`}},
		{"whole number", "url = \"\"\nslots = 1.5", []string{`3:9: slots must be a whole number, not 1.5`}},
		{"number", "url = \"\"\nratio = \"x\"", []string{`3:9: ratio must be a number, not "x"`}},
		{"truth", "url = \"\"\nstrict = \"true\"", []string{`3:10: strict must be true or false, not "true"`}},
		{"duration", "url = \"\"\ntimeout = 30", []string{`3:11: timeout must be a duration such as "1m30s", not 30`}},
		{"list", "url = \"\"\nregions = [1]", []string{`3:11: regions must be a list of strings`}},
		{"map", "url = \"\"\ntags = { a = [] }", []string{`3:8: tags must be a map of strings`}},
		{"secret", "url = \"\"\ntoken = 31337", []string{`3:9: token must be a string, not a number`}},
		{"in a block", "url = \"\"\nlimits {\n  size = \"big\"\n}", []string{`4:10: size must be a whole number, not "big"`}},
		{"second block", "url = \"\"\nlimits { size = 1 }\nlimits { size = 2 }",
			[]string{`4:1: there is a block limits already, at line 3`}},
		{"several", "url = 1\nrule {}\nratio = []", []string{
			`2:7: url must be a string, not 1`,
			`3:6: Missing required argument: The argument "match" is required, but no definition was found.`,
			`4:9: ratio must be a number, not a list`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			encoded, err := settingsOf(t, test.body)
			if err == nil {
				t.Fatalf("no error, but %s", encoded)
			}
			var got []string
			for _, e := range List(err) {
				_, message, _ := strings.Cut(e.Error(), "recordhost.hcl:")
				got = append(got, message)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}
