package portertest

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// itemServer is a server with the private project team/app, as ID 7.
func itemServer(t *testing.T, p Project, opts ...Option) *Server {
	t.Helper()
	s := NewServer(opts...)
	t.Cleanup(s.Close)
	p.Path, p.ID = "team/app", 7
	s.AddUser(User{Username: "ada", Token: "ada"})
	s.AddProject(p)
	return s
}

// list asks for something below the project's URL.
func list(t *testing.T, s *Server, method, token, path string) answer {
	t.Helper()
	return do(t, s, request{method: method, path: "projects/7/" + path, header: as(token)})
}

func TestItemLists(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2024, 5, n, 0, 0, 0, 0, time.UTC) }
	p := Project{
		Items: Items{
			"issues": {{CreatedAt: day(1)}, {CreatedAt: day(2), State: "closed"}, {CreatedAt: day(3)}},
			"merge_requests": {
				{Name: "one", CreatedAt: day(1)},
				{Name: "two", CreatedAt: day(3), State: "merged"}, {Name: "three", CreatedAt: day(2), State: "locked"},
			},
			"labels":         {{}, {Group: true}},
			"project_badges": {{}, {Group: true}},
			"ci_pipelines":   MakeItems(10_000),
			"milestones":     MakeItems(10_001),
		},
		Branches: map[string]string{"main": "a1", "b": "b1"},
		Tags:     map[string]string{"v1": "c1"},
		Members:  map[string]Role{"ada": Guest},
	}
	for _, tt := range []struct {
		version, token, path string
		disabled             string
		status               int
		total                string // "-" for none
	}{
		{path: "issues?per_page=1", total: "3"},
		{path: "issues?state=closed", total: "1"},
		{path: "issues?state=merged", status: 400, total: "-"},
		{path: "issues?created_before=2024-05-02T00:00:00Z", total: "2"},
		{path: "issues?created_after=2024-05-02T00:00:00Z", total: "2"},
		{path: "issues?created_after=yesterday", status: 400, total: "-"},
		{path: "issues?page=0", status: 400, total: "-"},
		{path: "merge_requests?state=all&scope=all&view=simple&per_page=1", total: "3"},
		{path: "merge_requests?state=locked", total: "1"},
		{path: "labels", total: "2"},
		{path: "labels?include_ancestor_groups=false", total: "1"},
		{path: "badges", total: "2"},
		{path: "pipelines", total: "10000"},
		{path: "milestones", total: "-"},
		{path: "milestones", version: "11.7", total: "10001"},
		{path: "releases", total: "0"},
		{path: "releases", version: "11.6", status: 404, total: "-"},
		{path: "protected_tags", version: "11.2", status: 404, total: "-"},
		{path: "issues_statistics", version: "11.11", status: 404, total: "-"},
		{path: "issues_statistics", total: "-"},
		{path: "boards", total: "0"},
		{path: "snippets", total: "0"},
		{path: "members", total: "1"},
		{path: "repository/branches", total: "2"},
		{path: "repository/tags", total: "1"},
		// Roles.
		{path: "issues", token: "ada", total: "3"},
		{path: "pipelines", token: "ada", status: 403, total: "-"},
		{path: "protected_branches", token: "ada", status: 403, total: "-"},
		{path: "repository/branches", token: "ada", status: 403, total: "-"},
		{path: "issues", token: "none", status: 401, total: "-"},
		// Features that are off.
		{path: "issues", disabled: "issues", total: "0"},
		{path: "labels", disabled: "issues", total: "2"},
		{path: "labels", disabled: "issues merge_requests", total: "0"},
		{path: "milestones", disabled: "issues merge_requests", total: "0"},
		{path: "snippets", disabled: "snippets", total: "0"},
		{path: "merge_requests", disabled: "merge_requests", status: 403, total: "-"},
		{path: "pipelines", disabled: "builds", status: 403, total: "-"},
		{path: "releases", disabled: "repository", status: 403, total: "-"},
		{path: "boards", disabled: "issues", status: 403, total: "-"},
		{path: "repository/tags", disabled: "repository", status: 403, total: "-"},
	} {
		name := strings.Join([]string{tt.version, tt.token, tt.path, tt.disabled}, " ")
		t.Run(name, func(t *testing.T) {
			version, token, status := tt.version, tt.token, tt.status
			if version == "" {
				version = "18.9"
			}
			if token == "" {
				token = Token
			}
			if status == 0 {
				status = http.StatusOK
			}
			q := p
			q.Disabled = strings.Fields(tt.disabled)
			s := itemServer(t, q, Version(version))
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				a := list(t, s, method, token, tt.path)
				total, sent := a.header["X-Total"]
				if a.status != status || sent == (tt.total == "-") || sent && total[0] != tt.total {
					t.Errorf("%s: %d, X-Total %q", method, a.status, total)
				}
				if (method == http.MethodHead) != (a.body == "") {
					t.Errorf("%s: body %q", method, a.body)
				}
			}
		})
	}
}

// Above 10,000 there is neither a total nor a last page, and still a next one.
func TestItemPages(t *testing.T) {
	s := itemServer(t, Project{Items: Items{"labels": MakeItems(10_001), "milestones": MakeItems(3)}})
	many, few := list(t, s, "GET", Token, "labels?per_page=1"), list(t, s, "GET", Token, "milestones?per_page=2&page=2")
	for _, name := range []string{"X-Total", "X-Total-Pages"} {
		if many.header.Get(name) != "" || few.header.Get(name) == "" {
			t.Errorf("%s: %q of many, %q of few", name, many.header.Get(name), few.header.Get(name))
		}
	}
	for _, tt := range []struct {
		a          answer
		last, next bool
		page       string
	}{{many, false, true, "2"}, {few, true, false, ""}} {
		link, page := tt.a.header.Get("Link"), tt.a.header.Get("X-Next-Page")
		if strings.Contains(link, `rel="last"`) != tt.last || strings.Contains(link, `rel="next"`) != tt.next || page != tt.page {
			t.Errorf("%s, next page %q", link, page)
		}
	}
}

func TestIssuesStatistics(t *testing.T) {
	p := Project{Items: Items{"issues": {{}, {State: "closed"}, {}}}}
	for disabled, want := range map[string]string{
		"": `{"all":3,"closed":1,"opened":2}`, "issues": `{"all":0,"closed":0,"opened":0}`,
	} {
		p.Disabled = strings.Fields(disabled)
		got := list(t, itemServer(t, p), "GET", Token, "issues_statistics")
		if got.status != 200 || got.body != `{"statistics":{"counts":`+want+`}}` {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
}

// Tags come page by page by the name of the last, in the order of their names.
func TestTagsByToken(t *testing.T) {
	tags := map[string]string{}
	for i := range 5 {
		tags[fmt.Sprintf("v%d", i)] = fmt.Sprint("sha", i)
	}
	s := itemServer(t, Project{Tags: tags})
	first := list(t, s, "GET", Token, "repository/tags?pagination=keyset&per_page=3")
	_, rest, _ := strings.Cut(first.header.Get("Link"), "<")
	link, err := url.Parse(rest[:strings.Index(rest, ">")])
	if err != nil || link.Query().Get("page_token") != "v2" || first.header.Get("X-Total") != "" {
		t.Fatal(first.header, err)
	}
	second := list(t, s, "GET", Token, "repository/tags?"+link.RawQuery)
	const want = `[{"name":"v3","target":"sha3","commit":{"id":"sha3"}},{"name":"v4","target":"sha4","commit":{"id":"sha4"}}]`
	if second.body != want || second.header.Get("Link") != "" {
		t.Error(second.body, second.header)
	}
}

// What a project holds goes through its archive, but for what is the group's.
// That becomes the project's where an issue has it.
func TestItemsThroughArchive(t *testing.T) {
	at := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)
	held := &contents{
		items: Items{
			"issues": {
				{IID: 4, Name: "a", State: "closed", CreatedAt: at, Users: []int64{5, 6}}, {IID: 9, Name: "b", State: "opened", CreatedAt: at},
			},
			"labels":       {{Name: "own", State: "opened", CreatedAt: at}, {Name: "shared", State: "opened", CreatedAt: at, Group: true}},
			"ci_pipelines": {{IID: 1, Name: "c", State: "success", CreatedAt: at}},
		},
		branches: map[string]string{"main": strings.Repeat("a", 40)}, tags: map[string]string{"v1": strings.Repeat("b", 40)},
	}
	want := held.clone()
	want.items["labels"][1].Group = false
	for _, version := range []version{{18, 9}, {12, 10}} { // of trees in many files, and in one
		got, err := unpackArchive(itemsArchive(held, version).NewReader())
		if (err == nil) != version.atLeast(13, 0) {
			t.Error(version, err)
		}
		for r, list := range want.items { // an order of files need not be that of relations
			if diff := cmp.Diff(list, got.items[r]); diff != "" && r != "labels" {
				t.Error(version, r, diff)
			}
		}
		if len(got.items["labels"]) != 2 || !cmp.Equal(got.branches, want.branches) || !cmp.Equal(got.tags, want.tags) {
			t.Errorf("%v: %+v", version, got)
		}
	}
}

// An export that loses a batch is finished since 17.5, and fails before.
func TestLoseBatch(t *testing.T) {
	for version, want := range map[string]string{"18.9": "finished", "17.4": "failed"} {
		inMemory(t, []Option{Version(version)}, func(t *testing.T, s *Server) {
			s.AddProject(Project{Path: "team/app", ID: 7, Items: Items{"issues": MakeItems(130)}})
			s.ScriptExport("team/app", ExportScript{LoseBatch: "issues"})
			list(t, s, http.MethodPost, Token, "export").want(t, http.StatusAccepted, `{"message":"202 Accepted"}`)
			time.Sleep(24*time.Hour - time.Minute)
			list(t, s, "GET", Token, "export").wantPart(t, http.StatusOK, `"export_status":"`+want+`"`)
			if want != "finished" {
				return
			}
			s.lock()
			j := s.exports.jobs[s.lookup("team/app")][0]
			s.unlock()
			got, err := unpackArchive(j.file.content.NewReader())
			if err != nil || len(got.items["issues"]) != 30 {
				t.Errorf("%d issues, %v", len(got.items["issues"]), err)
			}
		})
	}
}

// A project without items of its own holds what its archive does, and so does
// what an import makes of it.
func TestContentsOfGeneratedArchive(t *testing.T) {
	s := itemServer(t, Project{})
	for path, want := range map[string]string{"issues": "2", "merge_requests": "2", "labels": "1", "repository/branches": "1"} {
		if got := list(t, s, "GET", Token, path).header.Get("X-Total"); got != want {
			t.Errorf("%s: %s, not %s", path, got, want)
		}
	}
}
