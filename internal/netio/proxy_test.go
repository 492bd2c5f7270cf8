package netio

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A scriptedProxy reads the head of a request, or what is said before it, and
// answers with a text.
func scriptedProxy(t *testing.T, serve func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return l.Addr().String()
}

func answering(text string) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			io.WriteString(conn, text)
		}
	}
}

// socks5 answers each message, of which it is told the length, with bytes.
func socks5(steps ...[]byte) func(net.Conn) {
	const user = 3 + len("USER") + len("SECRET")
	const target = 4 + 1 + len("gitlab.invalid") + 2
	return func(conn net.Conn) {
		for i, step := range steps {
			if _, err := io.ReadFull(conn, make([]byte, []int{4, user, target}[i])); err != nil {
				return
			}
			conn.Write(step)
		}
	}
}

// proxiedTransports are the library's own, and what a user may give.
func proxiedTransports(proxy func(*http.Request) (*url.URL, error)) map[string]http.RoundTripper {
	own := NewTransport(nil)
	own.Get.Proxy, own.Post.Proxy = proxy, proxy
	return map[string]http.RoundTripper{"own": own, "user's": &http.Transport{Proxy: proxy}}
}

// What a proxy refuses names the proxy, and not its user or password.
func TestProxyRefuses(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	_, refused := net.Dial("tcp", closed.Addr().String()) // in the system's words
	if refused == nil {
		t.Skip("somebody else listens there now")
	}
	untrusted := httptest.NewUnstartedServer(nil)
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	defer untrusted.Close()
	tests := []struct {
		name      string
		target    string // https unless set
		scheme    string // of the proxy, http unless set
		addr      string // of the proxy, if it has no script
		serve     func(net.Conn)
		want      string // PROXY stands for its address
		status    int
		permanent bool
	}{
		{name: "403", serve: answering("HTTP/1.1 403 Forbidden\r\n\r\n"),
			want: "proxy PROXY refused the connection: 403 Forbidden", status: 403, permanent: true},
		{name: "407", serve: answering("HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno"),
			want: "proxy PROXY refused the connection: 407 Proxy Authentication Required", status: 407, permanent: true},
		{name: "in another case", serve: answering("HTTP/1.0 407 Proxy authentication required\r\n\r\n"),
			want: "proxy PROXY refused the connection: 407 Proxy authentication required", status: 407, permanent: true},
		{name: "502", serve: answering("HTTP/1.1 502 Bad Gateway\r\n\r\n"),
			want: "proxy PROXY refused the connection: 502 Bad Gateway", status: 502},
		{name: "503", serve: answering("HTTP/1.1 503 Service Unavailable\r\n\r\n"),
			want: "proxy PROXY refused the connection: 503 Service Unavailable", status: 503},
		{name: "redirect", serve: answering("HTTP/1.1 302 Found\r\nLocation: http://login.invalid/\r\n\r\n"),
			want: "proxy PROXY refused the connection: 302 Found", status: 302},
		{name: "dead", addr: closed.Addr().String(),
			want: "connect through proxy PROXY: " + refused.Error()},
		{name: "dead, http", target: "http", addr: closed.Addr().String(),
			want: "connect through proxy PROXY: " + refused.Error()},
		{name: "dead, SOCKS5", scheme: "socks5", addr: closed.Addr().String(),
			want: "connect through proxy PROXY: " + refused.Error()},
		{name: "untrusted", scheme: "https", addr: untrusted.Listener.Addr().String(),
			want: "connect through proxy PROXY: tls: failed to verify certificate: x509: certificate signed by unknown authority"},
		{name: "no method", scheme: "socks5", serve: socks5([]byte{5, 0xff}),
			want: "connect through proxy PROXY: no acceptable authentication methods", permanent: true},
		{name: "wrong password", scheme: "socks5", serve: socks5([]byte{5, 2}, []byte{1, 1}),
			want: "connect through proxy PROXY: username/password authentication failed", permanent: true},
		{name: "not allowed", scheme: "socks5h", serve: socks5([]byte{5, 2}, []byte{1, 0}, []byte{5, 2, 0, 1}),
			want: "connect through proxy PROXY: connection not allowed by ruleset", permanent: true},
		{name: "unreachable", scheme: "socks5", serve: socks5([]byte{5, 2}, []byte{1, 0}, []byte{5, 4, 0, 1}),
			want: "connect through proxy PROXY: host unreachable"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			u := &url.URL{Scheme: "http", Host: test.addr, User: url.UserPassword("USER", "SECRET")}
			if test.serve != nil {
				u.Host = scriptedProxy(t, test.serve)
			}
			if test.scheme != "" {
				u.Scheme = test.scheme
			}
			target := "https"
			if test.target != "" {
				target = test.target
			}
			want := strings.ReplaceAll(test.want, "PROXY", u.Host)
			for name, tr := range proxiedTransports(http.ProxyURL(u)) {
				for _, method := range []string{http.MethodGet, http.MethodPost} {
					req, err := http.NewRequestWithContext(t.Context(), method, target+"://gitlab.invalid/", nil)
					if err != nil {
						t.Fatal(err)
					}
					_, err = tr.RoundTrip(req)
					for _, err := range []error{err, &url.Error{Op: "Get", URL: req.URL.String(), Err: err}} {
						e := AsProxyError(tr, req, err)
						if e == nil {
							t.Fatalf("%s, %s: %v is no error of a proxy", name, method, err)
						}
						if e.Error() != want || e.Status != test.status || e.Permanent() != test.permanent {
							t.Errorf("%s, %s: %q (status %d, permanent %v), want %q (%d, %v)",
								name, method, e, e.Status, e.Permanent(), want, test.status, test.permanent)
						}
						if text := fmt.Sprintf("%v %+v", e, e); strings.Contains(text, "SECRET") || strings.Contains(text, "USER") {
							t.Errorf("%s, %s: tells %s", name, method, text)
						}
					}
				}
			}
		})
	}
}

// With a reason of its own, or none, a status is known only where the library's
// own transport hears it.
func TestProxyRefusesInItsOwnWords(t *testing.T) {
	for text, want := range map[string][2]string{ // own, user's
		"HTTP/1.1 403 Blocked by policy\r\n\r\n": {"403 Blocked by policy", "Blocked by policy"},
		"HTTP/1.1 407\r\n\r\n":                   {"407 Proxy Authentication Required", "unknown status code"},
		"HTTP/1.1 407 \r\n\r\n":                  {"407 Proxy Authentication Required", "unknown status"},
		"HTTP/1.1 599 \x1b[1m\x00\r\n\r\n":       {"599 [1m", "[1m"},
		"HTTP/1.1 407 no USER:SECRET\r\n\r\n":    {"407 Proxy Authentication Required", "unknown status"},
	} {
		u := &url.URL{Scheme: "http", Host: scriptedProxy(t, answering(text)), User: url.UserPassword("USER", "SECRET")}
		for name, tr := range proxiedTransports(http.ProxyURL(u)) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://gitlab.invalid/", nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = tr.RoundTrip(req)
			reason := want[0]
			if name != "own" {
				reason = want[1]
			}
			if e := AsProxyError(tr, req, err); e == nil || e.Error() != "proxy "+u.Host+" refused the connection: "+reason {
				t.Errorf("%q, %s: %v, want %s", text, name, e, reason)
			}
		}
	}
}

// The name of a proxy that does not exist is told, with its port.
func TestProxyAddress(t *testing.T) {
	for address, want := range map[string]string{
		"http://proxy.invalid:3128":         "proxy.invalid:3128",
		"http://USER:SECRET@proxy.invalid":  "proxy.invalid:80",
		"https://USER:SECRET@proxy.invalid": "proxy.invalid:443",
		"socks5://USER@proxy.invalid":       "proxy.invalid:1080",
		"http://[2001:db8::1]:3128":         "[2001:db8::1]:3128",
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		for _, tr := range proxiedTransports(http.ProxyURL(u)) {
			unknown := &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: u.Hostname(), IsNotFound: true}}
			dial := func(context.Context, string, string) (net.Conn, error) { return nil, unknown }
			switch tr := tr.(type) {
			case *http.Transport:
				tr.DialContext = dial
			case *Transport:
				tr.Get.DialContext, tr.Get.DialTLSContext = dial, nil
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://gitlab.invalid/", nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = tr.RoundTrip(req)
			e := AsProxyError(tr, req, err)
			var dns *net.DNSError
			text := "connect through proxy " + want + ": dial tcp: lookup " + u.Hostname() + ": no such host"
			if e == nil || e.Error() != text || !errors.As(e, &dns) || e.Permanent() {
				t.Errorf("%s: %v", address, e)
			}
		}
	}
}

// A proxy that does not answer is named, too, and its silence is no end of the
// caller's context.
func TestProxyIsSilent(t *testing.T) {
	for name, tr := range proxiedTransports(http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.invalid:3128"})) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dial := func(context.Context, string, string) (net.Conn, error) {
					here, there := net.Pipe()
					go io.Copy(io.Discard, there)
					return here, nil
				}
				switch tr := tr.(type) {
				case *http.Transport:
					tr.DialContext = dial
				case *Transport:
					tr.Get.DialContext = dial
				}
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://gitlab.invalid/", nil)
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				_, err = tr.RoundTrip(req)
				e := AsProxyError(tr, req, err)
				if e == nil || e.Error() != "connect through proxy proxy.invalid:3128: no answer" || e.Permanent() {
					t.Errorf("%v after %v: %v", err, time.Since(start), e)
				}
			})
		})
	}
}

// What others have done is not taken for a proxy's refusal.
func TestNoProxyError(t *testing.T) {
	tunnel := func(then func(net.Conn)) func(net.Conn) {
		return func(conn net.Conn) {
			answering("HTTP/1.1 200 OK\r\n\r\n")(conn)
			then(conn)
		}
	}
	cert, pool := exampleCertificate()
	greet := func(conn net.Conn) { tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}}).Handshake() }
	canceled, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("Forbidden"))
	pinned := errors.New("another key")
	tests := []struct {
		name  string
		ctx   context.Context
		serve func(net.Conn)
		cfg   *tls.Config
		proxy func(*http.Request) (*url.URL, error)
	}{
		{name: "cut in the tunnel", serve: tunnel(func(net.Conn) {})},
		{name: "no TLS in the tunnel", serve: tunnel(func(conn net.Conn) { io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n") })},
		{name: "no HTTP in the tunnel", serve: tunnel(greet), cfg: &tls.Config{RootCAs: pool, ServerName: "example.com"}},
		{name: "another name", serve: tunnel(greet), cfg: &tls.Config{RootCAs: pool}},
		{name: "the user's check", serve: tunnel(greet), cfg: &tls.Config{RootCAs: pool, ServerName: "example.com",
			VerifyConnection: func(tls.ConnectionState) error { return pinned }}},
		{name: "the user's other check", serve: tunnel(greet), cfg: &tls.Config{RootCAs: pool, ServerName: "example.com",
			VerifyPeerCertificate: func([][]byte, [][]*x509.Certificate) error { return pinned }}},
		{name: "cut before the tunnel", serve: func(net.Conn) {}},
		{name: "canceled", ctx: canceled, serve: answering("HTTP/1.1 403 Forbidden\r\n\r\n")},
		{name: "no proxy for it", proxy: func(*http.Request) (*url.URL, error) { return nil, nil }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			proxy := test.proxy
			if proxy == nil {
				proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: scriptedProxy(t, test.serve)})
			}
			for name, tr := range proxiedTransports(proxy) {
				refuse := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("Forbidden") }
				switch tr := tr.(type) {
				case *http.Transport:
					tr.TLSClientConfig = test.cfg
					if test.proxy != nil {
						tr.DialContext = refuse
					}
				case *Transport:
					tr.Get.TLSClientConfig = test.cfg
					if test.proxy != nil {
						tr.Get.DialContext = refuse
					}
				}
				ctx := test.ctx
				if ctx == nil {
					ctx = t.Context()
				}
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://gitlab.invalid/", nil)
				if err != nil {
					t.Fatal(err)
				}
				_, err = tr.RoundTrip(req)
				if e := AsProxyError(tr, req, err); err == nil || e != nil {
					t.Errorf("%s: %v is %v", name, err, e)
				}
			}
		})
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://gitlab.invalid/", nil)
	proxied := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.invalid"})}
	for _, e := range []*ProxyError{
		AsProxyError(proxied, req, nil),
		AsProxyError(&http.Transport{}, req, errors.New("Forbidden")),
		AsProxyError(http.NewFileTransport(nil), req, errors.New("Forbidden")),
		AsProxyError(proxied, httptest.NewRequest(http.MethodGet, "http://gitlab.invalid/", nil), errors.New("Forbidden")),
		AsProxyError(proxied, req, fmt.Errorf("dial: %w", errors.New("Forbidden"))),
	} {
		if e != nil {
			t.Errorf("got %v", e)
		}
	}
}

// Where a request was redirected to decides which proxy refused it.
func TestProxyAfterRedirect(t *testing.T) {
	proxy := &http.Transport{Proxy: func(req *http.Request) (*url.URL, error) {
		return &url.URL{Scheme: "http", Host: "proxy-for-" + req.URL.Hostname() + ":3128"}, nil
	}}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://gitlab.invalid/", nil)
	e := AsProxyError(proxy, req, &url.Error{Op: "Get", URL: "https://store.invalid/a?b=c", Err: errors.New("Forbidden")})
	if e == nil || e.Proxy != "proxy-for-store.invalid:3128" {
		t.Errorf("got %v", e)
	}
	if req.URL.Hostname() != "gitlab.invalid" {
		t.Errorf("the request is for %s", req.URL)
	}
}
