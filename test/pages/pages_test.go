package pages_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recordhost/recordhost/test/pages"
)

func start(t *testing.T, film string) *pages.Server {
	t.Helper()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		goleak.VerifyNone(t)
	})
	server, err := pages.Start(t.Context(), film)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	return do(t, http.MethodGet, url, "")
}

func do(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

func TestEveryPageIsServedWithWhatItNeeds(t *testing.T) {
	server := start(t, "")
	found, err := filepath.Glob("*.html")
	if err != nil || len(found) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	for _, page := range found {
		status, body := get(t, server.URL(page))
		if status != http.StatusOK || !strings.HasPrefix(body, "<!doctype html>") {
			t.Errorf("%s: status %d, begins %.20q", page, status, body)
		}
		if strings.Contains(body, "measure.") && !strings.Contains(body, `<script src="measure.js">`) {
			t.Errorf("%s uses the measure without loading it", page)
		}
		if n := server.Loads(page); n != 1 {
			t.Errorf("%s: %d loads, want 1", page, n)
		}
	}
	if status, body := get(t, server.URL("measure.js")); status != http.StatusOK || !strings.Contains(body, "use strict") {
		t.Errorf("measure.js: status %d", status)
	}
}

func TestTheFilmIsServedFromWhereItIs(t *testing.T) {
	film := filepath.Join(t.TempDir(), "any.mp4")
	if err := os.WriteFile(film, []byte("a film"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := start(t, film)
	if status, body := get(t, server.URL("video.mp4")); status != http.StatusOK || body != "a film" {
		t.Errorf("status %d, body %q", status, body)
	}
}

func TestStatusPages(t *testing.T) {
	server := start(t, "")
	for path, want := range map[string]int{"status/500": 500, "status/403": 403, "status/9": 404, "status/x": 404, "nowhere.html": 404} {
		if status, _ := get(t, server.URL(path)); status != want {
			t.Errorf("%s: status %d, want %d", path, status, want)
		}
	}
}

func TestPagesThatDoNotCome(t *testing.T) {
	server := start(t, "")
	begun := time.Now()
	if status, _ := get(t, server.URL("late?ms=50")); status != http.StatusNoContent || time.Since(begun) < 50*time.Millisecond {
		t.Errorf("late: status %d after %v", status, time.Since(begun))
	}
	for path, words := range map[string]string{"never": "", "half": "The rest of this page"} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL(path), nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if words == "" {
			if err == nil {
				t.Errorf("%s: it was answered", path)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if body, err := io.ReadAll(response.Body); err == nil || !strings.HasSuffix(string(body), words) {
			t.Errorf("%s: %q, %v", path, body, err)
		}
	}
	for path, want := range map[string]string{"around": "redirects", "public/static.html": ""} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL(path), nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", path, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK || response.Header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s: %v", path, response)
		}
	}
}

func TestReportsReachWhoWaits(t *testing.T) {
	server := start(t, "")
	send := func(body string) int {
		status, _ := do(t, http.MethodPost, server.URL("report"), body)
		return status
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	waited := make(chan error, 1)
	go func() {
		_, err := server.Wait(ctx, "loaded", 2)
		waited <- err
	}()
	for _, body := range []string{
		`{"page":"frames.html","event":"other","values":{}}`,
		`{"page":"frames.html","event":"loaded","values":{"origin":1,"width":640,"height":360,"ratio":1}}`,
		`{"page":"frames.html","event":"loaded","values":{"origin":2.5,"width":641,"height":361,"ratio":2}}`,
	} {
		if status := send(body); status != http.StatusNoContent {
			t.Fatalf("status %d for %s", status, body)
		}
	}
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	reports := server.Reports("loaded")
	if len(reports) != 2 {
		t.Fatalf("%d reports, want 2", len(reports))
	}
	var loaded pages.Loaded
	if err := reports[1].Decode(&loaded); err != nil {
		t.Fatal(err)
	}
	if want := (pages.Loaded{Origin: 2.5, Width: 641, Height: 361, Ratio: 2}); loaded != want {
		t.Errorf("%+v, want %+v", loaded, want)
	}
	if status := send("no json"); status != http.StatusBadRequest {
		t.Errorf("status %d for what is no report", status)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	server := start(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := server.Wait(ctx, "never", 1); err == nil || !strings.Contains(err.Error(), `"never"`) {
		t.Errorf("err = %v", err)
	}
}
