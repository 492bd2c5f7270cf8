package netio

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A route is a way that a connection takes, of which the tests are the other
// end: a proxy and what is behind it are one.
type route struct{ scheme, proxy string }

func (r route) String() string {
	if r.proxy == "" {
		return r.scheme
	}
	return r.scheme + " through " + r.proxy
}

func routes() []route {
	return []route{
		{"http", ""}, {"https", ""}, {"http", "http"}, {"https", "http"}, {"http", "https"}, {"https", "https"}, {"https", "socks5"},
	}
}

// greeted reports whether anything is said before the request.
func (r route) greeted() bool { return r != route{"http", ""} && r != route{"http", "http"} }

// transport returns the library's own transport, with a long linger, whose
// connections are those of dial.
func (r route) transport(
	pool *x509.CertPool, linger time.Duration, dial func(context.Context, string, string) (net.Conn, error),
) *Transport {
	settings := func() *http.Transport {
		t := NewHTTPTransport()
		t.DialContext = dial
		t.TLSClientConfig = &tls.Config{RootCAs: pool}
		t.Proxy = nil
		if r.proxy != "" {
			t.Proxy = http.ProxyURL(&url.URL{Scheme: r.proxy, Host: "example.com:3128", User: url.UserPassword("user", "SECRET")})
		}
		return t
	}
	return &Transport{Get: settings(), Post: forBodies(settings(), linger)}
}

// accept says on conn what comes before the request, and returns what that
// comes on.
func (r route) accept(conn net.Conn, cert tls.Certificate) (net.Conn, error) {
	secure := func() { conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}}) }
	if r.proxy == "https" {
		secure()
	}
	switch {
	case r.proxy == "socks5":
		for _, step := range []struct {
			want   int
			answer []byte
		}{
			{4, []byte{5, 2}}, // two methods are offered
			{3 + len("user") + len("SECRET"), []byte{1, 0}},
			{4 + 1 + len("example.com") + 2, []byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0}},
		} {
			if _, err := io.ReadFull(conn, make([]byte, step.want)); err != nil {
				return nil, err
			}
			if _, err := conn.Write(step.answer); err != nil {
				return nil, err
			}
		}
	case r.proxy != "" && r.scheme == "https":
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
			return nil, err
		}
	}
	if r.scheme == "https" {
		secure()
	}
	return conn, nil
}

// exampleCertificate is for example.com.
func exampleCertificate() (tls.Certificate, *x509.CertPool) {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return s.TLS.Certificates[0], pool
}

// A brokenConn is one end of a pipe that can break: writes fail, and what the
// other end sends still comes.
type brokenConn struct {
	net.Conn
	broken atomic.Bool
}

func (c *brokenConn) breakWrites() {
	c.broken.Store(true)
	c.Conn.SetWriteDeadline(time.Unix(1, 0))
}

func (c *brokenConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil && c.broken.Load() {
		err = &net.OpError{Op: "write", Net: "tcp", Err: syscall.ECONNRESET}
	}
	return n, err
}

func (c *brokenConn) SetWriteDeadline(t time.Time) error {
	if c.broken.Load() {
		return nil
	}
	return c.Conn.SetWriteDeadline(t)
}

// A peer is the other end of a connection.
type peer struct {
	net.Conn               // that the request comes on
	r        *bufio.Reader // of it
	raw      net.Conn
	breakIt  func() // makes the writes of the client fail
}

// answer sends the head of an answer with n bytes of body, and the first ones.
func (p *peer) answer(n int, body string) {
	fmt.Fprintf(p, "HTTP/1.1 413 Too Large\r\nContent-Length: %d\r\n\r\n%s", n, body)
}

// TestLinger breaks the writes of connections, and looks at how long that is
// kept back: as long as an answer can come, and never longer.
func TestLinger(t *testing.T) {
	t.Parallel()
	cert, pool := exampleCertificate()
	const (
		size  = 1 << 20
		reuse = 50 * time.Millisecond // net/http waits so long for the end of a write, to use the connection again
	)
	type outcome struct {
		after  time.Duration
		status int    // 0 for an error
		body   string // that came, as far as it did
		cut    bool   // the body was
	}
	hang := func(*peer) {}
	early := func(then func(*peer)) func(*peer) { // while the body is sent
		return func(p *peer) {
			if _, err := io.CopyN(io.Discard, p.r, 50<<10); err == nil {
				p.breakIt()
				then(p)
			}
		}
	}
	late := func(then func(*peer)) func(*peer) { // when it was sent
		return func(p *peer) {
			if req, err := http.ReadRequest(p.r); err == nil {
				io.Copy(io.Discard, req.Body)
				p.breakIt()
				then(p)
			}
		}
	}
	tests := []struct {
		name     string
		greeting bool // breaks while nothing of the request was sent
		peer     func(*peer)
		pause    bool          // the source brings nothing more after a while
		cancel   time.Duration // after so long, unless 0
		leave    bool          // the body is closed without reading it
		want     outcome
	}{
		{name: "no answer", peer: early(hang), want: outcome{after: LingerTime}},
		{name: "answer", peer: early(func(p *peer) {
			time.Sleep(time.Second)
			p.answer(2, "no")
		}), want: outcome{time.Second + reuse, 413, "no", false}},
		{name: "answer in parts", peer: early(func(p *peer) {
			p.answer(4, "no")
			time.Sleep(time.Second)
			io.WriteString(p, "no")
		}), want: outcome{time.Second + reuse, 413, "nono", false}},
		{name: "half an answer", peer: early(func(p *peer) {
			p.answer(4, "no")
			time.Sleep(time.Second)
			p.raw.Close()
		}), want: outcome{time.Second, 413, "no", true}},
		{name: "answer that nobody reads", peer: early(func(p *peer) { p.answer(4, "no") }), leave: true, want: outcome{status: 413}},
		{name: "end", peer: early(func(p *peer) {
			time.Sleep(time.Second)
			p.raw.Close()
		}), want: outcome{after: time.Second}},
		{name: "canceled", peer: early(hang), cancel: time.Second, want: outcome{after: time.Second}},
		{name: "canceled while the source pauses", pause: true, peer: func(p *peer) {
			io.CopyN(io.Discard, p.r, 4<<10)
			p.breakIt()
		}, cancel: time.Second, want: outcome{after: time.Second}},
		{name: "answer that nobody reads while the source pauses", pause: true, peer: func(p *peer) {
			io.CopyN(io.Discard, p.r, 4<<10)
			p.breakIt()
			p.answer(4, "no")
		}, leave: true, want: outcome{status: 413}},
		{name: "goodbye", peer: late(func(p *peer) { p.answer(2, "no") }), want: outcome{0, 413, "no", false}},
		{name: "half an answer to all", peer: late(func(p *peer) {
			p.answer(4, "no")
			p.raw.Close()
		}), want: outcome{0, 413, "no", true}},
		{name: "canceled while the answer is awaited", peer: late(hang), cancel: time.Second, want: outcome{after: time.Second}},
		{name: "greeting", greeting: true, peer: hang, want: outcome{}},
	}
	for _, test := range tests {
		for _, r := range routes() {
			if test.greeting && !r.greeted() {
				continue
			}
			for _, length := range []int64{size, -1} {
				t.Run(fmt.Sprintf("%s, %v, length %d", test.name, r, length), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						tr := r.transport(pool, LingerTime, func(context.Context, string, string) (net.Conn, error) {
							here, there := net.Pipe()
							conn := &brokenConn{Conn: here}
							if test.greeting {
								conn.breakWrites()
							}
							go func() {
								defer io.Copy(io.Discard, here) // until it is closed
								top, err := r.accept(there, cert)
								if err != nil {
									return
								}
								test.peer(&peer{top, bufio.NewReader(top), there, conn.breakWrites})
							}()
							return conn, nil
						})
						ctx, cancel := context.WithCancel(t.Context())
						defer cancel()
						body := &pausingReader{left: size, pause: test.pause, ctx: ctx}
						req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.scheme+"://example.com/", body)
						if err != nil {
							t.Fatal(err)
						}
						req.ContentLength = length
						if test.cancel > 0 {
							time.AfterFunc(test.cancel, cancel)
						}
						start := time.Now()
						var got outcome
						resp, err := tr.RoundTrip(req)
						if err == nil {
							got.status = resp.StatusCode
							if !test.leave {
								b, err := io.ReadAll(resp.Body)
								got.body, got.cut = string(b), err != nil
							}
							resp.Body.Close()
						}
						tr.CloseIdleConnections()
						got.after = time.Since(start)
						if got != test.want {
							t.Errorf("got %+v, %v; want %+v", got, err, test.want)
						}
						cancel()
					})
				})
			}
		}
	}
}

// A pausingReader brings left bytes, but only a few before its context ends if
// it is to pause.
type pausingReader struct {
	left  int
	pause bool
	ctx   context.Context
}

func (r *pausingReader) Read(b []byte) (int, error) {
	if r.pause && r.left < 1<<20 {
		<-r.ctx.Done()
		return 0, context.Cause(r.ctx)
	}
	n := min(len(b), r.left)
	if r.left -= n; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// A resetServer ends its connections with a reset. It is the other end of a
// route over the loopback.
type resetServer struct {
	net.Listener
	mu    sync.Mutex
	conns []*net.TCPConn
}

func newResetServer(t *testing.T, r route, cert tls.Certificate, atOnce bool, serve func(*peer)) *resetServer {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &resetServer{Listener: l}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		s.resetAll()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			tcp := conn.(*net.TCPConn)
			s.mu.Lock()
			s.conns = append(s.conns, tcp)
			s.mu.Unlock()
			wg.Go(func() {
				defer reset(tcp)
				if atOnce {
					return
				}
				if top, err := r.accept(tcp, cert); err == nil {
					serve(&peer{Conn: top, r: bufio.NewReader(top), raw: tcp})
				}
			})
		}
	})
	return s
}

func (s *resetServer) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", s.Addr().String())
}

// resetAll resets all connections.
func (s *resetServer) resetAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.conns {
		reset(conn)
	}
	s.conns = nil
}

func reset(conn *net.TCPConn) {
	conn.SetLinger(0)
	conn.Close()
}

// tooLate is how long a machine never takes by itself. In the tests of resets
// a failed write lingers for longer, where nothing ends it.
const (
	tooLate    = 30 * time.Second
	longLinger = 2 * time.Minute
)

// TestResets resets connections in every state. That is told at once.
func TestResets(t *testing.T) {
	cert, pool := exampleCertificate()
	const size = 3 << 20
	states := []struct {
		name   string
		atOnce bool
		serve  func(*peer)
		leave  bool // the answer is not read
		sent   bool // needs a body
		status int  // that has to come
	}{
		{name: "at once", atOnce: true},
		{name: "before the request", serve: func(*peer) {}},
		{name: "in the header", serve: func(p *peer) { p.r.ReadByte() }},
		{name: "in the body", sent: true, serve: func(p *peer) { io.CopyN(io.Discard, p.r, 100<<10) }},
		{name: "answered in the body", sent: true, status: 413, serve: func(p *peer) {
			io.CopyN(io.Discard, p.r, 100<<10)
			p.answer(2, "no")
		}},
		{name: "while the answer is awaited", serve: func(p *peer) { readRequest(p.r) }},
		{name: "in the header of the answer", serve: func(p *peer) {
			readRequest(p.r)
			io.WriteString(p, "HTTP/1.1 200 OK\r\nContent-")
		}},
		{name: "in the answer", serve: func(p *peer) {
			readRequest(p.r)
			p.answer(100, "no")
		}},
		{name: "in an answer that nobody reads", leave: true, serve: func(p *peer) {
			readRequest(p.r)
			p.answer(100<<10, string(make([]byte, 50<<10)))
		}},
		{name: "after the answer", status: 413, serve: func(p *peer) {
			readRequest(p.r)
			p.answer(2, "no")
		}},
	}
	for _, state := range states {
		for _, r := range routes() {
			for kind, length := range map[string]int64{
				"GET": 0, "POST without a body": 0, "POST": size, "chunked POST": -1, "POST through another transport": size,
			} {
				if state.sent && length == 0 {
					continue
				}
				t.Run(fmt.Sprintf("%s, %v, %s", state.name, r, kind), func(t *testing.T) {
					t.Parallel()
					s := newResetServer(t, r, cert, state.atOnce, state.serve)
					tr := r.transport(pool, longLinger, s.dial)
					defer tr.CloseIdleConnections()
					for range 2 {
						req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.scheme+"://example.com/", nil)
						if err != nil {
							t.Fatal(err)
						}
						if kind == "GET" {
							req.Method = kind
						}
						if length != 0 {
							req.Body, req.ContentLength = io.NopCloser(random(size)), length
						}
						start := time.Now()
						rt := http.RoundTripper(tr)
						if strings.HasSuffix(kind, "another transport") {
							rt = copying{tr}
						}
						resp, err := rt.RoundTrip(req)
						if err == nil && state.status != 0 && resp.StatusCode != state.status {
							t.Errorf("status %d", resp.StatusCode)
						}
						if err == nil {
							if !state.leave {
								_, err = io.ReadAll(resp.Body)
							}
							resp.Body.Close()
						}
						if d := time.Since(start); d > tooLate {
							t.Errorf("it took %v: %v", d, err)
						}
						switch {
						case state.leave:
						case state.status == 0 && err == nil:
							t.Error("no error")
						case state.status != 0 && err != nil && runtime.GOOS == "linux": // others throw away what a reset overtakes
							t.Errorf("the answer was lost: %v", err)
						}
					}
				})
			}
		}
	}
}

// A copying transport has requests and bodies of its own, as those that trace do.
type copying struct{ next http.RoundTripper }

func (c copying) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	context.AfterFunc(req.Context(), cancel)
	out := req.Clone(ctx)
	out.Body = struct{ io.ReadCloser }{req.Body}
	return c.next.RoundTrip(out)
}

func readRequest(r *bufio.Reader) {
	if req, err := http.ReadRequest(r); err == nil {
		io.Copy(io.Discard, req.Body)
	}
}

// TestResetIdle resets the idle connections of a client, one or many. Its next
// requests neither fail nor wait.
func TestResetIdle(t *testing.T) {
	t.Parallel()
	cert, pool := exampleCertificate()
	for _, r := range routes() {
		for _, many := range []int{1, 12} {
			t.Run(fmt.Sprintf("%v, %d", r, many), func(t *testing.T) {
				s := newResetServer(t, r, cert, false, func(p *peer) {
					for {
						req, err := http.ReadRequest(p.r)
						if err != nil {
							return
						}
						io.Copy(io.Discard, req.Body)
						io.WriteString(p, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
					}
				})
				tr := r.transport(pool, longLinger, s.dial)
				defer tr.CloseIdleConnections()
				ask := func(method string) error {
					req, err := http.NewRequestWithContext(t.Context(), method, r.scheme+"://example.com/", nil)
					if err != nil {
						return err
					}
					if method == http.MethodPost {
						req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(make([]byte, 100))), 100
					}
					resp, err := tr.RoundTrip(req)
					if err != nil {
						return err
					}
					defer resp.Body.Close()
					_, err = io.ReadAll(resp.Body)
					return err
				}
				askMany := func() {
					var wg sync.WaitGroup
					for range many {
						wg.Go(func() {
							if err := ask(http.MethodGet); err != nil {
								t.Error(err)
							}
						})
					}
					wg.Wait()
				}
				askMany()
				fastest := time.Hour
				for range 3 {
					s.resetAll()
					start := time.Now()
					if err := ask(http.MethodPost); err != nil { // never on one of those
						t.Error(err)
					}
					askMany()
					fastest = min(fastest, time.Since(start))
				}
				if fastest >= tooLate {
					t.Errorf("the requests after it took %v", fastest)
				}
			})
		}
	}
}

// No request but a GET is sent on a connection that another one has used. None
// of them stays behind, either.
func TestPostsGetTheirOwnConnection(t *testing.T) {
	t.Parallel()
	cert, pool := exampleCertificate()
	for _, r := range routes() {
		t.Run(r.String(), func(t *testing.T) {
			var requests sync.Map // method -> how many, first of their connection
			var opened atomic.Int32
			ended := make(chan struct{}, 100)
			var closes atomic.Bool // was asked for
			s := newResetServer(t, r, cert, false, func(p *peer) {
				opened.Add(1)
				defer func() { ended <- struct{}{} }()
				for n := 0; ; n++ {
					req, err := http.ReadRequest(p.r)
					if err != nil {
						return
					}
					io.Copy(io.Discard, req.Body)
					if req.Close {
						closes.Store(true)
					}
					if n == 0 {
						count, _ := requests.LoadOrStore(req.Method, new(atomic.Int32))
						count.(*atomic.Int32).Add(1)
					}
					io.WriteString(p, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			})
			tr := r.transport(pool, longLinger, s.dial)
			for range 5 {
				for _, method := range []string{"GET", "POST", "PUT", "DELETE", "HEAD"} {
					req, err := http.NewRequestWithContext(t.Context(), method, r.scheme+"://example.com/", nil)
					if err != nil {
						t.Fatal(err)
					}
					resp, err := tr.RoundTrip(req)
					if err != nil {
						t.Fatal(err)
					}
					resp.Body.Close()
				}
			}
			for _, method := range []string{"POST", "PUT", "DELETE", "HEAD"} {
				count, _ := requests.LoadOrStore(method, new(atomic.Int32))
				if n := count.(*atomic.Int32).Load(); n != 5 {
					t.Errorf("%d connections for 5 requests by %s", n, method)
				}
			}
			if closes.Load() {
				t.Error("the server was asked to close a connection")
			}
			tr.CloseIdleConnections()
			for range opened.Load() { // which hangs if a connection stays open
				<-ended
			}
		})
	}
}
