package hls

import (
	"bytes"
	"fmt"
	"net/url"
	"time"
)

// Moment ties recorded time to the clock: what was recorded at At was to be seen at Time, and so on from there.
type Moment struct {
	At   time.Duration
	Time time.Time
}

// Calendar is what is known of a recording's time besides the media.
type Calendar struct {
	Moments []Moment        // rising, as recording began and went on after pauses and gaps
	Gaps    []time.Duration // recorded times, rising, before which something is missing
}

// timeFormat is what EXT-X-PROGRAM-DATE-TIME wants: ISO 8601 with milliseconds (RFC 8216, 4.3.2.6).
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// dateSlack is how far the clock may deviate from what the durations so far say before the playlist tells it again.
const dateSlack = 10 * time.Millisecond

// Playlist is the playlist's text as it is now: of the segments so far, to which later ones will be added; or, of a
// recording that has ended, of all.
func (s *Stream) Playlist(c Calendar, ended bool) []byte {
	var b bytes.Buffer
	kind := "EVENT"
	if ended {
		kind = "VOD"
	}
	// Version 3 is what durations with fractions need (RFC 8216, 7). The vector that a segment is encrypted with is its
	// sequence number, which is what a key without an IV says (5.2).
	fmt.Fprintf(&b, "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:%d\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:%s\n"+
		"#EXT-X-INDEPENDENT-SEGMENTS\n", s.target(), kind)
	if s.o.Key != nil {
		fmt.Fprintf(&b, "#EXT-X-KEY:METHOD=AES-128,URI=\"%s\"\n", s.o.KeyURL)
	}
	var expected time.Time
	for i, e := range s.segments {
		cut := i > 0 && (e.changed || c.gapWithin(s.segments[i-1].begin, e.begin))
		if cut {
			b.WriteString("#EXT-X-DISCONTINUITY\n")
		}
		if now, ok := c.at(e.begin); ok {
			if i == 0 || cut || now.Sub(expected).Abs() > dateSlack {
				fmt.Fprintf(&b, "#EXT-X-PROGRAM-DATE-TIME:%s\n", now.UTC().Format(timeFormat))
				expected = now
			}
			expected = expected.Add(e.end - e.begin)
		}
		// A URL, relative to the playlist's.
		fmt.Fprintf(&b, "#EXTINF:%.6f,\n%s\n", (e.end - e.begin).Seconds(), (&url.URL{Path: e.name}).String())
	}
	if ended {
		b.WriteString("#EXT-X-ENDLIST\n")
	}
	return b.Bytes()
}

// gapWithin tells whether something is missing behind the beginning of one segment, up to that of the next.
func (c Calendar) gapWithin(begin, next time.Duration) bool {
	for _, at := range c.Gaps {
		at -= time.Millisecond // a picture's time is rounded to ticks
		if begin < at && at <= next {
			return true
		}
	}
	return false
}

// at is the clock at a recorded time.
func (c Calendar) at(t time.Duration) (now time.Time, ok bool) {
	for _, m := range c.Moments {
		if ok && m.At-time.Millisecond > t {
			break
		}
		now, ok = m.Time.Add(t-m.At), true
	}
	return now, ok
}
