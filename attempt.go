package porter

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/seed-5d77b939/porter/internal/netio"
	"github.com/seed-5d77b939/porter/internal/redact"
	"github.com/seed-5d77b939/porter/internal/wait"
)

// An attempt is one sending of a request.
type attempt struct {
	c   *core
	ctx context.Context // of the caller
	r   *request
	req *http.Request
	p   *payload // nil without a body
	w   *netio.Watchdog

	called bool // it is one of the core's calls
}

// attempt sends r once. The error is the context's, an *APIError, a
// *transportError or a *sourceError.
func (c *core) attempt(ctx context.Context, r *request) (*http.Response, *attempt, error) {
	wctx, w := netio.NewWatchdog(ctx, c.cfg.stall)
	a := &attempt{c: c, ctx: ctx, r: r, w: w}
	resp, err := a.send(wctx)
	if err != nil {
		w.Stop()
		return nil, a, err
	}
	return resp, a, nil
}

// repeatable reports whether the attempt has left a body for another one.
func (a *attempt) repeatable() bool { return a.p == nil || !a.p.single || !a.p.started() }

// send sends the request with ctx, which the watchdog ends.
func (a *attempt) send(ctx context.Context) (*http.Response, error) {
	err := a.prepare(ctx)
	if err == nil {
		err = a.enter()
	}
	if err != nil {
		if a.p != nil {
			a.p.stop()
		}
		return nil, err
	}
	a.w.Arm()
	resp, err := a.c.do(a.req)
	a.w.Disarm()
	if err == nil {
		resp.Body = netio.WatchBody(a.ctx, resp.Body, a.w, netio.BodiesEnd(a.c.bare.Transport))
		if resp.StatusCode < 200 || resp.StatusCode > 299 {
			return nil, a.refused(resp)
		}
	}
	if a.p != nil {
		a.p.stop()
	}
	if err != nil {
		return nil, a.unanswered(err)
	}
	return resp, nil
}

// prepare makes the HTTP request and opens its body.
func (a *attempt) prepare(ctx context.Context) (err error) {
	if a.r.begin != nil {
		if a.r.header, err = a.r.begin(); err != nil {
			return err
		}
	}
	if a.req, err = newRequest(a.c.withLogged(ctx, a.r.project), a.r); err != nil || a.r.open == nil {
		return err
	}
	a.r.place.Lend() // a download that it opens may have to wait
	if a.p, err = a.r.open(a.req.Context()); err != nil {
		if a.ctx.Err() != nil {
			err = wait.Ended(a.ctx)
		}
		return err
	}
	a.p.watch = a.w
	a.req = a.p.attach(a.req)
	return a.c.awaitPlace(a.ctx, a.r, a.r.place.Take())
}

// enter waits until the attempt may be one of the core's calls, which it is
// until it leaves. A transfer is none. Its body is open by then, because what
// opens it may make calls.
func (a *attempt) enter() error {
	if a.r.place != nil {
		return nil
	}
	select {
	case a.c.calls <- struct{}{}:
		a.called = true
		return nil
	case <-a.ctx.Done():
		return wait.Ended(a.ctx)
	}
}

func (a *attempt) leave() {
	if a.called {
		<-a.c.calls
	}
}

// refused makes an error of an answer that is not a success. If it came early,
// its body may still be on its way, and would be lost if the upload was broken
// off at once.
func (a *attempt) refused(resp *http.Response) *APIError {
	p := a.p
	if p == nil {
		return readAPIError(a.r, resp, whole)
	}
	defer p.stop()
	late := time.AfterFunc(netio.LingerTime, func() {
		p.stop()
		p.watch.Arm() // for the answer that is still awaited
	})
	defer late.Stop()
	return readAPIError(a.r, resp, p.reachAtAnswer())
}

// unanswered says why no answer came: err is what the transport has to say.
func (a *attempt) unanswered(err error) error {
	switch {
	case a.ctx.Err() != nil:
		return newTransportError(a.req, wait.Ended(a.ctx), a.p.reach(err, true), contextFault)
	case a.w.Stalled():
		return newTransportError(a.req, ErrStalled, a.p.reach(err, true), networkFault)
	case a.p.failure() != nil:
		return a.p.failure()
	}
	if proxy := netio.AsProxyError(a.c.bare.Transport, a.req, err); proxy != nil {
		err = proxy
	}
	f, sent := faultOf(err, a.r.known || a.r.outlasts || a.c.answered.Load())
	return newTransportError(a.req, err, a.p.reach(err, sent), f)
}

// newRequest returns the request of one attempt, without its body. Its context
// knows the secrets that it carries.
func newRequest(ctx context.Context, r *request) (*http.Request, error) {
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
