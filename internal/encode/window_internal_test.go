package encode

import (
	"bytes"
	"testing"
	"time"

	"github.com/recordhost/recordhost/internal/mp4"
)

const tiny = 6 // bytes of a picture of 2x2

func shade(v byte) []byte { return bytes.Repeat([]byte{v}, tiny) }

func sound(n int) []float32 { return make([]float32, n*channels) }

// feedAll takes all that waits, as a feeder does, and returns the times of the pictures.
func feedAll(w *window) (pictures []time.Duration) {
	for {
		_, _, n := w.batch(nil)
		if n == 0 {
			return pictures
		}
		for _, it := range w.items[w.fed : w.fed+n] {
			if it.pic != nil {
				pictures = append(pictures, it.pts)
			}
		}
		w.took(n)
	}
}

func equal(t *testing.T, got, want []time.Duration) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%v, not %v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%v, not %v", got, want)
		}
	}
}

const frameTime = 40 * time.Millisecond

func TestWindowFeedsAgainWhatIsOwed(t *testing.T) {
	t.Parallel()
	w := newWindow(tiny, 0, 2)
	for i := range 5 {
		if !w.video(time.Duration(i)*frameTime, shade(byte(i))) {
			t.Fatal("not taken")
		}
		w.audio(time.Duration(i)*frameTime, sound(1920))
	}
	equal(t, feedAll(w), []time.Duration{0, frameTime, 2 * frameTime, 3 * frameTime, 4 * frameTime})

	// Pictures 0, 1 and 3 came back: 2 was a B-frame that did not. From 2 on all are owed.
	w.gave([]time.Duration{0, frameTime, 3 * frameTime}, []bool{true, false, false}, 5*mp4.Packet)
	if lost, n := w.owed(5 * mp4.Packet); lost != 0 || n != 0 {
		t.Errorf("lost: %v, %d", lost, n)
	}
	first, start := w.beginning()
	if first != 2*frameTime || start != 3*mp4.Packet {
		t.Errorf("it begins with the picture of %v, and sample %d", first, start)
	}
	equal(t, feedAll(w), []time.Duration{2 * frameTime, 3 * frameTime, 4 * frameTime})
}

func TestWindowBeginsWithWhatPageShows(t *testing.T) {
	t.Parallel()
	w := newWindow(tiny, 0, 0)
	w.video(0, shade(1))
	w.audio(0, sound(48000))
	feedAll(w)
	w.gave([]time.Duration{0}, []bool{true}, 40*mp4.Packet)
	if w.complete(40 * mp4.Packet) {
		t.Error("complete, with sound missing")
	}
	w.owed(40 * mp4.Packet)
	_, pic, _ := w.batch(nil)
	for pic == nil {
		_, _, n := w.batch(nil)
		w.took(n)
		_, pic, _ = w.batch(nil)
	}
	if !bytes.Equal(pic, shade(1)) {
		t.Errorf("%v", pic)
	}
}

func TestWindowGivesUpWhatWasFedFirst(t *testing.T) {
	t.Parallel()
	w := newWindow(tiny, 4*tiny, 0)
	for i := range 3 {
		w.video(time.Duration(i)*frameTime, shade(byte(i)))
	}
	feedAll(w)
	for i := 3; i < 6; i++ {
		if !w.video(time.Duration(i)*frameTime, shade(byte(i))) {
			t.Fatalf("picture %d is dropped although older ones were fed", i)
		}
	}
	if w.bytes > 4*tiny {
		t.Errorf("%d bytes", w.bytes)
	}
	// All are waiting but one that was fed, which makes room for one more; the next is dropped.
	if !w.video(6*frameTime, shade(6)) || w.video(7*frameTime, shade(7)) {
		t.Error("the bound does not hold")
	}
	lost, n := w.owed(0)
	if n != 3 || lost != 3*frameTime {
		t.Errorf("lost: %v, %d", lost, n)
	}
	equal(t, feedAll(w), []time.Duration{3 * frameTime, 4 * frameTime, 5 * frameTime, 6 * frameTime})
}

func TestWindowDropsWhenEncoderIsBehind(t *testing.T) {
	t.Parallel()
	w := newWindow(tiny, 0, 0)
	w.video(0, shade(0))
	if !w.video(maxWait, shade(1)) || w.video(maxWait+1, shade(2)) {
		t.Error("the bound of time does not hold")
	}
}

func TestWindowTimesRise(t *testing.T) {
	t.Parallel()
	w := newWindow(tiny, 0, 0)
	for range 3 {
		w.video(frameTime, shade(0))
	}
	equal(t, feedAll(w), []time.Duration{frameTime, frameTime + closest, frameTime + 2*closest})
}

func TestWindowPushesChangeOut(t *testing.T) {
	t.Parallel()
	w := newWindow(tiny, 0, 3)
	w.video(0, shade(1))
	for i := range 200 {
		w.audio(time.Duration(i)*10*time.Millisecond, sound(480))
	}
	equal(t, feedAll(w), []time.Duration{0, repeatStep, 2 * repeatStep, 3 * repeatStep})
	w.video(2*time.Second, shade(1)) // nothing has changed: nothing to push out
	for i := range 200 {
		w.audio(2*time.Second+time.Duration(i)*10*time.Millisecond, sound(480))
	}
	equal(t, feedAll(w), []time.Duration{2 * time.Second})
}

func TestWindowLaysSoundOnItsTime(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		second time.Duration
		end    int64
	}{
		"joined":   {10 * time.Millisecond, 960},
		"rounded":  {10*time.Millisecond + 5*time.Microsecond, 960},
		"a hole":   {110 * time.Millisecond, 5760},
		"overlaps": {5 * time.Millisecond, 720},
		"repeated": {0, 480},
	} {
		w := newWindow(tiny, 0, 0)
		w.audio(time.Second, sound(480))
		w.audio(time.Second+c.second, sound(480))
		if w.soundEnd != c.end {
			t.Errorf("%s: %d samples, not %d", name, w.soundEnd, c.end)
		}
	}
	w := newWindow(tiny, 0, 0)
	w.audio(0, sound(480))
	if w.audio(24*time.Hour, sound(480)) {
		t.Error("a day of silence is kept in memory")
	}
}

func TestWindowForgetsWhatIsInFragments(t *testing.T) {
	t.Parallel()
	w := newWindow(tiny, 0, 0)
	var at time.Duration
	for i := range 1000 {
		at = time.Duration(i) * frameTime
		if !w.video(at, shade(byte(i))) || !w.audio(at, sound(1920)) {
			t.Fatal("not taken")
		}
		feedAll(w)
		w.gave([]time.Duration{at}, []bool{i%50 == 0}, int64(i+1)*1920)
	}
	if len(w.items) > 10 || w.bytes > 10*tiny {
		t.Errorf("%d items, %d bytes are kept", len(w.items), w.bytes)
	}
	if !w.complete(1000 * 1920) {
		t.Error("not complete")
	}
}

// TestWindowDoesNotWaitForWhatNeverComes: a picture that ffmpeg swallowed is settled by the next where decoding begins.
func TestWindowDoesNotWaitForWhatNeverComes(t *testing.T) {
	t.Parallel()
	w := newWindow(tiny, 0, 0)
	for i := range 3 {
		w.video(time.Duration(i)*frameTime, shade(byte(i)))
	}
	feedAll(w)
	w.gave([]time.Duration{0, 2 * frameTime}, []bool{true, true}, 0)
	if !w.complete(0) {
		t.Error("it still waits")
	}
}

func TestWatchdog(t *testing.T) {
	t.Parallel()
	busy := func(written int64) glance { return glance{written: written, busy: true} }
	for name, c := range map[string]struct {
		glance func(i int) glance
		cpu    time.Duration // for each look
		wants  bool
		looks  int // until it barks; 0: never
	}{
		"works":                {glance: func(i int) glance { return busy(int64(i)) }},
		"has nothing to do":    {glance: func(int) glance { return glance{} }},
		"stands still":         {glance: func(int) glance { return busy(0) }, looks: soon},
		"is starved":           {glance: func(int) glance { return busy(0) }, wants: true, looks: late},
		"computes for ever":    {glance: func(int) glance { return busy(0) }, cpu: look, looks: late},
		"waits for the output": {glance: func(int) glance { return glance{busy: true, storing: true} }},
		"gives nothing": {
			glance: func(i int) glance {
				return glance{written: int64(i), busy: true, fragments: 1, fedSound: int64(i+1) * sampleRate / 2}
			},
			looks: late,
		},
	} {
		var spent time.Duration
		dog := watchdog{
			cpu: func() (time.Duration, error) { return spent, nil }, wants: func() bool { return c.wants },
		}
		barked := 0
		for i := 1; i <= 100 && barked == 0; i++ {
			if dog.look(c.glance(i)) != nil {
				barked = i
			}
			spent += c.cpu
		}
		if barked != c.looks {
			t.Errorf("%s: look %d, not %d", name, barked, c.looks)
		}
	}
}

func TestMatroskaHead(t *testing.T) {
	t.Parallel()
	head := matroskaHead(1280, 720, 30)
	if !bytes.HasPrefix(head, []byte{0x1A, 0x45, 0xDF, 0xA3}) || !bytes.Contains(head, []byte("V_UNCOMPRESSED")) {
		t.Errorf("% x", head)
	}
	want := []byte{
		0x1F, 0x43, 0xB6, 0x75, 0x01, 0, 0, 0, 0, 0, 0, 17 + 9 + 4 + 6, // a cluster
		0xE7, 0x01, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0x00, 0x98, 0x96, 0x81, // its time: ten seconds and a tick
		0xA3, 0x01, 0, 0, 0, 0, 0, 0, 4 + 6, 0x81, 0, 0, 0x80, // a block of six bytes
	}
	if got := blockHead(nil, videoTrack, 600*time.Nanosecond, tiny); !bytes.Equal(got, want) {
		t.Errorf("% x\nnot % x", got, want)
	}
}
