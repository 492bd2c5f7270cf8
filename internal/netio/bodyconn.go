package netio

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// forBodies makes the connections of t serve one request each. They send its
// body in large pieces, and linger after a failed write.
func forBodies(t *http.Transport, lingering time.Duration) *http.Transport {
	t.MaxIdleConnsPerHost = -1
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &bodyConn{Conn: conn, linger: newLinger(lingering)}, nil
	}
	t.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, records, err := dialTLS(ctx, t, network, addr)
		if err != nil {
			return nil, err
		}
		return &bodyConn{Conn: conn, records: records, linger: newLinger(lingering)}, nil
	}
	return t
}

// A bodyConn sends the body of a request in large pieces, joins their records
// where there is TLS, and lingers after a write of it failed.
type bodyConn struct {
	net.Conn
	records *recordConn // what TLS writes to; nil without TLS
	linger  *linger
	sending atomic.Bool // a body is being read from and sent
}

// withLinger makes the connection of req linger once it is open and greeted:
// until then nobody reads while a write lingers.
func withLinger(req *http.Request) *http.Request {
	return req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			conn := info.Conn
			if t, ok := conn.(*tls.Conn); ok { // of net/http, through a proxy
				conn = t.NetConn()
			}
			if c, ok := conn.(*bodyConn); ok {
				c.linger.on.Store(true)
			}
		},
	}))
}

func (c *bodyConn) Write(b []byte) (int, error) { return c.linger.write(b, c.Conn.Write) }

// SetWriteDeadline also ends the lingering. The TLS of net/http above it sets a
// deadline to say goodbye, while net/http holds locks.
func (c *bodyConn) SetWriteDeadline(t time.Time) error {
	c.linger.on.Store(false)
	return c.Conn.SetWriteDeadline(t)
}

// ReadFrom sends what r holds. net/http hands it the bodies of requests.
func (c *bodyConn) ReadFrom(r io.Reader) (int64, error) {
	c.sending.Store(true)
	defer c.sending.Store(false)
	write := c.Conn.Write
	if c.records != nil {
		defer c.records.forget()
		write = func(b []byte) (int, error) { return c.records.join(b, c.Conn.Write) }
	}
	// It lingers with nothing held: TLS writes to records while it reads.
	return sendPieces(func(b []byte) (int, error) { return c.linger.write(b, write) }, r)
}

// Close closes the connection. Like that of tls.Conn, it interrupts a write
// instead of waiting for its turn to say goodbye.
func (c *bodyConn) Close() error {
	c.linger.end()
	if c.records != nil && c.sending.Load() {
		return c.records.Close()
	}
	return c.Conn.Close()
}
