package synthetic

import (
	"net/url"
)

// Moment is a point in the life of a recording that the worker's log tells of, and where a script may hold the worker.
type Moment string

// The moments, in their order.
const (
	Loading    Moment = "loading"    // the page
	Waiting    Moment = "waiting"    // for the page to call startRecord
	Beginning  Moment = "beginning"  // to record; nothing says so yet
	Refreshing Moment = "refreshing" // the page
	Pausing    Moment = "pausing"    // nothing is captured, and nothing says so yet
	Resuming   Moment = "resuming"
	Stopping   Moment = "stopping"  // nothing more is captured, and nobody was told
	Finishing  Moment = "finishing" // what was captured is not all in the spool
	Put        Moment = "put"       // the file is whole, and not at the store
	Commit     Moment = "commit"    // it is there, and the store was not asked
)

// Script is what a synthetic worker is told by the query of its RecordURL.
type Script struct {
	Manual bool   // the page calls startRecord; the Start says ManualStart
	Hold   Moment // where the worker is held
	Until  string // until this file is there
}

// URL is a page with this script.
func (s Script) URL() string {
	q := url.Values{}
	if s.Manual {
		q.Set("manual", "1")
	}
	if s.Hold != "" {
		q.Set("hold", string(s.Hold))
		q.Set("until", s.Until)
	}
	return "http://synthetic.invalid/?" + q.Encode()
}

// ParseScript reads the query of such a URL.
func ParseScript(q url.Values) Script {
	return Script{Manual: q.Has("manual"), Hold: Moment(q.Get("hold")), Until: q.Get("until")}
}
