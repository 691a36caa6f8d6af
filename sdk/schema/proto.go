package schema

import (
	"encoding/json"
	"fmt"

	pluginv1 "github.com/recordhost/recordhost/sdk/proto/recordhost/plugin/v1"
)

// maxDepth is how deep blocks may stand in blocks, and maxSettings how many settings one block may have. A schema comes
// from a plugin, which may be broken; nobody needs as much.
const (
	maxDepth    = 8
	maxSettings = 256
)

// Proto returns the schema as it crosses the wire.
func (s Schema) Proto() *pluginv1.Schema {
	p := &pluginv1.Schema{}
	for _, a := range s.Attributes {
		p.Attributes = append(p.Attributes, &pluginv1.Attribute{
			Name: a.Name, Type: pluginv1.AttributeType(a.Type), Required: a.Required, DefaultJson: a.Default,
			Sensitive: a.Sensitive, Description: a.Description,
		})
	}
	for _, b := range s.Blocks {
		p.Blocks = append(p.Blocks, &pluginv1.Block{
			Name: b.Name, Repeated: b.Repeated, Required: b.Required, Body: b.Body.Proto(), Description: b.Description,
		})
	}
	return p
}

// FromProto returns the schema that p holds. It refuses what no host could decode a block with: bad or doubled names,
// unknown types, schemas without end.
func FromProto(p *pluginv1.Schema) (Schema, error) { return fromProto(p, maxDepth) }

func fromProto(p *pluginv1.Schema, depth int) (Schema, error) {
	var s Schema
	if depth == 0 {
		return s, fmt.Errorf("blocks stand more than %d deep", maxDepth)
	}
	if n := len(p.GetAttributes()) + len(p.GetBlocks()); n > maxSettings {
		return s, fmt.Errorf("%d settings in one block, more than %d", n, maxSettings)
	}
	taken := map[string]bool{}
	take := func(name string) error {
		if !validName.MatchString(name) || taken[name] {
			return fmt.Errorf("setting %q: the name is not valid or stands twice", name)
		}
		taken[name] = true
		return nil
	}
	for _, a := range p.GetAttributes() {
		if err := take(a.GetName()); err != nil {
			return Schema{}, err
		}
		attribute := Attribute{
			Name: a.GetName(), Type: Type(a.GetType()), Required: a.GetRequired(), Default: a.GetDefaultJson(),
			Sensitive: a.GetSensitive(), Description: a.GetDescription(),
		}
		if attribute.Type < String || attribute.Type > StringMap {
			return Schema{}, fmt.Errorf("setting %q: unknown type %d", a.GetName(), a.GetType())
		}
		if attribute.Default != "" && !json.Valid([]byte(attribute.Default)) {
			return Schema{}, fmt.Errorf("setting %q: the default is not JSON", a.GetName())
		}
		s.Attributes = append(s.Attributes, attribute)
	}
	for _, b := range p.GetBlocks() {
		if err := take(b.GetName()); err != nil {
			return Schema{}, err
		}
		body, err := fromProto(b.GetBody(), depth-1)
		if err != nil {
			return Schema{}, fmt.Errorf("block %q: %w", b.GetName(), err)
		}
		s.Blocks = append(s.Blocks, Block{
			Name: b.GetName(), Repeated: b.GetRepeated(), Required: b.GetRequired(), Body: body, Description: b.GetDescription(),
		})
	}
	return s, nil
}
