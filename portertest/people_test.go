package portertest

import (
	"archive/tar"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// uploadOf returns an archive as a part of a form.
func uploadOf(t *testing.T, a *Archive) part {
	t.Helper()
	b, err := io.ReadAll(a.NewReader())
	if err != nil {
		t.Fatal(err)
	}
	return file("x.tar.gz", string(b))
}

// Whom GitLab gives imported items to: users with the primary address of a
// member, if an administrator imports, and else the importer.
func TestAttribution(t *testing.T) {
	member := func(id, level, user string) string {
		return `{"access_level":` + level + `,"user_id":` + id + `,"user":{"id":` + id + `,"username":"u` + id + `",` + user + `}}` + "\n"
	}
	members := member("11", "50", `"public_email":"Ada@Example.com"`) + member("12", "20", `"public_email":"bob@example.com"`) +
		member("13", "30", `"public_email":""`) + member("14", "30", `"public_email":"","email":"eve@example.com"`) +
		member("15", "30", `"public_email":"nobody@example.com"`) + `{"access_level":30,"user":null,"invite_email":"x@example.com"}` + "\n"
	issues := `{"iid":1,"author_id":11,"title":"\"author_id\": 12","notes":[{"author_id":12,"resolved_by_id":14}]}` + "\n" +
		`{"iid":2,"author_id":13,"updated_by_id":null,"issue_assignees":[{"user_id": 15}],"project_id":11}` + "\n"
	requests := `{"iid":1,"author_id":11,"merge_user_id":99}` + "\n"
	archive := func(name, lines string) part {
		return file("x.tar.gz", string(packed(t, tar.Header{Name: "VERSION", Linkname: "0.2.4"},
			tar.Header{Name: "tree/project.json", Linkname: "{}"},
			tar.Header{Name: "tree/project/project_members.ndjson", Linkname: members}, tar.Header{Name: name, Linkname: lines})))
	}
	for _, tt := range []struct {
		token         string
		first, second map[string]int // references
		roles         map[string]Role
	}{
		{
			"root", map[string]int{"ada": 1, "bob": 1, "eve": 1, "root": 2}, map[string]int{"ada": 2, "bob": 1, "eve": 1, "root": 3},
			map[string]Role{"ada": Maintainer, "bob": Reporter, "eve": Developer, "root": Maintainer},
		},
		{Token, map[string]int{"owner": 5}, map[string]int{"owner": 7}, map[string]Role{"owner": Maintainer}},
	} {
		inMemory(t, []Option{NoLimits()}, func(t *testing.T, s *Server) {
			s.AddGroup("acme")
			s.AddUser(User{Username: "root", Token: "root", Admin: true})
			for _, name := range []string{"ada", "bob", "eve", "carl"} {
				s.AddUser(User{Username: name, Token: name, Email: name + "@example.com"})
			}
			importAs(t, s, tt.token, plain("path", "app"), plain("namespace", "acme"),
				archive("tree/project/issues.ndjson", issues)).wantPart(t, 201, "scheduled")
			time.Sleep(time.Minute)
			if diff := cmp.Diff(tt.first, s.Project("acme/app").References); diff != "" {
				t.Errorf("references (-want +got):\n%s", diff)
			}
			relationAs(t, s, tt.token, plain("path", "acme/app"), plain("relation", "merge_requests"),
				archive("tree/project/merge_requests.ndjson", requests)).wantPart(t, 201, "created")
			time.Sleep(time.Minute)
			if diff := cmp.Diff(tt.second, s.Project("acme/app").References); diff != "" {
				t.Errorf("references after a relation (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.roles, s.lookup("acme/app").members); diff != "" {
				t.Errorf("members (-want +got):\n%s", diff)
			}
		})
	}
}

// A generated archive has as many members and items as are asked for.
func TestArchiveMembersAndItems(t *testing.T) {
	held, err := unpackArchive(NewArchive(64<<10, ArchiveMembers(14), ArchiveItems("issues", 20), ArchiveItems("ci_pipelines", 3)).NewReader())
	if err != nil {
		t.Fatal(err)
	}
	var users []int64
	for _, it := range held.all() {
		users = append(users, it.Users...)
	}
	slices.Sort(users)
	if n := len(slices.Compact(slices.Clone(users))); n != 14 || len(users) != 20+2+3 {
		t.Errorf("%d users, %d references", n, len(users))
	}
	if n := len(held.people); n != 14 || strings.Contains(held.people[0].address, "@") {
		t.Errorf("%d members: %v", n, held.people)
	}
	if n := held.items; len(n["issues"]) != 20 || n["issues"][19].IID != 20 || len(n["ci_pipelines"]) != 3 || len(n["merge_requests"]) != 2 {
		t.Error(n)
	}
}
