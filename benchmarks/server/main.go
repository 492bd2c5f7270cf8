// Command server is the least of a GitLab that a transfer needs, so that the
// clients that are measured are what is slow: it sends one archive from a file
// and throws away what is uploaded. It may have an object store, too, which
// downloads are redirected to.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("server: ")
	archive := flag.String("archive", "", "file to serve")
	dir := flag.String("dir", ".", "folder of ca.pem, which the certificate is added to")
	rate := flag.Int64("rate", 0, "bytes per second of each direction; 0 is no limit")
	store := flag.Bool("store", false, "redirect downloads to a store")
	connRate := flag.Int64("conn-rate", 0, "bytes per second that the store sends over each connection; 0 is no limit")
	host := flag.String("host", "127.0.0.1", "address to listen at")
	flag.Parse()

	s := server{archive: *archive, rate: *rate, store: *store, connRate: *connRate, ip: net.ParseIP(*host)}
	urls, err := s.serve(*dir)
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(urls); err != nil {
		log.Fatal(err)
	}
	io.Copy(io.Discard, os.Stdin) // until whoever started it ends
}

type server struct {
	archive        string
	rate, connRate int64
	store          bool
	ip             net.IP
}

// serve listens in clear, over TLS, and over TLS with HTTP/2 offered.
func (s *server) serve(dir string) (map[string]string, error) {
	cert, err := certificate(s.ip, filepath.Join(dir, "ca.pem"))
	if err != nil {
		return nil, err
	}
	urls := make(map[string]string)
	for _, kind := range []string{"http", "https", "https+h2"} {
		store := ""
		if s.store {
			if store, err = s.listen(kind, cert, s.storeHandler()); err != nil {
				return nil, err
			}
		}
		if urls[kind], err = s.listen(kind, cert, s.handler(store)); err != nil {
			return nil, err
		}
	}
	return urls, nil
}

// listen serves h in one of these ways, and returns its URL.
func (s *server) listen(kind string, cert tls.Certificate, h http.Handler) (string, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(s.ip.String(), "0"))
	if err != nil {
		return "", err
	}
	hs := &http.Server{Handler: h, Protocols: new(http.Protocols), ConnContext: s.withLink}
	hs.Protocols.SetHTTP1(true)
	hs.Protocols.SetHTTP2(kind == "https+h2")
	if kind == "http" {
		go hs.Serve(l)
	} else {
		hs.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
		go hs.ServeTLS(l, "", "")
	}
	scheme, _, _ := strings.Cut(kind, "+")
	return scheme + "://" + l.Addr().String(), nil
}

// certificate makes a certificate for ip and adds it to file, which may have
// those of other servers.
func certificate(ip net.IP, file string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: fmt.Sprint("benchmark ", os.Getpid())},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IPAddresses:           []net.IP{ip},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return tls.Certificate{}, err
	}
	err = pem.Encode(f, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err = errors.Join(err, f.Close()); err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// handler is the API. Downloads are redirected to the URL of the store, if there
// is one.
func (s *server) handler(store string) http.Handler {
	down, up := newLink(s.rate), newLink(s.rate)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v4/projects/{id}/export/download", func(w http.ResponseWriter, r *http.Request) {
		if store != "" {
			http.Redirect(w, r, store+"/archive.tar.gz?X-Amz-Expires=600&X-Amz-Signature=5167", http.StatusFound)
			return
		}
		f, fi, ok := s.open(w)
		if !ok {
			return
		}
		defer f.Close()
		w.Header().Set("Content-Type", "application/octet-stream")
		if s.rate == 0 {
			http.ServeContent(w, r, "", fi.ModTime(), f) // by sendfile, as GitLab's front server does
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(fi.Size()))
		w.Header().Set("Last-Modified", fi.ModTime().UTC().Format(http.TimeFormat))
		io.CopyBuffer(w, struct{ io.Reader }{down.reader(r.Context(), f)}, make([]byte, 64<<10))
	})
	mux.HandleFunc("POST /api/v4/projects/import", func(w http.ResponseWriter, r *http.Request) {
		buf := buffers.Get().(*[1 << 20]byte)
		defer buffers.Put(buf)
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, up.reader(r.Context(), r.Body), buf[:]); err != nil {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, project(2, "scheduled"))
	})
	var looks atomic.Int64 // every other one finds an export under way, which can be joined
	mux.HandleFunc("GET /api/v4/projects/{id}/export", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if looks.Add(1)%2 == 1 {
			io.WriteString(w, project(1, "started"))
			return
		}
		io.WriteString(w, project(1, "finished"))
	})
	mux.HandleFunc("GET /api/v4/projects/{id}/import", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.PathValue("id") != "2" { // the destination is free
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"message":"404 Project Not Found"}`)
			return
		}
		io.WriteString(w, project(2, "finished"))
	})
	return mux
}

// storeHandler is the store: it sends ranges, and each connection is a link of
// its own, as those of a long distance are.
func (s *server) storeHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /archive.tar.gz", func(w http.ResponseWriter, r *http.Request) {
		f, fi, ok := s.open(w)
		if !ok {
			return
		}
		defer f.Close()
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("ETag", fmt.Sprintf(`"%x-%x"`, fi.ModTime().UnixNano(), fi.Size()))
		content := io.ReadSeeker(f)
		if s.connRate > 0 {
			link := r.Context().Value(linkKey{}).(*link)
			content = struct {
				io.Reader
				io.Seeker
			}{link.reader(r.Context(), f), f}
		}
		http.ServeContent(w, r, "", fi.ModTime(), content)
	})
	return mux
}

// open opens the archive, or answers that it cannot.
func (s *server) open(w http.ResponseWriter) (f *os.File, fi os.FileInfo, ok bool) {
	f, err := os.Open(s.archive)
	if err == nil {
		if fi, err = f.Stat(); err == nil {
			return f, fi, true
		}
		f.Close()
	}
	http.Error(w, err.Error(), http.StatusInternalServerError)
	return nil, nil, false
}

type linkKey struct{}

// withLink gives a new connection its link.
func (s *server) withLink(ctx context.Context, _ net.Conn) context.Context {
	l := newLink(s.connRate)
	l.free = time.Now() // a connection has nothing to make up for when it begins
	return context.WithValue(ctx, linkKey{}, l)
}

var buffers = sync.Pool{New: func() any { return new([1 << 20]byte) }}

func project(id int, status string) string {
	return fmt.Sprintf(`{"id":%d,"description":null,"name":"app","name_with_namespace":"bench / app","path":"app",`+
		`"path_with_namespace":"bench/app","created_at":"2024-05-01T09:41:00.500Z",`+
		`"export_status":%q,"import_status":%[2]q,"import_type":"gitlab_project","correlation_id":"01HX2Z8Q4W6K0M",`+
		`"failed_relations":[],"import_error":null,"stats":null}`, id, status)
}

// A link lets so many bytes through in a second, whoever asks for them.
type link struct {
	mu   sync.Mutex
	rate int64 // 0 is no limit
	free time.Time
}

func newLink(rate int64) *link { return &link{rate: rate} }

// burst is how much time a link can make up for. Sleeps last too long on a
// busy machine.
const burst = 50 * time.Millisecond

// take waits until n more bytes have passed.
func (l *link) take(ctx context.Context, n int) error {
	l.mu.Lock()
	now := time.Now()
	if earliest := now.Add(-burst); l.free.Before(earliest) {
		l.free = earliest
	}
	l.free = l.free.Add(time.Duration(int64(n) * int64(time.Second) / l.rate))
	wait := l.free.Sub(now)
	l.mu.Unlock()
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *link) reader(ctx context.Context, r io.Reader) io.Reader {
	if l.rate == 0 {
		return r
	}
	return &linkReader{l, ctx, r}
}

type linkReader struct {
	link *link
	ctx  context.Context
	r    io.Reader
}

func (r *linkReader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b[:min(len(b), 64<<10)])
	if n > 0 {
		if werr := r.link.take(r.ctx, n); werr != nil {
			return n, werr
		}
	}
	return n, err
}
