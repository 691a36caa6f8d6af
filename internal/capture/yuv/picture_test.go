package yuv

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// noise makes a source picture of random pixels, its rows longer than the picture.
func noise(rng *rand.Rand, width, height int) ([]byte, int) {
	stride := 4*width + 64
	pix := make([]byte, stride*height)
	for i := range pix {
		pix[i] = byte(rng.IntN(256))
	}
	return pix, stride
}

// TestVectorEqualsScalar holds the assembly to the readable code, byte for byte.
func TestVectorEqualsScalar(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, width := range []int{2, 30, 32, 34, 62, 64, 66, 128, 1278, 1280} {
		above, _ := noise(rng, width, 1)
		below, _ := noise(rng, width, 1)
		above, below = above[:4*width], below[:4*width]
		got, want := make([]byte, 3*width), make([]byte, 3*width)
		split := func(b []byte) (y0, y1, u, v []byte) {
			return b[:width], b[width : 2*width], b[2*width : 2*width+width/2], b[2*width+width/2:]
		}
		y0, y1, u, v := split(want)
		convertRows(above, below, y0, y1, u, v)
		y0, y1, u, v = split(got)
		n := convertFast(above, below, y0, y1, u, v)
		convertRows(above[4*n:], below[4*n:], y0[n:], y1[n:], u[n/2:], v[n/2:])
		if !bytes.Equal(got, want) {
			t.Fatalf("width %d: vector and scalar code differ", width)
		}
	}
}

// TestColours compares known colours with BT.709's definition in floating point.
func TestColours(t *testing.T) {
	for _, c := range [][3]int{{0, 0, 0}, {255, 255, 255}, {255, 0, 0}, {0, 255, 0}, {0, 0, 255}, {17, 34, 51}, {128, 128, 128}} {
		r, g, b := float64(c[0]), float64(c[1]), float64(c[2])
		y := 0.2126*r + 0.7152*g + 0.0722*b
		want := []float64{16 + y*219/255, 128 + (b-y)/1.8556*224/255, 128 + (r-y)/1.5748*224/255}
		pix := bytes.Repeat([]byte{byte(c[2]), byte(c[1]), byte(c[0]), 9}, 64*2)
		p := New(64, 2)
		p.Update(pix, 64*4, 0, 0, 64, 2)
		for i, at := range []int{0, 64 * 2, 64*2 + 32} {
			if got := float64(p.Data[at]); math.Abs(got-want[i]) > 1.5 {
				t.Errorf("colour %v, plane %d: %v, want %.1f", c, i, got, want[i])
			}
		}
	}
}

// TestDamage checks that a picture put together from rectangles is the picture converted whole, and that nothing
// outside of a rectangle, beyond its even edges, is touched.
func TestDamage(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, size := range [][2]int{{1280, 720}, {321, 181}, {2, 2}, {1, 1}, {3, 2}, {2, 3}, {97, 1}} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			w, h := size[0], size[1]
			pix, stride := noise(rng, w, h)
			whole, pieces := New(w, h), New(w, h)
			whole.Update(pix, stride, 0, 0, w, h)
			for y := 0; y < h; y += 13 {
				for x := 0; x < w; x += 37 {
					pieces.Update(pix, stride, x, y, x+37, y+13)
				}
			}
			if !bytes.Equal(whole.Data, pieces.Data) {
				t.Error("the pieces do not add up to the whole")
			}
			pieces.Update(pix, stride, -5, -5, 0, 0)
			pieces.Update(pix, stride, w, h, w+10, h+10)
			if !bytes.Equal(whole.Data, pieces.Data) {
				t.Error("a rectangle outside of the picture changed it")
			}
		})
	}
}

// TestOddEdge checks that an odd picture's last column and row are repeated.
func TestOddEdge(t *testing.T) {
	pix := bytes.Repeat([]byte{255, 255, 255, 0}, 9)
	p := New(3, 3)
	p.Update(pix, 12, 0, 0, 3, 3)
	if p.Width != 4 || p.Height != 4 {
		t.Fatalf("picture of %d×%d, want 4×4", p.Width, p.Height)
	}
	for i, y := range p.Data[:16] {
		if y != 235 {
			t.Errorf("luma %d is %d, want 235", i, y)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	rng := rand.New(rand.NewPCG(5, 6))
	pix, stride := noise(rng, 1280, 720)
	p := New(1280, 720)
	b.SetBytes(1280 * 720 * 4)
	for b.Loop() {
		p.Update(pix, stride, 0, 0, 1280, 720)
	}
}
