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
	goleak.VerifyTestMain(m,
		// fake-gcs-server brings this one, which runs as long as the process.
		goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"),
		// toxiproxy leaves these two behind where a toxic has ended a connection.
		goleak.IgnoreTopFunction("github.com/Shopify/toxiproxy/v2/toxics.(*NoopToxic).Pipe"),
		goleak.IgnoreTopFunction("github.com/Shopify/toxiproxy/v2/stream.(*ChanWriter).Write"),
	)
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

// newFakeS3 starts a server. around may be nil.
func newFakeS3(t *testing.T, around func(next http.Handler) http.Handler) *fakeS3 {
	t.Helper()
	s3Environment(t, s3Key, s3Secret)
	f := &fakeS3{backend: s3mem.New()}
	if err := f.backend.CreateBucket(bucketName); err != nil {
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

func (f *fakeS3) address() string { return f.server.Listener.Addr().String() }

func (f *fakeS3) config(bucket string) Config {
	return s3At(bucket, url.Values{"response_checksum_validation": {"when_required"}})(f.address())
}

// refuses answers every request as a store does that does not know who asks: S3's way and Azure's.
func refuses(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("x-ms-error-code", "AuthenticationFailed")
	w.WriteHeader(http.StatusForbidden)
	_, _ = io.WriteString(w, `<Error><Code>InvalidAccessKeyId</Code><Message>no such key</Message></Error>`)
}

// conforms runs the suite on an object store.
func conforms(t *testing.T, s server, denied func(t *testing.T) storage.Driver) {
	t.Helper()
	const prefix = "team a/é"
	reader := newClosingDriver(t, s.config())
	config := func(overwrite bool) Config {
		c := s.config()
		c.Prefix, c.Overwrite = prefix, overwrite
		return c
	}
	storagetest.Run(t, storagetest.Harness{
		NewDriver:   func(t *testing.T) storage.Driver { return newDriver(t, config(false)) },
		Overwriting: func(t *testing.T) storage.Driver { return newDriver(t, config(true)) },
		Denied:      denied,
		Read:        readObject(reader.bucket, prefix),
	})
}

func TestS3Conforms(t *testing.T) {
	s3 := newFakeS3(t, nil)
	refusing := newFakeS3(t, func(http.Handler) http.Handler { return http.HandlerFunc(refuses) })
	s := server{address: s3.address(), at: func(string) Config { return s3.config(bucketName) }}
	conforms(t, s, func(t *testing.T) storage.Driver { return newDriver(t, refusing.config(bucketName)) })
}

// The store verifies the signatures itself.
func TestVersityConforms(t *testing.T) {
	s := startVersity(t)
	conforms(t, s, func(t *testing.T) storage.Driver {
		s3Environment(t, s3Key, "another secret")
		return newDriver(t, s.config())
	})
}

func TestAzureConforms(t *testing.T) {
	s := startAzurite(t)
	refusing := httptest.NewServer(http.HandlerFunc(refuses))
	t.Cleanup(refusing.Close)
	conforms(t, s, func(t *testing.T) storage.Driver {
		return newDriver(t, s.at(refusing.Listener.Addr().String()))
	})
}

func TestGCSConforms(t *testing.T) {
	conforms(t, startGCS(t), nil)
}
