package porter

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter/internal/netio"
	"github.com/seed-5d77b939/porter/portertest"
)

// countWrites makes c count what it writes to the network from now on.
func countWrites(c *Client) (writes, written *atomic.Int64) {
	writes, written = new(atomic.Int64), new(atomic.Int64)
	t := c.bare.Transport.(*netio.Transport).Post
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &countedConn{conn, writes, written}, nil
	}
	return writes, written
}

// A countedConn counts. It has no ReadFrom, so only TLS may be above it.
type countedConn struct {
	net.Conn
	writes, written *atomic.Int64
}

func (c *countedConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	c.written.Add(int64(len(b)))
	return c.Conn.Write(b)
}

// An archive arrives as it was over either scheme and over HTTP/1.1, even
// where HTTP/2 is offered.
func TestUploadOverDialedConnection(t *testing.T) {
	archive := make([]byte, 3<<20+12345)
	rand.Read(archive)
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			got := make(chan [sha256.Size]byte, 1)
			proto := make(chan string, 1)
			c := benchConnect(t, benchServe(t, scheme, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				f, _, err := r.FormFile("file")
				if err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(f)
				if err != nil {
					t.Error(err)
				}
				got <- sha256.Sum256(b)
				proto <- r.Proto
				w.WriteHeader(http.StatusCreated)
				io.WriteString(w, benchAnswer)
			})))
			src := ReaderSource(bytes.NewReader(archive), int64(len(archive)))
			if _, err := c.StartImport(t.Context(), src, ImportOptions{Path: "app"}); err != nil {
				t.Fatal(err)
			}
			if <-got != sha256.Sum256(archive) {
				t.Error("another archive arrived")
			}
			if p := <-proto; p != "HTTP/1.1" {
				t.Errorf("it came over %s", p)
			}
		})
	}
}

// The records of TLS, of 16 KiB at most, are joined before they are written.
func TestUploadJoinsRecords(t *testing.T) {
	const size = 8 << 20
	c := benchConnect(t, benchServe(t, "https", bareServer{}))
	writes, written := countWrites(c)
	if _, err := c.StartImport(t.Context(), ReaderSource(benchSource(size), size), ImportOptions{Path: "app"}); err != nil {
		t.Fatal(err)
	}
	if n := written.Load(); n < size {
		t.Fatalf("%d bytes were written, fewer than the archive has", n)
	}
	const record = 16 << 10
	if n := writes.Load(); n > size/record/2 {
		t.Errorf("%d writes for %d bytes", n, size)
	}
}

// A server that answers while it is sent to is heard, not only the reset that
// follows.
func TestEarlyRefusalOverDialedConnection(t *testing.T) {
	const size = 64 << 20
	for _, scheme := range []string{"http", "https"} {
		for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestEntityTooLarge} {
			t.Run(fmt.Sprint(scheme, " ", status), func(t *testing.T) {
				t.Parallel() // the server takes half a second to close
				c := benchConnect(t, benchServe(t, scheme, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					io.CopyN(io.Discard, r.Body, 100<<10)
					w.WriteHeader(status)
				})), WithRetry(0, nil))
				for range 5 {
					_, err := c.StartImport(t.Context(), ReaderSource(benchSource(size), size), ImportOptions{Path: "app"})
					var api *APIError
					if !errors.As(err, &api) || api.StatusCode != status {
						t.Fatalf("error is %v", err)
					}
				}
			})
		}
	}
}

// tooLong is less than the five seconds that TLS would try to send its last
// record for.
const tooLong = 4 * time.Second

// unread lets the POSTs of c go to a server that reads nothing but the greeting
// of TLS. It returns what waits until a request is stuck.
func unread(t *testing.T, c *Client, cert *tls.Certificate) {
	post := c.bare.Transport.(*netio.Transport).Post
	post.DialContext = func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		t.Cleanup(func() { there.Close() })
		if cert != nil {
			go tls.Server(there, &tls.Config{Certificates: []tls.Certificate{*cert}}).Handshake()
		}
		return here, nil
	}
}

// Canceling interrupts a write that the server does not take, at once.
func TestCancelStuckUpload(t *testing.T) {
	const size = 64 << 20
	s := benchServe(t, "https", nil) // for its certificate
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			c := benchConnect(t, s, WithRetry(0, nil))
			c.base.Scheme = scheme
			synctest.Test(t, func(t *testing.T) {
				var cert *tls.Certificate
				if scheme == "https" {
					cert = &s.TLS.Certificates[0]
				}
				unread(t, c, cert)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				done := make(chan error, 1)
				go func() {
					_, err := c.StartImport(ctx, ReaderSource(benchSource(size), size), ImportOptions{Path: "app"})
					done <- err
				}()
				synctest.Wait()
				start := time.Now()
				cancel()
				if err := <-done; !errors.Is(err, context.Canceled) {
					t.Errorf("error is %v", err)
				}
				c.bare.CloseIdleConnections() // waits for the connection's lock
				if d := time.Since(start); d > tooLong {
					t.Errorf("it took %v", d)
				}
			})
		})
	}
}

// Closing a connection in the middle of a write over TLS does not wait for
// that write: its last record is left out.
func TestCloseInterruptsWrite(t *testing.T) {
	s := benchServe(t, "https", nil) // for its certificate
	c := benchConnect(t, s)
	synctest.Test(t, func(t *testing.T) {
		unread(t, c, &s.TLS.Certificates[0])
		conn, err := c.bare.Transport.(*netio.Transport).Post.DialTLSContext(t.Context(), "tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			_, err := conn.(io.ReaderFrom).ReadFrom(benchSource(1 << 40))
			done <- err
		}()
		synctest.Wait()
		start := time.Now()
		conn.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("error is %v", err)
		}
		if d := time.Since(start); d > tooLong {
			t.Errorf("it took %v", d)
		}
	})
}

func TestDialTLSErrors(t *testing.T) {
	upload := func(c *Client) error {
		_, err := c.StartImport(t.Context(), ReaderSource(benchSource(100), 100), ImportOptions{Path: "app"})
		return err
	}
	t.Run("untrusted", func(t *testing.T) {
		var dialed atomic.Int64
		s := httptest.NewUnstartedServer(bareServer{})
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				dialed.Add(1)
			}
		}
		s.StartTLS()
		defer s.Close()
		c, err := NewClient(s.URL, nil, WithRetry(3, ConstantBackoff(0)))
		if err != nil {
			t.Fatal(err)
		}
		var cert *tls.CertificateVerificationError
		if err := upload(c); !errors.As(err, &cert) {
			t.Errorf("error is %v", err)
		}
		if n := dialed.Load(); n != 1 {
			t.Errorf("dialed %d times; it would fail every time", n)
		}
	})
	t.Run("another name", func(t *testing.T) {
		s := httptest.NewUnstartedServer(bareServer{})
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		defer s.Close()
		c := benchConnect(t, s, WithRetry(0, nil))
		c.bare.Transport.(*netio.Transport).Post.TLSClientConfig.ServerName = "other.test"
		var cert *tls.CertificateVerificationError
		if err := upload(c); !errors.As(err, &cert) {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("no TLS", func(t *testing.T) {
		s := benchServe(t, "http", bareServer{})
		c, err := NewClient("https"+s.URL[len("http"):], nil, WithRetry(0, nil))
		if err != nil {
			t.Fatal(err)
		}
		if err := upload(c); !errors.Is(err, http.ErrSchemeMismatch) {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("silence", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // nobody accepts, and the system takes the connection all the same
		c, err := NewClient("https://"+l.Addr().String(), nil, WithRetry(0, nil))
		if err != nil {
			t.Fatal(err)
		}
		c.bare.Transport.(*netio.Transport).Post.TLSHandshakeTimeout = 5 * time.Millisecond
		if err := upload(c); !errors.Is(err, netio.ErrHandshakeTimeout) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v", err)
		}
	})
}

// A forgetfulConn passes on what comes, until it is told to swallow it, as a
// firewall does that forgot the connection.
type forgetfulConn struct {
	net.Conn
	forgot *atomic.Bool
}

func (c forgetfulConn) Write(b []byte) (int, error) {
	if c.forgot.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c forgetfulConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.forgot.Load() {
			return n, err
		}
	}
}

// NoBubbleForHTTP2 skips what Go 1.25 fails at: net/http's HTTP/2 server has
// channels of one bubble in another, golang/go#75674.
func NoBubbleForHTTP2(t *testing.T) {
	t.Helper()
	if strings.HasPrefix(runtime.Version(), "go1.25") {
		t.Skip("Go 1.25 has no HTTP/2 server for bubbles")
	}
}

// A connection that died unnoticed is given up with the request that found it
// out, which HTTP/2 would not do.
func TestDeadConnection(t *testing.T) {
	NoBubbleForHTTP2(t)
	synctest.Test(t, func(t *testing.T) {
		s := portertest.NewServer(portertest.InMemory(), portertest.HTTP2())
		defer s.Close()
		id := s.AddProject(portertest.Project{Path: "team/app"})
		c, err := NewClient(s.URL, PrivateToken(portertest.Token), WithStallTimeout(time.Second), WithRetry(1, ConstantBackoff(0)))
		if err != nil {
			t.Fatal(err)
		}
		defer c.bare.CloseIdleConnections()
		var forgot atomic.Pointer[atomic.Bool] // of the connections from now on
		forgot.Store(new(atomic.Bool))
		tr := c.bare.Transport.(*netio.Transport).Get
		tr.TLSClientConfig = s.Transport().TLSClientConfig.Clone()
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := s.Transport().DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return forgetfulConn{conn, forgot.Load()}, nil
		}
		for range 2 {
			if _, err := c.GetExport(t.Context(), ProjectID(id)); err != nil {
				t.Error(err)
			}
			forgot.Swap(new(atomic.Bool)).Store(true)
		}
	})
}

// What an answer of no interest holds is read, so that its connection serves
// the next request too, where the user's transport does that. In a bubble,
// because net/http gives a connection up whose goroutines do not get to run for
// a while.
func TestConnectionIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := portertest.NewServer(portertest.InMemory())
		defer s.Close()
		s.Inject(portertest.Fault{Times: -1, Do: portertest.Respond(http.StatusAccepted, nil, `{"message":"202 Accepted"}`)})
		c, err := NewClient(s.URL, nil, WithoutPacing(), WithTransport(netio.NewHTTPTransport()))
		if err != nil {
			t.Fatal(err)
		}
		defer c.bare.CloseIdleConnections()
		dials := countDials(c, s)
		for range 5 {
			if err := c.ScheduleExport(t.Context(), ProjectID(1), nil); err != nil {
				t.Fatal(err)
			}
			if _, err := c.StartRelationsExport(t.Context(), ProjectID(1), nil); err != nil {
				t.Fatal(err)
			}
		}
		if n := dials.Load(); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
	})
}

// An idle connection is given up well before the load balancers that close it
// after 60 s.
func TestIdleConnectionsAreGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := portertest.NewServer(portertest.InMemory())
		defer s.Close()
		id := s.AddProject(portertest.Project{Path: "team/app"})
		c, err := NewClient(s.URL, PrivateToken(portertest.Token), WithoutPacing())
		if err != nil {
			t.Fatal(err)
		}
		defer c.bare.CloseIdleConnections()
		dials := countDials(c, s)
		for _, test := range []struct {
			idle time.Duration
			want int64
		}{{0, 1}, {30 * time.Second, 1}, {50 * time.Second, 2}} {
			time.Sleep(test.idle)
			if _, err := c.GetExport(t.Context(), ProjectID(id)); err != nil {
				t.Error(err)
			}
			if n := dials.Load(); n != test.want {
				t.Errorf("%d connections after %v, want %d", n, test.idle, test.want)
			}
		}
	})
}

// What is derived shares the connections, and so do clients derived of that.
func TestWithSharesConnections(t *testing.T) {
	for name, opts := range map[string][]Option{
		"default": nil, "client": {WithHTTPClient(&http.Client{})}, "transport": {WithTransport(netio.NewHTTPTransport())},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := portertest.NewServer(portertest.InMemory())
				defer s.Close()
				id := s.AddProject(portertest.Project{Path: "team/app"})
				c, err := NewClient(s.URL, PrivateToken(portertest.Token), opts...)
				if err != nil {
					t.Fatal(err)
				}
				defer c.bare.CloseIdleConnections()
				dials := countDials(c, s)
				for range 3 {
					if _, err := c.GetExport(t.Context(), ProjectID(id)); err != nil {
						t.Error(err)
					}
					if c, err = c.With(WithUserAgent("another")); err != nil {
						t.Fatal(err)
					}
				}
				if n := dials.Load(); n != 1 {
					t.Errorf("%d connections", n)
				}
			})
		})
	}
}

// countDials makes c dial s, which is in memory, and counts how often it does.
func countDials(c *Client, s *portertest.Server) *atomic.Int64 {
	n := new(atomic.Int64)
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		n.Add(1)
		return s.Transport().DialContext(ctx, network, addr)
	}
	switch t := c.bare.Transport.(type) {
	case *http.Transport:
		t.DialContext = dial
	case *netio.Transport:
		t.Get.DialContext, t.Post.DialContext = dial, dial
	}
	return n
}
