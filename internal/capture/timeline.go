package capture

import "slices"

// timeline says which ticks are recorded, and where they lie in the recording once the pauses are cut out. Pictures
// come late by the depth of Chrome's pipeline, so spans that have ended are still asked for.
type timeline struct {
	spans []span
}

// span is a stretch of ticks that is recorded: first ≤ tick < end. It begins at offset in the recording.
type span struct {
	first, end int64
	offset     int64
}

const (
	openEnd   = int64(1) << 62 // of a span that has not ended
	keptSpans = 8              // more pauses than these do not fit into the depth of the pipeline
)

// open says that the present tick is recorded.
func (t *timeline) open() bool {
	return len(t.spans) > 0 && t.spans[len(t.spans)-1].end == openEnd
}

// begin records from tick k on.
func (t *timeline) begin(k int64) {
	if t.open() {
		return
	}
	t.spans = append(t.spans, span{first: k, end: openEnd, offset: t.length(k)})
	if len(t.spans) > keptSpans {
		t.spans = t.spans[1:]
	}
}

// cease records no more from tick k on.
func (t *timeline) cease(k int64) {
	if t.open() {
		last := &t.spans[len(t.spans)-1]
		last.end = max(k, last.first)
	}
}

// length answers how many ticks are recorded before tick k.
func (t *timeline) length(k int64) int64 {
	if len(t.spans) == 0 {
		return 0
	}
	last := t.spans[len(t.spans)-1]
	return last.offset + max(min(k, last.end)-last.first, 0)
}

// find answers the span that tick k is recorded in.
func (t *timeline) find(k int64) (span, bool) {
	for _, s := range slices.Backward(t.spans) {
		if k >= s.first && k < s.end {
			return s, true
		}
	}
	return span{}, false
}
