package pluginhost

import (
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestLineLog(t *testing.T) {
	for name, c := range map[string]struct {
		writes []string
		want   []string
	}{
		"a record": {
			[]string{`{"@level":"warn","@message":"m","@timestamp":"2026-01-02T03:04:05.000000Z","a":"b","n":1}` + "\n"},
			[]string{"level=WARN msg=m a=b n=1"},
		},
		"in pieces":      {[]string{"one", " line\ntwo", "\n"}, []string{`level=INFO msg="one line"`, "level=INFO msg=two"}},
		"without an end": {[]string{"unfinished"}, nil},
		"empty lines":    {[]string{"\n\r\n  \n"}, nil},
		"an unknown level": {
			[]string{`{"@level":"loud","@message":"m"}` + "\n"},
			[]string{`level=INFO msg="{\"@level\":\"loud\",\"@message\":\"m\"}"`},
		},
		"a level of no string": {
			[]string{`{"@level":1,"@message":"m"}` + "\n"},
			[]string{`level=INFO msg="{\"@level\":1,\"@message\":\"m\"}"`},
		},
		"a forged line": {
			[]string{`{"@level":"info","@message":"a\nlevel=ERROR b"}` + "\n"},
			[]string{`level=INFO msg="a level=ERROR b"`},
		},
		"a panic": {
			[]string{"fine\npanic: oh\n\ngoroutine 1 [running]:\n"},
			[]string{"level=INFO msg=fine", `level=ERROR msg="panic: oh"`, `level=ERROR msg="goroutine 1 [running]:"`},
		},
	} {
		book := &logBook{}
		handler := slog.NewTextHandler(book, &slog.HandlerOptions{
			Level: slog.LevelDebug,
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			},
		})
		l := newLineLog(slog.New(handler), slog.LevelInfo)
		for _, w := range c.writes {
			if n, err := l.Write([]byte(w)); n != len(w) || err != nil {
				t.Errorf("%s: wrote %d, %v", name, n, err)
			}
		}
		if got, want := book.String(), strings.Join(append(c.want, ""), "\n"); got != want {
			t.Errorf("%s: logged\n%swant\n%s", name, got, want)
		}
	}
}

func TestLineLogIsBounded(t *testing.T) {
	book := &logBook{}
	l := newLineLog(slog.New(slog.NewTextHandler(book, nil)), slog.LevelInfo)
	long := strings.Repeat("x", 10*maxLine) // without an end
	if _, err := l.Write([]byte(long)); err != nil {
		t.Fatal(err)
	}
	if n := len(book.String()); n > 11*(maxText+200) {
		t.Errorf("a line of %d bytes became %d bytes of the log", len(long), n)
	}
	if cap(l.part) > 2*maxLine {
		t.Errorf("%d bytes are held", cap(l.part))
	}

	start := time.Now()
	logged := 0
	for range 10 * linesAtOnce {
		if l.affordable(start) {
			logged++
		}
	}
	if logged > linesAtOnce || l.dropped == 0 {
		t.Errorf("%d lines were logged at once, %d dropped", logged, l.dropped)
	}
	if !l.affordable(start.Add(time.Second)) || l.dropped != 0 {
		t.Error("nothing is logged a second later")
	}
	if !strings.Contains(book.String(), "lines were dropped") {
		t.Error("the log does not tell that lines were dropped")
	}
}

// go-plugin's own messages come under the plugin's name, and only where somebody debugs.
func TestGoPluginsOwnLog(t *testing.T) {
	for level, want := range map[slog.Level]bool{slog.LevelInfo: false, slog.LevelDebug: true} {
		book := &logBook{}
		log := slog.New(slog.NewTextHandler(book, &slog.HandlerOptions{Level: level})).With("plugin", "storage-x")
		goPluginLog(t.Context(), log).Error("plugin process exited", "id", "1")
		if got := book.String(); strings.Contains(got, "plugin process exited") != want || strings.Contains(got, "level=ERROR") {
			t.Errorf("level %v: %q", level, got)
		}
	}
}

func TestLeastLevel(t *testing.T) {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		log := slog.New(slog.NewTextHandler(&logBook{}, &slog.HandlerOptions{Level: level}))
		if got := leastLevel(t.Context(), log); got != level {
			t.Errorf("%v for a log of %v", got, level)
		}
	}
}
