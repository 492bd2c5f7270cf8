package porter

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter/portertest"
)

// A bareServer is the least of a GitLab that a transfer needs: it sends
// size bytes, at no more than rate a second, and throws away what it gets.
type bareServer struct {
	size  int64
	rate  int64         // 0 is no limit
	looks *atomic.Int64 // if set, every other look finds an export under way
}

const benchAnswer = `{"id":4711,"description":null,"name":"Widget","name_with_namespace":"Acme / Tools / Widget","path":"widget",` +
	`"path_with_namespace":"acme/tools/widget","created_at":"2023-02-14T08:15:30.123Z",` +
	`"export_status":"finished","_links":{"api_url":"https://git.example.test/api/v4/projects/4711/export/download",` +
	`"web_url":"https://git.example.test/acme/tools/widget/download_export"},` +
	`"import_status":"finished","import_type":"gitlab_project","correlation_id":"01HX2Z8Q4W6K0M","failed_relations":[],"import_error":null,` +
	`"stats":null}`

// benchPiece starts like an archive, which is all that a download looks at.
var benchPiece = sync.OnceValue(func() []byte {
	b := make([]byte, 1<<20)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(b)
	b[0], b[1] = gzipMagic[0], gzipMagic[1]
	return b
})

func (s bareServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/export/download"):
		w.Header().Set("Content-Length", strconv.FormatInt(s.size, 10))
		w.Header().Set("ETag", `"v1"`) // so that a file can be continued
		io.Copy(w, s.limit(benchSource(s.size)))
	case r.Method == http.MethodPost:
		io.CopyBuffer(struct{ io.Writer }{io.Discard}, s.limit(r.Body), make([]byte, 128<<10))
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, benchAnswer)
	case s.looks != nil && s.looks.Add(1)%2 == 1:
		io.WriteString(w, exportAnswer(ExportStarted))
	default:
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, benchAnswer)
	}
}

func (s bareServer) limit(r io.Reader) io.Reader {
	if s.rate == 0 {
		return r
	}
	return &limitedReader{r: r, rate: s.rate, start: time.Now()}
}

// A limitedReader returns no more than rate bytes a second.
type limitedReader struct {
	r       io.Reader
	rate, n int64
	start   time.Time
}

func (l *limitedReader) Read(b []byte) (int, error) {
	n, err := l.r.Read(b[:min(len(b), 64<<10)])
	l.n += int64(n)
	time.Sleep(time.Until(l.start.Add(time.Duration(float64(l.n) / float64(l.rate) * float64(time.Second)))))
	return n, err
}

// A repeated is benchPiece over and over, which costs nothing to make.
type repeated struct{}

// unverified is for what is no archive.
var unverified = &DownloadOptions{SkipVerify: true}

func benchSource(size int64) *io.SectionReader {
	return io.NewSectionReader(repeated{}, 0, size)
}

func (repeated) ReadAt(b []byte, off int64) (int, error) {
	piece := benchPiece()
	n := 0
	for n < len(b) {
		n += copy(b[n:], piece[(off+int64(n))%int64(len(piece)):])
	}
	return n, nil
}

// benchConnect returns a client of s with the transports that it has by
// default, except for whom they trust.
func benchConnect(tb testing.TB, s *httptest.Server, opts ...Option) *Client {
	tb.Helper()
	c, err := NewClient(s.URL, PrivateToken("token"), append([]Option{WithoutPacing(), WithTransport(NewTransport(trusting(s)))}, opts...)...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.bare.CloseIdleConnections)
	return c
}

// trusting trusts the certificate of s, if it has one.
func trusting(s *httptest.Server) *tls.Config {
	pool := x509.NewCertPool()
	if s.Certificate() != nil {
		pool.AddCert(s.Certificate())
	}
	return &tls.Config{RootCAs: pool}
}

// benchServe serves h over scheme, http or https; the latter offers HTTP/2.
func benchServe(tb testing.TB, scheme string, h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	if scheme == "https" {
		s.EnableHTTP2 = true
		s.StartTLS()
	} else {
		s.Start()
	}
	tb.Cleanup(s.Close)
	return s
}

// forSizes runs a benchmark of transfers over both schemes, at several sizes.
func forSizes(b *testing.B, fn func(b *testing.B, c *Client, size int64)) {
	for _, scheme := range []string{"http", "https"} {
		for _, mib := range []int64{16, 256, 1024} {
			b.Run(fmt.Sprintf("%s/%dMiB", scheme, mib), func(b *testing.B) {
				if testing.Short() && mib > 16 {
					b.Skip("large")
				}
				size := mib << 20
				c := benchConnect(b, benchServe(b, scheme, bareServer{size: size}))
				b.SetBytes(size)
				b.ReportAllocs()
				fn(b, c, size)
			})
		}
	}
}

func BenchmarkDownload(b *testing.B) {
	forSizes(b, func(b *testing.B, c *Client, size int64) {
		for b.Loop() {
			if dl, err := c.DownloadExport(b.Context(), ProjectID(1), io.Discard, unverified); err != nil || dl.Bytes != size {
				b.Fatal(dl, err)
			}
		}
	})
}

func BenchmarkDownloadFile(b *testing.B) {
	forSizes(b, func(b *testing.B, c *Client, size int64) {
		name := filepath.Join(b.TempDir(), "app.tar.gz")
		for b.Loop() {
			if dl, err := c.DownloadExportFile(b.Context(), ProjectID(1), name, unverified); err != nil || dl.Bytes != size {
				b.Fatal(dl, err)
			}
		}
	})
}

// BenchmarkDownloadRedirected compares one connection with several on the
// loopback, where more can only cost, and where each brings 25 MiB a second.
func BenchmarkDownloadRedirected(b *testing.B) {
	const size = 256 << 20
	for _, scheme := range []string{"http", "https"} {
		for _, rate := range []int64{0, 25 << 20} {
			store := benchServe(b, scheme, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("ETag", `"v1"`)
				content := benchSource(size)
				http.ServeContent(w, r, "", time.Time{}, struct {
					io.Reader
					io.Seeker
				}{bareServer{rate: rate}.limit(content), content})
			}))
			gitlab := benchServe(b, "http", http.RedirectHandler(store.URL+"/key?X-Amz-Signature=0123456789", http.StatusFound))
			c, err := NewClient(gitlab.URL, PrivateToken("token"), WithoutPacing(), WithTransport(NewTransport(trusting(store))))
			if err != nil {
				b.Fatal(err)
			}
			name := filepath.Join(b.TempDir(), "app.tar.gz")
			for _, conns := range []int{1, 4} {
				b.Run(fmt.Sprintf("%s/%dMiBps/%d", scheme, rate>>20, conns), func(b *testing.B) {
					b.SetBytes(size)
					b.ReportAllocs()
					opts := DownloadOptions{SkipVerify: true, Connections: conns}
					for b.Loop() {
						if dl, err := c.DownloadExportFile(b.Context(), ProjectID(1), name, &opts); err != nil || dl.Bytes != size {
							b.Fatal(dl, err)
						}
					}
				})
			}
		}
	}
}

// BenchmarkDownloadVerified says what verifying adds to a download, which should
// be no slower than one core inflates the archive.
func BenchmarkDownloadVerified(b *testing.B) {
	text := gzipOf(b, tarOf(b, append(exportHeaders(), tar.Header{Name: "tree/project/issues.ndjson", Linkname: ndjson(64 << 20)})...))
	noise := portertest.NewArchive(256 << 20)
	for name, archive := range map[string]*io.SectionReader{
		"text":  io.NewSectionReader(bytes.NewReader(text), 0, int64(len(text))),
		"noise": noise.NewReader(),
	} {
		c := benchConnect(b, benchServe(b, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.FormatInt(archive.Size(), 10))
			w.Header().Set("ETag", `"v1"`)
			io.Copy(w, io.NewSectionReader(archive, 0, archive.Size()))
		})))
		file := filepath.Join(b.TempDir(), "app.tar.gz")
		run := func(what string, f func() error) {
			b.Run(name+"/"+what, func(b *testing.B) {
				b.SetBytes(archive.Size())
				b.ReportAllocs()
				for b.Loop() {
					if err := f(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("inflate", func() error {
			z, err := gzip.NewReader(bufio.NewReaderSize(io.NewSectionReader(archive, 0, archive.Size()), 64<<10))
			if err == nil {
				_, err = io.Copy(io.Discard, z)
			}
			return err
		})
		for way, opts := range map[string]*DownloadOptions{"verified": nil, "unverified": unverified} {
			run("writer/"+way, func() error { _, err := c.DownloadExport(b.Context(), ProjectID(1), io.Discard, opts); return err })
			run("file/"+way, func() error { _, err := c.DownloadExportFile(b.Context(), ProjectID(1), file, opts); return err })
		}
	}
}

func BenchmarkUpload(b *testing.B) {
	forSizes(b, func(b *testing.B, c *Client, size int64) {
		src := ReaderSource(benchSource(size), size)
		for b.Loop() {
			if _, err := c.StartImport(b.Context(), src, ImportOptions{Path: "app"}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkMigrate moves an archive over two links of 100 MiB a second. The
// best it can be is 1.00 times what one of them takes.
func BenchmarkMigrate(b *testing.B) {
	const size, rate = 64 << 20, 100 << 20
	archive := portertest.NewArchive(size)
	for name, opts := range map[string]MigrateOptions{
		"spooled":    {},
		"direct":     {NoSpool: true},
		"unverified": {SkipVerify: true},
	} {
		b.Run(name, func(b *testing.B) {
			s := bareServer{rate: rate, looks: new(atomic.Int64)}
			from := benchConnect(b, benchServe(b, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !strings.HasSuffix(r.URL.Path, "/export/download") {
					s.ServeHTTP(w, r)
					return
				}
				w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
				io.Copy(w, s.limit(archive.NewReader()))
			})), WithPolling(Polling{Backoff: ConstantBackoff(time.Millisecond)}))
			to := benchConnect(b, benchServe(b, "http", bareServer{rate: rate}))
			opts.Import = ImportOptions{Path: "app", Namespace: NamespaceID(7)}
			opts.SpoolDir = b.TempDir()
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if m, err := Migrate(b.Context(), from, ProjectID(4711), to, opts); err != nil || m.Bytes != size {
					b.Fatal(m, err)
				}
			}
			link := float64(size) / rate
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/link, "links")
		})
	}
}

func BenchmarkGetExport(b *testing.B) {
	s := benchServe(b, "http", bareServer{})
	b.Run("porter", func(b *testing.B) {
		c := benchConnect(b, s)
		b.ReportAllocs()
		for b.Loop() {
			if e, err := c.GetExport(b.Context(), ProjectID(4711)); err != nil || e.Status != ExportFinished {
				b.Fatal(e, err)
			}
		}
	})
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var e Export
			if err := bareGet(b.Context(), s.URL+"/api/v4/projects/4711/export", &e); err != nil || e.Status != ExportFinished {
				b.Fatal(e, err)
			}
		}
	})
}

func BenchmarkGetImport(b *testing.B) {
	s := benchServe(b, "http", bareServer{})
	b.Run("porter", func(b *testing.B) {
		c := benchConnect(b, s)
		b.ReportAllocs()
		for b.Loop() {
			if i, err := c.GetImport(b.Context(), ProjectID(4711)); err != nil || i.Status != ImportFinished {
				b.Fatal(i, err)
			}
		}
	})
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var i Import
			if err := bareGet(b.Context(), s.URL+"/api/v4/projects/4711/import", &i); err != nil || i.Status != ImportFinished {
				b.Fatal(i, err)
			}
		}
	})
}

// bareGet is what one writes without a client.
func bareGet(ctx context.Context, url string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("PRIVATE-TOKEN", "token")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(v)
}

// A roundTripper answers without a network.
type roundTripper func(*http.Request) string

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK,
		ProtoMajor: 1, ProtoMinor: 1,
		Header:  http.Header{"Content-Type": {"application/json"}},
		Body:    io.NopCloser(strings.NewReader(f(req))),
		Request: req,
	}, nil
}

func exportAnswer(status ExportStatus) string {
	return strings.Replace(benchAnswer, `"export_status":"finished"`, fmt.Sprintf(`"export_status":%q`, status), 1)
}

// BenchmarkWait measures what the library itself spends on a wait of 64 polls.
func BenchmarkWait(b *testing.B) {
	const polls = 64
	n := 0
	c, err := NewClient("http://gitlab.test", nil, WithPolling(Polling{Backoff: ConstantBackoff(0)}), WithPacing(Pacing{Polls: 1 << 30}),
		WithTransport(roundTripper(func(*http.Request) string {
			if n++; n%polls == 0 {
				return exportAnswer(ExportFinished)
			}
			return exportAnswer(ExportStarted)
		})))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.WaitForExport(b.Context(), ProjectID(4711)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/float64(b.N), "polls/op")
}

// A wait for an export of half an hour must not spend GitLab's budget of
// requests, nor be late to see the end.
func TestLongWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const long = 30 * time.Minute
		start, polls := time.Now(), 0
		c, err := NewClient("http://gitlab.test", nil, WithTransport(roundTripper(func(*http.Request) string {
			polls++
			if time.Since(start) >= long {
				return exportAnswer(ExportFinished)
			}
			return exportAnswer(ExportStarted)
		})))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.WaitForExport(t.Context(), ProjectID(4711)); err != nil {
			t.Fatal(err)
		}
		if polls > 70 {
			t.Errorf("%d polls, want at most 70", polls)
		}
		if late := time.Since(start) - long; late > 30*time.Second {
			t.Errorf("noticed %v after the end, want at most 30s", late)
		}
	})
}

// What a transfer allocates must not depend on the archive's size. The bound
// leaves room for the race detector, which empties the pools of net/http.
func TestTransferAllocations(t *testing.T) {
	const small, large = 4 << 20, 32 << 20
	for _, scheme := range []string{"http", "https"} {
		for name, transfer := range map[string]func(t *testing.T, c *Client, size int64) error{
			"download": func(t *testing.T, c *Client, size int64) error {
				_, err := c.DownloadExport(t.Context(), ProjectID(1), io.Discard, unverified)
				return err
			},
			"upload": func(t *testing.T, c *Client, size int64) error {
				_, err := c.StartImport(t.Context(), ReaderSource(benchSource(size), size), ImportOptions{Path: "app"})
				return err
			},
		} {
			t.Run(scheme+" "+name, func(t *testing.T) {
				allocated := func(size int64) int64 {
					c := benchConnect(t, benchServe(t, scheme, bareServer{size: size}))
					var before, after runtime.MemStats
					runtime.ReadMemStats(&before)
					if err := transfer(t, c, size); err != nil {
						t.Fatal(err)
					}
					runtime.ReadMemStats(&after)
					return int64(after.TotalAlloc - before.TotalAlloc)
				}
				benchPiece()
				few, many := allocated(small), allocated(large)
				if many-few > (large-small)/4 {
					t.Errorf("%d bytes for %d MiB, %d for %d MiB", few, small>>20, many, large>>20)
				}
			})
		}
	}
}
