package runtime

import (
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/recordhost/recordhost/sdk/plugin/plugintest"
	pluginv1 "github.com/recordhost/recordhost/sdk/proto/recordhost/plugin/v1"
)

// Every field of the contract arrives. Adding a field to a type or a message and forgetting the other side fails here.
func TestEveryFieldCrossesTheWire(t *testing.T) {
	plugintest.RoundTrip(t, &pluginv1.CapacityResponse{}, capacityToProto, capacityFromProto)
	plugintest.RoundTrip(t, &pluginv1.LaunchRequest{}, launchToProto, launchFromProto)
	plugintest.RoundTrip(t, &pluginv1.WaitResponse{}, exitToProto, exitFromProto)
	for state := StateUnknown; state <= StateNotHere; state++ {
		if got := stateFromProto(stateToProto(state)); got != state {
			t.Errorf("the state %d came back as %d", state, got)
		}
	}
	if n := pluginv1.WorkerState(0).Descriptor().Values().Len(); n != int(StateNotHere)+1 {
		t.Errorf("there are %d states on the wire", n)
	}
}

// The messages above, and those whose fields client and server pass one by one, are all that the service has.
func TestNoMessageIsForgotten(t *testing.T) {
	known := map[protoreflect.Name]bool{
		"CapacityResponse": true, "LaunchRequest": true, "Resources": true, "WaitResponse": true,
	}
	plain := map[protoreflect.Name]bool{"handle": true, "state": true, "grace": true}
	messages := pluginv1.File_recordhost_plugin_v1_runtime_proto.Messages()
	for i := range messages.Len() {
		m := messages.Get(i)
		for j := range m.Fields().Len() {
			if f := m.Fields().Get(j); !known[m.Name()] && !plain[f.Name()] {
				t.Errorf("nothing tests that %s arrives", f.FullName())
			}
		}
	}
}
