package porter

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
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

// A verdict is what to do after an attempt that failed.
type verdict int

const (
	giveUp  verdict = iota
	again           // it can be sent again
	unknown         // nobody knows what became of it, so it must not be sent again
)

// verdict decides about a request that failed so. A safe one, a GET, changes
// nothing; one that is not repeatable has lost its body. README's table shows
// the same rows.
func (o outcome) verdict(safe, repeatable bool) verdict {
	switch e := o.answer; {
	case o.limited(): // refused before anything was done
	case e != nil && !e.Temporary():
		return giveUp
	case e != nil && (safe || e.StatusCode == http.StatusTooEarly):
	case e != nil && !e.fromGateway():
		return giveUp
	case e != nil && o.reach < whole: // nothing can come of a part
	case e != nil:
		return unknown
	case !safe && o.reach == whole:
		return unknown
	case !o.fault.passing():
		return giveUp
	}
	if !repeatable {
		return giveUp
	}
	return again
}

func (f fault) passing() bool { return f == networkFault || f == tokenFault }

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

// faultOf says what err, which a transport returned, was the fault of, and
// whether the request may have been sent. A host that is known has answered
// before, so if its name is not found the network is in trouble.
func faultOf(err error, known bool) (f fault, sent bool) {
	var (
		auth     *authError
		redirect *redirectError
		proxy    *proxyError
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
		if proxy.permanent() {
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
	case errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect"), neverTaken(err), errors.Is(err, errHandshakeTimeout):
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
