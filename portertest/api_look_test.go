package portertest

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// lookServer has a user of each kind, a group with a project, and a group in it.
func lookServer(s *Server) {
	s.AddUser(User{Username: "ada", Token: "ada", ExpiresAt: "2000-02-01"})
	s.AddUser(User{Username: "root", Token: "root", Admin: true})
	s.AddUser(User{Username: "group_7_bot_0f", Token: "glpat-bot", Bot: true})
	s.AddUser(User{Username: "robot", Token: "glpat-robot", ServiceAccount: true, ProjectsLimit: -1})
	s.AddUser(User{Username: "reader", Token: "glpat-reader", Scopes: []string{"read_user"}})
	s.AddUser(User{Username: "fine", Token: "glpat-fine", FineGrained: true})
	s.AddUser(User{Username: "oauth", Token: "oauth-token"})
	s.AddProject(Project{Path: "acme/sub/app", ID: 7, Size: 3 << 20, Artifacts: 5, Members: map[string]Role{"robot": Reporter}})
	s.AddMember("acme", "ada", Developer)
	s.AddMember("acme/sub", "fine", Maintainer)
	s.ConfigureGroup("acme/sub", Group{ProjectCreation: "owner", Archived: true})
}

func TestLooks(t *testing.T) {
	metadata := `{"version":"18.9.0","revision":"6714c913625",` +
		`"kas":{"enabled":false,"externalUrl":null,"externalK8sProxyUrl":null,"version":null},"enterprise":false}`
	const (
		noToken  = `401 {"message":"401 Unauthorized"}`
		tooSmall = `403 {"error":"insufficient_scope","error_description":"The request requires higher privileges ` +
			`than provided by the access token.","scope":"api read_api"}`
		undeclared  = `403 {"error":"insufficient_granular_scope","error_description":"Access denied: No permission allows this request."}`
		noNamespace = `404 {"message":"404 Namespace Not Found"}`
		sub         = `{"id":110,"name":"sub","path":"sub","kind":"group","full_path":"acme/sub","parent_id":109,` +
			`"avatar_url":null,"web_url":"URL/acme/sub"}`
		group = `{"id":110,"name":"sub","path":"sub","visibility":"private","full_name":"acme / sub","full_path":"acme/sub","parent_id":109,` +
			`"project_creation_level":"owner","subgroup_creation_level":"maintainer","archived":true,"marked_for_deletion_on":null}`
		statistics = `"statistics":{"commit_count":1,"storage_size":3145733,"repository_size":3145728,"wiki_size":0,"lfs_objects_size":0,` +
			`"job_artifacts_size":5,"pipeline_artifacts_size":0,"packages_size":0,"snippets_size":0,"uploads_size":0,"container_registry_size":0}`
		levels = `"import_status":"none","permissions":{"project_access":`
	)
	token := func(id int, user, scopes, expires string) string {
		return fmt.Sprintf(`200 {"id":%d,"name":"token of %s","revoked":false,"created_at":"2000-01-01T00:00:00.000Z","description":null,`+
			`"scopes":[%s],"user_id":%d,"last_used_at":"2000-01-01T00:00:00.000Z","active":true,"expires_at":%s}`, id, user, scopes, id, expires)
	}
	user := func(id int, name, bot, limit, room string) string {
		return fmt.Sprintf(`200 {"id":%d,"username":"%s","name":"%s","state":"active","locked":false,"bot":%s,"preferred_language":"en",`+
			`"projects_limit":%s,"can_create_group":true,"can_create_project":%s,"external":false`, id, name, name, bot, limit, room)
	}
	inMemory(t, nil, func(t *testing.T, s *Server) {
		lookServer(s)
		for _, tt := range []struct{ token, path, want string }{
			{"ada", "version", "200 " + metadata},
			{"glpat-reader", "metadata", "200 " + metadata},
			{"", "version", noToken},
			{"glpat-fine", "metadata", undeclared},
			{"ada", "personal_access_tokens/self", token(2, "ada", `"api"`, `"2000-02-01"`)},
			{"glpat-reader", "personal_access_tokens/self", token(6, "reader", `"read_user"`, "null")},
			{"glpat-fine", "personal_access_tokens/self", undeclared},
			{"", "personal_access_tokens/self", noToken},
			{"oauth-token", "personal_access_tokens/self",
				`400 {"message":"400 Bad request - This endpoint requires token type to be a personal access token"}`},
			{"ada", "user", user(2, "ada", "false", "100000", "true") + "}"},
			{"root", "user", user(3, "root", "false", "100000", "true") + `,"is_admin":true,"namespace_id":103}`},
			{"glpat-bot", "user", user(4, "group_7_bot_0f", "true", "100000", "false") + "}"},
			{"glpat-robot", "user", user(5, "robot", "true", "0", "false") + "}"},
			{"ada", "application/settings", `403 {"message":"403 Forbidden"}`},
			{"root", "application/settings", `200 {"import_sources":["github","gitlab_project"],"project_export_enabled":true,` +
				`"restricted_visibility_levels":[],"max_import_size":0,"max_export_size":0,"bulk_import_enabled":false,` +
				`"max_import_remote_file_size":10240,"project_export_limit":6,"project_import_limit":6,"project_download_export_limit":1}`},
			{"ada", "namespaces/ACME%2Fsub", "200 " + sub},
			{"ada", "namespaces/110", "200 " + sub},
			{"root", "namespaces/110", "200 " + sub},
			{"ada", "namespaces/acme%2Fsub%2Fapp", noNamespace},
			{"ada", "namespaces/root", noNamespace},
			{"glpat-robot", "namespaces/acme", noNamespace},
			{"glpat-reader", "namespaces/acme", tooSmall},
			{"glpat-fine", "namespaces/acme%2Fsub", undeclared},
			{"ada", "groups/acme%2Fsub?with_projects=false", "200 " + group},
			{"ada", "groups/none", `404 {"message":"404 Group Not Found"}`},
			{"ada", "groups/110/members/all/2",
				`200 {"id":2,"username":"ada","name":"ada","state":"active","access_level":30,"expires_at":null}`},
			{"root", "groups/110/members/all/3", `404 {"message":"404 Not found"}`},
			{"glpat-robot", "projects/7?statistics=true",
				levels + `{"access_level":20,"notification_level":3},"group_access":null},` + statistics + "}"},
			{"ada", "projects/acme%2Fsub%2Fapp", levels + `null,"group_access":{"access_level":30,"notification_level":3}}}`},
			{"", "projects/7", `404 {"message":"404 Project Not Found"}`},
			{"ada", "projects/import", `404 {"error":"404 Not Found"}`},
		} {
			var header map[string]string
			if tt.token != "" {
				header = as(tt.token)
			}
			if strings.HasPrefix(tt.token, "oauth") {
				header = map[string]string{"Authorization": "Bearer " + tt.token}
			}
			a := do(t, s, request{method: "GET", path: tt.path, header: header})
			got := strings.ReplaceAll(fmt.Sprint(a.status, " ", a.body), s.URL, "URL")
			if strings.HasPrefix(tt.want, `"import_status`) {
				_, after, _ := strings.Cut(got, `"import_status`)
				got = `"import_status` + after
			}
			if got != tt.want {
				t.Errorf("%s of %q:\ngot  %s\nwant %s", tt.path, tt.token, got, tt.want)
			}
		}
		if body := get(t, s, "groups/acme%2Fsub").body; !strings.Contains(body, `"projects":[{"id":7,`) {
			t.Errorf("without with_projects: %s", body)
		}
	})
}

// What old releases don't have.
func TestLooksByVersion(t *testing.T) {
	for _, tt := range []struct{ version, path, want string }{
		{"15.4", "version", `200 {"version":"15.4.0","revision":"6714c913625"}`},
		{"15.4", "personal_access_tokens/self", `404 {"message":"404 Not Found"}`},
		{"15.0", "personal_access_tokens/self", `404 {"error":"404 Not Found"}`},
		{"15.1", "metadata", `404 {"error":"404 Not Found"}`},
		{"15.2", "metadata", `200 {"version":"15.2.0","revision":"6714c913625",` +
			`"kas":{"enabled":false,"externalUrl":null,"version":null}}`},
		{"13.1", "application/settings", `200 {"import_sources":["github"],"project_export_enabled":true,` +
			`"restricted_visibility_levels":[],"max_import_size":50}`},
	} {
		inMemory(t, []Option{Version(tt.version), ImportsDisabled()}, func(t *testing.T, s *Server) {
			s.AddUser(User{Username: "root", Token: "root", Admin: true})
			a := do(t, s, request{method: "GET", path: tt.path, header: as("root")})
			if got := fmt.Sprint(a.status, " ", a.body); got != tt.want {
				t.Errorf("%s of %s: %s, want %s", tt.path, tt.version, got, tt.want)
			}
		})
	}
}

func TestLookLimits(t *testing.T) {
	for _, tt := range []struct {
		path   string
		limit  int
		period time.Duration
	}{
		{"groups/acme?with_projects=false", 400, time.Minute},
		{"groups/acme/projects?per_page=1", 600, time.Minute},
		{"projects?per_page=1", 2000, 10 * time.Minute},
		{"projects/7", 400, time.Minute},
	} {
		for version, limited := range map[string]bool{"18.0": false, "18.1": true} {
			inMemory(t, []Option{Version(version)}, func(t *testing.T, s *Server) {
				lookServer(s)
				for i := range tt.limit {
					if a := get(t, s, tt.path); a.status != 200 {
						t.Fatalf("%s, number %d of %s: %d %s", version, i, tt.path, a.status, a.body)
					}
				}
				s.Advance(tt.period - time.Second)
				if a := get(t, s, tt.path); (a.status == 429) != limited {
					t.Errorf("%s, one more of %s: %d %s", version, tt.path, a.status, a.body)
				}
				s.Advance(time.Second)
				if a := get(t, s, tt.path); a.status != 200 {
					t.Errorf("%s, the next one of %s: %d %s", version, tt.path, a.status, a.body)
				}
			})
		}
	}
}

// Who may import into a group, by its settings.
func TestGroupAdmits(t *testing.T) {
	for _, tt := range []struct {
		group Group
		role  Role
		want  string
	}{
		{Group{}, Maintainer, ""},
		{Group{}, Developer, "User is not allowed to import projects"},
		{Group{}, Reporter, "Namespace is not valid"},
		{Group{ProjectCreation: "maintainer"}, Developer, "Namespace is not valid"},
		{Group{ProjectCreation: "owner"}, Maintainer, "Namespace is not valid"},
		{Group{ProjectCreation: "owner"}, Owner, ""},
		{Group{ProjectCreation: "administrator"}, Owner, "Namespace is not valid"},
		{Group{ProjectCreation: "noone"}, Owner, "Namespace is not valid"},
		{Group{Archived: true}, Owner, "Namespace is not valid"},
	} {
		inMemory(t, nil, func(t *testing.T, s *Server) {
			s.AddUser(User{Username: "ada", Token: "ada"})
			s.ConfigureGroup("acme", tt.group)
			s.AddMember("acme", "ada", tt.role)
			s.lock()
			defer s.unlock()
			if got := s.refuseProject(s.users["ada"], s.namespaces["acme"], "app", "app"); got != tt.want {
				t.Errorf("%+v, role %d: %q, want %q", tt.group, tt.role, got, tt.want)
			}
		})
	}
}

// Job artifacts count for the largest export before 16.8.
func TestExportSizeRule(t *testing.T) {
	for version, want := range map[string]int{"16.7": 400, "16.8": 202} {
		inMemory(t, []Option{Version(version), MaxExportSize(3 << 20)}, func(t *testing.T, s *Server) {
			lookServer(s)
			if a := do(t, s, request{method: "POST", path: "projects/7/export", header: asOwner}); a.status != want {
				t.Errorf("%s: %d %s", version, a.status, a.body)
			}
		})
	}
}
