package netio

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/seed-5d77b939/porter/internal/redact"
)

// A ProxyError is a proxy that did not let a request through. Nothing of the
// request was sent to the server behind it.
type ProxyError struct {
	Proxy  string // host and port
	Status int    // of its answer to CONNECT; 0 if it gave none, or one that is not known
	text   string // what it said, or what went wrong
	denied bool   // it would not let the next request through either
	err    error  // nil if it answered
}

// Error names the proxy and what it said, but not its user or password.
func (e *ProxyError) Error() string {
	switch {
	case e.err != nil:
		return "connect through proxy " + e.Proxy + ": " + e.text
	case e.Status != 0:
		return fmt.Sprintf("proxy %s refused the connection: %d %s", e.Proxy, e.Status, e.text)
	}
	return "proxy " + e.Proxy + " refused the connection: " + e.text
}

func (e *ProxyError) Unwrap() error { return e.err }

// Permanent reports whether the proxy would refuse again: it wants another
// password, or does not allow this connection.
func (e *ProxyError) Permanent() bool {
	return e.denied || e.Status == http.StatusForbidden || e.Status == http.StatusProxyAuthRequired
}

// proxyAnswer is asked by net/http what to make of a proxy's answer to CONNECT.
func proxyAnswer(_ context.Context, proxy *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	_, text, _ := strings.Cut(resp.Status, " ")
	return newProxyError(proxy, resp.StatusCode, text, nil)
}

func newProxyError(proxy *url.URL, status int, text string, err error) *ProxyError {
	password, _ := proxy.User.Password()
	for _, secret := range []string{proxy.User.Username(), password} {
		if err == nil && secret != "" && strings.Contains(text, secret) {
			text = ""
		}
	}
	text = cmp.Or(redact.Line(text, 200), http.StatusText(status), "unknown status")
	port := cmp.Or(proxy.Port(), map[string]string{"https": "443", "socks5": "1080", "socks5h": "1080"}[proxy.Scheme], "80")
	return &ProxyError{Proxy: net.JoinHostPort(proxy.Hostname(), port), Status: status, text: text, err: err}
}
