package plugin

import (
	"testing"

	"github.com/recordhost/recordhost/sdk/plugin/plugintest"
	pluginv1 "github.com/recordhost/recordhost/sdk/proto/recordhost/plugin/v1"
)

// Every field of the contract arrives. Adding a field to a type or a message and forgetting the other side fails here.
func TestEveryFieldCrossesTheWire(t *testing.T) {
	plugintest.RoundTrip(t, &pluginv1.ConfigureRequest{}, configurationToProto, configurationFromProto)
	for _, kind := range []Kind{KindRuntime, KindStorage} {
		type info struct {
			Name, Version string
			Protocol      int
		}
		plugintest.RoundTrip(t, &pluginv1.InfoResponse{},
			func(i info) *pluginv1.InfoResponse {
				return infoToProto(Info{Kind: kind, Name: i.Name, Version: i.Version, Protocol: i.Protocol})
			},
			func(p *pluginv1.InfoResponse) info {
				got := infoFromProto(p)
				if got.Kind != kind {
					t.Errorf("a %s plugin came back as %q", kind, got.Kind)
				}
				return info{got.Name, got.Version, got.Protocol}
			})
	}
	if got := infoFromProto(&pluginv1.InfoResponse{Kind: 99}).Kind; got == KindRuntime || got == KindStorage {
		t.Errorf("a kind that nobody knows came back as %q", got)
	}
}
