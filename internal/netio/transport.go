// Package netio is the wire below the client: the library's own transport and
// its connections, the watchdog of those that stall, and what a proxy said. It
// knows HTTP, and nothing of GitLab's API.
package netio

import (
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

// NewTransport returns the library's own transport.
func NewTransport() *Transport {
	return &Transport{Get: NewHTTPTransport(), Post: forBodies(NewHTTPTransport(), LingerTime)}
}

// RoundTrip sends req on a connection that suits its method.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	switch {
	case req.Method == http.MethodGet:
		return t.Get.RoundTrip(req)
	case req.Body != nil:
		req = withLinger(req)
	}
	return t.Post.RoundTrip(req)
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
