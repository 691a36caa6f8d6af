// Package cos is a server that speaks the XML API of Tencent Cloud Object Storage as far as recordings need it, for tests and for
// people without an account. It verifies every signature with code of its own, keeps objects on disk, counts and checks parts as
// the service does, and fails where it is told to. Tests and the other fakes of cloud services may use it.
//
// What it answers follows the service's documentation (tencentcloud.com/document/product/436): buckets by Host
// (<name>-<appid>.cos.<region>.myqcloud.com) or as the path's first part, parts of 1 MiB and more but for the last, numbered
// from 1 without gaps, CRC64 of every part and object, errors as XML.
package cos

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options of a Server; the zero value is a server on a free port of 127.0.0.1 with a private directory.
type Options struct {
	Addr string           // host:port to listen on
	Dir  string           // where objects are kept, which must exist; empty: a directory that Close removes
	Now  func() time.Time // the service's clock, for signatures, keys and dates; nil: the machine's
}

// Server is a COS that runs. All methods may be called from several goroutines at once.
type Server struct {
	now    func() time.Time
	dir    string
	own    bool // dir is removed by Close
	url    string
	http   *http.Server
	served chan error
	ending chan struct{}

	mu      sync.Mutex
	idle    *sync.Cond // told when no request is under way
	busy    int        // requests that are
	closed  bool
	buckets map[string]*bucket
	keys    map[string]Keys
	rules   []*rule
	log     []Request
	made    int // numbers for files, uploads and requests
}

// Keys are a pair of keys that the service knows.
type Keys struct {
	SecretID  string
	SecretKey string
	Token     string    // of temporary keys; requests must then carry it
	Expires   time.Time // zero: never

	// Allow restricts what the keys may be used for; nil: everything. It must not call the server.
	Allow func(op Operation, bucket, key string) bool
}

// Start makes a server and serves until Close.
func Start(o Options) (*Server, error) {
	s := &Server{
		now: o.Now, dir: o.Dir, served: make(chan error, 1), ending: make(chan struct{}),
		buckets: map[string]*bucket{}, keys: map[string]Keys{},
	}
	s.idle = sync.NewCond(&s.mu)
	if s.now == nil {
		s.now = time.Now
	}
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", o.Addr) //nolint:noctx // nothing is looked up
	if err != nil {
		return nil, fmt.Errorf("fakecos: %w", err)
	}
	if s.dir == "" {
		s.own = true
		if s.dir, err = os.MkdirTemp("", "fakecos-"); err != nil {
			return nil, errors.Join(fmt.Errorf("fakecos: %w", err), listener.Close())
		}
	}
	s.url = "http://" + listener.Addr().String()
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() { s.served <- s.http.Serve(listener) }()
	return s, nil
}

// URL is where the server listens, "http://127.0.0.1:port".
func (s *Server) URL() string { return s.url }

// Host is what a bucket's Host header reads.
func Host(bucket, region string) string { return bucket + ".cos." + region + ".myqcloud.com" }

// Close ends the server and all requests, and removes its private directory.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	close(s.ending)
	err := s.http.Close()
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	s.Settle()
	if s.own {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

// Settle waits until no request is under way. No new ones may come meanwhile.
func (s *Server) Settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.busy > 0 {
		s.idle.Wait()
	}
}

// enter counts a request, and refuses it when the server is closed.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.busy++
	}
	return !s.closed
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy--; s.busy == 0 {
		s.idle.Broadcast()
	}
}

// SetKeys makes keys known, or changes what is known of their SecretID.
func (s *Server) SetKeys(k Keys) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[k.SecretID] = k
}

// Expire makes keys expire now.
func (s *Server) Expire(secretID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k, ok := s.keys[secretID]; ok {
		k.Expires = s.now()
		s.keys[secretID] = k
	}
}

// Request is one request as the server saw it.
type Request struct {
	Operation Operation
	Bucket    string
	Key       string
	UploadID  string
	Part      int // 0: none
	SecretID  string
	Status    int    // 0: there was no answer
	Code      string // of the error, if it was one
	Received  int64  // bytes of the body
}

// Requests are those that have ended, in the order of their ends; with operations only theirs.
func (s *Server) Requests(of ...Operation) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Request
	for _, r := range s.log {
		if len(of) == 0 || slices.Contains(of, r.Operation) {
			list = append(list, r)
		}
	}
	return list
}

// Operation is what a request asks for.
type Operation string

// The operations that the server knows. Any stands for all of them in a Rule.
const (
	Any            Operation = ""
	HeadBucket     Operation = "HeadBucket"
	ListObjects    Operation = "ListObjects"
	ListUploads    Operation = "ListMultipartUploads"
	PutObject      Operation = "PutObject"
	GetObject      Operation = "GetObject"
	HeadObject     Operation = "HeadObject"
	DeleteObject   Operation = "DeleteObject"
	InitiateUpload Operation = "InitiateMultipartUpload"
	UploadPart     Operation = "UploadPart"
	ListParts      Operation = "ListParts"
	CompleteUpload Operation = "CompleteMultipartUpload"
	AbortUpload    Operation = "AbortMultipartUpload"
)

// call is a request on its way.
type call struct {
	Request

	http   *http.Request
	query  url.Values
	region string // of the Host; empty with path style
	body   *counted
	damage damage // what is done to the content that is stored
}

// counted counts what was read of a body.
type counted struct {
	io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// read says what a request is.
func (s *Server) read(r *http.Request) *call {
	c := &call{http: r, query: r.URL.Query(), body: &counted{Reader: r.Body}}
	path := strings.TrimPrefix(r.URL.Path, "/")
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if name, rest, ok := strings.Cut(host, ".cos."); ok {
		c.Bucket, c.Key = name, path
		c.region, _, _ = strings.Cut(rest, ".")
	} else {
		c.Bucket, c.Key, _ = strings.Cut(path, "/")
	}
	c.UploadID = c.query.Get("uploadId")
	_, _ = fmt.Sscanf(c.query.Get("partNumber"), "%d", &c.Part)
	c.Operation = operation(r.Method, c.Key != "", c.query)
	return c
}

// operation is Any for what the server does not know.
func operation(method string, onObject bool, query url.Values) Operation {
	uploads, upload := query.Has("uploads"), query.Has("uploadId")
	switch {
	case !onObject && method == http.MethodHead:
		return HeadBucket
	case !onObject && method == http.MethodGet && uploads:
		return ListUploads
	case !onObject && method == http.MethodGet:
		return ListObjects
	case !onObject:
		return Any
	}
	switch method {
	case http.MethodPut:
		return pick(upload, UploadPart, PutObject)
	case http.MethodGet:
		return pick(upload, ListParts, GetObject)
	case http.MethodHead:
		return HeadObject
	case http.MethodDelete:
		return pick(upload, AbortUpload, DeleteObject)
	case http.MethodPost:
		return pick(upload, CompleteUpload, pick(uploads, InitiateUpload, Any))
	default:
		return Any
	}
}

func pick(condition bool, yes, no Operation) Operation {
	if condition {
		return yes
	}
	return no
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		panic(http.ErrAbortHandler)
	}
	defer s.leave()
	c := s.read(r)
	answer := &recorder{ResponseWriter: w}
	answer.Header().Set("Server", "tencent-cos")
	answer.Header().Set("x-cos-request-id", s.number("request"))
	defer func() {
		c.Status, c.Code, c.Received = answer.status, answer.code, c.body.n
		s.mu.Lock()
		defer s.mu.Unlock()
		s.log = append(s.log, c.Request)
	}()
	fault := s.take(c)
	if fault != nil {
		fault.meet(s, c, answer)
		return
	}
	s.serve(answer, c)
}

// serve does what a request asks for and answers it.
func (s *Server) serve(w *recorder, c *call) {
	failed := s.authorize(c)
	if failed == nil {
		failed = s.do(w, c)
	}
	if failed != nil {
		discard(c) // a client that is cut off while it sends does not see the answer
		w.fail(c, failed)
	}
}

func (s *Server) do(w *recorder, c *call) *failure {
	b, refused := s.bucketOf(c)
	if refused != nil {
		return refused
	}
	switch c.Operation {
	case HeadBucket:
		w.WriteHeader(http.StatusOK)
		return nil
	case ListObjects:
		return s.listObjects(w, c, b)
	case ListUploads:
		return s.listUploads(w, c, b)
	case PutObject:
		return s.putObject(w, c, b)
	case GetObject, HeadObject:
		return s.getObject(w, c, b)
	case DeleteObject:
		return s.deleteObject(w, c, b)
	case InitiateUpload:
		return s.initiate(w, c, b)
	case UploadPart:
		return s.uploadPart(w, c, b)
	case ListParts:
		return s.listParts(w, c, b)
	case CompleteUpload:
		return s.complete(w, c, b)
	case AbortUpload:
		return s.abort(w, c, b)
	case Any:
	}
	return &failure{http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource."}
}

// number makes a name that no other has.
func (s *Server) number(what string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	return fmt.Sprintf("%s%08d%x", what[:1], s.made, s.now().UnixNano())
}
