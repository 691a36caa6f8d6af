package sound

import (
	"encoding/binary"
	"time"
)

// Commands of the protocol (pulsecore/native-common.h).
const (
	commandError                = 0
	commandReply                = 2
	commandCreatePlaybackStream = 3
	commandDeletePlaybackStream = 4
	commandAuth                 = 8
	commandSetClientName        = 9
	commandDrain                = 12
	commandGetPlaybackLatency   = 14
	commandGetServerInfo        = 20
	commandGetSinkInfo          = 21
	commandGetSinkInfoList      = 22
	commandGetSourceInfo        = 23
	commandGetSourceInfoList    = 24
	commandSubscribe            = 35
	commandSetSinkInputVolume   = 37
	commandSetSinkInputMute     = 70
	commandCork                 = 41
	commandFlush                = 42
	commandTrigger              = 43
	commandPrebuf               = 60
	commandRequest              = 61
	commandSetBufferAttr        = 72
	commandUpdateProperties     = 81
	commandUpdateClient         = 82
)

// Errors of the protocol (pulse/def.h).
const (
	errNoEntity     = 5
	errTooLarge     = 9
	errNotSupported = 19
)

const (
	protocolVersion = 13
	volumeNorm      = 0x10000
	sinkName        = "recordhost"
	sinkLatencyUsec = 10000
	invalidIndex    = 0xffffffff
)

// request answers one request. A nil answer is one that is given later.
func (c *client) request(command, tag uint32, r *reader) packet {
	switch command {
	case commandAuth:
		return reply(tag).u32(protocolVersion)
	case commandSetClientName:
		return reply(tag).u32(1)
	case commandGetServerInfo:
		return serverInfo(tag)
	case commandGetSinkInfo, commandGetSinkInfoList:
		return sinkInfo(tag)
	case commandGetSourceInfo:
		return failure(tag, errNoEntity)
	case commandGetSourceInfoList, commandSubscribe, commandSetSinkInputVolume, commandSetSinkInputMute,
		commandUpdateProperties, commandUpdateClient:
		return reply(tag)
	case commandCreatePlaybackStream:
		return c.create(tag, r)
	case commandDeletePlaybackStream, commandCork, commandFlush, commandTrigger, commandPrebuf, commandDrain,
		commandGetPlaybackLatency, commandSetBufferAttr:
		return c.streamRequest(command, tag, r)
	}
	return failure(tag, errNotSupported)
}

func serverInfo(tag uint32) packet {
	return reply(tag).text("recordhost").text("13").text("user").text("host").
		spec(spec{formatFloat32, Channels, Rate}).text(sinkName).text(sinkName + ".monitor").u32(1)
}

func sinkInfo(tag uint32) packet {
	return reply(tag).u32(0).text(sinkName).text(sinkName).spec(spec{formatFloat32, Channels, Rate}).channelMap(Channels).
		u32(invalidIndex).volume(Channels).flag(false).u32(invalidIndex).text(sinkName+".monitor").
		u64(tagUsec, 0).text(sinkName).u32(0).noProperties().u64(tagUsec, sinkLatencyUsec)
}

// create makes a playback stream. Of the client's wishes for buffering only the format counts: the clock decides.
func (c *client) create(tag uint32, r *reader) packet {
	want := r.spec()
	r.channelMap()
	_, _, _ = r.u32(), r.text(), r.u32() // sink, its name, the longest buffer
	corked := r.flag()
	if r.err != nil {
		return nil
	}
	if err := want.check(); err != nil {
		if c.refused++; c.refused == 1 { // Chrome makes a stream for every sound
			c.srv.log.Warn("a page's sound is lost: the stream has a format that the sound card did not offer", "err", err)
		}
		return failure(tag, errNotSupported)
	}
	if c.srv.streams() >= maxStreams {
		return failure(tag, errTooLarge)
	}
	frame := want.frame()
	st := &stream{index: c.next, spec: want, corked: corked, requested: targetFrames * frame}
	c.next++
	c.streams[st.index] = st
	if !corked {
		c.srv.begin()
	}
	return reply(tag).u32(st.index).u32(st.index).u32(uint32(st.requested)).
		u32(uint32(maxFrames*frame)).u32(uint32(targetFrames*frame)).u32(0).u32(uint32(requestFrames*frame)).
		spec(want).channelMap(want.channels).u32(0).text(sinkName).flag(false).
		u64(tagUsec, uint64(targetFrames)*1e6/Rate)
}

// streamRequest answers what concerns one stream, whose number comes first.
func (c *client) streamRequest(command, tag uint32, r *reader) packet {
	st := c.streams[r.u32()]
	if r.err != nil {
		return nil
	}
	if st == nil {
		return failure(tag, errNoEntity)
	}
	switch command {
	case commandDeletePlaybackStream:
		delete(c.streams, st.index)
	case commandCork:
		if st.corked = r.flag(); !st.corked {
			c.srv.begin()
		}
	case commandFlush:
		st.flush()
	case commandDrain:
		if st.playing() {
			st.drain = tag + 1
			return nil
		}
	case commandSetBufferAttr:
		frame := st.spec.frame()
		return reply(tag).u32(uint32(maxFrames*frame)).u32(uint32(targetFrames*frame)).u32(0).
			u32(uint32(requestFrames*frame)).u64(tagUsec, uint64(targetFrames)*1e6/Rate)
	case commandGetPlaybackLatency:
		return c.latency(tag, st, r)
	}
	return reply(tag)
}

// latency says what has been written and what has been heard.
func (c *client) latency(tag uint32, st *stream, r *reader) packet {
	asked, now := r.timeval(), time.Now()
	heard := c.position(st, now)
	p := reply(tag).u64(tagUsec, 0).u64(tagUsec, 0).flag(st.playing())
	p = append(append(p, tagTimeval), asked...)
	p = binary.BigEndian.AppendUint32(append(p, tagTimeval), uint32(now.Unix()))
	p = binary.BigEndian.AppendUint32(p, uint32(now.Nanosecond()/1000))
	played := uint64(heard) / uint64(st.spec.frame()) * 1e6 / Rate
	return p.u64(tagS64, uint64(st.written)).u64(tagS64, uint64(heard)).u64(tagU64, 0).u64(tagU64, played)
}
