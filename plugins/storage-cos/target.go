package main

import (
	"encoding/json"
	"net/url"
	"path"
	"slices"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// place is where the files of a delivery go.
type place struct {
	delivery storage.Delivery
	nonce    string // tells one Open from others of the same delivery
	bucket   *bucket
	base     string // of FileURL, without a slash at its end
}

// state is what a storage.State holds.
type state struct {
	Delivery storage.Delivery `json:"delivery"`
	Nonce    string           `json:"nonce"`
}

// request holds the request's own settings, Output.Cos of the API. Directory and name are in the delivery already.
type request struct {
	Domain, Bucket, Region string
}

// parseRequest reads the request's settings, and refuses those that this storage does not have.
func parseRequest(target []byte) (r request, err error) {
	if len(target) == 0 {
		return r, nil
	}
	var settings map[string]json.RawMessage
	if json.Unmarshal(target, &settings) != nil {
		return r, status.Errorf(status.InvalidArgument, "target: not a JSON object")
	}
	for name, value := range settings {
		if string(value) == "null" {
			continue
		}
		var text string
		if json.Unmarshal(value, &text) != nil {
			return r, status.Errorf(status.InvalidArgument, "target: %.64q is not a string, or no setting of this storage", name)
		}
		switch name {
		case "Domain":
			r.Domain = text
		case "Bucket":
			r.Bucket = text
		case "Region":
			r.Region = text
		case "TargetDir", "TargetName":
		default:
			if text != "" {
				return r, status.Errorf(status.InvalidArgument, "target: %.64q is no setting of this storage", name)
			}
		}
	}
	return r, nil
}

// place resolves a delivery's target. Only what the configuration allows is written to.
func (d *Driver) place(delivery storage.Delivery) (place, error) {
	r, err := parseRequest(delivery.Target)
	if err != nil {
		return place{}, err
	}
	if r.Bucket == "" {
		r.Bucket = d.config.Bucket
	}
	if r.Region == "" {
		r.Region = d.config.Region
	}
	if r.Bucket != d.config.Bucket && !slices.Contains(d.config.AllowBuckets, r.Bucket) {
		return place{}, status.Errorf(status.InvalidArgument, "Bucket: %.64q is not among the storage's allow_buckets", r.Bucket)
	}
	if r.Region != d.config.Region && !slices.Contains(d.config.AllowRegions, r.Region) {
		return place{}, status.Errorf(status.InvalidArgument, "Region: %.64q is not among the storage's allow_regions", r.Region)
	}
	p := place{delivery: delivery}
	if p.bucket, err = d.open(r.Bucket, r.Region); err != nil {
		return place{}, err
	}
	p.base, err = d.base(r, p.bucket)
	return p, err
}

// base is what FileURLs begin with. The configured domain is that of the configured bucket.
func (d *Driver) base(r request, b *bucket) (string, error) {
	domain := r.Domain
	if domain == "" && r.Bucket == d.config.Bucket {
		domain = d.config.Domain
	}
	switch {
	case domain != "":
		base, err := parseDomain(domain)
		if err != nil {
			return "", status.Errorf(status.InvalidArgument, "Domain: %w", err)
		}
		return base, nil
	case d.config.Endpoint != "":
		return d.config.Endpoint + "/" + r.Bucket, nil // the bucket's own host is not there
	default:
		return "https://" + b.host, nil
	}
}

// located is where an object can be had.
func (p place) located(key string) string { return p.base + (&url.URL{Path: "/" + key}).EscapedPath() }

// key is the name of a file in the bucket.
func (d *Driver) key(delivery storage.Delivery, name string) (string, error) {
	key, err := delivery.Key(name)
	if err != nil {
		return "", err
	}
	if key = path.Join(d.config.Prefix, key); len(key) > storage.MaxKey {
		return "", status.Errorf(status.InvalidArgument,
			"file name %q… and prefix have %d bytes, more than %d", key[:32], len(key), storage.MaxKey)
	}
	return key, nil
}

// read reads a state.
func (d *Driver) read(s storage.State) (place, error) {
	var st state
	if err := json.Unmarshal(s, &st); err != nil || st.Nonce == "" {
		return place{}, status.Errorf(status.InvalidArgument, "not a state of this driver")
	}
	p, err := d.place(st.Delivery)
	p.nonce = st.Nonce
	return p, err
}

// file reads a state and answers the key of one of its files.
func (d *Driver) file(s storage.State, name string) (p place, key string, err error) {
	if p, err = d.read(s); err == nil {
		key, err = d.key(p.delivery, name)
	}
	return p, key, err
}
