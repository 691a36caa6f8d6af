package media

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strconv"
	"time"
)

const (
	soundRate = 48000
	loud      = 6000 // of 32768: a beep is louder, what AAC adds before it is not
	silence   = 2000 // samples: after more quiet than that the next loud one begins another beep

	// aligned makes sound that begins late in the file be read with the silence before it.
	aligned = "aresample=async=1:first_pts=0"
)

// readBeeps decodes the sound and finds when each beep begins. The second value is the sound's length.
func readBeeps(ctx context.Context, file string) ([]time.Duration, time.Duration, error) {
	var found onsets
	read := func(r io.Reader) error {
		return eachSample(r, func(sample int16) { found.take(sample) })
	}
	err := ffmpeg(ctx, read, nil, "-i", file, "-vn", "-ac", "1", "-ar", strconv.Itoa(soundRate), "-af", aligned, "-f", "s16le", "-")
	if err != nil {
		return nil, 0, err
	}
	return found.at, sampleTime(found.samples), nil
}

// onsets finds where quiet turns to loud.
type onsets struct {
	at      []time.Duration
	samples int64
	quiet   int // samples since the last loud one of a beep that goes on
	on      bool
}

func (o *onsets) take(sample int16) {
	switch isLoud := sample > loud || sample < -loud; {
	case isLoud && !o.on:
		o.at = append(o.at, sampleTime(o.samples))
		o.on, o.quiet = true, 0
	case isLoud:
		o.quiet = 0
	case o.on:
		o.quiet++
		o.on = o.quiet <= silence
	}
	o.samples++
}

func sampleTime(n int64) time.Duration {
	return time.Duration(n/soundRate)*time.Second + time.Duration(n%soundRate)*time.Second/soundRate
}

// eachSample reads little-endian 16 bit samples to the end.
func eachSample(r io.Reader, take func(int16)) error {
	buffer := make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(r, buffer)
		for i := 0; i+1 < n; i += 2 {
			take(int16(binary.LittleEndian.Uint16(buffer[i:])))
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// Level is how loud something is, as a part of full scale, in each channel.
type Level struct{ Left, Right float64 }

// Levels measures in that part of the file how loud each of the frequencies is, and, as the last value, the loudest
// sample. Mono counts as both channels.
func Levels(ctx context.Context, file string, from, length time.Duration, hertz ...float64) ([]Level, error) {
	tones := make([][2]goertzel, len(hertz))
	for i, f := range hertz {
		tones[i] = [2]goertzel{newGoertzel(f), newGoertzel(f)}
	}
	var peak [2]float64
	channel := 0
	read := func(r io.Reader) error {
		return eachSample(r, func(sample int16) {
			value := float64(sample) / (math.MaxInt16 + 1)
			peak[channel] = max(peak[channel], math.Abs(value))
			for i := range tones {
				tones[i][channel].take(value)
			}
			channel = 1 - channel
		})
	}
	err := ffmpeg(ctx, read, nil, "-i", file, "-ss", seconds(from), "-t", seconds(length), "-vn",
		"-ac", "2", "-ar", strconv.Itoa(soundRate), "-af", aligned, "-f", "s16le", "-")
	if err != nil {
		return nil, err
	}
	levels := make([]Level, 0, len(tones)+1)
	for i := range tones {
		levels = append(levels, Level{Left: tones[i][0].amplitude(), Right: tones[i][1].amplitude()})
	}
	return append(levels, Level{Left: peak[0], Right: peak[1]}), nil
}

// goertzel measures the amplitude of one frequency.
type goertzel struct {
	coefficient float64
	last, older float64
	samples     int
}

func newGoertzel(hertz float64) goertzel {
	return goertzel{coefficient: 2 * math.Cos(2*math.Pi*hertz/soundRate)}
}

func (g *goertzel) take(value float64) {
	g.last, g.older = value+g.coefficient*g.last-g.older, g.last
	g.samples++
}

func (g *goertzel) amplitude() float64 {
	if g.samples == 0 {
		return 0
	}
	power := g.last*g.last + g.older*g.older - g.coefficient*g.last*g.older
	return 2 * math.Sqrt(max(0, power)) / float64(g.samples)
}
