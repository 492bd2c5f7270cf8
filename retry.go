package porter

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/seed-5d77b939/porter/internal/pace"
)

// send sends r, as often as its method and the failures allow, and returns
// the first 2xx answer. The caller closes its body, unless r.read did.
func (c *core) send(ctx context.Context, r *request) (*http.Response, error) {
	var last error
	var turn *pace.Turn
	var since time.Time // the first failure
	lost := 0           // turns that a 429 cost, which are no failures
	if r.open != nil {
		ctx = withObserverLock(ctx) // the source may report while the answer comes
	}
	for n := 0; ; n++ {
		var err error
		if turn, err = c.admit(ctx, r, turn); err != nil {
			return nil, insteadOf(err, last)
		}
		resp, o, v, err := c.try(ctx, r, turn)
		switch {
		case err == nil:
			return resp, nil
		case last != nil && errors.Is(err, ErrSourceConsumed):
			return nil, fmt.Errorf("%w (not tried again: %w)", last, err)
		case last == nil:
			since = time.Now()
		}
		last = err
		if ctx.Err() != nil || v != again || r.once || !c.mayRetry(o, n-lost, since, r.outlasts) {
			return nil, err
		}
		pause := c.retryPause(n, err)
		if o.limited() {
			if turn == nil { // else its line keeps it from coming together with others
				pause += spread(lost)
			}
			lost++
		}
		if ended := c.pauseForRetry(ctx, r, n, pause, err); ended != nil {
			return nil, insteadOf(ended, err)
		}
	}
}

// try sends r once, as the turn t allows. If that failed, it returns the outcome
// and what is to be done.
func (c *core) try(ctx context.Context, r *request, t *pace.Turn) (*http.Response, outcome, verdict, error) {
	resp, a, err := c.attempt(ctx, r)
	defer a.leave()
	if err == nil && r.read != nil {
		err = r.read(resp)
	}
	if err == nil {
		o := outcome{reach: whole}
		settle(t, o)
		return resp, o, giveUp, nil
	}
	o := outcomeOf(err)
	settle(t, o)
	v := o.verdict(r.method == http.MethodGet, a.repeatable())
	if v == unknown {
		err = outcomeUnknown(err)
	}
	return nil, o, v, err
}

// mayRetry reports whether what has failed n times before, first at since and
// now with o, may be tried again. A lost turn is no failure. What outlasts an
// outage is borne as long as failing polls are.
func (c *core) mayRetry(o outcome, n int, since time.Time, outlasts bool) bool {
	switch {
	case c.cfg.retries == 0 || c.tooLong(o):
		return false
	case o.limited():
		return true
	}
	return n < c.cfg.retries || outlasts && time.Since(since) < c.cfg.polling.Patience
}

// tooLong reports whether the server asks for a pause that no patience bears.
// A 429 is no failure of the server's, so its pause is kept.
func (c *core) tooLong(o outcome) bool {
	return o.answer != nil && !o.limited() && o.answer.RetryAfter > c.cfg.polling.Patience
}

// outlastPause spaces the attempts that Patience allows beyond the retries,
// whatever the backoff.
const outlastPause = time.Second

// retryPause returns how long to wait after attempt n failed with err.
func (c *core) retryPause(n int, err error) time.Duration {
	d := c.cfg.backoff.wait(n)
	if n >= c.cfg.retries {
		d = max(d, outlastPause)
	}
	return c.pauseAfter(err, d)
}

// insteadOf adds to the error ended, which kept a request from being tried
// again, the failure of the try before, nil if there was none.
func insteadOf(ended, failure error) error {
	if failure == nil {
		return ended
	}
	return fmt.Errorf("%w (was to be tried again: %w)", ended, failure)
}

// pauseAfter returns how long to wait after err: d, unless GitLab wants it
// otherwise.
func (c *core) pauseAfter(err error, d time.Duration) time.Duration {
	if errors.Is(err, ErrExportNotReady) {
		d = max(d, notReadyPause)
	}
	e := answerOf(err)
	switch {
	case e == nil:
	case e.RetryAfter > d, e.RetryAfter > 0 && e.StatusCode == http.StatusTooManyRequests:
		return e.RetryAfter
	case !e.retryAfter && e.StatusCode == http.StatusTooManyRequests:
		return c.clock.UntilNextMinute()
	}
	return d
}

// spread is how much later than it was told one who has lost so many turns
// before tries again. Others who lose theirs were told the same, and would come
// together with it for ever.
func spread(lost int) time.Duration {
	if lost < 2 {
		return 0
	}
	return rand.N(time.Duration(min(lost-1, 5)) * time.Minute)
}

// shortPause is how long a pause may be for which a transfer keeps its place.
const shortPause = 30 * time.Second

// pauseForRetry waits d, after attempt n of r failed with err.
func (c *core) pauseForRetry(ctx context.Context, r *request, n int, d time.Duration, err error) error {
	if d > shortPause || outcomeOf(err).limited() {
		r.place.Give()
	}
	c.cfg.logger.WarnContext(ctx, "trying again", "project", r.project, "attempt", n+1, "delay", d, "error", err)
	return c.pause(ctx, Event{Kind: EventRetry, Project: r.project, Attempt: n + 1, Delay: d, Err: err})
}

// notReadyPause is how long GitLab makes one wait between two downloads of
// the same archive.
const notReadyPause = time.Minute
