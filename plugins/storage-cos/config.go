package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/recordhost/recordhost/sdk/plugin"
	"github.com/recordhost/recordhost/sdk/schema"
	"github.com/recordhost/recordhost/sdk/storage"
)

// Config is the plugin's block of the configuration file.
type Config struct {
	Bucket          string        `config:"bucket" doc:"the bucket, <name>-<appid>"`
	Region          string        `config:"region" doc:"its region, such as ap-shanghai"`
	SecretID        string        `config:"secret_id,optional" doc:"the id of the keys"`
	SecretKey       schema.Secret `config:"secret_key,optional" doc:"the key"`
	Token           schema.Secret `config:"token,optional" doc:"the token of temporary keys"`
	CredentialsFile string        `config:"credentials_file,optional" doc:"a JSON file with the keys, read again before they expire"`
	Endpoint        string        `config:"endpoint,optional" doc:"scheme://host:port to connect to in place of the bucket's own host"`
	Domain          string        `config:"domain,optional" doc:"the host of FileURL: cdn.example.com, or http://… where it has no https"`
	Prefix          string        `config:"prefix,optional" doc:"a directory of the bucket below which everything is kept"`
	Overwrite       bool          `config:"overwrite" default:"false" doc:"replace files that exist and belong to another recording"`
	AllowBuckets    []string      `config:"allow_buckets,optional" doc:"buckets that requests may name besides bucket"`
	AllowRegions    []string      `config:"allow_regions,optional" doc:"regions that requests may name besides region"`
	StorageClass    string        `config:"storage_class,optional" doc:"such as STANDARD_IA; the bucket's own without it"`
}

// Validate checks what needs no connection.
func (c *Config) Validate() error {
	c.Prefix = strings.Trim(c.Prefix, "/")
	if c.Prefix != "" {
		if _, err := (storage.Delivery{Dir: c.Prefix}).Key("x"); err != nil {
			return fmt.Errorf("prefix: %w", err)
		}
	}
	for name, buckets := range map[string][]string{"bucket": {c.Bucket}, "allow_buckets": c.AllowBuckets} {
		for _, b := range buckets {
			if err := checkBucket(b); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	for name, regions := range map[string][]string{"region": {c.Region}, "allow_regions": c.AllowRegions} {
		for _, r := range regions {
			if !regionForm().MatchString(r) {
				return fmt.Errorf("%s: %q is no region such as ap-shanghai", name, r)
			}
		}
	}
	if c.Domain != "" {
		if _, err := parseDomain(c.Domain); err != nil {
			return fmt.Errorf("domain: %w", err)
		}
	}
	if c.StorageClass != "" && !regexp.MustCompile(`^[A-Z_]+$`).MatchString(c.StorageClass) {
		return fmt.Errorf("storage_class: %q is none such as STANDARD_IA", c.StorageClass)
	}
	return errors.Join(c.checkEndpoint(), c.checkKeys())
}

func regionForm() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`) }

// maxHost is how long the name of a bucket's host may be, as the service says.
const maxHost = 60

// checkBucket refuses what cannot be a bucket. The appid is part of the name in every address.
func checkBucket(name string) error {
	if !regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?-[0-9]+$`).MatchString(name) || len(name) > maxHost {
		return fmt.Errorf("%q is no bucket such as lessons-1250000000, name and appid", name)
	}
	return nil
}

func (c *Config) checkEndpoint() error {
	if c.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("endpoint: it must be http:// or https://, a host and a port, and nothing more")
	}
	c.Endpoint = u.Scheme + "://" + u.Host
	return nil
}

func (c *Config) checkKeys() error {
	given := c.SecretID != "" || !c.SecretKey.IsZero() || !c.Token.IsZero()
	switch {
	case given && c.CredentialsFile != "":
		return errors.New("credentials_file: it excludes secret_id, secret_key and token")
	case c.CredentialsFile != "" && !filepath.IsAbs(c.CredentialsFile):
		return fmt.Errorf("credentials_file: %q is not absolute; the configuration's folder is ${dir}", c.CredentialsFile)
	case c.CredentialsFile != "":
		return nil
	case c.SecretID == "" || c.SecretKey.IsZero():
		return errors.New("secret_id: it and secret_key are needed, or credentials_file")
	default:
		return nil
	}
}

// parseDomain reads the host of FileURL: https, unless a scheme stands before it.
func parseDomain(text string) (base string, err error) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(u.Host, " \t\r\n\\\"<>") {
		return "", errors.New("it must be a host such as cdn.example.com, with http:// before it where it has no https")
	}
	return u.Scheme + "://" + u.Host, nil
}

// New makes the driver. Nothing is connected to by it.
func New(_ context.Context, env plugin.Env, c Config) (storage.Driver, error) {
	return open(env, c, stalled)
}

// stalled is how long a connection over which nothing moves is waited for. What is in the other side's buffers is not seen to move: on a
// line of 8 kB/s they are empty in less.
const stalled = time.Minute

func open(env plugin.Env, c Config, stall time.Duration) (*Driver, error) {
	keys, err := newKeys(c, env.Log)
	if err != nil {
		return nil, err
	}
	d := &Driver{config: c, log: env.Log, keys: keys, connections: newTransport(stall), journal: journal{dir: env.StateDir}}
	d.http = &http.Client{Transport: &signer{keys: keys, next: d.connections}, CheckRedirect: noRedirect}
	return d, nil
}

// noRedirect follows no redirection, whose target would be sent the keys' signature. The SDK sets the like where there is none, without
// a thought for clients that share one.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
