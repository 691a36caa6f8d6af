package screen

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"
)

// careful is a viewer that holds what it is shown against what it was promised.
type careful struct{ t *testing.T }

func (v careful) Frame(_ time.Time, f *Frame) {
	if f.Width < 1 || f.Height < 1 || f.Stride < 4*f.Width || len(f.Pix) < f.Stride*(f.Height-1)+4*f.Width || len(f.Damage) == 0 {
		v.t.Errorf("frame %d×%d, stride %d, in %d bytes, damage %v", f.Width, f.Height, f.Stride, len(f.Pix), f.Damage)
	}
	for _, d := range f.Damage {
		if d.X0 < 0 || d.Y0 < 0 || d.X1 > f.Width || d.Y1 > f.Height || d.X0 >= d.X1 || d.Y0 >= d.Y1 {
			v.t.Errorf("damage %v in a picture of %d×%d", d, f.Width, f.Height)
		}
	}
	sum := byte(0)
	for _, b := range f.Pix {
		sum += b
	}
	_ = sum
}

// Whatever a client with a window sends, the viewer sees pictures that are whole, and the next client is served. The window
// has the ids that open gives: 7 is its surface, 10 the pool, 11 the buffer; 12 and what follows are free.
func FuzzRequests(f *testing.F) {
	join := func(messages ...message) (all []byte) {
		for _, m := range messages {
			all = append(all, m.finish()...)
		}
		return all
	}
	attach, damage, commit := event(7, 1).uint(11).int(0).int(0), event(7, 9).int(-3).int(2).int(9).int(900), event(7, 6)
	for _, seed := range [][]byte{
		join(attach, damage, commit),
		join(event(7, 3).uint(12), event(6, 1).uint(7).uint(13), attach, damage, commit, commit),
		join(event(10, 0).uint(12).int(8).int(4).int(4).int(16).uint(formatXRGB), event(7, 1).uint(12).int(0).int(0), damage, commit),
		join(event(10, 0).uint(12).int(1 << 30).int(64).int(48).int(256).uint(0)), join(event(10, 2).int(1 << 30)),
		join(event(10, 1), event(11, 0), attach, commit), join(attach, event(11, 0), damage, commit),
		join(event(3, 0).uint(12), event(5, 2).uint(13).uint(12), event(13, 1).uint(14), event(7, 0), commit),
		join(event(2, 0).uint(1).text("wl_compositor").uint(4).uint(12)), join(event(2, 0).uint(1).uint(1 << 31).uint(0)),
		join(event(1, 0).uint(12), event(1, 1).uint(13), event(9, 0), event(8, 0), event(7, 0)),
		{7, 0, 0, 0, 6, 0, 4, 0}, {7, 0, 0, 0, 6, 0, 255, 255},
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Listen(Config{
			Socket: filepath.Join(t.TempDir(), "w"), Width: 64, Height: 48, Refresh: 30, Log: slog.New(slog.DiscardHandler),
		}, careful{t})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		w := open(t, s)
		_, _ = w.conn.Write(data) // the server may hang up before it has read all
		_ = w.conn.CloseWrite()
		s.Tick(time.Now())
		w.closed()
		next := open(t, s)
		next.commit(0, 0, 64, 48)
		next.event(next.buffer, bufferRelease)
	})
}
