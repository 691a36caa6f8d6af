package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	"github.com/recordhost/recordhost/sdk/plugin"
	"github.com/recordhost/recordhost/sdk/schema"
	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// Config is the plugin's block of the configuration file.
type Config struct {
	SecretID       string        `config:"secret_id" doc:"the API key's SecretId"`
	SecretKey      schema.Secret `config:"secret_key" doc:"the API key's SecretKey"`
	Region         string        `config:"region" default:"ap-guangzhou" doc:"region of the API"`
	SubAppID       int64         `config:"sub_app_id" default:"0" doc:"the VOD application that media are kept in; 0: the default one"`
	AllowSubAppIDs []string      `config:"allow_sub_app_ids,optional" doc:"further applications that requests may name"`
	Procedure      string        `config:"procedure,optional" doc:"task flow that VOD starts for each media, unless the request names one"`
	ClassID        int64         `config:"class_id" default:"0" doc:"category of the media, unless the request names one"`
	StorageRegion  string        `config:"storage_region,optional" doc:"region that media are stored in, unless the request names one"`
	Endpoint       string        `config:"endpoint" default:"https://vod.tencentcloudapi.com" doc:"address of the API"`
	COSEndpoint    string        `config:"cos_endpoint,optional" doc:"scheme://host:port of the store that media are sent to, for tests"`
}

// Validate checks what needs no connection.
func (c *Config) Validate() error {
	switch {
	case c.SecretID == "":
		return errors.New("secret_id: it is empty")
	case c.SecretKey.IsZero():
		return errors.New("secret_key: it is empty")
	case c.SubAppID < 0:
		return errors.New("sub_app_id: it is negative")
	}
	for _, text := range c.AllowSubAppIDs {
		if _, err := strconv.ParseUint(text, 10, 63); err != nil {
			return fmt.Errorf("allow_sub_app_ids: %q is no number of an application", text)
		}
	}
	if _, err := address("endpoint", c.Endpoint); err != nil {
		return err
	}
	if c.COSEndpoint != "" {
		if _, err := address("cos_endpoint", c.COSEndpoint); err != nil {
			return err
		}
	}
	return nil
}

// address reads "scheme://host:port".
func address(setting, text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" && u.Path != "/" || u.User != nil {
		return nil, fmt.Errorf("%s: it must be an address such as https://vod.tencentcloudapi.com", setting)
	}
	return u, nil
}

// mayUse tells whether requests may name an application.
func (c *Config) mayUse(subAppID uint64) bool {
	if subAppID == uint64(c.SubAppID) {
		return true
	}
	for _, text := range c.AllowSubAppIDs {
		if id, err := strconv.ParseUint(text, 10, 63); err == nil && id == subAppID {
			return true
		}
	}
	return false
}

// Times of the connections. How long a call may take is the caller's to say.
const (
	dialWithin   = 15 * time.Second
	answerWithin = 60 * time.Second // after a request was sent, until the first byte of the answer
)

// maxSinglePut is the size from which on a file is sent in parts, so that a connection that breaks does not cost all of it.
// A single PUT takes 5 GiB at most.
const maxSinglePut = 512 << 20

// New makes the driver. It connects to nothing.
func New(_ context.Context, env plugin.Env, c Config) (storage.Driver, error) {
	endpoint, err := address("endpoint", c.Endpoint)
	if err != nil {
		return nil, status.Wrap(status.InvalidArgument, err)
	}
	sealer, err := newSealer(c.SecretKey.Reveal())
	if err != nil {
		return nil, err
	}
	standard, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, status.Errorf(status.Internal, "the standard transport is another one")
	}
	transport := standard.Clone()
	transport.MaxIdleConnsPerHost = 16
	transport.TLSHandshakeTimeout = dialWithin
	transport.ResponseHeaderTimeout = answerWithin
	d := &Driver{
		config: c, log: env.Log, transport: transport, sealer: sealer, singlePut: maxSinglePut, now: time.Now,
		vod:     newVOD(endpoint, c, transport),
		records: &records{dir: filepath.Join(env.StateDir, "sessions"), log: env.Log},
	}
	d.records.sweep(d.now())
	return d, nil
}
