package task

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // the time zones, on machines that have none

	"github.com/recordhost/recordhost/internal/control"
)

const (
	maxBrowserText = 2048 // of a user agent, a header's or a cookie's value, in bytes
	maxHeaders     = 64   // and so many cookies
	minScale       = 0.25
	maxScale       = 8
)

var (
	headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$")
	localeTag  = regexp.MustCompile(`^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*$`)
)

// reservedHeaders are those that the browser itself answers for.
func reservedHeaders() []string {
	return []string{"connection", "content-length", "cookie", "host", "te", "trailer", "transfer-encoding", "upgrade"}
}

func parseBrowser(o object) control.Browser {
	b := control.Browser{
		Headers:           parseHeaders(o),
		Cookies:           parseCookies(o),
		UserAgent:         o.text("UserAgent"),
		Locale:            o.text("Locale"),
		Timezone:          o.text("Timezone"),
		DeviceScaleFactor: o.number("DeviceScaleFactor", minScale, maxScale),
	}
	if !printable(b.UserAgent) {
		o.fail("UserAgent", "must be at most %d bytes without control characters", maxBrowserText)
	}
	if b.Locale != "" && !localeTag.MatchString(b.Locale) {
		o.fail("Locale", "must be a language tag such as \"zh-CN\"")
	}
	if b.Timezone != "" && !isTimezone(b.Timezone) {
		o.fail("Timezone", "must be the name of a time zone such as \"Asia/Shanghai\"")
	}
	return b
}

// isTimezone accepts the names of the time zone database, and not what Go adds to them.
func isTimezone(name string) bool {
	_, err := time.LoadLocation(name)
	return err == nil && name != "Local"
}

func parseHeaders(o object) map[string]string {
	const name = "Headers"
	if !o.has(name) {
		return nil
	}
	var members map[string]json.RawMessage // not of strings: a name that stands twice counts once, the last time
	if json.Unmarshal(o.members[name], &members) != nil {
		o.fail(name, "must be an object of strings")
		return nil
	}
	if len(members) > maxHeaders {
		o.fail(name, "must not be more than %d", maxHeaders)
	}
	headers := make(map[string]string, len(members))
	for _, header := range slices.Sorted(maps.Keys(members)) {
		var value string
		switch {
		case json.Unmarshal(members[header], &value) != nil:
			o.fail(name, "must be an object of strings")
		case !headerName.MatchString(header):
			o.fail(name, "contains a name that no header can have")
		case slices.Contains(reservedHeaders(), strings.ToLower(header)):
			o.fail(name, "must not contain %s", header)
		case !printable(value):
			o.fail(name+"."+header, "must be at most %d bytes without control characters", maxBrowserText)
		}
		headers[header] = value
	}
	return headers
}

func parseCookies(o object) []control.Cookie {
	const name = "Cookies"
	items := o.objects(name)
	if len(items) > maxHeaders {
		o.fail(name, "must not be more than %d", maxHeaders)
	}
	var cookies []control.Cookie
	for _, item := range items {
		c := control.Cookie{Name: item.text("Name"), Value: item.text("Value"), Path: item.text("Path")}
		if !headerName.MatchString(c.Name) {
			item.fail("Name", "must be a name that a cookie can have")
		}
		if !printable(c.Value) || strings.Contains(c.Value, ";") {
			item.fail("Value", "must be a value that a cookie can have, at most %d bytes", maxBrowserText)
		}
		if c.Path != "" && (!strings.HasPrefix(c.Path, "/") || !printable(c.Path) || strings.Contains(c.Path, ";")) {
			item.fail("Path", "must begin with a slash")
		}
		cookies = append(cookies, c)
	}
	return cookies
}

// printable tells whether a text may stand in a header.
func printable(s string) bool {
	return len(s) <= maxBrowserText && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}
