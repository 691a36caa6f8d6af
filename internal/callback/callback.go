// Package callback tells a caller what came of its task: it owns how a result is posted to an endpoint (one try, its limits,
// its signature, what counts as accepted) and, as a pure function, when it is tried again. The task manager is its user; what
// is told, and that no delivery is forgotten, is the manager's. The configuration asks it whether a secret will do.
//
// The endpoint is somebody else's machine. It gets little time, nothing that it answers is kept or followed, and errors are in
// this package's own words.
package callback

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/recordhost/recordhost/sdk/schema"
)

// The bounds of one try.
const (
	timeout   = 2 * time.Second // from the first packet to the end of the answer
	maxAnswer = 64 << 10        // bytes of the answer's body that are read, and of its header
)

// Options of a Sender. The zero value does not sign.
type Options struct {
	// Secret signs what is sent, as Standard Webhooks say; none: nothing is signed.
	Secret schema.Secret

	// GiveUp is how long after the first try the last one is made; zero: only the documented tries are made.
	GiveUp time.Duration

	// Dial connects to an endpoint; nil: net.Dialer does, wherever the endpoint is.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// CheckSecret says what is wrong with a secret, and does not quote it.
func CheckSecret(s schema.Secret) error {
	_, err := signer(s)
	return err
}

var errSecret = errors.New(`a webhook secret, "whsec_" and base64`)

// signer is nil without a secret.
func signer(s schema.Secret) (*webhooks.Webhook, error) {
	const prefix = "whsec_"
	if s.IsZero() {
		return nil, nil //nolint:nilnil // no secret, no signer
	}
	w, err := webhooks.NewWebhook(s.Reveal())
	if err != nil || s.Reveal() == prefix { // an empty key signs nothing
		return nil, errSecret
	}
	return w, nil
}

// Sender posts results. It may be used by several goroutines; tries do not wait for each other.
type Sender struct {
	signer    *webhooks.Webhook
	transport *http.Transport
}

// New makes a Sender.
func New(o Options) (*Sender, error) {
	w, err := signer(o.Secret)
	if err != nil {
		return nil, fmt.Errorf("callback: the secret must be %w", err)
	}
	dial := o.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	t := &http.Transport{
		Proxy:       nil, // the environment's proxies are for the host's own traffic
		DialContext: dial,
		// Each try has a connection of its own: none is left over, and a stale one cannot make the transport send twice.
		DisableKeepAlives: true,
		// What is not asked for is not unpacked: a small answer cannot become a large one.
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxAnswer,
		Protocols:              new(http.Protocols),
	}
	t.Protocols.SetHTTP1(true)
	return &Sender{signer: w, transport: t}, nil
}

// Message is what one try sends.
type Message struct {
	URL  string
	ID   string    // the same on every try of a delivery
	At   time.Time // of this try, by the wall clock
	Body []byte    // JSON
}

// String keeps the URL and the body to themselves.
func (m Message) String() string { return "callback " + m.ID }

// Outcome is what came of a try.
type Outcome struct {
	Accepted bool
	Gone     bool          // the endpoint wants no more of this
	Wait     time.Duration // the least that the endpoint asks to wait before the next try
	Problem  string        // "<CODE>:<text>", empty when accepted
}

// Send makes one try. Where ctx ends first its cause is the error, and nothing is known of the outcome.
func (s *Sender) Send(ctx context.Context, m Message) (Outcome, error) {
	try, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	o, err := s.try(try, m)
	switch {
	case err == nil:
		return o, nil
	case ctx.Err() != nil:
		return Outcome{}, fmt.Errorf("callback: send: %w", context.Cause(ctx))
	case try.Err() != nil:
		return Outcome{Problem: fmt.Sprintf("ECONNABORTED:timeout of %dms exceeded", timeout.Milliseconds())}, nil
	default:
		return Outcome{Problem: problem(err)}, nil
	}
}

// try does not go through http.Client, which would follow redirects.
func (s *Sender) try(ctx context.Context, m Message) (Outcome, error) {
	request, err := s.request(ctx, m)
	if err != nil {
		return Outcome{}, err
	}
	answer, err := s.transport.RoundTrip(request)
	if err != nil {
		return Outcome{}, err
	}
	defer answer.Body.Close()
	// Taking the answer lets an endpoint end in peace. Its status has been told already, so what becomes of it does not matter.
	_, _ = io.CopyN(io.Discard, answer.Body, maxAnswer)
	return judge(answer.StatusCode, answer.Header.Get("Retry-After"), time.Now()), nil
}

func (s *Sender) request(ctx context.Context, m Message) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, m.URL, bytes.NewReader(m.Body))
	if err != nil {
		return nil, errURL // the error would quote it
	}
	request.GetBody = nil // sent once a try
	h := request.Header
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "recordhost")
	h.Set(webhooks.HeaderWebhookID, m.ID)
	h.Set(webhooks.HeaderWebhookTimestamp, strconv.FormatInt(m.At.Unix(), 10))
	if s.signer == nil {
		return request, nil
	}
	signature, err := s.signer.Sign(m.ID, m.At, m.Body)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	h.Set(webhooks.HeaderWebhookSignature, signature)
	return request, nil
}

// judge says what an answer means.
func judge(status int, retryAfter string, now time.Time) Outcome {
	switch {
	case status >= 200 && status < 300:
		return Outcome{Accepted: true}
	case status >= 300 && status < 400:
		return Outcome{Wait: wait(retryAfter, now), Problem: fmt.Sprintf("%d:the endpoint redirects, which is not followed", status)}
	case status == http.StatusGone:
		return Outcome{Gone: true, Problem: "410:the endpoint wants no more callbacks"}
	default:
		return Outcome{Wait: wait(retryAfter, now), Problem: fmt.Sprintf("%d:the endpoint refused it with status code %d", status, status)}
	}
}

// wait reads Retry-After: seconds, or a time. What cannot be read asks for nothing.
func wait(retryAfter string, now time.Time) time.Duration {
	const most = 365 * 24 * time.Hour
	if seconds, err := strconv.ParseUint(retryAfter, 10, 63); err == nil {
		return time.Duration(min(seconds, uint64(most/time.Second))) * time.Second
	}
	at, err := http.ParseTime(retryAfter)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), most)
}
