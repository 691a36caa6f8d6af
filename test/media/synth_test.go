package media_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The synthetic recordings are small: blocks of 10 px are still told apart after encoding.
const (
	synthWidth, synthHeight = 320, 240
	synthRate               = 30
	synthSound              = 48000
)

// shown is one picture of a synthetic recording.
type shown struct {
	counter, clock uint32
	flash          bool
	blank          bool // a white page, without the measure
}

// synthetic is a recording made by ffmpeg whose faults are known, since they were put in.
type synthetic struct {
	pictures []shown         // one each 1/30 s
	beeps    []time.Duration // each 100 ms of 1 kHz
	sound    time.Duration   // length; none when zero
	filter   string          // of ffmpeg over the pictures, to drop some or to move their times
	codec    string          // "" is x264, lossy
	options  string          // further ones, for the output
}

// perfect is what a recorder without fault makes of that many seconds of a page that was loaded before.
func perfect(seconds int) synthetic {
	var s synthetic
	for i := range seconds * synthRate {
		ms := 1000 * i / synthRate
		s.pictures = append(s.pictures, shown{counter: uint32(i + 100), clock: uint32(ms + 3000), flash: ms%1000 < 100 && ms >= 1000})
	}
	for second := 1; second < seconds; second++ {
		s.beeps = append(s.beeps, time.Duration(second)*time.Second)
	}
	s.sound = time.Duration(seconds) * time.Second
	return s
}

// write makes the file and answers its path.
func (s synthetic) write(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "synthetic.mp4")
	args := []string{"-v", "error", "-f", "rawvideo", "-pix_fmt", "gray", "-video_size", "320x240", "-framerate", "30", "-i", "-"}
	if s.sound > 0 {
		pcm := filepath.Join(dir, "sound.pcm")
		if err := os.WriteFile(pcm, s.samples(), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-f", "s16le", "-ar", "48000", "-ac", "2", "-i", pcm)
	}
	if s.filter != "" {
		args = append(args, "-vf", s.filter)
	}
	codec := s.codec
	if codec == "" {
		codec = "-c:v libx264 -preset ultrafast"
	}
	args = append(args, strings.Fields("-fps_mode passthrough -pix_fmt yuv420p -c:a aac "+codec+" "+s.options)...)
	ffmpeg := exec.CommandContext(t.Context(), "ffmpeg", append(args, file)...)
	var pictures bytes.Buffer
	for _, p := range s.pictures {
		pictures.Write(p.draw())
	}
	ffmpeg.Stdin = &pictures
	if out, err := ffmpeg.CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	return file
}

// samples are the beeps, in both channels.
func (s synthetic) samples() []byte {
	pcm := make([]byte, 0, 4*synthSound*int(s.sound/time.Second))
	for i := range int(s.sound.Seconds() * synthSound) {
		at := time.Duration(i) * time.Second / synthSound
		var value int16
		for _, beep := range s.beeps {
			if at >= beep && at < beep+100*time.Millisecond {
				value = int16(26000 * math.Sin(2*math.Pi*1000*(at-beep).Seconds()))
			}
		}
		pcm = binary.LittleEndian.AppendUint16(pcm, uint16(value))
		pcm = binary.LittleEndian.AppendUint16(pcm, uint16(value))
	}
	return pcm
}

// draw paints the measure as the pages do.
func (p shown) draw() []byte {
	picture := bytes.Repeat([]byte{0x30}, synthWidth*synthHeight)
	if p.blank {
		return bytes.Repeat([]byte{0xff}, synthWidth*synthHeight)
	}
	fill := func(x, y, width, height int, white bool) {
		var grey byte
		if white {
			grey = 0xff
		}
		for line := y; line < min(y+height, synthHeight); line++ {
			for column := x; column < x+width; column++ {
				picture[line*synthWidth+column] = grey
			}
		}
	}
	fill(0, 0, synthWidth, 80, false)
	for bit := range 24 {
		fill(bit*synthWidth/32, 0, synthWidth/32, 40, p.counter>>bit&1 == 1)
		fill(bit*synthWidth/32, 40, synthWidth/32, 40, p.clock>>bit&1 == 1)
	}
	fill(synthWidth-120, 100, 120, 120, p.flash)
	return picture
}
