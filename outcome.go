package porter

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
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
	unknown         // GitLab may have done it, so it must not be sent again
)

// String returns the word of docs/retrying.md for v.
func (v verdict) String() string { return [...]string{"ends", "again", "unknown"}[v] }

// A rule says what to do after the outcomes that it matches.
type rule struct {
	of        string // the words of docs/retrying.md for them
	matches   func(outcome) bool
	get, post verdict
}

// rules are the table of docs/retrying.md, row by row. The first that matches decides.
var rules = []rule{
	{"429", outcome.limited, again, again},
	{"425", outcome.tooEarly, again, again},
	{"408, 502, 503, 504, Cloudflare's 520 to 527 and 530, before the request was sent whole", outcome.cutByGateway, again, again},
	{"the same, after it was sent whole", outcome.fromGateway, again, unknown},
	{"another 5xx but 501", outcome.temporary, again, giveUp},
	{"any other answer", outcome.answered, giveUp, giveUp},
	{"no answer of the network, before the request was sent whole", outcome.cutByNetwork, again, again},
	{"the same, after it was sent whole", outcome.lostByNetwork, again, unknown},
	{"no answer for another reason, before the request was sent whole", outcome.cut, giveUp, giveUp},
	{"the same, after it was sent whole", outcome.lost, giveUp, unknown},
}

func (o outcome) answered() bool      { return o.answer != nil }
func (o outcome) temporary() bool     { return o.answered() && o.answer.Temporary() }
func (o outcome) tooEarly() bool      { return o.answered() && o.answer.StatusCode == http.StatusTooEarly }
func (o outcome) fromGateway() bool   { return o.answered() && o.answer.fromGateway() }
func (o outcome) cutByGateway() bool  { return o.fromGateway() && o.reach < whole }
func (o outcome) lost() bool          { return !o.answered() && o.reach == whole }
func (o outcome) lostByNetwork() bool { return o.lost() && o.fault.passing() }
func (o outcome) cut() bool           { return !o.answered() && o.reach < whole }
func (o outcome) cutByNetwork() bool  { return o.cut() && o.fault.passing() }

// verdict decides about a request that failed so. A safe one, a GET, changes
// nothing; one that is not repeatable has lost its body.
func (o outcome) verdict(safe, repeatable bool) verdict {
	r := rules[slices.IndexFunc(rules, func(r rule) bool { return r.matches(o) })]
	v := r.post
	if safe {
		v = r.get
	}
	if v == again && !repeatable {
		return giveUp
	}
	return v
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
