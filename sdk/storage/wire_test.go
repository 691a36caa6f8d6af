package storage

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/recordhost/recordhost/sdk/plugin/plugintest"
	pluginv1 "github.com/recordhost/recordhost/sdk/proto/recordhost/plugin/v1"
	"github.com/recordhost/recordhost/sdk/status"
)

// Every field of the contract arrives. Adding a field to a type or a message and forgetting the other side fails here.
func TestEveryFieldCrossesTheWire(t *testing.T) {
	plugintest.RoundTrip(t, &pluginv1.CapabilitiesResponse{}, capabilitiesToProto, capabilitiesFromProto)
	plugintest.RoundTrip(t, &pluginv1.OpenRequest{}, deliveryToProto, deliveryFromProto)
	plugintest.RoundTrip(t, &pluginv1.Receipt{}, receiptToProto, receiptFromProto)
	plugintest.RoundTrip(t, &pluginv1.CommitResponse{}, locationToProto, locationFromProto)

	type put struct {
		State State
		File  File
	}
	plugintest.RoundTrip(t, &pluginv1.PutRequest{},
		func(p put) *pluginv1.PutRequest { return putToProto(p.State, p.File) },
		func(p *pluginv1.PutRequest) put { return put{p.GetState(), fileFromProto(p)} })
	type begin struct {
		State   State
		Growing Growing
	}
	plugintest.RoundTrip(t, &pluginv1.BeginPartsRequest{},
		func(b begin) *pluginv1.BeginPartsRequest { return beginPartsToProto(b.State, b.Growing) },
		func(p *pluginv1.BeginPartsRequest) begin { return begin{p.GetState(), growingFromProto(p)} })
	type putPart struct {
		State  State
		Upload Upload
		Part   Part
	}
	plugintest.RoundTrip(t, &pluginv1.PutPartRequest{},
		func(b putPart) *pluginv1.PutPartRequest { return putPartToProto(b.State, b.Upload, b.Part) },
		func(p *pluginv1.PutPartRequest) putPart {
			return putPart{p.GetState(), p.GetUpload(), partFromProto(p)}
		})
	type finish struct {
		State    State
		Upload   Upload
		Receipts []Receipt
	}
	plugintest.RoundTrip(t, &pluginv1.FinishPartsRequest{},
		func(f finish) *pluginv1.FinishPartsRequest { return finishPartsToProto(f.State, f.Upload, f.Receipts) },
		func(p *pluginv1.FinishPartsRequest) finish {
			return finish{p.GetState(), p.GetUpload(), receiptsFromProto(p.GetReceipts())}
		})
	plugintest.RoundTrip(t, &pluginv1.ListResponse{},
		func(o []Object) *pluginv1.ListResponse { return &pluginv1.ListResponse{Objects: objectsToProto(o)} },
		func(p *pluginv1.ListResponse) []Object { return objectsFromProto(p.GetObjects()) })
}

// The messages above, and those whose fields client and server pass one by one, are all that the service has.
func TestNoMessageIsForgotten(t *testing.T) {
	known := map[protoreflect.Name]bool{
		"CapabilitiesResponse": true, "OpenRequest": true, "PutRequest": true, "BeginPartsRequest": true, "PutPartRequest": true,
		"FinishPartsRequest": true, "CommitResponse": true, "ListResponse": true, "Receipt": true, "Extent": true, "Object": true,
	}
	plain := map[protoreflect.Name]bool{"state": true, "upload": true, "name": true, "path": true, "receipt": true}
	messages := pluginv1.File_recordhost_plugin_v1_storage_proto.Messages()
	for i := range messages.Len() {
		m := messages.Get(i)
		for j := range m.Fields().Len() {
			if f := m.Fields().Get(j); !known[m.Name()] && !plain[f.Name()] {
				t.Errorf("nothing tests that %s arrives", f.FullName())
			}
		}
	}
}

// What is absent stays absent: no checksum is not an empty one.
func TestAbsenceCrossesTheWire(t *testing.T) {
	if d := deliveryFromProto(deliveryToProto(Delivery{})); d.Target != nil {
		t.Errorf("no target came back as %q", d.Target)
	}
	if d := deliveryFromProto(deliveryToProto(Delivery{Target: []byte{}})); d.Target == nil {
		t.Error("an empty target came back as none")
	}
	if f := fileFromProto(putToProto(nil, File{})); f.SHA256 != nil {
		t.Errorf("no checksum came back as %x", f.SHA256)
	}
	if o := objectsFromProto(objectsToProto([]Object{{Name: "a"}})); !o[0].Modified.IsZero() {
		t.Errorf("no time came back as %v", o[0].Modified)
	}
}

func TestKeys(t *testing.T) {
	for _, c := range []struct{ dir, name, want string }{
		{"", "a.mp4", "a.mp4"},
		{"a/b", "c/d.mp4", "a/b/c/d.mp4"},
		{"..a", "b..", "..a/b.."},
		{"第", "é.mp4", "第/é.mp4"},
	} {
		got, err := Delivery{Dir: c.dir}.Key(c.name)
		if err != nil || got != c.want {
			t.Errorf("%q below %q is %q, %v, want %q", c.name, c.dir, got, err, c.want)
		}
	}
	for _, c := range []struct{ dir, name string }{
		{"", ""}, {"/", "a"}, {"a/", "b"}, {"/a", "b"}, {"a//b", "c"}, {"..", "a"}, {"a/../b", "c"}, {".", "a"}, {"a", ".."},
		{"", "../a"}, {"", "a/.."}, {"", "a\\b"}, {"", "a\x7f"}, {"", "a\u0085"}, {"", "\xff"}, {"a\x00", "b"},
		{strings.Repeat("d", 800), strings.Repeat("n", 50)},
	} {
		if key, err := (Delivery{Dir: c.dir}).Key(c.name); !errors.Is(err, status.InvalidArgument) {
			t.Errorf("%q below %q is %q, %v, want %q", c.name, c.dir, key, err, status.InvalidArgument)
		}
	}
}

func TestIDs(t *testing.T) {
	base := Delivery{TaskID: "t", Epoch: 1, Dir: "d", Main: "m"}
	later := base
	later.Epoch, later.Target = 2, []byte("{}")
	if base.ID() != later.ID() || len(base.ID()) != 32 {
		t.Errorf("the delivery is %s, in a later epoch %s", base.ID(), later.ID())
	}
	for _, other := range []Delivery{
		{TaskID: "t2", Dir: "d", Main: "m"}, {TaskID: "t", Dir: "d2", Main: "m"},
		{TaskID: "t", Dir: "d", Main: "m2"}, {TaskID: "td", Main: "m"},
	} {
		if other.ID() == base.ID() {
			t.Errorf("%+v and %+v are one delivery", other, base)
		}
	}
}
