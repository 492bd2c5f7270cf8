package porter

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/seed-5d77b939/porter/internal/redact"
	"github.com/seed-5d77b939/porter/internal/wait"
)

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
