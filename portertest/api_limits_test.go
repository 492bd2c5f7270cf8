package portertest

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// calls makes n requests and returns how many were not limited.
func calls(t *testing.T, s *Server, n int, r request) int {
	t.Helper()
	passed := 0
	for range n {
		if do(t, s, r).status != 429 {
			passed++
		}
	}
	return passed
}

func TestLimits(t *testing.T) {
	type call struct {
		token, method, path string
	}
	export := func(p string) call { return call{Token, "POST", "projects/" + p + "/export"} }
	load := func(p string) call { return call{Token, "GET", "projects/" + p + "/export/download"} }
	for _, tt := range []struct {
		name, version string
		first         call
		passed        int // of ten
		then          call
		limited       bool
	}{
		{"exports, other project", "18.9", export("1"), 6, export("2"), true},
		{"exports, other user", "18.9", export("1"), 6, call{"max", "POST", "projects/1/export"}, false},
		{"exports, other project, 13.2", "13.2", export("1"), 6, export("2"), true},
		{"exports, other project, 13.1", "13.1", export("1"), 6, export("2"), false},
		{"exports, 12.6", "12.6", export("1"), 6, export("1"), true},
		{"exports before 12.6", "12.5", export("1"), 10, export("1"), false},
		{"status is free", "18.9", export("1"), 6, call{Token, "GET", "projects/1/export"}, false},
		{"downloads", "18.9", load("1"), 1, load("1"), true},
		{"downloads, HEAD", "18.9", call{Token, "HEAD", "projects/1/export/download"}, 1, load("1"), true},
		{"downloads, other project", "17.10", load("1"), 1, load("2"), false},
		{"downloads, other project, 17.9", "17.9", load("1"), 1, load("2"), true},
		{"downloads, other namespace, 17.9", "17.9", load("1"), 1, load("3"), false},
		{"downloads, other project, 14.10", "14.10", load("1"), 1, load("2"), true},
		{"downloads, other project, 14.9", "14.9", load("1"), 1, load("2"), false},
		{"downloads, other user", "18.9", load("1"), 1, call{"max", "GET", "projects/1/export/download"}, false},
		{"downloads, 12.6", "12.6", load("1"), 1, load("1"), true},
		{"downloads before 12.6", "12.5", load("1"), 10, load("1"), false},
		{"exports and downloads are apart", "18.9", export("1"), 6, load("1"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inMemory(t, []Option{Version(tt.version)}, func(t *testing.T, s *Server) {
				s.AddUser(User{Username: "max", Token: "max"})
				s.AddProject(Project{Path: "a/one", ID: 1, Members: map[string]Role{"max": Maintainer}})
				s.AddProject(Project{Path: "a/two", ID: 2})
				s.AddProject(Project{Path: "b/three", ID: 3})
				if n := calls(t, s, 10, request{method: tt.first.method, path: tt.first.path, header: as(tt.first.token)}); n != tt.passed {
					t.Errorf("%d of 10 passed, want %d", n, tt.passed)
				}
				a := do(t, s, request{method: tt.then.method, path: tt.then.path, header: as(tt.then.token)})
				if (a.status == 429) != tt.limited {
					t.Errorf("then: got %d %s", a.status, a.body)
				}
			})
		})
	}
}

func TestImportLimit(t *testing.T) {
	for version, want := range map[string]int{"18.9": 6, "12.8": 6, "12.7": 8} {
		inMemory(t, []Option{Version(version)}, func(t *testing.T, s *Server) {
			made := 0
			for i := range 8 {
				a := importAs(t, s, Token, gz(plain("path", "new"+strconv.Itoa(i)))...)
				if a.status == 201 {
					made++
				} else {
					a.want(t, 429, tooMany)
				}
				if r := s.Requests(); !r[len(r)-1].Complete {
					t.Error("the answer came before the end of the body")
				}
			}
			if made != want {
				t.Errorf("%s: %d imports, want %d", version, made, want)
			}
		})
	}
	inMemory(t, nil, func(t *testing.T, s *Server) {
		// Validation comes first, and so does not count; what comes later does.
		for range 6 {
			importAs(t, s, Token, gz()...).want(t, 400, `{"error":"path is missing"}`)
		}
		for range 6 {
			importAs(t, s, Token, gz(plain("path", "a"), plain("namespace", "nope"))...).want(t, 404, noNamespace)
		}
		importAs(t, s, Token, plain("path", "a"), file("x.zip", "x")).want(t, 429, tooMany)
	})
	inMemory(t, []Option{Version("12.8"), Limits(RateLimits{Imports: 1})}, func(t *testing.T, s *Server) {
		// Once, what is wrong with the file was found out last.
		importAs(t, s, Token, plain("path", "a"), plain("file", "x")).want(t, 400, `{"message":"The file is invalid"}`)
		importAs(t, s, Token, plain("path", "a"), plain("file", "x")).want(t, 429, tooMany)
	})
}

// TestLimitWindow checks that windows follow the clock's minutes, that refused
// calls count, and the header.
func TestLimitWindow(t *testing.T) {
	inMemory(t, []Option{Limits(RateLimits{Downloads: 2})}, func(t *testing.T, s *Server) {
		s.AddProject(Project{Path: "a/one", ID: 7})
		r := request{method: "GET", path: "projects/7/export/download", header: asOwner}
		time.Sleep(58 * time.Second)
		if n := calls(t, s, 5, r); n != 2 {
			t.Errorf("%d calls passed", n)
		}
		time.Sleep(time.Second)
		a := do(t, s, r)
		a.want(t, 429, tooMany)
		if got := a.header.Get("Retry-After"); got != "60" {
			t.Errorf("Retry-After is %q", got)
		}
		if got := a.header.Get("RateLimit-Limit"); got != "" {
			t.Errorf("RateLimit-Limit is %q", got)
		}
		time.Sleep(time.Second)
		if n := calls(t, s, 5, r); n != 2 {
			t.Errorf("in the next minute %d calls passed", n)
		}
		s.Advance(time.Minute)
		if n := calls(t, s, 1, r); n != 1 {
			t.Error("Advance does not end the window")
		}
		calls(t, s, 3, r)
		s.Configure(Version("18.5"))
		if a := do(t, s, r); a.status != 429 || a.header.Get("Retry-After") != "60" {
			t.Errorf("18.5: got %d, Retry-After %q", a.status, a.header.Get("Retry-After"))
		}
		s.Configure(Version("18.4"))
		if a := do(t, s, r); a.status != 429 || a.header.Get("Retry-After") != "" {
			t.Errorf("18.4: got %d, Retry-After %q", a.status, a.header.Get("Retry-After"))
		}
		s.Configure(NoLimits())
		if n := calls(t, s, 5, r); n != 5 {
			t.Errorf("without limits %d calls passed", n)
		}
	})
}

// wantRateLimit checks all headers about the rate limit.
func wantRateLimit(t *testing.T, a answer, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for _, k := range []string{"RateLimit-Name", "RateLimit-Limit", "RateLimit-Observed", "RateLimit-Remaining", "RateLimit-Reset",
		"RateLimit-ResetTime", "Retry-After"} {
		if v := a.header.Get(k); v != "" {
			got[k] = v
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rate limit (-want +got):\n%s", diff)
	}
}

func TestGlobalThrottle(t *testing.T) {
	passed := map[string]string{
		"RateLimit-Name": "throttle_authenticated_api", "RateLimit-Limit": "20", "RateLimit-Observed": "10", "RateLimit-Remaining": "0",
		"RateLimit-Reset": "946684830",
	}
	refused := map[string]string{
		"RateLimit-Name": "throttle_authenticated_api", "RateLimit-Limit": "20", "RateLimit-Observed": "11", "RateLimit-Remaining": "0",
		"RateLimit-Reset": "946684830", "RateLimit-ResetTime": "Sat, 01 Jan 2000 00:00:30 GMT", "Retry-After": "28",
	}
	for _, tt := range []struct {
		version         string
		passed, refused map[string]string
	}{
		{"18.9", passed, refused},
		{"18.6", passed, refused},
		{"18.5", map[string]string{}, refused},
		{"13.8", map[string]string{}, refused},
		{"13.7", map[string]string{}, map[string]string{"Retry-After": "28"}},
		{"13.6", map[string]string{}, map[string]string{}},
	} {
		t.Run(tt.version, func(t *testing.T) {
			inMemory(t, []Option{Version(tt.version), GlobalThrottle(10, 30*time.Second)}, func(t *testing.T, s *Server) {
				s.AddProject(Project{Path: "a/one", ID: 7, Visibility: "public"})
				time.Sleep(2 * time.Second)
				for range 9 {
					get(t, s, "projects/7/export")
				}
				wantRateLimit(t, get(t, s, "projects/7/export"), tt.passed)
				a := get(t, s, "projects/99/nonsense")
				a.want(t, 429, "Retry later\n")
				wantRateLimit(t, a, tt.refused)
				a.wantHeaders(t, "Content-Type", "text/plain")
				if a := do(t, s, request{method: "GET", path: "projects/7/import"}); a.status == 429 {
					t.Error("the user's requests count against the address")
				}
				time.Sleep(28 * time.Second)
				if a := get(t, s, "projects/7/export"); a.status != 200 {
					t.Errorf("in the next window: got %d", a.status)
				}
			})
		})
	}
}

// TestGlobalThrottleOfUploads checks that an upload counts twice.
func TestGlobalThrottleOfUploads(t *testing.T) {
	inMemory(t, []Option{GlobalThrottle(3, time.Hour)}, func(t *testing.T, s *Server) {
		if a := importAs(t, s, Token, gz(plain("path", "a"))...); a.status != 201 || a.header.Get("RateLimit-Observed") != "2" {
			t.Errorf("an import counts %s times", a.header.Get("RateLimit-Observed"))
		}
		// Workhorse's question passes, GitLab's answer comes late.
		importAs(t, s, Token, gz(plain("path", "b"))...).want(t, 429, "Retry later\n")
		if r := s.Requests(); !r[1].Complete {
			t.Error("refused early")
		}
		importAs(t, s, Token, gz(plain("path", "c"))...).want(t, 429, "Retry later\n")
		if len(s.Projects()) != 1 {
			t.Error("a project was made")
		}
		if a := do(t, s, request{method: "GET", path: "projects/1/export"}); a.header.Get("RateLimit-Name") != "throttle_unauthenticated_api" {
			t.Errorf("anonymous: %v", a.header)
		}
	})
}

// TestThrottleHeaders checks which answers tell how far the global throttle is.
func TestThrottleHeaders(t *testing.T) {
	for _, tt := range []struct {
		version string
		sent    bool
	}{{"18.9", true}, {"18.6", true}, {"18.5", false}} {
		inMemory(t, []Option{Version(tt.version), GlobalThrottle(100, time.Hour)}, func(t *testing.T, s *Server) {
			widget(s)
			s.AddExport("7", "owner")
			check := func(name string, a answer, status int, sent bool) {
				t.Helper()
				if a.status != status || (a.header.Get("RateLimit-Limit") != "") != sent {
					t.Errorf("%s, %s: got %d, RateLimit-Limit %q", tt.version, name, a.status, a.header.Get("RateLimit-Limit"))
				}
			}
			check("download", download(t, s), 200, tt.sent)
			check("application limit", download(t, s), 429, false)
			check("refused before the upload", importAs(t, s, "x", gz(plain("path", "new"))...), 401, tt.sent)
			check("upload", importAs(t, s, Token, gz(plain("path", "new"))...), 201, tt.sent)
		})
	}
}

// TestThrottleIdentity checks whom the global throttle counts a request for, if
// it counts it at all.
func TestThrottleIdentity(t *testing.T) {
	const user, address = "throttle_authenticated_api", "throttle_unauthenticated_api"
	for _, tt := range []struct {
		name string
		r    request
		want string
	}{
		{"user", request{path: "projects/1/export", header: as("reader")}, user},
		{"blocked user", request{path: "projects/1/export", header: as("blocked")}, user},
		{"expired token", request{path: "projects/1/export", header: as("expired")}, address},
		{"revoked token", request{path: "projects/1/export", header: as("revoked")}, address},
		{"token for something else", request{path: "projects/1/export", header: as("useless")}, address},
		{"nobody's token", request{path: "projects/1/export", header: as("x")}, address},
		{"type that is not supported",
			request{method: "POST", path: "projects/1/export", header: as(Token, "Content-Type", "text/csv"), body: strings.NewReader("x")}, user},
		{"broken JSON", request{method: "POST", path: "projects/1/export", header: as(Token, "Content-Type", jsonType),
			body: strings.NewReader("{")}, ""},
		{"NUL", request{path: "projects/1/export?x=%00", header: asOwner}, ""},
		{"NUL before an upload", request{method: "POST", path: "projects/import?x=%00", header: asOwner}, ""},
		{"dots", request{path: "projects/1/../2/export", header: asOwner}, ""},
	} {
		inMemory(t, []Option{GlobalThrottle(9, time.Hour)}, func(t *testing.T, s *Server) {
			users(s)
			if a := do(t, s, tt.r); a.header.Get("RateLimit-Name") != tt.want {
				t.Errorf("%s: got %d %s, RateLimit-Name %q", tt.name, a.status, a.body, a.header.Get("RateLimit-Name"))
			}
		})
	}
}
