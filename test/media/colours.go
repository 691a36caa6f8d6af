package media

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"strings"
	"time"
)

// RGB is a colour of eight bits each.
type RGB [3]uint8

// Near says whether no part of the colour is further than tolerance from the other's.
func (c RGB) Near(other RGB, tolerance uint8) bool {
	for i := range c {
		if max(c[i], other[i])-min(c[i], other[i]) > tolerance {
			return false
		}
	}
	return true
}

// Patch is what a region of one picture looks like.
type Patch struct {
	At             time.Duration
	Min, Max, Mean RGB // of its pixels, for each part of the colour by itself
}

// Uniform says whether the region is of that colour alone, each pixel within the tolerance.
func (p Patch) Uniform(colour RGB, tolerance uint8) bool {
	return p.Min.Near(colour, tolerance) && p.Max.Near(colour, tolerance)
}

// Colours looks at that region in every picture of the file.
func Colours(ctx context.Context, file string, region image.Rectangle) ([]Patch, error) {
	return colours(ctx, file, region)
}

// Pixel is the colour of a point in the picture that is shown at that time.
func Pixel(ctx context.Context, file string, at time.Duration, x, y int) (RGB, error) {
	patches, err := colours(ctx, file, image.Rect(x, y, x+1, y+1), "-t", seconds(at+time.Millisecond))
	if err != nil {
		return RGB{}, err
	}
	if len(patches) == 0 {
		return RGB{}, fmt.Errorf("%s shows nothing at %v", file, at)
	}
	return patches[len(patches)-1].Mean, nil
}

func colours(ctx context.Context, file string, region image.Rectangle, options ...string) ([]Patch, error) {
	var patches []Patch
	var times []time.Duration
	read := func(r io.Reader) error {
		pixels := make([]byte, 3*region.Dx()*region.Dy())
		for {
			if _, err := io.ReadFull(r, pixels); err != nil {
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}
			patches = append(patches, patchOf(pixels))
		}
	}
	log := func(line string) {
		if at, ok := frameTime(line); ok {
			times = append(times, at)
		}
	}
	// The picture is made RGB before it is cut: cutting 4:2:0 at odd places would move the colour.
	filter := fmt.Sprintf("format=rgb24,crop=%d:%d:%d:%d:exact=1,settb=1/1000000,showinfo=checksum=0",
		region.Dx(), region.Dy(), region.Min.X, region.Min.Y)
	args := append([]string{"-i", file}, options...)
	args = append(args, strings.Fields("-an -fps_mode passthrough -f rawvideo")...)
	if err := ffmpeg(ctx, read, log, append(args, "-vf", filter, "-")...); err != nil {
		return nil, err
	}
	// With -t ffmpeg's last filtered picture may be past the end and not be written.
	if len(times) < len(patches) {
		return nil, fmt.Errorf("ffmpeg decoded %d pictures and told the time of %d", len(patches), len(times))
	}
	for i := range patches {
		patches[i].At = times[i]
	}
	return patches, nil
}

func patchOf(pixels []byte) Patch {
	patch := Patch{Min: RGB{255, 255, 255}}
	var sum [3]int
	for i, value := range pixels {
		part := i % 3
		patch.Min[part] = min(patch.Min[part], value)
		patch.Max[part] = max(patch.Max[part], value)
		sum[part] += int(value)
	}
	for part := range sum {
		patch.Mean[part] = uint8(sum[part] / (len(pixels) / 3))
	}
	return patch
}
