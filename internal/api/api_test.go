package api

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestOnlyThisMachineIsServed(t *testing.T) {
	for _, address := range []string{
		":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.com:0", "127.0.0.1.example.com:0", "[::ffff:10.0.0.1]:0", "127.0.0.1",
	} {
		l, err := Listen(t.Context(), address)
		if err == nil {
			t.Errorf("%s: listening on %s", address, l.Addr())
			_ = l.Close()
		}
	}
	for _, address := range []string{"127.0.0.1:0", "localhost:0", "127.1.2.3:0"} {
		l, err := Listen(t.Context(), address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := Listen(t.Context(), "0.0.0.0:0"); err == nil || !strings.Contains(err.Error(), "without authentication") {
		t.Errorf("the refusal does not tell why: %v", err)
	}
}

// A request that is under way is answered although the server is being shut down.
func TestServeEndsWithItsContext(t *testing.T) {
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s, err := New(Options{Actions: &fake{answer: struct{}{}}, Up: func() error {
		cancel()
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	status, body, err := get(t, "http://"+l.Addr().String()+"/healthz")
	if err != nil || status != http.StatusOK || !strings.Contains(body, `"ok"`) {
		t.Errorf("%d %s %v", status, body, err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, _, err := get(t, "http://"+l.Addr().String()+"/healthz"); err == nil {
		t.Error("it is served on")
	}
}

func get(t *testing.T, url string) (status int, body string, err error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), err
}

func TestServeTellsWhenItCannot(t *testing.T) {
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Actions: &fake{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context(), l); err == nil {
		t.Error("it served on a listener that is closed")
	}
}

func TestNewWantsActions(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("accepted")
	}
}
