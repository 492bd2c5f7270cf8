package porter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// urlSecret is in the query of every URL below, and must not be in any text.
const urlSecret = "X-Amz-Signature=5ec2e75ec2e7"

func urlCheckError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error: %v, not %v", err, want)
	}
	if err == nil {
		return
	}
	if strings.Contains(fmt.Sprintf("%v %+v %q", err, err, err), "5ec2e7") {
		t.Errorf("error tells the signature: %v", err)
	}
}

func TestURLSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		archive := portertest.NewArchive(300 << 10)
		s := portertest.NewServer(portertest.InMemory(), portertest.NoLimits())
		defer s.Close()
		s.Inject(portertest.Fault{Origin: portertest.Storage, Times: 2, Do: portertest.CutResponse(100_000)})
		src := porter.URLSource(s.AddObject("/backups/app.tar.gz", "application/gzip", archive)+"?secret=5ec2e75ec2e7", s.Client())
		if src.Name != "app.tar.gz" || src.Size != -1 {
			t.Errorf("source %q of %d bytes", src.Name, src.Size)
		}
		imp, err := dlConnect(t, s).StartImport(t.Context(), src, porter.ImportOptions{Path: "copy"})
		if err != nil {
			t.Fatal(err)
		}
		st := s.Project(imp.ID.String())
		if st.ArchiveSHA256 != archive.SHA256() || st.ArchiveName != "app.tar.gz" {
			t.Errorf("imported %+v", st)
		}
		var ranges []string
		for _, r := range dlAsked(s, portertest.Storage) {
			ranges = append(ranges, r.Header.Get("Range"))
			if r.Header.Get("Private-Token")+r.Header.Get("Authorization") != "" {
				t.Error("the storage got credentials")
			}
		}
		if diff := cmp.Diff([]string{"", "bytes=100000-", "bytes=200000-"}, ranges); diff != "" {
			t.Errorf("ranges asked for:\n%s", diff)
		}
		for _, r := range s.Requests() {
			if r.Method == http.MethodPost && (r.ContentLength < archive.Size() || len(r.TransferEncoding) > 0) {
				t.Errorf("uploaded %d bytes %v", r.ContentLength, r.TransferEncoding)
			}
		}
	})
}

// It waits as long as a transfer takes, whatever the Timeout of the client is.
func TestURLSourceTakesItsTime(t *testing.T) {
	archive := portertest.NewArchive(300 << 10)
	synctest.Test(t, func(t *testing.T) {
		s := portertest.NewServer(portertest.InMemory())
		u := s.AddObject("/app.tar.gz", "application/gzip", archive)
		s.Inject(portertest.Fault{Origin: portertest.Storage, Do: portertest.StallResponse(100_000, time.Minute)})
		hc := s.Client()
		hc.Timeout = time.Second
		rc, err := porter.URLSource(u, hc).Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(rc)
		if err != nil || sum(got) != archive.SHA256() {
			t.Errorf("read %d bytes: %v", len(got), err)
		}
		if n := len(s.Requests()); n != 1 || hc.Timeout != time.Second {
			t.Errorf("%d requests, timeout now %v", n, hc.Timeout)
		}
		rc.Close()
		s.Close()
	})
}

func TestURLSourceRefused(t *testing.T) {
	t.Parallel()
	archive := archiveBytes(t, portertest.NewArchive(30_000))
	mux := http.NewServeMux()
	hits := map[string]int{}
	handle := func(path string, h http.HandlerFunc) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { hits[path]++; h(w, r) })
	}
	handle("/403", dlAnswer(403,
		[]byte("<Error><Code>AccessDenied</Code><Message>Request has expired</Message><StringToSign>"+urlSecret+"</StringToSign></Error>"),
		-1))
	handle("/404", dlAnswer(404, []byte(`{"message":"404 Not found or has expired"}`), -1))
	handle("/401", dlAnswer(401, nil, -1))
	handle("/page", dlAnswer(200, []byte("<html>?"+urlSecret), -1))
	handle("/loop", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/loop?"+urlSecret, http.StatusFound)
	})
	handle("/ftp", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "ftp://a/b?"+urlSecret)
		w.WriteHeader(302)
	})
	handle("/cut", dlAnswer(200, archive, 5000))
	s := httptest.NewServer(mux)
	defer s.Close()
	tests := []struct {
		path string
		want error
		hits int
	}{
		{"/403", porter.ErrForbidden, 1},
		{"/404", porter.ErrNotFound, 1},
		{"/401", porter.ErrUnauthorized, 1},
		{"/page", porter.ErrNotArchive, 1},
		{"/loop", nil, 11},
		{"/ftp", nil, 1},
		{"/cut", io.ErrUnexpectedEOF, 1},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			rc, err := porter.URLSource(s.URL+tt.path+"?"+urlSecret, s.Client()).Open(t.Context())
			if err == nil {
				_, err = io.Copy(io.Discard, rc)
				rc.Close()
			}
			if err == nil {
				t.Fatal("no error")
			}
			if tt.want != nil {
				urlCheckError(t, err, tt.want)
			}
			urlCheckError(t, err, err)
			if !strings.HasPrefix(err.Error(), "download of "+s.URL+tt.path+": ") {
				t.Errorf("error does not name the operation: %v", err)
			}
			if hits[tt.path] != tt.hits {
				t.Errorf("asked %d times", hits[tt.path])
			}
		})
	}
}

// What may pass is tried again until the context ends.
func TestURLSourceUnavailable(t *testing.T) {
	for name, do := range map[string]portertest.Action{
		"503":     portertest.Respond(503, nil, ""),
		"nowhere": portertest.Respond(302, http.Header{"Location": {"http://127.0.0.1:1/b?" + urlSecret}}, ""),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := portertest.NewServer(portertest.InMemory())
				defer s.Close()
				u := s.AddObject("/app.tar.gz", "application/gzip", smallArchive)
				fault := s.Inject(portertest.Fault{Times: -1, Do: do})
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				_, err := porter.URLSource(u+"?"+urlSecret, s.Client()).Open(ctx)
				urlCheckError(t, err, context.DeadlineExceeded)
				if fault.Hits() < 2 {
					t.Errorf("asked %d times", fault.Hits())
				}
			})
		})
	}
}

func TestURLSourceMalformed(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		"", "app.tar.gz", "/tmp/app.tar.gz", "file:///tmp/app.tar.gz", "ftp://host/app.tar.gz", "https:///app.tar.gz",
		"https://:443/app.tar.gz",
		"http://host:port/a?" + urlSecret, "http://host/\x00?" + urlSecret, "http://[::1/a?" + urlSecret, "://?" + urlSecret,
	} {
		src := porter.URLSource(raw, nil)
		_, err := src.Open(t.Context())
		if err == nil {
			t.Errorf("%q: no error", raw)
			continue
		}
		if !strings.HasPrefix(err.Error(), "URL source: ") {
			t.Errorf("%q: error: %v", raw, err)
		}
		urlCheckError(t, err, err)
		s := dlServer(t, nil)
		if _, err := dlConnect(t, s).StartImport(t.Context(), src, porter.ImportOptions{Path: "copy"}); err == nil ||
			len(s.Requests()) > 0 {
			t.Errorf("%q: started an import with %d requests: %v", raw, len(s.Requests()), err)
		}
	}
}

func TestURLSourceName(t *testing.T) {
	for raw, want := range map[string]string{
		"https://host/a/app.tar.gz?x=y.gz":    "app.tar.gz",
		"https://host/my%20app.gz":            "my app.gz",
		"https://host/a%2Fb.tar.gz":           "b.tar.gz",
		"https://host/app.tgz":                "archive.tar.gz",
		"https://host":                        "archive.tar.gz",
		"https://host/.gz":                    "archive.tar.gz",
		"https://host/a%0d%0ab.gz":            "archive.tar.gz",
		"https://host/download?file=b.tar.gz": "archive.tar.gz",
		"not a URL":                           "",
	} {
		if got := porter.URLSource(raw, nil).Name; got != want {
			t.Errorf("%s: %q, not %q", raw, got, want)
		}
	}
}

// The credentials of a client are its own, also where the archive lies on the
// very instance that imports it.
func TestURLSourceOnGitLab(t *testing.T) {
	archive := portertest.NewArchive(30_000)
	s := dlServer(t, archive)
	_, err := dlConnect(t, s).StartImport(t.Context(), porter.URLSource(s.URL+dlPath, s.Client()), porter.ImportOptions{Path: "copy"})
	if err == nil || !strings.Contains(err.Error(), "404 Project Not Found") { // as GitLab answers to nobody
		t.Errorf("error: %v", err)
	}
	if errors.Is(err, porter.ErrNotFound) {
		t.Error("the import was not refused, its source was")
	}
	for _, r := range s.Requests() {
		if r.Path == dlPath && r.Header.Get("Private-Token")+r.Header.Get("Authorization") != "" {
			t.Errorf("sent credentials: %v", r.Header)
		}
	}
}

// What the caller's client brings along is used, and stays as it is.
func TestURLSourceClient(t *testing.T) {
	t.Parallel()
	archive := archiveBytes(t, portertest.NewArchive(30_000))
	var got http.Header
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/from" {
			http.Redirect(w, r, "/to?"+urlSecret, http.StatusFound)
			return
		}
		got = r.Header.Clone()
		w.Write(archive)
	}))
	defer s.Close()
	read := func(src porter.Source) error {
		rc, err := src.Open(t.Context())
		if err != nil {
			return err
		}
		defer rc.Close()
		b, err := io.ReadAll(rc)
		if err == nil && !bytes.Equal(b, archive) {
			err = errors.New("other bytes")
		}
		return err
	}

	t.Run("nil", func(t *testing.T) {
		if err := read(porter.URLSource(s.URL, nil)); err != nil {
			t.Error(err)
		}
		if got.Get("Referer") != "" || !strings.HasPrefix(got.Get("User-Agent"), "porter/") {
			t.Errorf("sent %v", got)
		}
	})
	t.Run("user and password", func(t *testing.T) {
		src := porter.URLSource(strings.Replace(s.URL, "://", "://user:pass@", 1), nil)
		if err := read(src); err != nil {
			t.Error(err)
		}
		if user, pass, ok := (&http.Request{Header: got}).BasicAuth(); !ok || user != "user" || pass != "pass" {
			t.Errorf("sent %v", got)
		}
	})
	t.Run("jar", func(t *testing.T) {
		jar, _ := cookiejar.New(nil)
		u, _ := url.Parse(s.URL)
		jar.SetCookies(u, []*http.Cookie{{Name: "session", Value: "1"}})
		hc := &http.Client{Jar: jar}
		if err := read(porter.URLSource(s.URL+"/from?"+urlSecret, hc)); err != nil {
			t.Error(err)
		}
		if got.Get("Cookie") != "session=1" || got.Get("Referer") != "" {
			t.Errorf("sent %v", got)
		}
		if hc.Transport != nil || hc.CheckRedirect != nil {
			t.Errorf("the client was changed: %+v", hc)
		}
	})
	t.Run("redirect policy", func(t *testing.T) {
		stay := errors.New("not there")
		ctx, cancel := context.WithCancel(t.Context())
		hc := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error {
			cancel() // or it would be tried again
			return stay
		}}
		_, err := porter.URLSource(s.URL+"/from?"+urlSecret, hc).Open(ctx)
		if err == nil {
			t.Fatal("no error")
		}
		urlCheckError(t, err, err)
	})
	t.Run("canceled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := porter.URLSource(s.URL+"?"+urlSecret, nil).Open(ctx)
		urlCheckError(t, err, context.Canceled)
	})
}

// Beyond a redirect it resumes where the bytes came from, and when that has
// expired, at the URL it was given.
func TestURLSourceResumesBeyondRedirect(t *testing.T) {
	archive := portertest.NewArchive(300 << 10)
	synctest.Test(t, func(t *testing.T) {
		s := dlServer(t, archive, portertest.Downloads(portertest.Redirected))
		s.Inject(portertest.Fault{Origin: portertest.Storage, Times: 1, Do: portertest.CutResponse(250_000)})
		rt := &urlTokenTransport{s.Transport()}
		rc, err := porter.URLSource(s.URL+dlPath, &http.Client{Transport: rt}).Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.Advance(11 * time.Minute)
		got, err := io.ReadAll(rc)
		if err != nil || sum(got) != archive.SHA256() {
			t.Errorf("read %d bytes: %v", len(got), err)
		}
		var asked []string
		for _, r := range s.Requests() {
			asked = append(asked, fmt.Sprintf("%s %d", r.Origin, r.Status))
		}
		if diff := cmp.Diff([]string{"gitlab 302", "storage 200", "storage 403", "gitlab 302", "storage 206"}, asked); diff != "" {
			t.Errorf("requests:\n%s", diff)
		}
		rc.Close()
		s.Close()
	})
}

// urlTokenTransport authenticates as a user's own transport may.
type urlTokenTransport struct{ next http.RoundTripper }

func (t *urlTokenTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.Host, "gitlab.") {
		r = r.Clone(r.Context())
		r.Header.Set("PRIVATE-TOKEN", portertest.Token)
	}
	return t.next.RoundTrip(r)
}
