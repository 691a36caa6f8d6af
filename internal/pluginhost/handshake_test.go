package pluginhost

import (
	"io"
	"strings"
	"testing"
)

func TestHandshake(t *testing.T) {
	const good = "1|1|unix|/tmp/s|grpc|certificate"
	for name, c := range map[string]struct {
		writes []string
		line   string
		rest   string
		fault  string
	}{
		"in one piece":       {[]string{good + "\nrest"}, good + "\n", "rest", ""},
		"in pieces":          {[]string{good[:5], good[5:], "\n", "more", "\n"}, good + "\n", "more\n", ""},
		"with further parts": {[]string{good + "|true\n"}, good + "|true\n", "", ""},
		"never whole":        {[]string{good}, "", "", ""},
		"words":              {[]string{"hello\nworld\n"}, "", "world\n", "hello"},
		"too few parts":      {[]string{"1|1|unix\n"}, "", "", "in place of"},
		"a newer contract":   {[]string{"1|2|unix|/tmp/s|grpc|c\n"}, "", "", `protocol "2"`},
		"no number":          {[]string{"1|x|unix|/tmp/s|grpc|c\n"}, "", "", `protocol "x"`},
		"another core":       {[]string{"2|1|unix|/tmp/s|grpc|c\n"}, "", "", `version "2"`},
		"net/rpc":            {[]string{"1|1|unix|/tmp/s|netrpc|c\n"}, "", "", "netrpc"},
		"without end":        {[]string{strings.Repeat("x", 2*maxHandshake)}, "", "", "xxx"},
	} {
		var rest strings.Builder
		h := newHandshake(&rest)
		for _, w := range c.writes {
			if n, err := h.Write([]byte(w)); n != len(w) || err != nil {
				t.Errorf("%s: wrote %d, %v", name, n, err)
			}
		}
		ended := make(chan struct{})
		close(ended)
		if c.line != "" {
			ended = nil // the line comes though the process goes on
		}
		line, err := io.ReadAll(h.reader(ended))
		if err != nil || string(line) != c.line {
			t.Errorf("%s: line %q, %v; want %q", name, line, err, c.line)
		}
		if !strings.HasPrefix(rest.String(), c.rest) {
			t.Errorf("%s: rest %q, want %q", name, rest.String(), c.rest)
		}
		switch fault := h.fault(); {
		case (fault == nil) != (c.fault == ""):
			t.Errorf("%s: fault %v", name, fault)
		case fault != nil && !strings.Contains(fault.Error(), c.fault):
			t.Errorf("%s: fault %v does not say %q", name, fault, c.fault)
		}
	}
}
