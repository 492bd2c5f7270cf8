package porter_test

// These are the ways to a GitLab: a simulator, in a bubble if it takes its
// time (connect, connectAs, inBubble), a transport that answers by itself
// where no server is needed (mocked), and net/http/httptest where a test
// speaks HTTP of its own. newClient is behind all of them.

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// newClient returns a client, or ends the test.
func newClient(t *testing.T, baseURL string, auth porter.Auth, opts ...porter.Option) *porter.Client {
	t.Helper()
	c, err := porter.NewClient(baseURL, auth, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// connect returns a client of s as its default user. It polls fast; options
// that are given win.
func connect(t *testing.T, s *portertest.Server, opts ...porter.Option) *porter.Client {
	t.Helper()
	fast := porter.WithPolling(porter.Polling{Backoff: porter.ConstantBackoff(5 * time.Millisecond), Grace: time.Minute})
	return connectAs(t, s, portertest.Token, append([]porter.Option{fast}, opts...)...)
}

// connectAs returns a client of s as the user with that token, which waits as
// a user's does.
func connectAs(t *testing.T, s *portertest.Server, token string, opts ...porter.Option) *porter.Client {
	t.Helper()
	return newClient(t, s.URL, porter.PrivateToken(token), append([]porter.Option{porter.WithTransport(s.Transport())}, opts...)...)
}

// userPolling lets a client of connect wait as a user's does.
var userPolling = porter.WithPolling(porter.Polling{
	Backoff: porter.ExponentialBackoff(2*time.Second, 30*time.Second), Grace: 10 * time.Minute, Patience: 5 * time.Minute,
})

// inBubble runs f in a synctest bubble with a server of its own that takes as
// long for everything as GitLab does, and a client that waits as a user's does.
func inBubble(t *testing.T, opts []portertest.Option, f func(t *testing.T, s *portertest.Server, c *porter.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := portertest.NewServer(append([]portertest.Option{portertest.InMemory(), portertest.RealTiming()}, opts...)...)
		defer s.Close()
		f(t, s, connectAs(t, s, portertest.Token))
	})
}

var dlModes = map[string]portertest.DownloadMode{
	"disk": portertest.FromDisk, "redirected": portertest.Redirected, "proxied": portertest.Proxied,
}

// mocked returns a client whose requests rt answers.
func mocked(t *testing.T, rt http.RoundTripper, opts ...porter.Option) *porter.Client {
	t.Helper()
	return newClient(t, "https://gitlab.example.com", porter.PrivateToken("glpat-secret"),
		append([]porter.Option{porter.WithTransport(rt), porter.WithRetry(3, porter.ConstantBackoff(time.Second))}, opts...)...)
}

// noRequest fails the test if it is asked for anything.
func noRequest(t *testing.T) *httpmock.MockTransport {
	mock := httpmock.NewMockTransport()
	mock.RegisterNoResponder(func(r *http.Request) (*http.Response, error) {
		t.Errorf("asked for %s %s", r.Method, r.URL.Path)
		return nil, errors.New("no request was expected")
	})
	return mock
}

// A roundTripper is a transport that answers by itself.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// uploads returns the requests for an import that reached s.
func uploads(s *portertest.Server) []portertest.Request {
	var posts []portertest.Request
	for _, r := range s.Requests() {
		if r.Method == http.MethodPost && strings.HasSuffix(r.Path, "/projects/import") {
			posts = append(posts, r)
		}
	}
	return posts
}

// count returns how many requests of a kind s has seen.
func count(s *portertest.Server, method, suffix string) int {
	n := 0
	for _, r := range s.Requests() {
		if r.Origin == portertest.GitLab && r.Method == method && strings.HasSuffix(r.Path, suffix) {
			n++
		}
	}
	return n
}

// refusals counts the answers with a status.
func refusals(s *portertest.Server, status int) int {
	n := 0
	for _, r := range s.Requests() {
		if r.Status == status {
			n++
		}
	}
	return n
}

// smallArchive is an archive whose size does not matter.
var smallArchive = portertest.NewArchive(portertest.MinArchiveSize)

// smallContent returns the bytes of smallArchive.
var smallContent = sync.OnceValue(func() string {
	b, err := io.ReadAll(smallArchive.NewReader())
	if err != nil {
		panic(err)
	}
	return string(b)
})

// sourceOf is an archive that can be sent again.
func sourceOf(a *portertest.Archive) porter.Source {
	return porter.ReaderSource(a.NewReader(), a.Size())
}

func archiveBytes(t *testing.T, a *portertest.Archive) []byte {
	t.Helper()
	b, err := io.ReadAll(a.NewReader())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func gzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// unverified downloads what is no archive.
var unverified = &porter.DownloadOptions{SkipVerify: true}

// bytesOf returns how many bytes were downloaded.
func bytesOf(d *porter.Download, err error) (int64, error) {
	if d == nil {
		return 0, err
	}
	return d.Bytes, err
}
