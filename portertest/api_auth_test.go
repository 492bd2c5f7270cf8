package portertest

import (
	"net/http"
	"strings"
	"testing"
)

const (
	noProject    = `{"message":"404 Project Not Found"}`
	notFound     = `{"message":"404 Not Found"}`
	noRoute      = `{"error":"404 Not Found"}`
	unauthorized = `{"message":"401 Unauthorized"}`
	forbidden    = `{"message":"403 Forbidden"}`
	accepted     = `{"message":"202 Accepted"}`
	noNamespace  = `{"message":"404 Namespace Not Found"}`
)

// users adds one user in every situation that matters to authentication.
func users(s *Server) {
	s.AddProject(Project{Path: "acme/private", ID: 1, Members: map[string]Role{}})
	s.AddProject(Project{Path: "acme/public", ID: 2, Visibility: "public"})
	s.AddProject(Project{Path: "acme/internal", ID: 3, Visibility: "internal"})
	for _, u := range []User{
		{Username: "admin", Token: "admin", Admin: true, Scopes: []string{"api", "sudo"}},
		{Username: "admin", Token: "admin-api", Admin: true},
		{Username: "admin", Token: "admin-sudo", Admin: true, Scopes: []string{"sudo"}},
		{Username: "stranger", Token: "stranger"},
		{Username: "expired", Token: "expired", Expired: true},
		{Username: "revoked", Token: "revoked", Revoked: true},
		{Username: "blocked", Token: "blocked", Blocked: true},
		{Username: "blocked", Token: "blocked-reader", Blocked: true, Scopes: []string{"read_api"}},
		{Username: "terms", Token: "terms", Denied: "You must accept the Terms of Service."},
		{Username: "granular", Token: "granular", Lacks: []string{"create_export"}},
		{Username: "reader", Token: "reader", Scopes: []string{"read_api"}},
		{Username: "useless", Token: "useless", Scopes: []string{"read_user"}},
		{Username: "guest", Token: "guest"},
		{Username: "developer", Token: "developer"},
		{Username: "maintainer", Token: "maintainer"},
	} {
		s.AddUser(u)
	}
	s.AddMember("acme/private", "reader", Maintainer)
	s.AddMember("acme/private", "guest", Guest)
	s.AddMember("acme/private", "developer", Developer)
	s.AddMember("acme", "maintainer", Maintainer)
}

func TestAuthentication(t *testing.T) {
	const (
		expired  = `{"error":"invalid_token","error_description":"Token is expired. You can either do re-authorization or token refresh."}`
		revoked  = `{"error":"invalid_token","error_description":"Token was revoked. You have to re-authorize from the user."}`
		scopeAPI = `{"error":"insufficient_scope",` +
			`"error_description":"The request requires higher privileges than provided by the access token.","scope":"api read_api"}`
		granular = `{"error":"insufficient_granular_scope",` +
			`"error_description":"Access denied: Your fine-grained personal access token lacks the required permissions: [create_export]."}`
		blocked     = `{"message":"403 Forbidden - Your account has been blocked."}`
		terms       = `{"message":"403 Forbidden - You must accept the Terms of Service."}`
		noneYet     = `"export_status":"none"`
		notImported = `"import_status":"none"`
	)
	header := func(kv ...string) map[string]string {
		h := map[string]string{}
		for i := 0; i < len(kv); i += 2 {
			h[kv[i]] = kv[i+1]
		}
		return h
	}
	for _, tt := range []struct {
		name   string
		header map[string]string
		method string
		path   string
		status int
		body   string // a part of it
	}{
		{"no credentials, private project", nil, "GET", "projects/1/export", 404, noProject},
		{"no credentials, internal project", nil, "GET", "projects/3/export", 404, noProject},
		{"no credentials, public project", nil, "GET", "projects/2/export", 403, forbidden},
		{"no credentials, import", nil, "POST", "projects/import", 401, unauthorized},
		{"no credentials, import status", nil, "GET", "projects/1/import", 401, unauthorized},
		{"empty token", header("Private-Token", ""), "GET", "projects/1/export", 404, noProject},
		{"unknown token", as("x"), "GET", "projects/1/export", 401, unauthorized},
		{"unknown token, import", as("x"), "GET", "projects/1/import", 401, unauthorized},
		{"unknown token, POST", as("x"), "POST", "projects/import", 401, unauthorized},
		{"expired", as("expired"), "GET", "projects/1/export", 401, expired},
		{"expired, import", as("expired"), "POST", "projects/import", 401, expired},
		{"revoked", as("revoked"), "GET", "projects/1/export", 401, revoked},
		{"revoked, import", as("revoked"), "POST", "projects/import", 401, revoked},
		{"read_api on GET", as("reader"), "GET", "projects/1/export", 200, noneYet},
		{"read_api on import status", as("reader"), "GET", "projects/1/import", 200, notImported},
		{"read_api on POST", as("reader"), "POST", "projects/1/export", 403, scopeAPI},
		{"read_api on import", as("reader"), "POST", "projects/import", 403, scopeAPI},
		{"no API scope", as("useless"), "GET", "projects/1/export", 403, scopeAPI},
		{"fine-grained", as("granular"), "POST", "projects/1/export", 403, granular},
		{"blocked", as("blocked"), "GET", "projects/1/export", 403, blocked},
		{"blocked, import", as("blocked"), "POST", "projects/import", 403, blocked},
		{"terms", as("terms"), "GET", "projects/1/import", 403, terms},
		{"guest", as("guest"), "GET", "projects/1/export", 403, forbidden},
		{"developer", as("developer"), "POST", "projects/1/export", 403, forbidden},
		{"developer, download", as("developer"), "GET", "projects/1/export/download", 403, forbidden},
		{"developer, import status", as("developer"), "GET", "projects/1/import", 200, notImported},
		{"maintainer of the group", as("maintainer"), "GET", "projects/1/export", 200, noneYet},
		{"stranger", as("stranger"), "GET", "projects/1/export", 404, noProject},
		{"stranger, import status", as("stranger"), "GET", "projects/1/import", 404, noProject},
		{"stranger, internal project", as("stranger"), "GET", "projects/3/export", 403, forbidden},
		{"stranger, public project", as("stranger"), "GET", "projects/2/import", 200, notImported},
		{"admin", as("admin"), "GET", "projects/1/export", 200, noneYet},
		{"no such project", asOwner, "GET", "projects/99/export", 404, noProject},
		{"bearer", header("Authorization", "Bearer "+Token), "GET", "projects/1/export", 200, noneYet},
		{"bearer in lower case", header("Authorization", "bearer "+Token), "GET", "projects/1/export", 200, noneYet},
		{"bad bearer", header("Authorization", "Bearer x"), "GET", "projects/1/export", 401, unauthorized},
		{"basic", header("Authorization", "Basic eDp5"), "GET", "projects/1/export", 404, noProject},
		{"private_token", nil, "GET", "projects/1/export?private_token=" + Token, 200, noneYet},
		{"access_token", nil, "GET", "projects/1/export?access_token=" + Token, 200, noneYet},
		{"job token", header("Job-Token", Token), "GET", "projects/1/export", 404, noProject},
		{"job token, import", header("Job-Token", Token), "POST", "projects/import", 401, unauthorized},
		{"job token, parameter", nil, "GET", "projects/1/import?job_token=" + Token, 401, unauthorized},
		{"deploy token", header("Deploy-Token", Token), "GET", "projects/1/export", 404, noProject},
		{"sudo", as("admin", "Sudo", "stranger"), "GET", "projects/1/export", 404, noProject},
		{"sudo by parameter", as("admin"), "GET", "projects/1/export?sudo=stranger", 404, noProject},
		{"sudo without the scope", as("admin-api", "Sudo", "stranger"), "GET", "projects/1/export", 403, `"scope":"sudo"`},
		{"sudo without being admin", as("stranger", "Sudo", "maintainer"), "GET", "projects/1/export", 403,
			`{"message":"403 Forbidden - Must be admin to use sudo"}`},
		{"sudo to nobody", as("admin", "Sudo", "nobody"), "GET", "projects/1/export", 404,
			`{"message":"404 User with ID or username 'nobody' Not Found"}`},
		{"sudo by parameter before the header", as("admin", "Sudo", "nobody"), "GET", "projects/1/export?sudo=maintainer", 200, noneYet},
		{"sudo to oneself asks for the API's scope too", as("admin-sudo", "Sudo", "admin"), "GET", "projects/1/export", 403, scopeAPI},
		{"sudo to another does not", as("admin-sudo", "Sudo", "maintainer"), "GET", "projects/1/export", 200, noneYet},
		{"sudo to nobody in particular", as("admin", "Sudo", ""), "GET", "projects/1/export", 404,
			`{"message":"404 User with ID or username '' Not Found"}`},
		{"blocked before the scope", as("blocked-reader"), "POST", "projects/1/export", 403, blocked},
		{"not an admin before the scope", as("reader", "Sudo", "maintainer"), "POST", "projects/1/export", 403,
			`{"message":"403 Forbidden - Must be admin to use sudo"}`},
		{"bearer with two spaces", header("Authorization", "Bearer  "+Token), "GET", "projects/1/export", 401, unauthorized},
		{"blank parameter", as(Token), "GET", "projects/1/export?private_token=%20", 200, noneYet},
		{"parameter of another kind", as(Token), "GET", "projects/1/export?private_token[]=x", 200, noneYet},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inMemory(t, nil, func(t *testing.T, s *Server) {
				users(s)
				a := do(t, s, request{method: tt.method, path: tt.path, header: tt.header})
				if a.status != tt.status || !strings.Contains(a.body, tt.body) {
					t.Errorf("got %d %s\nwant %d %s", a.status, a.body, tt.status, tt.body)
				}
				if a.header.Get("X-Request-Id") == "" {
					t.Error("no X-Request-Id")
				}
			})
		})
	}
}

func TestAuthenticationByVersion(t *testing.T) {
	for _, tt := range []struct {
		name, version string
		header        map[string]string
		path          string
		status        int
	}{
		{"read_api does not exist", "12.9", as("reader"), "projects/1/export", 403},
		{"read_api exists", "12.10", as("reader"), "projects/1/export", 200},
		{"import status is open to all", "16.3", nil, "projects/2/import", 200},
		{"but not of private projects", "16.3", nil, "projects/1/import", 404},
		{"import status needs a login", "16.4", nil, "projects/2/import", 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inMemory(t, []Option{Version(tt.version)}, func(t *testing.T, s *Server) {
				users(s)
				if a := do(t, s, request{method: "GET", path: tt.path, header: tt.header}); a.status != tt.status {
					t.Errorf("got %d %s, want %d", a.status, a.body, tt.status)
				}
			})
		})
	}
}

func TestSwitchedOff(t *testing.T) {
	small, ct := form(plain("path", "new"), file("x.tar.gz", smallArchive))
	multipart := as(Token, "Content-Type", ct)
	for _, tt := range []struct {
		name, version string
		header        map[string]string
		method, path  string
		status        int
		body          string
	}{
		{"export, before authentication", "18.9", nil, "GET", "projects/1/export", 404, notFound},
		{"export, bad token", "18.9", as("x"), "POST", "projects/1/export", 404, notFound},
		{"export, no project", "18.9", asOwner, "GET", "projects/99/export/download", 404, notFound},
		{"import", "18.9", multipart, "POST", "projects/import", 403, forbidden},
		{"import, anonymous", "18.9", nil, "POST", "projects/import", 401, unauthorized},
		{"import, no form", "18.9", asOwner, "POST", "projects/import", 403, forbidden},
		{"import status", "18.9", asOwner, "GET", "projects/1/import", 200, ""},
		{"import status, old", "13.5", asOwner, "GET", "projects/1/import", 403, forbidden},
		{"import status, 13.6", "13.6", asOwner, "GET", "projects/1/import", 200, ""},
		{"import, old", "12.8", multipart, "POST", "projects/import", 403, forbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inMemory(t, []Option{Version(tt.version), ExportsDisabled(), ImportsDisabled()}, func(t *testing.T, s *Server) {
				users(s)
				r := request{method: tt.method, path: tt.path, header: tt.header}
				if tt.header["Content-Type"] != "" {
					r.body = strings.NewReader(small)
				}
				a := do(t, s, r)
				if a.status != tt.status || tt.body != "" && a.body != tt.body {
					t.Errorf("got %d %s\nwant %d %s", a.status, a.body, tt.status, tt.body)
				}
			})
		})
	}
	inMemory(t, []Option{ExportsDisabled()}, func(t *testing.T, s *Server) {
		users(s)
		s.Configure(Enabled())
		if a := get(t, s, "projects/1/export"); a.status != http.StatusOK {
			t.Errorf("switched on again: got %d %s", a.status, a.body)
		}
	})
}
