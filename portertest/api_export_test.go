package portertest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// timeline polls the export status of project 7 every second for n seconds,
// beginning half a second from now, and returns what it saw.
func timeline(t *testing.T, s *Server, n int) string {
	t.Helper()
	var seen []string
	time.Sleep(500 * time.Millisecond)
	for range n {
		seen = append(seen, exportStatusOf(t, s, Token))
		time.Sleep(time.Second)
	}
	return strings.Join(seen, " ")
}

func exportStatusOf(t *testing.T, s *Server, token string) string {
	t.Helper()
	a := do(t, s, request{method: "GET", path: "projects/7/export", header: as(token)})
	if a.status != 200 {
		t.Fatalf("status: got %d %s", a.status, a.body)
	}
	return a.member(t, "export_status").(string)
}

// widget is project 7 with an archive of its own.
func widget(s *Server) *Archive {
	a := NewArchive(20<<10, ArchiveSeed(7))
	s.AddProject(Project{
		Path: "acme/tools/widget", ID: 7, Name: "Widget", Archive: a,
		CreatedAt: time.Date(1999, 2, 14, 8, 15, 30, 123e6, time.UTC),
	})
	return a
}

func schedule(t *testing.T, s *Server) {
	t.Helper()
	post(t, s, "projects/7/export", "", "").want(t, 202, accepted)
}

func TestExportBody(t *testing.T) {
	inMemory(t, []Option{ExternalURL("https://git.example.test/root")}, func(t *testing.T, s *Server) {
		widget(s)
		const head = `{"id":7,"description":null,"name":"Widget","name_with_namespace":"acme / tools / Widget","path":"widget",` +
			`"path_with_namespace":"acme/tools/widget","created_at":"1999-02-14T08:15:30.123Z",`
		get(t, s, "projects/7/export").want(t, 200, head+`"export_status":"none"}`)
		s.AddExport("7", "owner")
		a := get(t, s, "projects/acme%2Ftools%2Fwidget/export")
		a.want(t, 200, head+`"export_status":"finished",`+
			`"_links":{"api_url":"https://git.example.test/root/api/v4/projects/7/export/download",`+
			`"web_url":"https://git.example.test/root/acme/tools/widget/download_export"}}`)
		if ct := a.header.Get("Content-Type"); ct != "application/json" {
			t.Errorf("Content-Type is %q", ct)
		}
	})
}

// TestExportLife follows a first export, and a second one while the first
// archive is still there.
func TestExportLife(t *testing.T) {
	for _, tt := range []struct{ version, first, second string }{
		{"18.9", "none queued started regeneration_in_progress regeneration_in_progress finished",
			"none queued started regeneration_in_progress regeneration_in_progress finished"},
		{"17.3", "none queued started regeneration_in_progress regeneration_in_progress finished",
			"none queued started regeneration_in_progress regeneration_in_progress finished"},
		{"13.12", "none queued started regeneration_in_progress regeneration_in_progress finished",
			"none queued started regeneration_in_progress regeneration_in_progress finished"},
		{"13.2", "none queued started regeneration_in_progress regeneration_in_progress finished",
			"finished regeneration_in_progress regeneration_in_progress regeneration_in_progress regeneration_in_progress finished"},
		{"12.9", "none queued started regeneration_in_progress regeneration_in_progress finished",
			"finished regeneration_in_progress regeneration_in_progress regeneration_in_progress regeneration_in_progress finished"},
		{"12.8", "none none started after_export_action after_export_action finished",
			"finished finished started after_export_action after_export_action finished"},
		{"10.7", "none none started after_export_action after_export_action finished",
			"finished finished started after_export_action after_export_action finished"},
		{"10.6", "none none started started finished finished",
			"finished finished started started finished finished"},
	} {
		t.Run(tt.version, func(t *testing.T) {
			inMemory(t, []Option{Version(tt.version), NoLimits()}, func(t *testing.T, s *Server) {
				widget(s)
				for i, want := range []string{tt.first, tt.second} {
					schedule(t, s)
					if got := timeline(t, s, 6); got != want {
						t.Errorf("export %d:\n got %s\nwant %s", i, got, want)
					}
				}
				if n := len(s.Exports("acme/tools/widget")); n != 2 {
					t.Errorf("%d exports were scheduled, want 2", n)
				}
			})
		})
	}
}

func TestExportFaults(t *testing.T) {
	for _, tt := range []struct {
		version string
		fault   ExportFault
		life    string
		later   string // two hours on
		end     string // eight hours on
		file    string // answer to a download two hours on
	}{
		{"18.9", NeverStart, "none none none none none none", "none", "none", gone},
		{"18.9", FailRelation, "none queued started failed failed failed", "failed", "failed", gone},
		{"18.9", FailPacking, "none queued started none none none", "none", "none", gone},
		{"18.9", FailStoring, "none queued started regeneration_in_progress regeneration_in_progress finished", "finished", "finished", notYet},
		{"18.9", Vanish, "none queued started regeneration_in_progress regeneration_in_progress finished", "finished", "finished",
			"404 page not found\n"},
		{"18.9", Interrupted, "none queued started started started started", "started", "failed", gone},
		{"17.3", FailRelation, "none queued started failed failed failed", "failed", "failed", gone},
		{"17.2", FailRelation, "none queued started none none none", "none", "none", gone},
		{"17.2", Interrupted, "none queued started started started started", "started", "none", gone},
		{"17.1", Interrupted, "none queued started started started started", "none", "none", gone},
		{"14.8", FailRelation, "none queued started none none none", "none", "none", gone},
		{"14.8", FailPacking, "none queued started none none none", "none", "none", gone},
		{"14.8", FailStoring, "none queued started regeneration_in_progress regeneration_in_progress finished", "finished", "finished", notYet},
		{"14.7", FailRelation, "none queued started started started started", "none", "none", gone},
		{"13.12", FailPacking, "none queued started started started started", "none", "none", gone},
		{"13.12", FailStoring, "none queued started regeneration_in_progress regeneration_in_progress finished", "finished", "finished", notYet},
		{"13.12", Interrupted, "none queued started started started started", "none", "none", gone},
		{"12.9", FailRelation, "none queued started started started started", "none", "none", gone},
		{"12.9", FailPacking, "none queued started started started started", "none", "none", gone},
		{"12.8", FailRelation, "none none started none none none", "none", "none", gone},
		{"12.8", FailPacking, "none none started none none none", "none", "none", gone},
	} {
		t.Run(fmt.Sprintf("%s fault %d", tt.version, tt.fault), func(t *testing.T) {
			inMemory(t, []Option{Version(tt.version), NoLimits()}, func(t *testing.T, s *Server) {
				widget(s)
				s.ScriptExport("7", ExportScript{Fault: tt.fault})
				schedule(t, s)
				if got := timeline(t, s, 6); got != tt.life {
					t.Errorf("\n got %s\nwant %s", got, tt.life)
				}
				s.Advance(2 * time.Hour)
				if got := exportStatusOf(t, s, Token); got != tt.later {
					t.Errorf("two hours later: got %s, want %s", got, tt.later)
				}
				get(t, s, "projects/7/export/download").want(t, 404, tt.file)
				s.Advance(6 * time.Hour)
				if got := exportStatusOf(t, s, Token); got != tt.end {
					t.Errorf("eight hours later: got %s, want %s", got, tt.end)
				}
				// The script was for one export only.
				schedule(t, s)
				if got := timeline(t, s, 6); !strings.HasSuffix(got, " finished") {
					t.Errorf("the next export: got %s", got)
				}
			})
		})
	}
}

const (
	gone    = `{"message":"404 Not found or has expired"}`
	notYet  = `{"message":"The project export file is not available yet"}`
	running = `{"message":"An export is already running or queued for this project. Please try again once it's done."}`
	tooMany = `{"message":{"error":"This endpoint has been requested too many times. Try again later."}}`
)

func TestRealTiming(t *testing.T) {
	for _, tt := range []struct {
		version  string
		assemble time.Duration
		finished time.Duration // after the start
	}{
		{"18.9", time.Second, 10 * time.Second},
		{"18.9", 10 * time.Second, 10 * time.Second},
		{"18.9", 11 * time.Second, 70 * time.Second},
		{"18.9", 70 * time.Second, 70 * time.Second},
		{"18.9", 71 * time.Second, 130 * time.Second},
		{"17.1", time.Second, time.Second},
		{"17.1", 71 * time.Second, 71 * time.Second},
	} {
		t.Run(fmt.Sprint(tt.version, " ", tt.assemble), func(t *testing.T) {
			timing := Timing(Timings{Assemble: tt.assemble, FirstCheck: 10 * time.Second, Check: 60 * time.Second})
			inMemory(t, []Option{Version(tt.version), timing}, func(t *testing.T, s *Server) {
				widget(s)
				schedule(t, s)
				time.Sleep(tt.finished - time.Nanosecond)
				if got := exportStatusOf(t, s, Token); got != "started" {
					t.Errorf("just before: got %s", got)
				}
				time.Sleep(time.Nanosecond)
				if got := exportStatusOf(t, s, Token); got != "finished" {
					t.Errorf("then: got %s", got)
				}
			})
		})
	}
	inMemory(t, []Option{RealTiming()}, func(t *testing.T, s *Server) {
		widget(s)
		schedule(t, s)
		start := time.Now()
		for exportStatusOf(t, s, Token) != "finished" {
			time.Sleep(100 * time.Millisecond)
		}
		if d := time.Since(start); d < 70*time.Second || d > 90*time.Second {
			t.Errorf("an export took %v", d)
		}
	})
}

// TestScheduleOrder checks which of several errors wins, and that the old
// archive is gone from the fifth step on.
func TestScheduleOrder(t *testing.T) {
	const (
		badMethod = `{"error":"upload[http_method] does not have a valid value"}`
		badURL    = `{"message":{"url":["is blocked: Only allowed schemes are http, https"]}}`
		badOld    = `{"message":{"http_method":["invalid. Only PUT and POST methods allowed."]}}`
		bothBad   = `{"message":{"url":["is blocked: Only allowed schemes are http, https"],` +
			`"http_method":["invalid. Only PUT and POST methods allowed."]}}`
		tooBig = `{"message":"The project size exceeds the export limit."}`
	)
	form := func(kv ...string) string {
		var b strings.Builder
		for i := 0; i < len(kv); i += 2 {
			fmt.Fprintf(&b, "%s=%s&", kv[i], kv[i+1])
		}
		return b.String()
	}
	for _, tt := range []struct {
		name   string
		opts   []Option
		token  string
		body   string
		status int
		answer string
		kept   bool // the old archive
		ran    int
	}{
		{"switched off", []Option{ExportsDisabled(), Limits(RateLimits{Exports: 1})}, "x", form("upload[http_method]", "x"), 404, notFound,
			true, 0},
		{"bad token", []Option{Limits(RateLimits{Exports: 1})}, "x", form("upload[http_method]", "x"), 401, unauthorized, true, 0},
		{"bad method, over the limit", []Option{Limits(RateLimits{Exports: 1})}, Token,
			form("upload[url]", "ftp://x", "upload[http_method]", "put"), 400, badMethod, true, 0},
		{"over the limit, bad URL", []Option{Limits(RateLimits{Exports: 1})}, Token, form("upload[url]", "ftp://x"), 429, tooMany, true, 0},
		{"bad URL, too big", []Option{MaxExportSize(100)}, Token, form("upload[url]", "ftp://x"), 400, badURL, false, 0},
		{"bad URL before 13.3", []Option{Version("13.2")}, Token, form("upload[url]", "ftp://x"), 400, badURL, true, 0},
		{"bad method before 14.0", []Option{Version("13.12")}, Token, form("upload[url]", "http://x.test", "upload[http_method]", "GET"), 400,
			badOld, false, 0},
		{"bad method before 13.3", []Option{Version("13.2")}, Token, form("upload[url]", "http://x.test", "upload[http_method]", "GET"), 400,
			badOld, true, 0},
		{"bad URL and method before 14.0", []Option{Version("13.12")}, Token, form("upload[url]", "ftp://x", "upload[http_method]", "GET"), 400,
			bothBad, false, 0},
		{"over the limit, bad method before 14.0", []Option{Version("13.12"), Limits(RateLimits{Exports: 1})}, Token,
			form("upload[url]", "http://x.test", "upload[http_method]", "GET"), 429, tooMany, true, 0},
		{"too big", []Option{MaxExportSize(100)}, Token, "", 400, tooBig, false, 0},
		{"just small enough", []Option{MaxExportSize(20 << 10)}, Token, "", 202, accepted, false, 1},
		{"too big, 15.0", []Option{Version("15.0"), MaxExportSize(100)}, Token, "", 400, tooBig, false, 0},
		{"too big before 15.0", []Option{Version("14.10"), MaxExportSize(100)}, Token, "", 202, accepted, false, 1},
		{"fine", nil, Token, "", 202, accepted, false, 1},
		{"fine, 13.3", []Option{Version("13.3")}, Token, "", 202, accepted, false, 1},
		{"fine, 13.2", []Option{Version("13.2")}, Token, "", 202, accepted, true, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inMemory(t, nil, func(t *testing.T, s *Server) {
				widget(s)
				s.AddExport("7", "owner")
				s.Configure(tt.opts...)
				if s.cfg.limits.Exports == 1 && !s.cfg.exportsOff && tt.token == Token {
					s.AddProject(Project{Path: "acme/other", ID: 8})
					post(t, s, "projects/8/export", "", "") // uses the limit up
				}
				a := postAs(t, s, tt.token, "projects/7/export", formType, tt.body)
				a.want(t, tt.status, tt.answer)
				s.Configure(Enabled(), NoLimits())
				if a := get(t, s, "projects/7/export/download"); (a.status == 200) != tt.kept {
					t.Errorf("download: got %d %.80s, kept should be %t", a.status, a.body, tt.kept)
				}
				if n := len(s.Exports("7")); n != tt.ran {
					t.Errorf("%d exports were scheduled, want %d", n, tt.ran)
				}
			})
		})
	}
}

func TestScheduleWhileRunning(t *testing.T) {
	inMemory(t, nil, func(t *testing.T, s *Server) {
		widget(s)
		schedule(t, s)
		schedule(t, s) // waiting still, and the same
		if n := len(s.Exports("7")); n != 1 {
			t.Errorf("%d exports were scheduled, want 1", n)
		}
		for _, at := range []time.Duration{1500, 1000, 1000, 1000} {
			time.Sleep(at * time.Millisecond)
			post(t, s, "projects/7/export", "", "").want(t, 400, running)
		}
		time.Sleep(time.Second)
		// The refusals while it was being stored have deleted its archive.
		if got := exportStatusOf(t, s, Token); got != "none" {
			t.Errorf("got %s, want none", got)
		}
		get(t, s, "projects/7/export/download").want(t, 404, gone)
	})
	inMemory(t, []Option{NoLimits()}, func(t *testing.T, s *Server) {
		widget(s)
		schedule(t, s)
		post(t, s, "projects/7/export", formType, "description=other").want(t, 202, accepted)
		want := []ExportRun{
			{Time: s.Now(), Username: "owner"},
			{Time: s.Now(), Username: "owner", Description: "other"},
		}
		if diff := cmp.Diff(want, s.Exports("7")); diff != "" {
			t.Errorf("different arguments (-want +got):\n%s", diff)
		}
	})
	inMemory(t, []Option{Version("18.5")}, func(t *testing.T, s *Server) {
		widget(s)
		schedule(t, s)
		time.Sleep(2500 * time.Millisecond)
		post(t, s, "projects/7/export", "", "").want(t, 400, running)
	})
	inMemory(t, []Option{Version("18.4")}, func(t *testing.T, s *Server) {
		widget(s)
		schedule(t, s)
		time.Sleep(2500 * time.Millisecond)
		schedule(t, s)
		if n := len(s.Exports("7")); n != 2 {
			t.Errorf("before 18.5: %d exports were scheduled, want 2", n)
		}
		time.Sleep(10 * time.Second)
		if got := exportStatusOf(t, s, Token); got != "finished" {
			t.Errorf("before 18.5: got %s, want finished", got)
		}
	})
}

func TestExportIsPerUser(t *testing.T) {
	for _, tt := range []struct{ version, other string }{{"17.3", "none"}, {"17.2", "finished"}, {"13.12", "finished"}} {
		t.Run(tt.version, func(t *testing.T) {
			inMemory(t, []Option{Version(tt.version)}, func(t *testing.T, s *Server) {
				widget(s)
				s.AddUser(User{Username: "max", Token: "max"})
				s.AddMember("acme/tools", "max", Maintainer)
				s.AddExport("7", "owner")
				if got := exportStatusOf(t, s, Token); got != "finished" {
					t.Errorf("own export: got %s", got)
				}
				if got := exportStatusOf(t, s, "max"); got != tt.other {
					t.Errorf("of another user: got %s, want %s", got, tt.other)
				}
				a := do(t, s, request{method: "GET", path: "projects/7/export/download", header: as("max")})
				if (a.status == 200) != (tt.other == "finished") {
					t.Errorf("download by another user: got %d %.80s", a.status, a.body)
				}
				do(t, s, request{method: "POST", path: "projects/7/export", header: as("max")}).want(t, 202, accepted)
				if got, want := exportStatusOf(t, s, Token), map[string]string{"none": "finished", "finished": "none"}[tt.other]; got != want {
					t.Errorf("after another user's POST: got %s, want %s", got, want)
				}
			})
		})
	}
}

// TestBlockedMeanwhile checks what becomes of the export of a user who is
// blocked while it runs.
func TestBlockedMeanwhile(t *testing.T) {
	for _, tt := range []struct {
		version string
		after   time.Duration // scheduling
		want    string
		uploads int
	}{
		{"18.9", 500 * time.Millisecond, "failed", 0},
		{"18.9", 2500 * time.Millisecond, "failed", 0},
		{"18.9", 3500 * time.Millisecond, "finished", 1}, // assembled already
		{"17.3", 2500 * time.Millisecond, "failed", 0},
		{"17.2", 2500 * time.Millisecond, "finished", 1},
	} {
		t.Run(fmt.Sprint(tt.version, " ", tt.after), func(t *testing.T) {
			inMemory(t, []Option{Version(tt.version)}, func(t *testing.T, s *Server) {
				s.AddUser(User{Username: "max", Token: "max"})
				s.AddProject(Project{Path: "acme/widget", ID: 7, Members: map[string]Role{"max": Maintainer}})
				body := `{"upload":{"url":"` + s.StorageURL + `/x"}}`
				postAs(t, s, "max", "projects/7/export", jsonType, body).want(t, 202, accepted)
				time.Sleep(tt.after)
				s.AddUser(User{Username: "max", Token: "max", Blocked: true})
				if a := do(t, s, request{method: "GET", path: "projects/7/export", header: as("max")}); a.status != 403 {
					t.Errorf("blocked: got %d %s", a.status, a.body)
				}
				time.Sleep(time.Minute)
				s.AddUser(User{Username: "max", Token: "max"})
				if got := exportStatusOf(t, s, "max"); got != tt.want {
					t.Errorf("got %s, want %s", got, tt.want)
				}
				if u := s.Uploads(); len(u) != tt.uploads {
					t.Errorf("uploads: %+v", u)
				}
			})
		})
	}
}

func TestExportExpires(t *testing.T) {
	inMemory(t, []Option{NoLimits()}, func(t *testing.T, s *Server) {
		widget(s)
		s.ScriptExport("7", ExportScript{Fault: FailRelation})
		schedule(t, s)
		s.Advance(10 * time.Minute)
		if got := exportStatusOf(t, s, Token); got != "failed" {
			t.Fatalf("got %s, want failed", got)
		}
		schedule(t, s)
		if got := exportStatusOf(t, s, Token); got != "failed" {
			t.Errorf("just scheduled: got %s, want the failure before it", got)
		}
		s.Advance(10 * time.Minute)
		if got := exportStatusOf(t, s, Token); got != "finished" {
			t.Fatalf("got %s, want finished", got)
		}
		s.Advance(24 * time.Hour) // 00:20, the sweep is on the hour
		if got := exportStatusOf(t, s, Token); got != "finished" {
			t.Errorf("after 24 hours: got %s", got)
		}
		s.Advance(40 * time.Minute)
		if got := exportStatusOf(t, s, Token); got != "failed" {
			t.Errorf("after the sweep: got %s, want the failure again", got)
		}
		get(t, s, "projects/7/export/download").want(t, 404, gone)
		s.Advance(6 * 24 * time.Hour)
		if got := exportStatusOf(t, s, Token); got != "none" {
			t.Errorf("after a week: got %s", got)
		}
	})
}

func TestScheduleParameters(t *testing.T) {
	for _, tt := range []struct {
		name, version, contentType, body string
		status                           int
		answer                           string
		run                              ExportRun
	}{
		{"form", "18.9", formType, "description=d+e&upload[url]=http%3A%2F%2Fx.test%2Fy&upload[http_method]=POST", 202, accepted,
			ExportRun{Description: "d e", UploadURL: "http://x.test/y", UploadMethod: "POST"}},
		{"JSON", "18.9", jsonType, `{"description":"d","upload":{"url":"https://x.test/y"}}`, 202, accepted,
			ExportRun{Description: "d", UploadURL: "https://x.test/y", UploadMethod: "PUT"}},
		{"upload without URL", "18.9", jsonType, `{"upload":{"http_method":"POST"}}`, 202, accepted, ExportRun{}},
		{"empty URL", "18.9", formType, `upload[url]=&upload[http_method]=POST`, 202, accepted, ExportRun{}},
		{"upload is no hash", "18.9", formType, `upload=x`, 400, `{"error":"upload is invalid"}`, ExportRun{}},
		{"upload is empty", "18.9", formType, `upload=`, 400, `{"error":"upload is invalid"}`, ExportRun{}},
		{"upload is empty, JSON", "18.9", jsonType, `{"upload":""}`, 400, `{"error":"upload is invalid"}`, ExportRun{}},
		{"upload is null", "18.9", jsonType, `{"upload":null}`, 202, accepted, ExportRun{}},
		{"lower-case method", "18.9", jsonType, `{"upload":{"url":"https://x.test/y","http_method":"put"}}`, 400,
			`{"error":"upload[http_method] does not have a valid value"}`, ExportRun{}},
		{"lower-case method, 14.0", "14.0", jsonType, `{"upload":{"url":"https://x.test/y","http_method":"put"}}`, 400,
			`{"error":"upload[http_method] does not have a valid value"}`, ExportRun{}},
		{"lower-case method, old", "13.12", jsonType, `{"upload":{"url":"https://x.test/y","http_method":"put"}}`, 202, accepted,
			ExportRun{UploadURL: "https://x.test/y", UploadMethod: "PUT"}},
		{"bad method, old", "13.12", jsonType, `{"upload":{"url":"https://x.test/y","http_method":"GET"}}`, 400,
			`{"message":{"http_method":["invalid. Only PUT and POST methods allowed."]}}`, ExportRun{}},
		{"bad URL", "18.9", jsonType, `{"upload":{"url":"http://a b"}}`, 400, `{"message":{"url":["is blocked: URI is invalid"]}}`, ExportRun{}},
		{"unknown parameters", "18.9", jsonType, `{"descripton":"d","upload":{"uri":"x"}}`, 202, accepted, ExportRun{}},
		{"10.6 knows no parameters", "10.6", formType, `description=d&upload[url]=http://x.test/y`, 202, accepted, ExportRun{}},
		{"broken JSON", "18.9", jsonType, `{"description":`, 400, `{"error":"Invalid JSON format"}`, ExportRun{}},
		{"multipart", "18.9", "multipart/form-data; boundary=b",
			"--b\r\nContent-Disposition: form-data; name=\"description\"\r\n\r\nd\r\n--b--\r\n", 202, accepted, ExportRun{Description: "d"}},
		{"NUL in JSON", "18.9", jsonType, `{"description":"a\u0000b"}`, 400, "Bad Request", ExportRun{}},
		{"NUL in a hash", "18.9", jsonType, `{"upload":{"x":"\u0000"}}`, 400, "Bad Request", ExportRun{}},
		{"NUL in a list", "18.9", jsonType, `{"x":[1,["\u0000"]]}`, 400, "Bad Request", ExportRun{}},
		{"NUL in a key", "18.9", jsonType, `{"x":{"\u0000":1}}`, 202, accepted, ExportRun{}},
		{"NUL deep down", "18.9", jsonType, `{"a":{"b":{"c":{"d":"\u0000"}}}}`, 202, accepted, ExportRun{}},
		{"NUL not so deep", "18.9", jsonType, `{"a":{"b":{"c":"\u0000"}}}`, 400, "Bad Request", ExportRun{}},
		{"JSON that is not UTF-8", "18.9", jsonType, "{\"description\":\"a\xffb\"}", 400, "Bad Request", ExportRun{}},
		{"form that is not UTF-8", "18.9", formType, "x[y][]=%ff", 400, "Bad Request", ExportRun{}},
		{"broken multipart", "18.9", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"description\"\r\n\r\nd",
			400, "Bad Request", ExportRun{}},
		{"multipart without a boundary", "18.9", "multipart/form-data", "x", 202, accepted, ExportRun{}},
		{"query", "18.9", "", "", 202, accepted, ExportRun{Description: "q"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inMemory(t, []Option{Version(tt.version)}, func(t *testing.T, s *Server) {
				widget(s)
				path := "projects/7/export"
				if tt.name == "query" {
					path += "?description=q"
				}
				post(t, s, path, tt.contentType, tt.body).want(t, tt.status, tt.answer)
				var want []ExportRun
				if tt.status == http.StatusAccepted {
					tt.run.Time, tt.run.Username = s.Now(), "owner"
					want = []ExportRun{tt.run}
				}
				if diff := cmp.Diff(want, s.Exports("7")); diff != "" {
					t.Errorf("exports (-want +got):\n%s", diff)
				}
			})
		})
	}
}
