package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"go.uber.org/goleak"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/recordhost/recordhost/sdk/plugin"
	"github.com/recordhost/recordhost/sdk/storage"
	"github.com/recordhost/recordhost/sdk/storage/storagetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// newDriver opens a store as the plugin does once it was configured.
func newDriver(t *testing.T, c Config) *Driver {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	d, err := New(t.Context(), plugin.Env{Log: slog.New(slog.DiscardHandler)}, c)
	if err != nil {
		t.Fatal(err)
	}
	return d.(*Driver)
}

func TestDirectoryConforms(t *testing.T) {
	root := filepath.Join(t.TempDir(), "made by the driver", "第 %20 #?")
	config := func(overwrite bool) Config {
		return Config{URL: (&url.URL{Scheme: "file", Path: root}).String(), Prefix: "/recordings/here/", Overwrite: overwrite}
	}
	storagetest.Run(t, storagetest.Harness{
		NewDriver:   func(t *testing.T) storage.Driver { return newDriver(t, config(false)) },
		Overwriting: func(t *testing.T) storage.Driver { return newDriver(t, config(true)) },
		Read: func(t *testing.T, d storage.Delivery, name string) ([]byte, bool) {
			t.Helper()
			content, err := os.ReadFile(filepath.Join(root, "recordings/here", d.Dir, name))
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			return content, err == nil
		},
	})
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if temporary.MatchString(path) || filepath.Ext(path) == sidecar {
			t.Errorf("the suite left %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Memory is a store of one process, so drivers that are started anew share the bucket instead of opening it.
func TestMemoryConforms(t *testing.T) {
	bucket := memblob.OpenBucket(nil)
	t.Cleanup(func() { _ = bucket.Close() })
	open := func(overwrite bool) storage.Driver {
		d := &Driver{
			config: Config{URL: "mem://", Overwrite: overwrite}, url: &url.URL{Scheme: "mem"},
			bucket: bucket, objects: &objectStore{bucket: bucket, log: slog.New(slog.DiscardHandler)},
		}
		return struct{ storage.Driver }{d} // without Close
	}
	storagetest.Run(t, storagetest.Harness{
		NewDriver:   func(*testing.T) storage.Driver { return open(false) },
		Overwriting: func(*testing.T) storage.Driver { return open(true) },
		Read:        readObject(bucket, ""),
	})
}

// readObject reads behind the driver's back.
func readObject(bucket *blob.Bucket, prefix string) func(t *testing.T, d storage.Delivery, name string) ([]byte, bool) {
	return func(t *testing.T, d storage.Delivery, name string) ([]byte, bool) {
		t.Helper()
		key := path.Join(prefix, d.Dir, name)
		exists, err := bucket.Exists(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if !exists {
			return nil, false
		}
		content, err := bucket.ReadAll(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		return content, true
	}
}

// fakeS3 is an S3 server within the test, with one bucket.
type fakeS3 struct {
	backend *s3mem.Backend
	server  *httptest.Server
}

const s3Bucket = "recordings"

// newFakeS3 starts a server. around may be nil.
func newFakeS3(t *testing.T, around func(next http.Handler) http.Handler) *fakeS3 {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_MAX_ATTEMPTS": "1",
	} {
		t.Setenv(name, value)
	}
	f := &fakeS3{backend: s3mem.New()}
	if err := f.backend.CreateBucket(s3Bucket); err != nil {
		t.Fatal(err)
	}
	handler := gofakes3.New(f.backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	if around != nil {
		handler = around(handler)
	}
	f.server = httptest.NewServer(handler)
	t.Cleanup(f.server.Close)
	return f
}

func (f *fakeS3) config(bucket string) Config {
	query := url.Values{
		"endpoint": {f.server.URL}, "use_path_style": {"true"}, "region": {"us-east-1"},
		"response_checksum_validation": {"when_required"},
	}
	return Config{URL: "s3://" + bucket + "?" + query.Encode()}
}

func TestS3Conforms(t *testing.T) {
	s3 := newFakeS3(t, nil)
	refusing := newFakeS3(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `<Error><Code>InvalidAccessKeyId</Code><Message>no such key</Message></Error>`)
		})
	})
	reader := newDriver(t, s3.config(s3Bucket))
	t.Cleanup(func() { _ = reader.Close() })
	config := func(overwrite bool) Config {
		c := s3.config(s3Bucket)
		c.Prefix, c.Overwrite = "team a/é", overwrite
		return c
	}
	storagetest.Run(t, storagetest.Harness{
		NewDriver:   func(t *testing.T) storage.Driver { return newDriver(t, config(false)) },
		Overwriting: func(t *testing.T) storage.Driver { return newDriver(t, config(true)) },
		Denied:      func(t *testing.T) storage.Driver { return newDriver(t, refusing.config(s3Bucket)) },
		Read:        readObject(reader.bucket, "team a/é"),
	})
}
