package browser

import (
	"fmt"
	"strings"
)

// flag is one switch of Chrome's command line, with the reason why it is there.
type flag struct {
	name  string
	value string // empty: a switch without a value
	why   string
}

// baseFlags are the switches of every recording. Nothing that a caller of the API says is ever among them.
//
// Left out on purpose: enable-automation (its bar takes 56 px of the picture), disable-popup-blocking,
// disable-web-security, ignore-certificate-errors, anything that weakens site isolation; and
// disable-crashpad-for-testing, with which Chrome's network service dies at its start, over and over.
func baseFlags() []flag {
	return []flag{
		{"ozone-platform", "wayland", "the recorder is the display"},
		{"disable-gpu", "", "pictures are made in software, into memory that the recorder shares"},
		{"enable-unsafe-swiftshader", "", "WebGL without a GPU"},
		{"force-color-profile", "srgb", "the same colours on every machine"},
		{"kiosk", "", "the page fills the window: no tabs, no address bar, no bubble about full screen"},
		{"test-type", "", "no bars about switches or missing keys"},
		{"autoplay-policy", "no-user-gesture-required", "nobody will click"},

		{"remote-debugging-pipe", "", "DevTools on descriptors 3 and 4: no port that a page or a neighbour could reach"},
		{"disable-renderer-backgrounding", "", "nobody looks at the window; the page must not notice"},
		{"disable-background-timer-throttling", "", "as above"},
		{"disable-backgrounding-occluded-windows", "", "as above"},
		{"disable-hang-monitor", "", "no dialog about an unresponsive page: the worker decides"},
		{"disable-prompt-on-repost", "", "a reload never asks"},
		{"deny-permission-prompts", "", "a permission that would be asked for is refused instead"},
		{"noerrdialogs", "", "no dialog about errors of Chrome's own"},
		{"hide-crash-restore-bubble", "", "no offer to restore pages"},
		{"propagate-iph-for-testing", "", "no bubbles that advertise features"},

		{"no-first-run", "", "no welcome"},
		{"no-default-browser-check", "", "no question"},
		{"disable-search-engine-choice-screen", "", "no question"},
		{"password-store", "basic", "no keyring, no question"},
		{"disable-background-networking", "", "Chrome talks to the page's servers and to nobody else"},
		{"disable-component-update", "", "as above"},
		{"disable-sync", "", "as above"},
		{"disable-domain-reliability", "", "as above"},
		{"disable-client-side-phishing-detection", "", "as above"},
		{"no-pings", "", "as above"},
		{"disable-breakpad", "", "no crash reports are sent"},
		{"disable-default-apps", "", "nothing is installed"},
		{"disable-quic", "", "one transport less that goes around a proxy"},
	}
}

// feature is one of Chrome's features that every recording turns off, or on.
type feature struct {
	name string
	why  string
}

func offFeatures() []feature {
	return []feature{
		{"Translate", "no offer to translate"},
		{"MediaRouter", "no search for televisions in the network"},
		{"OptimizationHints", "no requests of Chrome's own"},
		{"AutofillServerCommunication", "as above"},
		{"BackForwardCache", "pages that were left give up their memory and processor"},
		{"Prerender2", "a page that was rendered ahead would take the place of the watched one"},
		{"SpareRendererForSitePerProcess", "30 MB for a page that is never opened"},
		{"PreloadTopChromeWebUI", "40 MB for Chrome's own controls, which are never shown"},
		{"InitialWebUI", "as above"},
		{"WebUIToolbar", "as above"},
		{"WebUIReloadButton", "as above"},
		{"WebUIOmniboxPopup", "as above"},
		{"WebUIOmniboxFullPopup", "as above"},
		{"WebUIOmniboxAimPopup", "as above"},
	}
}

// onFeatures are those of Chrome's features that every recording turns on.
func onFeatures() []feature {
	return []feature{
		{"SuppressDifferentOriginSubframeJSDialogs", "no dialogs of foreign frames, where no script of ours could answer them unseen"},
	}
}

// cookieFeatures bind cookies to the port and scheme that set them. They are on only when the recording brings cookies:
// those are for RecordURL's origin, and Chrome alone would show them to every port of its host.
func cookieFeatures() []string {
	return []string{"EnablePortBoundCookies", "EnableSchemeBoundCookies"}
}

// arguments is the whole command line: the base, what depends on the options, then the operator's own flags, of which
// lists of features are joined with ours (Chrome obeys the last list alone).
func arguments(o Options, l layout, smallShm bool) []string {
	var args, off, on []string
	for _, f := range baseFlags() {
		args = append(args, f.String())
	}
	for _, f := range offFeatures() {
		off = append(off, f.name)
	}
	for _, f := range onFeatures() {
		on = append(on, f.name)
	}
	if len(o.Cookies) > 0 {
		on = append(on, cookieFeatures()...)
	}
	w, h := WindowSize(o.Width, o.Height)
	args = append(args,
		fmt.Sprintf("--window-size=%d,%d", w, h),
		"--user-data-dir="+l.profile,
	)
	if o.NoSandbox {
		args = append(args, "--no-sandbox")
	}
	if smallShm { // pages crash when shared memory runs out; files in TMPDIR are slower
		args = append(args, "--disable-dev-shm-usage")
	}
	for _, f := range o.ExtraFlags {
		if list, ok := strings.CutPrefix(f, "--disable-features="); ok {
			off = append(off, list)
			continue
		}
		if list, ok := strings.CutPrefix(f, "--enable-features="); ok {
			on = append(on, list)
			continue
		}
		args = append(args, f)
	}
	return append(args, "--disable-features="+strings.Join(off, ","), "--enable-features="+strings.Join(on, ","), "about:blank")
}

// String is the flag as it stands on the command line.
func (f flag) String() string {
	if f.value == "" {
		return "--" + f.name
	}
	return "--" + f.name + "=" + f.value
}
