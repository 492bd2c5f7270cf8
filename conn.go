package porter

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// lingering makes the connections of dial wait a moment after a failed write.
// A server that refuses an upload early answers and closes; its reset then
// races with its answer, and net/http reports the broken pipe when the write
// loses. The pause lets the answer win.
func lingering(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &lingerConn{Conn: conn, closed: make(chan struct{})}, nil
	}
}

// lingerTime only passes whole if nothing can be read either: an end of the
// reading closes the connection.
const lingerTime = 2 * time.Second

type lingerConn struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (c *lingerConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		t := time.NewTimer(lingerTime)
		defer t.Stop()
		select {
		case <-t.C:
		case <-c.closed:
		}
	}
	return n, err
}

// ReadFrom sends what r holds. net/http hands it the bodies of requests.
func (c *lingerConn) ReadFrom(r io.Reader) (int64, error) { return sendPieces(c.Write, r) }

func (c *lingerConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

const (
	// maxPiece is how much of a body is written at a time. Compared to the
	// 32 KiB of net/http, an upload takes 0.9 of the CPU time; with half or
	// twice the size, 0.95.
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
// into pieces, an upload takes 0.9 of the CPU time. Through a proxy, net/http
// still does.
func dialTLS(t *http.Transport) dialFunc {
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
		cfg.NextProtos = []string{"http/1.1"} // what a tlsConn is used for
		conn, err := t.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		records := &recordConn{Conn: conn}
		c := &tlsConn{Conn: tls.Client(records, cfg), records: records}
		if err := handshake(ctx, c, t.TLSHandshakeTimeout); err != nil {
			conn.Close()
			return nil, err
		}
		return c, nil
	}
}

var errHandshakeTimeout = errors.New("TLS handshake took too long")

func handshake(ctx context.Context, c *tlsConn, timeout time.Duration) error {
	hctx, cancel := context.WithTimeoutCause(ctx, timeout, errHandshakeTimeout)
	defer cancel()
	err := c.HandshakeContext(hctx)
	if err != nil && context.Cause(hctx) == errHandshakeTimeout {
		return errHandshakeTimeout
	}
	return err
}

// A tlsConn sends the records of a piece together.
type tlsConn struct {
	*tls.Conn
	records *recordConn
	sending atomic.Bool
}

// ReadFrom sends what r holds. net/http hands it the bodies of requests.
func (c *tlsConn) ReadFrom(r io.Reader) (int64, error) {
	c.sending.Store(true)
	defer c.sending.Store(false)
	defer c.records.forget()
	return sendPieces(func(b []byte) (int, error) {
		c.records.hold()
		n, err := c.Conn.Write(b)
		if rerr := c.records.release(); err == nil {
			err = rerr
		}
		return n, err
	}, r)
}

// Close closes the connection. Like that of tls.Conn, it interrupts a write
// instead of waiting for its turn to say goodbye.
func (c *tlsConn) Close() error {
	if c.sending.Load() {
		return c.records.Close()
	}
	return c.Conn.Close()
}

// A recordConn is what TLS writes its records to. While it holds them, it
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

func (c *recordConn) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holding = true
	if c.held == nil {
		c.held = make([]byte, 0, maxPiece+maxPiece/64) // what TLS adds is less than that
	}
}

// forget frees the memory that an idle connection has no use for.
func (c *recordConn) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = nil
}

// release writes what was held.
func (c *recordConn) release() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.Conn.Write(c.held)
	c.holding, c.held = false, c.held[:0]
	return err
}
