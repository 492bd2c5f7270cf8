package porter_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// asked returns what s was asked for since the first n requests, below the API's
// root.
func asked(s *portertest.Server, n int) (paths []string) {
	for _, r := range s.Requests()[n:] {
		paths = append(paths, strings.TrimPrefix(r.Path, "/api/v4/"))
	}
	slices.Sort(paths)
	return paths
}

// The looks of an import into a group by a user.
var (
	looksOnce = []string{"groups/%d", "groups/%[1]d/members/all/%d", "namespaces/new", "personal_access_tokens/self", "user"}
	looksEach = []string{"namespaces/new%2Fapp", "projects/new%2Fapp/import"}
)

func checkPaths(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: asked for\n%s, want\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What checks cost in requests, at first and again within a minute.
func TestCheckCost(t *testing.T) {
	t.Parallel()
	group := porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("new")}
	checkImport := func(opts porter.ImportOptions) func(context.Context, *porter.Client, *porter.Client) (*porter.Check, error) {
		return func(ctx context.Context, _, to *porter.Client) (*porter.Check, error) {
			return to.CheckImport(ctx, opts, 0)
		}
	}
	checkExport := func(ctx context.Context, from, _ *porter.Client) (*porter.Check, error) {
		return from.CheckExport(ctx, migrateApp)
	}
	migrate := func(opts porter.ImportOptions) func(context.Context, *porter.Client, *porter.Client) (*porter.Check, error) {
		return func(ctx context.Context, from, to *porter.Client) (*porter.Check, error) {
			return porter.CheckMigration(ctx, from, migrateApp, to, porter.MigrateOptions{Import: opts})
		}
	}
	for _, tt := range []struct {
		name           string
		c              checkCase
		check          func(context.Context, *porter.Client, *porter.Client) (*porter.Check, error)
		src, dst       int // requests
		srcAgain, then int // within the same minute
	}{
		{"export", checkCase{}, checkExport, 3, 0, 1, 0},
		{"export, administrator", checkCase{source: admin}, checkExport, 4, 0, 1, 0},
		{"export, administrator with a limit", checkCase{source: admin, src: []portertest.Option{portertest.MaxExportSize(mega)}},
			checkExport, 5, 0, 2, 0},
		{"import into a group", checkCase{}, checkImport(group), 0, 7, 0, 2},
		{"import into a group, administrator", checkCase{eve: admin}, checkImport(group), 0, 7, 0, 2},
		{"import into a group, Developer", checkCase{prepare: func(_, dst *portertest.Server) {
			dst.AddMember("new", "eve", portertest.Developer)
		}}, checkImport(group), 0, 8, 0, 2},
		{"import into the own namespace", checkCase{}, checkImport(porter.ImportOptions{Path: "app"}), 0, 3, 0, 1},
		{"import into a namespace that there is not", checkCase{},
			checkImport(porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("nwe")}), 0, 3, 0, 1},
		{"migration", checkCase{}, migrate(group), 4, 8, 1, 2},
	} {
		tt.c.run(t, func(t *testing.T, ctx context.Context, src, dst *portertest.Server, from, to *porter.Client) {
			for _, want := range [][2]int{{tt.src, tt.dst}, {tt.srcAgain, tt.then}} {
				n, m := len(src.Requests()), len(dst.Requests())
				if _, err := tt.check(ctx, from, to); err != nil {
					t.Fatal(tt.name, err)
				}
				if got := [2]int{len(src.Requests()) - n, len(dst.Requests()) - m}; got != want {
					t.Errorf("%s: %v requests, want %v:\n%s\n%s", tt.name, got, want, asked(src, n), asked(dst, m))
				}
			}
		})
	}
}

// What a migration asks before it exports, and what it does not ask again for
// another project.
func TestMigrateCheckCost(t *testing.T) {
	t.Parallel()
	tt := checkCase{}
	tt.run(t, func(t *testing.T, ctx context.Context, src, dst *portertest.Server, from, to *porter.Client) {
		src.AddProject(portertest.Project{Path: "team/lib"})
		group, eve := dst.AddGroup("new"), dst.AddUser(portertest.User{Username: "eve", Token: "glpat-eve"})
		stop := errors.New("stop")
		before := func(project porter.ProjectPath) ([]string, []string) {
			n, m := len(src.Requests()), len(dst.Requests())
			opts := tt.options()
			opts.NoSpool = true // or the project's size would be asked for, where the room is known
			opts.Checkpoint = func(context.Context, porter.Checkpoint) error { return stop }
			if _, err := porter.Migrate(ctx, from, project, to, opts); !errors.Is(err, stop) {
				t.Errorf("got %v", err)
			}
			return asked(src, n), asked(dst, m)
		}
		atSource, atTarget := before("team/app")
		once := strings.Split(fmt.Sprintf(strings.Join(looksOnce, " "), group, eve), " ")
		checkPaths(t, "first, at the source", atSource, "projects/team%2Fapp/export", "version")
		checkPaths(t, "first, at the destination", atTarget, append(append(once, looksEach...), "version")...)
		atSource, atTarget = before("team/lib")
		checkPaths(t, "second, at the source", atSource, "projects/team%2Flib/export")
		checkPaths(t, "second, at the destination", atTarget, "namespaces/new%2Flib", "projects/new%2Flib/import")
	})
}

// Answers are kept for a minute, with all derived clients of one user. What there
// was no answer to, and a namespace that there is not, are asked for again.
func TestCheckKeeps(t *testing.T) {
	t.Parallel()
	tt := checkCase{}
	tt.run(t, func(t *testing.T, ctx context.Context, _, dst *portertest.Server, _, to *porter.Client) {
		derived, err := to.With(porter.WithUserAgent("derived"))
		if err != nil {
			t.Fatal(err)
		}
		rewired, err := to.With(porter.WithTransport(dst.Transport()))
		if err != nil {
			t.Fatal(err)
		}
		costs := func(what string, c *porter.Client, ns porter.NamespaceRef, findings string, want int) {
			t.Helper()
			n := len(dst.Requests())
			check, err := c.CheckImport(ctx, porter.ImportOptions{Path: "app", Namespace: ns}, 0)
			if err != nil || kindsOf(check.Findings) != findings {
				t.Errorf("%s: found %v, %v", what, check, err)
			}
			if got := len(dst.Requests()) - n; got != want {
				t.Errorf("%s: %d requests, want %d:\n%s", what, got, want, asked(dst, n))
			}
		}
		group := porter.NamespacePath("new")
		costs("first", to, group, "users", 7)
		costs("derived", derived, group, "users", 2)
		costs("of another transport", rewired, group, "users", 7)
		time.Sleep(time.Minute - time.Second)
		dst.AddMember("new", "eve", portertest.Reporter)
		costs("just within the minute", derived, group, "users", 2)
		time.Sleep(time.Second)
		costs("after the minute", derived, group, "users, role!", 7)

		costs("no namespace", to, porter.NamespacePath("later"), "users, namespace!", 1)
		dst.AddGroup("later")
		dst.AddMember("later", "eve", portertest.Maintainer)
		costs("one that was made", to, porter.NamespacePath("later"), "users", 5)

		time.Sleep(time.Minute)
		dst.Inject(portertest.Fault{Path: "/user", Times: 2, Do: portertest.LoseAnswer()}) // once more for net/http, which tries again
		costs("an answer that was lost", to, nil, "", 4)
		costs("and came", to, nil, "users", 2)
	})
}

// Who asks while another one asks waits for that answer.
func TestCheckSharesRequests(t *testing.T) {
	t.Parallel()
	tt := checkCase{}
	tt.run(t, func(t *testing.T, ctx context.Context, _, dst *portertest.Server, _, to *porter.Client) {
		dst.Inject(portertest.Fault{Match: auxiliary, Times: -1, Do: portertest.Delay(time.Second)})
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				check, err := to.CheckImport(ctx, porter.ImportOptions{Path: fmt.Sprintf("app%d", i), Namespace: porter.NamespacePath("new")}, 0)
				if err != nil || kindsOf(check.Findings) != "users" {
					t.Errorf("found %v, %v", check, err)
				}
			})
		}
		wg.Wait()
		if n := len(dst.Requests()); n != 5+2*50 {
			t.Errorf("%d requests", n)
		}
	})
}

// Whoever waits for an answer that another one asked for, who gave up, asks.
func TestCheckAskerGivesUp(t *testing.T) {
	t.Parallel()
	tt := checkCase{}
	tt.run(t, func(t *testing.T, ctx context.Context, _, dst *portertest.Server, _, to *porter.Client) {
		dst.Inject(portertest.Fault{Path: "/self", Do: portertest.Delay(time.Hour)})
		first, giveUp := context.WithCancel(ctx)
		second, stopWaiting := context.WithCancel(ctx)
		var wg sync.WaitGroup
		start := func(ctx context.Context, want error) {
			wg.Go(func() {
				if _, err := to.CheckImport(ctx, porter.ImportOptions{Path: "app"}, 0); !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
			})
			synctest.Wait()
		}
		start(first, context.Canceled)
		start(second, context.Canceled)
		start(ctx, nil)
		began := time.Now()
		stopWaiting()
		synctest.Wait()
		giveUp()
		wg.Wait()
		if d := time.Since(began); d > time.Second {
			t.Errorf("took %v", d)
		}
		if n := count(dst, "GET", "/self"); n != 2 {
			t.Errorf("asked %d times", n)
		}
	})
}

// A context that ends at any request ends a check, and nothing is left that
// would spoil another one.
func TestCheckIsCanceled(t *testing.T) {
	t.Parallel()
	cause := errors.New("enough")
	for n := int64(1); ; n++ {
		reached := false
		tt := checkCase{eve: admin, source: admin, src: []portertest.Option{portertest.MaxExportSize(mega)},
			dst: []portertest.Option{portertest.MaxImportSize(mega)}}
		tt.run(t, func(t *testing.T, ctx context.Context, src, dst *portertest.Server, _, _ *porter.Client) {
			ctx, cancel := context.WithCancelCause(ctx)
			defer cancel(nil)
			var sent atomic.Int64
			cut := func(next http.RoundTripper) roundTripper {
				return func(r *http.Request) (*http.Response, error) {
					if sent.Add(1) == n {
						reached = true
						cancel(cause)
					}
					return next.RoundTrip(r)
				}
			}
			from := connectAs(t, src, "glpat-eve", porter.WithTransport(cut(src.Transport())))
			to := connectAs(t, dst, "glpat-eve", porter.WithTransport(cut(dst.Transport())))
			check, err := porter.CheckMigration(ctx, from, migrateApp, to, tt.options())
			if reached && (check != nil || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "enough")) {
				t.Errorf("request %d: found %v, %v", n, check, err)
			}
			if check, err := porter.CheckMigration(t.Context(), from, migrateApp, to, tt.options()); err != nil || len(check.Findings) != 0 {
				t.Errorf("request %d, again: found %v, %v", n, check, err)
			}
		})
		if !reached {
			if n < 13 {
				t.Errorf("made only %d requests", n-1)
			}
			return
		}
	}
}
