package netio

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

// LingerTime is how long. It only passes whole if nothing can be read either: an end of the
// reading closes the connection.
const LingerTime = 2 * time.Second

// A bodyConn sends the body of a request in large pieces, and waits a moment
// after a write of it failed. A server that refuses an upload early answers
// and closes; its reset then races with its answer, and net/http reports the
// broken pipe when the write loses. The pause lets the answer win.
type bodyConn struct {
	net.Conn
	records *recordConn // what TLS writes to; nil without TLS
	sending atomic.Bool // a body is being read from and sent

	linger  time.Duration
	lingers atomic.Bool // only while an answer can come
	once    sync.Once
	closed  chan struct{}
}

func newBodyConn(conn net.Conn, records *recordConn, linger time.Duration) *bodyConn {
	return &bodyConn{Conn: conn, records: records, linger: linger, closed: make(chan struct{})}
}

// withLinger makes the connection of req linger once it is open and greeted:
// until then nothing is read while a write lingers.
func withLinger(req *http.Request) *http.Request {
	return req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			conn := info.Conn
			if t, ok := conn.(*tls.Conn); ok { // of net/http, through a proxy
				conn = t.NetConn()
			}
			if c, ok := conn.(*bodyConn); ok {
				c.lingers.Store(true)
			}
		},
	}))
}

func (c *bodyConn) Write(b []byte) (int, error) { return c.write(b, c.Conn.Write) }

func (c *bodyConn) write(b []byte, write func([]byte) (int, error)) (int, error) {
	n, err := write(b)
	if err != nil && c.lingers.Load() {
		t := time.NewTimer(c.linger)
		defer t.Stop()
		select {
		case <-t.C:
		case <-c.closed:
		}
	}
	return n, err
}

// SetWriteDeadline also ends the lingering. The TLS of net/http above it sets a
// deadline to send its last record, while net/http holds locks.
func (c *bodyConn) SetWriteDeadline(t time.Time) error {
	c.lingers.Store(false)
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
	return sendPieces(func(b []byte) (int, error) { return c.write(b, write) }, r)
}

// Close closes the connection. Like that of tls.Conn, it interrupts a write
// instead of waiting for its turn to send a last record.
func (c *bodyConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	if c.records != nil && c.sending.Load() {
		return c.records.Close()
	}
	return c.Conn.Close()
}
