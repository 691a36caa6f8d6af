package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
)

// The form of a bbolt file. bbolt itself trusts its pages: a damaged one can make it read outside of the file, or for ever,
// in ways that no recovery catches. So a file is read by this first, which trusts nothing.
const (
	pageHeader    = 16 // id, flags, count, overflow
	elementSize   = 16
	branchPage    = 0x01
	leafPage      = 0x02
	metaPage      = 0x04
	freelistPage  = 0x10
	bucketEntry   = 0x01 // flag of a leaf's element that is a bucket
	bucketHeader  = 16   // root, sequence
	metaMagic     = 0xED0CDAED
	metaVersion   = 2
	metaSummed    = 56 // bytes that its checksum is over
	maxTreeDepth  = 64
	manyFreePages = 0xFFFF // the freelist's own count is elsewhere
)

var errPages = errors.New("a page is damaged")

// pages is a bbolt file that was read whole. Its methods note what is wrong and go on with what can be read.
type pages struct {
	data  []byte
	size  int             // of a page
	limit uint64          // pages that are in use, or free
	seen  map[uint64]bool // that belong to something
	errs  []error
}

// buckets are the keys and values of the buckets at the top, each in the file's order.
type buckets map[string][]pair

type pair struct{ key, value []byte }

func (p *pages) wrong(format string, args ...any) {
	const enough = 20 // a whole file of damage need not be told whole
	if len(p.errs) < enough {
		p.errs = append(p.errs, fmt.Errorf("%w: %s", errPages, fmt.Sprintf(format, args...)))
	}
}

// readPages reads a file's content. What can be read is answered even where something is wrong.
func readPages(data []byte) (buckets, error) {
	p := &pages{data: data, seen: map[uint64]bool{0: true, 1: true}}
	all := make(buckets)
	meta := p.meta()
	if meta == nil {
		return all, errors.Join(p.errs...)
	}
	p.limit = word(meta[40:])
	if p.limit > uint64(len(data)/p.size) {
		p.wrong("the file has %d pages, and says that it has %d", len(data)/p.size, p.limit)
		p.limit = uint64(len(data) / p.size)
	}
	p.tree(word(meta[16:]), 0, nil, func(flags uint32, name, value []byte) {
		if flags != bucketEntry {
			p.wrong("there is something beside the buckets")
			return
		}
		all[string(name)] = p.bucket(name, value)
	})
	p.freelist(word(meta[32:]))
	for id := range p.limit {
		if !p.seen[id] {
			p.wrong("page %d belongs to nothing", id)
		}
	}
	return all, errors.Join(p.errs...)
}

// meta answers the latest of the two heads. Where one is damaged the last change may be missing from what the other says.
func (p *pages) meta() []byte {
	p.size = p.pageSize()
	if p.size == 0 {
		p.wrong("neither of the file's heads can be read")
		return nil
	}
	var latest []byte
	for id := range 2 {
		m := metaAt(p.data, id*p.size)
		switch {
		case m == nil || int(binary.NativeEndian.Uint32(m[8:])) != p.size || word(m[48:])%2 != uint64(id):
			p.wrong("head %d", id)
		case latest == nil || word(m[48:]) > word(latest[48:]):
			latest = m
		}
	}
	return latest
}

// pageSize is what a head that is whole says.
func (p *pages) pageSize() int {
	for at := 0; at <= 1<<16 && at < len(p.data); at = max(1<<10, 2*at) {
		if m := metaAt(p.data, at); m != nil {
			size := int(binary.NativeEndian.Uint32(m[8:]))
			if size >= 1<<10 && size <= 1<<16 && size&(size-1) == 0 && len(p.data) >= 2*size {
				return size
			}
		}
	}
	return 0
}

// metaAt answers the head in a page at an offset, nil when it is not whole.
func metaAt(data []byte, at int) []byte {
	const size = metaSummed + 8
	if at+pageHeader+size > len(data) || binary.NativeEndian.Uint16(data[at+8:]) != metaPage {
		return nil
	}
	m := data[at+pageHeader:][:size]
	sum := fnv.New64a()
	_, _ = sum.Write(m[:metaSummed])
	if binary.NativeEndian.Uint32(m) != metaMagic || binary.NativeEndian.Uint32(m[4:]) != metaVersion ||
		word(m[metaSummed:]) != sum.Sum64() {
		return nil
	}
	return m
}

func word(b []byte) uint64 { return binary.NativeEndian.Uint64(b) }

// page claims a page and those that it flows over into.
func (p *pages) page(id uint64) []byte {
	if id < 2 || id >= p.limit {
		p.wrong("page %d does not exist", id)
		return nil
	}
	start := int(id) * p.size
	overflow := uint64(binary.NativeEndian.Uint32(p.data[start+12:]))
	if word(p.data[start:]) != id || overflow >= p.limit-id {
		p.wrong("the head of page %d", id)
		return nil
	}
	for i := id; i <= id+overflow; i++ {
		if p.seen[i] {
			p.wrong("page %d belongs to two", i)
			return nil
		}
		p.seen[i] = true
	}
	return p.data[start : start+int(overflow+1)*p.size]
}

// tree hands out the elements of all leaves below a page, in their order. Keys are not below least.
func (p *pages) tree(id uint64, depth int, least []byte, each func(flags uint32, key, value []byte)) {
	page := p.page(id)
	if page == nil {
		return
	}
	if depth > maxTreeDepth {
		p.wrong("the tree is too deep at page %d", id)
		return
	}
	switch flags := binary.NativeEndian.Uint16(page[8:]); flags {
	case leafPage:
		p.leaf(page, id, least, each)
	case branchPage:
		p.branch(page, id, depth, least, each)
	default:
		p.wrong("page %d is of no kind: %d", id, flags)
	}
}

// elements answers how many there are in a page.
func (p *pages) elements(page []byte, id uint64) int {
	count := int(binary.NativeEndian.Uint16(page[10:]))
	if pageHeader+count*elementSize > len(page) {
		p.wrong("page %d does not hold the %d elements that it says", id, count)
		return 0
	}
	return count
}

func (p *pages) branch(page []byte, id uint64, depth int, least []byte, each func(uint32, []byte, []byte)) {
	count := p.elements(page, id)
	if count == 0 {
		p.wrong("page %d leads nowhere", id)
	}
	for i := range count {
		at := pageHeader + i*elementSize
		e := page[at:]
		key := part(e, binary.NativeEndian.Uint32(e), binary.NativeEndian.Uint32(e[4:]))
		if key == nil || bytes.Compare(key, least) < 0 {
			p.wrong("key %d of page %d", i, id)
			key = least
		}
		p.tree(word(e[8:]), depth+1, key, each)
		least = key
	}
}

func (p *pages) leaf(page []byte, id uint64, least []byte, each func(uint32, []byte, []byte)) {
	for i := range p.elements(page, id) {
		e := page[pageHeader+i*elementSize:]
		pos, keySize, valueSize := binary.NativeEndian.Uint32(e[4:]), binary.NativeEndian.Uint32(e[8:]), binary.NativeEndian.Uint32(e[12:])
		key := part(e, pos, keySize)
		if key == nil || uint64(pos)+uint64(keySize)+uint64(valueSize) > uint64(len(e)) {
			p.wrong("element %d of page %d", i, id)
			continue
		}
		if c := bytes.Compare(key, least); c < 0 || c == 0 && i > 0 {
			p.wrong("the order of page %d at element %d", id, i)
		}
		least = key
		each(binary.NativeEndian.Uint32(e), key, e[pos+keySize:][:valueSize])
	}
}

// part is a key; nil when there is none in these bounds.
func part(e []byte, pos, size uint32) []byte {
	if size == 0 || uint64(pos)+uint64(size) > uint64(len(e)) || pos < elementSize {
		return nil
	}
	return e[pos:][:size]
}

// bucket reads a bucket, which is a tree of its own, or stands in the value where it is small.
func (p *pages) bucket(name, value []byte) (all []pair) {
	each := func(flags uint32, key, value []byte) {
		if flags != 0 {
			p.wrong("bucket %q holds a bucket", name)
			return
		}
		all = append(all, pair{key, value})
	}
	switch {
	case len(value) < bucketHeader:
		p.wrong("bucket %q", name)
	case word(value) != 0:
		p.tree(word(value), 0, nil, each)
	case len(value) < bucketHeader+pageHeader || binary.NativeEndian.Uint16(value[bucketHeader+8:]) != leafPage:
		p.wrong("bucket %q", name)
	default:
		p.leaf(value[bucketHeader:], 0, nil, each)
	}
	return all
}

// freelist claims the pages that are free. It comes last: a page that is used and free is wrong.
func (p *pages) freelist(id uint64) {
	page := p.page(id)
	if page == nil {
		return
	}
	if binary.NativeEndian.Uint16(page[8:]) != freelistPage {
		p.wrong("page %d is not the list of free pages", id)
		return
	}
	list, count := page[pageHeader:], uint64(binary.NativeEndian.Uint16(page[10:]))
	if count == manyFreePages {
		count, list = word(list), list[8:]
	}
	if count > uint64(len(list)/8) {
		p.wrong("the list of free pages is too long: %d", count)
		return
	}
	for i := range count {
		free := word(list[8*i:])
		if free < 2 || free >= p.limit || p.seen[free] {
			p.wrong("page %d is not free", free)
			continue
		}
		p.seen[free] = true
	}
}
