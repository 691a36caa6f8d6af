package screen

import (
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// seen keeps what a viewer was shown.
type seen struct {
	frames chan Frame
	first  chan byte
	touch  bool // read every byte of the picture
}

func (s *seen) Frame(_ time.Time, f *Frame) {
	b := f.Pix[0]
	if s.touch {
		for i := range f.Pix {
			b += f.Pix[i]
		}
	}
	s.first <- b
	s.frames <- *f
}

func serve(t *testing.T) (*Server, *seen) {
	t.Helper()
	v := &seen{frames: make(chan Frame, 16), first: make(chan byte, 16)}
	s, err := Listen(Config{
		Socket: filepath.Join(t.TempDir(), "w"), Width: 64, Height: 48, Refresh: 30, Log: slog.New(slog.DiscardHandler),
	}, v)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, v
}

// app is a Wayland client as small as a test needs.
type app struct {
	t    *testing.T
	conn *net.UnixConn
	next uint32
}

func dial(t *testing.T, s *Server) *app {
	t.Helper()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: s.cfg.Socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &app{t: t, conn: c, next: 2}
}

// id answers a new object's id.
func (a *app) id() uint32 { a.next++; return a.next - 1 }

// send writes a request, with a descriptor when fd is not negative.
func (a *app) send(m message, fd int) {
	a.t.Helper()
	var oob []byte
	if fd >= 0 {
		oob = unix.UnixRights(fd)
	}
	if _, _, err := a.conn.WriteMsgUnix(m.finish(), oob, nil); err != nil {
		a.t.Fatal(err)
	}
}

// event reads events until one of this object and opcode comes, and answers its arguments.
func (a *app) event(object uint32, opcode uint16) *reader {
	a.t.Helper()
	_ = a.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	for {
		header := make([]byte, 8)
		if _, err := io.ReadFull(a.conn, header); err != nil {
			a.t.Fatalf("waiting for event %d of object %d: %v", opcode, object, err)
		}
		body := make([]byte, binary.LittleEndian.Uint16(header[6:])-8)
		if _, err := io.ReadFull(a.conn, body); err != nil {
			a.t.Fatal(err)
		}
		if binary.LittleEndian.Uint32(header) == object && binary.LittleEndian.Uint16(header[4:]) == opcode {
			return &reader{b: body}
		}
	}
}

// closed waits for the server to disconnect the client.
func (a *app) closed() {
	a.t.Helper()
	_ = a.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.Copy(io.Discard, a.conn); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			a.t.Fatal("the client was not disconnected")
		}
	}
}

// bind binds a global by its name.
func (a *app) bind(registry uint32, name string) uint32 {
	a.t.Helper()
	for i, g := range globals() {
		if g.name == name {
			id := a.id()
			a.send(event(registry, 0).uint(uint32(i+1)).text(name).uint(g.version).uint(id), -1)
			return id
		}
	}
	a.t.Fatalf("no global %s", name)
	return 0
}

// window is a client with a window of one buffer.
type window struct {
	*app
	surface, toplevel, buffer, presentation uint32
	memory                                  int
	pix                                     []byte
}

func open(t *testing.T, s *Server) *window {
	t.Helper()
	w := &window{app: dial(t, s)}
	registry := w.id()
	w.send(event(displayID, 1).uint(registry), -1)
	compositor, shm, shell := w.bind(registry, "wl_compositor"), w.bind(registry, "wl_shm"), w.bind(registry, "xdg_wm_base")
	w.presentation = w.bind(registry, "wp_presentation")
	w.surface = w.id()
	w.send(event(compositor, 0).uint(w.surface), -1)
	xdg := w.id()
	w.send(event(shell, 2).uint(xdg).uint(w.surface), -1)
	w.toplevel = w.id()
	w.send(event(xdg, 1).uint(w.toplevel), -1)

	const size = 64 * 48 * 4
	fd, err := unix.MemfdCreate("test", 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Ftruncate(fd, size); err != nil {
		t.Fatal(err)
	}
	if w.pix, err = unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(w.pix) })
	w.memory = fd
	pool := w.id()
	w.send(event(shm, 0).uint(pool).int(size), fd)
	w.buffer = w.id()
	w.send(event(pool, 0).uint(w.buffer).int(0).int(64).int(48).int(256).uint(formatXRGB), -1)
	return w
}

// commit shows the buffer with one damaged rectangle.
func (w *window) commit(x, y, width, height int) {
	w.send(event(w.surface, 1).uint(w.buffer).int(0).int(0), -1)
	w.send(event(w.surface, 9).int(x).int(y).int(width).int(height), -1)
	w.send(event(w.surface, 6), -1)
}

func wait[T any](t *testing.T, c chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// TestPicture follows a picture from a client's memory to the viewer, and the answers that pace the client.
func TestPicture(t *testing.T) {
	s, v := serve(t)
	w := open(t, s)
	size := w.event(w.toplevel, xdgToplevelConfigure)
	if width, height := size.int(), size.int(); width != 64 || height != 48 {
		t.Errorf("the window was told %d×%d", width, height)
	}
	w.pix[0] = 77
	callback, feedback := w.id(), w.id()
	w.send(event(w.surface, 3).uint(callback), -1)
	w.send(event(w.presentation, 1).uint(w.surface).uint(feedback), -1)
	w.commit(-5, -5, 10, 1000)
	f := wait(t, v.frames)
	if f.Width != 64 || f.Height != 48 || f.Stride != 256 || len(f.Damage) != 1 || f.Damage[0] != (Rect{0, 0, 5, 48}) {
		t.Errorf("frame %d×%d, stride %d, damage %v", f.Width, f.Height, f.Stride, f.Damage)
	}
	if first := wait(t, v.first); first != 77 {
		t.Errorf("first byte %d", first)
	}
	w.event(w.buffer, bufferRelease)
	w.event(callback, callbackDone) // before any tick

	at := time.Now()
	s.Tick(at)
	p := w.event(feedback, feedbackPresented)
	hi, lo, nsec, refresh := p.uint(), p.uint(), p.uint(), p.uint()
	shown := time.Duration(uint64(hi)<<32|uint64(lo))*time.Second + time.Duration(nsec)
	if d := (shown - monotonic(at)).Abs(); d > 50*time.Microsecond || refresh != 1_000_000_000/30 {
		t.Errorf("presented %v from the tick, refresh %d ns", d, refresh)
	}
}

// TestOnlyThePage checks that further windows are never looked at, and that popups are dismissed.
func TestOnlyThePage(t *testing.T) {
	s, v := serve(t)
	page := open(t, s)
	page.commit(0, 0, 64, 48)
	wait(t, v.frames)

	registry := page.id()
	page.send(event(displayID, 1).uint(registry), -1)
	compositor, shell := page.bind(registry, "wl_compositor"), page.bind(registry, "xdg_wm_base")
	second, xdg, toplevel := page.id(), page.id(), page.id()
	page.send(event(compositor, 0).uint(second), -1)
	page.send(event(shell, 2).uint(xdg).uint(second), -1)
	page.send(event(xdg, 1).uint(toplevel), -1)
	page.send(event(second, 1).uint(page.buffer).int(0).int(0), -1)
	page.send(event(second, 9).int(0).int(0).int(64).int(48), -1)
	page.send(event(second, 6), -1)

	third, xdg, popup, positioner := page.id(), page.id(), page.id(), page.id()
	page.send(event(compositor, 0).uint(third), -1)
	page.send(event(shell, 2).uint(xdg).uint(third), -1)
	page.send(event(shell, 1).uint(positioner), -1)
	page.send(event(xdg, 2).uint(popup).uint(0).uint(positioner), -1)
	page.event(popup, xdgPopupDone)
	if len(v.frames) != 0 {
		t.Error("a second window was recorded")
	}
}

// TestMemoryTakenAway: a client cuts its shared memory while it is being read. The picture is lost, the server is not.
func TestMemoryTakenAway(t *testing.T) {
	s, v := serve(t)
	v.touch = true
	w := open(t, s)
	if err := unix.Ftruncate(w.memory, 0); err != nil {
		t.Fatal(err)
	}
	w.commit(0, 0, 64, 48)
	w.event(w.buffer, bufferRelease)
	if err := unix.Ftruncate(w.memory, 64*48*4); err != nil {
		t.Fatal(err)
	}
	w.commit(0, 0, 64, 48)
	wait(t, v.frames)
}

// TestOverlappingDamage: no commit costs more than one whole picture, however often it names the same pixels.
func TestOverlappingDamage(t *testing.T) {
	s, v := serve(t)
	w := open(t, s)
	for range maxDamage - 1 {
		w.send(event(w.surface, 9).int(0).int(0).int(64).int(48), -1)
	}
	w.commit(0, 0, 1, 1)
	if f := wait(t, v.frames); len(f.Damage) != 1 || f.Damage[0] != (Rect{0, 0, 64, 48}) {
		t.Errorf("damage %v", f.Damage)
	}
}

// TestNothingKept: a client that is disconnected for taking an id twice leaves no descriptor and no mapping behind.
func TestNothingKept(t *testing.T) {
	for name, breakIt := range map[string]func(w *window){
		"pool":   func(w *window) { w.send(event(4, 0).uint(w.surface).int(4096), w.memory) },
		"buffer": func(w *window) { w.send(event(w.buffer-1, 0).uint(w.surface).int(0).int(1).int(1).int(4).uint(0), -1) },
	} {
		t.Run(name, func(t *testing.T) {
			s, v := serve(t)
			w := open(t, s)
			w.commit(0, 0, 64, 48)
			wait(t, v.frames)
			s.mu.Lock()
			var c *client
			for c = range s.clients {
			}
			s.mu.Unlock()
			breakIt(w)
			w.closed()
			s.Close() // waits for the client's end
			if c.shm != 0 || len(c.objects) != 0 {
				t.Errorf("%d bytes and %d objects left", c.shm, len(c.objects))
			}
		})
	}
}

// TestBrokenProtocol: whoever breaks the rules is disconnected, and the next client is served all the same.
func TestBrokenProtocol(t *testing.T) {
	for name, breakIt := range map[string]func(w *window){
		"unknown object": func(w *window) { w.send(event(4711, 0), -1) },
		"unknown request": func(w *window) {
			w.send(event(w.surface, 99), -1)
		},
		"short message":     func(w *window) { w.send(event(w.surface, 1), -1) },
		"taken id":          func(w *window) { w.send(event(displayID, 1).uint(w.surface), -1) },
		"size of 4 bytes":   func(w *window) { _, _ = w.conn.Write([]byte{1, 0, 0, 0, 0, 0, 4, 0}) },
		"buffer not there":  func(w *window) { w.send(event(w.surface, 1).uint(999).int(0).int(0), -1) },
		"string too long":   func(w *window) { w.send(event(2, 0).uint(1).uint(1<<30).uint(0), -1) },
		"missing memory fd": func(w *window) { w.send(event(4, 0).uint(w.id()).int(4096), -1) },
		"buffer outside of its pool": func(w *window) {
			w.send(event(w.buffer-1, 0).uint(w.id()).int(1<<30).int(64).int(48).int(256).uint(0), -1)
		},
		"negative buffer": func(w *window) {
			w.send(event(w.buffer-1, 0).uint(w.id()).int(0).int(-64).int(-48).int(256).uint(0), -1)
		},
		"too many objects": func(w *window) {
			for range maxObjects + 1 {
				m := event(3, 1).uint(w.id()).finish()
				if _, err := w.conn.Write(m); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, v := serve(t)
			bad := open(t, s)
			breakIt(bad)
			bad.closed()
			good := open(t, s)
			good.commit(0, 0, 64, 48)
			wait(t, v.frames)
		})
	}
}

// TestUnread: a client that does not read its events holds up nobody.
func TestUnread(t *testing.T) {
	s, _ := serve(t)
	w := open(t, s)
	for range 400_000 {
		m := event(displayID, 0).uint(w.next).finish() // sync: each is answered with two events
		if _, err := w.conn.Write(m); err != nil {
			break
		}
	}
	done := make(chan struct{})
	go func() { s.Tick(time.Now()); close(done) }()
	wait(t, done)
	w.closed()
}

// TestNoise feeds random requests of a random client; the server must only live.
func TestNoise(t *testing.T) {
	s, _ := serve(t)
	rng := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		w := open(t, s)
		for range 50 {
			m := event(uint32(rng.IntN(int(w.next)+2)), uint16(rng.IntN(12)))
			for range rng.IntN(8) {
				m = m.uint([]uint32{0, 1, w.id(), rng.Uint32(), uint32(rng.IntN(int(w.next)))}[rng.IntN(5)])
			}
			if _, err := w.conn.Write(m.finish()); err != nil {
				break
			}
		}
		s.Tick(time.Now())
		_ = w.conn.CloseWrite()
		w.closed()
	}
}
