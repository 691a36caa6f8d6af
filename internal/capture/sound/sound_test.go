package sound

import (
	"encoding/binary"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T) (*Server, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "p")
	s, err := Listen(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, path
}

// app is a PulseAudio client as small as a test needs.
type app struct {
	t    *testing.T
	conn net.Conn
	tag  uint32
}

func dial(t *testing.T, path string) *app {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &app{t: t, conn: c}
}

func (a *app) write(channel uint32, body []byte) {
	a.t.Helper()
	header := make([]byte, headerSize)
	binary.BigEndian.PutUint32(header, uint32(len(body)))
	binary.BigEndian.PutUint32(header[4:], channel)
	if _, err := a.conn.Write(append(header, body...)); err != nil {
		a.t.Fatal(err)
	}
}

// next reads one control packet.
func (a *app) next() (command, tag uint32, r *reader) {
	a.t.Helper()
	_ = a.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	header := make([]byte, headerSize)
	if _, err := io.ReadFull(a.conn, header); err != nil {
		a.t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint32(header))
	if _, err := io.ReadFull(a.conn, body); err != nil {
		a.t.Fatal(err)
	}
	r = &reader{b: body}
	return r.u32(), r.u32(), r
}

// ask sends a request and answers what came of it, passing over requests for samples.
func (a *app) ask(command uint32, build func(p packet) packet) (uint32, *reader) {
	a.t.Helper()
	a.tag++
	a.write(control, build(packet(nil).u32(command).u32(a.tag)))
	for {
		c, tag, r := a.next()
		if tag == a.tag {
			return c, r
		}
	}
}

// play makes a stream.
func (a *app) play(sp spec) (uint32, *reader) {
	return a.ask(commandCreatePlaybackStream, func(p packet) packet {
		return p.spec(sp).channelMap(sp.channels).u32(invalidIndex).text("").u32(invalidIndex).flag(false).
			u32(12288).u32(invalidIndex).u32(2048).u32(0).volume(sp.channels)
	})
}

func floats(n int, f func(i int) float32) []byte {
	b := make([]byte, 4*n)
	for i := range n {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(f(i)))
	}
	return b
}

// settle waits until the server has taken what was written: a request is answered after it.
func (a *app) settle() {
	a.ask(commandGetServerInfo, func(p packet) packet { return p })
}

// TestPlayback follows samples from a client to the clock, and the server's requests for more.
func TestPlayback(t *testing.T) {
	s, path := serve(t)
	a := dial(t, path)
	if c, r := a.ask(commandAuth, func(p packet) packet { return p.u32(35) }); c != commandReply || r.u32() != protocolVersion {
		t.Fatal("the version was not agreed on")
	}
	c, r := a.play(spec{formatFloat32, 2, Rate})
	if c != commandReply {
		t.Fatal("no stream")
	}
	stream, _, wanted := r.u32(), r.u32(), r.u32()
	if wanted != targetFrames*8 {
		t.Errorf("%d bytes wanted at first", wanted)
	}
	a.write(stream, floats(targetFrames*2, func(i int) float32 { return float32(i%7) / 8 }))
	a.settle()

	out := make([]float32, 2*480)
	s.Pull(time.Now(), out)
	for i, v := range out {
		if v != float32(i%7)/8 {
			t.Fatalf("sample %d is %v", i, v)
		}
	}
	command, _, r := a.next()
	if command != commandRequest || r.u32() != stream || r.u32() != 480*8 {
		t.Error("the server does not ask for what it took")
	}

	// What was heard follows the clock between two pulls, and is never ahead of what was written.
	c, r = a.ask(commandGetPlaybackLatency, func(p packet) packet {
		return append(append(p.u32(stream), tagTimeval), 0, 0, 0, 0, 0, 0, 0, 0)
	})
	r.take(8, tagUsec)
	r.take(8, tagUsec)
	playing := r.flag()
	r.timeval()
	r.timeval()
	written := binary.BigEndian.Uint64(r.take(8, tagS64))
	heard := binary.BigEndian.Uint64(r.take(8, tagS64))
	if c != commandReply || !playing || written != targetFrames*8 || heard < 480*8 || heard > written || r.err != nil {
		t.Errorf("playing %v, written %d, heard %d, err %v", playing, written, heard, r.err)
	}
}

// TestMix adds streams of different formats; one that has run dry is silent, one that is corked keeps its samples.
func TestMix(t *testing.T) {
	s, path := serve(t)
	a := dial(t, path)
	_, r := a.play(spec{formatFloat32, 2, Rate})
	stereo := r.u32()
	_, r = a.play(spec{formatS16LE, 1, Rate})
	mono := r.u32()
	a.write(stereo, floats(200, func(i int) float32 { return 0.25 }))
	b := make([]byte, 2*50)
	for i := range 50 {
		binary.LittleEndian.PutUint16(b[2*i:], 0x4000)
	}
	a.write(mono, b)
	a.settle()

	out := make([]float32, 2*120)
	s.Pull(time.Now(), out)
	for i, v := range out {
		want := float32(0)
		if i < 2*50 {
			want = 0.75
		} else if i < 2*100 {
			want = 0.25
		}
		if v != want {
			t.Fatalf("sample %d is %v, want %v", i, v, want)
		}
	}

	a.write(stereo, floats(200, func(i int) float32 { return 0.5 }))
	a.ask(commandCork, func(p packet) packet { return p.u32(stereo).flag(true) })
	s.Pull(time.Now(), out)
	if out[0] != 0 {
		t.Error("a corked stream is heard")
	}
	a.ask(commandCork, func(p packet) packet { return p.u32(stereo).flag(false) })
	s.Pull(time.Now(), out)
	if out[0] != 0.5 {
		t.Error("a corked stream has lost its samples")
	}
	a.write(stereo, floats(200, func(i int) float32 { return float32(math.NaN()) }))
	a.settle()
	s.Pull(time.Now(), out)
	if out[0] != 0 {
		t.Error("NaN is let through")
	}
}

// TestDrain answers a drain when the last sample was heard.
func TestDrain(t *testing.T) {
	s, path := serve(t)
	a := dial(t, path)
	_, r := a.play(spec{formatFloat32, 2, Rate})
	stream := r.u32()
	a.write(stream, floats(2*100, func(int) float32 { return 1 }))
	a.tag++
	a.write(control, packet(nil).u32(commandDrain).u32(a.tag).u32(stream))
	drain := a.tag
	a.settle()
	out := make([]float32, 2*60)
	for range 3 {
		s.Pull(time.Now(), out)
	}
	for {
		if c, tag, _ := a.next(); c == commandReply && tag == drain {
			return
		}
	}
}

// TestLoud: what a page can compute but no card can play reaches the recording as what can be played. The encoder ends at
// a single value that is not finite.
func TestLoud(t *testing.T) {
	s, path := serve(t)
	a := dial(t, path)
	_, r := a.play(spec{formatFloat32, 2, Rate})
	loud := []float32{float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), math.MaxFloat32, 0.5, -1}
	a.write(r.u32(), floats(len(loud), func(i int) float32 { return loud[i] }))
	a.settle()
	out := make([]float32, len(loud))
	s.Pull(time.Now(), out)
	if want := []float32{1, -1, 0, 1, 0.5, -1}; !slices.Equal(out, want) {
		t.Errorf("heard %v, want %v", out, want)
	}
}

// TestManyStreams: the number of streams is limited over all clients.
func TestManyStreams(t *testing.T) {
	_, path := serve(t)
	var granted int
	for range 4 {
		a := dial(t, path)
		for range maxStreams / 2 {
			if c, _ := a.play(spec{formatFloat32, 2, Rate}); c == commandReply {
				granted++
			}
		}
	}
	if granted != maxStreams {
		t.Errorf("%d streams were granted", granted)
	}
}

// TestRefused: formats that were not offered, streams that do not exist.
func TestRefused(t *testing.T) {
	_, path := serve(t)
	a := dial(t, path)
	for _, sp := range []spec{{formatFloat32, 2, 44100}, {9, 2, Rate}, {formatFloat32, 9, Rate}, {formatFloat32, 0, Rate}} {
		if c, _ := a.play(sp); c != commandError {
			t.Errorf("a stream of %v was granted", sp)
		}
	}
	if c, _ := a.ask(commandCork, func(p packet) packet { return p.u32(77).flag(true) }); c != commandError {
		t.Error("a stream that does not exist was corked")
	}
}

// TestNoise feeds random packets; the server must only live, and serve the next client.
func TestNoise(t *testing.T) {
	s, path := serve(t)
	rng := rand.New(rand.NewPCG(1, 9))
	for range 300 {
		a := dial(t, path)
		_, r := a.play(spec{formatFloat32, 2, Rate})
		stream := r.u32()
		for range 20 {
			p := packet(nil).u32(uint32(rng.IntN(90))).u32(rng.Uint32())
			for range rng.IntN(5) {
				switch rng.IntN(3) {
				case 0:
					p = p.u32(stream)
				case 1:
					p = append(p, byte(rng.IntN(256)), byte(rng.IntN(256)))
				case 2:
					p = p.text("x")
				}
			}
			header := make([]byte, headerSize)
			binary.BigEndian.PutUint32(header, uint32(len(p)))
			binary.BigEndian.PutUint32(header[4:], []uint32{control, stream, rng.Uint32()}[rng.IntN(3)])
			if _, err := a.conn.Write(append(header, p...)); err != nil {
				break
			}
		}
		s.Pull(time.Now(), make([]float32, 960))
		_ = a.conn.Close()
	}
	a := dial(t, path)
	if c, _ := a.play(spec{formatFloat32, 2, Rate}); c != commandReply {
		t.Error("no stream after the noise")
	}
}
