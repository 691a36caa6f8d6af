package plugin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/recordhost/recordhost/sdk/schema"
)

// logged returns what one record becomes, without its time.
func logged(t *testing.T, log func(l *slog.Logger)) map[string]any {
	t.Helper()
	var out bytes.Buffer
	log(slog.New(newLogHandler(&out, slog.LevelDebug-4)))
	if n := bytes.Count(out.Bytes(), []byte("\n")); n != 1 {
		t.Fatalf("one record became %d lines: %s", n, out.Bytes())
	}
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	stamp, _ := line["@timestamp"].(string)
	if _, err := time.Parse("2006-01-02T15:04:05.000000Z07:00", stamp); err != nil {
		t.Errorf("the host cannot read the time: %v", err)
	}
	delete(line, "@timestamp")
	return line
}

func TestLogLines(t *testing.T) {
	type odd struct{ A, B int }
	for _, c := range []struct {
		name string
		log  func(l *slog.Logger)
		want map[string]any
	}{
		{
			"levels", func(l *slog.Logger) { l.Log(t.Context(), slog.LevelDebug-4, "m") },
			map[string]any{"@level": "trace", "@message": "m"},
		},
		{
			"values", func(l *slog.Logger) {
				l.Warn("a\nb", "n", 7, "err", errors.New("x"), "d", time.Second, "o", odd{1, 2}, "nil", nil, "f", 1.5)
			},
			map[string]any{
				"@level": "warn", "@message": "a\nb", "n": "7", "err": "x", "d": "1s", "o": "{1 2}", "nil": "<nil>", "f": "1.5",
			},
		},
		{
			"groups and With", func(l *slog.Logger) {
				l.With("a", 1).WithGroup("g").With("b", 2).WithGroup("").Error("m", "c", 3, slog.Group("h", "d", 4), slog.Group("", "e", 5))
			},
			map[string]any{"@level": "error", "@message": "m", "a": "1", "g.b": "2", "g.c": "3", "g.h.d": "4", "g.e": "5"},
		},
		{
			"keys that pass for the host's", func(l *slog.Logger) {
				l.Info("m", "@message", 1, "@level", 2, "@timestamp", 3, "@", 4, "", 5)
			},
			map[string]any{"@level": "info", "@message": "m", "message": "1", "level": "2", "timestamp": "3"},
		},
		{
			"secrets", func(l *slog.Logger) { l.Debug("m", "s", schema.NewSecret("hunter2")) },
			map[string]any{"@level": "debug", "@message": "m", "s": "(redacted)"},
		},
	} {
		if got := logged(t, c.log); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n%v, want\n%v", c.name, got, c.want)
		}
	}
}

// go-plugin's host side splits lines of more than 64 KiB and takes the pieces for anything.
func TestLogLinesAreShort(t *testing.T) {
	long := strings.Repeat("\x01é", 100_000)
	many := make([]any, 0, 2000)
	for i := range 1000 {
		many = append(many, fmt.Sprintf("key_%d", i), long)
	}
	for name, args := range map[string][]any{"message": nil, "value": {"v", long}, "many": many, "key": {long, 1}} {
		var out bytes.Buffer
		record := slog.NewRecord(time.Now(), slog.LevelInfo, long, 0)
		record.Add(args...)
		if err := newLogHandler(&out, slog.LevelInfo).Handle(t.Context(), record); err != nil {
			t.Fatal(err)
		}
		if out.Len() > 48<<10 {
			t.Errorf("%s: a line of %d bytes", name, out.Len())
		}
		if !json.Valid(out.Bytes()) {
			t.Errorf("%s: not JSON", name)
		}
	}
}

func TestLogLevel(t *testing.T) {
	var out bytes.Buffer
	l := slog.New(newLogHandler(&out, slog.LevelWarn))
	l.Info("no")
	l.Warn("yes")
	if got := out.String(); strings.Contains(got, "no\"") || !strings.Contains(got, "yes") {
		t.Errorf("at the level Warn: %s", got)
	}
	levels := map[string]slog.Level{"DEBUG": slog.LevelDebug, "ERROR": slog.LevelError, "": slog.LevelInfo, "x": slog.LevelInfo}
	for text, want := range levels {
		t.Setenv(logLevelKey, text)
		if got := logLevel(); got != want {
			t.Errorf("the level %q is %v, want %v", text, got, want)
		}
	}
}
