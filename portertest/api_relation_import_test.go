package portertest

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// relationAs uploads a form to import a relation.
func relationAs(t *testing.T, s *Server, token string, parts ...part) answer {
	t.Helper()
	body, ct := form(parts...)
	return postAs(t, s, token, "projects/import-relation", ct, body)
}

func TestRelationImport(t *testing.T) {
	inMemory(t, []Option{NoLimits()}, func(t *testing.T, s *Server) {
		widget(s)
		list := func() string { return get(t, s, "projects/7/relation-imports").body }
		if got := list(); got != "[]" {
			t.Errorf("at first: %s", got)
		}
		issues := gz(plain("path", "acme/tools/widget"), plain("relation", "issues"))
		relationAs(t, s, Token, issues...).want(t, 201,
			`{"id":1,"project_path":"acme/tools/widget","relation":"issues","status":"created","created_at":"2000-01-01T00:00:00.000Z",`+
				`"updated_at":"2000-01-01T00:00:00.000Z"}`)
		time.Sleep(500 * time.Millisecond)
		// One that has not started does not stand in the way of another.
		if a := relationAs(t, s, Token, issues...); a.status != 201 {
			t.Errorf("created: got %d %s", a.status, a.body)
		}
		time.Sleep(time.Second)
		relationAs(t, s, Token, issues...).want(t, 409, `{"message":"A relation import is already in progress for this project"}`)
		if got := list(); !strings.Contains(got,
			`"status":"started","created_at":"2000-01-01T00:00:00.000Z","updated_at":"2000-01-01T00:00:01.000Z"`) ||
			strings.Count(got, `"id":`) != 2 {
			t.Errorf("started: %s", got)
		}
		time.Sleep(time.Minute)
		if got := list(); strings.Count(got, `"status":"finished"`) != 2 {
			t.Errorf("in the end: %s", got)
		}
		s.ScriptImport("acme/tools/widget", ImportScript{Error: "no"}, ImportScript{Timing: &Timings{Import: 48 * time.Hour}})
		relationAs(t, s, Token, issues...)
		time.Sleep(time.Minute)
		relationAs(t, s, Token, plain("path", "acme/tools/widget"), plain("relation", "milestones"), file("x.gz", "garbage"))
		time.Sleep(23 * time.Hour)
		relationAs(t, s, Token, issues...).want(t, 409, `{"message":"A relation import is already in progress for this project"}`)
		time.Sleep(time.Hour)
		if a := relationAs(t, s, Token, issues...); a.status != 201 {
			t.Errorf("after a day: got %d %s", a.status, a.body)
		}
		got := list()
		if !strings.Contains(got, `{"id":3,"project_path":"acme/tools/widget","relation":"issues","status":"failed"`) {
			t.Errorf("failed: %s", got)
		}
		time.Sleep(24 * time.Hour)
		relationAs(t, s, Token, plain("path", "acme/tools/widget"), plain("relation", "ci_pipelines"), file("x.gz", "garbage")).
			wantPart(t, 201, `"created"`)
		time.Sleep(time.Minute)
		if got := list(); !strings.Contains(got, `"relation":"ci_pipelines","status":"finished"`) {
			t.Errorf("that of garbage: %s", got)
		}
	})
}

func TestRelationImportRefusals(t *testing.T) {
	const noFile, noGZ = `{"error":"file is missing"}`,
		`{"message":{"error":"You need to upload a GitLab project export archive (ending in .gz)."}}`
	path, relation := plain("path", "acme/tools/widget"), plain("relation", "issues")
	for _, tt := range []struct {
		name, version, token string
		parts                []part
		status               int
		body                 string
	}{
		{"nothing", "18.9", Token, []part{plain("x", "y")}, 400, `{"error":"path is missing, file is missing, relation is missing"}`},
		{"no file", "18.9", Token, []part{path, relation}, 400, noFile},
		{"bad token", "18.9", "x", gz(path, relation), 401, unauthorized},
		{"file name", "18.9", Token, []part{path, relation, file("x.zip", "x")}, 422, noGZ},
		{"no such project", "18.9", Token, gz(plain("path", "a/b"), plain("relation", "x")), 404, `{"message":"Project not found"}`},
		{"former path", "18.9", Token, gz(plain("path", "old/widget"), relation), 404, `{"message":"Project not found"}`},
		{"last part only", "18.9", Token, gz(plain("path", "widget"), relation), 404, `{"message":"Project not found"}`},
		{"relation", "18.9", "dev", gz(path, plain("relation", "labels")), 400,
			`{"message":"Imported relation must be one of issues, merge_requests, milestones, or ci_pipelines"}`},
		{"developer", "18.9", "dev", gz(path, relation), 403, `{"message":"You are not authorized to perform this action"}`},
		{"stranger, who learns that it exists", "18.9", "stranger", gz(path, relation), 403,
			`{"message":"You are not authorized to perform this action"}`},
		{"since 16.11", "16.11", Token, gz(path, relation), 201, ""},
		{"before 16.11", "16.10", Token, gz(path, relation), 404, noRoute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inMemory(t, []Option{Version(tt.version)}, func(t *testing.T, s *Server) {
				s.AddUser(User{Username: "dev", Token: "dev"})
				s.AddUser(User{Username: "stranger", Token: "stranger"})
				s.AddUser(User{Username: "maintainer", Token: "maintainer"})
				s.AddProject(Project{Path: "acme/tools/widget", ID: 7, FormerPaths: []string{"old/widget"},
					Members: map[string]Role{"dev": Developer, "maintainer": Maintainer}})
				a := relationAs(t, s, tt.token, tt.parts...)
				if a.status != tt.status || tt.body != "" && a.body != tt.body {
					t.Errorf("got %d %s, want %d %s", a.status, a.body, tt.status, tt.body)
				}
				if tt.version == "18.9" {
					do(t, s, request{method: "GET", path: "projects/7/relation-imports", header: as("dev")}).want(t, 403,
						`{"message":"403 Forbidden - Project"}`)
					do(t, s, request{method: "GET", path: "projects/7/relation-imports", header: as("maintainer")}).want(t, 200, "[]")
					do(t, s, request{method: "GET", path: "projects/7/relation-imports", header: as("stranger")}).want(t, 404, noProject)
					do(t, s, request{method: "GET", path: "projects/7/relation-imports"}).want(t, 401, unauthorized)
				}
			})
		})
	}
}

// TestRelationImportDuringImport tells an import that waits from one that runs.
func TestRelationImportDuringImport(t *testing.T) {
	inMemory(t, []Option{NoLimits()}, func(t *testing.T, s *Server) {
		importAs(t, s, Token, gz(plain("path", "new"))...)
		issues := gz(plain("path", "owner/new"), plain("relation", "issues"))
		relationAs(t, s, Token, issues...).want(t, 400,
			`{"message":"Relation import could not be created: Relation import tracker cannot be created for project with ongoing import"}`)
		time.Sleep(1500 * time.Millisecond)
		relationAs(t, s, Token, issues...).want(t, 409, `{"message":"A relation import is already in progress for this project"}`)
		time.Sleep(time.Second)
		if a := relationAs(t, s, Token, issues...); a.status != 201 {
			t.Errorf("finished: got %d %s", a.status, a.body)
		}
	})
}

// An import of a relation takes those items that the project does not have, by
// their numbers.
func TestRelationImportTakesWhatIsMissing(t *testing.T) {
	inMemory(t, []Option{NoLimits()}, func(t *testing.T, s *Server) {
		s.AddProject(Project{Path: "acme/app", ID: 7, Items: Items{
			"merge_requests": {{IID: 2, Name: "there"}, {IID: 11, Name: "new"}}, "issues": MakeItems(1),
		}})
		archive := uploadOf(t, NewArchive(64<<10, ArchiveItems("merge_requests", 5), ArchiveItems("issues", 9)))
		numbers := func() string {
			return strings.Join(regexp.MustCompile(`"iid":\d+`).FindAllString(get(t, s, "projects/7/merge_requests").body, -1), " ")
		}
		s.ScriptImport("acme/app", ImportScript{LoseItems: map[string]int{"merge_requests": 2}}, ImportScript{Error: "no"})
		for _, want := range []string{
			`"iid":1 "iid":3 "iid":2 "iid":11`,                 // the last two are lost
			`"iid":1 "iid":3 "iid":2 "iid":11`,                 // it fails
			`"iid":1 "iid":3 "iid":4 "iid":5 "iid":2 "iid":11`, // those of the archive are the newest
			`"iid":1 "iid":3 "iid":4 "iid":5 "iid":2 "iid":11`,
		} {
			relationAs(t, s, Token, plain("path", "acme/app"), plain("relation", "merge_requests"), archive).wantPart(t, 201, "created")
			time.Sleep(time.Minute)
			if got := numbers(); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		if got := get(t, s, "projects/7/issues").header.Get("X-Total"); got != "1" {
			t.Errorf("%s issues", got)
		}
		get(t, s, "projects/7/merge_requests").wantPart(t, 200, `"title":"there"`)
	})
}

// What an import takes for each record makes a large one time out.
func TestImportTimePerItem(t *testing.T) {
	slow := Timing(Timings{ImportQueue: time.Second, Import: time.Second, ImportItem: time.Hour})
	inMemory(t, []Option{NoLimits(), slow}, func(t *testing.T, s *Server) {
		for n, want := range map[int]string{2: "finished", 30: "failed"} {
			path := fmt.Sprint("app", n)
			archive := uploadOf(t, NewArchive(64<<10, ArchiveItems("ci_pipelines", n)))
			importAs(t, s, Token, plain("path", path), archive).wantPart(t, 201, "scheduled")
			time.Sleep(26 * time.Hour)
			if p := s.Project("owner/" + path); p.ImportStatus != want || (p.ImportError != "") != (want == "failed") {
				t.Errorf("%d pipelines: %+v", n, p)
			}
		}
		relationAs(t, s, Token, plain("path", "owner/app2"), plain("relation", "ci_pipelines"),
			uploadOf(t, NewArchive(64<<10, ArchiveItems("ci_pipelines", 12)))).wantPart(t, 201, "created")
		time.Sleep(11 * time.Hour)
		get(t, s, "projects/owner%2Fapp2/relation-imports").wantPart(t, 200, "started")
		time.Sleep(2 * time.Hour)
		get(t, s, "projects/owner%2Fapp2/relation-imports").wantPart(t, 200, "finished")
	})
}
