package pluginhost

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/hashicorp/go-hclog"
)

const (
	maxLine = 64 << 10 // bytes; a longer line is logged in pieces
	maxText = 4 << 10  // bytes of one text in the log

	linesAtOnce    = 500 // may come in a burst
	linesPerSecond = 100 // may come for ever; what is more is counted, not logged
)

// lineLog is a writer that turns lines into log records: those in the form of the SDK's logger with their level, message
// and attributes, and all others, whatever they are, as text. The plugin writes them, so nothing in them is trusted: not
// to have a form, to be short, to be few, or to be printable.
type lineLog struct {
	log   *slog.Logger
	plain slog.Level // of lines that tell none

	mu      sync.Mutex
	part    []byte
	panics  bool // what follows is the trace of a panic
	budget  float64
	counted time.Time
	dropped int
}

func newLineLog(log *slog.Logger, plain slog.Level) *lineLog {
	return &lineLog{log: log, plain: plain, budget: linesAtOnce, counted: time.Now()}
}

// Write implements io.Writer; it never fails.
func (l *lineLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(p)
	for len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte{'\n'})
		room := maxLine - len(l.part)
		if len(line) > room {
			line, rest, whole = p[:room], p[room:], true
		}
		l.part = append(l.part, line...)
		p = rest
		if whole {
			l.line(l.part)
			l.part = l.part[:0]
		}
	}
	return n, nil
}

func (l *lineLog) line(line []byte) {
	line = bytes.TrimSpace(line)
	if len(line) == 0 || !l.affordable(time.Now()) {
		return
	}
	if level, message, attrs, ok := record(line); ok {
		l.log.LogAttrs(context.Background(), level, message, attrs...) //nolint:sloglint // the plugin's words
		return
	}
	l.panics = l.panics || bytes.HasPrefix(line, []byte("panic: ")) || bytes.HasPrefix(line, []byte("fatal error: "))
	level := l.plain
	if l.panics {
		level = slog.LevelError
	}
	l.log.Log(context.Background(), level, clean(string(line))) //nolint:sloglint // the plugin's words
}

// affordable bounds how much a plugin may log, and tells what was dropped as soon as there is room again.
func (l *lineLog) affordable(now time.Time) bool {
	l.budget = min(linesAtOnce, l.budget+now.Sub(l.counted).Seconds()*linesPerSecond)
	l.counted = now
	if l.budget < 1 {
		l.dropped++
		return false
	}
	l.budget--
	if l.dropped > 0 {
		l.log.Warn("the plugin writes too much: lines were dropped", "lines", l.dropped)
		l.dropped = 0
	}
	return true
}

// record reads a line in the form of hclog's JSON, which the SDK writes.
func record(line []byte) (slog.Level, string, []slog.Attr, bool) {
	var fields map[string]any
	if line[0] != '{' || json.Unmarshal(line, &fields) != nil {
		return 0, "", nil, false
	}
	message, hasMessage := fields["@message"].(string)
	name, hasLevel := fields["@level"].(string)
	level, known := levelOf(name)
	if !hasMessage || !hasLevel || !known {
		return 0, "", nil, false
	}
	for _, key := range []string{"@message", "@level", "@timestamp", "@module", "@caller"} {
		delete(fields, key)
	}
	var attrs []slog.Attr
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		attrs = append(attrs, slog.String(clean(key), text(fields[key])))
	}
	return level, clean(message), attrs, true
}

// levelOf reads hclog's name of a level.
func levelOf(name string) (level slog.Level, known bool) {
	switch strings.ToLower(name) {
	case "trace":
		return slog.LevelDebug - 4, true
	case "debug":
		return slog.LevelDebug, true
	case "info":
		return slog.LevelInfo, true
	case "warn":
		return slog.LevelWarn, true
	case "error":
		return slog.LevelError, true
	default:
		return 0, false
	}
}

func text(value any) string {
	if s, ok := value.(string); ok {
		return clean(s)
	}
	b, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return clean(string(b))
}

// clean is a bounded text without control characters.
func clean(s string) string {
	if len(s) > maxText {
		s = s[:maxText] + "…"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsPrint(r):
			return r
		default:
			return unicode.ReplacementChar
		}
	}, s)
}

// leastLevel is the least level that log takes.
func leastLevel(ctx context.Context, log *slog.Logger) slog.Level {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn} {
		if log.Enabled(ctx, level) {
			return level
		}
	}
	return slog.LevelError
}

// goPluginLog is go-plugin's own logger. All it says is for debugging: what matters is reported by the supervisor, once and
// under the plugin's name.
func goPluginLog(ctx context.Context, log *slog.Logger) hclog.Logger {
	if !log.Enabled(ctx, slog.LevelDebug) {
		return hclog.NewNullLogger()
	}
	return hclog.New(&hclog.LoggerOptions{
		Name: "go-plugin", Output: newLineLog(log, slog.LevelDebug), Level: hclog.Debug, DisableTime: true,
	})
}
