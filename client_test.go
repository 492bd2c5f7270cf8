package porter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

func TestBaseURL(t *testing.T) {
	tests := []struct{ in, want, err string }{
		{in: "https://gitlab.example.com", want: "https://gitlab.example.com/api/v4/"},
		{in: "https://gitlab.example.com/", want: "https://gitlab.example.com/api/v4/"},
		{in: "https://gitlab.example.com//", want: "https://gitlab.example.com/api/v4/"},
		{in: "https://gitlab.example.com/api/v4", want: "https://gitlab.example.com/api/v4/"},
		{in: "https://gitlab.example.com/api/v4/", want: "https://gitlab.example.com/api/v4/"},
		{in: "https://gitlab.example.com/gitlab", want: "https://gitlab.example.com/gitlab/api/v4/"},
		{in: "https://gitlab.example.com/gitlab/", want: "https://gitlab.example.com/gitlab/api/v4/"},
		{in: "https://gitlab.example.com/a/b/api/v4/", want: "https://gitlab.example.com/a/b/api/v4/"},
		{in: "https://gitlab.example.com/a%20b", want: "https://gitlab.example.com/a%20b/api/v4/"},
		{in: "http://gitlab.example.com:8080", want: "http://gitlab.example.com:8080/api/v4/"},
		{in: "HTTPS://gitlab.example.com", want: "https://gitlab.example.com/api/v4/"},
		{in: "https://[::1]:8443/gitlab", want: "https://[::1]:8443/gitlab/api/v4/"},
		{in: "http://[fe80::1%25eth0]:8080", want: "http://[fe80::1%25eth0]:8080/api/v4/"},
		{in: "https://gitlab.example.com/a%2Fb", want: "https://gitlab.example.com/a%2Fb/api/v4/"},
		{in: "https://gitlab.example.com/api-gateway", want: "https://gitlab.example.com/api-gateway/api/v4/"},
		{in: "https://gitlab.example.com/my/apis", want: "https://gitlab.example.com/my/apis/api/v4/"},
		{in: "https://gitlab.example.com/api/gitlab", want: "https://gitlab.example.com/api/gitlab/api/v4/"},
		{in: "https://gitlab.example.com/api/v1/gitlab", want: "https://gitlab.example.com/api/v1/gitlab/api/v4/"},
		{in: "https://gitlab.example.com/v4", want: "https://gitlab.example.com/v4/api/v4/"},
		{in: "https://gitlab.example.com/graphql", want: "https://gitlab.example.com/graphql/api/v4/"},
		{in: "https://gitlab.example.com/api/v3/gitlab/api/v4", want: "https://gitlab.example.com/api/v3/gitlab/api/v4/"},
		{in: "https://api.example.com/", want: "https://api.example.com/api/v4/"},
		{in: "", err: "is empty: give the instance's root, such as https://gitlab.example.com"},
		{in: "gitlab.example.com", err: "must begin with"},
		{in: "gitlab.example.com:8080", err: "must begin with"},
		{in: "//gitlab.example.com", err: "must begin with"},
		{in: "ftp://gitlab.example.com", err: "must begin with"},
		{in: "ssh://git@gitlab.example.com", err: "must begin with"},
		{in: "https://", err: "has no host"},
		{in: "https:///gitlab", err: "has no host"},
		{in: "https://:443", err: "has no host"},
		{in: "https:gitlab.example.com", err: "must begin with"},
		{in: "https://user:SECRET@gitlab.example.com", err: "must not hold a user or password"},
		{in: "https://SECRET@gitlab.example.com", err: "must not hold a user or password"},
		{in: "https://user:SECRET@", err: "has no host"},
		{in: "https://gitlab.example.com?private_token=SECRET", err: "must not have a query"},
		{in: "https://gitlab.example.com/?", err: "must not have a query"},
		{in: "https://gitlab.example.com/#SECRET", err: "must not have a fragment"},
		{in: "https://gitlab.example.com/#", err: "must not have a fragment"},
		{in: "https://gitlab.example.com/a/../b", err: "segments"},
		{in: "https://gitlab.example.com/%2e%2e/b", err: "segments"},
		{in: "https://gitlab.example.com/api/v4/projects/SECRET", err: "must end at the instance's root"},
		{in: "https://gitlab.example.com/gitlab/api/v4/projects/SECRET/export", err: "not at a path below /api/v4"},
		{in: "https://gitlab.example.com/api/v4/api/v4", err: "not at a path below /api/v4"},
		{in: "https://gitlab.example.com/api", err: "must end at the instance's root or its /api/v4, not at /api"},
		{in: "https://gitlab.example.com/api/", err: "not at /api"},
		{in: "https://gitlab.example.com/gitlab/api", err: "not at /api"},
		{in: "https://gitlab.example.com/api/v3", err: "not at /api/v3"},
		{in: "https://gitlab.example.com/api/v3/projects", err: "not at a path below /api/v3"},
		{in: "https://gitlab.example.com/api/v5/", err: "not at /api/v5"},
		{in: "https://gitlab.example.com/api/graphql", err: "not at /api/graphql"},
		{in: "https://gitlab.example.com/API/V4", err: "not at /api/v4"},
		{in: "https://gitlab.example.com/api//v4", err: "not at /api/v4"},
		{in: "https://gitlab.example.com:65536", err: "has a port that is not between"},
		{in: "https://gitlab.example.com:0", err: "has a port that is not between"},
		{in: "\ufeffhttps://gitlab.example.com", err: "invisible characters"},
		{in: "https://gitlab.example.com\u200b", err: "invisible characters"},
		{in: "https://gitlab.example.com\u00a0", err: "white space"},
		{in: "https://gitlab.example.com:SECRET", err: "not a URL"},
		{in: "https://user:SECRET%zz@gitlab.example.com", err: "not a URL"},
		{in: "10.0.0.1:80", err: "must begin with"},
		{in: "https://gitlab.example.com\n", err: "white space"},
		{in: " https://gitlab.example.com", err: "white space"},
		{in: "https://git lab.example.com", err: "white space"},
		{in: "https://gitlab.example.com/%zz", err: "not a URL"},
		{in: "https://[::1", err: "not a URL"},
	}
	for _, tt := range tests {
		c, err := porter.NewClient(tt.in, porter.PrivateToken("glpat-client"))
		switch {
		case tt.err != "":
			if err == nil || !strings.HasPrefix(err.Error(), "new client: base URL: ") || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q: error is %v, want %q", tt.in, err, tt.err)
			}
			if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "SECRET") {
				t.Errorf("%q: error tells a secret: %v", tt.in, err)
			}
			if c != nil {
				t.Errorf("%q: client besides the error", tt.in)
			}
		case err != nil:
			t.Errorf("%q: %v", tt.in, err)
		case c.BaseURL() != tt.want:
			t.Errorf("%q: got %q, want %q", tt.in, c.BaseURL(), tt.want)
		}
	}
}

// What comes along with a token that was copied or read from a file is named,
// without any of the token, and nothing is sent.
func TestTokens(t *testing.T) {
	const token = "glpat-S3CRET_0.9=="
	tests := []struct{ name, token, err string }{
		{"token", token, ""},
		{"custom prefix", "corp/+:@$%{}~" + token, ""},
		{"quotes inside", "a\"b'c`d", ""},
		{"one character", "x", ""},
		{"empty", "", " is empty"},
		{"space", token + " ", "white space or a control character at its end"},
		{"line end", token + "\n", "white space or a control character at its end"},
		{"tab", "\t" + token, "white space or a control character at its start"},
		{"two tokens", token + "\r\n" + token, "white space or a control character inside"},
		{"UTF-16", "g\x00l\x00p\x00", "white space or a control character inside"},
		{"DEL", token + "\x7f", "white space or a control character at its end"},
		{"byte order mark", "\ufeff" + token, "a byte order mark at its start"},
		{"byte order mark, read as Latin-1", "\u00ef\u00bb\u00bf" + token, "a character that is not ASCII at its start"},
		{"byte order mark of UTF-16", "\xff\xfe" + token, "bytes that are no UTF-8 at its start"},
		{"cut character", token + "\xe2\x80", "bytes that are no UTF-8 inside"},
		{"no-break space", token + "\u00a0", "a no-break space at its end"},
		{"narrow no-break space", "\u202f" + token, "a no-break space at its start"},
		{"em space", "\u2003" + token, "an invisible character at its start"},
		{"line separator", token + "\u2028", "an invisible character at its end"},
		{"zero width space", token[:5] + "\u200b" + token[5:], "an invisible character inside"},
		{"zero width joiner", "\u200d" + token, "an invisible character at its start"},
		{"word joiner", token + "\u2060", "an invisible character at its end"},
		{"soft hyphen", token[:5] + "\u00ad" + token[5:], "an invisible character inside"},
		{"left-to-right mark", "\u200e" + token, "an invisible character at its start"},
		{"combining mark", token + "\u0301", "an invisible character at its end"},
		{"C1 control", token + "\u0085", "an invisible character at its end"},
		{"curly quotes", "\u201c" + token + "\u201d", "a typographic quotation mark at its start"},
		{"curly quote behind", token + "\u2019", "a typographic quotation mark at its end"},
		{"low quotes", "\u201e" + token + "\u201c", "a typographic quotation mark at its start"},
		{"guillemets", "\u00ab" + token + "\u00bb", "a typographic quotation mark at its start"},
		{"double quotes", `"` + token + `"`, "a quotation mark at its start"},
		{"single quotes", "'" + token + "'", "a quotation mark at its start"},
		{"half a pair", token + `"`, "a quotation mark at its end"},
		{"backticks", "`" + token + "`", "a quotation mark at its start"},
		{"en dash", "glpat\u2013S3CRET", "a typographic dash inside"},
		{"minus sign", "glpat\u2212S3CRET", "a character that is not ASCII inside"},
		{"letter", "glpat-S3CR\u00c9T", "a character that is not ASCII inside"},
	}
	kinds := []struct {
		name, header, before string
		auth                 func(string) porter.Auth
	}{
		{"private token", "PRIVATE-TOKEN", "", porter.PrivateToken},
		{"bearer token", "Authorization", "Bearer ", porter.BearerToken},
		{"bearer token", "Authorization", "Bearer ", func(token string) porter.Auth {
			return porter.TokenSource(func(context.Context) (string, error) { return token, nil })
		}},
	}
	for _, tt := range tests {
		for _, kind := range kinds {
			var sent []string
			answer := roundTripper(func(req *http.Request) (*http.Response, error) {
				sent = append(sent, req.Header.Get(kind.header))
				return retryAnswer(200, nil, `{"id":42,"export_status":"none"}`)(req)
			})
			c := newClient(t, "https://gitlab.example.com", kind.auth(tt.token), porter.WithTransport(answer))
			_, err := c.GetExport(t.Context(), porter.ProjectID(42))
			switch {
			case tt.err == "":
				if err != nil || len(sent) != 1 || sent[0] != kind.before+tt.token {
					t.Errorf("%s, %s: sent %q, %v", tt.name, kind.name, sent, err)
				}
			case err == nil || len(sent) > 0 || !strings.HasSuffix(err.Error(), tt.err) || !strings.Contains(err.Error(), kind.name):
				t.Errorf("%s, %s: sent %q, error is %v, want %q", tt.name, kind.name, sent, err, tt.err)
			case strings.Contains(err.Error(), "S3C"):
				t.Errorf("%s, %s: %v repeats the token", tt.name, kind.name, err)
			}
		}
	}
}

// Below a relative URL root every request stays there.
func TestRelativeRoot(t *testing.T) {
	s := portertest.NewServer(portertest.RelativeRoot("/deep/gitlab"), portertest.NoLimits())
	defer s.Close()
	s.AddProject(portertest.Project{Path: "acme/app"})
	for _, base := range []string{s.URL, s.URL + "/", s.URL + "/api/v4", s.URL + "/api/v4/"} {
		c := newClient(t, base, porter.PrivateToken(portertest.Token), porter.WithTransport(s.Transport()))
		if _, err := c.GetExport(t.Context(), porter.ProjectPath("acme/app")); err != nil {
			t.Errorf("%s: %v", base, err)
		}
	}
	for _, r := range s.Requests() {
		if r.Path != "/deep/gitlab/api/v4/projects/acme%2Fapp/export" {
			t.Errorf("asked for %s", r.Path)
		}
	}
}

func TestOptions(t *testing.T) {
	tests := []struct {
		name string
		opt  porter.Option
		err  string // none if it is fine
	}{
		{"nil", nil, "option is nil"},
		{"no HTTP client", porter.WithHTTPClient(nil), "HTTP client is nil"},
		{"empty HTTP client", porter.WithHTTPClient(&http.Client{}), ""},
		{"no transport", porter.WithTransport(nil), "transport is nil"},
		{"no logger", porter.WithLogger(nil), "logger is nil"},
		{"no observer", porter.WithObserver(nil), ""},
		{"no retries", porter.WithRetry(0, nil), ""},
		{"negative retries", porter.WithRetry(-1, nil), "retries are negative"},
		{"zero polling", porter.WithPolling(porter.Polling{}), ""},
		{"negative grace", porter.WithPolling(porter.Polling{Grace: -1}), "a duration is negative"},
		{"negative patience", porter.WithPolling(porter.Polling{Patience: -1}), "a duration is negative"},
		{"no stall timeout", porter.WithStallTimeout(0), ""},
		{"negative stall timeout", porter.WithStallTimeout(-1), "stall timeout is negative"},
		{"negative transfers", porter.WithTransfers(-1), "transfers are negative"},
		{"zero pacing", porter.WithPacing(porter.Pacing{}), ""},
		{"no pacing", porter.WithoutPacing(), ""},
		{"product", porter.WithUserAgent("backup/1.0"), ""},
		{"header in a product", porter.WithUserAgent("backup\r\nX: y"), "control character"},
	}
	base := newClient(t, "https://gitlab.example.com", nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := porter.NewClient("https://gitlab.example.com", nil, tt.opt)
			d, derr := base.With(tt.opt)
			if tt.err == "" {
				if err != nil || derr != nil {
					t.Errorf("errors %v, %v", err, derr)
				}
				return
			}
			if c != nil || err == nil || !strings.HasPrefix(err.Error(), "new client: ") || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("NewClient: %v, %v", c, err)
			}
			if d != nil || derr == nil || !strings.HasPrefix(derr.Error(), "derive client: ") || !strings.Contains(derr.Error(), tt.err) {
				t.Errorf("With: %v, %v", d, derr)
			}
		})
	}
}

// A negative backoff waits no longer than none.
func TestNegativeBackoff(t *testing.T) {
	script := &retryScript{method: http.MethodGet, steps: []retryStep{retryFail(0, errRefused)}}
	if err := retryKinds[0].send(t.Context(),
		retryClient(t, script, 1, nil, porter.WithRetry(1, porter.ConstantBackoff(-time.Hour)))); err != nil {
		t.Error(err)
	}
}

// What With changes does not change what it is derived from.
func TestWith(t *testing.T) {
	var first, second []porter.EventKind
	script := func() *retryScript {
		return &retryScript{method: http.MethodGet, steps: []retryStep{retryFail(0, errRefused), retryFail(0, errRefused)}}
	}
	a := script()
	observe := func(kinds *[]porter.EventKind) porter.Option {
		return porter.WithObserver(func(ev porter.Event) { *kinds = append(*kinds, ev.Kind) })
	}
	c := retryClient(t, a, 5, nil, porter.WithRetry(5, porter.ConstantBackoff(0)), observe(&first))
	b := script()
	d, err := c.With(porter.WithTransport(b), porter.WithRetry(1, nil), observe(&second))
	if err != nil {
		t.Fatal(err)
	}
	if err := retryKinds[0].send(t.Context(), d); !errors.Is(err, errRefused) || len(b.times) != 2 || len(a.times) != 0 {
		t.Errorf("derived client: error %v after %d and %d requests", err, len(b.times), len(a.times))
	}
	if err := retryKinds[0].send(t.Context(), c); err != nil || len(a.times) != 3 || len(b.times) != 2 {
		t.Errorf("client: error %v after %d and %d requests", err, len(a.times), len(b.times))
	}
	if fmt.Sprint(first, second) != "[started retry retry done] [started retry failed]" {
		t.Errorf("events %v and %v", first, second)
	}
	e, err := c.With()
	if err != nil {
		t.Fatal(err)
	}
	if e == c || e.BaseURL() != c.BaseURL() {
		t.Error("With without options is no copy")
	}
	if err := retryKinds[0].send(t.Context(), e); err != nil || len(a.times) != 4 {
		t.Errorf("copy: error %v after %d requests", err, len(a.times))
	}
}

// nowhere fails the test if anything is sent.
func nowhere(t *testing.T) *porter.Client {
	t.Helper()
	return mocked(t, noRequest(t), porter.WithRetry(0, nil))
}

// A project that cannot be is refused by every method before a request.
func TestProjectRefs(t *testing.T) {
	t.Parallel()
	c := nowhere(t)
	ctx := t.Context()
	src := porter.ReaderSource(strings.NewReader("x"), 1)
	methods := map[string]func(porter.ProjectRef) error{
		"ScheduleExport": func(p porter.ProjectRef) error { return c.ScheduleExport(ctx, p, nil) },
		"GetExport":      func(p porter.ProjectRef) error { _, err := c.GetExport(ctx, p); return err },
		"WaitForExport":  func(p porter.ProjectRef) error { _, err := c.WaitForExport(ctx, p); return err },
		"WatchExport": func(p porter.ProjectRef) error {
			for exp, err := range c.WatchExport(ctx, p) {
				if exp != nil {
					t.Errorf("WatchExport yields %+v with %v", exp, err)
				}
				return err
			}
			return nil
		},
		"OpenExport":     func(p porter.ProjectRef) error { _, err := c.OpenExport(ctx, p); return err },
		"DownloadExport": func(p porter.ProjectRef) error { _, err := c.DownloadExport(ctx, p, io.Discard, nil); return err },
		"DownloadExportFile": func(p porter.ProjectRef) error {
			_, err := c.DownloadExportFile(ctx, p, filepath.Join(t.TempDir(), "a"), nil)
			return err
		},
		"ExportTo": func(p porter.ProjectRef) error { _, err := c.ExportTo(ctx, p, io.Discard, nil); return err },
		"ExportToFile": func(p porter.ProjectRef) error {
			_, err := c.ExportToFile(ctx, p, filepath.Join(t.TempDir(), "a"), nil)
			return err
		},
		"ExportSource":  func(p porter.ProjectRef) error { _, err := c.ExportSource(p).Open(ctx); return err },
		"GetImport":     func(p porter.ProjectRef) error { _, err := c.GetImport(ctx, p); return err },
		"WaitForImport": func(p porter.ProjectRef) error { _, err := c.WaitForImport(ctx, p); return err },
		"WatchImport": func(p porter.ProjectRef) error {
			for _, err := range c.WatchImport(ctx, p) {
				return err
			}
			return nil
		},
		"ListRelationImports":   func(p porter.ProjectRef) error { _, err := c.ListRelationImports(ctx, p); return err },
		"WaitForRelationImport": func(p porter.ProjectRef) error { _, err := c.WaitForRelationImport(ctx, p, 1); return err },
		"StartRelationImport": func(p porter.ProjectRef) error {
			path, ok := p.(porter.ProjectPath)
			if !ok {
				return errors.New("takes paths only")
			}
			_, err := c.StartRelationImport(ctx, src, path, porter.RelationIssues)
			return err
		},
		"StartRelationsExport": func(p porter.ProjectRef) error { _, err := c.StartRelationsExport(ctx, p, nil); return err },
		"WatchRelationImport": func(p porter.ProjectRef) error {
			for _, err := range c.WatchRelationImport(ctx, p, 1) {
				return err
			}
			return nil
		},
		"WatchRelationExports": func(p porter.ProjectRef) error {
			for _, err := range c.WatchRelationExports(ctx, p, time.Time{}) {
				return err
			}
			return nil
		},
		"ListRelationExports": func(p porter.ProjectRef) error { _, err := c.ListRelationExports(ctx, p); return err },
		"Migrate": func(p porter.ProjectRef) error {
			_, err := porter.Migrate(ctx, c, p, c, porter.MigrateOptions{Import: porter.ImportOptions{Path: "a"}})
			return err
		},
	}
	validID := porter.ProjectID(1) // only its pointer is no reference
	bad := []porter.ProjectRef{
		nil, porter.ProjectID(0), porter.ProjectID(-1), porter.ProjectPath(""), porter.ProjectPath("app"), porter.ProjectPath("42"),
		porter.ProjectPath("/"), porter.ProjectPath("/group/app"), porter.ProjectPath("group/app/"), porter.ProjectPath("group//app"),
		porter.ProjectPath("."), porter.ProjectPath("../app"), porter.ProjectPath("group/.."), porter.ProjectPath("group/./app"),
		porter.ProjectPath("group%2Fapp"), porter.ProjectPath("group%2fsub/app"), porter.ProjectPath("group/my app"),
		porter.ProjectPath("group/app\n"), porter.ProjectPath("group/\x00app"), porter.ProjectPath("group/\xffapp"),
		&validID, (*porter.ProjectID)(nil), (*porter.ProjectPath)(nil), struct{ porter.ProjectPath }{"group/app"},
	}
	for name, method := range methods {
		for _, p := range bad {
			if err := method(p); err == nil {
				t.Errorf("%s accepts %#v", name, p)
			}
		}
	}
}

// A writer that is missing is found before anything is exported for it.
func TestNilWriter(t *testing.T) {
	c := nowhere(t)
	ctx, p := t.Context(), porter.ProjectID(1)
	_, toErr := c.ExportTo(ctx, p, nil, nil)
	_, downloadErr := c.DownloadExport(ctx, p, nil, nil)
	_, relationErr := c.DownloadRelationExport(ctx, p, porter.RelationFile{Relation: porter.PortableIssues}, nil, nil)
	for _, err := range []error{toErr, downloadErr, relationErr} {
		if err == nil || !strings.HasSuffix(err.Error(), ": writer is nil") {
			t.Errorf("error is %v", err)
		}
	}
}

// A path is sent as one segment, whatever it holds.
func TestProjectPathIsEscaped(t *testing.T) {
	for _, tt := range []struct {
		ref  porter.ProjectRef
		want string
	}{
		{porter.ProjectID(42), "42"},
		{porter.ProjectPath("group/app"), "group%2Fapp"},
		{porter.ProjectPath("group/sub.group/my-app_1"), "group%2Fsub.group%2Fmy-app_1"},
		{porter.ProjectPath("group/a?b#c%d;e"), "group%2Fa%3Fb%23c%25d%3Be"},
		{porter.ProjectPath("grüppe/äpp"), "gr%C3%BCppe%2F%C3%A4pp"},
	} {
		var got string
		c := retryClient(t, roundTripper(func(req *http.Request) (*http.Response, error) {
			got = req.URL.EscapedPath() + req.URL.RawQuery + req.URL.Fragment
			return retryAnswer(200, nil, `{"id":42,"export_status":"none"}`)(req)
		}), 0, nil)
		if _, err := c.GetExport(t.Context(), tt.ref); err != nil {
			t.Error(err)
		}
		if want := "/api/v4/projects/" + tt.want + "/export"; got != want {
			t.Errorf("%v: asked for %s, want %s", tt.ref, got, want)
		}
	}
}

func TestNamespaceRefs(t *testing.T) {
	valid := porter.NamespacePath("group") // only its pointer is no reference
	bad := []porter.NamespaceRef{
		porter.NamespaceID(0), porter.NamespaceID(-7), porter.NamespacePath(""), porter.NamespacePath("/group"),
		porter.NamespacePath("group/"),
		porter.NamespacePath("a//b"), porter.NamespacePath(".."), porter.NamespacePath("a/../b"), porter.NamespacePath("a%2Fb"),
		porter.NamespacePath("a b"), porter.NamespacePath("a\r\nb"), porter.NamespacePath("1234"), porter.NamespacePath("\xff"),
		&valid, (*porter.NamespaceID)(nil), (*porter.NamespacePath)(nil),
	}
	c := nowhere(t)
	for _, ns := range bad {
		opts := porter.ImportOptions{Path: "app", Namespace: ns}
		if _, err := c.StartImport(t.Context(), porter.ReaderSource(strings.NewReader("x"), 1), opts); err == nil {
			t.Errorf("StartImport accepts %#v", ns)
		}
		if _, err := c.Import(t.Context(), porter.ReaderSource(strings.NewReader("x"), 1), opts); err == nil {
			t.Errorf("Import accepts %#v", ns)
		}
		if _, err := c.StartImportFromURL(t.Context(), "https://storage.example.com/a.tar.gz", opts); err == nil {
			t.Errorf("StartImportFromURL accepts %#v", ns)
		}
		if _, err := porter.Migrate(t.Context(), c, porter.ProjectID(1), c, porter.MigrateOptions{Import: opts}); err == nil {
			t.Errorf("Migrate accepts %#v", ns)
		}
	}
	for ns, want := range map[porter.NamespaceRef]string{
		porter.NamespaceID(7): "7", porter.NamespacePath("group"): "group", porter.NamespacePath("group/42"): "group/42",
		porter.NamespacePath("4a"): "4a",
	} {
		s := portertest.NewServer()
		s.AddGroup("group/42")
		connect(t, s).StartImport(t.Context(), porter.ReaderSource(strings.NewReader("x"), 1),
			porter.ImportOptions{Path: "app", Namespace: ns})
		for _, r := range s.Requests() {
			if got := r.Field("namespace"); got != want || r.Field("namespace_id")+r.Field("namespace_path") != "" {
				t.Errorf("%#v: sent %v", ns, r.Fields)
			}
		}
		s.Close()
	}
}

func TestClientIsPrintable(t *testing.T) {
	c := newClient(t, "https://gitlab.example.com", porter.PrivateToken("SECRET"))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, c); got != "porter client of https://gitlab.example.com/api/v4/" {
			t.Errorf("%s: %s", verb, got)
		}
	}
}

// Answers are bounded, and what makes no sense is an error that says what came.
func TestOddAnswers(t *testing.T) {
	tests := []struct {
		name string
		step retryStep
		want string // "" if it is a fine answer
	}{
		{"page", retryAnswer(200, http.Header{"Content-Type": {"text/html"}}, "<title>Sign in</title>"),
			"unexpected answer (text/html): HTML page “Sign in”; this is no answer of GitLab's API: check the base URL"},
		{"empty", retryAnswer(200, nil, ""), "unexpected answer (no content type, 0 bytes)"},
		{"204", retryAnswer(204, nil, ""), "204 unexpected answer"},
		{"another object", retryAnswer(200, nil, `{"version":"18.9.0"}`), "unexpected answer"},
		{"message", retryAnswer(200, nil, `{"message":"202 Accepted"}`), "unexpected answer (no content type): 202 Accepted"},
		{"list", retryAnswer(200, nil, `[]`), "unexpected answer (no content type): []: it is of type array"},
		{"null", retryAnswer(200, nil, `null`), "unexpected answer"},
		{"cut off", retryAnswer(200, nil, `{"id":42,"export_status":"star`), ": unexpected end of JSON input"},
		{"two objects", retryAnswer(200, nil, `{"id":42,"export_status":"none"}{}`), "unexpected answer"},
		{"ID of another type", retryAnswer(200, nil, `{"id":"42","export_status":"none"}`), ": id is of type string"},
		{"status of another type", retryAnswer(200, nil, `{"id":42,"export_status":1}`), ": export_status is of type number"},
		{"no status", retryAnswer(200, nil, `{"id":42}`), "unexpected answer"},
		{"null status", retryAnswer(200, nil, `{"id":42,"export_status":null}`), "unexpected answer"},
		{"unknown fields", retryAnswer(200, nil, `{"id":42,"export_status":"none","new":{"a":[1]}}`), ""},
		{"nulls", retryAnswer(200, nil, `{"id":42,"description":null,"name":null,"created_at":null,"_links":null,"export_status":"none"}`),
			""},
		{"unknown status", retryAnswer(200, nil, `{"id":42,"export_status":"after_export_action"}`), ""},
		{"203 of a proxy", retryAnswer(203, nil, `{"id":42,"export_status":"none"}`), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			script := &retryScript{method: http.MethodGet, steps: []retryStep{tt.step}}
			exp, err := retryClient(t, script, 3, nil).GetExport(t.Context(), porter.ProjectID(42))
			var api *porter.APIError
			switch {
			case tt.want == "" && (err != nil || exp.ID != 42):
				t.Errorf("got %+v, %v", exp, err)
			case tt.want != "" && (!errors.As(err, &api) || !strings.Contains(err.Error(), tt.want) || exp != nil):
				t.Errorf("got %+v, %v", exp, err)
			}
			if len(script.times) != 1 {
				t.Errorf("%d requests", len(script.times))
			}
		})
	}
}

// Old servers leave keys out of an import, and newer ones send null.
func TestLenientImports(t *testing.T) {
	for name, body := range map[string]string{
		"11.8": `{"id":42,"description":"","name":"app","name_with_namespace":"acme / app","path":"app","path_with_namespace":"acme/app",` +
			`"created_at":"2019-02-14T08:15:30.123+02:00","import_status":"finished"}`,
		"13.12": `{"id":42,"path_with_namespace":"acme/app","import_status":"finished","correlation_id":"x","failed_relations":[],` +
			`"import_error":null}`,
		"18.9": `{"id":42,"path_with_namespace":"acme/app","import_status":"finished","import_type":null,"correlation_id":null,` +
			`"failed_relations":[],"import_error":null,"stats":null}`,
		"line": `{"id":42,"path_with_namespace":"acme/app","import_status":"finished","failed_relations":null}`,
	} {
		script := &retryScript{method: http.MethodGet, steps: []retryStep{retryAnswer(200, nil, body)}}
		imp, err := retryClient(t, script, 0, nil).GetImport(t.Context(), porter.ProjectID(42))
		if err != nil || !imp.Complete() || imp.Error != "" || imp.PathWithNamespace != "acme/app" {
			t.Errorf("%s: %+v, %v", name, imp, err)
		}
	}
	// One that ended with an error is not complete, whatever its status is.
	for body, complete := range map[string]bool{
		`{"id":42,"import_status":"finished","import_error":""}`:                                                   true,
		`{"id":42,"import_status":"finished","import_error":"Ask a maintainer","failed_relations":[]}`:             false,
		`{"id":42,"import_status":"started"}`:                                                                      false,
		`{"id":42,"import_status":"finished","import_error":null,"failed_relations":[{"relation_name":"issues"}]}`: false,
	} {
		script := &retryScript{method: http.MethodGet, steps: []retryStep{retryAnswer(200, nil, body)}}
		if imp, err := retryClient(t, script, 0, nil).GetImport(t.Context(), porter.ProjectID(42)); err != nil ||
			imp.Complete() != complete {
			t.Errorf("%s: complete %v, %v", body, !complete, err)
		}
	}
	script := &retryScript{method: http.MethodGet, steps: []retryStep{retryAnswer(200, nil,
		`{"id":42,"import_status":"finished","failed_relations":[{"id":77,"created_at":"2024-05-01T09:44:10.001Z","exception_class":"E",`+
			`"source":"s","exception_message":null,"relation_name":"issues","line_number":null}]}`)}}
	imp, err := retryClient(t, script, 0, nil).GetImport(t.Context(), porter.ProjectID(42))
	if err != nil || imp.Complete() || imp.FailedRelations[0].RelationName != "issues" {
		t.Errorf("%+v, %v", imp, err)
	}
}

// endless is a body without end that counts what was read of it.
type endless struct {
	piece  []byte
	read   int64
	closed bool
}

func (e *endless) Read(b []byte) (int, error) {
	n := copy(b, e.piece)
	e.read += int64(n)
	return n, nil
}

func (e *endless) Close() error { e.closed = true; return nil }

// However long an answer is, only so much of it is read, and it is closed.
func TestEndlessAnswers(t *testing.T) {
	for _, tt := range []struct {
		status int
		piece  string
		most   int64
	}{
		{200, " ", 9 << 20}, {200, `{"a":`, 9 << 20}, {404, "x", 65 << 10}, {500, "<html>", 65 << 10}, {400, `{"message":"`, 65 << 10},
		{302, "x", 65 << 10},
	} {
		for _, kind := range retryKinds[:3] {
			body := &endless{piece: bytes.Repeat([]byte(tt.piece), 4096)}
			script := &retryScript{method: kind.method, steps: []retryStep{func(req *http.Request) (*http.Response, error) {
				resp, err := retryAnswer(tt.status, nil, "")(req)
				resp.Body, resp.ContentLength = body, -1
				return resp, err
			}}}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := kind.send(t.Context(), retryClient(t, script, 0, nil))
			runtime.ReadMemStats(&after)
			var api *porter.APIError
			if !errors.As(err, &api) || api.StatusCode != tt.status || len(api.Body) > 64<<10 || len(err.Error()) > 2000 {
				t.Errorf("%d, %s: error is %.300v", tt.status, kind.name, err)
			}
			if body.read > tt.most || !body.closed {
				t.Errorf("%d, %s: read %d bytes, closed %v", tt.status, kind.name, body.read, body.closed)
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 96<<20 {
				t.Errorf("%d, %s: allocated %d MiB", tt.status, kind.name, grown>>20)
			}
		}
	}
}
