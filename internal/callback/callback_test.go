package callback_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recordhost/recordhost/internal/callback"
	"github.com/recordhost/recordhost/sdk/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	body   = `{"TaskID":"t","Status":"callback","Note":"ü < 世界"}`
)

// patience bounds what must happen; nothing here waits that long when all is well.
const patience = 20 * time.Second

func newSender(t *testing.T, o callback.Options) *callback.Sender {
	t.Helper()
	s, err := callback.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// send makes one try that comes to an end.
func send(t *testing.T, s *callback.Sender, url string) callback.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	o, err := s.Send(ctx, callback.Message{URL: url, ID: "msg_1", At: time.Now(), Body: []byte(body)})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// endpoint answers as a test says, until that ends.
func endpoint(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func TestWhatIsSent(t *testing.T) {
	fetchLibrary(t) // which does ask a proxy, if there is one
	for _, proxy := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"} {
		t.Setenv(proxy, "http://192.0.2.1:1") // not asked
	}
	for name, signed := range map[string]bool{"signed": true, "not signed": false} {
		t.Run(name, func(t *testing.T) {
			got, content := make(chan *http.Request, 1), make(chan []byte, 1)
			url := endpoint(t, func(_ http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				got <- r
				content <- b
			})
			o := callback.Options{}
			if signed {
				o.Secret = schema.NewSecret(secret)
			}
			if o := send(t, newSender(t, o), url+"/a/b?c=d#e"); !o.Accepted || o.Problem != "" {
				t.Fatalf("the outcome is %+v", o)
			}
			r, b := <-got, <-content
			if r.Method != http.MethodPost || r.RequestURI != "/a/b?c=d" || r.ProtoMajor != 1 || r.ContentLength != int64(len(body)) {
				t.Errorf("%s %s, %s, %d bytes", r.Method, r.RequestURI, r.Proto, r.ContentLength)
			}
			if string(b) != body || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Accept-Encoding") != "" {
				t.Errorf("headers %v, body %s", r.Header, b)
			}
			stamp, err := strconv.ParseInt(r.Header.Get("webhook-timestamp"), 10, 64)
			if err != nil || time.Since(time.Unix(stamp, 0)).Abs() > time.Minute || r.Header.Get("webhook-id") != "msg_1" {
				t.Errorf("headers %v", r.Header)
			}
			if got := r.Header.Get("webhook-signature") != ""; got != signed {
				t.Errorf("signed is %t", got)
			}
			if signed {
				verify(t, r.Header, b)
			}
		})
	}
}

// libraryFolder holds the library that receivers use, in another language than ours.
const libraryFolder = "../../.cache/webhooks"

func fetchLibrary(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	fetch := exec.CommandContext(ctx, "../../hack/webhooks.sh", libraryFolder)
	if out, err := fetch.CombinedOutput(); err != nil {
		t.Fatalf("fetch the library: %v\n%s", err, out)
	}
}

// verify asks the library.
func verify(t *testing.T, h http.Header, body []byte) {
	t.Helper()
	const script = `
const { Webhook } = require("standardwebhooks");
const { secret, headers, body } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const hook = new Webhook(secret), refuses = f => { try { f(); return false; } catch { return true; } };
hook.verify(body, headers);
if (!refuses(() => hook.verify(body + " ", headers))) throw "another body was accepted";
if (!refuses(() => hook.verify(body, { ...headers, "webhook-id": "msg_2" }))) throw "another id was accepted";
console.log("verified");`
	headers := map[string]string{}
	for name := range h {
		headers[strings.ToLower(name)] = h.Get(name)
	}
	in, err := json.Marshal(map[string]any{"secret": secret, "headers": headers, "body": string(body)})
	if err != nil {
		t.Fatal(err)
	}
	node := exec.CommandContext(t.Context(), "node", "-e", script)
	node.Dir, node.Stdin = libraryFolder, bytes.NewReader(in)
	if out, err := node.CombinedOutput(); err != nil || string(out) != "verified\n" {
		t.Errorf("the signature does not hold: %v\n%s", err, out)
	}
}

func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		status     int
		retryAfter string
		want       callback.Outcome
	}{
		"200": {200, "", callback.Outcome{Accepted: true}},
		"204": {204, "5", callback.Outcome{Accepted: true}},
		"299": {299, "", callback.Outcome{Accepted: true}},
		"304": {304, "", callback.Outcome{Problem: "304:the endpoint redirects, which is not followed"}},
		"400": {400, "", callback.Outcome{Problem: "400:the endpoint refused it with status code 400"}},
		"410": {410, "9", callback.Outcome{Gone: true, Problem: "410:the endpoint wants no more callbacks"}},
		"429 with a wait": {
			429, "7", callback.Outcome{Wait: 7 * time.Second, Problem: "429:the endpoint refused it with status code 429"},
		},
		"500 with a wait":   {500, "1", callback.Outcome{Wait: time.Second, Problem: "500:the endpoint refused it with status code 500"}},
		"503":               {503, "", callback.Outcome{Problem: "503:the endpoint refused it with status code 503"}},
		"503 with nonsense": {503, "-1; soon", callback.Outcome{Problem: "503:the endpoint refused it with status code 503"}},
		"503 in the past": {
			503, "Wed, 21 Oct 2015 07:28:00 GMT", callback.Outcome{Problem: "503:the endpoint refused it with status code 503"},
		},
		"503 for ever": {
			503, "9223372036854775807",
			callback.Outcome{Wait: 365 * 24 * time.Hour, Problem: "503:the endpoint refused it with status code 503"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			url := endpoint(t, func(w http.ResponseWriter, _ *http.Request) {
				if c.retryAfter != "" {
					w.Header().Set("Retry-After", c.retryAfter)
				}
				w.WriteHeader(c.status)
				if c.status >= 400 {
					fmt.Fprint(w, "CANARY") // never told to anybody
				}
			})
			if got := send(t, newSender(t, callback.Options{}), url); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
	url := endpoint(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusTooManyRequests)
	})
	if got := send(t, newSender(t, callback.Options{}), url); got.Wait > time.Hour || got.Wait < time.Hour-patience {
		t.Errorf("a time in an hour is a wait of %v", got.Wait)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var followed atomic.Int32
	target := endpoint(t, func(http.ResponseWriter, *http.Request) { followed.Add(1) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		url := endpoint(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target, status) })
		got := send(t, newSender(t, callback.Options{}), url)
		if got.Accepted || !strings.HasPrefix(got.Problem, fmt.Sprintf("%d:", status)) {
			t.Errorf("%d: %+v", status, got)
		}
	}
	if n := followed.Load(); n != 0 {
		t.Errorf("the target got %d requests", n)
	}
}

const tooSlow = "ECONNABORTED:timeout of 2000ms exceeded"

// However slow an endpoint is, and in whatever part of the exchange, it is left after two seconds.
func TestSlowEndpoints(t *testing.T) {
	drip := func(c net.Conn, text string) {
		for {
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	for name, c := range map[string]struct {
		serve func(c net.Conn)
		want  callback.Outcome
	}{
		"never answers": {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, callback.Outcome{Problem: tooSlow}},
		"drips its header": {func(c net.Conn) {
			take(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			drip(c, "X-A: b\r\n")
		}, callback.Outcome{Problem: tooSlow}},
		"drips its answer": {func(c net.Conn) {
			take(c)
			_, _ = io.WriteString(c, "HTTP/1.1 503 No\r\nContent-Length: 1000000\r\n\r\n")
			drip(c, "x")
		}, callback.Outcome{Problem: "503:the endpoint refused it with status code 503"}},
		"accepts and drips its answer": {func(c net.Conn) {
			take(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			drip(c, "1\r\nx\r\n")
		}, callback.Outcome{Accepted: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := raw(t, c.serve)
			begin := time.Now()
			if got := send(t, newSender(t, callback.Options{}), url); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if took := time.Since(begin); took < 2*time.Second || took > patience/2 {
				t.Errorf("it was left after %v", took)
			}
		})
	}
}

// raw serves connections as they are.
func raw(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return "http://" + l.Addr().String()
}

// Endpoints that send without end are read for 64 KiB, and not unpacked.
func TestEndlessAnswers(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	for range 4 {
		if _, err := z.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	const (
		tenGigabytes = 10 << 30
		atOnce       = 16 << 20 // more than what is read, and what lies in the machine's buffers
		head         = "HTTP/1.1 200 OK\r\n"
		chunked      = head + "Transfer-Encoding: chunked\r\n\r\n"
		wrong        = "EPROTO:the endpoint does not speak HTTP as it should"
	)
	many := strings.Repeat("x", 1<<16)
	for name, c := range map[string]struct {
		head, endless string
		want          callback.Outcome
	}{
		"ten gigabytes": {
			head + "Content-Length: " + strconv.Itoa(tenGigabytes) + "\r\n\r\n", many, callback.Outcome{Accepted: true},
		},
		"chunks": {
			chunked, "10000\r\n" + many + "\r\n", callback.Outcome{Accepted: true},
		},
		"gzip bombs":     {head + "Content-Encoding: gzip\r\n\r\n", bomb.String(), callback.Outcome{Accepted: true}},
		"header":         {head, "X-A: " + strings.Repeat("b", 1000) + "\r\n", callback.Outcome{Problem: wrong}},
		"another tongue": {"", "SSH-2.0-OpenSSH_9.2 CANARY\r\n", callback.Outcome{Problem: wrong}},
	} {
		t.Run(name, func(t *testing.T) {
			sent := make(chan int, 1)
			url := raw(t, func(conn net.Conn) {
				take(conn)
				total, err := io.WriteString(conn, c.head)
				for err == nil && total < tenGigabytes {
					var n int
					n, err = io.WriteString(conn, c.endless)
					total += n
				}
				sent <- total
			})
			before := memory()
			if got := send(t, newSender(t, callback.Options{}), url); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if n := <-sent; n > atOnce {
				t.Errorf("%d bytes were taken", n)
			}
			if used := memory() - before; used > atOnce {
				t.Errorf("%d bytes of memory were used", used)
			}
		})
	}
}

// take reads a request.
func take(c net.Conn) {
	if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
}

// memory is how much was ever allocated.
func memory() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

func TestNetworkFailures(t *testing.T) {
	refuses := "http://" + freeAddress(t)
	untrusted := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(untrusted.Close)
	for name, c := range map[string]struct {
		url  string
		dial error // of the dialler, if it is asked
		want string
	}{
		"refused":   {url: refuses, want: "ECONNREFUSED:nothing accepts connections at the endpoint's address"},
		"reset":     {url: raw(t, reset), want: "ECONNRESET:the endpoint ended the connection without an answer"},
		"closed":    {url: raw(t, take), want: "ECONNRESET:the endpoint ended the connection without an answer"},
		"cut short": {url: raw(t, half), want: "ECONNRESET:the endpoint ended the connection without an answer"},
		"no TLS": {
			url: strings.Replace(raw(t, half), "http:", "https:", 1), want: "EPROTO:the endpoint does not speak HTTP as it should",
		},
		"not trusted": {url: untrusted.URL, want: "UNABLE_TO_VERIFY_LEAF_SIGNATURE:the endpoint's certificate is not trusted here"},
		"no URL":      {url: "http://[CANARY", want: "ERR_INVALID_URL:the callback's URL cannot be used"},
		"unknown name": {
			url: refuses, dial: &net.DNSError{Err: "CANARY", IsNotFound: true}, want: "ENOTFOUND:the endpoint's name is not known",
		},
		"no resolver": {
			url: refuses, dial: &net.DNSError{Err: "CANARY", IsTemporary: true},
			want: "EAI_AGAIN:the endpoint's name cannot be looked up at the moment",
		},
		"no way": {
			url: refuses, dial: &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH},
			want: "EHOSTUNREACH:the endpoint's machine cannot be reached",
		},
		"a dialler that forbids it": {
			url: refuses, dial: &net.OpError{Op: "dial", Err: errors.New("CANARY")},
			want: "ERR_NETWORK:the endpoint could not be connected to",
		},
		"another name's certificate": {
			url: refuses, dial: &tls.CertificateVerificationError{Err: x509.HostnameError{Host: "CANARY"}},
			want: "ERR_TLS_CERT_ALTNAME_INVALID:the endpoint's certificate is for another name",
		},
		"an old certificate": {
			url: refuses, dial: &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}},
			want: "CERT_HAS_EXPIRED:the endpoint's certificate has expired, or is not valid yet",
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := callback.Options{}
			if c.dial != nil {
				o.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, c.dial }
			}
			if got, want := send(t, newSender(t, o), c.url), (callback.Outcome{Problem: c.want}); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// reset ends a connection so that the other side notices.
func reset(c net.Conn) {
	take(c)
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

// half answers half of a header.
func half(c net.Conn) {
	take(c)
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n")
}

// A host that ends does not wait for an endpoint, and does not know the outcome.
func TestATryThatIsCut(t *testing.T) {
	arrived := make(chan struct{})
	url := raw(t, func(c net.Conn) {
		close(arrived)
		_, _ = io.Copy(io.Discard, c)
	})
	ctx, cancel := context.WithCancelCause(context.Background())
	reason := errors.New("the host ends")
	go func() {
		<-arrived
		cancel(reason)
	}()
	_, err := newSender(t, callback.Options{}).Send(ctx, callback.Message{URL: url, ID: "msg_1", Body: []byte(body)})
	if !errors.Is(err, reason) {
		t.Errorf("got %v", err)
	}
}

func TestSecrets(t *testing.T) {
	for text, good := range map[string]bool{
		"": true, secret: true, strings.TrimPrefix(secret, "whsec_"): true, "whsec_": false, "whsec_CANARY!": false, "CANARY": false,
	} {
		s := schema.NewSecret(text)
		_, err := callback.New(callback.Options{Secret: s})
		if (err == nil) != good || (callback.CheckSecret(s) == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
		if err != nil && strings.Contains(err.Error(), "CANARY") {
			t.Errorf("the secret is in %v", err)
		}
	}
}

// What is sent may hold secrets of the caller's: a log of it shows the ID alone.
func TestAMessageKeepsToItself(t *testing.T) {
	m := callback.Message{URL: "http://h/?token=CANARY", ID: "msg_1", Body: []byte("CANARY")}
	if text := fmt.Sprintf("%v %+v %s", m, m, m); strings.Contains(text, "CANARY") || !strings.Contains(text, "msg_1") {
		t.Errorf("it prints as %s", text)
	}
}
