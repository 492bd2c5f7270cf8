package netio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// AsProxyError returns what a proxy has to do with err, with which rt failed to
// send req, and nil if that is nothing or not known: only a Transport, also
// inside another, and an *http.Transport tell.
func AsProxyError(rt http.RoundTripper, req *http.Request, err error) *ProxyError {
	if known := (*ProxyError)(nil); errors.As(err, &known) {
		return known
	}
	t, ok := rt.(*http.Transport)
	if !ok || t.Proxy == nil || err == nil || req.Context().Err() != nil { //lint:ignore nilerr nothing is known of a proxy then
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
	if perr != nil || proxy == nil { //lint:ignore nilerr nothing is known of a proxy then
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
