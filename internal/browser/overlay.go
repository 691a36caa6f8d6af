package browser

import (
	"context"
	"fmt"
	"image/color"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/overlay"
)

// Mark draws a filled rectangle over the page, in CSS pixels of its viewport, with the next picture that the page's main
// thread draws. It stands on Chrome's inspector overlay: the page has no way to see it, and neither its document
// nor its scripts are touched. It returns when the main thread has taken the order.
func (b *Browser) Mark(ctx context.Context, x, y, width, height int, c color.RGBA) error {
	if err := b.enableOverlay(ctx); err != nil {
		return fmt.Errorf("browser: mark: %w", err)
	}
	if _, err := do(ctx, b.page, overlay.HighlightRect, overlay.HighlightRectParams{
		X: int64(x), Y: int64(y), Width: int64(width), Height: int64(height),
		Color: &cdp.RGBA{R: int64(c.R), G: int64(c.G), B: int64(c.B), A: 1},
	}); err != nil {
		return fmt.Errorf("browser: mark: %w", err)
	}
	return nil
}

// Unmark takes the mark away with the next picture. Without a mark it only makes the next Mark prompt.
func (b *Browser) Unmark(ctx context.Context) error {
	if err := b.enableOverlay(ctx); err != nil {
		return fmt.Errorf("browser: unmark: %w", err)
	}
	if _, err := do(ctx, b.page, overlay.HideHighlight, cdp.Empty{}); err != nil {
		return fmt.Errorf("browser: unmark: %w", err)
	}
	return nil
}

// enableOverlay turns the overlay on at its first use: a page that is too small to be marked never has one.
func (b *Browser) enableOverlay(ctx context.Context) error {
	if b.overlay.Load() {
		return nil
	}
	if err := b.page.call(ctx, dom.CommandEnable, dom.EnableParams{}, new(cdp.Empty)); err != nil {
		return err
	}
	if err := b.page.call(ctx, overlay.CommandEnable, cdp.Empty{}, new(cdp.Empty)); err != nil {
		return err
	}
	b.overlay.Store(true)
	return nil
}
