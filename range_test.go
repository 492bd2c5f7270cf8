package porter_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/seed-5d77b939/porter"
)

// A server that refuses ranges, or answers with other bytes than it was asked
// for, is asked for the whole: the archive has not changed.
func TestRangeIsOfNoUse(t *testing.T) {
	t.Parallel()
	archive := append([]byte{0x1f, 0x8b, 8}, make([]byte, 30_000)...)
	for i := range archive[3:] {
		archive[3+i] = byte(i)
	}
	refuse := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	partial := func(contentRange string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"v1"`)
			if contentRange != "" {
				w.Header().Set("Content-Range", contentRange)
			}
			w.WriteHeader(http.StatusPartialContent)
			w.Write(archive[20_000:])
		}
	}
	ways := map[string]http.HandlerFunc{
		"400":                      refuse(400, ""),
		"403 of a firewall":        refuse(403, "<html><title>Blocked</title></html>"),
		"405":                      refuse(405, ""),
		"501":                      refuse(501, ""),
		"206 without a range":      partial(""),
		"206 with a garbled range": partial("bytes=10000-30002/30003"),
		"206 with another unit":    partial("pages 1-2/3"),
		"206 of later bytes":       partial("bytes 20000-30002/30003"),
		"206 of several parts": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"v1"`)
			w.Header().Set("Content-Type", "multipart/byteranges; boundary=x")
			w.WriteHeader(http.StatusPartialContent)
			io.WriteString(w, "--x\r\n")
		},
	}
	for name, ranged := range ways {
		for _, elsewhere := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, elsewhere %t", name, elsewhere), func(t *testing.T) {
				var asked []string
				cuts := 2
				serve := func(w http.ResponseWriter, r *http.Request) {
					asked = append(asked, r.Header.Get("Range"))
					if r.Header.Get("Range") != "" {
						ranged(w, r)
						return
					}
					w.Header().Set("ETag", `"v1"`)
					w.Header().Set("Content-Length", fmt.Sprint(len(archive)))
					if cuts--; cuts >= 0 {
						w.Write(archive[:10_000*(2-cuts)])
						w.(http.Flusher).Flush()
						panic(http.ErrAbortHandler)
					}
					w.Write(archive)
				}
				gitlab := httptest.NewServer(http.HandlerFunc(serve))
				defer gitlab.Close()
				if elsewhere {
					front := httptest.NewServer(http.RedirectHandler(gitlab.URL+"/key?X-Amz-Signature=0123456789", http.StatusFound))
					defer front.Close()
					gitlab = front
				}
				c := newClient(t, gitlab.URL, nil, porter.WithoutPacing(), porter.WithRetry(5, porter.ConstantBackoff(time.Millisecond)))
				var got bytes.Buffer
				if _, err := c.DownloadExport(t.Context(), porter.ProjectID(7), &got, unverified); err != nil || !bytes.Equal(got.Bytes(), archive) {
					t.Errorf("asked for %q: %v", asked, err)
				}
				if ranges := len(strings.Join(asked, "")) / len("bytes=10000-"); ranges != 1 {
					t.Errorf("asked for a range %d times: %q", ranges, asked)
				}
			})
		}
	}
}

// Where a redirect leads to is escaped as browsers do it.
func TestLocationIsEscaped(t *testing.T) {
	for raw, want := range map[string]string{
		"/key?name=attachment; filename=app.tar.gz&sig=0123456789":  "name=attachment;%20filename=app.tar.gz&sig=0123456789",
		"/key?name=\"Ünï code\"&sig=0123456789":                     "name=%22%C3%9Cn%C3%AF%20code%22&sig=0123456789",
		"/a key?sig=%2F0123456789%20":                               "sig=%2F0123456789%20",
		"/key?name=attachment%3B%20filename%3Dapp.tar.gz&sig=01234": "name=attachment%3B%20filename%3Dapp.tar.gz&sig=01234",
	} {
		query := ""
		store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			query = r.URL.RawQuery
			w.Write(append([]byte{0x1f, 0x8b, 8}, make([]byte, 100)...))
		}))
		gitlab := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", store.URL+raw)
			w.WriteHeader(http.StatusFound)
		}))
		c := newClient(t, gitlab.URL, nil, porter.WithoutPacing())
		if _, err := c.DownloadExport(t.Context(), porter.ProjectID(7), io.Discard, unverified); err != nil || query != want {
			t.Errorf("%s: asked for %q: %v", raw, query, err)
		}
		gitlab.Close()
		store.Close()
	}
}

// A redirect without a place says why in its body, if it is object storage's.
// One of GitLab's repeats the place, and nothing of that is told.
func TestRedirectWithoutPlace(t *testing.T) {
	moved := `<?xml version="1.0" encoding="UTF-8"?><Error><Code>PermanentRedirect</Code><Message>The bucket you are attempting to access ` +
		`must be addressed using the specified endpoint.</Message>` +
		`<Endpoint>exports.s3.eu-west-1.amazonaws.com</Endpoint><Signature>SECRET</Signature></Error>`
	for _, status := range []int{301, 307} {
		store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			io.WriteString(w, moved)
		}))
		_, err := porter.URLSource(store.URL+"/exports/app.tar.gz?X-Amz-Signature=0123456789", nil).Open(t.Context())
		for _, want := range []string{"PermanentRedirect", "specified endpoint", "exports.s3.eu-west-1.amazonaws.com"} {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%d: %v does not name %s", status, err, want)
			}
		}
		store.Close()
	}
	c := retryClient(t, roundTripper(retryAnswer(302, nil, "This resource has been moved to https://s3.test/?sig=SECRET")), 0, nil)
	_, err := c.GetExport(t.Context(), porter.ProjectID(7))
	var api *porter.APIError
	if !errors.As(err, &api) || !strings.HasSuffix(err.Error(), "302 redirected to nowhere") || len(api.Body) > 0 {
		t.Errorf("got %v, %q", err, api.Body)
	}
}
