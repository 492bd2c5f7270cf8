package porter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// The network is gone for a while in the middle of everything. What has cost
// hours is not lost by that, what has cost nothing is told soon.
func TestOutage(t *testing.T) {
	t.Parallel()
	down := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("network is unreachable")}
	noName := &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "gitlab.test", IsNotFound: true}}
	app := porter.ProjectPath("acme/app")
	calls := map[string]func(context.Context, *porter.Client) error{
		"download": func(ctx context.Context, c *porter.Client) error {
			_, err := c.DownloadExport(ctx, app, io.Discard, nil)
			return err
		},
		"export": func(ctx context.Context, c *porter.Client) error {
			_, err := c.ExportTo(ctx, app, io.Discard, nil)
			return err
		},
		"migrate": func(ctx context.Context, c *porter.Client) error {
			_, err := porter.Migrate(ctx, c, app, c,
				porter.MigrateOptions{Import: porter.ImportOptions{Path: "copy", Namespace: porter.NamespacePath("acme")}})
			return err
		},
	}
	tests := []struct {
		call  string
		begin string // the outage begins at this request, once it was answered in part
		err   error
		lasts time.Duration
		ok    bool
	}{
		{"download", "/export/download", down, 90 * time.Second, true},
		{"download", "/export/download", down, 270 * time.Second, true},
		{"download", "/export/download", noName, 90 * time.Second, true},
		{"download", "/export/download", down, 6 * time.Minute, false},
		{"export", "/export/download", down, 90 * time.Second, true},
		{"export", "/export", down, 90 * time.Second, true},
		{"export", "/export", noName, 4 * time.Minute, true},
		{"migrate", "/export/download", down, 4 * time.Minute, true},
		{"migrate", "/projects/import", down, 4 * time.Minute, true},
		{"migrate", "/projects/import", down, 7 * time.Minute, false},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.call, " at ", tt.begin, " for ", tt.lasts, ": ", tt.err), func(t *testing.T) {
			inBubble(t, []portertest.Option{portertest.NoLimits()}, func(t *testing.T, s *portertest.Server, _ *porter.Client) {
				s.AddProject(portertest.Project{Path: "acme/app", Archive: portertest.NewArchive(4 << 20)})
				if tt.call == "download" {
					s.AddExport("acme/app", "owner")
				}
				cut := portertest.CutResponse(100_000)
				if tt.begin == "/projects/import" {
					cut = portertest.CutRequest(100_000)
				}
				var began time.Time
				before := map[string]int{"/export": 2}[tt.begin] // the look before and the POST
				s.Inject(portertest.Fault{Path: tt.begin, Do: cut, Match: func(*http.Request) bool {
					before--
					if before >= 0 || !began.IsZero() {
						return false
					}
					began = time.Now()
					return true
				}})
				rt := roundTripper(func(req *http.Request) (*http.Response, error) {
					if !began.IsZero() && time.Since(began) < tt.lasts {
						if req.Body != nil {
							req.Body.Close()
						}
						return nil, tt.err
					}
					return s.Transport().RoundTrip(req)
				})
				c := newClient(t, s.URL, porter.PrivateToken(portertest.Token), porter.WithTransport(rt), porter.WithoutPacing())
				err := calls[tt.call](t.Context(), c)
				if tt.ok != (err == nil) {
					t.Errorf("%v after the outage began: %v", time.Since(began), err)
				}
				if !tt.ok && !errors.Is(err, porter.ErrNoAnswer) {
					t.Errorf("error is %v", err)
				}
			})
		})
	}
}

// A host that does not exist, and never answered, is mistyped.
func TestNoSuchHost(t *testing.T) {
	noName := &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "gitlab.exmaple.com", IsNotFound: true}}
	for _, answered := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			asked := 0
			c := newClient(t, "https://gitlab.exmaple.com", nil,
				porter.WithTransport(roundTripper(func(req *http.Request) (*http.Response, error) {
					if asked++; answered && asked == 1 || asked == 4 {
						return retryAnswer(200, nil, `{"id":1,"export_status":"started"}`)(req)
					}
					if asked > 4 {
						return retryAnswer(200, nil, `{"id":1,"export_status":"finished"}`)(req)
					}
					return nil, noName
				})))
			start := time.Now()
			_, err := c.WaitForExport(t.Context(), porter.ProjectID(1))
			if answered && err != nil {
				t.Errorf("the name server was gone for a moment: %v", err)
			}
			if !answered && (!errors.Is(err, porter.ErrNoAnswer) || asked != 1 || time.Since(start) > 0) {
				t.Errorf("asked %d times in %v: %v", asked, time.Since(start), err)
			}
		})
	}
}

// What object storage calls temporary, and what a proxy says of a request that
// it has not got, does not end a download that has not begun yet.
func TestStorageInTrouble(t *testing.T) {
	t.Parallel()
	busy := func(code string) string {
		return `<?xml version="1.0" encoding="UTF-8"?><Error><Code>` + code + `</Code><Message>Please try again.</Message></Error>`
	}
	tests := []struct {
		name   string
		status int
		body   string
		ok     bool
	}{
		{"internal error", 500, busy("InternalError"), true},
		{"internal error with another status", 400, busy("InternalError"), true},
		{"internal error with status 200", 200, busy("InternalError"), true},
		{"slow down", 503, busy("SlowDown"), true},
		{"slow down with status 403", 403, busy("SlowDown"), true},
		{"slow connection", 400, busy("RequestTimeout"), true},
		{"request timeout", 408, "", true},
		{"too early", 425, "", true},
		{"GitLab's own 500", 500, `{"message":"500 Internal Server Error"}`, true},
		{"no space", 507, "", true},
		{"denied", 403, busy("AccessDenied"), false},
		{"denied with status 200", 200, busy("AccessDenied"), false},
		{"not implemented", 501, "", false},
	}
	archive := append([]byte{0x1f, 0x8b, 8}, make([]byte, 5000)...)
	for _, tt := range tests {
		for _, broken := range []int{0, 1000} { // when the trouble comes
			t.Run(fmt.Sprintf("%s at byte %d", tt.name, broken), func(t *testing.T) {
				asked := 0
				store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("ETag", `"v1"`)
					asked++
					switch {
					case broken > 0 && asked == 1:
						w.Header().Set("Content-Length", fmt.Sprint(len(archive)))
						w.Write(archive[:broken])
						w.(http.Flusher).Flush()
						panic(http.ErrAbortHandler)
					case broken == 0 && asked == 1, broken > 0 && asked == 2:
						w.Header().Del("ETag")
						w.Header().Set("Content-Type", "application/xml")
						w.WriteHeader(tt.status)
						io.WriteString(w, tt.body)
						return
					}
					http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(archive))
				}))
				defer store.Close()
				gitlab := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					http.Redirect(w, r, store.URL+"/bucket/key?X-Amz-Signature=0123456789", http.StatusFound)
				}))
				defer gitlab.Close()
				c := newClient(t, gitlab.URL, nil, porter.WithoutPacing(), porter.WithRetry(3, porter.ConstantBackoff(0)))
				var got bytes.Buffer
				_, err := c.DownloadExport(t.Context(), porter.ProjectID(7), &got, &porter.DownloadOptions{SkipVerify: true})
				if ok := err == nil; ok != (tt.ok || broken > 0) { // later, another URL is asked for
					t.Errorf("asked %d times: %v", asked, err)
				}
				if err == nil && !bytes.Equal(got.Bytes(), archive) {
					t.Error("other bytes")
				}
			})
		}
	}
}

// A refusal that was compressed, whatever was asked for, is read all the same.
func TestCompressedAnswers(t *testing.T) {
	compressed := func(text string) string { return string(gzipped(t, []byte(text))) }
	answer := func(status int, encoding, body string) retryStep {
		h := http.Header{"Content-Type": {"application/json"}}
		if encoding != "" {
			h.Set("Content-Encoding", encoding)
		}
		return retryAnswer(status, h, body)
	}
	gone, finished := `{"message":"404 Not found or has expired"}`, `{"id":7,"export_status":"finished"}`
	download := func(c *porter.Client) error {
		_, err := c.OpenExport(t.Context(), porter.ProjectID(7))
		return err
	}
	look := func(c *porter.Client) error {
		_, err := c.GetExport(t.Context(), porter.ProjectID(7))
		return err
	}
	tests := []struct {
		name string
		step retryStep
		call func(*porter.Client) error
		is   error
	}{
		{"refusal of a download", answer(404, "gzip", compressed(gone)), download, porter.ErrExportExpired},
		{"refusal of a download, not labelled", answer(404, "", compressed(gone)), download, porter.ErrExportExpired},
		{"refusal of a download, cut", answer(404, "gzip", compressed(gone)[:30]), download, porter.ErrNotFound},
		{"refusal with a byte order mark", answer(404, "", "\ufeff"+gone), download, porter.ErrExportExpired},
		{"refusal of a look", answer(403, "gzip", compressed(`{"message":"403 Forbidden"}`)), look, porter.ErrForbidden},
		{"answer", answer(200, "gzip", compressed(finished)), look, nil},
		{"answer, with a byte order mark", answer(200, "gzip", compressed("\ufeff"+finished)), look, nil},
		{"answer with a byte order mark", answer(200, "", "\ufeff"+finished), look, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := retryClient(t, roundTripper(tt.step), 0, nil)
			if err := tt.call(c); !errors.Is(err, tt.is) || tt.is == nil && err != nil {
				t.Errorf("error is %v, want %v", err, tt.is)
			}
		})
	}
}

// What a bomb unpacks to is bounded.
func TestCompressedBomb(t *testing.T) {
	t.Parallel()
	bomb := bytes.Repeat(gzipped(t, make([]byte, 1<<20)), 64) // members of one gzip file
	for _, status := range []int{200, 404} {
		c := retryClient(t, roundTripper(retryAnswer(status, nil, string(bomb))), 0, nil)
		_, err := c.GetExport(t.Context(), porter.ProjectID(7))
		var api *porter.APIError
		if !errors.As(err, &api) || len(api.Body) > 64<<10 {
			t.Errorf("%d: %v", status, err)
		}
	}
}
