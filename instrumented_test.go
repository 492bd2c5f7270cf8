package porter

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter/internal/netio"
	"github.com/seed-5d77b939/porter/portertest"
)

// An instrumented transport counts what passes through another one. Like those
// that trace, it sends a copy of the request, in a context of its own, and has
// bodies of its own.
type instrumented struct {
	next           http.RoundTripper
	sent, received atomic.Int64
}

type spanKey struct{}

func (i *instrumented) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(context.WithValue(req.Context(), spanKey{}, "span"))
	if req.Body != nil {
		req.Body = countedBody{req.Body, &i.sent}
	}
	resp, err := i.next.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("span failed: %w", err)
	}
	resp.Body = countedBody{resp.Body, &i.received}
	return resp, nil
}

type countedBody struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c countedBody) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// With a CA and a certificate of its own, also inside another transport, an
// archive passes over HTTP/1.1, although HTTP/2 is offered and even asked for.
func TestNewTransport(t *testing.T) {
	archive := append([]byte("\x1f\x8b\x08"), make([]byte, 1<<20+12345)...)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Proto != "HTTP/1.1" || len(r.TLS.PeerCertificates) != 1 {
			t.Errorf("%s over %s, with %d certificates", r.Method, r.Proto, len(r.TLS.PeerCertificates))
		}
		if r.Method == http.MethodGet {
			w.Write(archive)
			return
		}
		f, _, err := r.FormFile("file")
		if err != nil {
			t.Error(err)
			return
		}
		if b, err := io.ReadAll(f); err != nil || sha256.Sum256(b) != sha256.Sum256(archive) {
			t.Errorf("other bytes arrived: %v", err)
		}
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, benchAnswer)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // says that one is not trusted
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	defer server.Close()
	cfg := trusting(server)
	cfg.Certificates = server.TLS.Certificates
	cfg.NextProtos = []string{"h2", "http/1.1"}
	for name, rt := range map[string]http.RoundTripper{"own": NewTransport(cfg), "wrapped": &instrumented{next: NewTransport(cfg)}} {
		c, err := NewClient(server.URL, PrivateToken("token"), WithTransport(rt), WithoutPacing(), WithRetry(0, nil))
		if err != nil {
			t.Fatal(err)
		}
		src := ReaderSource(bytes.NewReader(archive), int64(len(archive)))
		if _, err := c.StartImport(t.Context(), src, ImportOptions{Path: "app"}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got bytes.Buffer
		if _, err := c.DownloadExport(t.Context(), ProjectID(1), &got, unverified); err != nil || !bytes.Equal(got.Bytes(), archive) {
			t.Errorf("%s: downloaded %d bytes: %v", name, got.Len(), err)
		}
		if i, ok := rt.(*instrumented); ok && (i.sent.Load() < int64(len(archive)) || i.received.Load() < int64(len(archive))) {
			t.Errorf("only %d and %d bytes passed", i.sent.Load(), i.received.Load())
		}
	}
	if len(cfg.NextProtos) != 2 {
		t.Error("the caller's settings were changed")
	}
	if c, err := NewClient(server.URL, nil, WithTransport(NewTransport(nil)), WithRetry(5, ConstantBackoff(time.Hour))); err != nil {
		t.Fatal(err)
	} else if _, err := c.GetExport(t.Context(), ProjectID(1)); !errors.As(err, new(*tls.CertificateVerificationError)) {
		t.Errorf("without its CA the server is trusted: %v", err)
	}
}

// An upload goes in pieces that are larger than those of net/http.
func TestWrappedUploadJoinsRecords(t *testing.T) {
	const size = 8 << 20
	server := benchServe(t, "https", bareServer{})
	own := NewTransport(trusting(server)).(*netio.Transport)
	defer own.CloseIdleConnections()
	c := benchConnect(t, server, WithTransport(own))
	writes, written := countWrites(c)
	c, err := c.With(WithTransport(&instrumented{next: own}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.StartImport(t.Context(), ReaderSource(benchSource(size), size), ImportOptions{Path: "app"}); err != nil {
		t.Fatal(err)
	}
	const record = 16 << 10
	if n := writes.Load(); written.Load() < size || n > size/record/2 {
		t.Errorf("%d writes for %d of %d bytes", n, written.Load(), size)
	}
}

// What stalls is given up, in the answer's body too.
func TestWrappedStalls(t *testing.T) {
	for name, do := range map[string]portertest.Action{"answer": portertest.HoldAnswer(0), "body": portertest.StallResponse(10, 0)} {
		synctest.Test(t, func(t *testing.T) {
			s := portertest.NewServer(portertest.InMemory())
			defer s.Close()
			s.Inject(portertest.Fault{Times: -1, Do: do})
			own := netio.NewTransport(nil)
			own.Get.DialContext = s.Transport().DialContext
			id := s.AddProject(portertest.Project{Path: "team/app"})
			c, err := NewClient(s.URL, PrivateToken(portertest.Token), WithTransport(&instrumented{next: own}), WithRetry(0, nil),
				WithStallTimeout(time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			if _, err := c.GetExport(t.Context(), ProjectID(id)); !errors.Is(err, ErrStalled) || time.Since(begun) != time.Minute {
				t.Errorf("%s: %v after %v", name, err, time.Since(begun))
			}
			own.CloseIdleConnections()
		})
	}
}

// A proxy that cannot be reached, or refuses, is named.
func TestWrappedProxy(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusProxyAuthRequired)
	}))
	defer refusing.Close()
	for proxy, want := range map[string]string{
		closed.Addr().String():                      "connect through proxy " + closed.Addr().String() + ": ",
		strings.TrimPrefix(refusing.URL, "http://"): "refused the connection: 407 Proxy Authentication Required",
	} {
		own := netio.NewTransport(nil)
		own.Get.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: proxy, User: url.UserPassword("user", "SECRET")})
		c, err := NewClient("https://gitlab.invalid", nil, WithTransport(&instrumented{next: own}), WithRetry(0, nil))
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.GetExport(t.Context(), ProjectID(1))
		if !errors.Is(err, ErrNoAnswer) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
}
