package fakevod

import "net/http"

// Fault is what a request meets instead of, or beside, being answered.
type Fault struct {
	// Code is that of an error of API 3.0 that is answered: "InternalError", "RequestLimitExceeded".
	Code string

	// Status is an HTTP status that is answered, as by what stands before the service.
	Status int

	// Reset closes the connection before anything is done.
	Reset bool

	// Hang answers nothing until the client has gone.
	Hang bool

	// Lost does the work, and closes the connection instead of answering.
	Lost bool
}

// Fail orders a fault for so many requests of an action, after those that were ordered before.
func (s *Server) Fail(action string, times int, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range times {
		s.faults[action] = append(s.faults[action], f)
	}
}

// Recover takes back all faults that were ordered and not yet met.
func (s *Server) Recover() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.faults)
}

// fault takes the next one of an action; the zero value is none.
func (s *Server) fault(action string) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	ordered := s.faults[action]
	if len(ordered) == 0 {
		return Fault{}
	}
	s.faults[action] = ordered[1:]
	return ordered[0]
}

// strike carries out a fault that comes before the work, and tells whether there was one.
func (f Fault) strike(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case f.Code != "":
		answer(w, nil, &apiError{f.Code, "This was ordered."})
	case f.Status != 0:
		http.Error(w, "this was ordered", f.Status)
	case f.Reset:
		panic(http.ErrAbortHandler)
	case f.Hang:
		<-r.Context().Done()
	default:
		return false
	}
	return true
}
