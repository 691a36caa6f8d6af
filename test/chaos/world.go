package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/recordhost/recordhost/test/pages"
	"github.com/recordhost/recordhost/test/product"
)

// How long an upload and a callback take, so that they can be struck.
const (
	uploadTakes   = 2 * time.Second
	callbackTakes = time.Second
)

const bucket = "recordings"

// world is what a host under test has around it: pages, an object store and whoever is called back.
type world struct {
	pages *pages.Server
	store *httptest.Server
	kept  *s3mem.Backend
	caller

	uploading chan struct{} // holds one: an upload has begun
}

// caller takes callbacks.
type caller struct {
	server *httptest.Server
	called chan struct{} // holds one: a callback has begun

	mu    sync.Mutex
	calls int
}

func newWorld(ctx context.Context) (*world, error) {
	p, err := pages.Start(ctx, "")
	if err != nil {
		return nil, err
	}
	w := &world{pages: p, kept: s3mem.New(), uploading: make(chan struct{}, 1)}
	w.called = make(chan struct{}, 1)
	if err := w.kept.CreateBucket(bucket); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	s3 := gofakes3.New(w.kept, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	w.store = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && r.ContentLength > 10<<10 { // no probe, but a recording
			tell(w.uploading)
			_ = wait(r.Context(), uploadTakes)
		}
		s3.ServeHTTP(rw, r)
	}))
	w.server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		tell(w.called)
		_ = wait(r.Context(), callbackTakes)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.calls++
	}))
	return w, nil
}

func (w *world) close() error {
	w.store.Close()
	w.server.Close()
	return w.pages.Close()
}

func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// settings configure a storage in the object store.
func (w *world) settings() string {
	query := url.Values{
		"endpoint": {w.store.URL}, "use_path_style": {"true"}, "region": {"us-east-1"},
		"response_checksum_validation": {"when_required"},
	}
	return fmt.Sprintf(`storage "blob" "store" {
  url = "s3://%s?%s"
  env = { AWS_ACCESS_KEY_ID = "test", AWS_SECRET_ACCESS_KEY = "secret", AWS_EC2_METADATA_DISABLED = "true" }
}
`, bucket, query.Encode())
}

// fetch copies a recording out of the store.
func (w *world) fetch(task string, v product.Video, to string) error {
	object, err := w.kept.GetObject(bucket, task+"/"+v.Filename, nil)
	if err != nil {
		return fmt.Errorf("the recording in the store: %w", err)
	}
	defer object.Contents.Close()
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, object.Contents)
	return errors.Join(err, f.Close())
}

func (c *caller) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls
}
