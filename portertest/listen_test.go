package portertest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func listener(t *testing.T, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Skip("cannot listen:", err)
	}
	return l
}

// port returns the port of a listener.
func port(l net.Listener) string {
	_, p, _ := net.SplitHostPort(l.Addr().String())
	return p
}

func TestListeners(t *testing.T) {
	for _, tt := range []struct {
		name, addr, external, host string
	}{
		{"loopback", "127.0.0.1:0", "", "127.0.0.1"},
		{"IPv6", "[::1]:0", "", "[::1]"},
		{"everywhere", ":0", "", "localhost"},
		{"everywhere by IPv4", "0.0.0.0:0", "", "localhost"},
		{"everywhere under a name", ":0", "https://gitlab.invalid/gitlab", "gitlab.invalid"},
		{"loopback under a name", "127.0.0.1:0", "https://gitlab.invalid", "127.0.0.1"},
	} {
		for _, scheme := range []string{"http", "https"} {
			t.Run(tt.name+" "+scheme, func(t *testing.T) {
				front, back := listener(t, tt.addr), listener(t, tt.addr)
				opts := []Option{Listeners(front, back), Downloads(Redirected), ExternalURL(tt.external), RelativeRoot("/gitlab")}
				if scheme == "https" {
					opts = append(opts, TLS())
				}
				s := NewServer(opts...)
				defer s.Close()
				if want := scheme + "://" + tt.host + ":" + port(front) + "/gitlab"; s.URL != want {
					t.Errorf("URL is %s, want %s", s.URL, want)
				}
				if want := scheme + "://" + tt.host + ":" + port(back); s.StorageURL != want {
					t.Errorf("StorageURL is %s, want %s", s.StorageURL, want)
				}
				moved(t, s)
			})
		}
	}
}

// moved makes an export, downloads it from the object storage, and has GitLab
// import it from there.
func moved(t *testing.T, s *Server) {
	t.Helper()
	archive := NewArchive(MinArchiveSize)
	s.AddProject(Project{Path: "group/app", Archive: archive})
	s.AddExport("group/app", "owner")
	a := do(t, s, request{method: "GET", path: "projects/group%2Fapp/export/download", header: asOwner})
	if to := a.header.Get("Location"); a.status != 302 || !strings.HasPrefix(to, s.StorageURL+"/") {
		t.Fatalf("download: %d to %s", a.status, to)
	}
	a = do(t, s, request{method: "GET", path: a.header.Get("Location")})
	if a.status != 200 || int64(len(a.body)) != archive.Size() {
		t.Fatalf("storage: %d with %d bytes", a.status, len(a.body))
	}
	from := s.AddObject("/backups/app.tar.gz", "application/gzip", archive)
	if !strings.HasPrefix(from, "https:") {
		return // GitLab imports from nowhere else
	}
	a = post(t, s, "projects/remote-import", jsonType, `{"path":"new","url":"`+from+`"}`)
	s.Advance(time.Minute)
	if p := s.Project("owner/new"); a.status != 201 || p == nil || p.ArchiveSHA256 != archive.SHA256() {
		t.Errorf("import from the storage: %d %s, %+v", a.status, a.body, p)
	}
}

func TestListenersClosed(t *testing.T) {
	l := listener(t, "127.0.0.1:0")
	s := NewServer(Listeners(l, nil))
	if host, _, _ := net.SplitHostPort(strings.TrimPrefix(s.StorageURL, "http://")); host != "127.0.0.1" {
		t.Errorf("without a listener the storage is at %s", s.StorageURL)
	}
	s.Close()
	if c, err := l.Accept(); err == nil {
		c.Close()
		t.Error("the listener is still open")
	}
}

// The certificate makes any client trust the server, as a private CA's does.
func TestCertificate(t *testing.T) {
	for name, opt := range map[string]Option{"TLS": TLS(), "HTTP2": HTTP2()} {
		t.Run(name, func(t *testing.T) {
			s := NewServer(opt, Listeners(listener(t, ":0"), nil))
			defer s.Close()
			file := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
			if !bytes.HasPrefix(file, []byte("-----BEGIN CERTIFICATE-----")) {
				t.Errorf("got %s", file)
			}
			pool := x509.NewCertPool()
			if !pool.AppendCertsFromPEM(file) {
				t.Fatal("the pool does not take it")
			}
			hc := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
			defer hc.CloseIdleConnections()
			u, err := url.Parse(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			for _, root := range []string{s.URL, s.StorageURL, "https://127.0.0.1:" + u.Port()} {
				resp, err := hc.Get(root)
				if err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			if _, err := http.Get(s.URL); err == nil {
				t.Error("trusted by everyone")
			}
		})
	}
	s := NewServer()
	defer s.Close()
	if s.Certificate() != nil {
		t.Error("a certificate without TLS")
	}
}
