package config

import (
	"os"
	"regexp"
	"testing"
)

const sample = "../../recordhost.hcl"

// The sample at the repository's root is what people begin with: it loads, and what it shows as defaults are the defaults.
func TestSampleLoads(t *testing.T) {
	c, err := Load(sample)
	if err != nil {
		t.Fatal(err)
	}
	if want := defaults().Engine; c.Engine != want {
		t.Errorf("engine %+v, want the defaults %+v", c.Engine, want)
	}
	if c.Callback != defaults().Callback {
		t.Errorf("callback %v, want the defaults", c.Callback)
	}
	if got, want := c.API.Listen, defaults().API.Listen; got != want {
		t.Errorf("listen %s, want %s", got, want)
	}
}

// What stands commented out loads too, once the commentary is taken off.
func TestSampleIsTrueWhereItIsCommentedOut(t *testing.T) {
	text, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("ARCHIVE_KEY_ID", "id")
	t.Setenv("CALLBACK_SECRET", hook)
	settings := regexp.MustCompile(`(?m)^( *)# ((?:[a-z0-9_]+ *=|storage "|AWS_|  [a-zA-Z_]+ *=|    AWS|  \}|\}).*)$`)
	text = settings.ReplaceAll(text, []byte("$1$2"))
	text = regexp.MustCompile(`file\("[^"]*"\)`).ReplaceAll(text, []byte(`file("testdata/empty.hcl")`))
	text = regexp.MustCompile(`(?m)^ *sha256 .*$`).ReplaceAll(text, nil)
	c, err := parse(text, "recordhost.hcl", evaluation(".", map[string]string{"dir": "/srv"}), "/srv")
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	want := defaults().Engine
	want.CRF, want.Preset, want.AudioBitrate = c.Engine.CRF, c.Engine.Preset, c.Engine.AudioBitrate
	want.Chrome, want.FFmpeg = c.Engine.Chrome, c.Engine.FFmpeg
	if c.Engine != want {
		t.Errorf("engine %+v, want the defaults %+v", c.Engine, want)
	}
	if c.Retention != defaults().Retention {
		t.Errorf("retention %+v, want the defaults", c.Retention)
	}
	if c.Callback.GiveUp != defaults().Callback.GiveUp {
		t.Errorf("callback %v, want the defaults", c.Callback)
	}
	if len(c.Storages) != 4 || c.API.PathPrefix != "/record" || c.Engine.CRF == 0 || c.Engine.Chrome == "" {
		t.Errorf("not all of the commented settings were taken: %+v", c)
	}
}

// Every attribute that config knows stands in the sample, and in docs/config.md.
func TestEverySettingIsDocumented(t *testing.T) {
	r := &reader{}
	var names []string
	for _, fields := range [][]field{
		r.rootFields(), r.apiFields(), r.engineFields(), r.retentionFields(), r.callbackFields(), commonFields(&Plugin{}),
	} {
		for _, f := range fields {
			names = append(names, f.name)
		}
	}
	for file, form := range map[string]string{sample: `(?m)^\s*(# )?%s\s*=`, "../../docs/config.md": "`%s`"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if !regexp.MustCompile(regexp.MustCompile(`%s`).ReplaceAllString(form, name)).Match(text) {
				t.Errorf("%s does not tell of %s", file, name)
			}
		}
	}
}
