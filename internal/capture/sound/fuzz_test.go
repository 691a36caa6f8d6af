package sound

import (
	"encoding/binary"
	"testing"
	"time"
)

// framed is a packet as it stands on the wire.
func framed(channel uint32, body []byte) []byte {
	header := make([]byte, headerSize)
	binary.BigEndian.PutUint32(header, uint32(len(body)))
	binary.BigEndian.PutUint32(header[4:], channel)
	return append(header, body...)
}

// Whatever a client that plays sends, what is heard can be played, and the next client is served. Its one stream has the
// number 0.
func FuzzPackets(f *testing.F) {
	ask := func(command uint32) packet { return packet(nil).u32(command).u32(7) }
	create := func(s spec) packet {
		return ask(commandCreatePlaybackStream).spec(s).channelMap(s.channels).u32(invalidIndex).text("").u32(invalidIndex).flag(false).
			u32(12288).u32(invalidIndex).u32(2048).u32(0).volume(s.channels)
	}
	latency := append(append(ask(commandGetPlaybackLatency).u32(0), tagTimeval), make([]byte, 8)...)
	for _, seed := range [][]byte{
		framed(0, floats(100, func(i int) float32 { return float32(i) })),
		framed(0, []byte{1, 2, 3}), framed(9, []byte{1}), framed(control, nil),
		framed(control, create(spec{formatS16LE, 1, Rate})), framed(control, create(spec{formatFloat32, 200, Rate})),
		framed(control, latency), framed(control, ask(commandDrain).u32(0)), framed(control, ask(commandCork).u32(0).flag(true)),
		framed(control, ask(commandDeletePlaybackStream).u32(0)), framed(control, ask(commandFlush).u32(1)),
		framed(control, append(ask(commandSetClientName), tagString, 'x')), framed(control, ask(commandGetServerInfo)),
		{0xff, 0xff, 0xff, 0xff},
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, path := serve(t)
		a := dial(t, path)
		a.play(spec{formatFloat32, 2, Rate})
		_, _ = a.conn.Write(data) // the server may hang up before it has read all
		out := make([]float32, 2*480)
		for range 3 {
			s.Pull(time.Now(), out)
			for i, v := range out {
				if !(v >= -maxStreams && v <= maxStreams) {
					t.Fatalf("sample %d is %v", i, v)
				}
			}
		}
		_ = a.conn.Close()
		if c, _ := dial(t, path).play(spec{formatFloat32, 2, Rate}); c != commandReply {
			t.Error("no stream for the next client")
		}
	})
}
