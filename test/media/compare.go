package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
)

// Likeness is how an encode compares to what it was made of.
type Likeness struct {
	SSIM float64 // of all planes over all pictures; 1 is the same
	Bits int64   // of the encode's pictures alone, without sound and container
}

var ssimLine = regexp.MustCompile(`Parsed_ssim.* All:([0-9.]+)`)

// Compare measures the encode against the lossless original, picture by picture: both must hold the same number of them.
func Compare(ctx context.Context, encode, original string) (Likeness, error) {
	var likeness Likeness
	log := func(line string) {
		if found := ssimLine.FindStringSubmatch(line); found != nil {
			likeness.SSIM, _ = strconv.ParseFloat(found[1], 64) // matched as a number
		}
	}
	// The time stamps are replaced by the pictures' numbers, since an encode may have moved its start.
	const filter = "[0:v]settb=1/25,setpts=N[a];[1:v]settb=1/25,setpts=N[b];[a][b]ssim"
	err := ffmpeg(ctx, discard, log, "-i", encode, "-i", original, "-filter_complex", filter,
		"-an", "-fps_mode", "passthrough", "-f", "null", "-")
	if err != nil {
		return Likeness{}, err
	}
	if likeness.SSIM == 0 {
		return Likeness{}, errors.New("ffmpeg told no SSIM")
	}
	likeness.Bits, err = videoBits(ctx, encode)
	return likeness, err
}

// videoBits copies the bare pictures out of their container and counts.
func videoBits(ctx context.Context, file string) (int64, error) {
	var bytes int64
	count := func(r io.Reader) error {
		n, err := io.Copy(io.Discard, r)
		bytes = n
		return err
	}
	if err := ffmpeg(ctx, count, nil, "-i", file, "-map", "0:v:0", "-c", "copy", "-f", "data", "-"); err != nil {
		return 0, fmt.Errorf("count bits: %w", err)
	}
	return 8 * bytes, nil
}

func discard(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}
