package task

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// pluginCos is the plugin that keeps recordings in Tencent Cloud Object Storage.
const pluginCos = "cos"

// cosSettings are the members of Output.Cos that were given, as the plugin takes them.
type cosSettings struct {
	Domain string `json:",omitempty"`
	Bucket string `json:",omitempty"`
	Region string `json:",omitempty"`
}

// parseCos reads Output.Cos.
func parseCos(o object) Destination {
	d := parseName(o)
	s := cosSettings{Domain: domain(o, "Domain"), Bucket: o.text("Bucket"), Region: o.text("Region")}
	d.Plugin = pluginCos
	if s == (cosSettings{}) {
		return d
	}
	settings, err := json.Marshal(s)
	if err != nil {
		o.fail("", "cannot be passed on: %v", err)
	}
	d.Settings = string(settings)
	return d
}

// domain reads a host that may have a scheme before it. It is only found in URLs that are told, so nothing is connected to.
func domain(o object, name string) string {
	text := o.text(name)
	if text == "" {
		return ""
	}
	full := text
	if !strings.Contains(text, "://") {
		full = "https://" + text
	}
	u, err := url.Parse(full)
	if err != nil || !isWeb(u.Scheme) || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" ||
		u.Fragment != "" || strings.ContainsAny(u.Host, " \t\r\n\\\"<>") {
		o.fail(name, "must be the name of a host")
	}
	return text
}

// chooseCos finds the storage of a Destination of parseCos, which may use the bucket and the region that it names.
func (o Options) chooseCos(d Destination) (Storage, error) {
	var asked cosSettings
	if err := json.Unmarshal([]byte(d.Settings), &asked); d.Settings != "" && err != nil {
		return Storage{}, invalidParam("Data.Output.Cos cannot be read: %v", err)
	}
	s, err := o.ofPlugin(pluginCos, "Cos", func(s Storage) bool { return asked.Bucket != "" && usesOfCos(s).bucket(asked.Bucket) })
	if err != nil {
		return s, err
	}
	switch uses := usesOfCos(s); {
	case asked.Bucket != "" && !uses.bucket(asked.Bucket):
		return s, invalidParam("Data.Output.Cos.Bucket is not among the buckets that the storage %q may use", s.Name)
	case asked.Region != "" && !uses.region(asked.Region):
		return s, invalidParam("Data.Output.Cos.Region is not among the regions that the storage %q may use", s.Name)
	default:
		return s, nil
	}
}

// cosUses is what a storage's configuration allows: its own bucket and region, and those of its lists.
type cosUses struct {
	Bucket       string   `json:"bucket"`
	Region       string   `json:"region"`
	AllowBuckets []string `json:"allow_buckets"`
	AllowRegions []string `json:"allow_regions"`
}

func usesOfCos(s Storage) cosUses {
	var u cosUses
	_ = json.Unmarshal(s.Config, &u) // what cannot be read allows nothing
	return u
}

func (u cosUses) bucket(name string) bool {
	return name == u.Bucket || slices.Contains(u.AllowBuckets, name)
}

func (u cosUses) region(name string) bool {
	return name == u.Region || slices.Contains(u.AllowRegions, name)
}
