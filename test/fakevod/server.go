package fakevod

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/recordhost/recordhost/test/fakecos/cos"
)

const (
	service    = "vod"
	apiVersion = "2018-07-17"
	maxBody    = 10 << 20 // of a request, as the service has it
)

// Options of a Server.
type Options struct {
	SecretID  string
	SecretKey string

	// SubAppIDs are the applications of the account. Requests may name one of them, or none.
	SubAppIDs []uint64

	// COS is the store that media are uploaded to. The server makes its own buckets and temporary keys there.
	COS *cos.Server

	// Host is where media are played from, "http://vod.example.com"; without a slash at its end.
	Host string

	// Life is how long a session and its keys work; zero: two hours.
	Life time.Duration

	// UploadOnly makes temporary keys that allow what an upload needs, and neither to look at objects nor to list or delete them.
	UploadOnly bool

	// Strict refuses a session that was committed to be committed again; else the same FileId is answered.
	Strict bool

	// MetaDelay is how many times a new media is described without its MetaData, which the service finds out later.
	MetaDelay int
}

// Server is the service. Every method may be called from several goroutines at once.
type Server struct {
	options Options
	url     string
	http    *http.Server
	served  chan error

	mu       sync.Mutex
	buckets  map[string]bool
	sessions map[string]*session // by VodSessionKey
	media    []*Media
	faults   map[string][]Fault
	calls    []Call
}

var _ http.Handler = (*Server)(nil)

// Call is a request that was well signed.
type Call struct {
	Action string
	Body   string
}

// session is one ApplyUpload.
type session struct {
	media   Media // as it will be
	keyID   string
	until   time.Time
	expired bool
	made    *Media // once it was committed
}

// apiError is an error as API 3.0 sends it, within an answer of the HTTP status 200.
type apiError struct {
	code    string
	message string
}

// Start makes a server without media on a free port of 127.0.0.1, and serves until Close.
func Start(o Options) (*Server, error) {
	if o.Life == 0 {
		o.Life = 2 * time.Hour
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // nothing is looked up
	if err != nil {
		return nil, fmt.Errorf("fakevod: %w", err)
	}
	s := &Server{
		options: o, url: "http://" + listener.Addr().String(), served: make(chan error, 1),
		buckets: map[string]bool{}, sessions: map[string]*session{}, faults: map[string][]Fault{},
	}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() { s.served <- s.http.Serve(listener) }()
	return s, nil
}

// URL is where the server listens, "http://127.0.0.1:port".
func (s *Server) URL() string { return s.url }

// Close ends the server and all requests.
func (s *Server) Close() error {
	err := s.http.Close()
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		answer(w, nil, &apiError{"RequestSizeLimitExceeded", "The request is larger than 10 MB."})
		return
	}
	action := r.Header.Get("X-TC-Action")
	fault := s.fault(action)
	if fault.strike(w, r) {
		return
	}
	result, failure := s.call(r, action, body)
	if fault.Lost {
		panic(http.ErrAbortHandler)
	}
	answer(w, result, failure)
}

// call makes one request's work.
func (s *Server) call(r *http.Request, action string, body []byte) (any, *apiError) {
	if r.Method != http.MethodPost {
		return nil, &apiError{"UnsupportedProtocol", "Only POST is known here."}
	}
	if failure := authenticate(r, body, service, s.options.SecretID, s.options.SecretKey, time.Now()); failure != nil {
		return nil, failure
	}
	s.note(action, body)
	if r.Header.Get("X-TC-Version") != apiVersion {
		return nil, &apiError{"NoSuchVersion", "The version of the product is unknown."}
	}
	switch action {
	case "ApplyUpload":
		return handle(body, s.applyUpload)
	case "CommitUpload":
		return handle(body, s.commitUpload)
	case "DescribeMediaInfos":
		return handle(body, s.describeMediaInfos)
	default:
		return nil, &apiError{"InvalidAction", fmt.Sprintf("The action `%s` is unknown.", action)}
	}
}

// handle decodes a request strictly, as the service does.
func handle[Request any](body []byte, do func(Request) (any, *apiError)) (any, *apiError) {
	var request Request
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&request); err != nil {
		if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return nil, &apiError{"UnknownParameter", "The parameter " + name + " is not recognized."}
		}
		return nil, &apiError{"InvalidParameter", "The request cannot be read: " + err.Error()}
	}
	return do(request)
}

// answer sends {"Response": {…, "RequestId": "…"}}.
func answer(w http.ResponseWriter, result any, failure *apiError) {
	members := map[string]any{}
	if failure != nil {
		members["Error"] = map[string]string{"Code": failure.code, "Message": failure.message}
	} else {
		text, err := json.Marshal(result)
		if err == nil {
			err = json.Unmarshal(text, &members)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	members["RequestId"] = identifier()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"Response": members})
}

// identifier is a random UUID, as RequestIds are.
func identifier() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	text := hex.EncodeToString(b[:])
	return strings.Join([]string{text[:8], text[8:12], text[12:16], text[16:20], text[20:]}, "-")
}

func (s *Server) note(action string, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, Call{Action: action, Body: string(body)})
}

// Calls are the requests so far that were well signed.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

// Media are all media of the account, as they were committed.
func (s *Server) Media() []Media {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Media, 0, len(s.media))
	for _, m := range s.media {
		all = append(all, *m)
	}
	return all
}

// ExpireKeys ends the temporary keys of all sessions. The sessions go on.
func (s *Server) ExpireKeys() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.sessions {
		s.options.COS.Expire(one.keyID)
	}
}

// ExpireSessions ends all sessions that were not committed, and the keys of all. Nothing can come of what was uploaded in them.
func (s *Server) ExpireSessions() {
	s.ExpireKeys()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.sessions {
		one.expired = one.made == nil
	}
}
