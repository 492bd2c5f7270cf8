package porter

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/seed-5d77b939/porter/internal/pace"
	"github.com/seed-5d77b939/porter/internal/redact"
	"github.com/seed-5d77b939/porter/internal/wait"
)

// A request is one call of the API, which may take several attempts.
type request struct {
	method   string
	url      string
	header   http.Header
	project  string      // as the caller gave it, for events and logs
	hints    hints       // which endpoints it belongs to
	download bool        // of an archive, which may be redirected to object storage
	once     bool        // never tried again: its caller is a loop already
	outlasts bool        // it bears an outage for Polling.Patience: an export or bytes of an archive would be lost with it
	known    bool        // its host has answered before
	secrets  []string    // that its body carries, such as a signed URL
	budget   pace.Budget // of GitLab's limits
	// kind returns the Err variable for an answer, beyond the one of its status;
	// nil for none.
	kind func(*APIError) error
	// read takes the answer in, if a broken one is to be asked for again.
	read func(*http.Response) error
	// open makes the body of an attempt; nil for none.
	open func(context.Context) (*payload, error)
}

// elsewhere reports whether resp, an answer to r, comes from another origin
// than was asked.
func (r *request) elsewhere(resp *http.Response) bool {
	asked, err := url.Parse(r.url)
	return err == nil && resp.Request != nil && !sameOrigin(resp.Request.URL, asked)
}

// endpoint returns the URL of a path below the API's root. The path is escaped.
func (c *Client) endpoint(path string) string { return c.base.String() + path }

// projectURL returns the URL of a project.
func (c *Client) projectURL(id string) string { return c.endpoint("projects/" + url.PathEscape(id)) }

// projectEndpoint returns the URL of what an endpoint says of a project.
func (c *Client) projectEndpoint(id, what string) string { return c.projectURL(id) + "/" + what }

// send sends r, as often as its method and the failures allow, and returns
// the first 2xx answer. The caller closes its body, unless r.read did.
func (c *core) send(ctx context.Context, r *request) (*http.Response, error) {
	var last error
	var since time.Time // the first failure
	turns := 0          // that a 429 cost, which are no failures
	if r.open != nil {
		ctx = withObserverLock(ctx) // the source may report while the answer comes
	}
	for n := 0; ; n++ {
		if ctx.Err() != nil {
			return nil, insteadOf(wait.Ended(ctx), last)
		}
		t, err := c.pace(ctx, r.project, r.budget)
		if err != nil {
			return nil, insteadOf(err, last)
		}
		resp, p, err := c.attempt(ctx, r)
		if err == nil && r.read != nil {
			err = r.read(resp)
		}
		if err == nil {
			settle(t, outcome{reach: whole})
			return resp, nil
		}
		o := outcomeOf(err)
		settle(t, o)
		verdict := o.verdict(r.method == http.MethodGet, p == nil || !p.single || !p.started())
		if verdict == unknown {
			err = outcomeUnknown(err)
		}
		if last != nil && errors.Is(err, ErrSourceConsumed) {
			return nil, fmt.Errorf("%w (not tried again: %w)", last, err)
		}
		if last == nil {
			since = time.Now()
		}
		last = err
		if ctx.Err() != nil || verdict != again || r.once || !c.mayRetry(o, n-turns, since, r.outlasts) {
			return nil, err
		}
		if o.limited() {
			turns++
		}
		if ended := c.pauseForRetry(ctx, r.project, n, c.retryPause(n, err), err); ended != nil {
			return nil, insteadOf(ended, err)
		}
	}
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

func outcomeUnknown(err error) error { return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err) }

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

func (c *core) pauseForRetry(ctx context.Context, project string, n int, d time.Duration, err error) error {
	c.cfg.logger.WarnContext(ctx, "trying again", "project", project, "attempt", n+1, "delay", d, "error", err)
	c.emit(ctx, Event{Kind: EventRetry, Project: project, Attempt: n + 1, Delay: d, Err: err})
	return wait.Sleep(ctx, d)
}

// attempt sends r once. The error is the context's, an *APIError, a
// *transportError or a *sourceError.
func (c *core) attempt(ctx context.Context, r *request) (_ *http.Response, p *payload, err error) {
	wctx, w := newWatchdog(ctx, c.cfg.stall)
	defer func() {
		if err != nil {
			w.stop()
		}
	}()
	req, err := c.newRequest(wctx, r)
	if err != nil {
		return nil, nil, err
	}
	if r.open != nil {
		if p, err = r.open(req.Context()); err != nil {
			if ctx.Err() != nil {
				err = wait.Ended(ctx)
			}
			return nil, nil, err
		}
		p.watch = w
		req = p.attach(req)
	}
	w.arm()
	resp, err := c.do(req)
	w.disarm()
	if err == nil {
		resp.Body = c.watchBody(ctx, resp.Body, w)
		if resp.StatusCode < 200 || resp.StatusCode > 299 {
			return nil, p, c.refused(r, p, resp)
		}
	}
	if p != nil {
		p.stop()
	}
	switch {
	case err == nil:
		return resp, p, nil
	case ctx.Err() != nil:
		return nil, p, newTransportError(req, wait.Ended(ctx), p.reach(err, true), contextFault)
	case w.stalled():
		return nil, p, newTransportError(req, ErrStalled, p.reach(err, true), networkFault)
	case p.failure() != nil:
		return nil, p, p.failure()
	}
	if proxy := asProxyError(c.bare.Transport, req, err); proxy != nil {
		err = proxy
	}
	f, sent := faultOf(err, r.known || r.outlasts || c.answered.Load())
	return nil, p, newTransportError(req, err, p.reach(err, sent), f)
}

// newRequest returns the request of one attempt, without its body. Its context
// knows the secrets that it carries.
func (c *core) newRequest(ctx context.Context, r *request) (*http.Request, error) {
	ctx, hidden := redact.WithSecrets(ctx)
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, nil)
	if err != nil {
		return nil, &transportError{method: r.method, text: "malformed request URL", err: err, fault: lastingFault}
	}
	if r.hints == foreignHints {
		hidden.AddURL(req.URL) // it is signed
	}
	for _, text := range r.secrets {
		hidden.Add(text)
		if u, err := url.Parse(text); err == nil {
			hidden.AddURL(u)
		}
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	return req, nil
}

// do sends a request. If its context ends while it has a body, the transport
// waits for the source of that, which may hang in a Read that nothing ends; so
// it is left behind then.
func (c *core) do(req *http.Request) (*http.Response, error) {
	if req.Body == nil {
		return c.http.Do(req)
	}
	var resp *http.Response
	err := errors.New("transport has exited")
	done := make(chan struct{})
	go func() {
		defer close(done)
		resp, err = c.http.Do(req)
	}()
	select {
	case <-done:
		return resp, err
	case <-req.Context().Done():
	}
	if wait.AtMost(2*closePatience, done) {
		return resp, err
	}
	go func() {
		if <-done; resp != nil {
			resp.Body.Close()
		}
	}()
	return nil, context.Cause(req.Context())
}

// refused makes an error of an answer that is not a success. If it came early,
// its body may still be on its way, and would be lost if the upload was broken
// off at once.
func (c *core) refused(r *request, p *payload, resp *http.Response) *APIError {
	reach := whole
	if p != nil {
		reach = p.reachAtAnswer()
		defer p.stop()
		late := time.AfterFunc(lingerTime, func() {
			p.stop()
			p.watch.arm() // for the answer that is still awaited
		})
		defer late.Stop()
	}
	return readAPIError(r, resp, reach)
}

// A transportError is a request without an answer.
type transportError struct {
	method string
	url    string
	text   string // of err, without secrets
	err    error
	reach  reach
	fault  fault
}

// newTransportError takes what may be secret out of err.
func newTransportError(req *http.Request, err error, r reach, f fault) error {
	for ue, ok := err.(*url.Error); ok; ue, ok = err.(*url.Error) {
		err = ue.Err
	}
	text := safeText(req, err)
	if hidden := redact.SecretsOf(req.Context()); hidden.Scrub(err.Error()) != err.Error() {
		err = errors.New(text) // whoever unwraps it must not find them either
	}
	return &transportError{req.Method, redact.URL(req.URL), text, err, r, f}
}

// newBodyError makes an error of an answer whose body broke off with err.
func newBodyError(req *http.Request, err error) error {
	f := networkFault
	if errors.As(err, new(*wait.EndedError)) {
		f = contextFault
	}
	return newTransportError(req, err, whole, f)
}

// safeText is what an error may say of a request in messages and logs.
func safeText(req *http.Request, err error) string {
	return redact.Line(redact.SecretsOf(req.Context()).Scrub(err.Error()), 500)
}

func (e *transportError) Error() string {
	return strings.TrimSpace(e.method+" "+e.url) + ": " + e.text
}

func (e *transportError) Unwrap() error { return e.err }

// Is reports whether target is ErrNoAnswer, unless the request was given up on
// this side.
func (e *transportError) Is(target error) bool {
	return target == ErrNoAnswer && (e.fault == networkFault || e.fault == lastingFault)
}

// A redirectError is a redirect that is not followed.
type redirectError struct{ err error }

func (e *redirectError) Error() string { return e.err.Error() }
func (e *redirectError) Unwrap() error { return e.err }

// An authError is an Auth that could not authenticate.
type authError struct {
	err        error
	redirected bool // it was not asked for the first time
}

func (e *authError) Error() string { return e.err.Error() }
func (e *authError) Unwrap() error { return e.err }

// A tokenSourceError is a TokenSource that has no token just now.
type tokenSourceError struct{ err error }

func (e *tokenSourceError) Error() string { return "token source: " + e.err.Error() }
func (e *tokenSourceError) Unwrap() error { return e.err }
