package porter_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// A gossip collects everything that a client tells: to its logger, to its
// observer, and in its errors and results, however they are printed.
type gossip struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (g *gossip) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.buf.Write(b)
}

func (g *gossip) options() []porter.Option {
	return []porter.Option{
		porter.WithLogger(g.logger()),
		porter.WithObserver(func(ev porter.Event) { g.hear(ev); g.hear(ev.Err) }),
	}
}

// logger writes JSON and text, from Debug on.
func (g *gossip) logger() *slog.Logger {
	all := &slog.HandlerOptions{Level: slog.LevelDebug}
	return slog.New(bothHandlers{slog.NewJSONHandler(g, all), slog.NewTextHandler(g, all)})
}

type bothHandlers [2]slog.Handler

func (h bothHandlers) Enabled(ctx context.Context, l slog.Level) bool { return true }
func (h bothHandlers) Handle(ctx context.Context, r slog.Record) error {
	return errors.Join(h[0].Handle(ctx, r.Clone()), h[1].Handle(ctx, r.Clone()))
}
func (h bothHandlers) WithAttrs(as []slog.Attr) slog.Handler {
	return bothHandlers{h[0].WithAttrs(as), h[1].WithAttrs(as)}
}
func (h bothHandlers) WithGroup(name string) slog.Handler {
	return bothHandlers{h[0].WithGroup(name), h[1].WithGroup(name)}
}

// hear prints v in every way.
func (g *gossip) hear(v any) {
	if v == nil {
		return
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		fmt.Fprintf(g, verb+"\n", v)
	}
	if b, err := json.Marshal(v); err == nil {
		g.Write(b)
	}
	g.logger().Info("heard", "v", v)
	err, ok := v.(error)
	if !ok {
		return
	}
	if api, ok := err.(*porter.APIError); ok {
		fmt.Fprintf(g, "%s\n%s\n%v\n%s\n", api.Body, api.Message, api.Fields, api.RequestID)
		var decoded any
		if json.Unmarshal(api.Body, &decoded) == nil {
			fmt.Fprintln(g, decoded)
		}
	}
	switch u := err.(type) {
	case interface{ Unwrap() error }:
		g.hear(u.Unwrap())
	case interface{ Unwrap() []error }:
		for _, err := range u.Unwrap() {
			g.hear(err)
		}
	}
}

// told reports the secrets that came out.
func (g *gossip) told(t *testing.T, secrets ...string) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.buf.Len() == 0 {
		t.Error("nothing was told at all")
	}
	text := g.buf.String()
	for _, s := range secrets {
		for _, form := range []string{s, url.QueryEscape(s), html.EscapeString(s), fmt.Sprintf("%x", s)} {
			if i := strings.Index(text, form); i >= 0 {
				t.Errorf("told %q: …%s…", form, text[max(0, i-300):min(len(text), i+len(form)+100)])
				break
			}
		}
	}
}

const (
	secretToken     = "glpat-SECRETtoken0123456789"
	secretSignature = "SECRETsig/nature+0123456789=="
	secretKey       = "AKIASECRETSECRET0000/20250101/us-east-1/s3/aws4_request"
)

// signed returns a URL with a signature.
func signed(base string) string {
	return base + "?" + url.Values{"X-Amz-Signature": {secretSignature}, "X-Amz-Credential": {secretKey}, "X-Amz-Expires": {"600"}}.Encode()
}

// allSecrets are the planted ones, and parts of them that alone are too much.
var allSecrets = []string{secretToken, "SECRETtoken", secretSignature, "SECRETsig", secretKey, "AKIASECRET"}

// TestSecretsOfJobs runs whole jobs, good and bad, and looks through
// everything that was told of them.
func TestSecretsOfJobs(t *testing.T) {
	app := porter.ProjectPath("acme/app")
	archive := portertest.NewArchive(200 << 10)
	source := func() porter.Source { return sourceOf(archive) }
	export := func(s *portertest.Server) *porter.ExportOptions {
		target := porter.UploadTarget{URL: signed(s.StorageURL + "/backup.tar.gz")}
		return &porter.ExportOptions{ScheduleExportOptions: porter.ScheduleExportOptions{Upload: &target}}
	}
	jobs := map[string]func(context.Context, *testing.T, *portertest.Server, *porter.Client) (any, error){
		"export": func(ctx context.Context, _ *testing.T, s *portertest.Server, c *porter.Client) (any, error) {
			return c.ExportTo(ctx, app, io.Discard, export(s))
		},
		"export to file": func(ctx context.Context, t *testing.T, s *portertest.Server, c *porter.Client) (any, error) {
			return c.ExportToFile(ctx, app, filepath.Join(t.TempDir(), "a.tar.gz"), export(s))
		},
		"import": func(ctx context.Context, _ *testing.T, s *portertest.Server, c *porter.Client) (any, error) {
			return c.Import(ctx, source(), porter.ImportOptions{Path: "copy", Namespace: porter.NamespacePath("acme")})
		},
		"import of a URL": func(ctx context.Context, _ *testing.T, s *portertest.Server, c *porter.Client) (any, error) {
			return c.Import(ctx, porter.URLSource(signed(s.AddObject("/a.tar.gz", "application/gzip", archive)), s.Client()),
				porter.ImportOptions{Path: "copy", Namespace: porter.NamespacePath("acme")})
		},
		"migrate": func(ctx context.Context, t *testing.T, s *portertest.Server, c *porter.Client) (any, error) {
			return porter.Migrate(ctx, c, app, c,
				porter.MigrateOptions{Export: export(s), SpoolDir: t.TempDir(),
					Import: porter.ImportOptions{Path: "copy", Namespace: porter.NamespacePath("acme")}})
		},
		"from URL": func(ctx context.Context, _ *testing.T, s *portertest.Server, c *porter.Client) (any, error) {
			return c.StartImportFromURL(ctx, signed("https://bucket.example.com/a.tar.gz"), porter.ImportOptions{Path: "copy"})
		},
		"from S3": func(ctx context.Context, _ *testing.T, s *portertest.Server, c *porter.Client) (any, error) {
			return c.StartImportFromS3(ctx, porter.S3Object{Region: "r", Bucket: "b", Key: "k", AccessKeyID: "AKIAIOSFODNN7EXAMPLE",
				SecretAccessKey: secretSignature}, porter.ImportOptions{Path: "copy"})
		},
	}
	faults := map[string][]portertest.Fault{
		"well":    nil,
		"refused": {{Times: -1, Do: portertest.Respond(403, nil, `{"message":"403 Forbidden"}`)}},
		"storage refuses": {{Origin: portertest.Storage, Times: -1,
			Do: portertest.Respond(403, nil, "<Error><Code>SignatureDoesNotMatch</Code></Error>")}},
		"broken": {{Skip: 1, Times: -1, Do: portertest.CutResponse(5)}},
		"lost":   {{Times: -1, Do: portertest.LoseAnswer()}},
		"busy": {{Times: 2, Do: portertest.Respond(429, http.Header{"Retry-After": {"0"}}, "Retry later\n")},
			{Skip: 2, Times: 2, Do: portertest.Respond(502, nil, "")}},
		"pages": {{Times: -1, Do: portertest.Respond(200, nil, "<title>Sign in</title>")}},
		"elsewhere": {{Times: -1, Do: portertest.Respond(302, http.Header{"Location": {signed("http://127.0.0.1:1/sign_in")}},
			signed("http://127.0.0.1:1/sign_in"))}},
	}
	for job, run := range jobs {
		for fault, all := range faults {
			t.Run(job+"/"+fault, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := portertest.NewServer(portertest.InMemory(), portertest.Downloads(portertest.Redirected), portertest.NoLimits())
					defer s.Close()
					s.AddProject(portertest.Project{Path: "acme/app", Archive: archive})
					s.AddUser(portertest.User{Username: "owner", Token: secretToken})
					for _, f := range all {
						s.Inject(f)
					}
					g := new(gossip)
					c := newClient(t, s.URL, porter.PrivateToken(secretToken),
						append(g.options(), porter.WithTransport(s.Transport()), porter.WithoutPacing(),
							porter.WithPolling(porter.Polling{Backoff: porter.ConstantBackoff(time.Millisecond),
								Patience: 20 * time.Millisecond, Grace: 20 * time.Millisecond}),
							porter.WithRetry(2, porter.ConstantBackoff(0)))...)
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					result, err := run(ctx, t, s, c)
					g.hear(err)
					g.hear(result)
					secrets := allSecrets
					for _, r := range s.Requests() {
						if r.Origin == portertest.Storage {
							for _, values := range (&url.URL{RawQuery: r.RawQuery}).Query() {
								if len(values[0]) > 8 {
									secrets = append(secrets, values[0])
								}
							}
						}
					}
					g.told(t, secrets...)
					for _, r := range s.Leaks() {
						t.Errorf("credentials sent to %s %s", r.Method, r.Path)
					}
				})
			})
		}
	}
}

// echoes are the ways in which a server may repeat what it was sent.
var echoes = map[string]func(string) (contentType, body string){
	"text":         func(s string) (string, string) { return "text/plain", "no such thing as " + s },
	"JSON message": func(s string) (string, string) { return jsonEcho(map[string]any{"message": "bad " + s}) },
	"JSON fields": func(s string) (string, string) {
		return jsonEcho(map[string]any{"message": map[string][]string{"url": {"is blocked: " + s}}})
	},
	"JSON error": func(s string) (string, string) {
		return jsonEcho(map[string]any{"error": "invalid_token", "error_description": s})
	},
	"JSON with slashes escaped": func(s string) (string, string) {
		ct, body := jsonEcho(map[string]any{"message": s})
		return ct, strings.ReplaceAll(body, "/", `\/`)
	},
	"JSON all escaped": func(s string) (string, string) {
		var b strings.Builder
		for _, r := range s {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		return "application/json", `{"message":"` + b.String() + `"}`
	},
	"XML": func(s string) (string, string) {
		var b bytes.Buffer
		xml.EscapeText(&b, []byte(s))
		key, _, _ := strings.Cut(secretKey, "/")
		if !strings.Contains(s, key) {
			key = ""
		}
		return "application/xml", `<?xml version="1.0"?><Error><Code>SignatureDoesNotMatch</Code><Message>bad ` + b.String() +
			`</Message><AWSAccessKeyId>` + key + `</AWSAccessKeyId><StringToSign>AWS4 ` + b.String() + `</StringToSign></Error>`
	},
	"HTML": func(s string) (string, string) {
		return "text/html", "<html><title>bad " + html.EscapeString(s) + "</title><a href='" + html.EscapeString(s) + "'>"
	},
	"at the end of what is read": func(s string) (string, string) {
		return "text/plain", strings.Repeat("x", 64<<10-len(s)/2) + s + s
	},
	"on the first line's end": func(s string) (string, string) { return "text/plain", strings.Repeat("x ", 240) + s },
}

func jsonEcho(v any) (string, string) {
	b, _ := json.Marshal(v)
	return "application/json", string(b)
}

// echoedAuths are the ways in which a request carries a secret.
var echoedAuths = map[string]porter.Auth{
	"private": porter.PrivateToken(secretToken),
	"bearer":  porter.BearerToken(secretToken),
	"basic": func(req *http.Request) error {
		req.SetBasicAuth("user", secretToken)
		return nil
	},
	"query": func(req *http.Request) error {
		q := req.URL.Query()
		q.Set("private_token", secretToken)
		req.URL.RawQuery = q.Encode()
		return nil
	},
	"cookie": func(req *http.Request) error {
		req.AddCookie(&http.Cookie{Name: "_session", Value: secretToken})
		return nil
	},
}

// echoedCalls are those that carry one.
var echoedCalls = map[string]func(context.Context, *porter.Client) error{
	"schedule": func(ctx context.Context, c *porter.Client) error {
		return c.ScheduleExport(ctx, porter.ProjectID(42),
			&porter.ScheduleExportOptions{Upload: &porter.UploadTarget{URL: signed("https://bucket.example.com/a.tar.gz")}})
	},
	"status": func(ctx context.Context, c *porter.Client) error {
		_, err := c.GetExport(ctx, porter.ProjectID(42))
		return err
	},
	"download": func(ctx context.Context, c *porter.Client) error {
		_, err := c.DownloadExport(ctx, porter.ProjectID(42), io.Discard, nil)
		return err
	},
	"import": func(ctx context.Context, c *porter.Client) error {
		_, err := c.StartImport(ctx, porter.ReaderSource(strings.NewReader("x"), 1), porter.ImportOptions{Path: "a"})
		return err
	},
	"from URL": func(ctx context.Context, c *porter.Client) error {
		_, err := c.StartImportFromURL(ctx, signed("https://bucket.example.com/a.tar.gz"), porter.ImportOptions{Path: "a"})
		return err
	},
	"from S3": func(ctx context.Context, c *porter.Client) error {
		_, err := c.StartImportFromS3(ctx, porter.S3Object{Region: "r", Bucket: "b", Key: "k", AccessKeyID: "AKIAIOSFODNN7EXAMPLE",
			SecretAccessKey: secretSignature}, porter.ImportOptions{Path: "a"})
		return err
	},
	"wait": func(ctx context.Context, c *porter.Client) error {
		_, err := c.WaitForExport(ctx, porter.ProjectID(42))
		return err
	},
	"URL source": func(ctx context.Context, c *porter.Client) error {
		rc, err := porter.URLSource(signed(strings.TrimSuffix(c.BaseURL(), "/api/v4/")+"/a.tar.gz"), nil).Open(ctx)
		if err == nil {
			rc.Close()
		}
		return err
	},
}

// TestEchoedSecrets lets servers repeat what they were sent, in every way.
func TestEchoedSecrets(t *testing.T) {
	for echo, say := range echoes {
		t.Run(echo, func(t *testing.T) {
			t.Parallel()
			status := 0
			answer := func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				form, _ := url.QueryUnescape(string(body))
				var sent struct {
					Upload struct{ URL string } `json:"upload"`
				}
				json.Unmarshal(body, &sent)
				heard := strings.Join([]string{r.Header.Get("PRIVATE-TOKEN"), r.Header.Get("Authorization"), r.Header.Get("Cookie"),
					r.URL.RawQuery, r.URL.Query().Get("X-Amz-Signature"), sent.Upload.URL, form}, " ")
				if _, pass, ok := r.BasicAuth(); ok {
					heard += " " + pass
				}
				ct, text := say(heard)
				w.Header().Set("Content-Type", ct)
				w.Header().Set("X-Request-Id", r.Header.Get("PRIVATE-TOKEN")+r.Header.Get("Authorization"))
				w.WriteHeader(status)
				io.WriteString(w, text)
			}
			storage := httptest.NewServer(http.HandlerFunc(answer))
			defer storage.Close()
			home := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/download") {
					http.Redirect(w, r, signed(storage.URL), http.StatusFound)
					return
				}
				answer(w, r)
			}))
			defer home.Close()
			for kind, auth := range echoedAuths {
				for name, call := range echoedCalls {
					if kind != "private" && name != "status" && name != "import" {
						continue // credentials are treated alike
					}
					for _, status = range []int{200, 400, 403, 404, 503} {
						if name == "URL source" && status == 503 {
							continue // it would be tried again for a while
						}
						if strings.HasPrefix(echo, "at the end") && (kind != "private" || status > 200 && status != 403) {
							continue // each takes its time
						}
						g := new(gossip)
						c := newClient(t, home.URL, auth, append(g.options(), porter.WithRetry(0, nil), porter.WithoutPacing(),
							porter.WithPolling(porter.Polling{Backoff: porter.ConstantBackoff(0), Patience: time.Nanosecond}))...)
						err := call(t.Context(), c)
						if err == nil {
							t.Errorf("%s, %s, %d: no error", name, kind, status)
						}
						g.hear(err)
						g.told(t, allSecrets...)
						if t.Failed() {
							t.Fatalf("%s, %s, %d: %v", name, kind, status, err)
						}
					}
				}
			}
		})
	}
}

// What a transport says of a failure may hold the whole URL.
func TestSecretsOfTransports(t *testing.T) {
	rt := roundTripper(func(req *http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("cannot %s %s with %v", req.Method, req.URL, req.Header)
	})
	for name, auth := range map[string]porter.Auth{
		"private": porter.PrivateToken(secretToken),
		"query": func(req *http.Request) error {
			req.URL.RawQuery = "private_token=" + secretToken
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := new(gossip)
			c := newClient(t, "https://gitlab.example.com", auth,
				append(g.options(), porter.WithTransport(rt), porter.WithRetry(1, porter.ConstantBackoff(0)))...)
			_, err := c.GetExport(t.Context(), porter.ProjectID(42))
			if err == nil || !errors.Is(err, porter.ErrNoAnswer) {
				t.Fatalf("error is %v", err)
			}
			g.hear(err)
			g.told(t, allSecrets...)
		})
	}
}

// Values that hold secrets are not marshaled in any form, rather than to come
// back without them, and the error says why without repeating them.
func TestSecretsAreNotMarshaled(t *testing.T) {
	target := porter.UploadTarget{URL: signed("https://user:" + secretToken + "@bucket.example.com/a.tar.gz")}
	object := porter.S3Object{Region: "r", Bucket: "b", Key: "k", AccessKeyID: secretKey, SecretAccessKey: secretSignature}
	options := porter.ScheduleExportOptions{Description: "d", Upload: &target}
	export := porter.ExportOptions{ScheduleExportOptions: options}
	type holder struct{ Object porter.S3Object }
	codecs := map[string]func(any) ([]byte, error){
		"JSON": json.Marshal,
		"XML":  xml.Marshal,
		"gob": func(v any) ([]byte, error) {
			var b bytes.Buffer
			err := gob.NewEncoder(&b).Encode(v)
			return b.Bytes(), err
		},
	}
	for name, marshal := range codecs {
		for _, v := range []any{target, &target, object, &object, options, &options, []porter.UploadTarget{target},
			[]*porter.S3Object{&object},
			holder{object}, export, &export, porter.MigrateOptions{Export: &export}} {
			b, err := marshal(v)
			if err == nil || !strings.Contains(err.Error(), "is not marshaled: it holds a secret") {
				if _, ok := v.(porter.MigrateOptions); !ok || err == nil { // which holds functions, too
					t.Errorf("%s of %T: %s, %v", name, v, b, err)
				}
			}
			for _, secret := range allSecrets {
				if strings.Contains(string(b)+fmt.Sprint(err), secret) {
					t.Errorf("%s of %T: %s, %v", name, v, b, err)
				}
			}
		}
	}
	for _, v := range []any{map[string]porter.S3Object{"o": object}, map[string]any{"t": &target}} {
		if b, err := json.Marshal(v); err == nil {
			t.Errorf("JSON of %T: %s", v, b)
		}
	}
	// Without a secret there is nothing to lose.
	want := porter.ScheduleExportOptions{Description: "d"}
	b, err := json.Marshal(want)
	var got porter.ScheduleExportOptions
	if err != nil || json.Unmarshal(b, &got) != nil || got != want {
		t.Errorf("%s, %v comes back as %+v", b, err, got)
	}
	// A client has nothing that could be marshaled.
	client := newClient(t, "https://gitlab.example.com", porter.PrivateToken(secretToken))
	for name, marshal := range codecs {
		if b, err := marshal(client); strings.Contains(string(b)+fmt.Sprint(err), "SECRET") {
			t.Errorf("%s of a client: %s, %v", name, b, err)
		}
	}
}

// Values that hold secrets do not print them.
func TestSecretsOfValues(t *testing.T) {
	g := new(gossip)
	target := porter.UploadTarget{URL: signed("https://user:" + secretToken + "@bucket.example.com/a.tar.gz")}
	object := porter.S3Object{Region: "r", Bucket: "b", Key: "k", AccessKeyID: secretKey, SecretAccessKey: secretSignature}
	options := porter.ScheduleExportOptions{Upload: &target}
	export := porter.ExportOptions{ScheduleExportOptions: options}
	client := newClient(t, "https://gitlab.example.com", porter.PrivateToken(secretToken))
	for _, v := range []any{
		target, &target, object, &object, options, &options, export, &export, porter.MigrateOptions{Export: &export}, client, *client,
		porter.URLSource(target.URL, nil), porter.PrivateToken(secretToken), client.ExportSource(porter.ProjectID(1)),
	} {
		g.hear(v)
	}
	g.told(t, allSecrets...)
	text := g.buf.String()
	for _, want := range []string{"PUT https://bucket.example.com/a.tar.gz", "s3://b/k (r)"} {
		if !strings.Contains(text, want) {
			t.Errorf("nobody learns %q", want)
		}
	}
}
