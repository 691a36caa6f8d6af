package e2e_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/recordhost/recordhost/test/product"
)

// told is what an endpoint was sent.
type told struct {
	header http.Header
	body   []byte
}

// A page that cannot be opened: the caller is told, signed, and again when it does not accept that at first. Sent once more,
// it is the same message.
func TestTheCallerIsTold(t *testing.T) {
	requests := make(chan told, 10)
	answers := make(chan int, 10)
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		requests <- told{r.Header, body}
		w.WriteHeader(<-answers)
	}))
	defer endpoint.Close()
	defer close(answers)
	host := serve(t, 1)
	verifier, err := webhooks.NewWebhook(product.CallbackSecret)
	if err != nil {
		t.Fatal(err)
	}
	task := start(t, host, map[string]any{"RecordURL": "http://127.0.0.1:1/", "CallbackURL": endpoint.URL + "/cb"})
	var first told
	take := func(answer int) {
		t.Helper()
		select {
		case got := <-requests:
			if err := verifier.Verify(got.body, got.header); err != nil {
				t.Errorf("the signature does not hold: %v", err)
			}
			if first.body == nil {
				first = got
			}
			if string(got.body) != string(first.body) || got.header.Get("webhook-id") != first.header.Get("webhook-id") {
				t.Errorf("told %s, %v\nbefore %s, %v", got.body, got.header, first.body, first.header)
			}
			answers <- answer
		case <-limit(t).Done():
			t.Fatal("nobody was told")
		}
	}
	take(http.StatusServiceUnavailable)
	take(http.StatusNoContent)
	d := await(t, host, task, "finished")
	var sent product.Description
	if err := json.Unmarshal(first.body, &sent); err != nil {
		t.Fatal(err)
	}
	if d.Result == nil || sent.Result == nil || d.Result.ErrorCode != "PageLoadFailed" || sent.Result.ErrorCode != "PageLoadFailed" ||
		sent.TaskID != task || sent.Status != "callback" || sent.RequestID != "" || sent.CreateTime != d.CreateTime {
		t.Errorf("told %s\ndescribed as %+v", first.body, d)
	}
	tell(t, host, "ResendCallback", task)
	take(http.StatusOK)
}
