package api

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxBody bounds a request's body.
const maxBody = 64 << 10

// The codes of what is not an action, with their statuses.
const (
	codeInvalidRequest = "InvalidRequest"
	codeNotFound       = "NotFound"
	codeMethod         = "MethodNotAllowed"
	codeTooLarge       = "TooLarge"
	codeMediaType      = "UnsupportedMediaType"
	codeNoCapacity     = "NoCapacity"
	codeDraining       = "Draining"
	codeNotReady       = "NotReady"
	codeInternal       = "InternalError"
)

// httpError is a request that is no action.
type httpError struct {
	status  int
	code    string
	message string
}

func (p *httpError) Error() string { return p.message }

// failure is the document of everything that fails.
type failure struct {
	ErrorCode    string
	ErrorMessage string
}

// Handler is the endpoint without a server around it.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := newRequestID()
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		switch {
		case r.URL.Path == "/healthz":
			s.health(w, r, id, s.up())
		case r.URL.Path == "/readyz":
			s.health(w, r, id, s.ready())
		case !s.isEndpoint(r.URL.Path):
			s.fail(w, id, &httpError{http.StatusNotFound, codeNotFound, "there is nothing at this path"})
		default:
			s.endpoint(w, r, id)
		}
	})
}

func (s *Server) isEndpoint(path string) bool {
	if path == "/" || path == "" {
		return true
	}
	return s.prefix != "" && (path == s.prefix || strings.HasPrefix(path, s.prefix+"/"))
}

func (s *Server) ready() error {
	if s.draining.Load() {
		return errors.New("the host is being stopped")
	}
	return s.up()
}

// health answers whether all is well, to whoever asks.
func (s *Server) health(w http.ResponseWriter, r *http.Request, id string, err error) {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		s.fail(w, id, &httpError{http.StatusMethodNotAllowed, codeMethod, "use GET"})
	case err != nil:
		s.fail(w, id, &httpError{http.StatusServiceUnavailable, codeNotReady, err.Error()})
	default:
		s.answer(w, id, http.StatusOK, struct{ Status string }{"ok"})
	}
}

// endpoint takes one action.
func (s *Server) endpoint(w http.ResponseWriter, r *http.Request, id string) {
	allowed := s.allowOrigin(w, r)
	if r.Method == http.MethodOptions && allowed {
		h := w.Header()
		h.Set("Access-Control-Allow-Methods", http.MethodPost)
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-MD5, Content-Type, X-Date")
		h.Set("Access-Control-Max-Age", "600")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		s.fail(w, id, &httpError{http.StatusMethodNotAllowed, codeMethod, "use POST"})
		return
	}
	body, err := readBody(w, r)
	if err != nil {
		s.fail(w, id, err)
		return
	}
	action, data, err := decode(body)
	if err != nil {
		s.fail(w, id, err)
		return
	}
	begin := time.Now()
	answer, err := s.actions.Do(r.Context(), action, data)
	s.log.Debug("an action was taken", "request_id", id, "action", action, "duration", time.Since(begin), "err", err)
	if err != nil {
		s.fail(w, id, err)
		return
	}
	s.answer(w, id, http.StatusOK, answer)
}

// allowOrigin lets a page of a configured origin read the answer.
func (s *Server) allowOrigin(w http.ResponseWriter, r *http.Request) bool {
	if len(s.origins) == 0 {
		return false
	}
	w.Header().Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" || !slices.Contains(s.origins, origin) && !slices.Contains(s.origins, "*") {
		return false
	}
	w.Header().Set("Access-Control-Allow-Origin", origin)
	w.Header().Set("Access-Control-Expose-Headers", "Retry-After")
	return true
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" || r.Header.Get("Content-Encoding") != "" {
		return nil, &httpError{http.StatusUnsupportedMediaType, codeMediaType, "use Content-Type: application/json"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		message := fmt.Sprintf("a request has at most %d bytes", maxBody)
		return nil, &httpError{http.StatusRequestEntityTooLarge, codeTooLarge, message}
	}
	if err != nil {
		return nil, &httpError{http.StatusBadRequest, codeInvalidRequest, "the request's body did not arrive"}
	}
	return body, nil
}

// paramError is an action whose envelope is wrong.
type paramError string

func (e paramError) Error() string           { return string(e) }
func (paramError) ErrorCode() string         { return "InvalidParam" }
func (paramError) RetryAfter() time.Duration { return 0 }

// decode takes the envelope apart.
func decode(body []byte) (action string, data json.RawMessage, err error) {
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil || members == nil {
		return "", nil, &httpError{http.StatusBadRequest, codeInvalidRequest, "the request's body is not a JSON object"}
	}
	if raw := members["Action"]; raw != nil && json.Unmarshal(raw, &action) != nil {
		return "", nil, paramError("Action must be a string")
	}
	return action, members["Data"], nil
}

// fail answers what went wrong. An action's failure is an answer like any other, but for a host that is full or ending.
func (s *Server) fail(w http.ResponseWriter, id string, err error) {
	if p, ok := errors.AsType[*httpError](err); ok {
		s.answer(w, id, p.status, failure{p.code, p.message})
		return
	}
	coded, ok := errors.AsType[Coded](err)
	if !ok {
		s.log.Error("an action has failed", "request_id", id, "err", err)
		s.answer(w, id, http.StatusOK, failure{codeInternal, "the action could not be taken"})
		return
	}
	status := http.StatusOK
	switch coded.ErrorCode() {
	case codeNoCapacity:
		status = http.StatusTooManyRequests
	case codeDraining:
		status = http.StatusServiceUnavailable
	}
	if wait := coded.RetryAfter(); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
	s.answer(w, id, status, failure{coded.ErrorCode(), coded.Error()})
}

// answer writes a document, with the request's ID in it.
func (s *Server) answer(w http.ResponseWriter, id string, status int, document any) {
	body, err := withRequestID(document, id)
	if err != nil {
		s.log.Error("an answer cannot be encoded", "request_id", id, "err", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		s.log.Debug("an answer was not sent", "request_id", id, "err", err)
	}
}

// withRequestID encodes a document, which must be an object, and adds the member RequestID to it.
func withRequestID(document any, id string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // URLs stay readable
	if err := e.Encode(document); err != nil {
		return nil, err
	}
	body := bytes.TrimSpace(b.Bytes())
	if len(body) < 2 || body[0] != '{' {
		return nil, fmt.Errorf("a %T is no JSON object", document)
	}
	body = body[:len(body)-1]
	if len(body) > 1 {
		body = append(body, ',')
	}
	return fmt.Appendf(body, "\"RequestID\":%q}", id), nil
}

// newRequestID makes 32 hexadecimal digits.
func newRequestID() string {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails
	return hex.EncodeToString(raw[:])
}
