package plugin

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"
)

// Limits of one line of the log, well below the 64 KiB up to which go-plugin reads a line in one piece.
const (
	maxLogLine    = 32 << 10
	maxLogMessage = 4 << 10
	maxLogValue   = 2 << 10
)

// logHandler is a slog.Handler whose lines go-plugin's host side takes as log records: JSON objects with hclog's keys.
// All their values are strings, since that side asserts the type of some without looking, and would panic.
type logHandler struct {
	out   io.Writer // writes of whole lines, one at a time
	level slog.Leveler

	prefix string            // of open groups, with a dot behind each
	attrs  map[string]string // of With; never changed once set
}

// newLogHandler returns a handler that writes to out, which must be safe for concurrent use.
func newLogHandler(out io.Writer, level slog.Leveler) *logHandler {
	return &logHandler{out: out, level: level}
}

// Enabled implements slog.Handler.
func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	next.attrs = maps.Clone(h.attrs)
	if next.attrs == nil {
		next.attrs = map[string]string{}
	}
	for _, a := range attrs {
		flatten(next.attrs, h.prefix, a)
	}
	return &next
}

// WithGroup implements slog.Handler.
func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	next := *h
	next.prefix += name + "."
	return &next
}

// Handle implements slog.Handler: one record, one line, one write.
func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	line := maps.Clone(h.attrs)
	if line == nil {
		line = map[string]string{}
	}
	r.Attrs(func(a slog.Attr) bool {
		flatten(line, h.prefix, a)
		return true
	})
	stamp := r.Time
	if stamp.IsZero() {
		stamp = time.Now()
	}
	fixed := map[string]string{
		"@level":     levelName(r.Level),
		"@message":   cut(r.Message, maxLogMessage),
		"@timestamp": stamp.Format("2006-01-02T15:04:05.000000Z07:00"),
	}
	maps.Copy(line, fixed)
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	if len(text) > maxLogLine {
		fixed["attributes"] = "dropped, the line was too long"
		if text, err = json.Marshal(fixed); err != nil {
			return err
		}
	}
	_, err = h.out.Write(append(text, '\n'))
	return err
}

// flatten adds an attribute to line, the members of a group each under their own name.
func flatten(line map[string]string, prefix string, a slog.Attr) {
	value := a.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range value.Group() {
			flatten(line, prefix, member)
		}
		return
	}
	// A key with hclog's mark would pass for one of its own.
	if key := strings.TrimLeft(prefix+a.Key, "@"); key != "" {
		line[key] = cut(value.String(), maxLogValue)
	}
}

// levelName is hclog's name for a level.
func levelName(level slog.Level) string {
	switch {
	case level < slog.LevelDebug:
		return "trace"
	case level < slog.LevelInfo:
		return "debug"
	case level < slog.LevelWarn:
		return "info"
	case level < slog.LevelError:
		return "warn"
	default:
		return "error"
	}
}

func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}

// lineWriter passes on writes one at a time, so that lines of several loggers never mix.
type lineWriter struct {
	mu  sync.Mutex
	out io.Writer
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Write(p)
}
