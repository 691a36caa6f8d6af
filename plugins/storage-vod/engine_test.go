package main

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
	"github.com/recordhost/recordhost/test/fakecos/cos"
	"github.com/recordhost/recordhost/test/fakevod"
)

// engine delivers as recordhost does: it journals what each call answered before it makes the next, tries again what may be tried
// again, and opens the delivery anew where nothing can come of the session.
type engine struct {
	delivery storage.Delivery
	path     string
	content  []byte
	part     int64

	// The journal.
	state    storage.State
	upload   storage.Upload
	receipts map[int]storage.Receipt
	finished bool
	location *storage.Location

	opened int // how often it began
}

func newEngine(t *testing.T) *engine {
	t.Helper()
	e := &engine{
		delivery: storage.Delivery{TaskID: "task", Epoch: 1, Dir: "task", Main: "lesson.mp4"},
		path:     filepath.Join(t.TempDir(), "local"), content: make([]byte, 3*minPart+77), part: minPart,
		receipts: map[int]storage.Receipt{},
	}
	_, _ = rand.NewChaCha8([32]byte{7}).Read(e.content)
	if err := os.WriteFile(e.path, e.content, 0o600); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *engine) parts() int { return int((int64(len(e.content)) + e.part - 1) / e.part) }

func (e *engine) piece(number int) storage.Part {
	offset := int64(number-1) * e.part
	return storage.Part{Number: number, Extents: []storage.Extent{
		{Path: e.path, Offset: offset, Length: min(e.part, int64(len(e.content))-offset)},
	}}
}

// again is how often a call that may be tried again is tried, and how often the delivery is opened.
const again = 8

// run delivers, from where the journal says.
func (e *engine) run(ctx context.Context, d storage.Driver) error {
	var err error
	for range again {
		err = e.attempt(ctx, d)
		if !errors.Is(err, status.FailedPrecondition) && !errors.Is(err, status.NotFound) {
			return err
		}
		e.state, e.upload, e.finished = nil, nil, false
		clear(e.receipts)
	}
	return err
}

func (e *engine) attempt(ctx context.Context, d storage.Driver) (err error) {
	if e.location != nil {
		return nil
	}
	if e.state == nil {
		if e.state, err = try(func() (storage.State, error) { return d.Open(ctx, e.delivery) }); err != nil {
			return err
		}
		e.opened++
	}
	if e.upload == nil {
		e.upload, err = try(func() (storage.Upload, error) {
			return d.BeginParts(ctx, e.state, storage.Growing{Name: e.delivery.Main, ContentType: "video/mp4"})
		})
		if err != nil {
			return err
		}
	}
	for n := 2; n <= e.parts()+1; n++ { // the first one last
		number := (n-1)%e.parts() + 1
		if _, sent := e.receipts[number]; sent {
			continue
		}
		r, err := try(func() (storage.Receipt, error) { return d.PutPart(ctx, e.state, e.upload, e.piece(number)) })
		if err != nil {
			return err
		}
		e.receipts[number] = r
	}
	if !e.finished {
		var all []storage.Receipt
		for _, r := range e.receipts {
			all = append(all, r)
		}
		_, err := try(func() (struct{}, error) { return struct{}{}, d.FinishParts(ctx, e.state, e.upload, all) })
		if errors.Is(err, status.FailedPrecondition) || errors.Is(err, status.NotFound) {
			// The store may have the file already: it is asked.
			if _, asked := d.Commit(ctx, e.state); asked == nil {
				err = nil
			}
		}
		if err != nil {
			return err
		}
		e.finished = true
	}
	l, err := try(func() (storage.Location, error) { return d.Commit(ctx, e.state) })
	if err == nil {
		e.location = &l
	}
	return err
}

func try[T any](do func() (T, error)) (v T, err error) {
	for range again {
		if v, err = do(); !status.Retryable(err) || errors.Is(err, errCrash) {
			return v, err
		}
	}
	return v, err
}

// wantOneMedia looks at what VOD has: one media, of the file's bytes, and told as it is.
func (e *engine) wantOneMedia(t *testing.T, svc *service) fakevod.Media {
	t.Helper()
	all := svc.vod.Media()
	if len(all) != 1 {
		t.Fatalf("VOD has %d media: %v", len(all), all)
	}
	m := all[0]
	o, ok := svc.cos.Object(m.Bucket, strings.TrimPrefix(m.Path, "/"))
	if !ok || !bytes.Equal(o.Content, e.content) {
		t.Fatalf("%v: its object has %d bytes that are not the %d of the file", m, len(o.Content), len(e.content))
	}
	want := storage.Location{
		ID: m.FileID, Name: e.delivery.Main, URL: "http://media.example.com" + m.Path, Size: int64(len(e.content)),
		Checksum: formatCRC(o.CRC64),
	}
	if e.location == nil || *e.location != want {
		t.Fatalf("the location is %+v, want %+v", e.location, want)
	}
	if m.SubAppID != testSubApp || m.Region != "ap-shanghai" || m.Type != "mp4" || m.Name != "lesson" {
		t.Errorf("the media is %+v", m)
	}
	return m
}

// sent counts the bytes of media that reached the store.
func (s *service) sent() (n int64) {
	for _, r := range s.cos.Requests(cos.PutObject, cos.UploadPart) {
		n += r.Received
	}
	return n
}

var errCrash = errors.New("the process died")

// crashing is a plugin that dies at one of its calls: before the call was made, or when its answer was on the way.
type crashing struct {
	storage.Driver
	at    int // which call, from 0
	after bool
	calls int
}

func crash[T any](c *crashing, do func() (T, error)) (T, error) {
	var none T
	now := c.calls == c.at
	c.calls++
	if !now {
		return do()
	}
	if c.after {
		if v, err := do(); err != nil {
			return v, err
		}
	}
	return none, errCrash
}

func (c *crashing) Open(ctx context.Context, d storage.Delivery) (storage.State, error) {
	return crash(c, func() (storage.State, error) { return c.Driver.Open(ctx, d) })
}

func (c *crashing) BeginParts(ctx context.Context, s storage.State, g storage.Growing) (storage.Upload, error) {
	return crash(c, func() (storage.Upload, error) { return c.Driver.BeginParts(ctx, s, g) })
}

func (c *crashing) PutPart(ctx context.Context, s storage.State, u storage.Upload, p storage.Part) (storage.Receipt, error) {
	return crash(c, func() (storage.Receipt, error) { return c.Driver.PutPart(ctx, s, u, p) })
}

func (c *crashing) FinishParts(ctx context.Context, s storage.State, u storage.Upload, r []storage.Receipt) error {
	_, err := crash(c, func() (struct{}, error) { return struct{}{}, c.Driver.FinishParts(ctx, s, u, r) })
	return err
}

func (c *crashing) Commit(ctx context.Context, s storage.State) (storage.Location, error) {
	return crash(c, func() (storage.Location, error) { return c.Driver.Commit(ctx, s) })
}
