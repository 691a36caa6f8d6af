package hls

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/recordhost/recordhost/internal/deliver"
	"github.com/recordhost/recordhost/internal/mp4"
	"github.com/recordhost/recordhost/internal/spool"
	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

const (
	segmentType  = "video/mp2t"                    // RFC 3555
	playlistType = "application/vnd.apple.mpegurl" // RFC 8216, 10
)

// Cargo is a recording that is brought to the targets as segments and a playlist. Each segment is sent when it is whole, and
// then the playlist that names it, in place of the last one: so a player never sees a segment named that is not there.
// When the recording has ended there is one segment left, and the playlist that says so.
type Cargo struct {
	Options Options // but for Playlist, which is each delivery's main file

	// Dir takes a file where the spool's own directory takes nothing more; empty: no other is tried. Files lie there, and in
	// the spool, while they are being sent.
	Dir string
}

var _ deliver.Cargo = Cargo{}

// Carry implements deliver.Cargo.
func (c Cargo) Carry(ctx context.Context, l *deliver.Leg) error {
	if !l.Capabilities().Folders {
		return status.Errorf(status.InvalidArgument, "hls: this store takes one file of a recording, and not a playlist with its segments")
	}
	o := c.Options
	o.Playlist = l.Delivery().Main
	stream, err := New(o)
	if err != nil {
		return err
	}
	v := &voyage{cargo: c, leg: l, stream: stream, sent: map[int]spool.Part{}}
	_, parts := l.Sent()
	for _, p := range parts {
		v.sent[p.Number] = p
	}
	if err := v.follow(ctx); err != nil {
		return err
	}
	return v.finish(ctx)
}

// Confirm implements deliver.Cargo: the store must have as many bytes as were sent, and the last playlist.
func (c Cargo) Confirm(_ context.Context, l *deliver.Leg, at storage.Location) error {
	var size int64
	var last proof
	_, parts := l.Sent()
	for _, p := range parts {
		size += p.Length
		if err := json.Unmarshal(p.Note, &last); err != nil {
			return fmt.Errorf("hls: the spool's journal: %w", err)
		}
	}
	if at.Size != size {
		return status.Errorf(status.DataLoss, "the store has %d bytes of %d", at.Size, size)
	}
	return last.Playlist.Match(at.Checksum)
}

// voyage is one Carry of a Cargo.
type voyage struct {
	cargo  Cargo
	leg    *deliver.Leg
	stream *Stream
	walk   mp4.Walk
	sent   map[int]spool.Part // what the store has, by number: segments from 1 on, behind them the last playlist
}

// proof is what the journal keeps of a file that the store has.
type proof struct {
	Name     string            `json:"name"`
	Playlist deliver.Checksums `json:"playlist,omitempty"` // of the last one
}

// follow sends segments as they become whole, until the recording is.
func (v *voyage) follow(ctx context.Context) error {
	for {
		_, more := v.leg.Spool().Media()
		g, ok, err := v.leg.Spool().Group(&v.walk)
		if err != nil && v.isWhole() {
			return fmt.Errorf("hls: %w", err)
		}
		if err != nil {
			v.leg.Log().Warn("a segment has to wait", "err", err)
		}
		if ok {
			if err := v.segment(ctx, g); err != nil {
				return err
			}
			continue
		}
		if v.isWhole() {
			return nil
		}
		select {
		case <-more:
		case <-v.leg.Whole():
		case <-ctx.Done():
			return fmt.Errorf("hls: wait for more: %w", context.Cause(ctx))
		}
	}
}

func (v *voyage) isWhole() bool {
	select {
	case <-v.leg.Whole():
		return true
	default:
		return false
	}
}

// finish sends what is left once the recording is whole.
func (v *voyage) finish(ctx context.Context) error {
	g, ok, err := v.leg.Spool().Rest(&v.walk)
	if err != nil {
		return fmt.Errorf("hls: %w", err)
	}
	if ok {
		if err := v.segment(ctx, g); err != nil {
			return err
		}
	}
	text, err := v.playlist(ctx, true)
	if err != nil {
		return err
	}
	return v.confirmed(v.stream.Segments()+1, int64(len(text)), proof{Name: v.leg.Delivery().Main, Playlist: deliver.ChecksumsOf(text)})
}

// segment sends a segment that the store does not have yet, and the playlist that names it.
func (v *voyage) segment(ctx context.Context, g mp4.Group) error {
	s, err := v.stream.Add(g)
	if err != nil {
		return err
	}
	if known, sent := v.sent[s.Number+1]; sent {
		var p proof
		if err := json.Unmarshal(known.Note, &p); err != nil || p.Name != s.Name || known.Length != s.Size {
			return v.leg.Anew(fmt.Errorf("what was sent as segment %d is not one of this recording", s.Number))
		}
		return nil
	}
	if err := v.put(ctx, storage.File{Name: s.Name, Size: s.Size, ContentType: segmentType}, s.Write); err != nil {
		return err
	}
	if err := v.confirmed(s.Number+1, s.Size, proof{Name: s.Name}); err != nil {
		return err
	}
	if v.isWhole() { // the last playlist will follow soon
		return nil
	}
	_, err = v.playlist(ctx, false)
	return err
}

// confirmed journals what the store has; what it had already is in the journal.
func (v *voyage) confirmed(number int, size int64, p proof) error {
	if _, known := v.sent[number]; known {
		return nil
	}
	note, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("hls: %w", err)
	}
	offset := v.stream.Bytes()
	if p.Playlist == nil {
		offset -= size
	}
	return v.leg.Confirmed(spool.Part{Number: number, Offset: offset, Length: size, Note: note})
}

// playlist sends the playlist as it is now.
func (v *voyage) playlist(ctx context.Context, ended bool) ([]byte, error) {
	text := v.stream.Playlist(calendar(v.leg.Spool().Facts()), ended)
	f := storage.File{Name: v.leg.Delivery().Main, Size: int64(len(text)), ContentType: playlistType}
	return text, v.put(ctx, f, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// put writes a file, sends it, and removes it.
func (v *voyage) put(ctx context.Context, f storage.File, write func(io.Writer) error) error {
	path, sum, err := v.file(write)
	if err != nil {
		return err
	}
	defer func() {
		if err := os.Remove(path); err != nil {
			v.leg.Log().Warn("a file that was sent is not removed", "path", path, "err", err)
		}
	}()
	f.Path, f.SHA256 = path, sum
	_, err = deliver.Do(ctx, v.leg, "store "+f.Name, f.Size, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, v.leg.Driver().Put(ctx, v.leg.State(), f)
	})
	if errors.Is(err, status.FailedPrecondition) { // the delivery was open, and is not any more
		return v.leg.Anew(err)
	}
	return err
}

// file makes a file of what write writes, in the spool or, where that takes nothing more, in the other directory.
func (v *voyage) file(write func(io.Writer) error) (path string, sum []byte, err error) {
	path, sum, err = makeFile(v.leg.Spool().Dir(), write)
	if err != nil && v.cargo.Dir != "" {
		v.leg.Log().Warn("the spool takes nothing more; what is to be sent is kept elsewhere", "err", err)
		path, sum, err = makeFile(v.cargo.Dir, write)
	}
	return path, sum, err
}

func makeFile(dir string, write func(io.Writer) error) (path string, sum []byte, err error) {
	file, err := os.CreateTemp(dir, "hls-*"+spool.Derived)
	if err != nil {
		return "", nil, fmt.Errorf("hls: %w", err)
	}
	h := sha256.New()
	to := bufio.NewWriterSize(io.MultiWriter(file, h), 64<<10) // it is written in small pieces
	if err = errors.Join(write(to), to.Flush(), file.Close()); err != nil {
		return "", nil, errors.Join(err, os.Remove(file.Name()))
	}
	return file.Name(), h.Sum(nil), nil
}

// calendar reads off the spool when recorded time went on, and where something is missing.
func calendar(f spool.Facts) Calendar {
	var c Calendar
	for _, g := range f.Gaps {
		c.Gaps = append(c.Gaps, g.At)
	}
	lost := false
	for _, m := range f.Marks {
		switch m.Kind {
		case spool.MarkLost:
			lost = true
		case spool.MarkRuns:
			if lost {
				c.Gaps = append(c.Gaps, m.At)
			}
			lost = false
			// What an earlier worker has noted and not brought to the disk did not happen.
			for n := len(c.Moments); n > 0 && c.Moments[n-1].At >= m.At; n-- {
				c.Moments = c.Moments[:n-1]
			}
			c.Moments = append(c.Moments, Moment{At: m.At, Time: m.Time})
		case spool.MarkPaused, spool.MarkOver:
		}
	}
	return c
}
