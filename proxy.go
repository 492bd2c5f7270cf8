package porter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/seed-5d77b939/porter/internal/redact"
)

// A proxyError is a proxy that did not let a request through. Nothing of the
// request was sent to GitLab.
type proxyError struct {
	proxy  string // host and port
	status int    // of its answer to CONNECT; 0 if it gave none, or one that is not known
	text   string // what it said, or what went wrong
	denied bool   // it would not let the next request through either
	err    error  // nil if it answered
}

// Error names the proxy and what it said, but not its user or password.
func (e *proxyError) Error() string {
	switch {
	case e.err != nil:
		return "connect through proxy " + e.proxy + ": " + e.text
	case e.status != 0:
		return fmt.Sprintf("proxy %s refused the connection: %d %s", e.proxy, e.status, e.text)
	}
	return "proxy " + e.proxy + " refused the connection: " + e.text
}

func (e *proxyError) Unwrap() error { return e.err }

// permanent reports whether the proxy would refuse again: it wants another
// password, or does not allow this connection.
func (e *proxyError) permanent() bool {
	return e.denied || e.status == http.StatusForbidden || e.status == http.StatusProxyAuthRequired
}

// proxyAnswer is asked by net/http what to make of a proxy's answer to CONNECT.
func proxyAnswer(_ context.Context, proxy *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	_, text, _ := strings.Cut(resp.Status, " ")
	return newProxyError(proxy, resp.StatusCode, text, nil)
}

func newProxyError(proxy *url.URL, status int, text string, err error) *proxyError {
	password, _ := proxy.User.Password()
	for _, secret := range []string{proxy.User.Username(), password} {
		if err == nil && secret != "" && strings.Contains(text, secret) {
			text = ""
		}
	}
	text = cmp.Or(redact.Line(text, 200), http.StatusText(status), "unknown status")
	port := cmp.Or(proxy.Port(), map[string]string{"https": "443", "socks5": "1080", "socks5h": "1080"}[proxy.Scheme], "80")
	return &proxyError{proxy: net.JoinHostPort(proxy.Hostname(), port), status: status, text: text, err: err}
}

// asProxyError returns what a proxy has to do with err, with which rt failed to
// send req, and nil if that is nothing.
func asProxyError(rt http.RoundTripper, req *http.Request, err error) *proxyError {
	if known := (*proxyError)(nil); errors.As(err, &known) {
		return known
	}
	if own, ok := rt.(*ownTransport); ok {
		rt = own.get // its proxy is that of the other one
	}
	t, ok := rt.(*http.Transport)
	if !ok || t.Proxy == nil || err == nil || req.Context().Err() != nil {
		return nil
	}
	if ue := (*url.Error)(nil); errors.As(err, &ue) {
		err = ue.Err
		if u, perr := url.Parse(ue.URL); perr == nil { // it may have been redirected
			req = req.WithContext(req.Context())
			req.URL = u
		}
	}
	proxy, perr := t.Proxy(req)
	if perr != nil || proxy == nil {
		return nil
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		switch op.Op {
		case "proxyconnect":
			return newProxyError(proxy, 0, op.Err.Error(), op)
		case "socks connect":
			text := strings.TrimPrefix(op.Err.Error(), "unknown error ")
			e := newProxyError(proxy, 0, text, op)
			e.denied = slices.Contains(socksDenials, text)
			return e
		}
		return nil
	}
	switch tunnel := req.URL.Scheme == "https" && !strings.HasPrefix(proxy.Scheme, "socks"); {
	case !tunnel:
	case err == context.DeadlineExceeded: // net/http waits a minute for the answer to CONNECT
		return newProxyError(proxy, 0, "no answer", &net.OpError{Op: "proxyconnect", Net: "tcp", Err: err})
	case isRefusal(t, err):
		return newProxyError(proxy, statusOf(err.Error()), err.Error(), nil)
	}
	return nil
}

// socksDenials are what net/http says when a SOCKS5 proxy wants another
// password, or does not allow a connection.
var socksDenials = []string{
	"no acceptable authentication methods",
	"invalid username/password",
	"username/password authentication failed",
	"connection not allowed by ruleset",
}

// isRefusal reports whether err is how a transport of the user's tells that a
// proxy refused a connection: it is the text of the status and nothing else.
func isRefusal(t *http.Transport, err error) bool {
	text := err.Error()
	if fmt.Sprintf("%T", err) != "*errors.errorString" {
		return false // it says more than text
	}
	if statusOf(text) != 0 {
		return true
	}
	// Nobody has heard of that status. Others who make errors of a text alone
	// say where they come from, or are functions of the user's.
	hooked := t.OnProxyConnectResponse != nil || t.GetProxyConnectHeader != nil ||
		t.TLSClientConfig != nil && (t.TLSClientConfig.VerifyConnection != nil || t.TLSClientConfig.VerifyPeerCertificate != nil ||
			t.TLSClientConfig.GetClientCertificate != nil)
	prefix, _, found := strings.Cut(text, ": ")
	return !hooked && !(found && !strings.Contains(prefix, " ")) &&
		!slices.Contains([]error{io.EOF, io.ErrUnexpectedEOF, io.ErrNoProgress, context.Canceled}, err)
}

// statusOf returns the status with that text, and 0 if there is none.
func statusOf(text string) int {
	for status := 100; status < 600; status++ {
		if known := http.StatusText(status); known != "" && strings.EqualFold(known, text) {
			return status
		}
	}
	return 0
}
