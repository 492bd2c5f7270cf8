package porter_test

import (
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// listed returns the IDs of a list, and the error that it ends with.
func listed(t *testing.T, list iter.Seq2[*porter.ListedProject, error]) (ids []int64, err error) {
	t.Helper()
	for p, perr := range list {
		if perr != nil {
			if p != nil || err != nil {
				t.Errorf("got %v with %v after %v", p, perr, err)
			}
			err = perr
			continue
		}
		ids = append(ids, int64(p.ID))
	}
	return ids, err
}

// listServer has projects of all kinds. Its IDs are not in the order of their
// paths.
func listServer(t *testing.T, opts ...portertest.Option) *portertest.Server {
	t.Helper()
	s := portertest.NewServer(append([]portertest.Option{portertest.InMemory()}, opts...)...)
	t.Cleanup(s.Close)
	s.AddUser(portertest.User{Username: "ada", Token: "ada"})
	s.AddUser(portertest.User{Username: "root", Token: "root", Admin: true})
	for _, p := range []portertest.Project{
		{ID: 9, Path: "acme/app"},
		{ID: 3, Path: "acme/tools/deep/zlib", Archived: true},
		{ID: 5, Path: "acme/tools/app", DeletionOn: "2026-05-01"},
		{ID: 7, Path: "other/shared", SharedWith: []string{"acme"}},
		{ID: 2, Path: "acmeto/app", Members: map[string]portertest.Role{"ada": portertest.Maintainer}},
		{ID: 4, Path: "ada/notes"},
		{ID: 6, Path: "other/read", Members: map[string]portertest.Role{"ada": portertest.Developer}},
		{ID: 8, Path: "other/public", Visibility: "public"},
	} {
		s.AddProject(p)
	}
	s.AddMember("acme/tools", "ada", portertest.Owner)
	return s
}

func TestProjects(t *testing.T) {
	t.Parallel()
	const owner = portertest.Token
	tools, acme := porter.NamespacePath("acme/tools"), porter.NamespacePath("acme")
	for _, tt := range []struct {
		name, token string
		ns          porter.NamespaceRef
		opts        *porter.ListOptions
		want        []int64
	}{
		{"with its subgroups", owner, acme, nil, []int64{3, 5, 9}},
		{"a subgroup", owner, tools, &porter.ListOptions{}, []int64{3, 5}},
		{"archived too", owner, acme, &porter.ListOptions{Archived: porter.ArchivedAll}, []int64{3, 5, 9}},
		{"not archived", owner, acme, &porter.ListOptions{Archived: porter.ArchivedSkip}, []int64{9}},
		{"archived", owner, acme, &porter.ListOptions{Archived: porter.ArchivedOnly}, []int64{3, 5}},
		{"after one", owner, acme, &porter.ListOptions{After: 3}, []int64{5, 9}},
		{"after one that is elsewhere", owner, acme, &porter.ListOptions{After: 4}, []int64{5, 9}},
		{"after the last", owner, acme, &porter.ListOptions{After: 9}, nil},
		{"what a member of a subgroup sees", "ada", acme, nil, []int64{3, 5}},
		{"a member's own", "ada", nil, nil, []int64{2, 3, 4, 5}},
		{"a member's own, not archived, after one", "ada", nil, &porter.ListOptions{After: 2, Archived: porter.ArchivedSkip}, []int64{4}},
		{"an administrator's own", "root", nil, nil, nil},
	} {
		for _, version := range []string{"10.6", "12.4", "12.5", "12.6", "18.9"} {
			t.Run(tt.name+" "+version, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := listServer(t, portertest.Version(version))
					ids, err := listed(t, connectAs(t, s, tt.token).Projects(t.Context(), tt.ns, tt.opts))
					if err != nil || !slices.Equal(ids, tt.want) {
						t.Errorf("got %v, %v, want %v", ids, err, tt.want)
					}
				})
			})
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s := listServer(t)
		for p, err := range connect(t, s).Projects(t.Context(), porter.NamespaceID(s.AddGroup("acme/tools")), &porter.ListOptions{After: 3}) {
			want := &porter.ListedProject{
				Project: porter.Project{ID: 5, Name: "app", NameWithNamespace: "acme / tools / app", Path: "app",
					PathWithNamespace: "acme/tools/app", CreatedAt: time.Now().UTC()},
				Archived: true, DeletionOn: "2026-05-01",
			}
			if diff := cmp.Diff(want, p); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		}
	})
}

// A list of many pages is whole, at whatever host the links to the next page
// point, and asks for no page twice, unless GitLab knows pages by number only.
func TestProjectsPages(t *testing.T) {
	t.Parallel()
	for version, requests := range map[string]int{"10.6": 5, "12.5": 4, "18.9": 4} {
		for _, ns := range []porter.NamespaceRef{nil, porter.NamespacePath("acme")} {
			synctest.Test(t, func(t *testing.T) {
				s := portertest.NewServer(portertest.InMemory(), portertest.Version(version),
					portertest.ExternalURL("https://gitlab.internal:8443"))
				defer s.Close()
				var want []int64
				for i := range 250 {
					want = append(want, s.AddProject(portertest.Project{Path: fmt.Sprintf("acme/app-%d", i)}))
				}
				ids, err := listed(t, connect(t, s).Projects(t.Context(), ns, nil))
				if err != nil || !slices.Equal(ids, want) {
					t.Errorf("%s: %d projects, %v", version, len(ids), err)
				}
				if n := len(s.Requests()); n != requests {
					t.Errorf("%s: %d requests, want %d", version, n, requests)
				}
			})
		}
	}
}

// What happens meanwhile hides no project that stays. A program that stops asks
// for no more, and goes on after the last one.
func TestProjectsMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := portertest.NewServer(portertest.InMemory())
		defer s.Close()
		var all []int64
		for i := range 250 {
			all = append(all, s.AddProject(portertest.Project{Path: fmt.Sprintf("acme/app-%d", i)}))
		}
		c, acme := connect(t, s), porter.NamespacePath("acme")
		var got []int64
		for p, err := range c.Projects(t.Context(), acme, nil) {
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, int64(p.ID)); len(got) == 50 {
				for _, id := range all[:10] {
					s.RemoveProject(fmt.Sprint(id))
				}
				all = append(all, s.AddProject(portertest.Project{Path: "acme/new"}))
			}
			if len(got) == 150 {
				break
			}
		}
		if n := len(s.Requests()); n != 2 {
			t.Errorf("%d requests for two pages", n)
		}
		rest, err := listed(t, c.Projects(t.Context(), acme, &porter.ListOptions{After: porter.ProjectID(got[len(got)-1])}))
		if got = append(got, rest...); err != nil || !slices.Equal(got, all) {
			t.Errorf("listed %d projects, want %d: %v", len(got), len(all), err)
		}
	})
}

func TestProjectsRefused(t *testing.T) {
	t.Parallel()
	c := mocked(t, noRequest(t))
	group := porter.NamespacePath("acme")
	for _, tt := range []struct {
		ns   porter.NamespaceRef
		opts porter.ListOptions
		want string
	}{
		{&group, porter.ListOptions{}, "namespace reference is a *porter.NamespacePath; give"},
		{porter.NamespacePath("42"), porter.ListOptions{}, `namespace path "42": GitLab takes a path of digits for an ID`},
		{porter.NamespaceID(-1), porter.ListOptions{}, "namespace ID -1 is not positive"},
		{nil, porter.ListOptions{After: -2}, "project ID -2 is negative"},
		{group, porter.ListOptions{Archived: "none"}, `archived projects can be "all", "skip" or "only", not "none"`},
	} {
		ids, err := listed(t, c.Projects(t.Context(), tt.ns, &tt.opts))
		if err == nil || !strings.HasPrefix(err.Error(), "list projects: "+tt.want) || ids != nil {
			t.Errorf("got %v, %v, want %s", ids, err, tt.want)
		}
	}

	synctest.Test(t, func(t *testing.T) {
		s := listServer(t)
		for token, ns := range map[string]porter.NamespaceRef{
			"ada": porter.NamespacePath("acmetoo"), portertest.Token: porter.NamespacePath("ada"),
		} {
			_, err := listed(t, connectAs(t, s, token).Projects(t.Context(), ns, nil))
			want := "list projects of " + ns.String() + ": GET /api/v4/groups/" + ns.String() + "/projects: 404 Group Not Found"
			if !errors.Is(err, porter.ErrNotFound) || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "; no such group") {
				t.Errorf("got %v, want %s", err, want)
			}
		}
	})
}

// Pages are tried again, and what is no list of projects is an error.
func TestProjectsAnswers(t *testing.T) {
	t.Parallel()
	const one = `{"id":1,"path_with_namespace":"acme/app"}`
	page := func(ids ...int) string {
		var list []string
		for _, id := range ids {
			list = append(list, fmt.Sprintf(`{"id":%d}`, id))
		}
		return "[" + strings.Join(list, ",") + "]"
	}
	for _, tt := range []struct {
		name    string
		answers []string // "429" and "502" are refusals; the last one is repeated
		want    []int64
		err     string
	}{
		{"trouble", []string{"502", "[" + one + "]", "429", "[]"}, []int64{1}, ""},
		{"too much trouble", []string{"[" + one + "]", "502"}, []int64{1}, "502"},
		{"an object", []string{one}, nil, "it is of type object"},
		{"null", []string{"null"}, nil, "unexpected answer"},
		{"nothing among them", []string{"[null]"}, nil, "unexpected answer"},
		{"no ID", []string{`[{"path":"app"}]`}, nil, "unexpected answer"},
		{"another order", []string{page(2, 1)}, nil, "unexpected answer"},
		{"the same page for ever", []string{page(1, 2)}, []int64{1, 2}, "page 2 repeats another one"},
		{"two pages by turns", []string{page(1, 2), page(3, 4), page(1, 2), page(3, 4), page(1, 2)}, []int64{1, 2, 3, 4},
			"page 3 repeats another one"},
		{"endless", []string{"[" + strings.Repeat(one+",", 1<<18) + one + "]"}, nil, "unexpected answer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				mock := httpmock.NewMockTransport()
				mock.RegisterNoResponder(func(*http.Request) (*http.Response, error) {
					body := tt.answers[min(n, len(tt.answers)-1)]
					n++
					switch body {
					case "429":
						return httpmock.NewStringResponse(429, "Retry later\n"), nil
					case "502":
						return httpmock.NewStringResponse(502, "GitLab is not responding\n"), nil
					}
					return httpmock.NewStringResponse(200, body), nil
				})
				ids, err := listed(t, mocked(t, mock).Projects(t.Context(), porter.NamespacePath("acme"), nil))
				if !slices.Equal(ids, tt.want) || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v, %v, want %v, %s", ids, err, tt.want, tt.err)
				}
			})
		})
	}
}
