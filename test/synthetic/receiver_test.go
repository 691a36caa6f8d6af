package synthetic_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"

	"github.com/recordhost/recordhost/test/product"
)

// receiver is who is called back when a task has ended.
type receiver struct {
	*httptest.Server
	called chan struct{} // closed at the first call
	goOn   chan struct{} // calls wait until it is closed

	mu    sync.Mutex
	calls []call
}

// call is one that was accepted.
type call struct {
	id   string // the same on every try
	body product.Description
}

// newReceiver is one that lets callers wait until release, if hold says so.
func newReceiver(hold bool) *receiver {
	r := &receiver{called: make(chan struct{}), goOn: make(chan struct{})}
	if !hold {
		close(r.goOn)
	}
	first := sync.OnceFunc(func() { close(r.called) })
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		first()
		select {
		case <-r.goOn:
		case <-req.Context().Done():
			return
		}
		c := call{id: req.Header.Get("Webhook-Id")}
		if err = errors.Join(err, json.Unmarshal(body, &c.body)); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.calls = append(r.calls, c)
	}))
	return r
}

func (r *receiver) release() {
	select {
	case <-r.goOn:
	default:
		close(r.goOn)
	}
}

// check holds what was told against the task: once at least, each time as the same message.
func (r *receiver) check(task string, end product.Description) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.calls) == 0 {
		return errors.New("nobody was called back")
	}
	for _, c := range r.calls {
		if c.id == "" || c.id != r.calls[0].id {
			return fmt.Errorf("calls with the ids %q and %q", r.calls[0].id, c.id)
		}
		b := c.body
		if b.TaskID != task || b.Status != "callback" || b.Result == nil || len(b.Result.Videos) != len(end.Result.Videos) {
			return fmt.Errorf("called back with %+v, the task ended with %+v", b, end)
		}
	}
	return nil
}
