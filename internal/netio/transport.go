// Package netio is the wire below the client: the library's own transport and
// its connections, the watchdog of those that stall, and what a proxy said. It
// knows HTTP, and nothing of GitLab's API.
package netio

import (
	"crypto/tls"
	"net/http"
	"time"

	"github.com/hashicorp/go-cleanhttp"
)

// A Transport is what a client uses that was given no transport. A request
// that is not a GET gets a connection of its own: one that was idle may be
// closed by the other side at that very moment, and then nobody knows what
// became of the request. A GET that this happens to is repeated. Its fields may
// be changed before the first request.
type Transport struct {
	Get  *http.Transport // for GETs
	Post *http.Transport // for all others
}

// NewTransport returns the library's own transport, with the settings of cfg for
// TLS; nil is the defaults. It does not use cfg's protocols.
func NewTransport(cfg *tls.Config) *Transport {
	t := &Transport{Get: NewHTTPTransport(), Post: forBodies(NewHTTPTransport(), LingerTime)}
	if cfg != nil {
		for _, ht := range []*http.Transport{t.Get, t.Post} {
			ht.TLSClientConfig = cfg.Clone()
			ht.TLSClientConfig.NextProtos = nil
		}
	}
	return t
}

// RoundTrip sends req on a connection that suits its method. If a proxy did not
// let it through, the error is a *ProxyError.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ht := t.Post
	switch {
	case req.Method == http.MethodGet:
		ht = t.Get
	case req.Body != nil:
		req = withLinger(req)
	}
	resp, err := ht.RoundTrip(req)
	if proxy := AsProxyError(ht, req, err); proxy != nil {
		return nil, proxy
	}
	return resp, err
}

// CloseIdleConnections is what http.Client looks for.
func (t *Transport) CloseIdleConnections() {
	t.Get.CloseIdleConnections()
	t.Post.CloseIdleConnections() // may have dialed one that nobody waits for any more
}

// idleTime is well below the 60 s after which load balancers close a connection
// that nobody uses.
const idleTime = 40 * time.Second

// NewHTTPTransport returns the settings of the library's own transports. They speak
// HTTP/1.1 only. Over Go's HTTP/2 an archive takes nearly twice the time (`go
// run ./benchmarks`, net/http in "upload, https+h2"), and a connection that
// died unnoticed is used for every request until the system gives it up.
func NewHTTPTransport() *http.Transport {
	t := cleanhttp.DefaultPooledTransport()
	t.MaxResponseHeaderBytes = 256 << 10
	t.MaxIdleConnsPerHost = t.MaxIdleConns // there is hardly another host
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	t.IdleConnTimeout = idleTime
	t.OnProxyConnectResponse = proxyAnswer
	return t
}
