package porter_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// A checkCase is a migration of team/app by the user eve at both instances, who
// is a Maintainer of team and of the group new, unless the case says otherwise.
type checkCase struct {
	name     string
	src, dst []portertest.Option
	eve      portertest.User // at the destination
	source   portertest.User // at the source
	project  portertest.Project
	prepare  func(src, dst *portertest.Server)
	opts     porter.ImportOptions
	deadline time.Duration

	want string // the findings: kinds, with an exclamation mark those that are certain
	text string // in one of them
	// In a migration, the source tells by itself before it exports anything.
	told bool
	// GitLab would do it all the same: the simulator knows no such rule.
	unruly bool
}

const mega = 1 << 20

// run runs f with the clients of the case.
func (tt *checkCase) run(t *testing.T, f func(t *testing.T, ctx context.Context, src, dst *portertest.Server, from, to *porter.Client)) {
	synctest.Test(t, func(t *testing.T) {
		src := portertest.NewServer(append([]portertest.Option{portertest.InMemory()}, tt.src...)...)
		defer src.Close()
		dst := portertest.NewServer(append([]portertest.Option{portertest.InMemory()}, tt.dst...)...)
		defer dst.Close()
		eve := func(s *portertest.Server, u portertest.User) *porter.Client {
			u.Username, u.Token = cmp.Or(u.Username, "eve"), "glpat-eve"
			s.AddUser(u)
			return connectAs(t, s, u.Token)
		}
		from, to := eve(src, tt.source), eve(dst, tt.eve)
		project := tt.project
		project.Path = "team/app"
		src.AddProject(project)
		src.AddMember("team", cmp.Or(tt.source.Username, "eve"), portertest.Maintainer)
		dst.AddGroup("new")
		dst.AddMember("new", cmp.Or(tt.eve.Username, "eve"), portertest.Maintainer)
		if tt.prepare != nil {
			tt.prepare(src, dst)
		}
		ctx := t.Context()
		if tt.deadline > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, tt.deadline)
			defer cancel()
		}
		f(t, ctx, src, dst, from, to)
	})
}

func (tt *checkCase) options() porter.MigrateOptions {
	opts := porter.MigrateOptions{Import: tt.opts, Strict: true}
	if opts.Import.Namespace == nil {
		opts.Import.Namespace = porter.NamespacePath("new")
	}
	if opts.Import.Namespace == own {
		opts.Import.Namespace = nil
	}
	return opts
}

// own stands for the user's own namespace in a checkCase.
const own = porter.NamespacePath("own")

func kindsOf(findings []porter.Finding) string {
	var kinds []string
	for _, f := range findings {
		kind := string(f.Kind)
		if f.Certain {
			kind += "!"
		}
		kinds = append(kinds, kind)
	}
	return strings.Join(kinds, ", ")
}

// admin has the users of an archive mapped, and sees the settings.
var admin = portertest.User{Admin: true}

// checkCases are the rows of what can be told before.
var checkCases = []checkCase{
	{name: "nothing", eve: admin},
	{name: "nothing in the own namespace", eve: admin, opts: porter.ImportOptions{Namespace: own}},
	{name: "users are not mapped", want: "users", text: "eve does not administer gitlab.test"},
	{name: "token ends in a day", eve: portertest.User{Admin: true, ExpiresAt: "2000-01-02"}},
	{name: "token ends within a day by its server's clock", eve: portertest.User{Admin: true, ExpiresAt: "2000-01-02"},
		prepare: func(_, dst *portertest.Server) { dst.Advance(time.Second) }, want: "token expires", text: "in less than a day, at 00:00 UTC"},
	{name: "token ends before the deadline", eve: portertest.User{Admin: true, ExpiresAt: "2000-01-03"}, deadline: 49 * time.Hour,
		want: "token expires", text: "the token at gitlab.test ends before the deadline, at 00:00 UTC on 2000-01-03"},
	{name: "token ends after the deadline", eve: portertest.User{Admin: true, ExpiresAt: "2000-01-03"}, deadline: 48 * time.Hour},
	{name: "token of the source ends soon", eve: admin, source: portertest.User{ExpiresAt: "2000-01-02"}, deadline: 25 * time.Hour,
		want: "token expires"},
	{name: "scope at the destination", eve: portertest.User{Admin: true, Scopes: []string{"read_api", "read_user"}},
		want: "scope!", text: "has only the scopes read_api, read_user, but importing needs api"},
	{name: "scope at the source", eve: admin, source: portertest.User{Scopes: []string{"read_api"}}, want: "scope!",
		text: "but exporting needs api", told: true},
	{name: "group access token", eve: portertest.User{Username: "group_102_bot_0f3a", Bot: true},
		want: "bot!, users", text: "group_102_bot_0f3a at gitlab.test is the user of a project or group access token"},
	{name: "service account", eve: portertest.User{Username: "service_bot", ServiceAccount: true, Admin: true}},
	{name: "person with the name of a bot", eve: portertest.User{Username: "group_102_bot_0f3a", Admin: true}},
	{name: "import source", eve: admin, dst: []portertest.Option{portertest.ImportsDisabled()}, want: "import source!",
		text: "“GitLab export” is switched off at gitlab.test"},
	{name: "namespace with a typo", eve: admin, opts: porter.ImportOptions{Namespace: porter.NamespacePath("nwe")}, want: "namespace!",
		text: "the namespace nwe does not exist at gitlab.test, was renamed, or the user is no member of it"},
	{name: "namespace by an ID that there is not", eve: admin, opts: porter.ImportOptions{Namespace: porter.NamespaceID(4711)},
		want: "namespace!", text: "the namespace 4711"},
	{name: "no member of the namespace", prepare: func(_, dst *portertest.Server) { dst.AddMember("new", "eve", 0) },
		want: "users, namespace!"},
	{name: "role", prepare: func(_, dst *portertest.Server) { dst.AddMember("new", "eve", portertest.Developer) }, want: "users, role!",
		text: "importing into the group new needs the role Maintainer, and eve has Developer"},
	{name: "role in the group above", opts: porter.ImportOptions{Namespace: porter.NamespacePath("new/sub")},
		prepare: func(_, dst *portertest.Server) { dst.AddGroup("new/sub") }, want: "users"},
	{name: "only owners create", prepare: func(_, dst *portertest.Server) {
		dst.ConfigureGroup("new", portertest.Group{ProjectCreation: "owner"})
	}, want: "users, role!", text: "needs the role Owner, and eve has Maintainer"},
	{name: "only administrators create", prepare: func(_, dst *portertest.Server) {
		dst.ConfigureGroup("new", portertest.Group{ProjectCreation: "administrator"})
	}, want: "users, role!", text: "only administrators may create projects in the group new"},
	{name: "administrators create", eve: admin, prepare: func(_, dst *portertest.Server) {
		dst.ConfigureGroup("new", portertest.Group{ProjectCreation: "administrator"})
	}},
	{name: "nobody creates", eve: admin, prepare: func(_, dst *portertest.Server) {
		dst.ConfigureGroup("new", portertest.Group{ProjectCreation: "noone"})
	}, want: "role!", text: "nobody may create projects in the group new"},
	{name: "archived group", eve: admin, prepare: func(_, dst *portertest.Server) {
		dst.ConfigureGroup("new", portertest.Group{Archived: true})
	}, want: "role!", text: "the group new is archived"},
	{name: "namespace of somebody else", eve: admin, opts: porter.ImportOptions{Namespace: porter.NamespacePath("owner")},
		want: "role", text: "owner is the personal namespace of another user than eve"},
	{name: "path taken by a project", eve: admin, prepare: func(_, dst *portertest.Server) {
		dst.AddProject(portertest.Project{Path: "new/APP", ID: 4711})
	}, want: "path taken!", text: "new/app is taken by project 4711"},
	{name: "path that is overwritten", eve: admin, opts: porter.ImportOptions{Overwrite: true},
		prepare: func(_, dst *portertest.Server) { dst.AddProject(portertest.Project{Path: "new/app"}) }},
	{name: "path of a project that was moved away", eve: admin, prepare: func(_, dst *portertest.Server) {
		dst.AddProject(portertest.Project{Path: "other/app", FormerPaths: []string{"new/app"}})
	}},
	{name: "path taken by a subgroup", prepare: func(_, dst *portertest.Server) { dst.AddGroup("new/app") }, want: "users, path taken!",
		text: "new/app is taken by a group"},
	{name: "path taken in the own namespace", eve: admin, opts: porter.ImportOptions{Namespace: own},
		prepare: func(_, dst *portertest.Server) { dst.AddProject(portertest.Project{Path: "eve/app", ID: 9}) },
		want:    "path taken!", text: "eve/app is taken by project 9"},
	{name: "namespace full", eve: portertest.User{Admin: true, ProjectsLimit: -1}, opts: porter.ImportOptions{Namespace: own},
		want: "namespace full!", text: "eve may create no more projects in the own namespace at gitlab.test"},
	{name: "own namespace by its path is full", eve: portertest.User{ProjectsLimit: -1},
		opts: porter.ImportOptions{Namespace: porter.NamespacePath("eve")}, want: "users, namespace full!"},
	{name: "full namespace that is not used", eve: portertest.User{Admin: true, ProjectsLimit: -1}},
	{name: "archive may be too large", eve: admin, dst: []portertest.Option{portertest.MaxImportSize(3 * mega)},
		project: portertest.Project{Size: 3*mega + 1}, source: admin,
		want: "archive size", text: "the archive may be 3.0 MiB large, and gitlab.test imports no more than 3 MiB"},
	{name: "archive just small enough", eve: admin, dst: []portertest.Option{portertest.MaxImportSize(3 * mega)},
		project: portertest.Project{Size: 3 * mega}},
	{name: "project too large", eve: admin, src: []portertest.Option{portertest.MaxExportSize(3 * mega)}, source: admin,
		project: portertest.Project{Size: 3*mega + 1}, want: "export size!",
		text: "the project is 3.0 MiB large, and gitlab.test exports no more than 3 MiB", told: true},
	{name: "project large by job artifacts", eve: admin, src: []portertest.Option{portertest.MaxExportSize(3 * mega)}, source: admin,
		project: portertest.Project{Size: 3 * mega, Artifacts: 5 * mega}},
	{name: "archive of an old release", eve: admin, src: []portertest.Option{portertest.Version("12.10")},
		want: "format!", text: "GitLab 18.9 at gitlab.test does not read archives of GitLab 12.10", unruly: true},
	{name: "older destination", eve: admin, dst: []portertest.Option{portertest.Version("18.8")}, want: "version",
		text: "the source's GitLab 18.9 is newer than the destination's 18.8"},
	{name: "two releases older", eve: admin, src: []portertest.Option{portertest.Version("18.7")}},
	{name: "three releases older", eve: admin, src: []portertest.Option{portertest.Version("18.6")}, want: "version",
		text: "the source's GitLab 18.6 is more than two minor releases older than the destination's 18.9"},
	{name: "two releases older, over a major one", eve: admin, src: []portertest.Option{portertest.Version("17.11")},
		dst: []portertest.Option{portertest.Version("18.1")}},
}

// Each fault is told, and nothing else.
func TestCheckMigration(t *testing.T) {
	t.Parallel()
	for _, tt := range checkCases {
		t.Run(tt.name, func(t *testing.T) {
			tt.run(t, func(t *testing.T, ctx context.Context, src, dst *portertest.Server, from, to *porter.Client) {
				check, err := porter.CheckMigration(ctx, from, migrateApp, to, tt.options())
				if err != nil {
					t.Fatal(err)
				}
				if got := kindsOf(check.Findings); got != tt.want {
					t.Errorf("found %q, want %q", got, tt.want)
				}
				if !slices.ContainsFunc(check.Findings, func(f porter.Finding) bool { return strings.Contains(f.Text, tt.text) }) && tt.text != "" {
					t.Errorf("%+v do not say %q", check.Findings, tt.text)
				}
				if certain := strings.Contains(tt.want, "!"); certain != errors.Is(check.Err(), porter.ErrWillFail) {
					t.Errorf("the error is %v", check.Err())
				}
				for _, s := range []*portertest.Server{src, dst} {
					for _, r := range s.Requests() {
						if r.Method != http.MethodGet {
							t.Errorf("made a %s %s", r.Method, r.Path)
						}
					}
				}
			})
		})
	}
}

// What is certain ends a migration before anything is exported, and what is not
// does not. Without the check it ends as the check says.
func TestMigrateIsChecked(t *testing.T) {
	t.Parallel()
	for _, tt := range checkCases {
		certain := strings.Contains(tt.want, "!")
		t.Run(tt.name, func(t *testing.T) {
			tt.run(t, func(t *testing.T, ctx context.Context, src, dst *portertest.Server, from, to *porter.Client) {
				_, err := porter.Migrate(t.Context(), from, migrateApp, to, tt.options())
				posts := count(src, "POST", "/export") + count(dst, "POST", "/import")
				switch {
				case certain && tt.told:
					if err == nil || posts != 1 {
						t.Errorf("ended with %v after %d POSTs", err, posts)
					}
				case certain && strings.HasPrefix(tt.name, "path taken by a project"):
					var exists *porter.ProjectExistsError
					if !errors.As(err, &exists) || posts != 0 {
						t.Errorf("ended with %v after %d POSTs", err, posts)
					}
				case certain:
					var failed *porter.CheckError
					if !errors.As(err, &failed) || !errors.Is(err, porter.ErrWillFail) || posts != 0 || kindsOf(failed.Findings) == "" ||
						!strings.HasPrefix(err.Error(), "migrate team/app: import of ") {
						t.Errorf("ended with %v after %d POSTs", err, posts)
					}
				case tt.name == "namespace of somebody else":
				case err != nil:
					t.Errorf("ended with %v", err)
				}
			})
			tt.run(t, func(t *testing.T, ctx context.Context, src, dst *portertest.Server, from, to *porter.Client) {
				opts := tt.options()
				opts.SkipCheck = true
				if _, err := porter.Migrate(t.Context(), from, migrateApp, to, opts); (err == nil) == certain && !tt.unruly &&
					tt.name != "namespace of somebody else" || errors.Is(err, porter.ErrWillFail) {
					t.Errorf("without the check it ended with %v", err)
				}
				if n := count(dst, "GET", "/user") + count(dst, "GET", "/version") + count(src, "GET", "/version"); n != 0 {
					t.Errorf("it was checked")
				}
			})
		})
	}
}

// auxiliary reports whether a request is a look that no job needs.
func auxiliary(r *http.Request) bool {
	p := r.URL.EscapedPath()
	if strings.Contains(p, "/api/v4/projects/") {
		return strings.Contains(r.URL.RawQuery, "statistics")
	}
	return r.Method == http.MethodGet
}

// refusalsOfLooks are how looks are refused that a job does not need.
var refusalsOfLooks = map[string]portertest.Action{
	"forbidden":     portertest.Respond(403, jsonType, `{"message":"403 Forbidden"}`),
	"fine-grained":  portertest.Respond(403, jsonType, `{"error":"insufficient_granular_scope","error_description":"Access denied"}`),
	"not found":     portertest.Respond(404, jsonType, `{"message":"404 Not Found"}`),
	"unknown route": portertest.Respond(404, jsonType, `{"error":"404 Not Found"}`),
	"no message":    portertest.Respond(404, jsonType, `{"error":"404 Namespace Not Found"}`),
	"too many":      portertest.Respond(429, http.Header{"Retry-After": {"60"}}, "Retry later\n"),
	"page":          portertest.Respond(404, http.Header{"Content-Type": {"text/html"}}, "<html>Namespace Not Found</html>"),
	"sign-in page":  portertest.Respond(200, http.Header{"Content-Type": {"text/html"}}, "<html>Sign in</html>"),
	"nothing":       portertest.Respond(200, jsonType, `{}`),
	"null":          portertest.Respond(200, jsonType, `null`),
	"wrong types":   portertest.Respond(200, jsonType, `{"id":"x","version":5,"scopes":"api","statistics":[]}`),
	"broken":        portertest.Respond(500, jsonType, `{"message":"500 Internal Server Error"}`),
	"lost":          portertest.LoseAnswer(),
}

var jsonType = http.Header{"Content-Type": {"application/json"}}

// A look that is refused says nothing: there is no finding but those that a job's
// own looks give, and no error, whatever is wrong. It is not tried again.
func TestCheckWithoutAnswers(t *testing.T) {
	t.Parallel()
	for name, refusal := range refusalsOfLooks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, tt := range checkCases {
				tt.run(t, func(t *testing.T, ctx context.Context, src, dst *portertest.Server, from, to *porter.Client) {
					for _, s := range []*portertest.Server{src, dst} {
						s.Inject(portertest.Fault{Match: auxiliary, Times: -1, Do: refusal})
					}
					want := ""
					if tt.name == "path taken by a project" {
						want = "path taken!"
					}
					start := time.Now()
					check, err := porter.CheckMigration(ctx, from, migrateApp, to, tt.options())
					if err != nil || kindsOf(check.Findings) != want {
						t.Errorf("%s: found %v, %v", tt.name, check, err)
					}
					if d := time.Since(start); d > time.Second {
						t.Errorf("%s: took %v", tt.name, d)
					}
					_, err = porter.Migrate(ctx, from, migrateApp, to, tt.options())
					if errors.Is(err, porter.ErrWillFail) || err == nil && strings.Contains(tt.want, "!") && !tt.unruly {
						t.Errorf("%s: migrated with %v", tt.name, err)
					}
				})
			}
		})
	}
}

// Between instances of one release nothing is wrong, whichever it is.
func TestCheckVersions(t *testing.T) {
	t.Parallel()
	for _, v := range []string{
		"10.6", "11.0", "11.8", "12.4", "12.10", "13.3", "14.10", "15.0", "15.4", "15.5", "15.11", "16.0", "17.3", "18.2", "18.9",
	} {
		opts := []portertest.Option{portertest.Version(v)}
		tt := checkCase{src: opts, dst: opts}
		tt.run(t, func(t *testing.T, ctx context.Context, src, dst *portertest.Server, from, to *porter.Client) {
			check, err := porter.CheckMigration(ctx, from, migrateApp, to, tt.options())
			if err != nil || kindsOf(check.Findings) != "users" {
				t.Errorf("%s: found %v, %v", v, check, err)
			}
			if m, err := porter.Migrate(ctx, from, migrateApp, to, tt.options()); err != nil || !m.Import.Complete() {
				t.Errorf("%s: migrated with %v", v, err)
			}
		})
	}
}

// What a Developer may do depends on the release.
func TestCheckDeveloper(t *testing.T) {
	t.Parallel()
	for v, want := range map[string]string{"15.9": "users", "15.11": "users, role", "16.0": "users, role!", "18.9": "users, role!"} {
		for level, want := range map[string]string{"": want, "developer": want, "maintainer": "users, role!"} {
			tt := checkCase{dst: []portertest.Option{portertest.Version(v)}, prepare: func(_, dst *portertest.Server) {
				dst.AddMember("new", "eve", portertest.Developer)
				dst.ConfigureGroup("new", portertest.Group{ProjectCreation: level})
			}}
			tt.run(t, func(t *testing.T, ctx context.Context, _, dst *portertest.Server, _, to *porter.Client) {
				check, err := to.CheckImport(ctx, porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("new")}, 0)
				if err != nil || kindsOf(check.Findings) != want {
					t.Errorf("%s, %q: found %v, %v, want %q", v, level, check, err, want)
				}
			})
		}
	}
}

// The archive's own size is certain.
func TestCheckImportSize(t *testing.T) {
	t.Parallel()
	tt := checkCase{eve: admin, dst: []portertest.Option{portertest.MaxImportSize(3 * mega)}}
	tt.run(t, func(t *testing.T, ctx context.Context, _, dst *portertest.Server, _, to *porter.Client) {
		for size, want := range map[int64]string{-1: "", 0: "", 3 * mega: "", 3*mega + 1: "archive size!", 1 << 62: "archive size!"} {
			check, err := to.CheckImport(ctx, porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("new")}, size)
			if err != nil || kindsOf(check.Findings) != want {
				t.Fatalf("%d: found %v, %v", size, check, err)
			}
			if want != "" && !errors.Is(check.Err(), porter.ErrTooLarge) {
				t.Errorf("%v does not match", check.Err())
			}
		}
	})
}

// A job's own look is an error where it is refused, and so are arguments.
func TestCheckErrors(t *testing.T) {
	t.Parallel()
	tt := checkCase{}
	tt.run(t, func(t *testing.T, ctx context.Context, src, dst *portertest.Server, from, to *porter.Client) {
		wrong := connectAs(t, dst, "glpat-wrong")
		into := porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("new")}
		src.AddMember("team", "eve", portertest.Developer)
		for want, check := range map[string]func() (*porter.Check, error){
			"check export of team/app: GET /api/v4/projects/team%2Fapp/export: 403 Forbidden (request ": func() (*porter.Check, error) {
				return from.CheckExport(ctx, migrateApp)
			},
			"check export of 4711: GET /api/v4/projects/4711/export: 404 Project Not Found": func() (*porter.Check, error) {
				return from.CheckExport(ctx, porter.ProjectID(4711))
			},
			"check export: project reference is nil": func() (*porter.Check, error) { return from.CheckExport(ctx, nil) },
			"check import of new/app: GET /api/v4/projects/new%2Fapp/import: 401 Unauthorized": func() (*porter.Check, error) {
				return wrong.CheckImport(ctx, into, 0)
			},
			"check import of app: GET /api/v4/projects/1/import: 401 Unauthorized": func() (*porter.Check, error) {
				return wrong.CheckImport(ctx, porter.ImportOptions{Path: "app"}, 0)
			},
			"check import of a project: path is empty": func() (*porter.Check, error) {
				return to.CheckImport(ctx, porter.ImportOptions{}, 0)
			},
			"check migration: client is nil": func() (*porter.Check, error) {
				return porter.CheckMigration(ctx, from, migrateApp, nil, porter.MigrateOptions{})
			},
			"check migration: project ID 0 is not positive": func() (*porter.Check, error) {
				return porter.CheckMigration(ctx, from, porter.ProjectID(0), to, porter.MigrateOptions{})
			},
			"check migration of team/app: path \"a/b\" holds a slash": func() (*porter.Check, error) {
				return porter.CheckMigration(ctx, from, migrateApp, to, porter.MigrateOptions{Import: porter.ImportOptions{Path: "a/b"}})
			},
			"check migration of team/app: GET /api/v4/projects/team%2Fapp/export: 403 Forbidden": func() (*porter.Check, error) {
				return porter.CheckMigration(ctx, from, migrateApp, to, porter.MigrateOptions{Import: into})
			},
		} {
			if k, err := check(); k != nil || err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got %v, %v, want %s", k, err, want)
			}
		}
	})
}

func TestCheckErrorMatches(t *testing.T) {
	t.Parallel()
	for kind, want := range map[porter.FindingKind]error{
		porter.FindingNamespace: porter.ErrNotFound, porter.FindingPathTaken: porter.ErrProjectExists, porter.FindingScope: porter.ErrForbidden,
		porter.FindingImportSource: porter.ErrForbidden, porter.FindingArchiveSize: porter.ErrTooLarge, porter.FindingRole: porter.ErrWillFail,
	} {
		sure := porter.Finding{Kind: kind, Certain: true, Text: "this"}
		check := &porter.Check{Findings: []porter.Finding{{Kind: porter.FindingUsers, Text: "not this"}, sure, sure}}
		err := check.Err()
		if !errors.Is(err, want) || !errors.Is(err, porter.ErrWillFail) || errors.Is(err, porter.ErrConflict) {
			t.Errorf("%s: %v", kind, err)
		}
		if err.Error() != "will fail: this; this" {
			t.Errorf("%v", err)
		}
		if _, again := porter.Retryable(fmt.Errorf("migrate: %w", err)); again {
			t.Errorf("%s: may be tried again", kind)
		}
	}
	if err := new(porter.Check).Err(); err != nil {
		t.Error(err)
	}
}
