package porter_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

func TestImportOptionsAreChecked(t *testing.T) {
	t.Parallel()
	s := portertest.NewServer()
	defer s.Close()
	c := connect(t, s)
	long := "line\x00"
	tests := []struct {
		name string
		opts porter.ImportOptions
		text string
	}{
		{"no path", porter.ImportOptions{}, "path is empty"},
		{"full path", porter.ImportOptions{Path: "group/app"}, "holds a slash"},
		{"dot", porter.ImportOptions{Path: "."}, "dots only"},
		{"dots", porter.ImportOptions{Path: ".."}, "dots only"},
		{"hyphen", porter.ImportOptions{Path: "-app"}, "begin with '-'"},
		{"git", porter.ImportOptions{Path: "app.git"}, "'.git'"},
		{"atom", porter.ImportOptions{Path: "app.atom"}, "'.atom'"},
		{"space", porter.ImportOptions{Path: "my app"}, "may hold only"},
		{"accent", porter.ImportOptions{Path: "käse"}, "may hold only"},
		{"control character in path", porter.ImportOptions{Path: "app\r\n"}, "may hold only"},
		{"control character in name", porter.ImportOptions{Path: "app", Name: "a\nb"}, "control characters"},
		{"invalid UTF-8 in name", porter.ImportOptions{Path: "app", Name: "a\xff"}, "name"},
		{"namespace ID 0", porter.ImportOptions{Path: "app", Namespace: porter.NamespaceID(0)}, "not positive"},
		{"negative namespace ID", porter.ImportOptions{Path: "app", Namespace: porter.NamespaceID(-3)}, "not positive"},
		{"empty namespace", porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("")}, "is empty"},
		{"digits", porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("42")}, "NamespaceID"},
		{"slash before", porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("/group")}, "empty segment"},
		{"slash after", porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("group/")}, "empty segment"},
		{"escaped", porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("group%2Fsub")}, "escaped already"},
		{"parent", porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("group/..")}, `".."`},
		{"override", porter.ImportOptions{Path: "app", Override: &porter.ProjectOverrides{Description: &long}}, "description"},
		{"extra override", porter.ImportOptions{Path: "app", Override: &porter.ProjectOverrides{Extra: url.Values{"a\"b": {"x"}}}},
			"malformed key"},
		{"avatar", porter.ImportOptions{Path: "app", Override: &porter.ProjectOverrides{Avatar: &porter.Avatar{Name: "a.png"}}}, "no data"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			oneLine := func(err error) {
				t.Helper()
				if err != nil && strings.ContainsAny(err.Error(), "\r\n") {
					t.Errorf("the error has line ends: %q", err)
				}
			}
			imp, err := c.StartImport(t.Context(), sourceOf(smallArchive), tt.opts)
			if imp != nil || err == nil || !strings.HasPrefix(err.Error(), "start import") || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("StartImport: got %+v, %v; want %q", imp, err, tt.text)
			}
			oneLine(err)
			imp, err = c.Import(t.Context(), sourceOf(smallArchive), tt.opts)
			if imp != nil || err == nil || !strings.HasPrefix(err.Error(), "import") || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("Import: got %+v, %v; want %q", imp, err, tt.text)
			}
			oneLine(err)
			if tt.opts.Path == "" {
				return
			}
			m, err := porter.Migrate(t.Context(), c, porter.ProjectPath("team/app"), c, porter.MigrateOptions{Import: tt.opts})
			if m != nil || err == nil || !strings.HasPrefix(err.Error(), "migrate team/app: ") || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("Migrate: got %+v, %v; want %q", m, err, tt.text)
			}
			oneLine(err)
		})
	}
	if rs := s.Requests(); len(rs) > 0 {
		t.Errorf("%d requests were made: %s %s", len(rs), rs[0].Method, rs[0].Path)
	}
}

// TestImportGoesWhereItShould imports into each kind of namespace on servers
// that know one parameter for it and on those that know three.
func TestImportGoesWhereItShould(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"11.8", "12.10", "13.12", "18.6", "18.9"} {
		s := portertest.NewServer(portertest.Version(version), portertest.NoLimits(), portertest.MaxImportSize(0))
		defer s.Close()
		id := s.AddGroup("acme")
		s.AddGroup("acme/tools")
		c := connect(t, s, porter.WithoutPacing())
		tests := []struct {
			ns    porter.NamespaceRef
			path  string
			field string
		}{
			{porter.NamespacePath("acme"), "acme/one", "acme"},
			{porter.NamespacePath("ACME/Tools"), "acme/tools/two", "ACME/Tools"},
			{porter.NamespaceID(id), "acme/three", fmt.Sprint(id)},
			{porter.NamespacePath("owner"), "owner/four", "owner"},
			{nil, "owner/five", ""},
		}
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s %v", version, tt.ns), func(t *testing.T) {
				imp, err := c.Import(t.Context(), sourceOf(smallArchive),
					porter.ImportOptions{Path: tt.path[strings.LastIndex(tt.path, "/")+1:], Namespace: tt.ns})
				if err != nil {
					t.Fatal(err)
				}
				if string(imp.PathWithNamespace) != tt.path || !imp.Complete() || s.Project(tt.path) == nil {
					t.Errorf("got %+v", imp)
				}
				posts := uploads(s)
				last := posts[len(posts)-1]
				if got := last.Field("namespace"); got != tt.field {
					t.Errorf("namespace %q", got)
				}
				for _, f := range last.Fields {
					if f[0] == "namespace_id" || f[0] == "namespace_path" {
						t.Errorf("sent %s, which older servers drop", f[0])
					}
				}
			})
		}
	}
}

// TestWrongNamespace checks the answer's path against the namespace asked for.
func TestWrongNamespace(t *testing.T) {
	t.Parallel()
	tests := []struct {
		asked porter.NamespaceRef
		path  string
		wrong bool
	}{
		{porter.NamespacePath("acme"), "acme/app", false},
		{porter.NamespacePath("acme"), "Acme/app", false},
		{porter.NamespacePath("Acme/Tools"), "acme/tools/app", false},
		{porter.NamespacePath("acme"), "acme/app-0123456789abcdef0123456789abcdef", false}, // overwrites
		{porter.NamespacePath("acme"), "user/app", true},
		{porter.NamespacePath("acme"), "acme/tools/app", true},
		{porter.NamespacePath("acme/tools"), "acme/app", true},
		{porter.NamespacePath("acme"), "acme2/app", true},
		{porter.NamespaceID(7), "anywhere/app", false},
		{nil, "user/app", false},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%v is %s", tt.asked, tt.path), func(t *testing.T) {
			mock := httpmock.NewMockTransport()
			mock.RegisterResponder("POST", "https://git.test/api/v4/projects/import",
				drained(201, `{"id":7,"path_with_namespace":"`+tt.path+`","import_status":"scheduled"}`))
			c := newClient(t, "https://git.test", nil, porter.WithTransport(mock))
			imp, err := c.StartImport(t.Context(), sourceOf(smallArchive), porter.ImportOptions{Path: "app", Namespace: tt.asked})
			if imp == nil || imp.ID != 7 {
				t.Fatalf("got %+v, %v", imp, err)
			}
			if errors.Is(err, porter.ErrWrongNamespace) != tt.wrong || !tt.wrong && err != nil {
				t.Errorf("got %v", err)
			}
			if tt.wrong && (!strings.Contains(err.Error(), tt.path) || !strings.Contains(err.Error(), tt.asked.String())) {
				t.Errorf("%v does not say where the project is", err)
			}
		})
	}
}

// drained answers once it has read the request.
func drained(status int, body string) httpmock.Responder {
	return func(r *http.Request) (*http.Response, error) {
		if r.Body != nil {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return nil, err
			}
			r.Body.Close()
		}
		resp := httpmock.NewStringResponse(status, body)
		resp.Request = r
		return resp, nil
	}
}

// TestStartImportAnswers judges everything that can come back once the whole
// archive was sent. The request is never made again.
func TestStartImportAnswers(t *testing.T) {
	t.Parallel()
	const ok = `{"id":9001,"path_with_namespace":"user/app","import_status":"scheduled","a_new_key":{}}`
	lost := []error{porter.ErrOutcomeUnknown}
	tests := []struct {
		name   string
		status int
		body   string
		is     []error
		text   string
	}{
		{"created", 201, ok, nil, ""},
		{"created, says 200", 200, ok, nil, ""},
		{"status unknown to us", 201, `{"id":9001,"import_status":"pondering","failed_relations":null,"import_error":null}`, nil, ""},
		{"sign-in page", 200, "<!DOCTYPE html><html><title>Sign in</title></html>", lost, "Sign in"},
		{"sign-in page, says 201", 201, "<html><title>Sign in</title></html>", lost, "Sign in"},
		{"nothing", 201, "", lost, "0 bytes"},
		{"no content", 204, "", lost, "0 bytes"},
		{"half an answer", 201, ok[:40], lost, ""},
		{"other JSON", 201, `{"id":9001}`, lost, ""},
		{"a list", 201, `[]`, lost, ""},
		{"no ID", 201, `{"import_status":"scheduled"}`, lost, ""},
		{"404, says 200", 200, `{"message":"404 Namespace Not Found"}`, nil, "404 Namespace Not Found"},
		{"400, says 200", 200, `{"message":"Path has already been taken"}`, []error{porter.ErrProjectExists},
			"Path has already been taken"},
		{"401, says 200", 200, `{"error":"invalid_token","error_description":"Token was revoked."}`, nil, "Token was revoked."},
		{"301", 301, "", nil, "redirected to https://git.test/, not followed"},
		{"302", 302, "", nil, "not followed"},
		{"303", 303, "", nil, "not followed"},
		{"307", 307, "", nil, "not followed"},
		{"308", 308, "", nil, "not followed"},
		{"400", 400, `{"error":"path is missing"}`, nil, "path is missing"},
		{"taken", 400, `{"message":"Path has already been taken"}`, []error{porter.ErrProjectExists}, ""},
		{"taken, in German", 400, `{"message":"Pfad ist bereits vergeben"}`, nil, "vergeben"},
		{"401", 401, `{"message":"401 Unauthorized"}`, []error{porter.ErrUnauthorized}, ""},
		{"403", 403, `{"message":"403 Forbidden"}`, []error{porter.ErrForbidden}, ""},
		{"404", 404, `{"message":"404 Namespace Not Found"}`, []error{porter.ErrNotFound}, ""},
		{"409", 409, `{"message":"409 Conflict: Resource lock"}`, []error{porter.ErrConflict}, ""},
		{"413", 413, "<html>", []error{porter.ErrTooLarge}, ""},
		{"422", 422, `{"message":{"error":"You need to upload a GitLab project export archive (ending in .gz)."}}`, nil, "ending in .gz"},
		{"500", 500, `{"message":"500 Internal Server Error"}`, nil, ""},
		{"502", 502, "GitLab is not responding", lost, "502 GitLab is not responding"},
		{"503", 503, "Service Unavailable: High backlog", lost, "503"},
		{"504", 504, "<html>504 Gateway Time-out</html>", lost, "504"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mock := httpmock.NewMockTransport()
			mock.RegisterResponder("POST", "https://git.test/api/v4/projects/import", func(r *http.Request) (*http.Response, error) {
				resp, err := drained(tt.status, tt.body)(r)
				if err == nil && tt.status/100 == 3 {
					resp.Header = http.Header{"Location": {"https://git.test/?token=secret"}}
				}
				return resp, err
			})
			c := newClient(t, "https://git.test", nil, porter.WithTransport(mock), porter.WithRetry(3, porter.ConstantBackoff(0)))
			imp, err := c.StartImport(t.Context(), sourceOf(smallArchive), porter.ImportOptions{Path: "app"})
			if n := mock.GetTotalCallCount(); n != 1 {
				t.Errorf("%d requests", n)
			}
			if tt.is == nil && tt.text == "" && tt.status < 300 {
				if err != nil || imp.ID != 9001 {
					t.Errorf("got %+v, %v", imp, err)
				}
				return
			}
			var api *porter.APIError
			if imp != nil || !errors.As(err, &api) || api.StatusCode != tt.status || !strings.Contains(err.Error(), tt.text) ||
				strings.Contains(err.Error(), "secret") {
				t.Fatalf("got %+v, %v; want %q", imp, err, tt.text)
			}
			for _, target := range []error{porter.ErrOutcomeUnknown, porter.ErrProjectExists, porter.ErrUnauthorized, porter.ErrForbidden,
				porter.ErrNotFound, porter.ErrConflict, porter.ErrTooLarge} {
				want := false
				for _, is := range tt.is {
					want = want || is == target
				}
				if errors.Is(err, target) != want {
					t.Errorf("%v: is %q: %v", err, target, !want)
				}
			}
		})
	}
}

// TestStartImportLosesItsAnswer breaks the connection off after the whole
// archive was sent. The request must not be made again.
func TestStartImportLosesItsAnswer(t *testing.T) {
	tests := []struct {
		name     string
		do       portertest.Action
		opts     []porter.Option
		canceled bool
	}{
		{name: "lost", do: portertest.LoseAnswer()},
		{name: "cut in the header", do: portertest.CutResponse(0)},
		{name: "cut in the body", do: portertest.CutResponse(40)},
		{name: "stalled", do: portertest.HoldAnswer(0), opts: []porter.Option{porter.WithStallTimeout(50 * time.Millisecond)}},
		{name: "stalled in the body", do: portertest.StallResponse(40, 0),
			opts: []porter.Option{porter.WithStallTimeout(50 * time.Millisecond)}},
		{name: "canceled", do: portertest.HoldAnswer(0), canceled: true},
		{name: "canceled in the body", do: portertest.StallResponse(40, 0), canceled: true},
	}
	for _, proto := range []string{"HTTP/1.1", "HTTP/2"} {
		for _, tt := range tests {
			t.Run(proto+" "+tt.name, func(t *testing.T) {
				t.Parallel()
				if proto == "HTTP/2" {
					porter.NoBubbleForHTTP2(t)
				}
				synctest.Test(t, func(t *testing.T) { // where nothing stalls but what is to
					opts := []portertest.Option{portertest.InMemory()}
					if proto == "HTTP/2" {
						opts = append(opts, portertest.HTTP2())
					}
					s := portertest.NewServer(opts...)
					defer s.Close()
					s.Inject(portertest.Fault{Method: "POST", Do: tt.do})
					ctx, cancel := context.WithCancelCause(t.Context())
					defer cancel(nil)
					why := errors.New("enough")
					if tt.canceled {
						go func() {
							for s.Project("owner/app") == nil {
								time.Sleep(time.Millisecond)
							}
							time.Sleep(20 * time.Millisecond)
							cancel(why)
						}()
					}
					c := connect(t, s, append(tt.opts, porter.WithRetry(3, porter.ConstantBackoff(0)))...)
					imp, err := c.StartImport(ctx, sourceOf(smallArchive), porter.ImportOptions{Path: "app"})
					if imp != nil || !errors.Is(err, porter.ErrOutcomeUnknown) {
						t.Errorf("got %+v, %v", imp, err)
					}
					if errors.Is(err, context.Canceled) != tt.canceled || strings.Contains(err.Error(), why.Error()) != tt.canceled ||
						errors.Is(err, why) {
						t.Errorf("got %v", err)
					}
					if n := len(uploads(s)); n != 1 || s.Project("owner/app") == nil {
						t.Errorf("%d requests, project %+v", n, s.Project("owner/app"))
					}
				})
			})
		}
	}
}

// TestImportFindsOutWhatHappened looks for the project of an upload whose
// answer was lost.
func TestImportFindsOutWhatHappened(t *testing.T) {
	t.Parallel()
	lost := portertest.Fault{Method: "POST", Do: portertest.LoseAnswer()}
	gateway := portertest.Fault{Method: "POST", Do: portertest.Respond(504, nil, "Gateway Time-out")}
	// prepared calls f when the upload arrives.
	prepared := func(f portertest.Fault, do func()) portertest.Fault {
		once := sync.OnceFunc(do)
		f.Match = func(*http.Request) bool { once(); return true }
		return f
	}
	acme := porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("acme")}
	tests := []struct {
		name    string
		opts    porter.ImportOptions
		clock   time.Duration // by which the server's is ahead
		prepare func(t *testing.T, s *portertest.Server)
		is      []error // none: the import is found
		took    time.Duration
	}{
		{name: "it was accepted", opts: acme, prepare: func(t *testing.T, s *portertest.Server) { s.Inject(lost) }},
		{name: "the server's clock is ahead", opts: acme, clock: 5 * time.Hour,
			prepare: func(t *testing.T, s *portertest.Server) { s.Inject(lost) }},
		{name: "the server's clock is behind", opts: acme, clock: -5 * time.Hour,
			prepare: func(t *testing.T, s *portertest.Server) { s.Inject(lost) }},
		{name: "it shows later", opts: acme, took: 2 * time.Minute, prepare: func(t *testing.T, s *portertest.Server) {
			other := connect(t, s)
			s.Inject(prepared(gateway, func() {
				go func() { // GitLab behind the gateway
					time.Sleep(2 * time.Minute)
					if _, err := other.StartImport(context.Background(), sourceOf(smallArchive), acme); err != nil {
						t.Error(err)
					}
				}()
			}))
		}},
		{name: "looking fails at first", opts: acme, prepare: func(t *testing.T, s *portertest.Server) {
			s.Inject(prepared(lost, func() {
				s.Inject(portertest.Fault{Method: "GET", Times: 2, Do: portertest.Respond(502, nil, "")})
				s.Inject(portertest.Fault{Method: "GET", Do: portertest.LoseAnswer()})
			}))
		}},
		{name: "looking loses turns, and then fails", opts: acme, took: 30 * time.Minute, prepare: func(t *testing.T, s *portertest.Server) {
			s.Inject(prepared(lost, func() {
				busy := http.Header{"Retry-After": {"900"}}
				s.Inject(portertest.Fault{Method: "GET", Times: 2, Do: portertest.Respond(429, busy, "Retry later")})
				s.Inject(portertest.Fault{Method: "GET", Times: 2, Do: portertest.Respond(502, nil, "")})
			}))
		}},
		{name: "it never shows", opts: acme, prepare: func(t *testing.T, s *portertest.Server) { s.Inject(gateway) },
			is: []error{porter.ErrOutcomeUnknown}, took: 5 * time.Minute},
		{name: "looking is refused", opts: acme, prepare: func(t *testing.T, s *portertest.Server) {
			s.Inject(prepared(lost, func() {
				s.AddUser(portertest.User{Username: "owner", Token: portertest.Token, Revoked: true})
			}))
		}, is: []error{porter.ErrOutcomeUnknown, porter.ErrUnauthorized}},
		{name: "an older project is there", opts: acme, prepare: func(t *testing.T, s *portertest.Server) {
			s.Inject(portertest.Fault{Method: "GET", Do: portertest.Respond(502, nil, "")}) // the look before says nothing
			s.Inject(prepared(gateway, func() {
				s.AddProject(portertest.Project{Path: "acme/app", CreatedAt: s.Now().Add(-time.Hour)})
			}))
		}, is: []error{porter.ErrOutcomeUnknown, porter.ErrProjectExists}},
		{name: "a project is there that was not imported", opts: acme, prepare: func(t *testing.T, s *portertest.Server) {
			s.Inject(prepared(gateway, func() {
				s.AddProject(portertest.Project{Path: "acme/app", CreatedAt: s.Now()})
			}))
		}, is: []error{porter.ErrOutcomeUnknown}, took: 5 * time.Minute},
		{name: "only the namespace's ID is known", opts: porter.ImportOptions{Path: "app", Namespace: porter.NamespaceID(102)},
			prepare: func(t *testing.T, s *portertest.Server) { s.Inject(lost) }},
		{name: "only the namespace's ID is known, and it can't be looked up",
			opts: porter.ImportOptions{Path: "app", Namespace: porter.NamespaceID(102)},
			prepare: func(t *testing.T, s *portertest.Server) {
				s.Inject(lost)
				s.Inject(portertest.Fault{Path: "/namespaces/", Do: portertest.Respond(403, nil, `{"error":"insufficient_granular_scope"}`)})
			}, is: []error{porter.ErrOutcomeUnknown}},
		{name: "no namespace is known", opts: porter.ImportOptions{Path: "app"},
			prepare: func(t *testing.T, s *portertest.Server) { s.Inject(lost) }, is: []error{porter.ErrOutcomeUnknown}},
		{name: "a project is overwritten", opts: porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("acme"),
			Overwrite: true}, prepare: func(t *testing.T, s *portertest.Server) {
			s.AddProject(portertest.Project{Path: "acme/app"})
			s.Inject(lost)
		}, is: []error{porter.ErrOutcomeUnknown}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := portertest.NewServer(portertest.InMemory())
				defer s.Close()
				if id := s.AddGroup("acme"); id != 102 {
					t.Fatalf("the group's ID is %d", id)
				}
				s.Advance(tt.clock)
				tt.prepare(t, s)
				start := time.Now()
				imp, err := connect(t, s, userPolling).Import(t.Context(), sourceOf(smallArchive), tt.opts)
				took := time.Since(start)
				if tt.is == nil {
					if err != nil || !imp.Complete() || imp.PathWithNamespace != "acme/app" {
						t.Errorf("got %+v, %v", imp, err)
					}
				} else if imp != nil {
					t.Errorf("got %+v", imp)
				}
				for _, target := range tt.is {
					if !errors.Is(err, target) {
						t.Errorf("%v is no %v", err, target)
					}
				}
				if took < tt.took || took > tt.took+time.Minute {
					t.Errorf("took %v", took)
				}
				if n := len(uploads(s)); n != 1 && tt.name != "it shows later" {
					t.Errorf("%d uploads", n)
				}
			})
		})
	}
}

// TestImportCanceledWhileLooking ends the search for a project.
func TestImportCanceledWhileLooking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := portertest.NewServer(portertest.InMemory())
		defer s.Close()
		s.AddGroup("acme")
		s.Inject(portertest.Fault{Method: "POST", Do: portertest.Respond(504, nil, "")})
		ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Minute, errors.New("budget spent"))
		defer cancel()
		start := time.Now()
		_, err := connect(t, s, userPolling).Import(ctx, sourceOf(smallArchive),
			porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("acme")})
		if !errors.Is(err, porter.ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) ||
			!strings.Contains(err.Error(), "budget spent") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took != 2*time.Minute {
			t.Errorf("took %v", took)
		}
	})
}

// TestImportLooksFirst refuses to upload to a path that is taken.
func TestImportLooksFirst(t *testing.T) {
	t.Parallel()
	s := portertest.NewServer()
	defer s.Close()
	s.AddProject(portertest.Project{Path: "acme/app", FormerPaths: []string{"acme/old"}})
	c := connect(t, s)
	_, err := c.Import(t.Context(), sourceOf(smallArchive), porter.ImportOptions{Path: "APP", Namespace: porter.NamespacePath("acme")})
	if !errors.Is(err, porter.ErrProjectExists) || len(uploads(s)) > 0 || !strings.Contains(err.Error(), "acme/app") {
		t.Errorf("got %v after %d uploads", err, len(uploads(s)))
	}
	// The old path of a renamed project is free.
	if _, err := c.Import(t.Context(), sourceOf(smallArchive),
		porter.ImportOptions{Path: "old", Namespace: porter.NamespacePath("acme")}); err != nil {
		t.Error(err)
	}
	// A look that fails is no reason not to try.
	s.Inject(portertest.Fault{Method: "GET", Do: portertest.Respond(500, nil, "")})
	if _, err := c.Import(t.Context(), sourceOf(smallArchive),
		porter.ImportOptions{Path: "new", Namespace: porter.NamespacePath("acme")}); err != nil {
		t.Error(err)
	}
	// Canceled while it looks.
	ctx, cancel := context.WithCancel(t.Context())
	s.Inject(portertest.Fault{Method: "GET", Match: func(*http.Request) bool { cancel(); return true },
		Do: portertest.Delay(time.Millisecond)})
	before := len(uploads(s))
	if _, err := c.Import(ctx, sourceOf(smallArchive),
		porter.ImportOptions{Path: "new2", Namespace: porter.NamespacePath("acme")}); !errors.Is(err, context.Canceled) ||
		len(uploads(s)) != before {
		t.Errorf("got %v", err)
	}
}

// TestImportByServersClock tells its own project from an older one although the
// server's clock, which differs, was not known before the upload.
func TestImportByServersClock(t *testing.T) {
	for _, tt := range []struct {
		ahead time.Duration // the server's clock
		age   time.Duration // of the project that is there
		own   bool
	}{
		{ahead: 10 * time.Minute, age: 5 * time.Minute},
		{ahead: -10 * time.Minute, own: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			posted := false
			c := newClient(t, "https://git.test", nil, porter.WithTransport(roundTripper(func(req *http.Request) (*http.Response, error) {
				if req.Method == http.MethodPost {
					io.Copy(io.Discard, req.Body)
					posted = true
					return nil, io.EOF
				}
				if !posted {
					return nil, errors.New("no route to host")
				}
				now := time.Now().Add(tt.ahead).UTC()
				return retryAnswer(200, http.Header{"Date": {now.Format(http.TimeFormat)}}, fmt.Sprintf(
					`{"id":9,"path_with_namespace":"acme/app","created_at":%q,"import_status":"finished"}`,
					now.Add(-tt.age).Format(time.RFC3339)))(req)
			})))
			imp, err := c.Import(t.Context(), sourceOf(smallArchive),
				porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("acme")})
			if tt.own != (err == nil) || tt.own != (imp != nil) || !tt.own && !errors.Is(err, porter.ErrProjectExists) {
				t.Errorf("%v ahead: got %+v, %v", tt.ahead, imp, err)
			}
		})
	}
}

// TestImportTakenMeanwhile recognizes a taken path even if GitLab says so in
// another language.
func TestImportTakenMeanwhile(t *testing.T) {
	german := portertest.Respond(400, http.Header{"Content-Type": {"application/json"}}, `{"message":"Pfad ist bereits vergeben"}`)
	for _, taken := range []bool{true, false} {
		s := portertest.NewServer()
		defer s.Close()
		s.AddGroup("acme")
		s.Inject(portertest.Fault{Method: "POST", Do: german, Match: func(*http.Request) bool {
			if taken {
				s.AddProject(portertest.Project{Path: "acme/app"})
			}
			return true
		}})
		_, err := connect(t, s).Import(t.Context(), sourceOf(smallArchive),
			porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("acme")})
		if errors.Is(err, porter.ErrProjectExists) != taken || err == nil || errors.Is(err, porter.ErrOutcomeUnknown) {
			t.Errorf("taken %v: got %v", taken, err)
		}
	}
}

func TestImportOverwrite(t *testing.T) {
	t.Parallel()
	slow := portertest.Timings{ImportQueue: 20 * time.Millisecond, Import: 50 * time.Millisecond}
	tests := []struct {
		name string
		role portertest.Role
		ok   bool
	}{
		{"owner", portertest.Owner, true},
		{"maintainer", portertest.Maintainer, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := portertest.NewServer(portertest.Timing(slow))
			defer s.Close()
			old := s.AddProject(portertest.Project{Path: "acme/app"})
			s.AddUser(portertest.User{Username: "mia", Token: "mias"})
			s.AddMember("acme", "mia", tt.role)
			c := newClient(t, s.URL, porter.PrivateToken("mias"),
				porter.WithPolling(porter.Polling{Backoff: porter.ConstantBackoff(5 * time.Millisecond)}))
			imp, err := c.Import(t.Context(), sourceOf(smallArchive),
				porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("acme"), Overwrite: true})
			if imp == nil || int64(imp.ID) == old {
				t.Fatalf("got %+v, %v", imp, err)
			}
			for _, r := range s.Requests() {
				if r.Method == "GET" && r.Path != fmt.Sprintf("/api/v4/projects/%d/import", imp.ID) {
					t.Errorf("looked at %s", r.Path)
				}
			}
			var failed *porter.ImportError
			switch {
			case tt.ok && (err != nil || imp.PathWithNamespace != "acme/app" || s.Project("acme/app").ID != int64(imp.ID)):
				t.Errorf("got %+v, %v", imp, err)
			case !tt.ok && (!errors.As(err, &failed) || !strings.Contains(err.Error(), "cannot overwrite") ||
				s.Project("acme/app").ID != old):
				t.Errorf("got %+v, %v", imp, err)
			}
		})
	}
}

// TestImportEnds goes through the ends of an import that GitLab accepted.
func TestImportEnds(t *testing.T) {
	t.Parallel()
	relations := []portertest.FailedRelation{
		{RelationName: "issues", LineNumber: 12, Source: "process_relation_item!", ExceptionClass: "ActiveRecord::RecordInvalid"},
		{RelationName: "issues"},
		{RelationName: "merge_requests", LineNumber: 3},
	}
	tests := []struct {
		name     string
		script   portertest.ImportScript
		status   porter.ImportStatus
		complete bool
		failed   bool
		texts    []string
	}{
		{name: "finished", status: porter.ImportFinished, complete: true},
		{name: "partial", script: portertest.ImportScript{FailedRelations: relations}, status: porter.ImportFinished},
		{name: "failed", script: portertest.ImportScript{Error: "Import version mismatch: Required 0.2.4 but was 0.2.3",
			FailedRelations: relations},
			status: porter.ImportFailed, failed: true,
			texts: []string{"import of acme/app failed: Import version mismatch", "3 failed relations (issues 2, merge_requests 1)",
				"correlation ID "}},
		{name: "canceled", script: portertest.ImportScript{Canceled: true}, status: porter.ImportCanceled, failed: true,
			texts: []string{`ended with status "canceled"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := portertest.NewServer()
			defer s.Close()
			s.AddGroup("acme")
			s.ScriptImport("acme/app", tt.script)
			c := connect(t, s)
			imp, err := c.Import(t.Context(), sourceOf(smallArchive),
				porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("acme")})
			var failed *porter.ImportError
			if imp == nil || errors.As(err, &failed) != tt.failed || !tt.failed && err != nil {
				t.Fatalf("got %+v, %v", imp, err)
			}
			if imp.Status != tt.status || imp.Complete() != tt.complete || imp.CorrelationID == "" || imp.Type != "gitlab_project" {
				t.Errorf("got %+v", imp)
			}
			if tt.failed && failed.Import != imp {
				t.Errorf("the error has another import: %+v", failed.Import)
			}
			for _, text := range tt.texts {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q does not say %q", err, text)
				}
			}
			if s.Project("acme/app") == nil {
				t.Error("the project is gone")
			}
			if n := len(tt.script.FailedRelations); n > 0 {
				var names []string
				for _, f := range imp.FailedRelations {
					names = append(names, fmt.Sprint(f.RelationName, f.LineNumber))
				}
				if diff := cmp.Diff([]string{"merge_requests3", "issues0", "issues12"}, names); diff != "" {
					t.Errorf("failed relations (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// TestImportEndsWithItsContext keeps what is known of the project.
func TestImportEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := portertest.NewServer(portertest.InMemory())
		defer s.Close()
		s.ScriptImport("", portertest.ImportScript{Stuck: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		polls := s.Inject(portertest.Fault{Method: "GET", Times: -1, Do: portertest.Respond(502, nil, "")})
		c := connect(t, s, userPolling, porter.WithPolling(porter.Polling{Patience: 5 * time.Hour}))
		imp, err := c.Import(ctx, sourceOf(smallArchive), porter.ImportOptions{Path: "app"})
		var wait *porter.WaitError
		if !errors.As(err, &wait) || !errors.Is(err, context.DeadlineExceeded) || polls.Hits() == 0 {
			t.Errorf("got %v after %d polls", err, polls.Hits())
		}
		if imp == nil || imp.ID != porter.ProjectID(s.Project("owner/app").ID) || imp.Status != porter.ImportScheduled {
			t.Errorf("got %+v", imp)
		}
	})
}

// TestGetImport reads what servers of all ages say.
func TestGetImport(t *testing.T) {
	t.Parallel()
	const masked = "Ask a maintainer to check the import status for more details."
	for _, version := range []string{"10.7", "12.10", "13.0", "14.6", "16.3", "16.4", "18.9"} {
		t.Run(version, func(t *testing.T) {
			s := portertest.NewServer(portertest.Version(version))
			defer s.Close()
			s.AddGroup("acme")
			s.AddUser(portertest.User{Username: "rea", Token: "reas"})
			s.AddMember("acme", "rea", portertest.Reporter)
			s.ScriptImport("", portertest.ImportScript{Error: "It broke",
				FailedRelations: []portertest.FailedRelation{{RelationName: "issues", LineNumber: 7, ExceptionMessage: "why"}}})
			c := connect(t, s)
			imp, err := c.Import(t.Context(), sourceOf(smallArchive),
				porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("acme")})
			var failed *porter.ImportError
			if !errors.As(err, &failed) || imp.Error != "It broke" {
				t.Fatalf("got %+v, %v", imp, err)
			}
			rea := newClient(t, s.URL, porter.PrivateToken("reas"))
			got, err := rea.GetImport(t.Context(), porter.ProjectPath("acme/app"))
			if err != nil {
				t.Fatal(err)
			}
			want := *imp
			if version == "16.4" || version == "18.9" {
				want.Error = masked
			}
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Errorf("below Maintainer (-want +got):\n%s", diff)
			}
			hasRelations := version != "10.7" && version != "12.10"
			if hasRelations != (len(got.FailedRelations) == 1) {
				t.Errorf("failed relations %+v", got.FailedRelations)
			}
		})
	}
	s := portertest.NewServer()
	defer s.Close()
	id := s.AddProject(portertest.Project{Path: "acme/app", FormerPaths: []string{"acme/old"}})
	c := connect(t, s)
	for _, ref := range []porter.ProjectRef{porter.ProjectID(id), porter.ProjectPath("acme/app"), porter.ProjectPath("ACME/App"),
		porter.ProjectPath("acme/old")} {
		imp, err := c.GetImport(t.Context(), ref)
		if err != nil || int64(imp.ID) != id || imp.Status != porter.ImportNone || imp.Type != "" || imp.Complete() {
			t.Errorf("%v: got %+v, %v", ref, imp, err)
		}
	}
	if _, err := c.GetImport(t.Context(), porter.ProjectPath("acme/none")); !errors.Is(err, porter.ErrNotFound) ||
		!strings.HasPrefix(err.Error(), "get import of acme/none: ") {
		t.Errorf("got %v", err)
	}
	for _, ref := range []porter.ProjectRef{nil, porter.ProjectID(0), porter.ProjectPath("app")} {
		if _, err := c.GetImport(t.Context(), ref); err == nil || !strings.HasPrefix(err.Error(), "get import: ") {
			t.Errorf("%v: got %v", ref, err)
		}
	}
}
