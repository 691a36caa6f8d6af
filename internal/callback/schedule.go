package callback

import "time"

// Documented is how many tries the API documents. The task is not finished before they are made, or the result is accepted.
const Documented = 5

// jitter is the part of a later wait by which it is drawn out at most, so that what failed together is not tried together.
const jitter = 0.1

// Schedule is when tries are made.
type Schedule struct {
	Step    time.Duration // from the end of a documented try to the next one
	Later   time.Duration // from the last documented try to the next one; doubles with each
	Longest time.Duration // is as far as it doubles
	GiveUp  time.Duration // from the first try to the last; zero: only the documented ones are made
}

// Standard is the schedule that the API documents.
func Standard(giveUp time.Duration) Schedule {
	return Schedule{Step: time.Second, Later: 30 * time.Second, Longest: time.Hour, GiveUp: giveUp}
}

// Delivery is what must be remembered of a result that is being told, from one try to the next. It is stored.
type Delivery struct {
	ID    string    // names the message to the endpoint
	Body  []byte    // the same on every try, whatever becomes of the task meanwhile
	First time.Time // when the first try was due
	Due   time.Time // when the next one is; zero: none follows
	Tries int       // that have been made
	Late  bool      // the documented tries are over
	Steps int       // of the doubling wait
}

// Begin makes the delivery of a message, or begins it anew.
func Begin(id string, body []byte, now time.Time) Delivery {
	return Delivery{ID: id, Body: body, First: now, Due: now}
}

// Verdict is what a try means for the task.
type Verdict int

// The verdicts.
const (
	Again    Verdict = iota // the documented tries go on
	Late                    // they are over, and others follow
	GivenUp                 // no other follows
	Accepted                // the caller was told
)

// After decides what follows a try that ended at now. A random number from 0 to 1 draws out later waits.
//
// An endpoint that asks to wait for longer than the next step is obeyed, which ends the documented tries: nobody waits that
// long for a task to be finished. Where only they are made there is no later try, so they go on.
func (s Schedule) After(d Delivery, o Outcome, now time.Time, random float64) (Delivery, Verdict) {
	d.Tries++
	d.Due = time.Time{}
	switch {
	case o.Accepted:
		return d, Accepted
	case o.Gone:
		d.Late = true
		return d, GivenUp
	}
	patient := s.GiveUp > 0 && o.Wait > s.Step
	if !d.Late && d.Tries < Documented && !patient {
		d.Due = now.Add(s.Step)
		return d, Again
	}
	var step time.Duration
	if d.Late || d.Tries >= Documented {
		step = s.later(d.Steps, random)
		d.Steps++
	}
	d.Late = true
	last := d.First.Add(s.GiveUp)
	if !now.Before(last) {
		return d, GivenUp
	}
	d.Due = now.Add(max(step, o.Wait))
	if d.Due.After(last) {
		d.Due = last
	}
	return d, Late
}

// later is the wait after so many others.
func (s Schedule) later(steps int, random float64) time.Duration {
	d := s.Later
	for range steps {
		if d = 2 * d; d >= s.Longest {
			break
		}
	}
	d = min(d, s.Longest)
	return d + time.Duration(random*jitter*float64(d))
}
