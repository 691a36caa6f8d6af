package browser

import (
	"math"

	"github.com/chromedp/cdproto/emulation"
)

// Chrome makes no window smaller than this. Measured: 500 wide whatever is asked for, and 46 high; the height is rounded
// up for other versions.
const (
	minWindowWidth  = 500
	minWindowHeight = 100
)

// WindowSize is the size of the window that shows a page of width × height. The page is its top left corner: capture
// configures the window and crops the picture.
func WindowSize(width, height int) (w, h int) {
	return max(width, minWindowWidth), max(height, minWindowHeight)
}

// metrics is the override that gives the page exactly the size and scale asked for, or nil where the window does.
// The picture keeps Width × Height: at a scale of 2 the page sees half as many CSS pixels each way.
func (o Options) metrics() *emulation.SetDeviceMetricsOverrideParams {
	scale := o.scale()
	if w, h := WindowSize(o.Width, o.Height); w == o.Width && h == o.Height && scale == 1 {
		return nil
	}
	w, h := cssPixels(o.Width, scale), cssPixels(o.Height, scale)
	return &emulation.SetDeviceMetricsOverrideParams{
		Width:             w,
		Height:            h,
		ScreenWidth:       w,
		ScreenHeight:      h,
		DeviceScaleFactor: scale,
		// The page is painted at its scale and as large as the picture, in a view that stays as large as the window.
		// Without these two the view shrinks to the page's CSS pixels, and the picture is its top left part.
		Scale:              scale,
		DontSetVisibleSize: new(true),
	}
}

func (o Options) scale() float64 {
	if o.DeviceScaleFactor == 0 {
		return 1
	}
	return o.DeviceScaleFactor
}

// cssPixels covers n pixels at a scale; what does not divide is rounded up, so that no line of the picture stays blank.
func cssPixels(n int, scale float64) int64 {
	return int64(math.Ceil(float64(n)/scale - 1e-9))
}
