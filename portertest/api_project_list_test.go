package portertest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// idsOf returns the IDs of a list, in its order.
func idsOf(t *testing.T, a answer) string {
	t.Helper()
	var list []struct{ ID int }
	if err := json.Unmarshal([]byte(a.body), &list); err != nil {
		t.Fatalf("%d %s", a.status, a.body)
	}
	var ids []string
	for _, p := range list {
		ids = append(ids, fmt.Sprint(p.ID))
	}
	return strings.Join(ids, " ")
}

func TestProjectLists(t *testing.T) {
	inMemory(t, nil, func(t *testing.T, s *Server) {
		s.AddUser(User{Username: "ada", Token: "ada"})
		s.AddUser(User{Username: "root", Token: "root", Admin: true})
		for _, p := range []Project{
			{ID: 1, Path: "acme/a", Archived: true}, {ID: 2, Path: "acme/sub/b"}, {ID: 3, Path: "else/c", SharedWith: []string{"acme"}},
			{ID: 4, Path: "ada/d"}, {ID: 5, Path: "else/e", Visibility: "public"}, {ID: 6, Path: "acme/f", DeletionOn: "2026-05-01"},
		} {
			s.AddProject(p)
		}
		s.AddMember("acme/sub", "ada", Reporter)
		for _, tt := range []struct{ token, path, want string }{
			{Token, "groups/acme/projects", "6 3 1"}, // shared ones too, the newest first
			{Token, "groups/acme/projects?with_shared=false&sort=asc", "1 6"},
			{Token, "groups/ACME/projects?include_subgroups=true&order_by=id&sort=asc", "1 2 3 6"},
			{Token, "groups/acme%2Fsub/projects", "2"},
			{Token, "groups/acme/projects?archived=false", "3"},
			{Token, "groups/acme/projects?archived=true", "6 1"},
			{Token, "groups/acme/projects?id_after=1&with_shared=0", "6"},
			{Token, "groups/acme/projects?per_page=1&page=2", "3"},
			{Token, "groups/acme/projects?per_page=1&page=9", ""},
			{"ada", "groups/acme/projects?include_subgroups=true&with_shared=false", "2"},
			{"ada", "projects?sort=asc", "2 4 5"},
			{"ada", "projects?membership=true&sort=asc", "2 4"},
			{"ada", "projects?membership=true&min_access_level=40", "4"},
			{"root", "projects?sort=asc", "1 2 3 4 5 6"},
			{"root", "projects?membership=true", ""},
			{"", "projects", "5"},
		} {
			var header map[string]string
			if tt.token != "" {
				header = as(tt.token)
			}
			if got := idsOf(t, do(t, s, request{method: "GET", path: tt.path, header: header})); got != tt.want {
				t.Errorf("%s of %q: %s, want %s", tt.path, tt.token, got, tt.want)
			}
		}
		for path, want := range map[string]string{
			"groups/none/projects": `404 {"message":"404 Group Not Found"}`, "groups/ada/projects": `404 {"message":"404 Group Not Found"}`,
			"projects?page=0":                     `400 {"error":"page does not have a valid value"}`,
			"groups/acme/projects?archived=maybe": `400 {"error":"archived is invalid"}`,
			"projects?pagination=keyset":          `405 {"error":"Keyset pagination is not yet available for this type of request"}`,
		} {
			if a := get(t, s, path); fmt.Sprint(a.status, " ", a.body) != want {
				t.Errorf("%s: %d %s, want %s", path, a.status, a.body, want)
			}
		}
		if a := do(t, s, request{method: "GET", path: "groups/acme/projects"}); a.status != 404 {
			t.Errorf("nobody sees %d %s", a.status, a.body)
		}
		get(t, s, "groups/acme%2Fsub/projects").want(t, 200, `[{"id":2,"description":null,"name":"b","name_with_namespace":"acme / sub / b",`+
			`"path":"b","path_with_namespace":"acme/sub/b","created_at":"2000-01-01T00:00:00.000Z",`+
			`"namespace":{"id":105,"name":"sub","path":"sub","kind":"group","full_path":"acme/sub","parent_id":104},`+
			`"archived":false,"visibility":"private","marked_for_deletion_on":null}]`)
	})
}

// Links repeat the whole query, and are of the host that the instance believes
// to have. A list by ID says that there is more after every page but an empty
// one.
func TestProjectListLinks(t *testing.T) {
	inMemory(t, []Option{ExternalURL("https://gitlab.internal")}, func(t *testing.T, s *Server) {
		for i := range 3 {
			s.AddProject(Project{ID: int64(i) + 1, Path: fmt.Sprintf("acme/p%d", i)})
		}
		a := get(t, s, "groups/acme/projects?per_page=2&private_token="+Token)
		const next = `<https://gitlab.internal/api/v4/groups/acme/projects?page=2&per_page=2&private_token=` + Token + `>; rel="next"`
		if link := a.header.Get("Link"); !strings.Contains(link, next) || !strings.Contains(link, `rel="last"`) ||
			a.header.Get("X-Next-Page") != "2" || a.header.Get("X-Total") != "3" {
			t.Errorf("headers %v", a.header)
		}
		if a = get(t, s, "groups/acme/projects?per_page=2&page=2"); a.header.Get("X-Next-Page") != "" || a.header.Get("X-Prev-Page") != "1" {
			t.Errorf("headers %v", a.header)
		}
		const list = "projects?pagination=keyset&order_by=id&sort=asc&per_page=2"
		for after, want := range map[string]string{
			"":            `<https://gitlab.internal/api/v4/projects?id_after=2&order_by=id&pagination=keyset&per_page=2&sort=asc>; rel="next"`,
			"&id_after=2": `<https://gitlab.internal/api/v4/projects?id_after=3&order_by=id&pagination=keyset&per_page=2&sort=asc>; rel="next"`,
			"&id_after=3": "",
		} {
			if a := get(t, s, list+after); a.header.Get("Link") != want || a.header.Get("X-Total") != "" {
				t.Errorf("%q: headers %v", after, a.header)
			}
		}
	})
}
