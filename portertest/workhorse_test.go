package portertest

import (
	"strings"
	"testing"
)

const traversed = "Potential path traversal attempt detected."

func TestAddressing(t *testing.T) {
	for _, tt := range []struct {
		name, method, path string
		status             int
		body               string // a part of it
	}{
		{"ID", "GET", "projects/7/export", 200, `"id":7`},
		{"path", "GET", "projects/acme%2Ftools%2Fwid.get/export", 200, `"id":7`},
		{"escaped in lower case", "GET", "projects/acme%2ftools%2fwid.get/export", 200, `"id":7`},
		{"other case", "GET", "projects/ACME%2FTools%2FWid.Get/export", 200, `"id":7`},
		{"escaped twice", "GET", "projects/acme%252Ftools%252Fwid.get/export", 404, noProject},
		{"without a slash", "GET", "projects/wid.get/export", 404, noProject},
		{"not escaped", "GET", "projects/acme/tools/wid.get/export", 404, noRoute},
		{"huge ID", "GET", "projects/99999999999999999999/export", 404, noProject},
		{"no ID", "GET", "projects//export", 404, noRoute},
		{"unknown route", "GET", "projects/7/exports", 404, noRoute},
		{"unknown root", "GET", "groups/7/export", 404, noRoute},
		{"wrong method", "DELETE", "projects/7/export", 404, noRoute},
		{"wrong method", "PUT", "projects/7/import", 404, noRoute},
		{"wrong method", "GET", "projects/import", 404, noRoute},
		{"NUL", "GET", "projects/a%2Fb%00/export", 400, "Bad Request"},
		{"not UTF-8", "GET", "projects/a%2Fb%ff/export", 400, "Bad Request"},
		{"NUL in the query", "GET", "projects/7/export?x=%00", 400, "Bad Request"},
		{"half an escape in the query", "GET", "projects/7/export?x=%zz", 400, "Bad Request"},
		{"zeros before the ID", "GET", "projects/007/export", 200, `"id":7`},
		{"ID and a line break", "GET", "projects/7%0A/export", 200, `"id":7`},
		{"ID and another line", "GET", "projects/7%0Ax/export", 200, `"id":7`},
		{"ID on another line", "GET", "projects/x%0A7/export", 404, noProject},
		{"ID and a space", "GET", "projects/7%20/export", 404, noProject},
		{"any format", "GET", "projects/7/export.yaml", 200, `"id":7`},
		{"format of nothing", "GET", "projects/7/export.", 404, noRoute},
		{"two formats", "GET", "projects/7/export.tar.gz", 404, noRoute},
		{"dots in the path", "GET", "projects/a%2F..%2Fb/export", 400, traversed},
		{"dots at the end", "GET", "projects/7/export/..", 400, traversed},
		{"dots and backslashes", "GET", "projects/a%5C..%5Cb/export", 400, traversed},
		{"dots escaped twice", "GET", "projects/a%252F..%252Fb/export", 404, noProject},
		{"dots in a name", "GET", "projects/acme%2F..b/export", 404, noProject},
		{"dots in the query", "GET", "projects/7/export?x=a/../b", 400, traversed},
		{"dots at the end of the query", "GET", "projects/7/export?x=a%2F..", 400, traversed},
		{"dots at the beginning of a value", "GET", "projects/7/export?x=../b", 200, `"id":7`},
		{"dots in a text for people", "GET", "projects/7/export?content=a/../b", 200, `"id":7`},
		{"dots in a hash's text", "GET", "projects/7/export?x[description]=a/../b", 200, `"id":7`},
		{"malformed before dots", "GET", "projects/7/../8%00/export", 400, "Bad Request"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inMemory(t, nil, func(t *testing.T, s *Server) {
				s.AddProject(Project{Path: "acme/tools/wid.get", ID: 7})
				a := do(t, s, request{method: tt.method, path: tt.path, header: asOwner})
				if a.status != tt.status || !strings.Contains(a.body, tt.body) {
					t.Errorf("got %d %s\nwant %d %s", a.status, a.body, tt.status, tt.body)
				}
			})
		})
	}
	inMemory(t, nil, func(t *testing.T, s *Server) {
		a := do(t, s, request{method: "GET", path: s.URL + "/api/v3/projects/7/export", header: asOwner})
		if a.status != 410 {
			t.Errorf("API v3: got %d %s", a.status, a.body)
		}
		a = post(t, s, "projects/7/export", formType, "description=a%00b")
		a.want(t, 400, "Bad Request")
		if ct := a.header.Get("Content-Type"); ct != "text/plain" {
			t.Errorf("Content-Type is %q", ct)
		}
	})
}

func TestRelativeRoot(t *testing.T) {
	inMemory(t, []Option{RelativeRoot("gitlab/")}, func(t *testing.T, s *Server) {
		s.AddProject(Project{Path: "a/b", ID: 7})
		if s.URL != "http://gitlab.test/gitlab" {
			t.Errorf("URL is %s", s.URL)
		}
		if a := get(t, s, "projects/7/export"); a.status != 200 {
			t.Errorf("got %d %s", a.status, a.body)
		}
		for path, quoted := range map[string]string{
			"/api/v4/projects/7/export":        `"/api/v4/projects/7/export"`,
			"/gitlabs/api/v4/projects/7":       `"/gitlabs/api/v4/projects/7"`,
			"/api/v4/projects/a%2Fb/export":    `"/api/v4/projects/a%2Fb/export"`,
			"/gitlab2/api/v4/projects/7/":      `"/gitlab2/api/v4/projects/7/"`,
			"/x/../api/v4//projects/7/export/": `"/api/v4/projects/7/export/"`,
		} {
			a := do(t, s, request{method: "GET", path: "http://gitlab.test" + path, header: asOwner})
			a.want(t, 404, "Not found "+quoted+"\n")
			if a.header.Get("Content-Type") != "text/plain; charset=utf-8" {
				t.Errorf("Content-Type is %q", a.header.Get("Content-Type"))
			}
		}
	})
}

func TestMovedProject(t *testing.T) {
	const notGET = `{"message":"Non GET methods are not allowed for moved projects"}`
	const there = "http://git.example.test/root/api/v4/projects/7"
	for _, tt := range []struct {
		name, version, token string
		method, path         string
		status               int
		body                 string
		location             string
	}{
		{"GET", "18.9", Token, "GET", "old%2Fname/export", 301, "This resource has been moved permanently to " + there + "/export",
			there + "/export"},
		{"GET with a query", "18.9", Token, "GET", "old%2Fname/export?a=b%2Fc", 301,
			"This resource has been moved permanently to " + there + "/export?a=b%2Fc", there + "/export?a=b%2Fc"},
		{"download", "16.7", Token, "GET", "OLD%2Fname/export/download", 301,
			"This resource has been moved permanently to " + there + "/export/download", there + "/export/download"},
		{"import status", "18.9", Token, "GET", "old%2Fname/import", 301, "This resource has been moved permanently to " + there + "/import",
			there + "/import"},
		{"slash at the end", "18.9", Token, "GET", "old%2Fname/export/", 301,
			"This resource has been moved permanently to " + there + "/export", there + "/export"},
		{"format", "18.9", Token, "GET", "old%2Fname/%65xport.json", 301, "This resource has been moved permanently to " + there + "/export",
			there + "/export"},
		{"POST", "18.9", Token, "POST", "old%2Fname/export", 405, notGET, ""},
		{"HEAD", "18.9", Token, "HEAD", "old%2Fname/export/download", 405, "", ""},
		{"no access", "18.9", "stranger", "GET", "old%2Fname/export", 404, noProject, ""},
		{"developer", "18.9", "developer", "GET", "old%2Fname/export", 301, "This resource has been moved permanently to " + there + "/export",
			there + "/export"},
		{"before", "16.6", Token, "GET", "old%2Fname/export", 404, noProject, ""},
		{"POST before", "13.12", Token, "POST", "old%2Fname/export", 404, noProject, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inMemory(t, []Option{Version(tt.version), ExternalURL("http://git.example.test/root/")}, func(t *testing.T, s *Server) {
				s.AddUser(User{Username: "stranger", Token: "stranger"})
				s.AddUser(User{Username: "developer", Token: "developer"})
				s.AddProject(Project{Path: "new/name", ID: 7, FormerPaths: []string{"old/name"}, Members: map[string]Role{"developer": Developer}})
				a := do(t, s, request{method: tt.method, path: "projects/" + tt.path, header: as(tt.token)})
				a.want(t, tt.status, tt.body)
				if l := a.header.Get("Location"); l != tt.location {
					t.Errorf("Location is %q, want %q", l, tt.location)
				}
			})
		})
	}
	inMemory(t, nil, func(t *testing.T, s *Server) {
		s.AddProject(Project{Path: "new/name", ID: 7, FormerPaths: []string{"old/name"}})
		s.AddProject(Project{Path: "old/name", ID: 8})
		if a := get(t, s, "projects/old%2Fname/export"); a.status != 200 || a.member(t, "id") != 8.0 {
			t.Errorf("a project that took over the path: got %d %s", a.status, a.body)
		}
	})
}

func TestReadOnly(t *testing.T) {
	const status = `{"id":7,"description":null,"name":"b","name_with_namespace":"a / b","path":"b","path_with_namespace":"a/b",` +
		`"created_at":"2000-01-01T00:00:00.000Z","export_status":"none"}`
	body, multipart := form(plain("path", "new"), file("x.tar.gz", smallArchive))
	for _, tt := range []struct {
		name         string
		opt          Option
		method, path string
		contentType  string
		referer      string
		status       int
		body         string
		location     string
	}{
		{"read", ReadOnly(), "GET", "projects/7/export", "", "", 200, status, ""},
		{"no body", ReadOnly(), "POST", "projects/7/export", "", "", 301, "", "http://gitlab.test/"},
		{"form", ReadOnly(), "POST", "projects/7/export", formType, "http://example.test/x", 301, "", "http://example.test/x"},
		{"multipart", ReadOnly(), "POST", "projects/import", multipart, "", 301, "", "http://gitlab.test/"},
		{"JSON", ReadOnly(), "POST", "projects/7/export", jsonType, "", 403,
			`{"message":"You cannot perform write operations on a read-only instance"}`, ""},
		{"maintenance, JSON", Maintenance(), "POST", "projects/7/export", jsonType, "", 503,
			`{"message":"GitLab Maintenance: system is in maintenance mode"}`, ""},
		{"maintenance, form", Maintenance(), "POST", "projects/7/export", formType, "", 301, "", "http://gitlab.test/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inMemory(t, []Option{tt.opt}, func(t *testing.T, s *Server) {
				s.AddProject(Project{Path: "a/b", ID: 7})
				r := request{method: tt.method, path: tt.path, header: as(Token), body: strings.NewReader("{}")}
				if tt.contentType != "" {
					r.header["Content-Type"] = tt.contentType
				}
				if tt.referer != "" {
					r.header["Referer"] = tt.referer
				}
				if tt.contentType == multipart {
					r.body = strings.NewReader(body)
				}
				a := do(t, s, r)
				a.want(t, tt.status, tt.body)
				a.wantHeaders(t, "Location", tt.location)
				if len(s.Projects()) != 1 || s.Exports("7") != nil {
					t.Error("something was written")
				}
			})
		})
	}
}

// TestReadOnlyRedirect checks that a client that follows the redirect gets a page.
func TestReadOnlyRedirect(t *testing.T) {
	inMemory(t, []Option{ReadOnly()}, func(t *testing.T, s *Server) {
		resp, err := s.Client().Post(s.URL+"/api/v4/projects/7/export", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") || resp.Request.Method != "GET" {
			t.Errorf("following the redirect got %d %s by %s", resp.StatusCode, resp.Header.Get("Content-Type"), resp.Request.Method)
		}
	})
}

func TestWebPages(t *testing.T) {
	inMemory(t, nil, func(t *testing.T, s *Server) {
		a := do(t, s, request{method: "GET", path: s.URL + "/acme/widget/download_export", header: asOwner})
		if a.status != 302 || a.header.Get("Location") != s.URL+"/users/sign_in" {
			t.Errorf("got %d to %s", a.status, a.header.Get("Location"))
		}
		a = do(t, s, request{method: "GET", path: s.URL + "/users/sign_in"})
		if a.status != 200 || !strings.Contains(a.body, "<title>Sign in") {
			t.Errorf("got %d %s", a.status, a.body)
		}
		if a = do(t, s, request{method: "POST", path: s.URL + "/nothing"}); a.status != 404 {
			t.Errorf("got %d %s", a.status, a.body)
		}
	})
}

// TestOptions checks which methods a path tells to have, and to whom.
func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		path, token string
		status      int
		allow       string
	}{
		{"projects/7/export", Token, 204, "OPTIONS, GET, POST, HEAD"},
		{"projects/7/export/download", Token, 204, "OPTIONS, GET, HEAD"},
		{"projects/import", Token, 204, "OPTIONS, POST"},
		{"projects/7/export", "", 404, ""},
		{"projects/7/export", "x", 401, ""},
		{"projects/9/export", Token, 404, ""},
		{"projects/import", "", 401, ""},
		{"projects/7/export_relations", Token, 404, ""},
		{"projects/7/nonsense", Token, 404, ""},
	} {
		inMemory(t, nil, func(t *testing.T, s *Server) {
			s.AddProject(Project{Path: "a/b", ID: 7})
			a := do(t, s, request{method: "OPTIONS", path: tt.path, header: as(tt.token)})
			if a.status != tt.status || a.header.Get("Allow") != tt.allow || tt.status == 204 && a.body != "" {
				t.Errorf("%s as %q: got %d %s, Allow %q", tt.path, tt.token, a.status, a.body, a.header.Get("Allow"))
			}
		})
	}
}

// TestBodies checks what GitLab says of bodies that it does not read, and in
// which order.
func TestBodies(t *testing.T) {
	const undeclared = `{"error":"message body does not match declared format"}`
	unsupported := func(kind string) string {
		return `{"error":"The provided content-type '` + kind + `' is not supported."}`
	}
	deep := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	for _, tt := range []struct {
		name, method, path, token, contentType, body string
		status                                       int
		want                                         string
	}{
		{"another type", "POST", "projects/7/export", Token, "text/csv; charset=utf-8", "a,b", 415, unsupported("text/csv")},
		{"another type, nobody", "POST", "projects/7/export", "", "text/csv", "a,b", 415, unsupported("text/csv")},
		{"another type, no route", "POST", "nonsense", Token, "text/csv", "a,b", 415, unsupported("text/csv")},
		{"another type, no body", "POST", "projects/7/export", Token, "text/csv", "", 202, accepted},
		{"another type where nothing is read", "GET", "projects/7/export", Token, "text/csv", "a,b", 200, ""},
		{"another type of JSON", "POST", "projects/7/export", Token, "text/x-json", "{}", 415, unsupported("text/x-json")},
		{"another type of JSON, broken", "POST", "projects/7/export", Token, "text/x-json", "{", 400, `{"error":"Invalid JSON format"}`},
		{"type in capitals", "POST", "projects/7/export", Token, "Application/JSON", `{"upload":1}`, 400, `{"error":"upload is invalid"}`},
		{"no type, JSON", "POST", "projects/7/export", Token, "", `{"upload":1}`, 400, `{"error":"upload is invalid"}`},
		{"no type, none", "POST", "projects/7/export", Token, "", "upload=1", 400, undeclared},
		{"JSON before the token", "POST", "projects/7/export", "x", jsonType, "{", 400, `{"error":"Invalid JSON format"}`},
		{"JSON in JSON", "POST", "projects/7/export", Token, jsonType, `"{}"`, 202, accepted},
		{"list", "POST", "projects/7/export", Token, jsonType, `[{"upload":1}]`, 202, accepted},
		{"just not too deep", "POST", "projects/7/export", Token, jsonType, deep(32), 202, accepted},
		{"too deep", "POST", "projects/7/export", Token, jsonType, deep(33), 400, `{"error":"Parameters nested too deeply"}`},
		{"form that is just not too deep", "POST", "projects/7/export", Token, formType, "a" + strings.Repeat("[a]", 31) + "=1", 202, accepted},
		{"form that is too deep", "POST", "projects/7/export", Token, formType, "a" + strings.Repeat("[a]", 32) + "=1", 400, "Bad Request"},
		{"JSON that nobody reads", "GET", "projects/7/export", Token, jsonType, `{"private_token":"x"}`, 200, ""},
		{"file for a text", "POST", "projects/7/export", Token, "multipart/form-data; boundary=b",
			"--b\r\nContent-Disposition: form-data; name=\"description\"; filename=\"x\"\r\n\r\nd\r\n--b--\r\n", 400,
			`{"error":"description is invalid"}`},
		{"upload by another name", "POST", "projects/import/", Token, "multipart/form-data; boundary=b",
			"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.gz\"\r\n\r\nd\r\n--b--\r\n", 400,
			`{"error":"path is missing, file is invalid"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inMemory(t, nil, func(t *testing.T, s *Server) {
				s.AddProject(Project{Path: "a/b", ID: 7})
				h := as(tt.token)
				if tt.contentType != "" {
					h["Content-Type"] = tt.contentType
				}
				a := do(t, s, request{method: tt.method, path: tt.path, header: h, body: strings.NewReader(tt.body)})
				if a.status != tt.status || tt.want != "" && a.body != tt.want {
					t.Errorf("got %d %s\nwant %d %s", a.status, a.body, tt.status, tt.want)
				}
			})
		})
	}
}
