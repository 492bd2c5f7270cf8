package portertest

import (
	"bytes"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// inMemory runs f in a bubble, with a server in memory. The clock starts at
// 2000-01-01 00:00:00 UTC.
func inMemory(t *testing.T, opts []Option, f func(t *testing.T, s *Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(append([]Option{InMemory(), seconds()}, opts...)...)
		defer s.Close()
		f(t, s)
	})
}

// seconds makes every step take one second, so that a test can look in between.
func seconds() Option {
	return Timing(Timings{
		Queue: time.Second, Start: time.Second, Assemble: time.Second, Store: time.Second, AfterExport: time.Second,
		Failure: time.Second, ImportQueue: time.Second, Import: time.Second,
	})
}

// everyTransport runs f against each way of serving.
func everyTransport(t *testing.T, f func(t *testing.T, s *Server), opts ...Option) {
	t.Helper()
	for name, how := range map[string][]Option{
		"sockets": nil, "TLS": {TLS()}, "HTTP2": {HTTP2()},
	} {
		how = append(how, opts...)
		t.Run(name, func(t *testing.T) {
			s := NewServer(how...)
			defer s.Close()
			f(t, s)
		})
		t.Run(name+" in memory", func(t *testing.T) {
			if name == "HTTP2" && strings.HasPrefix(runtime.Version(), "go1.25") {
				t.Skip("Go 1.25 has no HTTP/2 server for bubbles: golang/go#75674")
			}
			synctest.Test(t, func(t *testing.T) {
				s := NewServer(append(how, InMemory())...)
				defer s.Close()
				f(t, s)
			})
		})
	}
}

// answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   string
	err    error // while the body was read
}

// request is a request to be made.
type request struct {
	method string
	path   string // below the API's root, or a whole URL
	header map[string]string
	body   io.Reader
	length int64 // if not what net/http finds out
}

// asOwner is the header of the default user.
var asOwner = map[string]string{"Private-Token": Token}

func as(token string, more ...string) map[string]string {
	h := map[string]string{"Private-Token": token}
	for i := 0; i < len(more); i += 2 {
		h[more[i]] = more[i+1]
	}
	return h
}

// do makes a request without following redirects.
func do(t *testing.T, s *Server, r request) answer {
	t.Helper()
	a, err := try(t, s, r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.method, r.path, err)
	}
	return a
}

func try(t *testing.T, s *Server, r request) (answer, error) {
	t.Helper()
	u := r.path
	if !strings.HasPrefix(u, "http") {
		u = s.URL + "/api/v4/" + u
	}
	req, err := http.NewRequestWithContext(t.Context(), r.method, u, r.body)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range r.header {
		req.Header.Set(k, v)
	}
	if r.length != 0 {
		req.ContentLength = r.length
	}
	resp, err := s.Transport().RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(body), err}, nil
}

func get(t *testing.T, s *Server, path string) answer {
	t.Helper()
	return do(t, s, request{method: "GET", path: path, header: asOwner})
}

func post(t *testing.T, s *Server, path, contentType, body string) answer {
	t.Helper()
	return postAs(t, s, Token, path, contentType, body)
}

func postAs(t *testing.T, s *Server, token, path, contentType, body string) answer {
	t.Helper()
	r := request{method: "POST", path: path, header: as(token)}
	if contentType != "" {
		r.header["Content-Type"] = contentType
		r.body = strings.NewReader(body)
	}
	return do(t, s, r)
}

const jsonType, formType = "application/json", "application/x-www-form-urlencoded"

// want checks status and body of an answer.
func (a answer) want(t *testing.T, status int, body string) {
	t.Helper()
	if a.status != status || a.body != body {
		t.Errorf("got %d %.400s\nwant %d %.400s", a.status, a.body, status, body)
	}
}

// wantPart checks the status and a part of the body.
func (a answer) wantPart(t *testing.T, status int, part string) {
	t.Helper()
	if a.status != status || !strings.Contains(a.body, part) {
		t.Errorf("got %d %.400s\nwant %d with %.400s", a.status, a.body, status, part)
	}
}

// wantHeaders checks headers, given as names and values. "" is for one that must
// not be there, "…" for any value.
func (a answer) wantHeaders(t *testing.T, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		got, want := a.header.Get(pairs[i]), pairs[i+1]
		if got != want && (want != "…" || got == "") {
			t.Errorf("%s is %q, want %q", pairs[i], got, want)
		}
	}
}

// member returns a member of a JSON answer, nil if it is null or not there.
func (a answer) member(t *testing.T, key string) any {
	t.Helper()
	return a.object(t)[key]
}

func (a answer) object(t *testing.T) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		t.Fatalf("%v in %d %q", err, a.status, a.body)
	}
	return m
}

// part is a part of a multipart form; a file if it has a file name.
type part struct {
	name, value string
	filename    *string
}

func plain(name, value string) part { return part{name: name, value: value} }

func file(filename, content string) part {
	return part{name: "file", value: content, filename: &filename}
}

// form encodes parts; the second result is the content type.
func form(parts ...part) (string, string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		h := textproto.MIMEHeader{}
		d := `form-data; name="` + p.name + `"`
		if p.filename != nil {
			d += `; filename="` + *p.filename + `"`
			h.Set("Content-Type", "application/gzip")
		}
		h.Set("Content-Disposition", d)
		pw, _ := w.CreatePart(h)
		io.WriteString(pw, p.value)
	}
	w.Close()
	return b.String(), w.FormDataContentType()
}

// importAs uploads a form.
func importAs(t *testing.T, s *Server, token string, parts ...part) answer {
	t.Helper()
	body, ct := form(parts...)
	return postAs(t, s, token, "projects/import", ct, body)
}

var smallArchive = func() string {
	b, err := io.ReadAll(NewArchive(20 << 10).NewReader())
	if err != nil {
		panic(err)
	}
	return string(b)
}()
