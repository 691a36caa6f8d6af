package browser

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/network"
	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/idna"
)

// Cookie is a cookie for RecordURL's origin.
type Cookie struct {
	Name     string
	Value    string
	Path     string // empty: "/"
	HTTPOnly bool
}

// originOf is the origin of an http or https URL as Chrome writes it: lower case, ASCII, without a default port.
func originOf(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", errors.New("browser: the address is no URL") // the parser's own error repeats it, secrets and all
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("browser: an address of scheme %q is not opened, only http and https", u.Scheme)
	}
	host := u.Hostname()
	if ip := net.ParseIP(host); ip != nil && strings.Contains(host, ":") {
		host = "[" + ip.String() + "]"
	} else if host, err = idna.Lookup.ToASCII(host); err != nil || host == "" {
		return "", errors.New("browser: the address has no usable host")
	}
	origin := u.Scheme + "://" + strings.ToLower(host)
	port := u.Port()
	if port == "" || u.Scheme == "http" && port == "80" || u.Scheme == "https" && port == "443" {
		return origin, nil
	}
	return origin + ":" + port, nil
}

// giveCredentials prepares what only RecordURL's origin may see. Without headers no request is intercepted.
func (b *Browser) giveCredentials(ctx context.Context, origin string) error {
	for _, c := range b.opts.Cookies {
		path := c.Path
		if path == "" {
			path = "/"
		}
		_, err := do(ctx, b.page, network.SetCookie, network.SetCookieParams{
			Name: c.Name, Value: c.Value, Path: path, HTTPOnly: new(c.HTTPOnly), // no domain: this host alone
			URL:    origin + path,
			Secure: new(strings.HasPrefix(origin, "https:")),
		})
		if err != nil {
			return fmt.Errorf("cookie %q: %w", c.Name, err)
		}
	}
	if len(b.opts.Headers) == 0 {
		return nil
	}
	b.origin.Store(&origin)
	_, err := do(ctx, b.page, fetch.Enable, fetch.EnableParams{
		Patterns: []*fetch.RequestPattern{{URLPattern: origin + "/*", RequestStage: fetch.RequestStageRequest}},
	})
	return err
}

// continueRequest lets an intercepted request go on, with the headers if it goes to the origin. The pattern has chosen
// it already; that a redirect took it elsewhere is asked again here.
func (b *Browser) continueRequest(ev *fetch.EventRequestPaused) {
	params := fetch.ContinueRequestParams{RequestID: ev.RequestID}
	to, err := originOf(ev.Request.URL)
	if origin := b.origin.Load(); err == nil && origin != nil && to == *origin {
		params.Headers = withHeaders(ev.Request.Headers, b.opts.Headers)
	}
	b.page.post(fetch.CommandContinueRequest, params)
}

// withHeaders is the request's headers with ours added; ours win.
func withHeaders(request network.Headers, ours map[string]string) []*fetch.HeaderEntry {
	var entries []*fetch.HeaderEntry
	for name, value := range request {
		text, ok := value.(string)
		if !ok || slices.ContainsFunc(headerNames(ours), func(n string) bool { return strings.EqualFold(n, name) }) {
			continue
		}
		entries = append(entries, &fetch.HeaderEntry{Name: name, Value: text})
	}
	for _, name := range headerNames(ours) {
		entries = append(entries, &fetch.HeaderEntry{Name: name, Value: ours[name]})
	}
	return entries
}

func headerNames(headers map[string]string) []string {
	names := make([]string, 0, len(headers))
	for name := range headers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// checkHeaders refuses headers that Chrome would refuse later, or that are Chrome's own affair.
func checkHeaders(headers map[string]string) error {
	for name, value := range headers {
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return fmt.Errorf("browser: header %q is not valid", name)
		}
		switch http.CanonicalHeaderKey(name) {
		case "Host", "Content-Length", "Transfer-Encoding", "Connection", "Cookie":
			return fmt.Errorf("browser: header %q cannot be set", name)
		}
	}
	return nil
}

// tag is a language tag as far as it matters here: it becomes part of a preference.
var (
	tag      = regexp.MustCompile(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$`)
	timezone = regexp.MustCompile(`^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$`)
)

// languages is the list that a browser of that locale prefers: the tag, then its bare language.
func languages(locale string) string {
	if base, _, ok := strings.Cut(locale, "-"); ok {
		return locale + "," + base
	}
	return locale
}
