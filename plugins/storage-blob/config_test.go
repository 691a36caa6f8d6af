package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recordhost/recordhost/sdk/plugin"
	"github.com/recordhost/recordhost/sdk/schema"
	"github.com/recordhost/recordhost/sdk/status"
)

func TestURLs(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	const options = "?create_dir=true&metadata=skip&no_tmp_dir=true"
	for given, want := range map[string]string{
		"file:///srv/recordings":         "file:///srv/recordings" + options,
		"file://localhost/srv/x":         "file:///srv/x" + options,
		"file:///srv/with space/é":       "file:///srv/with%20space/%C3%A9" + options,
		"file:///srv/100%25":             "file:///srv/100%25" + options,
		"file:///srv/a%3Fb":              "file:///srv/a%3Fb" + options,
		"file:///srv/../etc/":            "file:///etc" + options,
		"file://./recordings":            "file://" + here + "/recordings" + options,
		"recordings":                     "file://" + here + "/recordings" + options,
		"./rec ordings":                  "file://" + here + "/rec%20ordings" + options,
		"/srv/100%":                      "file:///srv/100%25" + options,
		"s3://bucket?region=eu-west-1":   "s3://bucket?region=eu-west-1",
		"gs://bucket":                    "gs://bucket",
		"azblob://container?domain=x.cn": "azblob://container?domain=x.cn",
		"mem://":                         "mem:",
	} {
		c := Config{URL: given}
		u, err := c.parseURL()
		if err != nil {
			t.Errorf("%s: %v", given, err)
			continue
		}
		if u.String() != want {
			t.Errorf("%s is opened as %s, want %s", given, u, want)
		}
	}
}

func TestConfigMistakes(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{URL: ""}, "url: there is no directory in it"},
		{Config{URL: "file://recordings/x"}, "three slashes"},
		{Config{URL: "file:///srv?create_dir=false"}, "takes no parameters"},
		{Config{URL: "s3://bucket?prefix=a/"}, `"prefix" is not for here`},
		{Config{URL: "s3://bucket?key=a"}, `"key" is not for here`},
		{Config{URL: "s3://user:hunter2@bad host"}, "cannot be parsed"},
		{Config{URL: "mem://", Prefix: "a/../b"}, "prefix:"},
		{Config{URL: "mem://", Prefix: "a//b"}, "prefix:"},
		{Config{URL: "mem://", BaseURL: "cdn.example.com"}, "base_url:"},
		{Config{URL: "mem://", BaseURL: "https://cdn.example.com/?a=b"}, "base_url:"},
	} {
		err := c.config.Validate()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want an error with %q", c.config, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error holds the password: %v", err)
		}
	}
}

func TestOpeningMistakes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"nosuch://x", "s3://bucket?nosuch=1", "file://" + file, "file://" + file + "/below"} {
		if _, err := New(t.Context(), plugin.Env{}, Config{URL: url}); !errors.Is(err, status.InvalidArgument) {
			t.Errorf("%s: %v, want %q", url, err, status.InvalidArgument)
		}
	}
}

func TestSettings(t *testing.T) {
	text := `{"url": "mem://", "prefix": "a", "base_url": "https://x", "overwrite": true, "whole_files": true}`
	c, err := schema.Decode[Config]([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Config{URL: "mem://", Prefix: "a", BaseURL: "https://x", Overwrite: true, WholeFiles: true}); c != want {
		t.Errorf("decoded %+v, want %+v", c, want)
	}
	if _, err := schema.Decode[Config]([]byte(`{"prefix": "a", "no_such": 1}`)); !errors.Is(err, status.InvalidArgument) {
		t.Errorf("a block without url and with what nobody knows: %v", err)
	}
}
