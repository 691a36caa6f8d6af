package fakevod

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
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

	// Uploads is the store that media are uploaded to.
	Uploads Uploads

	// Host is where media are played from, "http://vod.example.com"; without a slash at its end.
	Host string

	// Life is how long a session and its keys work; zero: two hours.
	Life time.Duration

	// MetaDelay is how many times a new media is described without its MetaData, which the service finds out later.
	MetaDelay int
}

// Uploads is what the server needs of the store that media are uploaded to.
type Uploads interface {
	// Grant makes temporary keys for the objects whose keys begin with prefix.
	Grant(region, prefix string, until time.Time) (Bucket, Keys)
	// Expire ends keys now.
	Expire(k Keys)
	// Sizes are the objects whose keys begin with prefix, by key, in bytes.
	Sizes(b Bucket, prefix string) map[string]int64
}

// Bucket is a bucket of the store.
type Bucket struct {
	Name   string
	Region string
}

// Keys are temporary keys.
type Keys struct {
	SecretID  string
	SecretKey string
	Token     string
}

// Server is the service. It is an http.Handler; every method may be called from several goroutines at once.
type Server struct {
	options Options

	mu       sync.Mutex
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
	keys    Keys
	until   time.Time
	expired bool
	made    *Media // once it was committed
}

// apiError is an error as API 3.0 sends it, within an answer of the HTTP status 200.
type apiError struct {
	code    string
	message string
}

// New makes a server without media.
func New(o Options) *Server {
	if o.Life == 0 {
		o.Life = 2 * time.Hour
	}
	return &Server{options: o, sessions: map[string]*session{}, faults: map[string][]Fault{}}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		s.answer(w, nil, &apiError{"RequestSizeLimitExceeded", "The request is larger than 10 MB."})
		return
	}
	action := r.Header.Get("X-TC-Action")
	fault := s.fault(action)
	if fault.strike(w, r) {
		return
	}
	result, failure := s.call(r, action, body)
	if fault.Lost {
		hangUp(w)
		return
	}
	s.answer(w, result, failure)
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
func (s *Server) answer(w http.ResponseWriter, result any, failure *apiError) {
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
		s.options.Uploads.Expire(one.keys)
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
