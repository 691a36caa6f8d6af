package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // azblob://
	_ "gocloud.dev/blob/fileblob"  // file://
	_ "gocloud.dev/blob/gcsblob"   // gs://
	_ "gocloud.dev/blob/memblob"   // mem://
	_ "gocloud.dev/blob/s3blob"    // s3://

	"github.com/recordhost/recordhost/sdk/plugin"
	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// Config is the plugin's block of the configuration file.
type Config struct {
	URL       string `config:"url" doc:"the store: file:///dir, s3://bucket?region=…, gs://bucket, azblob://container, mem://"`
	Prefix    string `config:"prefix,optional" doc:"a directory of the store below which everything is kept"`
	BaseURL   string `config:"base_url,optional" doc:"where the store's root is served to viewers; FileURL is this and the name"`
	Overwrite bool   `config:"overwrite" default:"false" doc:"replace files that exist and belong to another recording"`

	WholeFiles bool `config:"whole_files" default:"false" doc:"send a file only when it is whole, also where the store takes parts"`
}

// Validate checks what needs no connection.
func (c *Config) Validate() error {
	c.Prefix = strings.Trim(c.Prefix, "/")
	if c.Prefix != "" {
		if _, err := (storage.Delivery{Dir: c.Prefix}).Key("x"); err != nil {
			return fmt.Errorf("prefix: %w", err)
		}
	}
	if c.BaseURL != "" {
		base, err := url.Parse(c.BaseURL)
		if err != nil || base.Scheme == "" || base.Host == "" {
			return fmt.Errorf("base_url: %q is no URL such as https://cdn.example.com/recordings", c.BaseURL)
		}
		if base.RawQuery != "" || base.Fragment != "" {
			return fmt.Errorf("base_url: a name cannot be put behind the query or fragment of %q", c.BaseURL)
		}
	}
	_, err := c.parseURL()
	return err
}

// parseURL returns the store's URL as gocloud.dev opens it. A local directory may be given as a mere path, and is made
// absolute; the options that a recorder needs there are added.
func (c *Config) parseURL() (*url.URL, error) {
	if !strings.Contains(c.URL, ":") {
		return localURL(c.URL)
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, errors.New("url: it cannot be parsed as a URL") // the parser's own error quotes it, credentials and all
	}
	for _, name := range []string{"prefix", "key"} {
		if u.Query().Has(name) {
			return nil, fmt.Errorf("url: the parameter %q is not for here; use the setting prefix", name)
		}
	}
	if u.Scheme != "file" {
		return u, nil
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("url: file:// takes no parameters here; write ? as %3F and # as %23")
	}
	switch u.Host {
	case "", "localhost":
		return localURL(u.Path)
	case ".":
		return localURL("." + u.Path)
	default:
		return nil, fmt.Errorf("url: %q is a host's name in file://%[1]s…; an absolute directory has three slashes, file:///dir", u.Host)
	}
}

// localURL is fileblob's URL of a directory. Temporary files lie beside the final ones, since a rename does not cross file
// systems; sidecar files with metadata are not wanted in people's directories.
func localURL(dir string) (*url.URL, error) {
	if dir == "" {
		return nil, errors.New("url: there is no directory in it")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	query := url.Values{"create_dir": {"true"}, "no_tmp_dir": {"true"}, "metadata": {"skip"}}
	return &url.URL{Scheme: "file", Path: abs, RawQuery: query.Encode()}, nil
}

// New opens the store. Only a local directory is touched by it: it is made where it does not exist.
func New(ctx context.Context, env plugin.Env, c Config) (storage.Driver, error) {
	u, err := c.parseURL()
	if err != nil {
		return nil, status.Wrap(status.InvalidArgument, err)
	}
	isNew := false
	if u.Scheme == "file" {
		_, err := os.Stat(u.Path)
		isNew = errors.Is(err, fs.ErrNotExist)
	}
	bucket, err := blob.OpenBucket(ctx, u.String())
	if err != nil {
		kind := kindOf(err)
		if kind == status.Unknown {
			kind = status.InvalidArgument // what is left is the URL's fault
		}
		return nil, status.Errorf(kind, "url: %w", err)
	}
	d := &Driver{config: c, log: env.Log, url: u, bucket: bucket}
	if u.Scheme == "file" {
		d.objects = &directory{root: u.Path, bucket: bucket}
		if isNew {
			syncAbove(u.Path)
		}
	} else {
		d.useObjectStore(&objectStore{name: u.Host, bucket: bucket, log: env.Log})
	}
	return d, nil
}

// useObjectStore finds out what the store can do beyond what gocloud.dev asks of all of them.
func (d *Driver) useObjectStore(store *objectStore) {
	d.objects = store
	var s3Client *s3.Client
	var azureClient *container.Client
	switch {
	case store.bucket.As(&s3Client):
		parts := &s3Parts{store: store, client: s3Client}
		store.abortPut, d.parts = parts.abortPut, parts
	case store.bucket.As(&azureClient):
		store.forbidden, d.parts = azureEscaped, &azureParts{client: azureClient}
	}
	if d.config.WholeFiles {
		d.parts = nil
	}
}
