package spool_test

import (
	"bytes"
	"io"
	"os"
	"testing"
	"time"

	"github.com/recordhost/recordhost/internal/spool"
)

// TestMediaOnlyGrows: what Media has told is a beginning of the file, whatever is cut or dies afterwards.
func TestMediaOnlyGrows(t *testing.T) {
	dir := t.TempDir()
	in, head, pieces := stream(t, 2, 10)
	s := open(t, dir)
	if n, _ := s.Media(); n != 0 {
		t.Errorf("%d bytes before the first", n)
	}
	fill(t, s, in, head, pieces, 0)
	var want int64
	for _, p := range pieces {
		want += p.f.Size - p.f.Payload
	}
	for {
		n, grown := s.Media()
		if n >= want {
			break
		}
		select {
		case <-grown:
		case <-time.After(time.Minute):
			t.Fatalf("%d bytes of %d are on the disk", n, want)
		}
	}
	told := read(t, s, want)
	must(t, s.Gap(time.Second, time.Second, "a test"))
	must(t, s.Close())

	s = open(t, dir)
	if n, _ := s.Media(); n != want {
		t.Errorf("%d bytes after the spool was opened again, %d before", n, want)
	}
	fill(t, s, in, head, pieces, time.Second)
	f, err := s.Finish(3*time.Second, dir)
	must(t, err)
	all, err := os.ReadFile(written(t, f))
	must(t, err)
	if !bytes.Equal(all[f.Head:f.Head+want], told) || !bytes.Equal(read(t, s, want), told) {
		t.Error("what was told is not in the file")
	}
}

// read reads the first bytes of the media data, in two pieces.
func read(t *testing.T, s *spool.Spool, n int64) []byte {
	t.Helper()
	var all []byte
	for _, x := range [][2]int64{{0, n / 3}, {n / 3, n - n/3}} {
		r := s.MediaExtents(x[0], x[1]).Open()
		defer r.Close()
		data, err := io.ReadAll(r)
		if err != nil || int64(len(data)) != x[1] {
			t.Fatalf("%d bytes of %d: %v", len(data), x[1], err)
		}
		all = append(all, data...)
	}
	return all
}

// TestPartsAreRemembered by whoever opens the spool next, up to the delivery that is begun anew.
func TestPartsAreRemembered(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, s.SetDelivery("cos", spool.Delivery{Phase: "open", State: []byte("s"), Upload: []byte("u")}))
	for n := range 3 {
		must(t, s.AddPart("cos", spool.Part{Number: n + 2, Offset: int64(n), Length: 1, Note: []byte(`{"a":1}`)}))
	}
	must(t, s.AddPart("other", spool.Part{Number: 9}))
	for range 2 {
		d := s.Facts().Deliveries["cos"]
		if len(d.Parts) != 3 || string(d.Upload) != "u" {
			t.Fatalf("%+v", d)
		}
		if p := d.Parts[2]; p.Number != 4 || p.Offset != 2 || string(p.Note) != `{"a":1}` {
			t.Errorf("%+v", d)
		}
		must(t, s.Close())
		s = open(t, dir)
	}
	must(t, s.SetDelivery("cos", spool.Delivery{Phase: "open", State: []byte("t")}))
	must(t, s.Close())
	if d := open(t, dir).Facts().Deliveries["cos"]; len(d.Parts) != 0 || string(d.State) != "t" || d.Upload != nil {
		t.Errorf("begun anew: %+v", d)
	}
}
