package main

import (
	"encoding/json"
	"log/slog"
	"path"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recordhost/recordhost/sdk/plugin"
	"github.com/recordhost/recordhost/sdk/schema"
	"github.com/recordhost/recordhost/sdk/storage"
	"github.com/recordhost/recordhost/sdk/storage/storagetest"
	"github.com/recordhost/recordhost/test/fakecos/cos"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testBucket = "lessons-1250000000"
	testRegion = "ap-shanghai"
	testID     = "AKIDEXAMPLE"
	testKey    = "SECRETEXAMPLE"
)

// world is a COS with one bucket, and the disk of one machine.
type world struct {
	*cos.Server
	dir string // of the plugin's state
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := cos.Start(cos.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.AddBucket(cos.Bucket{Name: testBucket, Region: testRegion})
	s.SetKeys(cos.Keys{SecretID: testID, SecretKey: testKey})
	return &world{Server: s, dir: t.TempDir()}
}

func (w *world) config() Config { return configAt(w.URL()) }

func configAt(endpoint string) Config {
	return Config{Bucket: testBucket, Region: testRegion, SecretID: testID, SecretKey: schema.NewSecret(testKey), Endpoint: endpoint}
}

// driver starts the plugin, as it is once it was configured.
func (w *world) driver(t *testing.T, c Config) *Driver {
	t.Helper()
	return w.impatient(t, c, stalled)
}

// impatient is driver with less patience for connections over which nothing moves.
func (w *world) impatient(t *testing.T, c Config, stall time.Duration) *Driver {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	d, err := open(plugin.Env{StateDir: w.dir, Log: slog.New(slog.DiscardHandler)}, c, stall)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestConforms(t *testing.T) {
	for name, c := range map[string]struct {
		change         func(c *Config)
		target         map[string]string
		bucket, prefix string
	}{
		"the bucket of the configuration": {change: func(*Config) {}, bucket: testBucket},
		"a prefix and the request's bucket": {
			change: func(c *Config) { c.Prefix, c.AllowBuckets = "/team a/é/", []string{"other-1250000000"} },
			target: map[string]string{"Bucket": "other-1250000000", "Region": testRegion, "Domain": "cdn.example.com"},
			bucket: "other-1250000000", prefix: "team a/é",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.AddBucket(cos.Bucket{Name: "other-1250000000", Region: testRegion})
			w.SetKeys(cos.Keys{SecretID: "refused", SecretKey: "key", Allow: func(cos.Operation, string, string) bool { return false }})
			with := func(change func(*Config)) func(*testing.T) storage.Driver {
				return func(t *testing.T) storage.Driver {
					config := w.config()
					c.change(&config)
					change(&config)
					return w.driver(t, config)
				}
			}
			h := storagetest.Harness{
				NewDriver:   with(func(*Config) {}),
				Overwriting: with(func(c *Config) { c.Overwrite = true }),
				Denied:      with(func(c *Config) { c.SecretID, c.SecretKey = "refused", schema.NewSecret("key") }),
				Read: func(t *testing.T, d storage.Delivery, name string) ([]byte, bool) {
					t.Helper()
					o, ok := w.Object(c.bucket, path.Join(c.prefix, d.Dir, name))
					return o.Content, ok
				},
			}
			if c.target != nil {
				var err error
				if h.Target, err = json.Marshal(c.target); err != nil {
					t.Fatal(err)
				}
			}
			storagetest.Run(t, h)
			for _, r := range w.Requests() {
				if r.Code == "SignatureDoesNotMatch" {
					t.Errorf("a signature was wrong: %+v", r)
				}
			}
		})
	}
}
