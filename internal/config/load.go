package config

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/recordhost/recordhost/internal/callback"
)

// maxFile bounds a configuration file. The parser's depth follows its size.
const maxFile = 256 << 10

// local is the configuration of a recording without any: see Local.
//
//go:embed local.hcl
var local []byte

// Load reads a configuration file. Its mistakes are all of them Errors: see List.
func Load(file string) (*Config, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read the config: %w", err)
	}
	defer f.Close()
	source, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the config: %w", err)
	}
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return nil, fmt.Errorf("read the config: %w", err)
	}
	c, err := parse(source, file, evaluation(dir, map[string]string{"dir": dir}), dir)
	if err != nil {
		return nil, err
	}
	c.File = file
	return c, nil
}

// Local is the embedded default: recordings run on this machine, their state is kept in stateDir and the files go
// to the folder recordings, which must be absolute.
func Local(stateDir, recordings string) (*Config, error) {
	target := url.URL{Scheme: "file", Path: recordings}
	return parse(local, "local.hcl", evaluation(stateDir, map[string]string{
		"state_dir":  stateDir,
		"recordings": target.String(),
	}), stateDir)
}

// reader takes one file over into a Config.
type reader struct {
	config Config
	dir    string // relative paths count from here
	eval   *hcl.EvalContext
	broken hcl.Diagnostics // what is wrong with the outermost level itself
	errs   []error
}

func parse(source []byte, file string, eval *hcl.EvalContext, dir string) (*Config, error) {
	if len(source) > maxFile {
		return nil, &Error{File: file, Line: 1, Column: 1, Message: fmt.Sprintf("the file is larger than %d kB", maxFile>>10)}
	}
	parsed, diags := hclsyntax.ParseConfig(source, file, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, errors.Join(asErrors(diags)...)
	}
	if errs := nestedLoops(parsed); len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	r := &reader{config: defaults(), dir: dir, eval: eval}
	r.config.DataDir = below(dir, r.config.DataDir)
	r.root(parsed.Body)
	if len(r.errs) > 0 {
		return nil, errors.Join(sorted(r.errs)...)
	}
	return &r.config, nil
}

// root reads the file's outermost level.
func (r *reader) root(body hcl.Body) {
	fields := r.rootFields()
	schema := schemaOf(fields)
	schema.Blocks = []hcl.BlockHeaderSchema{
		{Type: "api"},
		{Type: "engine"},
		{Type: "retention"},
		{Type: "callback"},
		{Type: kindRuntime, LabelNames: []string{"plugin", "name"}},
		{Type: kindStorage, LabelNames: []string{"plugin", "name"}},
	}
	content, diags := body.Content(schema)
	r.broken = diags
	r.errs = append(r.errs, asErrors(diags)...)
	r.errs = append(r.errs, fill(content.Attributes, fields, r.eval)...)

	blocks := content.Blocks.ByType()
	r.single(blocks["api"], r.apiFields())
	r.single(blocks["engine"], r.engineFields())
	r.single(blocks["retention"], r.retentionFields())
	r.single(blocks["callback"], r.callbackFields())
	r.config.Runtimes = r.plugins(blocks[kindRuntime])
	r.config.Storages = r.plugins(blocks[kindStorage])

	end := content.MissingItemRange
	r.chooseDefault(&r.config.DefaultRuntime, kindRuntime, r.config.Runtimes, content.Attributes, end)
	r.chooseDefault(&r.config.DefaultStorage, kindStorage, r.config.Storages, content.Attributes, end)
}

// single reads a block that may be there once.
func (r *reader) single(blocks hcl.Blocks, fields []field) {
	for i, b := range blocks {
		if i > 0 {
			r.errs = append(r.errs, errorf(b.DefRange, "there is a block %s already, at line %d", b.Type, blocks[0].DefRange.Start.Line))
			continue
		}
		content, diags := b.Body.Content(schemaOf(fields))
		r.errs = append(r.errs, asErrors(diags)...)
		r.errs = append(r.errs, fill(content.Attributes, fields, r.eval)...)
	}
}

// chooseDefault makes sure that a default is named and exists; a single block needs no naming.
func (r *reader) chooseDefault(name *string, kind string, of []Plugin, attributes hcl.Attributes, missing hcl.Range) {
	attribute := "default_" + kind
	at := missing
	if a, ok := attributes[attribute]; ok {
		at = a.Expr.Range()
	}
	switch {
	case len(of) == 0 && len(r.broken) > 0:
		// The block that is missing may be the one that could not be read.
	case len(of) == 0:
		r.errs = append(r.errs, errorf(missing, "no block %s: a host needs at least one", kind))
	case *name == "" && len(of) == 1:
		*name = of[0].Name
	case *name == "":
		r.errs = append(r.errs, errorf(missing, "%s is missing: it must name one of the %d blocks %s", attribute, len(of), kind))
	default:
		for _, p := range of {
			if p.Name == *name {
				return
			}
		}
		r.errs = append(r.errs, errorf(at, "%s names %q, but there is no such %s", attribute, *name, kind))
	}
}

func (r *reader) rootFields() []field {
	c := &r.config
	return []field{
		path("data_dir", &c.DataDir, r.dir),
		path("key_file", &c.KeyFile, r.dir),
		path("plugin_dir", &c.PluginDir, r.dir),
		text("default_runtime", &c.DefaultRuntime, "the name of a block runtime", goodName),
		text("default_storage", &c.DefaultStorage, "the name of a block storage", goodName),
		oneOf("on_term", &c.OnTerm, OnTermHandover, OnTermDrain),
	}
}

func (r *reader) apiFields() []field {
	a := &r.config.API
	return []field{
		text("listen", &a.Listen, "host:port on a loopback address, such as 127.0.0.1:8080: "+
			"nothing else is served without authentication", loopback),
		text("path_prefix", &a.PathPrefix, `a path such as "/record"`, goodPrefix),
		texts("cors_origins", &a.CORSOrigins, `origins such as "https://example.com", or "*"`, goodOrigin),
		boolean("legacy_encrypt_key", &a.LegacyEncryptKey),
	}
}

func (r *reader) engineFields() []field {
	e := &r.config.Engine
	return []field{
		integer("fps", &e.FPS, 1, 60),
		integer("crf", &e.CRF, 1, 51),
		oneOf("preset", &e.Preset, "ultrafast", "superfast", "veryfast", "faster", "fast", "medium"),
		integer("audio_bitrate", &e.AudioBitrate, 32_000, 320_000),
		path("chrome", &e.Chrome, r.dir),
		path("ffmpeg", &e.FFmpeg, r.dir),
		onOff("sandbox", &e.Sandbox),
		duration("page_timeout", &e.PageTimeout, time.Second, 10*time.Minute),
		duration("resume_within", &e.ResumeWithin, time.Second, 24*time.Hour),
		duration("max_lifetime", &e.MaxLifetime, time.Minute, 30*day),
		duration("upload_give_up", &e.UploadGiveUp, time.Minute, 30*day),
		size("min_free", &e.MinFree),
	}
}

func (r *reader) retentionFields() []field {
	k := &r.config.Retention
	return []field{
		duration("tasks", &k.Tasks, time.Hour, 3650*day),
		duration("spool", &k.Spool, time.Hour, 3650*day),
	}
}

func (r *reader) callbackFields() []field {
	c := &r.config.Callback
	return []field{
		secret("secret", &c.Secret, callback.CheckSecret),
		duration("give_up", &c.GiveUp, 0, 30*24*time.Hour),
	}
}

// loopback reports whether nobody but this machine reaches an address.
func loopback(address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func goodPrefix(p string) bool {
	u, err := url.Parse(p)
	return err == nil && p != "/" && strings.HasPrefix(p, "/") && u.Path == p && u.Host == "" && filepath.Clean(p) == p
}

func goodOrigin(o string) bool {
	u, err := url.Parse(o)
	return o == "*" || err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && o == u.Scheme+"://"+u.Host
}
