// Package wire carries the simulator's connections: over sockets or in memory,
// with TLS or without. It knows nothing of GitLab.
package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
)

// Config says how a Network listens.
type Config struct{ InMemory, TLS, HTTP2 bool }

// A Network serves origins, and reaches them.
type Network struct {
	// Transport reaches every origin and trusts its certificate.
	Transport *http.Transport

	cfg       Config
	cert      tls.Certificate
	listeners map[string]*pipeListener // by host, in memory
	sockets   map[string]net.Listener  // by host and port, those that were given
	servers   []*http.Server
	ctx       context.Context // ends with the network
	cancel    context.CancelFunc

	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup // requests, listeners, and connections in memory
}

// New makes a network whose certificate is for the given hosts and the loopback.
func New(cfg Config, hosts ...string) *Network {
	n := &Network{cfg: cfg, listeners: map[string]*pipeListener{}, sockets: map[string]net.Listener{}}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	var roots *x509.CertPool
	if cfg.TLS {
		n.cert, roots = selfSigned(append(hosts, "127.0.0.1", "::1", "localhost")...)
	}
	n.Transport = &http.Transport{
		DialContext:         n.Dial,
		TLSClientConfig:     &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2:   cfg.HTTP2,
		MaxIdleConnsPerHost: 100,
	}
	return n
}

// Context ends when the network is closed.
func (n *Network) Context() context.Context { return n.ctx }

// Certificate is what the network is served with, nil without TLS.
func (n *Network) Certificate() *x509.Certificate { return n.cert.Leaf }

// An Origin says where one is served: by a listener, reached at a host and port.
// Without a listener it is a new one on the loopback, or in memory at Host.
type Origin struct {
	Listener net.Listener
	Host     string
}

// Serve starts an origin and returns its root URL.
func (n *Network) Serve(o Origin, h http.Handler) string {
	l, host := n.listen(o)
	srv := &http.Server{
		Handler:   n.watch(h),
		ErrorLog:  log.New(io.Discard, "", 0), // broken connections are what this is for
		Protocols: &http.Protocols{},
	}
	if n.InMemory(host) {
		srv.ConnState = n.await
	}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(n.cfg.HTTP2)
	n.servers = append(n.servers, srv)
	scheme, serve := "http", func() { srv.Serve(l) }
	if n.cfg.TLS {
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{n.cert}}
		scheme, serve = "https", func() { srv.ServeTLS(l, "", "") }
	}
	n.wg.Go(serve)
	return scheme + "://" + host
}

func (n *Network) listen(o Origin) (l net.Listener, host string) {
	switch {
	case o.Listener != nil:
		n.sockets[o.Host] = o.Listener
		return o.Listener, o.Host
	case n.cfg.InMemory:
		l := newPipeListener(o.Host)
		n.listeners[o.Host] = l
		return l, o.Host
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic("portertest: " + err.Error())
	}
	return l, l.Addr().String()
}

// await makes Close wait for connections. net/http lets one linger after an
// early answer; a testing/synctest bubble must not end before that, and its
// time is free.
func (n *Network) await(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		n.wg.Add(1)
	case http.StateClosed, http.StateHijacked:
		n.wg.Done()
	}
}

// watch ends the requests to h with the network, which waits for them.
func (n *Network) watch(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !n.begin() {
			panic(http.ErrAbortHandler)
		}
		defer n.wg.Done()
		defer reportPanic()
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(n.ctx, cancel)()
		h.ServeHTTP(w, r.WithContext(ctx))
	})
}

// begin announces a request. It reports false if the network is closed.
func (n *Network) begin() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return false
	}
	n.wg.Add(1)
	return true
}

// reportPanic keeps a bug in a handler from passing for a broken connection.
func reportPanic() {
	if v := recover(); v != nil {
		if v != http.ErrAbortHandler {
			fmt.Fprintf(os.Stderr, "portertest: %v\n%s", v, debug.Stack())
		}
		panic(http.ErrAbortHandler)
	}
}

// InMemory reports whether a host is an origin without a socket.
func (n *Network) InMemory(host string) bool { return n.listeners[host] != nil }

// Serves reports whether an address, of a host and a port, is an origin of the
// network.
func (n *Network) Serves(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err == nil && n.InMemory(host) || n.sockets[addr] != nil
}

// Dial connects to an origin, whether or not its host can be looked up, or to any
// other address.
func (n *Network) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("portertest: %w", err)
	}
	if l := n.listeners[host]; l != nil {
		return l.dial(ctx)
	}
	if l := n.sockets[addr]; l != nil {
		network, addr = l.Addr().Network(), l.Addr().String()
	}
	return (&net.Dialer{}).DialContext(ctx, network, addr)
}

// Close breaks off all connections and waits for all requests. It must be
// called once.
func (n *Network) Close() {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.cancel()
	for _, srv := range n.servers {
		srv.Close()
	}
	n.Transport.CloseIdleConnections()
	n.wg.Wait()
}
