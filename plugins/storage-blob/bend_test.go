package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// operation is what a request is about, in the words of this package.
type operation string

const (
	opPart   operation = "part"
	opFinish operation = "finish"
	opOther  operation = "other"
)

// operationOf reads requests of S3's and of Azure's.
func operationOf(r *http.Request) operation {
	query := r.URL.Query()
	number := query.Get("partNumber")
	switch {
	case r.Method == http.MethodPut && number != "" && number != strconv.Itoa(lastPart),
		r.Method == http.MethodPut && query.Get("comp") == "block":
		return opPart
	case r.Method == http.MethodPost && query.Has("uploadId"), r.Method == http.MethodPut && query.Get("comp") == "blocklist":
		return opFinish
	default:
		return opOther
	}
}

// bent does something to a request instead of handing it on to the store, which is next.
type bent func(w http.ResponseWriter, r *http.Request, next http.Handler)

// bend is a web server in front of a store that does to requests what a test wants, and counts the bytes of parts.
type bend struct {
	server *httptest.Server
	sent   atomic.Int64 // bytes of parts that came from the driver

	mu     sync.Mutex
	counts map[operation]int
	faults map[operation]map[int]bent // by the number of the request
}

// newBend starts a bend, which ends with the test.
func newBend(t *testing.T, s server) *bend {
	t.Helper()
	b := &bend{counts: map[operation]int{}, faults: map[operation]map[int]bent{}}
	transport := &http.Transport{DisableCompression: true}
	next := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(&url.URL{Scheme: "http", Host: s.address})
			p.Out.Host = p.In.Host // it is signed
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	b.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		op := operationOf(r)
		if op == opPart {
			r.Body = &counted{ReadCloser: r.Body, n: &b.sent}
		}
		if fault := b.take(op); fault != nil {
			fault(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		b.server.CloseClientConnections()
		b.server.Close()
		transport.CloseIdleConnections()
	})
	return b
}

func (b *bend) address() string { return b.server.Listener.Addr().String() }

// on has a fault happen at a request, the first of its kind from now on being 1.
func (b *bend) on(op operation, number int, fault bent) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.faults[op] == nil {
		b.faults[op] = map[int]bent{}
	}
	b.faults[op][b.counts[op]+number] = fault
}

func (b *bend) take(op operation) bent {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts[op]++
	return b.faults[op][b.counts[op]]
}

// counted counts what is read.
type counted struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// answering answers in the place of the store, in S3's way and in Azure's, and does nothing.
func answering(code int, s3Code, azureCode string) bent {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("x-ms-error-code", azureCode)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>`+s3Code+`</Code><Message>bent</Message></Error>`)
	}
}

// answerLost has the store do what it is asked for, and cuts the connection instead of answering.
func answerLost(_ http.ResponseWriter, r *http.Request, next http.Handler) {
	next.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

// resetMidway reads some of the request, and resets the connection.
func resetMidway(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// flipped changes a byte on the way to the store.
func flipped(w http.ResponseWriter, r *http.Request, next http.Handler) {
	r.Body = &flip{ReadCloser: r.Body}
	next.ServeHTTP(w, r)
}

type flip struct {
	io.ReadCloser
	done bool
}

func (f *flip) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if n > 0 && !f.done {
		f.done = true
		p[n/2] ^= 1
	}
	return n, err
}

// wire is a connection to a bend that fails as networks do.
type wire struct {
	proxy *toxiproxy.Proxy
}

// newWire starts a proxy, which ends with the test.
func newWire(t *testing.T, to string) *wire {
	t.Helper()
	host := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	p := toxiproxy.NewProxy(host, "store", "127.0.0.1:0", to)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return &wire{proxy: p}
}

func (w *wire) address() string { return w.proxy.Listen }

// poison makes the wire fail from now on, in one of toxiproxy's ways.
func (w *wire) poison(t *testing.T, toxic string) {
	t.Helper()
	if _, err := w.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		t.Fatal(err)
	}
}

func (w *wire) heal(t *testing.T) {
	t.Helper()
	w.proxy.Toxics.ResetToxics(t.Context())
}
