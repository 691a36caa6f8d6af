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
	"strconv"
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

// origin is the origin of an http or https URL as Chrome writes it: lower case, ASCII, without a default port.
type origin struct {
	scheme, host string
	port         int
}

func originOf(raw string) (origin, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return origin{}, errors.New("browser: the address is no URL") // the parser's own error repeats it, secrets and all
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return origin{}, fmt.Errorf("browser: an address of scheme %q is not opened, only http and https", u.Scheme)
	}
	o := origin{scheme: u.Scheme, host: u.Hostname(), port: defaultPort(u.Scheme)}
	if ip := net.ParseIP(o.host); ip != nil && strings.Contains(o.host, ":") {
		o.host = "[" + ip.String() + "]"
	} else if o.host, err = idna.Lookup.ToASCII(o.host); err != nil || o.host == "" {
		return origin{}, errors.New("browser: the address has no usable host")
	}
	if u.Port() != "" {
		if o.port, err = strconv.Atoi(u.Port()); err != nil || o.port < 1 || o.port > 65535 {
			return origin{}, errors.New("browser: the address has no usable port")
		}
	}
	return o, nil
}

func defaultPort(scheme string) int {
	if scheme == "https" {
		return 443
	}
	return 80
}

func (o origin) String() string {
	if o.port == defaultPort(o.scheme) {
		return o.scheme + "://" + o.host
	}
	return o.scheme + "://" + o.host + ":" + strconv.Itoa(o.port)
}

// giveCredentials prepares what only RecordURL's origin may see. Without headers no request is intercepted.
func (b *Browser) giveCredentials(ctx context.Context, to origin) error {
	for _, c := range b.opts.Cookies {
		if _, err := do(ctx, b.page, network.SetCookie, c.params(to)); err != nil {
			return fmt.Errorf("cookie %q: %w", c.Name, err)
		}
	}
	if len(b.opts.Headers) == 0 {
		return nil
	}
	b.origin.Store(&to)
	_, err := do(ctx, b.page, fetch.Enable, fetch.EnableParams{
		Patterns: []*fetch.RequestPattern{{URLPattern: to.String() + "/*", RequestStage: fetch.RequestStageRequest}},
	})
	return err
}

// params binds the cookie to its origin: no domain, so to the host alone, and with cookieFeatures on to its scheme and port.
func (c Cookie) params(to origin) network.SetCookieParams {
	p := network.SetCookieParams{
		Name: c.Name, Value: c.Value, Path: c.Path, HTTPOnly: new(c.HTTPOnly),
		URL:          to.String() + "/",
		Secure:       new(to.scheme == "https"),
		SourceScheme: network.CookieSourceSchemeNonSecure,
		SourcePort:   int64(to.port),
	}
	if to.scheme == "https" {
		p.SourceScheme = network.CookieSourceSchemeSecure
	}
	if p.Path == "" {
		p.Path = "/"
	}
	return p
}

// continueRequest lets an intercepted request go on, with the headers if it goes to the origin. The pattern has chosen
// it already; that a redirect took it elsewhere is asked again here.
func (b *Browser) continueRequest(ev *fetch.EventRequestPaused) {
	params := fetch.ContinueRequestParams{RequestID: ev.RequestID}
	to, err := originOf(ev.Request.URL)
	if ours := b.origin.Load(); err == nil && ours != nil && to == *ours {
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
