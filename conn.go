package porter

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// An ownTransport is what a client uses that was given no transport. A request
// that is not a GET gets a connection of its own: one that was idle may be
// closed by the other side at that very moment, and then nobody knows what
// became of the request. A GET that this happens to is repeated.
type ownTransport struct{ get, post *http.Transport }

func newOwnTransport() *ownTransport {
	return &ownTransport{get: newTransport(), post: forBodies(newTransport(), lingerTime)}
}

func (t *ownTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	switch {
	case req.Method == http.MethodGet:
		return t.get.RoundTrip(req)
	case req.Body != nil:
		req = withLinger(req)
	}
	return t.post.RoundTrip(req)
}

// CloseIdleConnections is what http.Client looks for.
func (t *ownTransport) CloseIdleConnections() {
	t.get.CloseIdleConnections()
	t.post.CloseIdleConnections() // may have dialed one that nobody waits for any more
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

// lingerTime only passes whole if nothing can be read either: an end of the
// reading closes the connection.
const lingerTime = 2 * time.Second

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
// until then nobody reads while a write lingers.
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
// deadline to say goodbye, while net/http holds locks.
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
// instead of waiting for its turn to say goodbye.
func (c *bodyConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	if c.records != nil && c.sending.Load() {
		return c.records.Close()
	}
	return c.Conn.Close()
}

const (
	// maxPiece is how much of a body is written at a time. Compared to the
	// 32 KiB of net/http, an upload takes 0.7 of the time and of the CPU time;
	// half or twice the size is a little worse.
	maxPiece = 512 << 10
	// minPiece is what a slow connection gets: a stall is noticed between two
	// pieces, so one must not take as long as a stall.
	minPiece  = 16 << 10
	slowPiece = 100 * time.Millisecond
)

// sendPieces writes what r holds, in pieces that grow as long as the
// connection takes them quickly.
func sendPieces(write func([]byte) (int, error), r io.Reader) (n int64, err error) {
	buf := make([]byte, maxPiece)
	size := minPiece
	for {
		m, rerr := r.Read(buf[:size])
		if m > 0 {
			start := time.Now()
			w, err := write(buf[:m])
			n += int64(w)
			if err != nil {
				return n, err
			}
			if time.Since(start) < slowPiece {
				size = min(2*size, maxPiece)
			} else {
				size = max(size/2, minPiece)
			}
		}
		if rerr == io.EOF {
			return n, nil
		}
		if rerr != nil {
			return n, rerr
		}
	}
}

// dialTLS dials TLS for t, whose DialContext and settings it uses. net/http
// would do so itself, but then write every record of 16 KiB by itself; joined
// into pieces, an upload takes 0.8 of the time and of the CPU time. Through a
// proxy, net/http still does.
func dialTLS(t *http.Transport, linger time.Duration) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		cfg := t.TLSClientConfig.Clone() // nil of nil
		if cfg == nil {
			cfg = new(tls.Config)
		}
		if cfg.ServerName == "" {
			cfg.ServerName = host
		}
		cfg.NextProtos = []string{"http/1.1"} // what a bodyConn is used for
		conn, err := t.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		records := &recordConn{Conn: conn}
		c := tls.Client(records, cfg)
		if err := handshake(ctx, c, t.TLSHandshakeTimeout); err != nil {
			conn.Close()
			return nil, err
		}
		return newBodyConn(c, records, linger), nil
	}
}

var errHandshakeTimeout = errors.New("TLS handshake took too long")

func handshake(ctx context.Context, c *tls.Conn, timeout time.Duration) error {
	hctx, cancel := context.WithTimeoutCause(ctx, timeout, errHandshakeTimeout)
	defer cancel()
	err := c.HandshakeContext(hctx)
	if err != nil && context.Cause(hctx) == errHandshakeTimeout {
		return errHandshakeTimeout
	}
	return err
}

// A recordConn is what TLS writes its records to. While a piece is sent, it
// collects them and writes nothing.
type recordConn struct {
	net.Conn
	mu      sync.Mutex // TLS answers some records while it reads
	holding bool
	held    []byte
}

func (c *recordConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.holding {
		return c.Conn.Write(b)
	}
	c.held = append(c.held, b...)
	return len(b), nil
}

// join sends the records that write makes of b together.
func (c *recordConn) join(b []byte, write func([]byte) (int, error)) (int, error) {
	c.hold()
	n, err := write(b)
	if rerr := c.release(); err == nil {
		err = rerr
	}
	return n, err
}

func (c *recordConn) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holding = true
	if c.held == nil {
		c.held = make([]byte, 0, maxPiece+maxPiece/64) // what TLS adds is less than that
	}
}

// release writes what was held.
func (c *recordConn) release() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.Conn.Write(c.held)
	c.holding, c.held = false, c.held[:0]
	return err
}

// forget frees the memory that waiting for the answer has no use for.
func (c *recordConn) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = nil
}
