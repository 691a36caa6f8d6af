package deliver

import (
	"math"

	"github.com/recordhost/recordhost/internal/spool"
	"github.com/recordhost/recordhost/sdk/storage"
)

const (
	mebi = 1 << 20

	// least is the smallest part, whatever less a store would take: each costs a call and a line in the journal.
	least = mebi

	// anyParts is how many parts a file may have, whatever more a store would take.
	anyParts = 10000
)

// plan says where the parts of a file begin and end, counted as in a spool.Part: from the first byte of the media data, with
// the head before it. It is the same whoever asks, so that a part which another process has sent is known again.
type plan struct {
	equal int64 // the size of all parts but the last, and the file is cut from its first byte on; zero: it grows
	hold  int64 // media data in part 1

	smallest, largest, few int64 // parts of a file that grows

	offsets []int64 // of the parts from 2 on, as far as they were asked for
	head    int64
	end     int64 // of the media data; math.MaxInt64 while it grows
}

// growingPlan is the plan of a file whose head and length are not known yet. Its parts are as small as the store takes them, so
// that little waits for the next one, and larger the more was sent: by a thousandth of it, where 10000 parts are allowed.
// So a file of any size has parts enough: ten hours of 20 Mbit/s are some 5500.
func growingPlan(c storage.Capabilities) plan {
	p := plan{smallest: max(c.MinPartSize, least), largest: math.MaxInt64, few: anyParts / 10, end: math.MaxInt64}
	if c.MaxPartSize > 0 {
		p.largest = c.MaxPartSize
	}
	if c.MaxParts > 0 {
		p.few = max(1, min(p.few, int64(c.MaxParts)/10))
	}
	p.smallest = min(p.smallest, p.largest)
	p.hold = p.smallest
	p.offsets = []int64{p.hold}
	return p
}

// equalPlan is the plan of a file that is sent when it is whole, in parts of one size.
func equalPlan(c storage.Capabilities, f spool.File) plan {
	parts := int64(anyParts)
	if c.MaxParts > 0 {
		parts = min(parts, int64(c.MaxParts))
	}
	size := max(c.MinPartSize, 8*mebi, (f.Size/parts+mebi)/mebi*mebi)
	if c.MaxPartSize > 0 {
		size = min(size, c.MaxPartSize)
	}
	p := plan{equal: size}
	p.finish(f)
	return p
}

// finish tells the plan that the file is whole.
func (p *plan) finish(f spool.File) { p.head, p.end = f.Head, f.Size-f.Head }

// part is where a part lies. Before the end that is where it lies if the file goes on for long enough.
func (p *plan) part(number int) (offset, length int64) {
	if p.equal > 0 {
		offset = int64(number-1)*p.equal - p.head
		return offset, min(p.equal, p.end-offset)
	}
	if number <= 1 {
		return -p.head, p.head + min(p.hold, p.end)
	}
	for len(p.offsets) < number {
		last := p.offsets[len(p.offsets)-1]
		p.offsets = append(p.offsets, last+p.size(last))
	}
	offset = p.offsets[number-2]
	return offset, min(p.size(offset), p.end-offset)
}

// size is that of the part of a growing file which begins at an offset: whole mebibytes more than the smallest.
func (p *plan) size(offset int64) int64 {
	more := max(0, offset/p.few-p.smallest) / mebi * mebi
	return min(p.smallest+more, p.largest)
}

// count is how many parts the whole file has.
func (p *plan) count() int {
	n := 1
	for offset, length := p.part(1); offset+length < p.end; n++ {
		offset, length = p.part(n + 1)
	}
	return n
}
