package schema_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/recordhost/recordhost/sdk/schema"
	"github.com/recordhost/recordhost/sdk/status"
)

func TestDecode(t *testing.T) {
	got, err := schema.Decode[settings]([]byte(`{
		"url": "u", "key": "k", "token": "t", "retries": 7, "bytes": 9007199254740993, "factor": 2, "on": false, "wait": "250ms",
		"names": [], "labels": {"a": "b"}, "limits": {"max": 1}, "base": {"max": 2},
		"rule": [{"match": "x", "sub": {"n": 4}}, {"match": "y", "sub": null}]
	}`))
	if err != nil {
		t.Fatal(err)
	}
	want := settings{
		URL: "u", Key: schema.NewSecret("k"), Token: "t", Retries: 7, Bytes: 9007199254740993, Factor: 2, Wait: 250 * time.Millisecond,
		Names: []string{}, Labels: map[string]string{"a": "b"}, Limits: &limits{1}, Base: limits{2},
		Rules: []rule{{"x", &rule2{4}}, {"y", nil}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("decoded\n%+v, want\n%+v", got, want)
	}
}

func TestDecodeDefaults(t *testing.T) {
	got, err := schema.Decode[settings]([]byte(`{"url": "", "key": "", "base": {"max": 0}, "retries": null}`))
	if err != nil {
		t.Fatal(err)
	}
	want := settings{
		Key: schema.NewSecret(""), Retries: 3, Factor: 1.5, On: true, Wait: 90 * time.Second, Names: []string{"a"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("decoded\n%+v, want\n%+v", got, want)
	}
	for _, nothing := range []string{"", " ", "{}"} {
		if _, err := schema.Decode[struct{}]([]byte(nothing)); err != nil {
			t.Errorf("no settings as %q: %v", nothing, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	const good = `"url": "u", "key": "k", "base": {"max": 1}`
	for _, c := range []struct {
		json string
		want []string // paths and words of the message
	}{
		{`{}`, []string{"url: must be set", "key: must be set", "base: must be set"}},
		{`{` + good + `, "urll": "x"}`, []string{"urll: no such setting"}},
		{`{` + good + `, "url": "v"}`, []string{"url: stands twice"}},
		{`{` + good + `, "retries": "7"}`, []string{"retries: must be a whole number"}},
		{`{` + good + `, "retries": 7.5}`, []string{"retries: must be a whole number"}},
		{`{` + good + `, "bytes": 9223372036854775808}`, []string{"bytes: must be a whole number"}},
		{`{` + good + `, "factor": "x"}`, []string{"factor: must be a number"}},
		{`{` + good + `, "on": 1}`, []string{"on: must be true or false"}},
		{`{` + good + `, "wait": 5}`, []string{"wait: must be a duration"}},
		{`{` + good + `, "wait": "5 minutes"}`, []string{"wait: must be a duration"}},
		{`{` + good + `, "names": ["a", null]}`, []string{"names: must be a list of strings"}},
		{`{` + good + `, "names": "a"}`, []string{"names: must be a list of strings"}},
		{`{` + good + `, "labels": {"a": null}}`, []string{"labels: must be a map of strings"}},
		{`{` + good + `, "labels": {"a": 1}}`, []string{"labels: must be a map of strings"}},
		{`{` + good + `, "limits": {}}`, []string{"limits.max: must be set"}},
		{`{` + good + `, "limits": []}`, []string{"limits: must be an object"}},
		{`{` + good + `, "rule": {"match": "x"}}`, []string{"rule: must be an array of objects"}},
		{
			`{` + good + `, "rule": [{"match": "x"}, {"match": 1, "sub": {"n": "x", "m": 1}}]}`,
			[]string{"rule[1].match: must be a string", "rule[1].sub.n: must be a whole number", "rule[1].sub.m: no such setting"},
		},
		{`[]`, []string{"settings: must be an object"}},
		{`"x"`, []string{"settings: must be an object"}},
		{`{` + good, []string{"settings: must be an object"}},
		{`{` + good + `} {}`, []string{"settings: must be an object"}},
	} {
		_, err := schema.Decode[settings]([]byte(c.json))
		if !errors.Is(err, status.InvalidArgument) {
			t.Errorf("%s: %v, want %q", c.json, err, status.InvalidArgument)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s:\n%v\ndoes not say %q", c.json, err, want)
			}
		}
	}
}

// Whatever is wrong with a block, no value of it is told.
func TestDecodeTellsNoValue(t *testing.T) {
	for _, text := range []string{
		`{"url": {"x": "hunter2"}}`, `{"key": 5, "token": ["hunter2"]}`, `{"wait": "hunter2"}`, `{"on": "hunter2"}`,
		`{"retries": "hunter2"}`, `{"labels": "hunter2"}`, `{"names": {"hunter2": 1}}`, `{"base": "hunter2"}`, `hunter2`,
		`{"key": "hunter2"`, `{"rule": ["hunter2"]}`,
	} {
		_, err := schema.Decode[settings]([]byte(text))
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	secret := schema.NewSecret("hunter2")
	type hidden struct{ s schema.Secret }
	type shown struct {
		S schema.Secret
		P *schema.Secret
	}
	values := []any{
		secret, &secret, hidden{secret}, &hidden{secret}, shown{secret, &secret}, []schema.Secret{secret},
		map[string]schema.Secret{"k": secret}, fmt.Errorf("login with %v: %w", secret, errors.New("x")),
	}
	var out bytes.Buffer
	text := slog.New(slog.NewTextHandler(&out, nil))
	lines := slog.New(slog.NewJSONHandler(&out, nil))
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%10.3v"} {
			fmt.Fprintf(&out, verb, v)
		}
		fmt.Fprint(&out, v)
		text.Info("x", "v", v)
		lines.Info("x", "v", v, slog.Group("g", "v", v))
		encoded, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(encoded)
	}
	for _, form := range []string{"hunter2", fmt.Sprintf("%x", "hunter2"), "unter"} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the secret was printed as %q", form)
		}
	}
	if !strings.Contains(out.String(), "(redacted)") {
		t.Error("nothing tells that something was redacted")
	}
	if secret.Reveal() != "hunter2" || secret.IsZero() {
		t.Error("the secret is lost")
	}
	var none schema.Secret
	if none.Reveal() != "" || !none.IsZero() || none.String() != "" {
		t.Error("the zero value hides something")
	}
}
