package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// The measure's places in the picture, in pixels; package pages draws it.
const (
	rowHeight    = 40 // of each of the two rows of blocks
	blocksInRow  = 32 // of which the first 24 carry a number
	bitsInNumber = 24
	flashRight   = 100 // from the right edge to the part of the flash that is looked at, 20 px inside its border
	flashTop     = 120
	flashSide    = 80
	bright       = 127 // a block brighter than this is white
)

// Frame is one picture of a recording, as the measuring page says it.
type Frame struct {
	At      time.Duration // its time in the file
	Counter uint32        // of the page's frames, 24 bits; zero when the picture shows no measure
	Clock   uint32        // the page's clock when it drew this, in milliseconds, 24 bits
	Flash   bool          // the flash is white
}

// Readable says whether the picture shows the measure at all: a page counts from one, and what it did not paint is dark.
func (f Frame) Readable() bool { return f.Counter != 0 }

// readFrames decodes the picture to its blocks, and the time of each.
func readFrames(ctx context.Context, file string, width, height int) ([]Frame, error) {
	var frames []Frame
	var times []time.Duration
	blocks := func(r io.Reader) error {
		picture := make([]byte, 3*blocksInRow)
		for {
			if _, err := io.ReadFull(r, picture); err != nil {
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}
			frames = append(frames, readBlocks(picture))
		}
	}
	log := func(line string) {
		if at, ok := frameTime(line); ok {
			times = append(times, at)
		}
	}
	err := ffmpeg(ctx, blocks, log, "-i", file, "-filter_complex", blockFilter(width, height), "-an",
		"-fps_mode", "passthrough", "-f", "rawvideo", "-")
	if err != nil {
		return nil, err
	}
	if len(times) != len(frames) {
		return nil, fmt.Errorf("ffmpeg decoded %d pictures and told the time of %d", len(frames), len(times))
	}
	for i := range frames {
		frames[i].At = times[i]
	}
	return frames, nil
}

// blockFilter makes of each picture three lines of 32 grey blocks: the counter, the clock, and the flash 32 times over.
// The time base is one microsecond, so that showinfo tells exact times.
func blockFilter(width, height int) string {
	left, top := max(0, width-flashRight), min(flashTop, height-1)
	flash := fmt.Sprintf("crop=%d:%d:%d:%d", min(flashSide, width-left), min(flashSide, height-top), left, top)
	rows := fmt.Sprintf("crop=%d:%d:0:0", width, min(2*rowHeight, height))
	return fmt.Sprintf("split[all][corner];[all]%s,scale=%d:2:flags=area[rows];[corner]%s,scale=%d:1:flags=area[flash];"+
		"[rows][flash]vstack,format=gray,settb=1/1000000,showinfo=checksum=0", rows, blocksInRow, flash, blocksInRow)
}

func readBlocks(picture []byte) Frame {
	counter, clock, flash := picture[:blocksInRow], picture[blocksInRow:2*blocksInRow], picture[2*blocksInRow:]
	for i := bitsInNumber; i < blocksInRow; i++ {
		if counter[i] > bright || clock[i] > bright {
			return Frame{}
		}
	}
	return Frame{Counter: readNumber(counter), Clock: readNumber(clock), Flash: flash[0] > bright}
}

func readNumber(row []byte) uint32 {
	var n uint32
	for bit, grey := range row[:bitsInNumber] {
		if grey > bright {
			n |= 1 << bit
		}
	}
	return n
}

// frameTime reads the time of a picture out of a line of ffmpeg's showinfo, such as
// "[Parsed_showinfo_7 @ 0x55] n:   0 pts:  33333 pts_time:0.033333 …".
func frameTime(line string) (time.Duration, bool) {
	if !strings.Contains(line, "Parsed_showinfo") {
		return 0, false
	}
	_, after, found := strings.Cut(line, " pts:")
	if !found {
		return 0, false
	}
	word, _, _ := strings.Cut(strings.TrimLeft(after, " "), " ")
	micros, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		return 0, false
	}
	return time.Duration(micros) * time.Microsecond, true
}
