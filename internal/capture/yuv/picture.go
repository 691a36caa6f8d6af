// Package yuv holds the recorder's copy of the screen: a planar I420 picture, BT.709 in limited range, into which only
// what changed is converted. Only package capture may use it.
package yuv

import "fmt"

// Picture is one I420 picture: a plane of Width×Height luma samples, then two of chroma at half the size each way.
// Width and Height are even.
type Picture struct {
	Width, Height int
	Data          []byte // Width*Height*3/2 bytes: Y, U, V

	sourceWidth, sourceHeight int
	odd                       []byte // two rows of pixels, to widen the edges of an odd source
}

// New makes a black picture for a source of width×height pixels, both at least 1. A side that is odd is made even by
// repeating its last row or column.
func New(width, height int) *Picture {
	w, h := (width+1)&^1, (height+1)&^1
	p := &Picture{Width: w, Height: h, Data: make([]byte, w*h*3/2), sourceWidth: width, sourceHeight: height}
	luma, chroma := p.Data[:w*h], p.Data[w*h:]
	fill(luma, 16)
	fill(chroma, 128)
	p.odd = make([]byte, 2*4*w)
	return p
}

func fill(b []byte, v byte) {
	for i := range b {
		b[i] = v
	}
}

// Update converts the rectangle x0 ≤ x < x1, y0 ≤ y < y1 of a source picture into p. pix holds 4 bytes a pixel in the
// order B, G, R, unused; stride is in bytes. What lies outside of the picture is ignored. The rectangle is widened to even
// edges, since two by two pixels share their colour: pix must be whole there too.
func (p *Picture) Update(pix []byte, stride, x0, y0, x1, y1 int) {
	x0, y0 = max(x0, 0)&^1, max(y0, 0)&^1
	x1, y1 = min((x1+1)&^1, p.sourceWidth), min((y1+1)&^1, p.sourceHeight)
	if x0 >= x1 || y0 >= y1 {
		return
	}
	if need := (y1-1)*stride + 4*x1; need > len(pix) {
		panic(fmt.Sprintf("yuv: a source of %d bytes is read to byte %d", len(pix), need))
	}
	for y := y0; y < y1; y += 2 {
		above := pix[y*stride+4*x0 : y*stride+4*x1]
		below := above
		if y+1 < p.sourceHeight {
			below = pix[(y+1)*stride+4*x0 : (y+1)*stride+4*x1]
		}
		p.rows(above, below, x0, y)
	}
}

// rows converts two rows of pixels, which begin at x, y of the picture.
func (p *Picture) rows(above, below []byte, x, y int) {
	n := len(above) / 4
	if n%2 != 0 {
		above, below = p.widen(above, 0), p.widen(below, 1)
		n++
	}
	w, h := p.Width, p.Height
	y0 := p.Data[y*w+x:][:n]
	y1 := p.Data[(y+1)*w+x:][:n]
	u := p.Data[w*h+y/2*w/2+x/2:][:n/2]
	v := p.Data[w*h+w*h/4+y/2*w/2+x/2:][:n/2]
	done := convertFast(above, below, y0, y1, u, v)
	convertRows(above[4*done:], below[4*done:], y0[done:], y1[done:], u[done/2:], v[done/2:])
}

// widen copies a row that ends at the picture's odd edge and repeats its last pixel.
func (p *Picture) widen(row []byte, which int) []byte {
	n := len(row)
	b := p.odd[which*len(p.odd)/2:][: n+4 : n+4]
	copy(b, row)
	copy(b[n:], row[n-4:])
	return b
}

// The coefficients of BT.709 in limited range, in 256ths: Y = 16 + (47R + 157G + 16B)/256, and so on.
const (
	yR, yG, yB = 47, 157, 16
	uR, uG, uB = -26, -87, 112
	vR, vG, vB = 112, -102, -10

	lumaBase   = 16<<8 + 128
	chromaBase = 128<<8 + 128
)

// convertRows converts pairs of rows, pixel by pixel. The vector code computes the very same, rounding included.
func convertRows(above, below, y0, y1, u, v []byte) {
	for i := range u {
		a, b := above[8*i:8*i+8:8*i+8], below[8*i:8*i+8:8*i+8]
		y0[2*i], y0[2*i+1] = luma(a[0], a[1], a[2]), luma(a[4], a[5], a[6])
		y1[2*i], y1[2*i+1] = luma(b[0], b[1], b[2]), luma(b[4], b[5], b[6])
		blue, green, red := average(a, b, 0), average(a, b, 1), average(a, b, 2)
		u[i] = byte((uB*blue + uG*green + uR*red + chromaBase) >> 8)
		v[i] = byte((vB*blue + vG*green + vR*red + chromaBase) >> 8)
	}
}

func luma(b, g, r byte) byte {
	return byte((yB*int32(b) + yG*int32(g) + yR*int32(r) + lumaBase) >> 8)
}

// average answers one channel's mean over two pixels of two rows, each halving rounded up, as PAVGB does.
func average(a, b []byte, channel int) int32 {
	left := (int32(a[channel]) + int32(b[channel]) + 1) >> 1
	right := (int32(a[channel+4]) + int32(b[channel+4]) + 1) >> 1
	return (left + right + 1) >> 1
}
