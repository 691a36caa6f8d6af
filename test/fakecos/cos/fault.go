package cos

import (
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

// Rule orders a fault for requests.
type Rule struct {
	On    Operation // Any: whatever it is
	Key   string    // only of this object; empty: of any
	Part  int       // only this part; 0: any
	Skip  int       // so many pass first
	Times int       // so many meet the fault; 0: all that follow
	Fault Fault
}

type rule struct {
	Rule
	met int
}

// Fault is what happens to a request. The functions below make it.
type Fault struct {
	meet func(s *Server, c *call, w *recorder)
}

// Inject orders a fault. The first rule that fits a request holds. remove takes it back.
func (s *Server) Inject(r Rule) (remove func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ordered := &rule{Rule: r}
	s.rules = append(s.rules, ordered)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i, other := range s.rules {
			if other == ordered {
				s.rules = append(s.rules[:i:i], s.rules[i+1:]...)
				return
			}
		}
	}
}

// take finds the fault that a request meets; nil for none.
func (s *Server) take(c *call) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rules {
		fits := (r.On == Any || r.On == c.Operation) && (r.Key == "" || r.Key == c.Key) && (r.Part == 0 || r.Part == c.Part)
		switch {
		case !fits || r.Times > 0 && r.met == r.Skip+r.Times:
			continue
		case r.met < r.Skip:
			r.met++
			continue
		}
		r.met++
		return &r.Fault
	}
	return nil
}

// Refuse answers an error in place of doing anything: 503 "SlowDown", 403 "AccessDenied", 404 "NoSuchBucket".
func Refuse(status int, code string) Fault { return RefuseFor(status, code, 0) }

// RefuseFor is Refuse with Retry-After, in whole seconds; zero: without.
func RefuseFor(status int, code string, retryAfter time.Duration) Fault {
	return Fault{func(_ *Server, c *call, w *recorder) {
		discard(c)
		if retryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter/time.Second)))
		}
		w.fail(c, &failure{status, code, "The fault was ordered."})
	}}
}

// ErrorInBody answers 200 with an error in the body, and does nothing.
func ErrorInBody(code string) Fault {
	return Fault{func(_ *Server, c *call, w *recorder) {
		discard(c)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusOK)
		w.code = code
		f := &failure{http.StatusOK, code, "The fault was ordered."}
		_, _ = io.WriteString(w, f.document(c, w.Header().Get("x-cos-request-id"), "TRACE"))
	}}
}

// LoseAnswer does what was asked and breaks the connection before a byte of the answer.
func LoseAnswer() Fault {
	return Fault{func(s *Server, c *call, w *recorder) {
		w.quiet = true
		s.serve(w, c)
		hangUp(w)
	}}
}

// Reset resets the connection when so many bytes of the body have come.
func Reset(after int64) Fault {
	return Fault{func(_ *Server, c *call, w *recorder) {
		_, _ = io.CopyN(io.Discard, c.body, after)
		hangUp(w)
	}}
}

// hangUp resets a connection.
func hangUp(w *recorder) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.status = 0
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// BlackHole reads nothing more and answers nothing, until the client or the server ends.
func BlackHole() Fault {
	return Fault{func(s *Server, c *call, _ *recorder) {
		select {
		case <-s.ending:
		case <-c.http.Context().Done():
		}
		panic(http.ErrAbortHandler)
	}}
}

// Slow reads the body, and writes the answer's, at so many bytes a second.
func Slow(bytesPerSecond int) Fault {
	return Fault{func(s *Server, c *call, w *recorder) {
		c.body.Reader = &slow{r: c.body.Reader, rate: bytesPerSecond, ending: s.ending}
		w.ResponseWriter = &slowAnswer{ResponseWriter: w.ResponseWriter, rate: bytesPerSecond, ending: s.ending}
		s.serve(w, c)
	}}
}

// Flip stores one wrong bit, of a part, an object, or the object that Complete makes of parts. The answer tells the checksums of what
// is stored, so the client can know; silent: the answer of PutObject and UploadPart tells those of what came.
func Flip(silent bool) Fault { return spoiling(damage{flip: true, silent: silent}) }

// Cut is Flip with the last byte missing instead.
func Cut(silent bool) Fault { return spoiling(damage{cut: true, silent: silent}) }

func spoiling(d damage) Fault {
	return Fault{func(s *Server, c *call, w *recorder) {
		c.damage = d
		s.serve(w, c)
	}}
}

// ExpireKeys makes the keys expire that the request was signed with, and then serves it.
func ExpireKeys() Fault {
	return Fault{func(s *Server, c *call, w *recorder) {
		if claim, ok := readClaim(c.http); ok {
			s.Expire(claim.secretID)
		}
		s.serve(w, c)
	}}
}

// FlipAnswer changes one bit of the answer's body on its way, and nothing in the store.
func FlipAnswer() Fault {
	return Fault{func(s *Server, c *call, w *recorder) {
		w.ResponseWriter = &spoiledAnswer{ResponseWriter: w.ResponseWriter, flip: true}
		s.serve(w, c)
	}}
}

// ResetAnswer breaks the connection when so many bytes of the answer's body were sent.
func ResetAnswer(after int) Fault {
	return Fault{func(s *Server, c *call, w *recorder) {
		w.ResponseWriter = &spoiledAnswer{ResponseWriter: w.ResponseWriter, left: after}
		s.serve(w, c)
	}}
}

// spoiledAnswer is an answer that goes wrong on its way.
type spoiledAnswer struct {
	http.ResponseWriter
	flip bool
	left int // bytes before the connection breaks, unless a bit is flipped
}

func (s *spoiledAnswer) Write(p []byte) (int, error) {
	if s.flip {
		p = append([]byte{p[0] ^ 1}, p[1:]...)
		s.flip, s.left = false, math.MaxInt
	}
	if len(p) > s.left {
		_, _ = s.ResponseWriter.Write(p[:s.left])
		panic(http.ErrAbortHandler)
	}
	s.left -= len(p)
	return s.ResponseWriter.Write(p)
}

// Then does something in the test before the request is served; it may call the server.
func Then(do func()) Fault {
	return Fault{func(s *Server, c *call, w *recorder) {
		do()
		s.serve(w, c)
	}}
}

// Finally does something in the test when what was asked is done, before a byte of the answer; the answer is then lost.
func Finally(do func()) Fault {
	return Fault{func(s *Server, c *call, w *recorder) {
		w.quiet = true
		s.serve(w, c)
		do()
		hangUp(w)
	}}
}

// spoilObject damages the object that parts were put together to. The caller holds mu.
func (s *Server) spoilObject(o *object, d damage) *failure {
	if !d.flip && !d.cut {
		return nil
	}
	last := &o.pieces[len(o.pieces)-1]
	f, err := os.OpenFile(last.path, os.O_RDWR, 0)
	if err != nil {
		return internal(err)
	}
	defer func() { _ = f.Close() }()
	if last.sums, err = spoil(f, last.size, d); err != nil {
		return internal(err)
	}
	return nil
}

// pause waits for as long as n bytes take.
func pause(n, rate int, ending <-chan struct{}) error {
	select {
	case <-time.After(time.Duration(n) * time.Second / time.Duration(rate)):
		return nil
	case <-ending:
		return net.ErrClosed
	}
}

type slow struct {
	r      io.Reader
	rate   int
	ending <-chan struct{}
}

func (s *slow) Read(p []byte) (int, error) {
	n, err := s.r.Read(p[:min(len(p), max(s.rate/10, 1))])
	if waited := pause(n, s.rate, s.ending); waited != nil {
		return n, waited
	}
	return n, err
}

type slowAnswer struct {
	http.ResponseWriter
	rate   int
	ending <-chan struct{}
}

func (s *slowAnswer) Write(p []byte) (written int, err error) {
	for len(p) > 0 {
		chunk := p[:min(len(p), max(s.rate/10, 1))]
		n, err := s.ResponseWriter.Write(chunk)
		written += n
		if err != nil {
			return written, err
		}
		if err := http.NewResponseController(s.ResponseWriter).Flush(); err != nil {
			return written, err
		}
		if err := pause(n, s.rate, s.ending); err != nil {
			return written, err
		}
		p = p[len(chunk):]
	}
	return written, nil
}

// Unwrap serves http.ResponseController.
func (s *slowAnswer) Unwrap() http.ResponseWriter { return s.ResponseWriter }
