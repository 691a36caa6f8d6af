package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/recordhost/recordhost/test/media"
)

// viewport is what viewport.html reports of its window.
type viewport struct {
	Width  int     `json:"width"`
	Height int     `json:"height"`
	Ratio  float64 `json:"ratio"`
	Hover  bool    `json:"hover"`
	Fine   bool    `json:"fine"`
}

// A page is given the size that was asked for, and its picture is in the file to the pixel: four quarters of one grey each, whose
// corners are looked at. The picture of an odd size has one line more than the page.
func TestSizes(t *testing.T) {
	for _, size := range []struct{ width, height int }{{641, 361}, {320, 180}, {2, 2}, {1000, 500}} {
		t.Run(fmt.Sprintf("%dx%d", size.width, size.height), func(t *testing.T) {
			server := servePages(t)
			f := record(t, server.URL("viewport.html"), "--duration", "3s",
				"--width", fmt.Sprint(size.width), "--height", fmt.Sprint(size.height))
			reports, err := server.Wait(limit(t), "viewport", 1)
			if err != nil {
				t.Fatal(err)
			}
			var told viewport
			if err := reports[0].Decode(&told); err != nil {
				t.Fatal(err)
			}
			if told.Width != size.width || told.Height != size.height || told.Ratio != 1 {
				t.Errorf("the page was told %+v", told)
			}
			if !told.Hover || !told.Fine {
				t.Errorf("the page believes in no mouse: %+v", told)
			}
			if v := f.info.Video; v.Width != (size.width+1)/2*2 || v.Height != (size.height+1)/2*2 {
				t.Errorf("the picture is %dx%d", v.Width, v.Height)
			}
			checkQuarters(t, f.file, size.width, size.height)
		})
	}
}

// checkQuarters looks at the outermost pixel of each quarter.
func checkQuarters(t *testing.T, file string, width, height int) {
	t.Helper()
	greys := []uint8{40, 100, 160, 220}
	var tolerance uint8 = 10
	if width < 16 {
		tolerance = 30 // four neighbouring pixels of a lossy picture
	}
	for i, grey := range greys {
		x, y := i%2*(width-1), i/2*(height-1)
		got, err := media.Pixel(limit(t), file, 2500*time.Millisecond, x, y)
		if err != nil {
			t.Fatal(err)
		}
		if !got.Near(media.RGB{grey, grey, grey}, tolerance) {
			t.Errorf("the pixel at (%d, %d) is %v, want grey %d", x, y, got, grey)
		}
	}
}
