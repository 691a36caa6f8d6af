package storage

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pluginv1 "github.com/recordhost/recordhost/sdk/proto/recordhost/plugin/v1"
)

// Each type of the contract and its message, both ways. A test fills every field and compares what comes back.

func capabilitiesToProto(c Capabilities) *pluginv1.CapabilitiesResponse {
	return &pluginv1.CapabilitiesResponse{
		Parts: c.Parts, OutOfOrder: c.OutOfOrder, EqualParts: c.EqualParts,
		MinPartSize: c.MinPartSize, MaxPartSize: c.MaxPartSize, MaxParts: int64(c.MaxParts),
		ReadBack: c.ReadBack, Folders: c.Folders,
	}
}

func capabilitiesFromProto(p *pluginv1.CapabilitiesResponse) Capabilities {
	return Capabilities{
		Parts: p.GetParts(), OutOfOrder: p.GetOutOfOrder(), EqualParts: p.GetEqualParts(),
		MinPartSize: p.GetMinPartSize(), MaxPartSize: p.GetMaxPartSize(), MaxParts: int(p.GetMaxParts()),
		ReadBack: p.GetReadBack(), Folders: p.GetFolders(),
	}
}

func deliveryToProto(d Delivery) *pluginv1.OpenRequest {
	return &pluginv1.OpenRequest{TaskId: d.TaskID, Epoch: d.Epoch, Dir: d.Dir, Main: d.Main, Target: d.Target}
}

func deliveryFromProto(p *pluginv1.OpenRequest) Delivery {
	return Delivery{TaskID: p.GetTaskId(), Epoch: p.GetEpoch(), Dir: p.GetDir(), Main: p.GetMain(), Target: p.GetTarget()}
}

func putToProto(s State, f File) *pluginv1.PutRequest {
	return &pluginv1.PutRequest{
		State: s, Name: f.Name, Path: f.Path, Extents: extentsToProto(f.Extents), Size: f.Size, Sha256: f.SHA256,
		ContentType: f.ContentType,
	}
}

func fileFromProto(p *pluginv1.PutRequest) File {
	return File{
		Name: p.GetName(), Path: p.GetPath(), Extents: extentsFromProto(p.GetExtents()), Size: p.GetSize(),
		SHA256: p.GetSha256(), ContentType: p.GetContentType(),
	}
}

func extentsToProto(extents []Extent) []*pluginv1.Extent {
	var out []*pluginv1.Extent
	for _, e := range extents {
		out = append(out, &pluginv1.Extent{Path: e.Path, Offset: e.Offset, Length: e.Length})
	}
	return out
}

func extentsFromProto(extents []*pluginv1.Extent) []Extent {
	var out []Extent
	for _, e := range extents {
		out = append(out, Extent{Path: e.GetPath(), Offset: e.GetOffset(), Length: e.GetLength()})
	}
	return out
}

func beginPartsToProto(s State, f Growing) *pluginv1.BeginPartsRequest {
	return &pluginv1.BeginPartsRequest{State: s, Name: f.Name, ContentType: f.ContentType, PartSize: f.PartSize}
}

func growingFromProto(p *pluginv1.BeginPartsRequest) Growing {
	return Growing{Name: p.GetName(), ContentType: p.GetContentType(), PartSize: p.GetPartSize()}
}

func putPartToProto(s State, u Upload, part Part) *pluginv1.PutPartRequest {
	return &pluginv1.PutPartRequest{State: s, Upload: u, Number: int64(part.Number), Extents: extentsToProto(part.Extents)}
}

func partFromProto(p *pluginv1.PutPartRequest) Part {
	return Part{Number: int(p.GetNumber()), Extents: extentsFromProto(p.GetExtents())}
}

func receiptToProto(r Receipt) *pluginv1.Receipt {
	return &pluginv1.Receipt{Number: int64(r.Number), Size: r.Size, Etag: r.ETag, Checksum: r.Checksum}
}

func receiptFromProto(p *pluginv1.Receipt) Receipt {
	return Receipt{Number: int(p.GetNumber()), Size: p.GetSize(), ETag: p.GetEtag(), Checksum: p.GetChecksum()}
}

func finishPartsToProto(s State, u Upload, receipts []Receipt) *pluginv1.FinishPartsRequest {
	p := &pluginv1.FinishPartsRequest{State: s, Upload: u}
	for _, r := range receipts {
		p.Receipts = append(p.Receipts, receiptToProto(r))
	}
	return p
}

func receiptsFromProto(p []*pluginv1.Receipt) []Receipt {
	var receipts []Receipt
	for _, r := range p {
		receipts = append(receipts, receiptFromProto(r))
	}
	return receipts
}

func locationToProto(l Location) *pluginv1.CommitResponse {
	return &pluginv1.CommitResponse{Id: l.ID, Name: l.Name, Url: l.URL, Size: l.Size, Checksum: l.Checksum}
}

func locationFromProto(p *pluginv1.CommitResponse) Location {
	return Location{ID: p.GetId(), Name: p.GetName(), URL: p.GetUrl(), Size: p.GetSize(), Checksum: p.GetChecksum()}
}

func objectsToProto(objects []Object) []*pluginv1.Object {
	var p []*pluginv1.Object
	for _, o := range objects {
		one := &pluginv1.Object{Name: o.Name, Size: o.Size}
		if !o.Modified.IsZero() {
			one.Modified = timestamppb.New(o.Modified)
		}
		p = append(p, one)
	}
	return p
}

func objectsFromProto(p []*pluginv1.Object) []Object {
	var objects []Object
	for _, one := range p {
		o := Object{Name: one.GetName(), Size: one.GetSize()}
		if one.GetModified() != nil {
			o.Modified = one.GetModified().AsTime().In(time.UTC)
		}
		objects = append(objects, o)
	}
	return objects
}
