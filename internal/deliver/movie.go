package deliver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"sync"

	"github.com/recordhost/recordhost/internal/spool"
	"github.com/recordhost/recordhost/sdk/status"
	"github.com/recordhost/recordhost/sdk/storage"
)

const contentType = "video/mp4"

const (
	// putUpTo is the size up to which a file that has not begun to go up in parts is stored in one call.
	putUpTo = 16 << 20

	// lanes is how many parts go up at once when many are left after the recording's end. Before, and for the few that are
	// left as a rule, it is one: a process that dies has at most one part sent in vain.
	lanes   = 4
	manyNow = 4
)

// Movie is the Cargo of one progressive MP4. Its head, with the index, is known last and stands first. Where the store takes
// parts out of order the media data goes up as parts 2, 3, … while it grows, and part 1, which is the head and the first
// bytes of the media data, at the end: behind Stop there is little left to send, whatever the length. Where the store
// wants its parts in order, or all of one size, which the head has not, the file is sent in parts when it is whole; a store
// without parts gets it in one call.
type Movie struct{}

var _ Cargo = Movie{}

// Carry implements Cargo.
func (Movie) Carry(ctx context.Context, l *Leg) error {
	m := &movie{leg: l, done: map[int]proof{}}
	if !l.caps.Parts {
		return m.put(ctx)
	}
	grows := l.caps.OutOfOrder && !l.caps.EqualParts
	growing := grows && !l.Spool().Facts().Ended
	if growing {
		m.plan = growingPlan(l.caps)
		if err := m.resume(); err != nil {
			return err
		}
		if err := m.follow(ctx); err != nil {
			return err
		}
	}
	if err := m.awaitWhole(ctx); err != nil {
		return err
	}
	f := l.File()
	switch {
	case growing:
		m.plan.finish(f)
	case grows:
		m.plan = growingPlan(l.caps)
		m.plan.finish(f)
	default:
		m.plan = equalPlan(l.caps, f)
	}
	if !growing {
		if err := m.resume(); err != nil {
			return err
		}
	}
	if m.upload == nil && f.Size <= putUpTo {
		return m.put(ctx)
	}
	return m.rest(ctx)
}

// Confirm implements Cargo. A checksum of the whole that can be put together from those of the parts is; for one that cannot,
// such as MD5, the file is read.
func (Movie) Confirm(_ context.Context, l *Leg, at storage.Location) error {
	_, parts := l.Sent()
	return confirm(at, l.File(), parts)
}

// movie is one Carry of a Movie. Its goroutine alone uses it, but for done, which mu guards.
type movie struct {
	leg    *Leg
	plan   plan
	upload storage.Upload // nil before it is begun

	mu   sync.Mutex
	done map[int]proof // the parts that the store has, by number
}

// proof is what the journal keeps of a part.
type proof struct {
	Receipt storage.Receipt `json:"receipt"`
	CRC64   uint64          `json:"crc64,string"` // ECMA, of the local bytes
	Where   uint32          `json:"where"`        // a checksum of the names and places of the local bytes
}

// put stores the file in one call.
func (m *movie) put(ctx context.Context) error {
	if err := m.awaitWhole(ctx); err != nil {
		return err
	}
	l, f := m.leg, m.leg.File()
	_, err := Do(ctx, l, "store", f.Size, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, l.Driver().Put(ctx, l.State(), storage.File{
			Name: l.Delivery().Main, Extents: extents(f.Extents), Size: f.Size, ContentType: contentType,
		})
	})
	return m.expired(err)
}

// expired: a delivery that was open and is not any more can be opened anew.
func (m *movie) expired(err error) error {
	if errors.Is(err, status.FailedPrecondition) {
		return m.leg.Anew(err)
	}
	return err
}

func (m *movie) awaitWhole(ctx context.Context) error {
	select {
	case <-m.leg.Whole():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("deliver: wait for the end of the recording: %w", context.Cause(ctx))
	}
}

// resume takes over what the journal knows to be in the store. Where that does not fit what is local now, which takes a
// damaged disk or another version of a plugin, all is sent anew.
func (m *movie) resume() error {
	upload, parts := m.leg.Sent()
	m.upload = upload
	for _, p := range parts {
		var known proof
		err := json.Unmarshal(p.Note, &known)
		offset, length := m.plan.part(p.Number)
		if err != nil || p.Offset != offset || p.Length != length ||
			p.Number > 1 && known.Where != place(m.local(p.Offset, p.Length)) {
			return m.leg.Anew(fmt.Errorf("part %d of the upload that was begun is not one of this recording", p.Number))
		}
		m.done[p.Number] = known
	}
	return nil
}

// follow sends the parts of the media data as they come to the disk, one after the other, until the recording is whole. The
// upload is begun when there is something to send.
func (m *movie) follow(ctx context.Context) error {
	for n := 2; !m.leg.isWhole(); {
		if _, sent := m.done[n]; sent {
			n++
			continue
		}
		media, more := m.leg.Spool().Media()
		offset, length := m.plan.part(n)
		if offset+length <= media {
			if err := m.send(ctx, n); err != nil {
				return err
			}
			continue
		}
		select {
		case <-more:
		case <-m.leg.Whole():
		case <-ctx.Done():
			return fmt.Errorf("deliver: wait for more: %w", context.Cause(ctx))
		}
	}
	return nil
}

// rest sends what is missing once the file is whole, and has the store make the file of it.
func (m *movie) rest(ctx context.Context) error {
	var missing []int
	for n := 2; n <= m.plan.count(); n++ {
		if _, sent := m.done[n]; !sent {
			missing = append(missing, n)
		}
	}
	if _, sent := m.done[1]; !sent {
		missing = append(missing, 1)
	}
	if len(missing) > 0 {
		if err := m.begin(ctx); err != nil {
			return err
		}
	}
	if err := m.sendAll(ctx, missing); err != nil {
		return err
	}
	return m.assemble(ctx)
}

// sendAll sends parts, several at once where there are many and the store takes them in any order.
func (m *movie) sendAll(ctx context.Context, numbers []int) error {
	n := 1
	if len(numbers) >= manyNow && m.leg.caps.OutOfOrder {
		n = lanes
	} else if !m.leg.caps.OutOfOrder && len(numbers) > 0 { // in order: part 1 first
		numbers = append([]int{numbers[len(numbers)-1]}, numbers[:len(numbers)-1]...)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan int, len(numbers))
	for _, number := range numbers {
		queue <- number
	}
	close(queue)
	var sending sync.WaitGroup
	var first error
	var once sync.Once
	for range n {
		sending.Go(func() {
			for number := range queue {
				if err := m.send(ctx, number); err != nil {
					once.Do(func() { first = err; cancel(err) })
					return
				}
			}
		})
	}
	sending.Wait()
	return first
}

// begin begins the upload, and journals it before a byte is sent.
func (m *movie) begin(ctx context.Context) error {
	if m.upload != nil {
		return nil
	}
	l := m.leg
	upload, err := Do(ctx, l, "begin parts", 0, func(ctx context.Context) (storage.Upload, error) {
		return l.Driver().BeginParts(ctx, l.State(), storage.Growing{
			Name: l.Delivery().Main, ContentType: contentType, PartSize: m.plan.equal,
		})
	})
	if err != nil {
		return m.expired(err)
	}
	m.upload = upload
	return l.Upload(upload)
}

// send sends one part, compares what the store says of it with what is local, and journals it.
func (m *movie) send(ctx context.Context, number int) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	l := m.leg
	if most := l.caps.MaxParts; most > 0 && number > most {
		return status.Errorf(status.InvalidArgument, "deliver: the file would have more than the %d parts that the store takes", most)
	}
	offset, length := m.plan.part(number)
	local := m.local(offset, length)
	sent, err := Do(ctx, l, fmt.Sprintf("send part %d", number), length, func(ctx context.Context) (proof, error) {
		receipt, err := l.Driver().PutPart(ctx, l.State(), m.upload, storage.Part{Number: number, Extents: local})
		if errors.Is(err, status.NotFound) || errors.Is(err, status.FailedPrecondition) { // the upload is gone, or its session
			return proof{}, l.Anew(err)
		}
		if err != nil {
			return proof{}, err
		}
		return prove(receipt, local, length)
	})
	if err != nil {
		return err
	}
	sent.Where = place(local)
	note, err := json.Marshal(sent)
	if err != nil {
		return fmt.Errorf("deliver: %w", err)
	}
	m.mu.Lock()
	m.done[number] = sent
	m.mu.Unlock()
	return l.Confirmed(spool.Part{Number: number, Offset: offset, Length: length, Note: note})
}

// assemble has the store make the file of its parts. A store that does not know the upload may have done so before, and its
// answer was lost: then it has the file.
func (m *movie) assemble(ctx context.Context) error {
	l := m.leg
	var receipts []storage.Receipt
	for n := 1; n <= m.plan.count(); n++ {
		receipts = append(receipts, m.done[n].Receipt)
	}
	_, err := Do(ctx, l, "finish parts", 0, func(ctx context.Context) (struct{}, error) {
		err := l.Driver().FinishParts(ctx, l.State(), m.upload, receipts)
		switch status.KindOf(err) { //nolint:exhaustive // the rest is Do's
		case status.NotFound, status.FailedPrecondition, status.InvalidArgument:
			if !m.there(ctx) {
				return struct{}{}, l.Anew(err)
			}
			return struct{}{}, nil
		default:
			return struct{}{}, err
		}
	})
	return err
}

// there asks whether the store has the file.
func (m *movie) there(ctx context.Context) bool {
	at, err := m.leg.Driver().Commit(ctx, m.leg.State())
	return err == nil && Movie{}.Confirm(ctx, m.leg, at) == nil
}

// local is where a range of the recording lies, counted as a spool.Part's.
func (m *movie) local(offset, length int64) []storage.Extent {
	if f := m.leg.File(); f.Size > 0 {
		return extents(f.Extents.Slice(f.Head+offset, length))
	}
	return extents(m.leg.Spool().MediaExtents(offset, length))
}

// place is a checksum of names and places.
func place(local []storage.Extent) uint32 {
	sum := crc32.NewIEEE()
	for _, e := range local {
		fmt.Fprintf(sum, "%s:%d:%d\n", filepath.Base(e.Path), e.Offset, e.Length)
	}
	return sum.Sum32()
}
