package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/recordhost/recordhost/sdk/schema"
)

// blocks are the two that no configuration can do without.
const blocks = `
runtime "local" "here" {}
storage "blob" "files" {}
`

const hook = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// secrets lets cmp look into them.
func secrets() cmp.Option {
	return cmp.Comparer(func(a, b schema.Secret) bool { return a.Reveal() == b.Reveal() })
}

func read(t *testing.T, source string) (*Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "recordhost.hcl")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(file)
}

func TestEverySetting(t *testing.T) {
	t.Setenv("REGION", "eu-west-1")
	t.Setenv("HOOK", hook)
	got, err := read(t, `
data_dir        = "state"
plugin_dir      = "/opt/recordhost/plugins"
default_runtime = "here"
default_storage = "archive"
on_term         = "drain"
api {
  listen             = "[::1]:9000"
  path_prefix        = "/record"
  cors_origins       = ["https://example.com", "*"]
  legacy_encrypt_key = true
}
engine {
  fps            = 25
  crf            = 20
  preset         = "fast"
  audio_bitrate  = 96000
  chrome         = "chrome/chrome"
  ffmpeg         = "/usr/local/bin/ffmpeg"
  sandbox        = "off"
  page_timeout   = "30s"
  resume_within  = "5m"
  max_lifetime   = "12h"
  upload_give_up = "1h30m"
  min_free       = "500MB"
}
retention {
  tasks = "90d"
  spool = "1d12h"
}
callback {
  secret  = env("HOOK")
  give_up = "0s"
}
runtime "local" "here" {
  slots  = 4
  sha256 = "`+strings.Repeat("0f", 32)+`"
}
storage "blob" "files" {}
storage "blob" "archive" {
  env = { AWS_REGION = env("REGION") }
}
`)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(got.File)
	want := &Config{
		File:           got.File,
		DataDir:        filepath.Join(dir, "state"),
		PluginDir:      "/opt/recordhost/plugins",
		DefaultRuntime: "here",
		DefaultStorage: "archive",
		OnTerm:         OnTermDrain,
		API: API{
			Listen: "[::1]:9000", PathPrefix: "/record", CORSOrigins: []string{"https://example.com", "*"}, LegacyEncryptKey: true,
		},
		Engine: Engine{
			FPS: 25, CRF: 20, Preset: "fast", AudioBitrate: 96000,
			Chrome: filepath.Join(dir, "chrome/chrome"), FFmpeg: "/usr/local/bin/ffmpeg",
			PageTimeout: 30 * time.Second, ResumeWithin: 5 * time.Minute, MaxLifetime: 12 * time.Hour, UploadGiveUp: 90 * time.Minute,
			MinFree: 500e6,
		},
		Retention: Retention{Tasks: 90 * day, Spool: 36 * time.Hour},
		Callback:  Callback{Secret: schema.NewSecret(hook)},
		Runtimes: []Plugin{
			{Kind: "runtime", Plugin: "local", Name: "here", SHA256: []byte(strings.Repeat("\x0f", 32))},
		},
		Storages: []Plugin{
			{Kind: "storage", Plugin: "blob", Name: "files"},
			{Kind: "storage", Plugin: "blob", Name: "archive", Env: map[string]string{"AWS_REGION": "eu-west-1"}},
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Plugin{}), secrets()); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

func TestDefaults(t *testing.T) {
	got, err := read(t, blocks)
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.File = got.File
	want.DataDir = filepath.Join(filepath.Dir(got.File), "data")
	want.DefaultRuntime, want.DefaultStorage = "here", "files"
	want.Runtimes = []Plugin{{Kind: "runtime", Plugin: "local", Name: "here"}}
	want.Storages = []Plugin{{Kind: "storage", Plugin: "blob", Name: "files"}}
	if diff := cmp.Diff(&want, got, cmpopts.IgnoreUnexported(Plugin{}), secrets()); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

// Every default must pass the check that a value in a file has to pass.
func TestDefaultsAreInRange(t *testing.T) {
	d, kept := defaults().Engine, defaults().Retention
	_, err := read(t, blocks+`
callback { give_up = "`+defaults().Callback.GiveUp.String()+`" }
engine {
  fps            = 30
  page_timeout   = "`+d.PageTimeout.String()+`"
  resume_within  = "`+d.ResumeWithin.String()+`"
  max_lifetime   = "`+d.MaxLifetime.String()+`"
  upload_give_up = "`+d.UploadGiveUp.String()+`"
  min_free       = "`+strconv.FormatInt(d.MinFree, 10)+`B"
}
retention {
  tasks = "`+kept.Tasks.String()+`"
  spool = "`+kept.Spool.String()+`"
}`)
	if err != nil {
		t.Error(err)
	}
}

func TestLocal(t *testing.T) {
	got, err := Local("/var/tmp/state", "/home/ann/my recordings")
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.DataDir = "/var/tmp/state"
	want.DefaultRuntime, want.DefaultStorage = "here", "files"
	want.Runtimes = []Plugin{{Kind: "runtime", Plugin: "local", Name: "here"}}
	want.Storages = []Plugin{{Kind: "storage", Plugin: "blob", Name: "files"}}
	if diff := cmp.Diff(&want, got, cmpopts.IgnoreUnexported(Plugin{}), secrets()); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

func TestMistakes(t *testing.T) {
	const listen = `host:port on a loopback address, such as 127.0.0.1:8080: nothing else is served without authentication`
	tests := []struct {
		name   string
		source string   // begins in line 1; the two necessary blocks follow
		want   []string // "line:column: message"
	}{
		{"syntax", `data_dir = `,
			[]string{`1:12: Invalid expression: Expected the start of an expression, but found an invalid expression token.`}},
		{"unknown attribute", `data_dri = "x"`,
			[]string{`1:1: Unsupported argument: An argument named "data_dri" is not expected here. Did you mean "data_dir"?`}},
		{"unknown block", `motor {}`, []string{`1:1: Unsupported block type: Blocks of type "motor" are not expected here.`}},
		{"unknown attribute in a block", "engine {\n  colour = 1\n}",
			[]string{`2:3: Unsupported argument: An argument named "colour" is not expected here.`}},
		{"missing label", `runtime "local" {}`,
			[]string{`1:17: Missing name for runtime: All runtime blocks must have 2 labels (plugin, name).`}},
		{"one label too many", `api "x" {}`, []string{`1:5: Extraneous label for api: No labels are expected for api blocks.`}},
		{"no plugin's name", `runtime "../sh" "x" {}`, []string{
			`1:1: default_runtime is missing: it must name one of the 2 blocks runtime`,
			`1:9: "../sh" is no plugin's name: lower case letters, digits and dashes`}},
		{"no name", `storage "blob" "" {}`, []string{
			`1:1: default_storage is missing: it must name one of the 2 blocks storage`,
			`1:16: "" is no name: up to 63 letters, digits, dashes and underscores`}},
		{"twice", "default_storage = \"files\"\nstorage \"blob\" \"files\" {}",
			[]string{`4:16: there is a storage "files" already, at line 2`}},
		{"block twice", "api {}\napi {}", []string{`2:1: there is a block api already, at line 1`}},
		{"default names nothing", `default_runtime = "there"`,
			[]string{`1:19: default_runtime names "there", but there is no such runtime`}},
		{"number wanted", "engine {\n  fps = \"30\"\n}", []string{`2:9: fps must be a whole number from 1 to 60, not "30"`}},
		{"whole number wanted", "engine {\n  fps = 29.97\n}", []string{`2:9: fps must be a whole number from 1 to 60, not 29.97`}},
		{"out of range", "engine {\n  fps = 0\n}", []string{`2:9: fps must be a whole number from 1 to 60, not 0`}},
		{"huge", "engine {\n  fps = 1e99\n}", []string{`2:9: fps must be a whole number from 1 to 60, not 1e+99`}},
		{"no word of the list", "engine { sandbox = \"maybe\" }", []string{`1:20: sandbox must be one of "on", "off", not "maybe"`}},
		{"no duration", "engine { page_timeout = \"soon\" }",
			[]string{`1:25: page_timeout must be a duration such as "90s", "1h30m" or "30d", from 1s to 10m, not "soon"`}},
		{"duration without unit", "engine { max_lifetime = 600 }",
			[]string{`1:25: max_lifetime must be a duration such as "90s", "1h30m" or "30d", from 1m to 30d, not 600`}},
		{"no size", "engine { min_free = \"much\" }",
			[]string{`1:21: min_free must be a size such as "500MB" or "1GiB", or 0, not "much"`}},
		{"size without unit", "engine { min_free = 1000 }",
			[]string{`1:21: min_free must be a size such as "500MB" or "1GiB", or 0, not 1000`}},
		{"kept for no time", "retention { tasks = \"0s\" }",
			[]string{`1:21: tasks must be a duration such as "90s", "1h30m" or "30d", from 1h to 3650d, not "0s"`}},
		{"no such end", `on_term = "kill"`, []string{`1:11: on_term must be one of "handover", "drain", not "kill"`}},
		{"no secret", "callback {\n  secret = 5\n}", []string{`2:12: secret must be a string, not a number`}},
		{"empty secret", `callback { secret = "" }`, []string{`1:21: secret must be a secret, not empty`}},
		{"secret that signs nothing", `callback { secret = "whsec_" }`,
			[]string{`1:21: secret must be a webhook secret, "whsec_" and base64`}},
		{"secret that is none", `callback { secret = "whsec_hunter2!" }`,
			[]string{`1:21: secret must be a webhook secret, "whsec_" and base64`}},
		{"give up before the start", `callback { give_up = "-1s" }`,
			[]string{`1:22: give_up must be a duration such as "90s", "1h30m" or "30d", from 0s to 30d, not "-1s"`}},
		{"path wanted", `plugin_dir = ""`, []string{`1:14: plugin_dir must be a path, not ""`}},
		{"open to the world", `api { listen = "0.0.0.0:8080" }`, []string{`1:16: listen must be ` + listen + `, not "0.0.0.0:8080"`}},
		{"every address", `api { listen = ":8080" }`, []string{`1:16: listen must be ` + listen + `, not ":8080"`}},
		{"no port", `api { listen = "127.0.0.1" }`, []string{`1:16: listen must be ` + listen + `, not "127.0.0.1"`}},
		{"no boolean", `api { legacy_encrypt_key = "yes" }`, []string{"1:28: legacy_encrypt_key must be true or false"}},
		{"no prefix", `api { path_prefix = "record/" }`, []string{`1:21: path_prefix must be a path such as "/record", not "record/"`}},
		{"no list", `api { cors_origins = "*" }`, []string{`1:22: cors_origins must be a list, not "*"`}},
		{"no origin", `api { cors_origins = ["*", "example.com"] }`, []string{
			`1:22: cors_origins must be a list of origins such as "https://example.com", or "*"; "example.com" is none`}},
		{"environment", `data_dir = env("RECORDHOST_UNSET")`, []string{
			`1:17: Invalid function argument: Invalid value for "name" parameter: the environment variable RECORDHOST_UNSET is not set.`}},
		{"file", `data_dir = file("/nowhere/secret")`, []string{
			`1:18: Invalid function argument: Invalid value for "path" parameter: open /nowhere/secret: no such file or directory.`}},
		{"function", `data_dir = upper("x")`, []string{
			`1:12: Call to unknown function: There is no function named "upper".`}},
		{"variable", `data_dir = state_dir`, []string{`1:12: Unknown variable: There is no variable named "state_dir".`}},
		{"a loop within another", "data_dir = [for x in [1] : [for y in [2] : y]]",
			[]string{`1:28: a for within another is not allowed`}},
		{"checksum", "default_storage = \"files\"\nstorage \"blob\" \"s\" { sha256 = \"abc\" }", []string{
			`2:31: sha256 must be the 64 hex digits that sha256sum prints for the plugin's executable, not "abc"`}},
		{"several", "data_dir = 1\nengine {\n  crf = 99\n  fpss = 1\n}", []string{
			`1:12: data_dir must be a path, not 1`,
			`3:9: crf must be a whole number from 1 to 51, not 99`,
			`4:3: Unsupported argument: An argument named "fpss" is not expected here. Did you mean "fps"?`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := read(t, test.source+blocks)
			if err == nil {
				t.Fatalf("no error, but %+v", c)
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

func TestDaysAreDurations(t *testing.T) {
	tests := map[string]time.Duration{
		"30d": 30 * day, "1d": day, "0d": 0, "1d12h": 36 * time.Hour, "2d30m": 2*day + 30*time.Minute, "48h": 2 * day,
		"1m30s": 90 * time.Second,
	}
	for text, want := range tests {
		if got, err := parseDuration(text); got != want || err != nil {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "-1d", "1.5d", "12h1d", "1d24h", "1d-1h", "1dd", "1d2d", "70000d", "1 d", "30"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

func TestSizes(t *testing.T) {
	tests := map[string]int64{
		"0": 0, "0B": 0, "1B": 1, "1kB": 1000, "1KiB": 1024, "500MB": 500e6, "500 MB": 500e6, "1GiB": 1 << 30, "2TB": 2e12, "8TiB": 8 << 40,
	}
	for text, want := range tests {
		if got, err := parseSize(text); got != want || err != nil {
			t.Errorf("%s is %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "1", "GiB", "-1GiB", "1.5GiB", "1gib", "1GiBB", "1 G", "99999999TiB", "1GiB "} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q is read as %d", text, got)
		}
	}
	for source, want := range map[string]int64{`0`: 0, `"0"`: 0, `null`: 1 << 30} {
		c, err := read(t, blocks+"engine { min_free = "+source+" }")
		if err != nil || c.Engine.MinFree != want {
			t.Errorf("min_free = %s: %+v, %v", source, c, err)
		}
	}
}

func TestNecessaryBlocks(t *testing.T) {
	_, err := Load("testdata/empty.hcl")
	want := "testdata/empty.hcl:1:1: no block runtime: a host needs at least one\n" +
		"testdata/empty.hcl:1:1: no block storage: a host needs at least one"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// An environment's values are secrets: a mistake beside them must not show them.
func TestEnvIsNotShown(t *testing.T) {
	_, err := read(t, `storage "blob" "s" { env = { KEY = ["hunter2"] } }`+"\ndefault_storage = \"s\"\n"+`runtime "local" "here" {}`)
	if want := `:1:28: env must be a map of strings; "KEY" is none`; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestInclude(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte("s3cret\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "c.hcl")
	source := `runtime "local" "here" {}` + "\n" + `storage "blob" "s" { env = { KEY = file("key") } }`
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Storages[0].Env["KEY"]; got != "s3cret" {
		t.Errorf("file() read %q", got)
	}
}

// Whatever stands in a file, it is taken or refused, soon, and each mistake is told with its place.
func FuzzParse(f *testing.F) {
	sample, err := os.ReadFile("../../recordhost.hcl")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sample)
	f.Add([]byte(blocks))
	f.Add([]byte(`engine { fps = [for x in [1, 2] : x]... }`))
	f.Add([]byte(`storage "a" "b" { env = { a = null } }`))
	const loop = "for x in [1, 2, 3, 4, 5, 6, 7, 8]"
	f.Add([]byte(blocks + "data_dir = " + strings.Repeat("["+loop+" : ", 20) + "x" + strings.Repeat("]", 20)))
	f.Add([]byte(blocks + "data_dir = \"" + strings.Repeat("%{"+loop+"}", 20) + strings.Repeat("%{endfor}", 20) + "\""))
	for _, open := range []string{"[", "{", "(", "{a=", "\"${", "-", "!", "a ? ", "a.", "a[", "<<E\n"} {
		f.Add([]byte("data_dir = " + strings.Repeat(open, 500)))
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		begun := time.Now()
		c, err := parse(source, "fuzz.hcl", evaluation("/nowhere", nil), "/nowhere")
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("it took %v", took)
		}
		lines := bytes.Count(source, []byte("\n")) + 1
		for _, e := range List(err) {
			if mistake, ok := errors.AsType[*Error](e); !ok || mistake.File != "fuzz.hcl" || mistake.Line < 1 || mistake.Line > lines {
				t.Errorf("an error without position: %v", e)
			}
		}
		if err == nil && (c.DefaultRuntime == "" || c.DefaultStorage == "") {
			t.Errorf("no defaults: %+v", c)
		}
	})
}
