package porter

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A request is one call of the API, which may take several attempts.
type request struct {
	method   string
	url      string
	header   http.Header
	project  string   // as the caller gave it, for events and logs
	hints    hints    // which endpoints it belongs to
	download bool     // of an archive, which may be redirected to object storage
	once     bool     // never tried again: its caller is a loop already
	secrets  []string // that its body carries, such as a signed URL
	budget   budget   // of GitLab's limits
	// read takes the answer in, if a broken one is to be asked for again.
	read func(*http.Response) error
	// open makes the body of an attempt; nil for none.
	open func(context.Context) (*payload, error)
}

// endpoint returns the URL of a path below the API's root. The path is escaped.
func (c *Client) endpoint(path string) string { return c.base.String() + path }

// projectEndpoint returns the URL of what an endpoint says of a project.
func (c *Client) projectEndpoint(id, what string) string {
	return c.endpoint("projects/" + url.PathEscape(id) + "/" + what)
}

// send sends r, as often as its method and the failures allow, and returns
// the first 2xx answer. The caller closes its body, unless r.read did.
func (c *Client) send(ctx context.Context, r *request) (*http.Response, error) {
	var last error
	if r.open != nil {
		ctx = withObserverLock(ctx) // the source may report while the answer comes
	}
	for n := 0; ; n++ {
		if ctx.Err() != nil {
			return nil, insteadOf(contextError(ctx), last)
		}
		t, err := c.pace(ctx, r.project, r.budget)
		if err != nil {
			return nil, insteadOf(err, last)
		}
		resp, p, err := c.attempt(ctx, r)
		if err == nil && r.read != nil {
			err = r.read(resp)
		}
		t.settle(err, arrived(r, p, err))
		if err == nil {
			return resp, nil
		}
		again, err := judge(r, p, err)
		if last != nil && errors.Is(err, ErrSourceConsumed) {
			return nil, fmt.Errorf("%w (not tried again: %w)", last, err)
		}
		last = err
		if ctx.Err() != nil || !again || r.once || n >= c.cfg.retries {
			return nil, err
		}
		if ended := c.retryAfter(ctx, r.project, n, err); ended != nil {
			return nil, insteadOf(ended, err)
		}
	}
}

// insteadOf adds to the error ended, which kept a request from being tried
// again, the failure of the try before, nil if there was none.
func insteadOf(ended, failure error) error {
	if failure == nil {
		return ended
	}
	return fmt.Errorf("%w (was to be tried again: %w)", ended, failure)
}

// judge decides whether a failed attempt may be repeated, and adds to its
// error that nobody knows what became of it.
func judge(r *request, p *payload, err error) (again bool, _ error) {
	safe := r.method == http.MethodGet
	reopenable := p == nil || !p.single || !p.started()
	if api := answerOf(err); api != nil {
		switch {
		case api.StatusCode == http.StatusTooManyRequests:
			return reopenable, err
		case !api.fromGateway():
			return false, err
		case !safe:
			return false, outcomeUnknown(err)
		}
		return true, err
	}
	if !safe && p.arrived(err) {
		return false, outcomeUnknown(err)
	}
	return reopenable && !permanent(err), err
}

// arrived reports whether GitLab may have counted an attempt that got no answer.
func arrived(r *request, p *payload, err error) bool {
	if err == nil {
		return true
	}
	if r.open != nil {
		return p.arrived(err) // it counts a POST that has come whole
	}
	var op *net.OpError
	return !permanent(err) && !(errors.As(err, &op) && op.Op == "dial")
}

func outcomeUnknown(err error) error { return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err) }

// retryAfter reports the failure err of attempt n and waits before the next.
func (c *Client) retryAfter(ctx context.Context, project string, n int, err error) error {
	return c.pauseForRetry(ctx, project, n, c.pauseAfter(err, c.cfg.backoff.wait(n)), err)
}

// pauseAfter returns how long to wait after err: d, unless GitLab wants it
// otherwise.
func (c *Client) pauseAfter(err error, d time.Duration) time.Duration {
	if errors.Is(err, ErrExportNotReady) {
		d = max(d, notReadyPause)
	}
	api := answerOf(err)
	switch {
	case api == nil:
	case api.RetryAfter > d, api.RetryAfter > 0 && api.StatusCode == http.StatusTooManyRequests:
		return api.RetryAfter
	case !api.retryAfter && api.StatusCode == http.StatusTooManyRequests:
		return c.clock.untilNextMinute()
	}
	return d
}

func (c *Client) pauseForRetry(ctx context.Context, project string, n int, d time.Duration, err error) error {
	c.cfg.logger.WarnContext(ctx, "trying again", "project", project, "attempt", n+1, "delay", d, "error", err)
	c.emit(ctx, Event{Kind: EventRetry, Project: project, Attempt: n + 1, Delay: d, Err: err})
	return sleep(ctx, d)
}

// attempt sends r once. The error is the context's, an *APIError, a
// *transportError or a *sourceError.
func (c *Client) attempt(ctx context.Context, r *request) (_ *http.Response, p *payload, err error) {
	wctx, w := newWatchdog(ctx, c.cfg.stall)
	defer func() {
		if err != nil {
			w.stop()
		}
	}()
	wctx, hidden := withSecrets(wctx)
	req, err := http.NewRequestWithContext(wctx, r.method, r.url, nil)
	if err != nil {
		return nil, nil, &transportError{r.method, "", "malformed request URL", err}
	}
	if r.hints == foreignHints {
		hidden.addURL(req.URL) // it is signed
	}
	for _, text := range r.secrets {
		hidden.add(text)
		if u, err := url.Parse(text); err == nil {
			hidden.addURL(u)
		}
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	if r.open != nil {
		if p, err = r.open(wctx); err != nil {
			if ctx.Err() != nil {
				err = contextError(ctx)
			}
			return nil, nil, err
		}
		p.watch = w
		req.Body, req.ContentLength = p, p.size
		req.Header.Set("Content-Type", p.contentType)
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
	if err != nil {
		switch {
		case ctx.Err() != nil:
			err = contextError(ctx)
		case w.stalled():
			err = ErrStalled
		case p != nil && p.failure() != nil:
			return nil, p, p.failure()
		}
		return nil, p, newTransportError(req, err)
	}
	return resp, p, nil
}

// do sends a request. If its context ends while it has a body, the transport
// waits for the source of that, which may hang in a Read that nothing ends; so
// it is left behind then.
func (c *Client) do(req *http.Request) (*http.Response, error) {
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
	if waitFor(done, 2*closePatience) {
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
func (c *Client) refused(r *request, p *payload, resp *http.Response) *APIError {
	if p != nil {
		defer p.stop()
		late := time.AfterFunc(lingerTime, func() {
			p.stop()
			p.watch.arm() // for the answer that is still awaited
		})
		defer late.Stop()
	}
	api := newAPIError(resp)
	c.hint(r, api, resp)
	return api
}

// A transportError is a request without an answer.
type transportError struct {
	method string
	url    string
	text   string // of err, without secrets
	err    error
}

// newTransportError takes what may be secret out of err.
func newTransportError(req *http.Request, err error) error {
	for ue := (*url.Error)(nil); errors.As(err, &ue); {
		err = ue.Err
	}
	text := safeText(req, err)
	if hidden := secretsOf(req.Context()); hidden.scrub(err.Error()) != err.Error() {
		err = errors.New(text) // whoever unwraps it must not find them either
	}
	return &transportError{req.Method, withoutQuery(req.URL), text, err}
}

// safeText is what an error may say of a request in messages and logs.
func safeText(req *http.Request, err error) string {
	return printable(secretsOf(req.Context()).scrub(err.Error()), 500)
}

func (e *transportError) Error() string {
	return strings.TrimSpace(e.method+" "+e.url) + ": " + e.text
}

func (e *transportError) Unwrap() error { return e.err }

// Is reports whether target is ErrNoAnswer, unless the request was given up on
// this side.
func (e *transportError) Is(target error) bool {
	var (
		auth     *authError
		redirect *redirectError
		network  *net.OpError // whose timeouts claim to be a context's
	)
	ended := errors.Is(e.err, context.Canceled) || errors.Is(e.err, context.DeadlineExceeded) && !errors.As(e.err, &network)
	return target == ErrNoAnswer && !ended && !errors.As(e.err, &auth) && !errors.As(e.err, &redirect)
}

// A redirectError is a redirect that is not followed.
type redirectError struct{ err error }

func (e *redirectError) Error() string { return e.err.Error() }
func (e *redirectError) Unwrap() error { return e.err }

// An authError is an Auth that could not authenticate.
type authError struct{ err error }

func (e *authError) Error() string { return e.err.Error() }
func (e *authError) Unwrap() error { return e.err }

// A tokenSourceError is a TokenSource that has no token just now.
type tokenSourceError struct{ err error }

func (e *tokenSourceError) Error() string { return "token source: " + e.err.Error() }
func (e *tokenSourceError) Unwrap() error { return e.err }

// permanent reports whether a request without an answer would fail again.
func permanent(err error) bool {
	var (
		redirect  *redirectError
		auth      *authError
		token     *tokenSourceError
		source    *sourceError
		cert      *tls.CertificateVerificationError
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	if errors.As(err, &token) {
		return false
	}
	return errors.As(err, &redirect) || errors.As(err, &auth) || errors.As(err, &source) || errors.Is(err, http.ErrSchemeMismatch) ||
		errors.As(err, &cert) || errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &invalid)
}

// transient reports whether what failed with err may succeed later.
func transient(err error) bool {
	if api := answerOf(err); api != nil {
		return api.Temporary() || api.kind == ErrExportNotReady ||
			api.StatusCode < 300 // a success that made no sense, as from a proxy in trouble
	}
	return !permanent(err)
}
