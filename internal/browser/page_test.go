package browser

import (
	"context"
	"errors"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/runtime"
)

func evaluateAwaiting[T any](ctx context.Context, b *Browser, expression string) (T, error) {
	var value T
	result, err := do(ctx, b.page, runtime.Evaluate, runtime.EvaluateParams{
		Expression: expression, ReturnByValue: new(true), AwaitPromise: new(true),
	})
	if err != nil {
		return value, err
	}
	err = readValue(result.Result, result.ExceptionDetails, &value)
	return value, err
}

func TestPageFunctions(t *testing.T) {
	s := newSite(t, map[string]string{
		"/": `<script>
			first = [typeof startRecord, typeof stopRecord, JSON.stringify(recordhost)].join();
			startRecord().then(() => { early = 'done' }, (e) => { early = e.message });
			statuses = [];
			addEventListener('recordhost:status', (e) => statuses.push(e.detail.status + '/' + recordhost.status));
		</script><iframe src="/in"></iframe>`,
		"/in": `<script>parent.inner = typeof startRecord + typeof recordhost</script>`,
	})
	b := chrome(t, nil)
	open(t, b, s.URL+"/")
	if got := ask[string](t, b, "first"); got != `function,function,{"taskId":"task-1","status":"normal"}` {
		t.Errorf("at the start the page saw %s", got)
	}
	if got := ask[string](t, b, "inner"); got != "undefinedundefined" {
		t.Errorf("a frame inside the page sees %s", got)
	}

	call := nextCall(t, b)
	if call.Name != CallStart {
		t.Fatalf("call %s", call.Name)
	}
	call.Reply(nil)
	call.Reply(errors.New("late"))
	eventually(t, "the early call resolves", func() bool { return ask[string](t, b, "String(globalThis.early)") == "done" })

	t.Run("each", func(t *testing.T) {
		for name, want := range map[string]Call{
			"startRecord": CallStart, "pauseRecord": CallPause, "resumeRecord": CallResume,
			"refreshPage": CallRefresh, "stopRecord": CallStop,
		} {
			ask[int](t, b, fmt.Sprintf("%s().catch((e) => { why = e.message }), 1", name))
			call := nextCall(t, b)
			if call.Name != want {
				t.Errorf("%s: call %s", name, call.Name)
			}
			call.Reply(fmt.Errorf("no \"%s\"\n\u2028 today", name))
			want := fmt.Sprintf("no \"%s\"\n\u2028 today", name)
			eventually(t, "it is rejected", func() bool { return ask[string](t, b, "String(globalThis.why)") == want })
		}
	})

	t.Run("status", func(t *testing.T) {
		for _, status := range []string{"recording", "recording", "paused"} {
			if err := b.SetStatus(t.Context(), status); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "the page is told", func() bool {
			return ask[string](t, b, "statuses.join()") == "recording/recording,paused/paused"
		})
		if err := b.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := ask[string](t, b, "first"); !strings.Contains(got, `"paused"`) {
			t.Errorf("after a reload the page's first script saw %s", got)
		}
		nextCall(t, b).Reply(errors.New("already"))
		eventually(t, "the reloaded page is answered", func() bool { return ask[string](t, b, "String(globalThis.early)") == "already" })
	})

	t.Run("document.open", func(t *testing.T) {
		ask[int](t, b, `document.open(), document.write('<p>new'), document.close(), early = '', 1`)
		ask[int](t, b, `pauseRecord().then(() => { early = 'kept' }), 1`)
		nextCall(t, b).Reply(nil)
		eventually(t, "the functions outlive it", func() bool { return ask[string](t, b, "early") == "kept" })
	})
}

// A page may break the functions for itself. It must not learn what would let it speak in the recorder's name, nor keep
// the recorder busy.
func TestPageFunctionsAgainstThePage(t *testing.T) {
	s := newSite(t, map[string]string{"/": `<script>
		seen = [];
		const spy = (owner, name) => {
			const original = owner[name];
			owner[name] = function (...args) {
				for (const a of [this, ...args]) seen.push(typeof a === 'string' ? a : String(a && a.type));
				return Reflect.apply(original, this, args);
			};
		};
		spy(EventTarget.prototype, 'dispatchEvent'); spy(EventTarget.prototype, 'addEventListener');
		spy(Event.prototype, 'preventDefault'); spy(String.prototype, 'indexOf'); spy(String.prototype, 'slice');
		spy(Reflect, 'apply'); spy(performance, 'dispatchEvent'); spy(JSON, 'stringify');
		for (const p of ['type', 'detail', 'target']) {
			for (const c of [Event, CustomEvent]) {
				const d = Object.getOwnPropertyDescriptor(c.prototype, p);
				if (!d) continue;
				Object.defineProperty(c.prototype, p, {get() { seen.push(String(d.get.call(this))); return d.get.call(this); }});
			}
		}
		CustomEvent = class extends CustomEvent { constructor(type, x) { super(type, x); seen.push(type); } };
		function startRecord2() {}
		let own = 1;
	</script>
	<script>function pauseRecord() { return 'mine' }</script>
	<script>var recordhost = 'mine';</script>`})
	b := chrome(t, nil)
	open(t, b, s.URL+"/")
	ask[int](t, b, "startRecord().then(() => { result = 'ok' }), 1")
	nextCall(t, b).Reply(nil)
	eventually(t, "the call resolves", func() bool { return ask[string](t, b, "String(globalThis.result)") == "ok" })
	if err := b.SetStatus(t.Context(), "recording"); err != nil {
		t.Fatal(err)
	}
	if got := ask[string](t, b, "pauseRecord() + recordhost"); got != "minemine" {
		t.Errorf("the page's own names: %s", got)
	}
	seen := ask[string](t, b, "seen.join() + Object.getOwnPropertyNames(window).join() + startRecord")
	if strings.Contains(seen, b.hooks.secret) {
		t.Error("the page has seen the secret")
	}

	t.Run("flood", func(t *testing.T) {
		ask[int](t, b, `flood = {ok: 0, no: 0}, 1`)
		ask[int](t, b, `Array.from({length: 10000}, () => startRecord().then(() => flood.ok++, () => flood.no++)), 1`)
		taken := 0
		for ask[int](t, b, "flood.ok + flood.no") < 10000 {
			select {
			case c := <-b.Calls():
				taken++
				c.Reply(nil)
			default:
			}
		}
		if taken > 8 {
			t.Errorf("%d calls of a flood were passed on", taken)
		}
	})
}

func TestDialogs(t *testing.T) {
	s := newSite(t, map[string]string{
		"/": `<script>
			addEventListener('beforeunload', (e) => { e.preventDefault(); e.returnValue = 'stay' });
			alert('one');
			answers = [confirm('two'), prompt('three', 'suggested')].join();
		</script>`,
		"/in":  `<script>alert('framed'); parent.postMessage('on', '*')</script>`,
		"/out": `<script>parent.postMessage(String(confirm('framed')), '*')</script>`,
	})
	b := chrome(t, nil)
	open(t, b, s.URL+"/")
	if got := ask[string](t, b, "answers"); got != "true,suggested" {
		t.Errorf("answers %s", got)
	}
	ask[int](t, b, `(() => { for (let i = 0; i < 200; i++) alert('storm ' + i); return 1 })()`)
	// A frame of another origin is out of the scripts' reach, and has no dialogs; one that is sandboxed has, which are answered.
	other := strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	if got := ask[string](t, b, `new Promise((resolve) => {
		onmessage = (e) => resolve(e.data);
		document.body.append(Object.assign(document.createElement('iframe'), {src: '`+other+`/out'}));
	})`); got != "false" {
		t.Errorf("a dialog of a frame of another origin was answered %s", got)
	}
	if got := ask[string](t, b, `new Promise((resolve) => {
		onmessage = (e) => resolve(e.data);
		const inner = "<script>alert(1); confirm(2); prompt(3); parent.postMessage('on', '*')</" + 'script>';
		const frame = Object.assign(document.createElement('iframe'), {srcdoc: inner});
		frame.setAttribute('sandbox', 'allow-scripts allow-modals');
		document.body.append(frame);
	})`); got != "on" {
		t.Error("a sandboxed frame's dialogs were not answered")
	}
	// With a user gesture the page may ask before it is left.
	if _, err := do(t.Context(), b.page, runtime.Evaluate, runtime.EvaluateParams{Expression: "1", UserGesture: new(true)}); err != nil {
		t.Fatal(err)
	}
	if err := b.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := ask[string](t, b, `new Promise((resolve) => {
		onmessage = (e) => resolve(e.data);
		document.body.append(Object.assign(document.createElement('iframe'), {src: '/in'}));
	})`); got != "on" {
		t.Error("a frame's dialog was not answered")
	}
}

func TestNothingOpensAndNothingIsWritten(t *testing.T) {
	s := newSite(t, map[string]string{"/": "page", "/pop": "popup"})
	b := chrome(t, nil)
	open(t, b, s.URL+"/")

	if got := ask[string](t, b, "String(window.open('/pop'))"); got != "null" {
		t.Errorf("window.open without a gesture gave %s", got)
	}
	gesture := runtime.EvaluateParams{Expression: "window.open('/pop'), 1", UserGesture: new(true)}
	if _, err := do(t.Context(), b.page, runtime.Evaluate, gesture); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the popup is closed", func() bool { return pageCount(t, b) == 1 })

	// A hundred windows, each of which a viewer has asked for.
	for range 100 {
		if _, err := do(t.Context(), b.page, runtime.Evaluate, gesture); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all of them are closed", func() bool { return pageCount(t, b) == 1 })

	for expression, want := range map[string]string{
		"Notification.requestPermission()": "denied",
		"new Promise((r) => navigator.geolocation.getCurrentPosition(() => r('position'), (e) => r(e.code)))": "1",
		"navigator.mediaDevices.getUserMedia({audio: true, video: true}).then(String, (e) => e.name)":         "Not",
		"navigator.mediaDevices.getDisplayMedia().then(String, (e) => e.name)":                                "NotAllowedError",
		"navigator.requestMIDIAccess({sysex: true}).then(String, (e) => e.name)":                              "NotAllowedError",
		"showOpenFilePicker().then(String, (e) => e.name)":                                                    "Error",
		"print() ?? 'printed'": "printed",
	} {
		if got := ask[string](t, b, "Promise.resolve("+expression+").then(String)"); !strings.Contains(got, want) {
			t.Errorf("%s gave %s, want %s", expression, got, want)
		}
	}

	ask[int](t, b, `location = 'mailto:a@example.com', 1`)
	ask[int](t, b, `location = 'file:///etc/passwd', 1`)
	ask[int](t, b, `(() => {
		const a = document.createElement('a');
		a.href = URL.createObjectURL(new Blob(['x'.repeat(1000)]));
		a.download = 'canary.bin';
		document.body.append(a);
		a.click();
		return 1;
	})()`)
	const later = "new Promise((r) => setTimeout(() => r(location.pathname + document.body.textContent), 300))"
	if got := ask[string](t, b, later); got != "/page" {
		t.Errorf("the page is gone: %s", got)
	}
	err := filepath.WalkDir(b.opts.Dir, func(path string, _ os.DirEntry, err error) error {
		if strings.Contains(path, "canary") || strings.HasSuffix(path, ".crdownload") {
			t.Errorf("a download was written to %s", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if b.Err() != nil {
		t.Error(b.Err())
	}
}

func TestWhatThePageSees(t *testing.T) {
	s := newSite(t, map[string]string{"/": "<meta name=viewport content='width=device-width'>"})
	const view = "[innerWidth, innerHeight, devicePixelRatio, document.hasFocus(), document.visibilityState].join()"
	for _, c := range []struct {
		width, height int
		scale         float64
		want          string
	}{
		{1280, 720, 0, "1280,720,1,true,visible"},
		{641, 361, 1, "641,361,1,true,visible"},
		{320, 180, 0, "320,180,1,true,visible"},
		{2, 2, 0, "2,2,1,true,visible"},
		{1280, 720, 2, "640,360,2,true,visible"},
	} {
		t.Run(fmt.Sprintf("%dx%d@%v", c.width, c.height, c.scale), func(t *testing.T) {
			b := chrome(t, func(o *Options) {
				o.Width, o.Height, o.DeviceScaleFactor = c.width, c.height, c.scale
				o.Locale, o.Timezone, o.UserAgent = "de-AT", "Asia/Tokyo", "recorder/1"
			})
			open(t, b, s.URL+"/")
			if got := ask[string](t, b, view); got != c.want {
				t.Errorf("the page sees %s, want %s", got, c.want)
			}
			got := ask[string](t, b, `[navigator.userAgent, navigator.languages.join('+'), new Date(0).getHours(),
				Intl.DateTimeFormat().resolvedOptions().locale].join()`)
			if got != "recorder/1,de-AT+de,9,de-AT" {
				t.Errorf("the page sees %s", got)
			}
			requests := s.seen("/")
			sent := requests[len(requests)-1].Header
			if sent.Get("User-Agent") != "recorder/1" || !strings.HasPrefix(sent.Get("Accept-Language"), "de-AT,de") {
				t.Errorf("the server sees %v", sent)
			}
		})
	}
}

// A mark is the recorder's own: the page goes on as if there were none. Where it appears, the capture's tests look.
func TestMarkIsUnknownToThePage(t *testing.T) {
	s := newSite(t, map[string]string{"/": "page"})
	b := chrome(t, nil)
	open(t, b, s.URL+"/")
	const look = "document.documentElement.outerHTML + Object.getOwnPropertyNames(window).length"
	before := ask[string](t, b, look)
	for range 3 {
		if err := b.Mark(t.Context(), 0, 0, 8, 8, color.RGBA{R: 255, A: 255}); err != nil {
			t.Fatal(err)
		}
		if after := ask[string](t, b, look); after != before {
			t.Errorf("the page has changed from %s to %s", before, after)
		}
		if err := b.Unmark(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCredentialsAreTheOriginsOwn(t *testing.T) {
	other := newSite(t, map[string]string{"/frame": "frame", "/end": "end"})
	s := newSite(t, map[string]string{
		"/": fmt.Sprintf(`<img src="/own.png"><img src="%[1]s/foreign.png"><iframe src="%[1]s/frame"></iframe><script>
			fetch('/api', {headers: {'X-Own': '1'}}); fetch('%[1]s/api', {mode: 'no-cors', credentials: 'include'});
			cookies = document.cookie;
		</script>`, other.URL),
	})
	b := chrome(t, func(o *Options) {
		o.Headers = map[string]string{"Authorization": "Bearer canary", "X-Tenant": "7"}
		o.Cookies = []Cookie{{Name: "session", Value: "canary", HTTPOnly: true}, {Name: "plain", Value: "v"}}
	})
	open(t, b, s.URL+"/")
	eventually(t, "both sites were asked", func() bool { return len(s.seen("/api")) > 0 && len(other.seen("/api")) > 0 })
	if got := ask[string](t, b, "cookies"); got != "plain=v" {
		t.Errorf("scripts see the cookies %q", got)
	}
	for _, path := range []string{"/", "/own.png", "/api"} {
		for _, r := range s.seen(path) {
			cookie, err := r.Cookie("session")
			given := r.Header.Get("Authorization") == "Bearer canary" && r.Header.Get("X-Tenant") == "7"
			if !given || err != nil || cookie.Value != "canary" {
				t.Errorf("%s came with %v", path, r.Header)
			}
		}
	}
	if r := s.seen("/api"); r[0].Header.Get("X-Own") != "1" {
		t.Error("the page's own header is lost")
	}
	// A redirect to elsewhere takes nothing along.
	s.Config.Handler = redirectTo(other.URL + "/end")
	if err := b.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/foreign.png", "/frame", "/api", "/end"} {
		if len(other.seen(path)) == 0 {
			t.Errorf("%s was not asked for", path)
		}
		for _, r := range other.seen(path) {
			if strings.Contains(fmt.Sprint(r.Header), "canary") || r.Header.Get("X-Tenant") != "" {
				t.Errorf("another origin's %s came with %v", path, r.Header)
			}
		}
	}
}
