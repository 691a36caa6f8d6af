package browser

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
)

func TestFlags(t *testing.T) {
	seen := make(map[string]bool)
	for _, f := range baseFlags() {
		if f.name == "" || f.why == "" || seen[f.name] || strings.HasPrefix(f.name, "-") {
			t.Errorf("flag %+v", f)
		}
		seen[f.name] = true
	}
	for _, f := range offFeatures() {
		if f.name == "" || f.why == "" || seen[f.name] {
			t.Errorf("feature %+v", f)
		}
		seen[f.name] = true
	}
	for _, never := range []string{
		"no-sandbox", "enable-automation", "remote-debugging-port", "disable-web-security", "ignore-certificate-errors",
		"disable-site-isolation-trials", "disable-popup-blocking", "disable-crashpad-for-testing", "headless", "site-per-process",
		"IsolateOrigins", "single-process", "disable-features", "enable-features",
	} {
		if seen[never] {
			t.Errorf("%s is among the flags", never)
		}
	}
}

func TestArguments(t *testing.T) {
	base := Options{Width: 320, Height: 181}
	l := layout{profile: "/d/p"}
	for _, c := range []struct {
		name     string
		options  Options
		smallShm bool
		want     []string
		not      []string
	}{
		{
			"plain", base, false,
			[]string{"--window-size=500,181", "--user-data-dir=/d/p", "--kiosk", "--ozone-platform=wayland", "--remote-debugging-pipe"},
			[]string{"--no-sandbox", "--disable-dev-shm-usage"},
		},
		{"no sandbox", Options{Width: 1, Height: 1, NoSandbox: true}, false, []string{"--no-sandbox", "--window-size=500,100"}, nil},
		{"small shared memory", base, true, []string{"--disable-dev-shm-usage"}, nil},
		{"extra", Options{Width: 1, Height: 1, ExtraFlags: []string{"--a=b"}}, false, []string{"--a=b"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := arguments(c.options, l, c.smallShm)
			for _, w := range c.want {
				if !slices.Contains(args, w) {
					t.Errorf("%s is missing in %q", w, args)
				}
			}
			for _, n := range c.not {
				if slices.Contains(args, n) {
					t.Errorf("%s is in %q", n, args)
				}
			}
			if args[len(args)-1] != "about:blank" {
				t.Errorf("the first page is %s", args[len(args)-1])
			}
		})
	}
}

// Chrome obeys the last list of features alone: there must be one of each kind, with everybody's.
func TestFeatureListsAreJoined(t *testing.T) {
	args := arguments(Options{
		Width: 1, Height: 1, Cookies: []Cookie{{}},
		ExtraFlags: []string{"--disable-features=A,B", "--enable-features=C", "--disable-features=D"},
	}, layout{}, false)
	list := func(prefix string) []string {
		var found []string
		for _, a := range args {
			if names, ok := strings.CutPrefix(a, prefix); ok {
				if found != nil {
					t.Errorf("two lists %s", prefix)
				}
				found = strings.Split(names, ",")
			}
		}
		return found
	}
	off, on := list("--disable-features="), list("--enable-features=")
	for _, name := range []string{"A", "B", "D", "Translate", "Prerender2"} {
		if !slices.Contains(off, name) {
			t.Errorf("%s is not turned off: %q", name, off)
		}
	}
	for _, name := range []string{"C", "EnablePortBoundCookies"} {
		if !slices.Contains(on, name) {
			t.Errorf("%s is not turned on: %q", name, on)
		}
	}
}

// Whatever a caller of the API supplies, Chrome's command line stays the same.
func FuzzCallersAreNotOnTheCommandLine(f *testing.F) {
	f.Add("--renderer-cmd-prefix=sh", "x", "de-AT", "Asia/Tokyo")
	f.Fuzz(func(t *testing.T, a, b, locale, zone string) {
		plain := Options{Width: 640, Height: 360, Cookies: []Cookie{{Name: "c"}}}
		o := plain
		o.TaskID, o.Status, o.UserAgent, o.Locale, o.Timezone = a, b, a, locale, zone
		o.Headers = map[string]string{a: b}
		o.Cookies = []Cookie{{Name: a, Value: b, Path: a}}
		if !slices.Equal(arguments(o, layout{}, false), arguments(plain, layout{}, false)) {
			t.Error("the command line has changed")
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	good := Options{Binary: "/b", Dir: "/d", Width: 640, Height: 360}
	for name, change := range map[string]func(*Options){
		"relative binary": func(o *Options) { o.Binary = "chromium" },
		"relative dir":    func(o *Options) { o.Dir = "d" },
		"no width":        func(o *Options) { o.Width = 0 },
		"too high":        func(o *Options) { o.Height = 1 << 20 },
		"scale":           func(o *Options) { o.DeviceScaleFactor = -1 },
		"no scale":        func(o *Options) { o.DeviceScaleFactor = math.NaN() },
		"locale":          func(o *Options) { o.Locale = "de_AT,en" },
		"time zone":       func(o *Options) { o.Timezone = "../../etc/passwd" },
		"user agent":      func(o *Options) { o.UserAgent = "a\r\nX: y" },
		"flag":            func(o *Options) { o.ExtraFlags = []string{"http://x"} },
		"root":            func(o *Options) { o.User = User{UID: 0, GID: 5} },
		"header name":     func(o *Options) { o.Headers = map[string]string{"a b": "c"} },
		"header value":    func(o *Options) { o.Headers = map[string]string{"a": "b\nc"} },
		"host":            func(o *Options) { o.Headers = map[string]string{"host": "b"} },
	} {
		o := good
		change(&o)
		if o.check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := good.check(); err != nil || good.User != DefaultUser() || good.Log == nil {
		t.Errorf("%+v, %v", good, err)
	}
}

func TestWindowSizeAndMetrics(t *testing.T) {
	for _, c := range []struct {
		width, height             int
		scale                     float64
		windowWidth, windowHeight int
		css                       string // of the override; empty: none
	}{
		{1280, 720, 0, 1280, 720, ""},
		{1280, 720, 1, 1280, 720, ""},
		{500, 100, 0, 500, 100, ""},
		{499, 720, 0, 500, 720, "499x720@1"},
		{1280, 99, 0, 1280, 100, "1280x99@1"},
		{2, 2, 0, 500, 100, "2x2@1"},
		{1281, 721, 2, 1281, 721, "641x361@2"},
		{1280, 720, 1.25, 1280, 720, "1024x576@1.25"},
	} {
		if w, h := WindowSize(c.width, c.height); w != c.windowWidth || h != c.windowHeight {
			t.Errorf("window of %d×%d: %d×%d", c.width, c.height, w, h)
		}
		got := ""
		if m := (Options{Width: c.width, Height: c.height, DeviceScaleFactor: c.scale}).metrics(); m != nil {
			got = fmt.Sprintf("%dx%d@%v", m.Width, m.Height, m.DeviceScaleFactor)
		}
		if got != c.css {
			t.Errorf("%d×%d at %v: metrics %q, want %q", c.width, c.height, c.scale, got, c.css)
		}
	}
}

func TestOrigin(t *testing.T) {
	for raw, want := range map[string]string{
		"http://Example.COM/a?b#c":    "http://example.com",
		"https://example.com:443/":    "https://example.com",
		"http://example.com:443/":     "http://example.com:443",
		"https://user@example.com:8/": "https://example.com:8",
		"http://bücher.example/":      "http://xn--bcher-kva.example",
		"http://[::1]:80/":            "http://[::1]",
		"http://[2001:DB8::1]:81/":    "http://[2001:db8::1]:81",
		"http://127.0.0.1:8080":       "http://127.0.0.1:8080",
		"ftp://example.com/":          "",
		"http://:80/":                 "",
		"http://example.com:99999/":   "",
		"http://example.com:x/":       "",
		"data:text/html,x":            "",
		"//example.com/":              "",
	} {
		got, err := originOf(raw)
		if (err != nil) != (want == "") || err == nil && got.String() != want {
			t.Errorf("%s: %q, %v", raw, got, err)
		}
	}
}

func TestWithHeaders(t *testing.T) {
	got := withHeaders(network.Headers{"Accept": "a", "authorization": "theirs"}, map[string]string{"Authorization": "ours", "X": "1"})
	var lines []string
	for _, h := range got {
		lines = append(lines, h.Name+"="+h.Value)
	}
	if !slices.Equal(lines, []string{"Accept=a", "Authorization=ours", "X=1"}) {
		t.Errorf("%q", lines)
	}
}

func TestParseCall(t *testing.T) {
	for line, ok := range map[string]bool{
		"1 start": true, "99 stop": true, "1 pause": true, "": false, "1": false, " start": false, "x start": false,
		"1 close": false, "1 start 2": false, "11111111111111111 start": false, "1\u2028 start": false, "-1 start": false,
	} {
		if _, _, got := parseCall(line); got != ok {
			t.Errorf("%q: %v", line, got)
		}
	}
}

func TestSandboxSupport(t *testing.T) {
	for name, c := range map[string]struct {
		sysctl map[string]string
		names  string
	}{
		"old kernel": {map[string]string{}, ""},
		"allowed":    {map[string]string{"user/max_user_namespaces": "100", "kernel/unprivileged_userns_clone": "1"}, ""},
		"none left":  {map[string]string{"user/max_user_namespaces": "0"}, "max_user_namespaces"},
		"debian":     {map[string]string{"kernel/unprivileged_userns_clone": "0"}, "unprivileged_userns_clone"},
		"ubuntu":     {map[string]string{"kernel/apparmor_restrict_unprivileged_userns": "1"}, "apparmor"},
	} {
		err := sandboxSupport(func(name string) string { return c.sysctl[name] })
		if (err == nil) != (c.names == "") || err != nil && (!errors.Is(err, ErrSandbox) || !strings.Contains(err.Error(), c.names)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFind(t *testing.T) {
	path, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	version, err := Version(t.Context(), path)
	if err != nil || !strings.Contains(version, "Chrom") {
		t.Errorf("%s: version %q, %v", path, version, err)
	}
	wrapper := filepath.Join(t.TempDir(), "chromium")
	if err := os.WriteFile(wrapper, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CHROME", wrapper)
	if _, err := Find(); err == nil || !strings.Contains(err.Error(), "wrapper") {
		t.Errorf("%v", err)
	}
	t.Setenv("CHROME", path)
	if got, err := Find(); err != nil || got != path {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := Version(t.Context(), "/bin/false"); err == nil {
		t.Error("a version of /bin/false")
	}
}

func TestPrepare(t *testing.T) {
	o := testOptions(t)
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	o.Locale = "pt-BR"
	l, err := prepare(o)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(l.profile, "Default", "Preferences"))
	if err != nil {
		t.Fatal(err)
	}
	var prefs struct {
		Intl struct {
			Languages string `json:"accept_languages"`
		} `json:"intl"`
	}
	if err := json.Unmarshal(raw, &prefs); err != nil || prefs.Intl.Languages != "pt-BR,pt" {
		t.Errorf("%s, %v", raw, err)
	}
	for _, dir := range []string{o.Dir, l.profile, l.home, l.tmp} {
		if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", dir, st.Mode(), err)
		}
	}
	if _, err := prepare(o); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a used directory: %v", err)
	}
}

func TestUnreachableDirectoryIsNamed(t *testing.T) {
	parent := t.TempDir()
	if err := os.Chmod(parent, 0o700); err != nil {
		t.Fatal(err)
	}
	err := reachable(filepath.Join(parent, "c"), User{UID: os.Geteuid() + 1, GID: os.Getegid() + 1})
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), parent) {
		t.Errorf("%v", err)
	}
}
