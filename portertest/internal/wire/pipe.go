package wire

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// pipeBuffer is how much a connection in memory holds in each direction,
// standing in for the kernel's socket buffers.
const pipeBuffer = 64 << 10

// pipeListener accepts connections made by its dial method.
type pipeListener struct {
	addr  pipeAddr
	conns chan net.Conn
	done  chan struct{}
	close func()
}

func newPipeListener(addr string) *pipeListener {
	l := &pipeListener{addr: pipeAddr(addr), conns: make(chan net.Conn), done: make(chan struct{})}
	l.close = sync.OnceFunc(func() { close(l.done) })
	return l
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, &net.OpError{Op: "accept", Net: "pipe", Addr: l.addr, Err: net.ErrClosed}
	}
}

func (l *pipeListener) Close() error   { l.close(); return nil }
func (l *pipeListener) Addr() net.Addr { return l.addr }

func (l *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	up, down := newPipeHalf(), newPipeHalf()
	client := &pipeConn{in: down, out: up, local: "client", remote: l.addr}
	server := &pipeConn{in: up, out: down, local: l.addr, remote: "client"}
	select {
	case l.conns <- server:
		return client, nil
	case <-l.done:
		return nil, &net.OpError{Op: "dial", Net: "pipe", Addr: l.addr, Err: ErrRefused}
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: "pipe", Addr: l.addr, Err: ctx.Err()}
	}
}

type pipeAddr string

func (a pipeAddr) Network() string { return "pipe" }
func (a pipeAddr) String() string  { return string(a) }

// pipeConn is one end of a connection in memory. Unlike net.Pipe it is
// buffered, can be closed for writing alone, and tells a peer whose bytes were
// never read that the connection was reset, as TCP does. All waiting is done
// on a sync.Cond, which a testing/synctest bubble counts as idle.
type pipeConn struct {
	in, out       *pipeHalf
	local, remote pipeAddr
}

func (c *pipeConn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	if err != nil && err != io.EOF {
		err = &net.OpError{Op: "read", Net: "pipe", Source: c.local, Addr: c.remote, Err: err}
	}
	return n, err
}

func (c *pipeConn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	if err != nil {
		err = &net.OpError{Op: "write", Net: "pipe", Source: c.local, Addr: c.remote, Err: err}
	}
	return n, err
}

func (c *pipeConn) Close() error {
	reset := c.in.closeRead()
	c.out.closeWrite(reset)
	return nil
}

func (c *pipeConn) CloseWrite() error {
	c.out.closeWrite(false)
	return nil
}

func (c *pipeConn) LocalAddr() net.Addr  { return c.local }
func (c *pipeConn) RemoteAddr() net.Addr { return c.remote }

func (c *pipeConn) SetDeadline(t time.Time) error {
	c.in.readDeadline.set(c.in, t)
	c.out.writeDeadline.set(c.out, t)
	return nil
}

func (c *pipeConn) SetReadDeadline(t time.Time) error {
	c.in.readDeadline.set(c.in, t)
	return nil
}

func (c *pipeConn) SetWriteDeadline(t time.Time) error {
	c.out.writeDeadline.set(c.out, t)
	return nil
}

// pipeHalf carries bytes in one direction.
type pipeHalf struct {
	mu   sync.Mutex
	cond sync.Cond

	buf  []byte // a ring of pipeBuffer bytes, made at the first write
	r, n int    // the first unread byte and the number of unread bytes

	writeClosed, readClosed, reset bool
	readDeadline, writeDeadline    pipeDeadline
}

func newPipeHalf() *pipeHalf {
	h := &pipeHalf{}
	h.cond.L = &h.mu
	return h
}

func (h *pipeHalf) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.readClosed:
			return 0, net.ErrClosed
		case h.readDeadline.passed():
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case h.n > 0:
			n := copy(p, h.buf[h.r:min(h.r+h.n, len(h.buf))])
			h.r = (h.r + n) % len(h.buf)
			h.n -= n
			h.cond.Broadcast()
			return n, nil
		case h.reset:
			return 0, errReset
		case h.writeClosed:
			return 0, io.EOF
		}
		h.cond.Wait()
	}
}

func (h *pipeHalf) write(p []byte) (written int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.buf == nil {
		h.buf = make([]byte, pipeBuffer)
	}
	for {
		switch {
		case h.writeClosed:
			return written, net.ErrClosed
		case h.writeDeadline.passed():
			return written, os.ErrDeadlineExceeded
		case h.readClosed:
			return written, errPipe
		case len(p) == 0:
			return written, nil
		case h.n < len(h.buf):
			w := (h.r + h.n) % len(h.buf)
			end := len(h.buf)
			if w < h.r {
				end = h.r
			}
			n := copy(h.buf[w:end], p)
			h.n += n
			written += n
			p = p[n:]
			h.cond.Broadcast()
			continue
		}
		h.cond.Wait()
	}
}

// closeRead reports whether bytes were left unread.
func (h *pipeHalf) closeRead() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	unread := h.n > 0 && !h.readClosed
	h.readClosed = true
	h.readDeadline.stop()
	h.cond.Broadcast()
	return unread
}

func (h *pipeHalf) closeWrite(reset bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.writeClosed = true
	h.reset = h.reset || reset
	h.writeDeadline.stop()
	h.cond.Broadcast()
}

type pipeDeadline struct {
	t     time.Time
	timer *time.Timer
}

func (d *pipeDeadline) passed() bool { return !d.t.IsZero() && !time.Now().Before(d.t) }

func (d *pipeDeadline) set(h *pipeHalf, t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d.stop()
	d.t = t
	if wait := time.Until(t); !t.IsZero() && wait > 0 {
		d.timer = time.AfterFunc(wait, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.cond.Broadcast()
		})
	}
	h.cond.Broadcast()
}

func (d *pipeDeadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
