package porter_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// readSource reads src to its end.
func readSource(t *testing.T, src porter.Source) ([]byte, error) {
	t.Helper()
	rc, err := src.Open(t.Context())
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	return io.ReadAll(rc)
}

// A client's URL source goes by the client's options, and by those of the
// client that it is derived from.
func TestClientURLSourceOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := portertest.NewServer(portertest.InMemory(), portertest.NoLimits())
		defer s.Close()
		u := s.AddObject("/backups/app.tar.gz", "application/gzip", smallArchive) + "?secret=5ec2e75ec2e7"
		var log bytes.Buffer
		var retries []time.Duration
		c, err := connect(t, s, porter.WithUserAgent("backup/1.0")).With(
			porter.WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
			porter.WithRetry(2, porter.ConstantBackoff(7*time.Second)),
			porter.WithStallTimeout(3*time.Second),
			porter.WithObserver(func(ev porter.Event) {
				if ev.Kind == porter.EventRetry {
					retries = append(retries, ev.Delay)
				}
			}))
		if err != nil {
			t.Fatal(err)
		}
		s.Inject(portertest.Fault{Origin: portertest.Storage, Times: 1, Do: portertest.CutResponse(1000)})
		if got, err := readSource(t, c.URLSource(u)); err != nil || sum(got) != smallArchive.SHA256() {
			t.Errorf("read %d bytes: %v", len(got), err)
		}
		if len(retries) != 1 || retries[0] != 7*time.Second {
			t.Errorf("observed retries after %v", retries)
		}
		if text := log.String(); !strings.Contains(text, "trying again") || strings.Contains(text, "5ec2e7") {
			t.Errorf("logged %s", text)
		}
		for _, r := range dlAsked(s, portertest.Storage) {
			if agent := r.Header.Get("User-Agent"); !strings.HasPrefix(agent, "backup/1.0 porter/") {
				t.Errorf("user agent %q", agent)
			}
		}

		retries = nil
		s.Inject(portertest.Fault{Origin: portertest.Storage, Times: -1, Do: portertest.HoldAnswer(0)})
		begun := time.Now()
		_, err = readSource(t, c.URLSource(u))
		urlCheckError(t, err, porter.ErrStalled)
		if took := time.Since(begun); len(retries) != 2 || took != 3*3*time.Second+2*7*time.Second {
			t.Errorf("stalled for %v, with %d retries", took, len(retries))
		}
	})
}

// What a client authenticates with is never sent, whatever it is, not even to
// the instance itself; what else it has for the network is used.
func TestClientURLSourceCredentials(t *testing.T) {
	t.Parallel()
	archive := archiveBytes(t, smallArchive)
	var got http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		w.Write(archive)
	}))
	defer server.Close()
	home, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	jar.SetCookies(home, []*http.Cookie{{Name: "_gitlab_session", Value: "secret"}})
	marked := roundTripper(func(req *http.Request) (*http.Response, error) {
		req = req.Clone(req.Context())
		req.Header.Set("X-Transport", "own")
		return http.DefaultTransport.RoundTrip(req)
	})
	for _, tt := range []struct {
		name   string
		auth   porter.Auth
		opt    porter.Option
		shared bool // the source uses the client's transport
	}{
		{"token and transport", porter.PrivateToken("glpat-secret"), porter.WithTransport(marked), true},
		{"token and HTTP client", porter.BearerToken("secret"), porter.WithHTTPClient(&http.Client{Transport: marked, Jar: jar}), true},
		{"transport that authenticates", nil, porter.WithTransport(marked), false},
		{"HTTP client that authenticates", nil, porter.WithHTTPClient(&http.Client{Transport: marked, Jar: jar}), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, server.URL, tt.auth, tt.opt)
			if b, err := readSource(t, c.URLSource(server.URL+"/app.tar.gz")); err != nil || !bytes.Equal(b, archive) {
				t.Fatalf("read %d bytes: %v", len(b), err)
			}
			if shared := got.Get("X-Transport") == "own"; shared != tt.shared {
				t.Errorf("the client's transport is used: %t", shared)
			}
			if secrets := got.Get("Private-Token") + got.Get("Authorization") + got.Get("Cookie"); secrets != "" {
				t.Errorf("sent %v", got)
			}
			c.GetExport(t.Context(), porter.ProjectID(1)) // which still sends all of it
			if secrets := got.Get("Private-Token") + got.Get("Authorization") + got.Get("Cookie"); tt.auth != nil && secrets == "" {
				t.Errorf("the client itself sends %v", got)
			}
		})
	}
}

// The pacing of a client is GitLab's, and not that of what an archive is read
// from.
func TestClientURLSourceIsNotPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := portertest.NewServer(portertest.InMemory())
		defer s.Close()
		c := connect(t, s, porter.WithPacing(porter.Pacing{Downloads: 1}))
		src := c.URLSource(s.AddObject("/app.tar.gz", "application/gzip", smallArchive))
		begun := time.Now()
		for range 3 {
			if _, err := readSource(t, src); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begun); took > 0 {
			t.Errorf("three readings took %v", took)
		}
	})
}

func TestClientURLSourceMalformed(t *testing.T) {
	_, err := nowhere(t).URLSource("ftp://host/app.tar.gz?" + urlSecret).Open(t.Context())
	if err == nil || err.Error() != "URL source: URL must begin with https:// or http://" {
		t.Errorf("error is %v", err)
	}
}

// A reader that was closed says so like a file.
func TestClosedReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := portertest.NewServer(portertest.InMemory(), portertest.NoLimits())
		defer s.Close()
		s.AddProject(portertest.Project{ID: 7, Path: "acme/app"})
		s.AddExport("7", "owner")
		c := connect(t, s)
		u := s.AddObject("/app.tar.gz", "application/gzip", smallArchive)
		for name, src := range map[string]porter.Source{
			"export": c.ExportSource(porter.ProjectID(7)), "URL": porter.URLSource(u, s.Client()), "URL of the client": c.URLSource(u),
		} {
			r, err := src.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if err := r.Close(); err != nil {
				t.Errorf("%s: closing: %v", name, err)
			}
			if n, err := r.Read(make([]byte, 10)); n != 0 || !errors.Is(err, os.ErrClosed) {
				t.Errorf("%s: read %d bytes, %v", name, n, err)
			}
		}
	})
}
