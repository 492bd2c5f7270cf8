package porter_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// These answers were not made by net/http, but by a transport of the user's,
// as in the tests of a program.

func handmadeClient(t *testing.T, answer roundTripper, opts ...porter.Option) *porter.Client {
	t.Helper()
	return mocked(t, answer, append([]porter.Option{
		porter.WithoutPacing(), porter.WithRetry(2, porter.ConstantBackoff(0)),
		porter.WithPolling(porter.Polling{Backoff: porter.ConstantBackoff(time.Millisecond), Patience: time.Second}),
	}, opts...)...)
}

// handmadeAnswers are ways to make an answer that does not tell its length.
var handmadeAnswers = map[string]func(body []byte) *http.Response{
	"recorder": func(body []byte) *http.Response {
		w := httptest.NewRecorder()
		w.Write(body)
		return w.Result()
	},
	"bare": func(body []byte) *http.Response {
		return &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader(body))}
	},
	"HTTP/1.1": func(body []byte) *http.Response {
		return &http.Response{StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1, Header: make(http.Header),
			Body: io.NopCloser(bytes.NewReader(body))}
	},
	"httpmock": func(body []byte) *http.Response { return httpmock.NewBytesResponse(200, body) },
}

func TestHandmadeDownload(t *testing.T) {
	archive := archiveBytes(t, portertest.NewArchive(30_000))
	for name, answer := range handmadeAnswers {
		c := handmadeClient(t, func(*http.Request) (*http.Response, error) { return answer(archive), nil })
		var got bytes.Buffer
		if _, err := c.DownloadExport(t.Context(), porter.ProjectID(7), &got, nil); err != nil || !bytes.Equal(got.Bytes(), archive) {
			t.Errorf("%s: %d bytes, %v", name, got.Len(), err)
		}
		for body, quoted := range map[string]string{"": "it is empty", `{"message":"404 Not found or has expired"}`: "has expired"} {
			c := handmadeClient(t, func(*http.Request) (*http.Response, error) { return answer([]byte(body)), nil })
			_, err := c.DownloadExport(t.Context(), porter.ProjectID(7), io.Discard, nil)
			if !errors.Is(err, porter.ErrNotArchive) || !strings.Contains(err.Error(), quoted) {
				t.Errorf("%s: error is %v", name, err)
			}
		}
	}
}

// An end of the body that may as well be a broken connection's is not taken
// for the archive's.
func TestDownloadEndsByClosing(t *testing.T) {
	archive := archiveBytes(t, portertest.NewArchive(30_000))
	for body, want := range map[string]error{
		string(archive): io.ErrUnexpectedEOF,
		`{"message":"404 Not found or has expired"}`: porter.ErrNotArchive, // broken off or not
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, buf, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			buf.WriteString("HTTP/1.0 200 OK\r\n\r\n" + body)
			buf.Flush()
		}))
		defer srv.Close()
		c := newClient(t, srv.URL, nil, porter.WithRetry(0, nil))
		if _, err := c.DownloadExport(t.Context(), porter.ProjectID(7), io.Discard, nil); !errors.Is(err, want) {
			t.Errorf("error is %v, want %v", err, want)
		}
	}
}

// A body that knows nothing of contexts ends with the call's, or when it stalls.
func TestHandmadeBodyHangs(t *testing.T) {
	archive := archiveBytes(t, portertest.NewArchive(30_000))
	calls := map[string]struct {
		status int
		begin  string
		call   func(context.Context, *porter.Client) error
	}{
		"download": {200, string(archive[:20_000]), func(ctx context.Context, c *porter.Client) error {
			_, err := c.DownloadExport(ctx, porter.ProjectID(7), io.Discard, nil)
			return err
		}},
		"status": {200, `{"id":7,`, func(ctx context.Context, c *porter.Client) error {
			_, err := c.GetExport(ctx, porter.ProjectID(7))
			return err
		}},
		"refused": {404, `{"message":`, func(ctx context.Context, c *porter.Client) error {
			_, err := c.GetExport(ctx, porter.ProjectID(7))
			return err
		}},
		"accepted": {202, `{"message":`, func(ctx context.Context, c *porter.Client) error {
			return c.ScheduleExport(ctx, porter.ProjectID(7), nil)
		}},
	}
	for name, tt := range calls {
		for _, canceled := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				c := handmadeClient(t, func(req *http.Request) (*http.Response, error) {
					pr, pw := io.Pipe()
					go io.WriteString(pw, tt.begin)
					return &http.Response{StatusCode: tt.status, ContentLength: -1, Header: make(http.Header), Body: pr, Request: req}, nil
				}, porter.WithStallTimeout(time.Minute), porter.WithRetry(0, nil))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				want := porter.ErrStalled
				if canceled {
					want = context.Canceled
					time.AfterFunc(time.Second, cancel)
				}
				start := time.Now()
				err := tt.call(ctx, c)
				if name == "accepted" {
					want = nil // its status is all that it says
				}
				var api *porter.APIError
				if name == "refused" && errors.As(err, &api) && api.StatusCode == 404 {
					want = err // and so is this one's
				}
				if !errors.Is(err, want) {
					t.Errorf("%s, canceled %t: error is %v", name, canceled, err)
				}
				if d := time.Since(start); d > time.Minute+time.Second {
					t.Errorf("%s, canceled %t: took %v", name, canceled, d)
				}
			})
		}
	}
}

// A program's own test may answer everything with the sample of GitLab's
// documentation, whose ID is another.
func TestHandmadeSample(t *testing.T) {
	archive := archiveBytes(t, portertest.NewArchive(30_000))
	looks := 0
	mock := httpmock.NewMockTransport()
	mock.RegisterResponder("GET", "https://gitlab.example.com/api/v4/projects/42/export", func(*http.Request) (*http.Response, error) {
		looks++
		status := map[int]string{1: "none", 2: "started"}[looks]
		if status == "" {
			status = "finished"
		}
		return httpmock.NewStringResponse(200,
			`{"id":1,"path":"gitlab-test","path_with_namespace":"gitlab-org/gitlab-test","export_status":"`+status+`"}`), nil
	})
	mock.RegisterResponder("POST", "https://gitlab.example.com/api/v4/projects/42/export",
		httpmock.NewStringResponder(202, `{"message":"202 Accepted"}`))
	mock.RegisterResponder("GET", "https://gitlab.example.com/api/v4/projects/42/export/download", httpmock.NewBytesResponder(200, archive))
	c := handmadeClient(t, mock.RoundTrip)
	var got bytes.Buffer
	if _, err := c.ExportTo(t.Context(), porter.ProjectID(42), &got, nil); err != nil || !bytes.Equal(got.Bytes(), archive) {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
}

// Answers that say no more than what they are asked for are answers.
func TestHandmadeShortAnswers(t *testing.T) {
	c := handmadeClient(t, func(req *http.Request) (*http.Response, error) {
		switch {
		case req.Method == http.MethodPost:
			return httpmock.NewStringResponse(201, `{"id":9,"import_status":"scheduled"}`), nil
		case strings.HasSuffix(req.URL.Path, "/import"):
			return httpmock.NewStringResponse(200, `{"import_status":"finished"}`), nil
		}
		return httpmock.NewStringResponse(200, `{"export_status":"finished"}`), nil
	})
	if exp, err := c.WaitForExport(t.Context(), porter.ProjectID(42)); err != nil || exp.Status != porter.ExportFinished {
		t.Errorf("got %+v, %v", exp, err)
	}
	opts := porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("acme")}
	if imp, err := c.StartImport(t.Context(), sourceOf(smallArchive), opts); err != nil || imp.ID != 9 {
		t.Errorf("got %+v, %v", imp, err)
	}
	if imp, err := c.WaitForImport(t.Context(), porter.ProjectID(9)); err != nil || imp.Status != porter.ImportFinished {
		t.Errorf("got %+v, %v", imp, err)
	}
}
