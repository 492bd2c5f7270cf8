package porter

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/seed-5d77b939/porter/internal/netio"
	"github.com/seed-5d77b939/porter/internal/redact"
	"github.com/seed-5d77b939/porter/internal/wait"
)

// A reach is how far a request got.
type reach int

const (
	unsent reach = iota // nothing of it, or nothing that counts, can have come to GitLab
	partly              // its end cannot have come to GitLab, which then does nothing
	whole               // GitLab may have all of it
)

// A fault is what kept a request from being answered.
type fault int

const (
	noFault       fault = iota
	networkFault        // of the network or a proxy, which may pass
	lastingFault        // of the network, TLS or a proxy: it would fail again
	redirectFault       // it was redirected to where porter does not go
	authFault           // the credentials could not be added
	tokenFault          // a TokenSource had no token, which may pass
	sourceFault         // the source of an upload failed
	contextFault        // the caller gave it up
)

func (f fault) passing() bool { return f == networkFault || f == tokenFault }

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
		err = errors.New(text) // its chain must not hold them either
	}
	if errors.As(err, new(x509.UnknownAuthorityError)) {
		text += "; a private CA is trusted by way of SSL_CERT_FILE or NewTransport"
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

// faultOf says what err, which a transport returned, was the fault of, and
// whether the request may have been sent. A host that is known has answered
// before, so if its name is not found the network is in trouble.
func faultOf(err error, known bool) (f fault, sent bool) {
	var (
		auth     *authError
		redirect *redirectError
		proxy    *netio.ProxyError
		dns      *net.DNSError
		op       *net.OpError
	)
	switch {
	case errors.As(err, &auth):
		if errors.As(err, new(*tokenSourceError)) {
			return tokenFault, auth.redirected
		}
		return authFault, auth.redirected
	case errors.As(err, &redirect):
		return redirectFault, true
	case errors.As(err, &proxy):
		if proxy.Permanent() {
			return lastingFault, false
		}
		return networkFault, false
	case wrongCertificate(err):
		return lastingFault, false
	case errors.As(err, &dns) && dns.IsNotFound, refusedTLS(err):
		if known { // it was another machine, or the network
			return networkFault, false
		}
		return lastingFault, false
	case errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect"), neverTaken(err), errors.Is(err, netio.ErrHandshakeTimeout):
		return networkFault, false
	}
	return networkFault, true
}

// wrongCertificate reports whether the server has a certificate that is not
// trusted, or none.
func wrongCertificate(err error) bool {
	return errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, new(*tls.CertificateVerificationError)) ||
		errors.As(err, new(x509.UnknownAuthorityError)) || errors.As(err, new(x509.HostnameError)) ||
		errors.As(err, new(x509.CertificateInvalidError)) || errors.As(err, new(x509.SystemRootsError))
}

// refusedTLS reports whether the server refused the client's certificate, or
// the two have no version or cipher in common.
func refusedTLS(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error") {
		for _, a := range lastingAlerts {
			if op.Err.Error() == a.Error() { // crypto/tls does not export the type of a TCP connection's
				return true
			}
		}
		return false
	}
	text := err.Error()
	return strings.Contains(text, "tls: server selected unsupported protocol version") ||
		strings.Contains(text, "tls: no supported versions satisfy")
}

// lastingAlerts are TLS's words for a refusal that another handshake does not
// change: RFC 8446, section 6.2.
var lastingAlerts = []tls.AlertError{
	40,  // handshake failure
	42,  // bad certificate
	43,  // unsupported certificate
	44,  // certificate revoked
	45,  // certificate expired
	46,  // certificate unknown
	48,  // unknown certificate authority
	49,  // access denied
	70,  // protocol version
	71,  // insufficient security
	109, // missing extension
	112, // unrecognized name
	115, // unknown PSK identity
	116, // certificate required
	120, // no application protocol
}

// neverTaken reports whether an HTTP/2 server has said that it did nothing with
// a request. net/http would repeat that itself if it had the body again, and
// has no error but this text for it. A PROTOCOL_ERROR, with which some servers
// mean the same, may mean another thing.
func neverTaken(err error) bool {
	text := err.Error()
	return strings.Contains(text, "http2: Transport: cannot retry err [") && !strings.Contains(text, "PROTOCOL_ERROR")
}
