// Package netio is what porter asks of the network: connections that find a
// refusal and send archives fast, the end of those on which nothing moves, and
// what a proxy had to say. It knows no GitLab.
package netio

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"github.com/hashicorp/go-cleanhttp"
)

// A Transport is what a client uses that was given no transport. A request
// that is not a GET gets a connection of its own: one that was idle may be
// closed by the other side at that very moment, and then it is unknown what
// became of the request. A GET that this happens to is repeated.
type Transport struct {
	Get  *http.Transport // for requests that are safe to repeat
	Post *http.Transport // for all others
}

// NewTransport returns a transport with the library's settings, and with those
// of cfg for TLS, nil for the defaults. It does not use cfg's protocols.
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

// RoundTrip sends a request as its method wants it. If a proxy did not let it
// through, the error is a *ProxyError.
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
	t.Post.CloseIdleConnections() // one may have been dialed for a request that has ended
}

// idleTime is well below the 60 s after which load balancers close a connection
// that nobody uses.
const idleTime = 40 * time.Second

// NewHTTPTransport returns a transport with the settings of both. They speak
// HTTP/1.1 only: over Go's HTTP/2 "download, HTTPS, HTTP/2 offered" of
// go run ./benchmarks takes nearly twice the time, and a connection that died
// unnoticed is used for every request until the system gives it up.
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

// forBodies makes the connections of t serve one request each. They send its
// body in large pieces, and linger after a failed write.
func forBodies(t *http.Transport, linger time.Duration) *http.Transport {
	t.MaxIdleConnsPerHost = -1
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return newBodyConn(conn, nil, linger), nil
	}
	t.DialTLSContext = dialTLS(t, linger)
	return t
}
