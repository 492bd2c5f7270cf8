package porter_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
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

// fullProject holds something of every relation that can be counted.
func fullProject() portertest.Project {
	shas := func(names ...string) map[string]string {
		refs := map[string]string{}
		for i, name := range names {
			refs[name] = fmt.Sprintf("%040x", i+1)
		}
		return refs
	}
	items := portertest.Items{"labels": append(portertest.MakeItems(4), portertest.Item{Name: "of the group", Group: true})}
	for i, relation := range []string{
		"issues", "merge_requests", "milestones", "ci_pipelines", "releases", "snippets", "protected_branches", "protected_tags", "boards",
	} {
		items[relation] = portertest.MakeItems(i + 3)
	}
	items["project_badges"] = []portertest.Item{{}, {Group: true}}
	return portertest.Project{Path: "team/app", Items: items, Branches: shas("main", "feature/a b"), Tags: shas("v1", "v2", "v3")}
}

func exact(n int64) porter.Count { return porter.Count{N: n, Exact: true} }

func repeat(n int) []portertest.Item { return portertest.MakeItems(n) }

// refuse answers requests for paths that end so with an error of GitLab's.
func refuse(s *portertest.Server, status int, ends ...string) {
	s.Inject(portertest.Fault{
		Times: -1,
		Do: portertest.Respond(status, http.Header{"Content-Type": {"application/json"}},
			fmt.Sprintf(`{"message":"%d %s"}`, status, http.StatusText(status))),
		Match: func(r *http.Request) bool {
			return slices.ContainsFunc(ends, func(end string) bool { return strings.HasSuffix(r.URL.Path, end) })
		},
	})
}

// fullCounts are those of fullProject: what is the group's does not count.
func fullCounts() map[porter.PortableRelation]porter.Count {
	return map[porter.PortableRelation]porter.Count{
		"issues": exact(3), "merge_requests": exact(4), "milestones": exact(5), "ci_pipelines": exact(6), "releases": exact(7),
		"snippets": exact(8), "protected_branches": exact(9), "protected_tags": exact(10), "boards": exact(11), "labels": exact(4),
		"project_badges": exact(1),
	}
}

func without(counts map[porter.PortableRelation]porter.Count, rs ...porter.PortableRelation) map[porter.PortableRelation]porter.Count {
	for _, r := range rs {
		delete(counts, r)
	}
	return counts
}

func TestCountRelations(t *testing.T) {
	t.Parallel()
	many := fullProject()
	for _, r := range []string{"issues", "ci_pipelines", "labels"} {
		many.Items[r] = repeat(10001)
	}
	manyCounts := fullCounts()
	manyCounts["issues"], manyCounts["ci_pipelines"], manyCounts["labels"] = exact(10001), porter.Count{N: 10001}, porter.Count{N: 10001}
	limit := fullProject()
	limit.Items["labels"], limit.Items["protected_branches"] = repeat(10000), repeat(201)
	limitCounts := fullCounts()
	limitCounts["labels"], limitCounts["protected_branches"] = exact(10000), exact(201)
	old := fullProject()
	old.Items["issues"], old.Items["labels"] = repeat(10001), repeat(10001)
	oldCounts := fullCounts()
	oldCounts["issues"], oldCounts["labels"] = porter.Count{N: 10001}, porter.Count{N: 10001}
	olderCounts := maps.Clone(oldCounts)
	olderCounts["issues"], olderCounts["labels"] = exact(10001), exact(10001)
	off := func(features ...string) portertest.Project {
		p := fullProject()
		p.Disabled = features
		return p
	}
	for _, tt := range []struct {
		name     string
		project  portertest.Project
		version  string
		role     portertest.Role // of a user; 0 is the owner
		rs       []porter.PortableRelation
		want     map[porter.PortableRelation]porter.Count
		requests int
	}{
		{name: "all", project: fullProject(), want: fullCounts(), requests: 11},
		{name: "one", project: fullProject(), rs: []porter.PortableRelation{"labels"},
			want: map[porter.PortableRelation]porter.Count{"labels": exact(4)}, requests: 1},
		{name: "what cannot be counted is left out", project: fullProject(), rs: []porter.PortableRelation{"uploads", "issues", "no such"},
			want: map[porter.PortableRelation]porter.Count{"issues": exact(3)}, requests: 1},
		{name: "more than are counted", project: many, want: manyCounts, requests: 11},
		{name: "as many as are counted", project: limit, want: limitCounts, requests: 13},
		{name: "before statistics and limits", project: old, version: "11.7", requests: 12, want: olderCounts},
		{name: "before statistics", project: old, version: "11.11", requests: 12, want: oldCounts},
		{name: "nothing in it", project: portertest.Project{Path: "team/app", Items: portertest.Items{}}, requests: 12,
			want: func() map[porter.PortableRelation]porter.Count {
				c := fullCounts()
				for r := range c {
					c[r] = exact(0)
				}
				return c
			}()},
		{name: "issues off", project: off("issues"), want: without(fullCounts(), "issues", "boards"), requests: 12},
		{name: "merge requests off", project: off("merge_requests"), want: without(fullCounts(), "merge_requests"), requests: 12},
		{name: "both off", project: off("issues", "merge_requests"), requests: 12,
			want: without(fullCounts(), "issues", "boards", "merge_requests", "labels", "milestones")},
		{name: "others off, old release", project: off("builds", "snippets", "releases"), version: "12.2", requests: 12,
			want: without(fullCounts(), "ci_pipelines", "snippets", "releases")},
		{name: "a reporter", project: fullProject(), role: portertest.Reporter,
			want: without(fullCounts(), "protected_branches", "protected_tags"), requests: 11},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var opts []portertest.Option
			if tt.version != "" {
				opts = append(opts, portertest.Version(tt.version))
			}
			s := portertest.NewServer(opts...)
			defer s.Close()
			c := connect(t, s)
			if tt.role > 0 {
				s.AddUser(portertest.User{Username: "ada", Token: "glpat-ada"})
				tt.project.Members = map[string]portertest.Role{"ada": tt.role}
				c = connectAs(t, s, "glpat-ada")
			}
			s.AddProject(tt.project)
			got, err := c.CountRelations(t.Context(), migrateApp, tt.rs...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if n := len(s.Requests()); n != tt.requests {
				t.Errorf("%d requests, not %d", n, tt.requests)
			}
		})
	}
}

// More merge requests than GitLab counts are counted in parts, exactly, however
// they lie in time.
func TestCountManyMergeRequests(t *testing.T) {
	t.Parallel()
	day := time.Date(2019, 5, 1, 12, 0, 0, 0, time.UTC)
	spread := func(n int, step time.Duration) []portertest.Item {
		items := repeat(n)
		for i := range items {
			items[i].CreatedAt = day.Add(time.Duration(i) * step)
			items[i].State = []string{"opened", "closed", "merged", "locked"}[i%4]
		}
		return items
	}
	for _, tt := range []struct {
		name  string
		items []portertest.Item
		want  porter.Count
		most  int // requests
	}{
		{"even", spread(45_000, time.Hour), exact(45_000), 20},
		{"one each microsecond, long ago", spread(21_000, time.Microsecond), exact(21_000), 80},
		{"at the edge", spread(10_001, time.Minute), exact(10_001), 6},
		{"all at one time", spread(10_500, 0), porter.Count{N: 10_001}, 120},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := portertest.NewServer()
			defer s.Close()
			s.AddProject(portertest.Project{Path: "team/app", Items: portertest.Items{"merge_requests": tt.items}})
			got, err := connect(t, s).CountRelations(t.Context(), migrateApp, porter.PortableMergeRequests)
			if err != nil || got["merge_requests"] != tt.want {
				t.Errorf("%v, %v", got, err)
			}
			if n := len(s.Requests()); n > tt.most {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// listAnswer is an answer of a list with these headers.
func listAnswer(body string, headers ...string) httpmock.Responder {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return httpmock.NewStringResponder(http.StatusOK, body).HeaderSet(h)
}

// An answer that does not tell how many there are is no count.
func TestCountAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		resp httpmock.Responder
		want porter.Count // zero for an error
	}{
		{"a total", listAnswer(`[{}]`, "X-Total", "7"), exact(7)},
		{"a total without a body", listAnswer(`[]`, "X-Total", "7"), exact(7)},
		{"no total and a next page", listAnswer(`[{}]`, "X-Next-Page", "2"), porter.Count{N: 10001}},
		{"no total and no next page", listAnswer(`[{}]`, "X-Next-Page", ""), porter.Count{}},
		{"no headers of pages, as behind a proxy that removes them", listAnswer(`[{}]`), porter.Count{}},
		{"a total that is no number", listAnswer(`[{}]`, "X-Total", "many", "X-Next-Page", "2"), porter.Count{}},
		{"a negative total", listAnswer(`[]`, "X-Total", "-1"), porter.Count{}},
		{"a total that is less than came", listAnswer(`[{}]`, "X-Total", "0"), porter.Count{}},
		{"no list", listAnswer(`{"message":"hello"}`, "X-Total", "7"), porter.Count{}},
		{"null", listAnswer(`null`, "X-Total", "7"), porter.Count{}},
		{"a page to log in", httpmock.NewStringResponder(http.StatusOK, "<html>Sign in</html>"), porter.Count{}},
		{"no answer", httpmock.NewErrorResponder(errors.New("broken")), porter.Count{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mock := httpmock.NewMockTransport()
				mock.RegisterNoResponder(tt.resp)
				got, err := mocked(t, mock).CountRelations(t.Context(), porter.ProjectID(7), porter.PortableProtectedTags)
				if got["protected_tags"] != tt.want || (err == nil) != (tt.want != porter.Count{}) {
					t.Errorf("%v, %v", got, err)
				}
				if err != nil && !strings.HasPrefix(err.Error(), "count relations of 7: ") {
					t.Error(err)
				}
			})
		})
	}
}

// What GitLab says of none of the relations is an error, and of some it is not.
func TestCountErrors(t *testing.T) {
	t.Parallel()
	s := portertest.NewServer()
	defer s.Close()
	s.AddProject(fullProject())
	c := connect(t, s)
	for name, tt := range map[string]struct {
		c    *porter.Client
		p    porter.ProjectRef
		rs   []porter.PortableRelation
		want error
	}{
		"no project":     {c: c, p: porter.ProjectPath("team/none"), want: porter.ErrNotFound},
		"no such token":  {c: connectAs(t, s, "glpat-none"), p: migrateApp, want: porter.ErrUnauthorized},
		"no reference":   {c: c},
		"empty relation": {c: c, p: migrateApp, rs: []porter.PortableRelation{""}},
	} {
		got, err := tt.c.CountRelations(t.Context(), tt.p, tt.rs...)
		if got != nil || err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := c.CountRelations(ctx, migrateApp); got != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v, %v", got, err)
	}
	refuse(s, http.StatusForbidden, "/labels")
	got, err := c.CountRelations(t.Context(), migrateApp)
	if diff := cmp.Diff(without(fullCounts(), "labels"), got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

// Counting asks for no more than one element where the headers tell the rest.
func TestCountRequests(t *testing.T) {
	t.Parallel()
	s := portertest.NewServer()
	defer s.Close()
	s.AddProject(fullProject())
	if _, err := connect(t, s).CountRelations(t.Context(), porter.ProjectID(1001)); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range s.Requests() {
		got = append(got, fmt.Sprint(r.Method, " ", r.Path, "?", r.RawQuery))
	}
	slices.Sort(got)
	const root = "GET /api/v4/projects/1001/"
	want := []string{
		root + "badges?page=1&per_page=100",
		root + "boards?per_page=1",
		root + "issues_statistics?",
		root + "labels?include_ancestor_groups=false&per_page=1",
		root + "merge_requests?per_page=1&scope=all&state=all&view=simple",
		root + "milestones?per_page=1",
		root + "pipelines?per_page=1",
		root + "protected_branches?page=1&per_page=100",
		root + "protected_tags?per_page=1",
		root + "releases?per_page=1",
		root + "snippets?per_page=1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
