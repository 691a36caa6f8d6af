package e2e_test

import (
	"testing"
	"time"

	"github.com/recordhost/recordhost/test/media"
)

// small is a size that leaves the machine time for what is tested.
func small() []string { return []string{"--width", "480", "--height", "270", "--fps", "15"} }

func TestSoundOfEveryKind(t *testing.T) {
	const length = 5 * time.Second
	for name, query := range map[string]string{
		"at 44.1 kHz": "rate=44100", "at 22.05 kHz": "rate=22050",
		"of one channel": "mono=1", "of one channel at 44.1 kHz": "mono=1&rate=44100",
	} {
		t.Run(name, func(t *testing.T) {
			f := record(t, servePages(t).URL("sound.html?"+query), append(small(), "--duration", length.String())...)
			r := f.read(t)
			checkSound(t, r, length)
			checkBeepInBothChannels(t, f, r)
		})
	}
}

// checkBeepInBothChannels measures the tone in the middle of the second beep.
func checkBeepInBothChannels(t *testing.T, f film, r reading) {
	t.Helper()
	beeps := r.recording.Beeps
	if len(beeps) < 2 {
		t.Fatalf("%d beeps", len(beeps))
	}
	levels, err := media.Levels(limit(t), f.file, beeps[1]+25*time.Millisecond, 50*time.Millisecond, 1000, 1500)
	if err != nil {
		t.Fatal(err)
	}
	if tone := levels[0]; tone.Left < 0.6 || tone.Right < 0.6 || tone.Left > 0.95 || tone.Right > 0.95 {
		t.Errorf("the tone of 1 kHz is as loud as %+v, want 0.8", tone)
	}
	if other := levels[1]; other.Left > 0.1 || other.Right > 0.1 {
		t.Errorf("1.5 kHz is as loud as %+v", other)
	}
}

func TestSoundThatBeginsLate(t *testing.T) {
	const length = 6 * time.Second
	f := record(t, servePages(t).URL("sound.html?late=4"), append(small(), "--duration", length.String())...)
	r := f.read(t)
	if r.Beeps < 1 || r.Beeps > 4 {
		t.Fatalf("%d beeps", r.Beeps)
	}
	near(t, "length of the sound", r.AudioSeconds, length.Seconds(), 0.1)
	// The first beep is a second after the sound began, which is four seconds after the page.
	first := r.recording.Frames[0].Clock + uint32(r.recording.Beeps[0].Milliseconds())
	if first < 4900 || first > 7000 {
		t.Errorf("the first beep is heard at the page's millisecond %d, want 5000", first)
	}
	if s := r.PlusHalfFrame; s == nil || s.Median > 80 || s.Median < -80 {
		t.Errorf("sound minus picture %+v", s)
	}
}

func TestSoundThatIsOpenedTwice(t *testing.T) {
	const length = 8 * time.Second
	f := record(t, servePages(t).URL("sound.html?twice=1"), append(small(), "--duration", length.String())...)
	r := f.read(t)
	if r.Beeps < 3 || r.Flashes < 3 {
		t.Errorf("%d beeps, %d flashes", r.Beeps, r.Flashes)
	}
	if s := r.PlusHalfFrame; s == nil || s.Median > 80 || s.Median < -80 {
		t.Errorf("sound minus picture %+v", s)
	}
	near(t, "length of the sound", r.AudioSeconds, length.Seconds(), 0.1)
}

func TestSeveralElementsPlayAtOnce(t *testing.T) {
	server := servePages(t)
	f := record(t, server.URL("elements.html"), append(small(), "--duration", "6s")...)
	if reports := server.Reports("playing"); len(reports) == 0 {
		t.Fatalf("nothing plays: %v", server.Reports("broken"))
	}
	levels, err := media.Levels(limit(t), f.file, 4*time.Second, time.Second, 500, 900, 1300, 700)
	if err != nil {
		t.Fatal(err)
	}
	for i, hertz := range []int{500, 900, 1300} {
		near(t, "left", levels[i].Left, 0.2, 0.04)
		near(t, "right", levels[i].Right, 0.2, 0.04)
		if t.Failed() {
			t.Fatalf("the tone of %d Hz is as loud as %+v, want 0.2", hertz, levels[i])
		}
	}
	if none := levels[3]; none.Left > 0.01 || none.Right > 0.01 {
		t.Errorf("700 Hz, which nobody plays, is as loud as %+v", none)
	}
}
