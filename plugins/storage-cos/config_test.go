package main

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recordhost/recordhost/sdk/plugin"
	"github.com/recordhost/recordhost/sdk/schema"
	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

func TestConfigMistakes(t *testing.T) {
	for _, c := range []struct {
		change func(c *Config)
		want   string
	}{
		{func(*Config) {}, ""},
		{func(c *Config) { c.Bucket = "lessons" }, "bucket:"},
		{func(c *Config) { c.Bucket = "Lessons-1250000000" }, "bucket:"},
		{func(c *Config) { c.Bucket = "evil.example.com/-1" }, "bucket:"},
		{func(c *Config) { c.Bucket = strings.Repeat("b", 60) + "-1250000000" }, "bucket:"},
		{func(c *Config) { c.AllowBuckets = []string{"good-1", "bad"} }, "allow_buckets:"},
		{func(c *Config) { c.Region = "" }, "region:"},
		{func(c *Config) { c.Region = "ap-shanghai.example.com" }, "region:"},
		{func(c *Config) { c.Region = "ap-beijing-1" }, ""},
		{func(c *Config) { c.AllowRegions = []string{"AP"} }, "allow_regions:"},
		{func(c *Config) { c.Prefix = "a/../b" }, "prefix:"},
		{func(c *Config) { c.Domain = "cdn.example.com/path" }, "domain:"},
		{func(c *Config) { c.Domain = "ftp://cdn.example.com" }, "domain:"},
		{func(c *Config) { c.Domain = "http://cdn.example.com:8080" }, ""},
		{func(c *Config) { c.Endpoint = "127.0.0.1:9000" }, "endpoint:"},
		{func(c *Config) { c.Endpoint = "http://127.0.0.1:9000/bucket" }, "endpoint:"},
		{func(c *Config) { c.Endpoint = "http://user:hunter2@127.0.0.1:9000" }, "endpoint:"},
		{func(c *Config) { c.Endpoint = "http://127.0.0.1:9000/" }, ""},
		{func(c *Config) { c.StorageClass = "standard ia" }, "storage_class:"},
		{func(c *Config) { c.StorageClass = "STANDARD_IA" }, ""},
		{func(c *Config) { c.SecretID = "" }, "secret_id:"},
		{func(c *Config) { c.SecretKey = schema.Secret{} }, "secret_id:"},
		{func(c *Config) { c.CredentialsFile = "/keys" }, "credentials_file:"},
		{func(c *Config) { c.SecretID, c.SecretKey, c.CredentialsFile = "", schema.Secret{}, "/keys" }, ""},
		{func(c *Config) { c.SecretID, c.SecretKey, c.CredentialsFile = "", schema.Secret{}, "keys" }, "credentials_file:"},
	} {
		config := Config{Bucket: testBucket, Region: testRegion, SecretID: testID, SecretKey: schema.NewSecret("hunter2")}
		c.change(&config)
		err := config.Validate()
		if (err != nil) != (c.want != "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", config, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error holds a secret: %v", err)
		}
	}
}

func TestSettings(t *testing.T) {
	c, err := schema.Decode[Config]([]byte(`{"bucket":"a-1","region":"ap-x","secret_id":"i","secret_key":"k","token":"t",
		"endpoint":"http://h:1","domain":"d","prefix":"p","overwrite":true,"allow_buckets":["b-1"],
		"allow_regions":["ap-y"],"storage_class":"STANDARD"}`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Bucket != "a-1" || c.Region != "ap-x" || c.SecretID != "i" || c.SecretKey.Reveal() != "k" || c.Token.Reveal() != "t" ||
		c.Endpoint != "http://h:1" || c.Domain != "d" || c.Prefix != "p" || !c.Overwrite || c.AllowBuckets[0] != "b-1" ||
		c.AllowRegions[0] != "ap-y" || c.StorageClass != "STANDARD" {
		t.Errorf("decoded %+v", c)
	}
	if _, err := schema.Decode[Config]([]byte(`{"bucket":"a-1"}`)); !errors.Is(err, status.InvalidArgument) {
		t.Errorf("without a region: %v", err)
	}
}

// Where a recording can be had, and where it may go at all.
func TestTargets(t *testing.T) {
	const key = "leçon 1/a #b?100%.mp4"
	const escaped = "le%C3%A7on%201/a%20%23b%3F100%25.mp4"
	const own, others = "https://lessons-1250000000.cos.ap-shanghai.myqcloud.com/", "https://other-1250000000.cos."
	for _, c := range []struct {
		change func(c *Config)
		target string
		url    string // of FileURL; or
		err    string // what the error begins with
	}{
		{url: own + escaped},
		{change: func(c *Config) { c.Domain = "cdn.example.com" }, url: "https://cdn.example.com/" + escaped},
		{change: func(c *Config) { c.Domain = "http://cdn.example.com:81/" }, url: "http://cdn.example.com:81/" + escaped},
		{change: func(c *Config) { c.Endpoint = "http://127.0.0.1:9000" }, url: "http://127.0.0.1:9000/lessons-1250000000/" + escaped},
		{target: `{"Domain":"mine.example.com"}`, url: "https://mine.example.com/" + escaped},
		{
			target: `{"Domain":"http://mine.example.com","Bucket":"","Region":null,"TargetDir":"x"}`,
			url:    "http://mine.example.com/" + escaped,
		},
		{target: `{"Bucket":"lessons-1250000000","Region":"ap-shanghai"}`, url: own + escaped},
		{
			change: func(c *Config) { c.AllowBuckets, c.AllowRegions = []string{"other-1250000000"}, []string{"ap-beijing"} },
			target: `{"Bucket":"other-1250000000","Region":"ap-beijing"}`, url: others + "ap-beijing.myqcloud.com/" + escaped,
		},
		{ // a domain belongs to one bucket
			change: func(c *Config) { c.AllowBuckets, c.Domain = []string{"other-1250000000"}, "cdn.example.com" },
			target: `{"Bucket":"other-1250000000"}`, url: others + "ap-shanghai.myqcloud.com/" + escaped,
		},
		{target: `{"Bucket":"other-1250000000"}`, err: `Bucket: "other-1250000000" is not among`},
		{target: `{"Region":"ap-beijing"}`, err: `Region: "ap-beijing" is not among`},
		{target: `{"Domain":"a b"}`, err: "Domain: "},
		{target: `{"Domain":"example.com/x?y"}`, err: "Domain: "},
		{target: `{"Bucket":7}`, err: `target: "Bucket" is not a string`},
		{target: `{"Colour":"red"}`, err: `target: "Colour" is no setting`},
	} {
		config := Config{Bucket: testBucket, Region: testRegion, SecretID: testID, SecretKey: schema.NewSecret(testKey)}
		if c.change != nil {
			c.change(&config)
		}
		if err := config.Validate(); err != nil {
			t.Fatal(err)
		}
		d, err := open(plugin.Env{StateDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}, config, stalled)
		if err != nil {
			t.Fatal(err)
		}
		p, err := d.place(storage.Delivery{TaskID: "t", Main: "a.mp4", Target: []byte(c.target)})
		switch {
		case c.err != "":
			if !errors.Is(err, status.InvalidArgument) || !strings.HasPrefix(err.Error(), c.err) {
				t.Errorf("%s: %v, want %q", c.target, err, c.err)
			}
		case err != nil || p.located(key) != c.url:
			t.Errorf("%s: %s, %v, want %s", c.target, p.located(key), err, c.url)
		}
	}
}

func TestCredentialsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	var log strings.Builder
	k := &keys{file: path, log: slog.New(slog.NewTextHandler(&log, nil))}
	if _, err := k.get(time.Now()); !errors.Is(err, status.InvalidArgument) {
		t.Errorf("without the file: %v", err)
	}
	now := time.Unix(1700000000, 0)
	for _, c := range []struct{ text, id, key, token, err string }{
		{`{"TmpSecretId":"a","TmpSecretKey":"b","Token":"c","ExpiredTime":1700000100,"Code":"Success"}`, "a", "b", "c", ""},
		{`{"Credentials":{"TmpSecretId":"d","TmpSecretKey":"e","Token":"f"},"ExpiredTime":1700000100}`, "d", "e", "f", ""},
		{
			`{"Response":{"Credentials":{"TmpSecretId":"g","TmpSecretKey":"h","Token":"i"},"Expiration":"2023-11-14T22:14:00Z"}}`,
			"g", "h", "i", "",
		},
		{`{"SecretId":"j","SecretKey":"k"}`, "j", "k", "", ""},
		{`{"TmpSecretId":"l","TmpSecretKey":"m","SessionToken":"n","ExpiredTime":1700000100}`, "l", "m", "n", ""},
		{`half a fi`, "l", "m", "n", ""}, // those from before are still good
		{`{"TmpSecretId":"only"}`, "l", "m", "n", ""},
		{`{"TmpSecretId":"o","TmpSecretKey":"CANARY","Token":"q","ExpiredTime":1700000000}`, "", "", "", "have expired"},
		{`{"TmpSecretId":"r","TmpSecretKey":"s","Token":"t","ExpiredTime":1700000001}`, "r", "s", "t", ""},
	} {
		write(c.text)
		got, err := k.get(now)
		if (err != nil) != (c.err != "") || err != nil && (!strings.Contains(err.Error(), c.err) || !status.Retryable(err)) {
			t.Errorf("%s: %v, want %q", c.text, err, c.err)
		}
		if err == nil && (got.id != c.id || got.key.Reveal() != c.key || got.token.Reveal() != c.token) {
			t.Errorf("%s: read %s %s %s", c.text, got.id, got.key.Reveal(), got.token.Reveal())
		}
		if err != nil && strings.Contains(err.Error(), "CANARY") {
			t.Errorf("the error holds a secret: %v", err)
		}
	}
	if !strings.Contains(log.String(), "not read again") || strings.Contains(log.String(), "half a fi") {
		t.Errorf("the log reads %s", log.String())
	}
}

// Keys that are wrong from the beginning are the configuration's mistake; keys that have just expired are not.
func TestKeysAtTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	config := Config{Bucket: testBucket, Region: testRegion, CredentialsFile: path}
	env := plugin.Env{StateDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
	if _, err := New(t.Context(), env, config); !errors.Is(err, status.InvalidArgument) {
		t.Errorf("without the file: %v", err)
	}
	if err := os.WriteFile(path, []byte(`{"TmpSecretId":"a","TmpSecretKey":"b","Token":"c","ExpiredTime":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(t.Context(), env, config); err != nil {
		t.Errorf("with keys that have expired: %v", err)
	}
}

func TestPartSizes(t *testing.T) {
	const mib, tib = 1 << 20, 1 << 40
	for _, size := range []int64{maxWhole + 1, 80 << 30, 84 << 30, tib, 40 * tib} {
		parts := cut(storage.File{Path: "/x", Size: size})
		var sum int64
		for i, p := range parts {
			if p.Number != i+1 || i < len(parts)-1 && p.Size() < minPart || p.Size() > maxPart {
				t.Fatalf("part %d of %d bytes has %d", p.Number, size, p.Size())
			}
			if i > 0 && p.Extents[0].Offset != sum {
				t.Fatalf("part %d of %d bytes begins at %d, want %d", p.Number, size, p.Extents[0].Offset, sum)
			}
			sum += p.Size()
		}
		if sum != size || len(parts) > maxParts {
			t.Errorf("%d bytes were cut into %d parts of %d", size, len(parts), sum)
		}
	}
	pieces := []storage.Extent{{Path: "/a", Offset: 5, Length: 3 * mib}, {Path: "/b", Length: 0}, {Path: "/c", Offset: 1, Length: 17 * mib}}
	parts := cut(storage.File{Extents: pieces, Size: 20 * mib})
	want := []storage.Extent{{Path: "/a", Offset: 5, Length: 3 * mib}, {Path: "/c", Offset: 1, Length: 5 * mib}}
	if len(parts) != 3 || len(parts[0].Extents) != 2 || parts[0].Extents[0] != want[0] || parts[0].Extents[1] != want[1] ||
		parts[1].Extents[0].Offset != 1+5*mib || parts[2].Size() != 4*mib {
		t.Errorf("cut into %+v", parts)
	}
}
