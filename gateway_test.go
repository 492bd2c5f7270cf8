package porter_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// A gateway without a backend refuses an upload after its first bytes. Without
// the closing boundary no project can exist, so the archive is sent again.
func TestGatewayRefusesEarly(t *testing.T) {
	t.Parallel()
	for _, status := range []int{408, 502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 527, 530} {
		for _, size := range []int64{1 << 20, -1} {
			t.Run(fmt.Sprint(status, " of size ", size), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := portertest.NewServer(portertest.InMemory())
					defer s.Close()
					s.AddGroup("acme")
					s.Inject(portertest.Fault{Method: "POST", Times: 2,
						Do: portertest.RespondEarly(status, nil, "<html><h1>no backend</h1></html>")})
					src := portertest.NewArchive(1 << 20)
					c := connect(t, s)
					imp, err := c.Import(t.Context(), porter.ReaderSource(bytes.NewReader(archiveBytes(t, src)), size),
						porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("acme")})
					if err != nil || !imp.Complete() {
						t.Fatalf("got %+v, %v", imp, err)
					}
					if p := s.Project("acme/app"); p == nil || p.ArchiveSHA256 != src.SHA256() {
						t.Errorf("imported %+v", p)
					}
				})
			})
		}
	}
}

// A maintenance page is there for twenty seconds, and reads on politely after
// it has answered. What counts is how much had come when the answer came.
func TestMaintenancePage(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(*testing.T, *porter.Client) error{
		"import": func(t *testing.T, c *porter.Client) error {
			_, err := c.Import(t.Context(), porter.ReaderSource(bytes.NewReader(archiveBytes(t, portertest.NewArchive(1<<20))), 1<<20),
				porter.ImportOptions{Path: "copy", Namespace: porter.NamespacePath("acme")})
			return err
		},
		"export": func(t *testing.T, c *porter.Client) error {
			_, err := c.ExportTo(t.Context(), porter.ProjectPath("acme/app"), io.Discard, nil)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, s *portertest.Server, c *porter.Client) {
				s.AddProject(portertest.Project{Path: "acme/app"})
				start := time.Now()
				page := portertest.RespondEarly(503, http.Header{"Retry-After": {"3"}}, "<html><title>Deploy in progress</title></html>")
				s.Inject(portertest.Fault{Times: -1, Do: page,
					Match: func(*http.Request) bool { return time.Since(start) < 20*time.Second }})
				if err := call(t, c); err != nil {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
			})
		})
	}
}

// rawGateway serves each connection by hand: the header of its request was
// read, and n counts the requests. It returns a client of it.
func rawGateway(t *testing.T, serve func(n int32, conn net.Conn, body io.Reader)) (c *porter.Client, requests *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	requests = new(atomic.Int32)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					serve(requests.Add(1), conn, r.Body)
				}
			}()
		}
	}()
	c = newClient(t, "http://"+l.Addr().String(), nil, porter.WithoutPacing(), porter.WithRetry(3, porter.ConstantBackoff(0)))
	return c, requests
}

// largeSource is more than the buffers on the way to a server hold.
func largeSource() porter.Source {
	data := strings.NewReader("\x1f\x8b\x08" + strings.Repeat("x", 16<<20))
	return porter.ReaderSource(data, data.Size())
}

// The answer came in the middle of the body, the body went on and was whole
// when the answer was taken: it is still not the answer to a whole upload.
func TestAnswerBeforeTheEnd(t *testing.T) {
	t.Parallel()
	c, requests := rawGateway(t, func(n int32, conn net.Conn, body io.Reader) {
		io.ReadFull(body, make([]byte, 100))
		if n == 1 {
			io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 503 Service Unavailable\r\nContent-Length: 10\r\nConnection: "+
				"close\r\n\r\n")
			io.Copy(io.Discard, body) // politely
			io.WriteString(conn, "come later")
			return
		}
		io.Copy(io.Discard, body)
		io.WriteString(conn, "HTTP/1.1 201 Created\r\nContent-Length: 36\r\nConnection: close\r\n\r\n"+`{"id":9,"import_status":"scheduled"}`)
	})
	if _, err := c.StartImport(t.Context(), largeSource(), porter.ImportOptions{Path: "app"}); err != nil {
		t.Errorf("after %d requests: %v", requests.Load(), err)
	}
}

// An answer that came after the whole body leaves the outcome open, also if
// hints came before its end.
func TestGatewayRefusesLate(t *testing.T) {
	t.Parallel()
	c, requests := rawGateway(t, func(_ int32, conn net.Conn, body io.Reader) {
		io.ReadFull(body, make([]byte, 100))
		io.WriteString(conn, "HTTP/1.1 102 Processing\r\n\r\n")
		io.Copy(io.Discard, body)
		io.WriteString(conn, "HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	})
	_, err := c.StartImport(t.Context(), largeSource(), porter.ImportOptions{Path: "app"})
	if !errors.Is(err, porter.ErrOutcomeUnknown) || requests.Load() != 1 {
		t.Errorf("after %d requests: %v", requests.Load(), err)
	}
}
