package portertest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// who answers with the caller's name and the wildcard of the path.
func who(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %q %q %s", r.Method, Caller(r), r.PathValue("id"), r.URL.Path)
}

func TestHandle(t *testing.T) {
	everyTransport(t, func(t *testing.T, s *Server) {
		s.AddProject(Project{Path: "group/app"})
		s.HandleFunc("GET /api/v4/groups/{id}/hooks", who)
		s.HandleFunc("POST /api/v4/groups/{id}/hooks", func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, string(body), err)
		})
		s.HandleFunc("GET /api/v4/version", who) // instead of the simulated one
		s.HandleFunc("/-/health", who)           // no API at all

		outside := strings.TrimSuffix(s.URL, "/gitlab")
		for _, tt := range []struct {
			name string
			request
			status int
			body   string
		}{
			{"without a token", request{method: "GET", path: "groups/7/hooks"}, 200, `GET "" "7" /gitlab/api/v4/groups/7/hooks`},
			{"escaped path", request{method: "GET", path: "groups/a%2Fb.c/hooks"}, 200, `GET "" "a/b.c" /gitlab/api/v4/groups/a/b.c/hooks`},
			{"body", request{method: "POST", path: "groups/7/hooks", body: strings.NewReader("x=1")}, 201, "x=1<nil>"},
			{"another method", request{method: "PUT", path: "groups/7/hooks"}, 404, `{"error":"404 Not Found"}`},
			{"HEAD", request{method: "HEAD", path: "groups/7/hooks"}, 200, ""},
			{"query", request{method: "GET", path: "groups/7/hooks?page=2"}, 200, `GET "" "7" /gitlab/api/v4/groups/7/hooks`},
			{"simulated endpoint", request{method: "GET", path: "version"}, 200, `GET "" "" /gitlab/api/v4/version`},
			{"beside the API", request{method: "DELETE", path: s.URL + "/-/health"}, 200, `DELETE "" "" /gitlab/-/health`},
			{"outside of the root", request{method: "GET", path: outside + "/-/health"}, 404, "Not found \"/-/health\"\n"},
			{"no handler", request{method: "GET", path: "projects/group%2Fapp/export"}, 404, `{"message":"404 Project Not Found"}`},
			{"no endpoint", request{method: "GET", path: "nothing", header: asOwner}, 404, `{"error":"404 Not Found"}`},
		} {
			a := do(t, s, tt.request)
			if a.status != tt.status || a.body != tt.body || a.err != nil {
				t.Errorf("%s: got %d %s, %v, want %d %s", tt.name, a.status, a.body, a.err, tt.status, tt.body)
			}
			if tt.status < 400 && a.header.Get("X-Request-Id") == "" {
				t.Errorf("%s: no X-Request-Id", tt.name)
			}
		}
	}, RelativeRoot("/gitlab"))
}

// Faults hit the requests that a test's own handlers answer, and the log has them.
func TestHandleFaults(t *testing.T) {
	s := NewServer()
	defer s.Close()
	s.HandleFunc("POST /api/v4/markdown", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "whole")
	})
	post := func() answer {
		return do(t, s, request{method: "POST", path: "markdown", body: strings.NewReader("text"), header: asOwner})
	}
	s.Inject(Fault{Path: "/markdown", Do: Respond(503, nil, "busy")})
	if a := post(); a.status != 503 || a.body != "busy" {
		t.Errorf("got %d %s", a.status, a.body)
	}
	s.Inject(Fault{Path: "/markdown", Do: CutResponse(2)})
	if a := post(); a.err == nil || a.body != "wh" {
		t.Errorf("got %s, %v", a.body, a.err)
	}
	if a := post(); a.body != "whole" {
		t.Errorf("got %s, %v", a.body, a.err)
	}
	rs := s.Requests()
	if r := rs[len(rs)-1]; len(rs) != 3 || r.Path != "/api/v4/markdown" || r.BodyBytes != 4 || !r.Complete || r.Status != 200 || r.Sent != 5 {
		t.Errorf("log has %d requests, the last is %+v", len(rs), r)
	}
}

func TestAuthenticated(t *testing.T) {
	s := NewServer(GlobalThrottle(1000, time.Hour))
	defer s.Close()
	s.AddUser(User{Username: "root", Token: "root", Admin: true, Scopes: []string{"api", "sudo"}})
	s.AddUser(User{Username: "ada", Token: "ada"})
	s.AddUser(User{Username: "reader", Token: "reader", Scopes: []string{"read_api"}})
	s.AddUser(User{Username: "gone", Token: "gone", Blocked: true})
	s.AddUser(User{Username: "late", Token: "late", Expired: true})
	s.Handle("/api/v4/groups/{id}/hooks", s.Authenticated(http.HandlerFunc(who)))

	for _, tt := range []struct {
		name   string
		method string
		query  string
		header map[string]string
		status int
		body   string // part of it
	}{
		{"no token", "GET", "", nil, 401, `{"message":"401 Unauthorized"}`},
		{"wrong token", "GET", "", as("wrong"), 401, `{"message":"401 Unauthorized"}`},
		{"expired", "GET", "", as("late"), 401, "Token is expired"},
		{"blocked", "GET", "", as("gone"), 403, "blocked"},
		{"scope", "POST", "", as("reader"), 403, "insufficient_scope"},
		{"scope for reading", "GET", "", as("reader"), 200, `"reader"`},
		{"owner", "GET", "", asOwner, 200, `"owner" "7"`},
		{"bearer", "GET", "", map[string]string{"Authorization": "Bearer ada"}, 200, `"ada"`},
		{"in the query", "GET", "?private_token=ada", nil, 200, `"ada"`},
		{"sudo", "GET", "?sudo=ada", as("root"), 200, `"ada"`},
		{"sudo by another", "GET", "?sudo=root", as("ada"), 403, "Must be admin"},
		{"traversal", "GET", "?file=../../etc", asOwner, 400, "traversal"},
	} {
		a := do(t, s, request{method: tt.method, path: "groups/7/hooks" + tt.query, header: tt.header})
		if a.status != tt.status || !strings.Contains(a.body, tt.body) {
			t.Errorf("%s: got %d %s, want %d with %s", tt.name, a.status, a.body, tt.status, tt.body)
		}
		if tt.status == 200 && a.header.Get("RateLimit-Limit") == "" {
			t.Errorf("%s: nothing of the limits in %v", tt.name, a.header)
		}
	}
	s.Configure(Maintenance())
	a := do(t, s, request{method: "POST", path: "groups/7/hooks", header: as(Token, "Content-Type", "application/json")})
	if a.status != 503 {
		t.Errorf("in maintenance: got %d %s", a.status, a.body)
	}
	s.Configure(Enabled(), GlobalThrottle(1, time.Hour))
	if a := do(t, s, request{method: "GET", path: "groups/7/hooks", header: as("ada")}); a.status != 429 || a.body != "Retry later\n" {
		t.Errorf("over the limit: got %d %s", a.status, a.body)
	}
}

func TestHandleMisused(t *testing.T) {
	s := NewServer(InMemory())
	defer s.Close()
	s.HandleFunc("GET /api/v4/groups/{id}/hooks", who)
	for name, pattern := range map[string]string{
		"empty": "", "no path": "GET", "twice": "GET /api/v4/groups/{id}/hooks", "conflict": "GET /api/v4/groups/7/{what}", "brace": "/{id",
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: %q was taken", name, pattern)
				}
			}()
			s.HandleFunc(pattern, who)
		}()
	}
}
