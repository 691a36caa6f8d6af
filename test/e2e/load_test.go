package e2e_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/recordhost/recordhost/test/pages"
	"github.com/recordhost/recordhost/test/product"
)

// unopened holds a task against what becomes of one whose page was never seen: it is finished, with a cause in words, and
// there is no video.
func unopened(t *testing.T, host *product.Host, task, code, words string) product.Description {
	t.Helper()
	d := await(t, host, task, "finished")
	r := d.Result
	if r == nil || r.ErrorCode != code || !strings.Contains(r.ErrorMessage, words) || len(r.Videos) != 0 || d.StartTime != 0 {
		t.Errorf("result %+v, want %s: …%s…", d.Result, code, words)
	}
	if entries, err := os.ReadDir(host.Files); err != nil || len(entries) > 0 {
		t.Errorf("files were made: %v, %v", entries, err)
	}
	return d
}

func TestPagesThatNobodyCanOpen(t *testing.T) {
	server := servePages(t)
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it is to be refused
	secure.StartTLS()
	t.Cleanup(secure.Close)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	type failing struct{ name, url, words string }
	for _, group := range []struct {
		settings string
		pages    []failing
	}{
		{"", []failing{
			{"a name that nobody has", "http://nowhere.invalid/?token=canary", "the server's name cannot be resolved"},
			{"a server that is gone", gone.URL, "the server refuses the connection"},
			{"a certificate that nobody signed", secure.URL, "no secure connection to the server"},
			{"no TLS", strings.Replace(server.URL("static.html"), "http:", "https:", 1), "no secure connection to the server"},
			{"redirects without end", server.URL("around"), "the server redirects to and fro without end"},
		}},
		{`engine { page_timeout = "3s" }`, []failing{
			{"no answer", server.URL("never"), "the page did not load within"},
			{"half a page", server.URL("half"), "the page did not load within"},
		}},
	} {
		host := serve(t, len(group.pages), group.settings)
		var tasks []string
		for _, page := range group.pages {
			tasks = append(tasks, start(t, host, map[string]any{"RecordURL": page.url, "Width": 480, "Height": 270}))
		}
		for i, page := range group.pages {
			t.Run(page.name, func(t *testing.T) {
				d := unopened(t, host, tasks[i], "PageLoadFailed", page.words)
				if strings.Contains(d.Result.ErrorMessage, "canary") {
					t.Errorf("the message gives the address away: %s", d.Result.ErrorMessage)
				}
			})
		}
	}
}

// called is what manual.html and wander.html report of a call of a page function.
type called struct {
	When, Name, Outcome, Status string
	At                          float64
}

func calls(t *testing.T, reports []pages.Report) []called {
	t.Helper()
	var all []called
	for _, report := range reports {
		var c called
		if err := report.Decode(&c); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// A page that is to say when: it never does, it is stopped before it does, it does so too early and too often.
func TestManualStartOfEveryKind(t *testing.T) {
	ctx, server, host := limit(t), servePages(t), serve(t, 4)
	begin := func(page string, more ...any) string {
		data := map[string]any{"RecordURL": server.URL(page), "ManualStart": true, "Width": 640, "Height": 360}
		for i := 0; i < len(more); i += 2 {
			data[more[i].(string)] = more[i+1]
		}
		return start(t, host, data)
	}
	silent := begin("sound.html?silent=1", "ReadyTimeout", 3)
	waiting := begin("frames.html?silent=1")
	loading := begin("never")
	eager := begin("manual.html", "MaxDurationLimit", 5)

	t.Run("it never does", func(t *testing.T) {
		d := unopened(t, host, silent, "StartSignalTimeout", "the page has not called startRecord within 3s")
		if took := d.FinishTime - d.CreateTime; took < 3 {
			t.Errorf("it had %d s, not 3", took)
		}
	})
	// On a slow machine the first page's time may be over before it has loaded.
	if _, err := server.Wait(ctx, "loaded", 2); err != nil {
		t.Fatal(err)
	}
	for name, task := range map[string]string{"it is stopped": waiting, "it is stopped before it has loaded": loading} {
		t.Run(name, func(t *testing.T) {
			if d := await(t, host, task, "normal"); d.StartTime != 0 {
				t.Errorf("%+v", d)
			}
			stopped := time.Now()
			tell(t, host, "Stop", task)
			unopened(t, host, task, "", "")
			// It takes a tenth of a second. To wait for anything of Chrome's would take several.
			if took := time.Since(stopped); took > 4*time.Second {
				t.Errorf("it took %v until it was finished", took)
			}
		})
	}
	t.Run("it does so too early and too often", func(t *testing.T) {
		f := finished(t, host, eager)
		reports := calls(t, server.Reports("called"))
		if len(reports) != 3 {
			t.Errorf("%d calls of 3 were answered", len(reports))
		}
		loaded := calls(t, server.Reports("load"))[0].At
		for _, c := range reports {
			if c.Outcome != "resolved" || c.At < loaded {
				t.Errorf("the %s call: %s after %v ms; the page had loaded after %v ms", c.When, c.Outcome, c.At, loaded)
			}
		}
		r := f.read(t)
		if first := float64(r.recording.Frames[0].Clock); first < loaded || len(r.Cuts) > 0 || r.Reloads > 0 {
			t.Errorf("it begins at the page's millisecond %v, which had loaded at %v; cuts %v", first, loaded, r.Cuts)
		}
		near(t, "length", f.video.FileDuration, 5, 1.0/30)
	})
	t.Run("frames inside are offered nothing", func(t *testing.T) {
		frames := server.Reports("frame")
		if len(frames) != 2 {
			t.Errorf("%d of 2 frames have looked", len(frames))
		}
		for _, report := range frames {
			var frame struct{ Sees string }
			if err := report.Decode(&frame); err != nil {
				t.Fatal(err)
			}
			if frame.Sees != "undefined,undefined,undefined" {
				t.Errorf("a frame sees %s", frame.Sees)
			}
		}
	})
}
