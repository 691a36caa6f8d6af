package sound

import (
	"encoding/binary"
	"math"
)

// How much a stream is asked to keep ahead of the clock. Short, since a page that does not compensate for the card's
// latency is heard that much later than it is seen; long enough to bridge a late wake-up on a busy machine.
const (
	targetFrames  = Rate / 20  // 50 ms
	requestFrames = Rate / 190 // about 5 ms, the least that is asked for
	maxFrames     = Rate       // a stream that writes more than it was asked for loses the rest
)

// stream is one playback stream.
type stream struct {
	index     uint32
	spec      spec
	corked    bool
	queue     []byte
	written   int64 // bytes, in all
	read      int64 // bytes, in all
	requested int   // bytes asked for and not yet received
	drain     uint32
}

// playing says that the clock takes samples from the stream.
func (st *stream) playing() bool { return !st.corked && len(st.queue) > 0 }

// write takes samples from the client.
func (st *stream) write(b []byte) {
	b = b[:min(len(b), maxFrames*st.spec.frame()-len(st.queue))]
	st.queue = append(st.queue, b...)
	st.written += int64(len(b))
	st.requested = max(0, st.requested-len(b))
}

// missing answers how many bytes the client should be asked for now.
func (st *stream) missing() int {
	frame := st.spec.frame()
	n := targetFrames*frame - len(st.queue) - st.requested
	if n < requestFrames*frame {
		return 0
	}
	return n
}

// flush forgets what was not yet heard.
func (st *stream) flush() {
	st.read += int64(len(st.queue))
	st.queue = st.queue[:0]
	st.requested = 0
}

// mix adds the next len(out)/2 samples to out and forgets them.
func (st *stream) mix(out []float32) {
	if st.corked {
		return
	}
	frame := st.spec.frame()
	n := min(len(out)/Channels, len(st.queue)/frame)
	for i := range n {
		b := st.queue[i*frame:]
		left := st.sample(b)
		right := left
		if st.spec.channels > 1 {
			right = st.sample(b[frame/st.spec.channels:])
		}
		out[2*i] += left
		out[2*i+1] += right
	}
	st.queue = st.queue[:copy(st.queue, st.queue[n*frame:])]
	st.read += int64(n * frame)
}

func (st *stream) sample(b []byte) float32 {
	if st.spec.format == formatS16LE {
		return float32(int16(binary.LittleEndian.Uint16(b))) / 32768
	}
	v := math.Float32frombits(binary.LittleEndian.Uint32(b))
	if v != v {
		return 0
	}
	return min(max(v, -1), 1) // as any card does; the encoder ends at values that are not finite
}
