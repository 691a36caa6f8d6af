package storagetest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

// growth is a file that is sent in parts, cut so that the store takes it.
type growth struct {
	name    string
	content []byte
	local   storage.File
	size    int64 // of each part but the last
	growing storage.Growing
}

// growth makes a local file of three parts and a bit. Each part is put together from two extents.
func (s *suite) growth(t *testing.T, name string) growth {
	t.Helper()
	size := max(s.caps.MinPartSize, 64<<10)
	content := pattern(int(3*size) + 77)
	return growth{
		name: name, content: content, local: s.file(t, name, content), size: size,
		growing: storage.Growing{Name: name, ContentType: "video/mp4", PartSize: size},
	}
}

func (g growth) parts() int { return int((g.local.Size + g.size - 1) / g.size) }

func (g growth) part(number int) storage.Part {
	offset := int64(number-1) * g.size
	length := min(g.size, g.local.Size-offset)
	half := length / 2
	return storage.Part{Number: number, Extents: []storage.Extent{
		{Path: g.local.Path, Offset: offset, Length: half},
		{Path: g.local.Path, Offset: offset + half, Length: length - half},
	}}
}

func mustBegin(t *testing.T, d storage.Driver, state storage.State, g growth) storage.Upload {
	t.Helper()
	u, err := d.BeginParts(t.Context(), state, g.growing)
	if err != nil {
		t.Fatalf("begin parts: %v", err)
	}
	if len(u) == 0 || len(u) > storage.MaxUpload {
		t.Fatalf("begin parts answered an upload of %d bytes, want 1 to %d", len(u), storage.MaxUpload)
	}
	return u
}

func mustPutPart(t *testing.T, d storage.Driver, state storage.State, u storage.Upload, p storage.Part) storage.Receipt {
	t.Helper()
	r, err := d.PutPart(t.Context(), state, u, p)
	if err != nil {
		t.Fatalf("put part %d: %v", p.Number, err)
	}
	if r.Number != p.Number || r.Size != p.Size() {
		t.Errorf("put part %d of %d bytes answered %+v", p.Number, p.Size(), r)
	}
	return r
}

func mustFinish(t *testing.T, d storage.Driver, state storage.State, u storage.Upload, receipts []storage.Receipt) {
	t.Helper()
	if err := d.FinishParts(t.Context(), state, u, receipts); err != nil {
		t.Fatalf("finish parts: %v", err)
	}
}

func parts(t *testing.T, s *suite) {
	if !s.caps.Parts {
		return
	}
	delivery := s.delivery("a.mp4")
	state := mustOpen(t, s.driver, delivery)
	g := s.growth(t, "a.mp4")
	u := mustBegin(t, s.driver, state, g)
	var receipts []storage.Receipt
	for n := 1; n <= g.parts(); n++ {
		receipts = append(receipts, mustPutPart(t, s.driver, state, u, g.part(n)))
	}
	s.wantNothing(t, delivery, "a.mp4")
	_, err := s.driver.Commit(t.Context(), state)
	wantKind(t, "commit before the parts are finished", err, status.FailedPrecondition)
	for range 2 {
		mustFinish(t, s.driver, state, u, receipts)
	}
	if l := mustCommit(t, s.driver, state); l.Size != g.local.Size {
		t.Errorf("commit answered %d bytes, want %d", l.Size, g.local.Size)
	}
	s.wantContent(t, delivery, "a.mp4", g.content)
}

// partsOutOfOrder sends the parts as a recording does that ends: the first, with the index, last of all. Part 2 is sent twice.
func partsOutOfOrder(t *testing.T, s *suite) {
	if !s.caps.Parts || !s.caps.OutOfOrder {
		return
	}
	delivery := s.delivery("a.mp4")
	state := mustOpen(t, s.driver, delivery)
	g := s.growth(t, "a.mp4")
	u := mustBegin(t, s.driver, state, g)
	wrong := g.part(3)
	wrong.Number = 2
	mustPutPart(t, s.driver, state, u, wrong)
	var receipts []storage.Receipt
	for n := 2; n <= g.parts(); n++ {
		receipts = append(receipts, mustPutPart(t, s.driver, state, u, g.part(n)))
	}
	receipts = append(receipts, mustPutPart(t, s.driver, state, u, g.part(1)))
	mustFinish(t, s.driver, state, u, receipts)
	mustCommit(t, s.driver, state)
	s.wantContent(t, delivery, "a.mp4", g.content)
}

// partsResume goes on with what was journalled, with a new driver for each step.
func partsResume(t *testing.T, s *suite) {
	if !s.caps.Parts {
		return
	}
	delivery := s.delivery("a.mp4")
	state := mustOpen(t, s.driver, delivery)
	g := s.growth(t, "a.mp4")
	u := mustBegin(t, s.anew(t), state, g)
	var receipts []storage.Receipt
	for n := 1; n <= g.parts(); n++ {
		d := s.anew(t)
		if n == 2 {
			// Its answer was lost, so it is sent again.
			mustPutPart(t, d, state, u, g.part(n))
		}
		receipts = append(receipts, mustPutPart(t, d, state, u, g.part(n)))
	}
	mustFinish(t, s.anew(t), state, u, receipts)
	mustCommit(t, s.anew(t), state)
	s.wantContent(t, delivery, "a.mp4", g.content)
}

func badParts(t *testing.T, s *suite) {
	if !s.caps.Parts {
		return
	}
	d, ctx := s.driver, t.Context()
	delivery := s.delivery("a.mp4")
	state := mustOpen(t, d, delivery)
	g := s.growth(t, "a.mp4")
	u := mustBegin(t, d, state, g)
	for name, bend := range map[string]func(p *storage.Part){
		"number 0":                 func(p *storage.Part) { p.Number = 0 },
		"a file that is absent":    func(p *storage.Part) { p.Extents[0].Path += "-absent" },
		"an extent beyond the end": func(p *storage.Part) { p.Extents[1].Offset = g.local.Size - 1 },
		"a negative offset":        func(p *storage.Part) { p.Extents[0].Offset = -1 },
	} {
		p := g.part(1)
		bend(&p)
		_, err := d.PutPart(ctx, state, u, p)
		wantKind(t, "put part with "+name, err, status.InvalidArgument)
	}
	receipt := mustPutPart(t, d, state, u, g.part(1))
	missing := storage.Receipt{Number: 2, Size: 1, ETag: "none", Checksum: "md5:none"}
	if err := d.FinishParts(ctx, state, u, []storage.Receipt{receipt, missing}); err == nil {
		t.Error("finish parts with one that was never put succeeded")
	}
	s.wantNothing(t, delivery, "a.mp4")
	_, err := d.PutPart(ended(t), state, u, g.part(1))
	wantKind(t, "put part with an ended context", err, context.Canceled)
	_, err = d.PutPart(ctx, state, []byte("no such upload"), g.part(1))
	if !errors.Is(err, status.NotFound) && !errors.Is(err, status.InvalidArgument) {
		t.Errorf("put part of an upload that is none: %v", err)
	}
}

func partsAborted(t *testing.T, s *suite) {
	if !s.caps.Parts {
		return
	}
	delivery := s.delivery("a.mp4")
	state := mustOpen(t, s.driver, delivery)
	g := s.growth(t, "a.mp4")
	u := mustBegin(t, s.driver, state, g)
	receipts := []storage.Receipt{mustPutPart(t, s.driver, state, u, g.part(1))}
	for range 2 {
		if err := s.anew(t).Abort(t.Context(), state); err != nil {
			t.Fatalf("abort: %v", err)
		}
	}
	if err := s.driver.FinishParts(t.Context(), state, u, receipts); err == nil {
		t.Error("finish parts after abort succeeded")
	}
	s.wantNothing(t, delivery, "a.mp4")
	// The delivery can begin anew.
	state = mustOpen(t, s.driver, delivery)
	u = mustBegin(t, s.driver, state, g)
	receipts = receipts[:0]
	for n := 1; n <= g.parts(); n++ {
		receipts = append(receipts, mustPutPart(t, s.driver, state, u, g.part(n)))
	}
	slices.Reverse(receipts)
	mustFinish(t, s.driver, state, u, receipts)
	mustCommit(t, s.driver, state)
	if content, ok := s.read(t, delivery, "a.mp4"); !ok || !bytes.Equal(content, g.content) {
		t.Error("the file is not that of the parts")
	}
}
