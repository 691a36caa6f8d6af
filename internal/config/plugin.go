package config

import (
	"encoding/hex"
	"fmt"
	"regexp"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// The kinds of plugin blocks.
const (
	kindRuntime = "runtime"
	kindStorage = "storage"
)

// Plugin is a block runtime or storage: one plugin, configured in one way, under a name.
type Plugin struct {
	Kind   string            // "runtime" or "storage"
	Plugin string            // the first label: which plugin
	Name   string            // the second label, unique within the kind
	Env    map[string]string // the plugin's whole environment
	SHA256 []byte            // the only executable that may be run, by its checksum; nil: any

	// What the plugin itself must explain: its own settings, unread.
	body hcl.Body
	eval *hcl.EvalContext
	dir  string
	at   hcl.Range
}

// Executable is the file name of the plugin's program in the plugin folder.
func (p Plugin) Executable() string { return p.Kind + "-" + p.Plugin }

// Position is where the block begins, as "file:line:column", for errors that are not about a single setting.
func (p Plugin) Position() string {
	return fmt.Sprintf("%s:%d:%d", p.at.Filename, p.at.Start.Line, p.at.Start.Column)
}

// plugins reads the blocks of one kind, up to what only the plugin knows.
func (r *reader) plugins(blocks hcl.Blocks) []Plugin {
	var list []Plugin
	lines := map[string]int{}
	for _, b := range blocks {
		p := Plugin{Kind: b.Type, Plugin: b.Labels[0], Name: b.Labels[1], eval: r.eval, dir: r.dir, at: b.DefRange}
		if !goodPlugin(p.Plugin) {
			r.errs = append(r.errs, errorf(b.LabelRanges[0], "%q is no plugin's name: lower case letters, digits and dashes", p.Plugin))
		}
		if !goodName(p.Name) {
			r.errs = append(r.errs, errorf(b.LabelRanges[1], "%q is no name: up to 63 letters, digits, dashes and underscores", p.Name))
		}
		if line, taken := lines[p.Name]; taken {
			r.errs = append(r.errs, errorf(b.LabelRanges[1], "there is a %s %q already, at line %d", p.Kind, p.Name, line))
		}
		lines[p.Name] = b.DefRange.Start.Line

		fields := commonFields(&p)
		content, rest, diags := b.Body.PartialContent(schemaOf(fields))
		r.errs = append(r.errs, asErrors(diags)...)
		r.errs = append(r.errs, fill(content.Attributes, fields, r.eval)...)
		p.body = rest
		list = append(list, p)
	}
	return list
}

// commonFields are the attributes that every plugin block may have; no plugin sees them among its own.
func commonFields(p *Plugin) []field {
	return []field{
		textMap("env", &p.Env),
		{"sha256", func(v cty.Value) error {
			if v.Type() == cty.String {
				if sum, err := hex.DecodeString(v.AsString()); err == nil && len(sum) == 32 {
					p.SHA256 = sum
					return nil
				}
			}
			return fmt.Errorf("the 64 hex digits that sha256sum prints for the plugin's executable, not %s", show(v))
		}},
	}
}

var (
	pluginForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	nameForm   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)
)

func goodPlugin(s string) bool { return pluginForm.MatchString(s) }
func goodName(s string) bool   { return nameForm.MatchString(s) }
