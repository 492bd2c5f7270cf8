package porter_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// hintCalls are one call of each kind, all about acme/app.
var hintCalls = map[string]func(context.Context, *porter.Client) error{
	"schedule": func(ctx context.Context, c *porter.Client) error {
		return c.ScheduleExport(ctx, porter.ProjectPath("acme/app"), nil)
	},
	"status": func(ctx context.Context, c *porter.Client) error {
		_, err := c.GetExport(ctx, porter.ProjectPath("acme/app"))
		return err
	},
	"download": func(ctx context.Context, c *porter.Client) error {
		_, err := c.DownloadExport(ctx, porter.ProjectPath("acme/app"), io.Discard, nil)
		return err
	},
	"import": func(ctx context.Context, c *porter.Client) error {
		a := portertest.NewArchive(portertest.MinArchiveSize)
		_, err := c.StartImport(ctx, sourceOf(a), porter.ImportOptions{Path: "copy", Namespace: porter.NamespacePath("acme")})
		return err
	},
	"from URL": func(ctx context.Context, c *porter.Client) error {
		_, err := c.StartImportFromURL(ctx, "https://store.example.com/a.tar.gz",
			porter.ImportOptions{Path: "copy", Namespace: porter.NamespacePath("acme")})
		return err
	},
	"status by ID": func(ctx context.Context, c *porter.Client) error {
		_, err := c.GetExport(ctx, porter.ProjectID(42))
		return err
	},
	"import status": func(ctx context.Context, c *porter.Client) error {
		_, err := c.GetImport(ctx, porter.ProjectPath("acme/app"))
		return err
	},
	"relation import": func(ctx context.Context, c *porter.Client) error {
		a := portertest.NewArchive(portertest.MinArchiveSize)
		_, err := c.StartRelationImport(ctx, sourceOf(a), "acme/app", porter.RelationIssues)
		return err
	},
	"relation imports": func(ctx context.Context, c *porter.Client) error {
		_, err := c.ListRelationImports(ctx, porter.ProjectPath("acme/app"))
		return err
	},
	"relations": func(ctx context.Context, c *porter.Client) error {
		_, err := c.ListRelationExports(ctx, porter.ProjectPath("acme/app"))
		return err
	},
}

func TestHints(t *testing.T) {
	t.Parallel()
	const (
		noSuchToken  = "the token is missing or unknown"
		needsExport  = "exporting needs the Maintainer role in the project"
		sourceOff    = "is switched off on this instance, as it is by default"
		exportOff    = "exports may be switched off on this instance"
		transferOff  = "direct transfer may be switched off"
		noProject    = "no such project for this user"
		orNoToken    = "no such project for this user, or no valid token: CI job tokens"
		noRoute      = "no such route"
		notGitLab    = "this is no answer of GitLab's API: check the base URL"
		noNamespace  = "the namespace does not exist, was renamed"
		moved        = "name it by its ID"
		tooLarge     = "maximum import size"
		badNamespace = "importing needs the Maintainer role in the namespace"
		relationRole = "importing relations needs the Maintainer role in the project"
	)
	jobToken := func(req *http.Request) error {
		req.Header.Set("JOB-TOKEN", "glcbt-portertest")
		return nil
	}
	on := []string{"schedule", "status", "download"}
	tests := []struct {
		name   string
		server []portertest.Option
		user   portertest.User
		auth   porter.Auth // of user if nil
		role   portertest.Role
		lost   bool   // acme/app is not there
		moved  bool   // acme/app is what it once was called
		root   string // appended to the base URL
		answer string // what the server says, if it is not asked
		calls  []string
		is     error
		status int
		text   string // of the answer, in the error
		hint   string // "" for none
	}{
		{name: "garbled token", auth: porter.PrivateToken("garbled"), calls: append(on, "import", "import status"),
			is: porter.ErrUnauthorized, status: 401, text: "401 Unauthorized", hint: noSuchToken},
		{name: "no token, export", auth: func(*http.Request) error { return nil }, calls: on, is: porter.ErrNotFound, status: 404,
			text: "404 Project Not Found", hint: orNoToken},
		{name: "no token, import", auth: func(*http.Request) error { return nil }, calls: []string{"import", "import status"},
			is: porter.ErrUnauthorized, status: 401, text: "401 Unauthorized", hint: noSuchToken},
		{name: "job token, export", auth: jobToken, calls: on, is: porter.ErrNotFound, status: 404, text: "404 Project Not Found",
			hint: "CI job tokens and deploy tokens are not accepted"},
		{name: "job token, import", auth: jobToken, calls: []string{"import", "import status"}, is: porter.ErrUnauthorized, status: 401,
			text: "401", hint: "CI job tokens and deploy tokens are not accepted"},
		{name: "expired token", user: portertest.User{Expired: true}, calls: append(on, "import"), is: porter.ErrUnauthorized, status: 401,
			text: "Token is expired"},
		{name: "revoked token", user: portertest.User{Revoked: true}, calls: append(on, "import"), is: porter.ErrUnauthorized, status: 401,
			text: "Token was revoked"},
		{name: "read_api", user: portertest.User{Scopes: []string{"read_api"}}, role: portertest.Maintainer,
			calls: []string{"schedule", "import"}, is: porter.ErrForbidden, status: 403, text: "(needs scope api"},
		{name: "no scope to read", user: portertest.User{Scopes: []string{"read_repository"}}, role: portertest.Maintainer,
			calls: []string{"status", "import status"}, is: porter.ErrForbidden, status: 403, text: "(needs scope api"},
		{name: "fine-grained token", user: portertest.User{Lacks: []string{"create_export"}}, role: portertest.Maintainer,
			calls: append(on, "import"), is: porter.ErrForbidden, status: 403, text: "lacks the required permissions: [create_export]"},
		{name: "blocked", user: portertest.User{Blocked: true}, role: portertest.Maintainer, calls: append(on, "import"),
			is: porter.ErrForbidden, status: 403, text: "403 Forbidden - Your account has been blocked."},
		{name: "terms", user: portertest.User{Denied: "You must accept the Terms of Service"}, role: portertest.Maintainer,
			calls: append(on, "import"), is: porter.ErrForbidden, status: 403, text: "Terms of Service"},
		{name: "developer", role: portertest.Developer, calls: on, is: porter.ErrForbidden, status: 403, text: "403 Forbidden",
			hint: needsExport},
		{name: "developer, into a group", role: portertest.Developer, calls: []string{"import"}, status: 400,
			text: "User is not allowed to import projects", hint: badNamespace},
		{name: "bot, own namespace", answer: `{"message":"Namespace is not valid"}`, calls: []string{"import"}, status: 400,
			text: "Namespace is not valid", hint: badNamespace},
		{name: "developer, relation import", answer: `{"message":"You are not authorized to perform this action"}`,
			calls: []string{"relation import"}, is: porter.ErrForbidden, status: 403, text: "not authorized", hint: relationRole},
		{name: "developer, relation imports", answer: `{"message":"403 Forbidden - Project"}`, calls: []string{"relation imports"},
			is: porter.ErrForbidden, status: 403, text: "403 Forbidden - Project", hint: relationRole},
		{name: "developer, relations", answer: `{"message":"403 Forbidden"}`, calls: []string{"relations"}, is: porter.ErrForbidden,
			status: 403, text: "403 Forbidden", hint: needsExport},
		{name: "stranger, export", calls: on, is: porter.ErrNotFound, status: 404, text: "404 Project Not Found", hint: orNoToken},
		{name: "stranger, import status", calls: []string{"import status"}, is: porter.ErrNotFound, status: 404,
			text: "404 Project Not Found", hint: noProject},
		{name: "stranger, import", calls: []string{"import"}, is: porter.ErrNotFound, status: 404, text: "404 Namespace Not Found",
			hint: noNamespace},
		{name: "no such project", role: portertest.Owner, lost: true, calls: on, is: porter.ErrNotFound, status: 404,
			text: "404 Project Not Found", hint: orNoToken},
		{name: "no such project to import into", answer: `{"message":"Project not found"}`, calls: []string{"relation import"},
			is: porter.ErrNotFound, status: 404, text: "Project not found", hint: noProject},
		{name: "exports disabled", server: []portertest.Option{portertest.ExportsDisabled()}, role: portertest.Owner, calls: on,
			is: porter.ErrNotFound, status: 404, text: "404 Not Found", hint: exportOff},
		{name: "imports disabled", server: []portertest.Option{portertest.ImportsDisabled()}, role: portertest.Owner,
			calls: []string{"import"}, is: porter.ErrForbidden, status: 403, text: "403 Forbidden", hint: sourceOff},
		{name: "direct transfer disabled", answer: `{"message":"404 Not Found"}`, calls: []string{"relations"}, is: porter.ErrNotFound,
			status: 404, text: "404 Not Found", hint: transferOff},
		{name: "not made yet", role: portertest.Owner, calls: []string{"download"}, is: porter.ErrExportExpired, status: 404,
			text: "404 Not found or has expired"},
		{name: "gone from disk", answer: "404 page not found\n", calls: []string{"download"}, is: porter.ErrNotFound, status: 404,
			text: "404 page not found", hint: "the archive is gone from GitLab's disk, or this is no GitLab"},
		{name: "gone from object storage", answer: `{"message":"404 Not Found"}`, calls: []string{"download"}, is: porter.ErrNotFound,
			status: 404, text: "404 Not Found", hint: "or the archive is gone from its object storage"},
		{name: "wrong root", server: []portertest.Option{portertest.RelativeRoot("/gitlab")}, role: portertest.Owner, root: "/../gitlap",
			calls: append(on, "import", "import status"), is: porter.ErrNotFound, status: 404, text: "Not found", hint: notGitLab},
		{name: "too old", server: []portertest.Option{portertest.Version("13.12")}, role: portertest.Owner,
			calls: []string{"relation imports"}, is: porter.ErrNotFound, status: 404, text: "404 Not Found", hint: noRoute},
		{name: "moved", role: portertest.Owner, moved: true, calls: []string{"schedule"}, status: 405,
			text: "Non GET methods are not allowed for moved projects", hint: moved},
		{name: "signed for GET", answer: `{"message":"Failed to retrieve headers: 403 \"Forbidden\""}`, calls: []string{"from URL"},
			status: 400, text: "Failed to retrieve headers", hint: "import the archive through this machine instead, with URLSource"},
		{name: "own network", answer: `{"message":"File url is blocked: Requests to the local network are not allowed"}`,
			calls: []string{"from URL"}, status: 400, text: "local network",
			hint: "import the archive through this machine instead, with URLSource"},
		{name: "no archive there", answer: `{"message":"Content length is too small (should be at least 1 B)"}`,
			calls: []string{"from URL"}, status: 400, text: "too small"},
		{name: "headers of an upload", answer: `{"message":"Failed to retrieve headers"}`, calls: []string{"schedule"}, status: 400,
			text: "Failed to retrieve headers"},
		{name: "proxy wants credentials", answer: "<h1>407 Proxy Authentication Required</h1>",
			calls: append(on, "import", "from URL", "relations"), status: 407, text: "HTML page “407 Proxy Authentication Required”",
			hint: "a proxy on the way wants credentials"},
		{name: "scopes of a GET", answer: `{"error":"insufficient_scope","error_description":"More.","scope":"api read_api"}`,
			calls: []string{"status", "download", "import status"}, is: porter.ErrForbidden, status: 403,
			text: "More. (needs scope api or read_api)"},
		{name: "scopes of a POST", answer: `{"error":"insufficient_scope","error_description":"More.","scope":"api read_api"}`,
			calls: []string{"schedule", "import", "from URL"}, is: porter.ErrForbidden, status: 403, text: "More. (needs scope api)"},
		{name: "too large", server: []portertest.Option{portertest.MaxImportSize(1000)}, role: portertest.Owner, calls: []string{"import"},
			is: porter.ErrTooLarge, status: 413, text: "entity is too large", hint: tooLarge},
		{name: "read-only", server: []portertest.Option{portertest.ReadOnly()}, role: portertest.Owner, calls: []string{"schedule"},
			is: porter.ErrForbidden, status: 403, text: "read-only instance"},
	}
	operations := map[string]string{
		"schedule": "schedule export of acme/app: ", "status": "get export of acme/app: ", "download": "download export of acme/app: ",
		"import": "start import of acme/copy: ", "from URL": "start import of acme/copy: ", "import status": "get import of acme/app: ",
		"relation import": "acme/app: ", "relation imports": "list relation imports of acme/app: ",
		"relations": "list relation exports of acme/app: ",
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := portertest.NewServer(append(tt.server, portertest.NoLimits())...)
			defer s.Close()
			project := portertest.Project{Path: "acme/app"}
			switch {
			case tt.lost:
				project.Path = "acme/other"
			case tt.moved:
				project.Path, project.FormerPaths = "acme/now", []string{"acme/app"}
			}
			s.AddProject(project)
			tt.user.Username, tt.user.Token = "somebody", "glpat-portertest-somebody"
			s.AddUser(tt.user)
			if tt.role != 0 {
				s.AddMember("acme", "somebody", tt.role)
			}
			if tt.answer != "" {
				s.Inject(portertest.Fault{Times: -1, Do: portertest.Respond(tt.status, nil, tt.answer)})
			}
			auth := tt.auth
			if auth == nil {
				auth = porter.PrivateToken(tt.user.Token)
			}
			base := s.URL
			if root, ok := strings.CutPrefix(tt.root, "/.."); ok {
				base = base[:strings.LastIndex(base, "/")] + root
			}
			c := newClient(t, base, auth, porter.WithTransport(s.Transport()), porter.WithoutPacing())
			for _, call := range tt.calls {
				err := hintCalls[call](t.Context(), c)
				var api *porter.APIError
				if !errors.As(err, &api) || api.StatusCode != tt.status {
					t.Errorf("%s: error %v, want an answer %d", call, err, tt.status)
					continue
				}
				if tt.is != nil && !errors.Is(err, tt.is) {
					t.Errorf("%s: %v is not %v", call, err, tt.is)
				}
				text := err.Error()
				if !strings.Contains(text, tt.text) {
					t.Errorf("%s: %q does not say %q", call, text, tt.text)
				}
				if !strings.Contains(text, operations[call]) {
					t.Errorf("%s: %q does not say %q", call, text, operations[call])
				}
				_, hint, _ := strings.Cut(text, "; ")
				if !strings.Contains(hint, tt.hint) || tt.hint == "" && hint != "" {
					t.Errorf("%s: hint %q, want %q", call, hint, tt.hint)
				}
			}
		})
	}
}

// A hint about GitLab would mislead where something else has answered.
func TestHintsOfOthers(t *testing.T) {
	t.Parallel()
	const elsewhere = "redirected to another origin, where no credentials are sent"
	tests := []struct {
		name, call string
		origin     string
		status     int
		body       string
		hint       string
	}{
		{"storage refuses a signature", "download", portertest.Storage, 403, "<Error><Code>AccessDenied</Code></Error>", ""},
		{"storage has no such object", "download", portertest.Storage, 404, "<Error><Code>NoSuchKey</Code></Error>", ""},
		{"download redirected to GitLab's other name", "download", portertest.Storage, 404, `{"message":"404 Project Not Found"}`,
			elsewhere},
		{"firewall", "schedule", portertest.GitLab, 403, "<html><title>Forbidden</title>", ""},
		{"proxy", "status by ID", portertest.GitLab, 404, "<html><title>404</title>",
			"this is no answer of GitLab's API: check the base URL"},
		{"Apache without AllowEncodedSlashes", "status", portertest.GitLab, 404, "<html><title>404 Not Found</title>",
			"AllowEncodedSlashes NoDecode: name the project by its ID"},
		{"Apache without AllowEncodedSlashes, POST", "schedule", portertest.GitLab, 404, "<html><title>404 Not Found</title>",
			"refuse the %2F in a path"},
		{"Apache without AllowEncodedSlashes, import", "import status", portertest.GitLab, 404, "<html><title>404 Not Found</title>",
			"refuse the %2F in a path"},
		{"other text", "status", portertest.GitLab, 404, "404 page not found\n", "this is no answer of GitLab's API: check the base URL"},
		{"proxy before the storage", "download", portertest.Storage, 407, "<html><title>407</title>",
			"a proxy on the way wants credentials"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := portertest.NewServer(portertest.Downloads(portertest.Redirected), portertest.NoLimits())
			defer s.Close()
			s.AddProject(portertest.Project{Path: "acme/app"})
			s.AddExport("acme/app", "owner")
			s.Inject(portertest.Fault{Origin: tt.origin, Times: -1, Do: portertest.Respond(tt.status, nil, tt.body)})
			err := hintCalls[tt.call](t.Context(), connect(t, s, porter.WithRetry(0, nil)))
			var api *porter.APIError
			if !errors.As(err, &api) || api.StatusCode != tt.status {
				t.Fatalf("error %v, want an answer %d", err, tt.status)
			}
			_, hint, _ := strings.Cut(err.Error(), "; ")
			if !strings.Contains(hint, tt.hint) || tt.hint == "" && hint != "" {
				t.Errorf("hint %q, want %q", hint, tt.hint)
			}
		})
	}
}
