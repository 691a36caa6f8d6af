package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/recordhost/recordhost/sdk/schema"
)

// Settings reads the plugin's own settings by the schema that the plugin reports, and answers the JSON that Configure
// takes. Its mistakes are all of them Errors. The JSON holds secrets in the clear.
func (p Plugin) Settings(s schema.Schema) ([]byte, error) {
	object, errs := settings(p.body, s, p.eval)
	if len(errs) > 0 {
		return nil, errors.Join(sorted(errs)...)
	}
	encoded, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("%s: encode the settings: %w", p.Position(), err)
	}
	return encoded, nil
}

// settings reads one block, and the blocks in it.
func settings(body hcl.Body, s schema.Schema, eval *hcl.EvalContext) (map[string]any, []error) {
	form := &hcl.BodySchema{}
	for _, a := range s.Attributes {
		form.Attributes = append(form.Attributes, hcl.AttributeSchema{Name: a.Name, Required: a.Required})
	}
	for _, b := range s.Blocks {
		form.Blocks = append(form.Blocks, hcl.BlockHeaderSchema{Type: b.Name})
	}
	content, diags := body.Content(form)
	errs := asErrors(diags)

	object := map[string]any{}
	for _, a := range s.Attributes {
		if err := attribute(object, a, content.Attributes[a.Name], eval); err != nil {
			errs = append(errs, err...)
		}
	}
	found := content.Blocks.ByType()
	for _, b := range s.Blocks {
		if len(found[b.Name]) == 0 && b.Required {
			errs = append(errs, errorf(content.MissingItemRange, "the block %s is missing", b.Name))
		}
		errs = append(errs, nested(object, b, found[b.Name], eval)...)
	}
	return object, errs
}

// attribute takes one value over. Null is as if absent, so the plugin's own default holds.
func attribute(object map[string]any, a schema.Attribute, from *hcl.Attribute, eval *hcl.EvalContext) []error {
	if from == nil {
		return nil
	}
	v, diags := from.Expr.Value(eval)
	switch {
	case diags.HasErrors():
		return asErrors(diags)
	case v.IsNull() && a.Required:
		return []error{errorf(from.Expr.Range(), "%s must be %v, not null", a.Name, a.Type)}
	case v.IsNull():
		return nil
	}
	value, ok := convert(v, a.Type)
	if !ok {
		return []error{errorf(from.Expr.Range(), "%s must be %v%s", a.Name, a.Type, instead(v, a))}
	}
	object[a.Name] = value
	return nil
}

func nested(object map[string]any, b schema.Block, blocks hcl.Blocks, eval *hcl.EvalContext) []error {
	var errs []error
	var list []map[string]any
	for i, block := range blocks {
		if i > 0 && !b.Repeated {
			errs = append(errs, errorf(block.DefRange, "there is a block %s already, at line %d", b.Name, blocks[0].DefRange.Start.Line))
			continue
		}
		inner, mistakes := settings(block.Body, b.Body, eval)
		errs = append(errs, mistakes...)
		list = append(list, inner)
	}
	switch {
	case len(list) == 0:
	case b.Repeated:
		object[b.Name] = list
	default:
		object[b.Name] = list[0]
	}
	return errs
}

// convert answers the value as JSON holds one of the type, and false when it is of another type.
func convert(v cty.Value, to schema.Type) (any, bool) {
	switch to {
	case schema.String:
		if v.Type() == cty.String {
			return v.AsString(), true
		}
	case schema.Int:
		if n, ok := wholeNumber(v); ok {
			return n, true
		}
	case schema.Float:
		if v.Type() == cty.Number {
			return json.Number(v.AsBigFloat().Text('g', -1)), true
		}
	case schema.Bool:
		if v.Type() == cty.Bool {
			return v.True(), true
		}
	case schema.Duration:
		if v.Type() == cty.String {
			d, err := parseDuration(v.AsString())
			return d.String(), err == nil // plugins know no days
		}
	case schema.StringList:
		var list []string
		err := texts("", &list, "", func(string) bool { return true }).set(v)
		return append([]string{}, list...), err == nil
	case schema.StringMap:
		m := map[string]string{}
		err := textMap("", &m).set(v)
		return m, err == nil
	}
	return nil, false
}

// instead says what stands there, for an error: the value, or only its type where the value is secret, or nothing where
// the type has been said: a list of strings with another member.
func instead(v cty.Value, a schema.Attribute) string {
	switch kind := kindOf(v); {
	case strings.HasPrefix(a.Type.String(), kind):
		return ""
	case a.Sensitive:
		return ", not " + kind
	default:
		return ", not " + show(v)
	}
}
