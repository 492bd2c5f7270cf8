package porter

import (
	"errors"
	"fmt"
	"net/http"
)

// An outcome is what came of one attempt of a request. It is known where it
// happens, and everything that is decided about a failure is decided by it:
// whether to try again, whether the outcome is unknown, and whether GitLab
// counted the request.
type outcome struct {
	answer *APIError // nil if there was none
	reach  reach     // of the request; of one that was answered, when the answer came
	fault  fault     // why there was no answer
}

// A verdict is what to do after an attempt that failed.
type verdict int

const (
	giveUp  verdict = iota
	again           // it can be sent again
	unknown         // nobody knows what became of it, so it must not be sent again
)

// verdict decides about a request that failed so. A safe one, a GET, changes
// nothing; one that is not repeatable has lost its body. README's table shows
// the same rows.
func (o outcome) verdict(safe, repeatable bool) verdict {
	switch e := o.answer; {
	case o.limited(): // refused before anything was done
	case e != nil && !e.Temporary():
		return giveUp
	case e != nil && (safe || e.StatusCode == http.StatusTooEarly):
	case e != nil && !e.fromGateway():
		return giveUp
	case e != nil && o.reach < whole: // nothing can come of a part
	case e != nil:
		return unknown
	case !safe && o.reach == whole:
		return unknown
	case !o.fault.passing():
		return giveUp
	}
	if !repeatable {
		return giveUp
	}
	return again
}

// counted reports whether GitLab may have counted the request against its
// limits. It counts an upload when it has come whole.
func (o outcome) counted() bool { return o.answer != nil || o.reach == whole }

// limited reports whether GitLab's limits refused the request: it has lost its
// turn, and did not fail.
func (o outcome) limited() bool {
	return o.answer != nil && o.answer.StatusCode == http.StatusTooManyRequests
}

// passing reports whether what failed so may succeed later, for a loop that
// asks again. A success that made no sense may come from a proxy in trouble.
func (o outcome) passing() bool {
	if e := o.answer; e != nil {
		return e.Temporary() || e.kind == ErrExportNotReady || e.StatusCode < 300
	}
	return o.fault.passing()
}

// outcomeOf returns the outcome of the request that ended in err. The cause of a
// context is in no chain, so what is found is of this request.
func outcomeOf(err error) outcome {
	if errors.As(err, new(*sourceError)) {
		return outcome{fault: sourceFault}
	}
	var e *APIError
	if errors.As(err, &e) {
		return outcome{answer: e, reach: e.reach}
	}
	var t *transportError
	if errors.As(err, &t) {
		return outcome{reach: t.reach, fault: t.fault}
	}
	return outcome{fault: contextFault}
}

// answerOf returns the answer that err is, nil if it is none.
func answerOf(err error) *APIError { return outcomeOf(err).answer }

// passing reports whether what failed with err may succeed later.
func passing(err error) bool { return outcomeOf(err).passing() }

func outcomeUnknown(err error) error { return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err) }
