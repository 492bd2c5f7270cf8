package porter_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// TestScheduleExportGolden compares what is sent with bodies that were written by hand.
func TestScheduleExportGolden(t *testing.T) {
	const signed = "https://bucket.s3.example.test/app.tar.gz?X-Amz-Signature=0123&X-Amz-Expires=86400"
	tests := []struct {
		golden string
		opts   *porter.ScheduleExportOptions
	}{
		{"nothing", nil},
		{"nothing", &porter.ScheduleExportOptions{}},
		{"description", &porter.ScheduleExportOptions{Description: "Moved: \"Käse\" & <more>,\nin two lines"}},
		{"upload", &porter.ScheduleExportOptions{Upload: &porter.UploadTarget{URL: signed}}},
		{"upload-put", &porter.ScheduleExportOptions{Upload: &porter.UploadTarget{URL: signed, Method: "PUT"}}},
		{"everything", &porter.ScheduleExportOptions{Description: "Backup", Upload: &porter.UploadTarget{URL: signed, Method: "POST"}}},
	}
	for _, tt := range tests {
		t.Run(tt.golden, func(t *testing.T) {
			raw, err := os.ReadFile(filepath.Join("testdata", "export", tt.golden+".golden.json"))
			if err != nil {
				t.Fatal(err)
			}
			s := portertest.NewServer()
			defer s.Close()
			s.AddProject(portertest.Project{Path: "team/app"})
			if err := connect(t, s).ScheduleExport(t.Context(), porter.ProjectPath("team/app"), tt.opts); err != nil {
				t.Fatal(err)
			}
			rs := s.Requests()
			if len(rs) != 1 {
				t.Fatalf("%d requests", len(rs))
			}
			r := rs[0]
			if r.Method != "POST" || r.Path != "/api/v4/projects/team%2Fapp/export" || r.RawQuery != "" ||
				r.Header.Get("Content-Type") != "application/json" || r.ContentLength != r.BodyBytes {
				t.Errorf("sent %s %s?%s, %q of length %d", r.Method, r.Path, r.RawQuery, r.Header.Get("Content-Type"), r.ContentLength)
			}
			var want, got any
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(r.Body, &got); err != nil {
				t.Fatalf("%v in %s", err, r.Body)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			run := s.Exports("team/app")[0]
			if tt.opts != nil && run.Description != tt.opts.Description {
				t.Errorf("GitLab understood the description %q", run.Description)
			}
		})
	}
}

// TestScheduleExportChecks refuses, without a request, what would cost the
// previous archive.
func TestScheduleExportChecks(t *testing.T) {
	t.Parallel()
	s := portertest.NewServer()
	defer s.Close()
	s.AddProject(portertest.Project{Path: "team/app"})
	c := connect(t, s)
	target := func(url, method string) *porter.ScheduleExportOptions {
		return &porter.ScheduleExportOptions{Upload: &porter.UploadTarget{URL: url, Method: method}}
	}
	const secret = "s3cr3t"
	tests := []struct {
		name string
		opts *porter.ScheduleExportOptions
		text string
	}{
		{"no URL", target("", ""), "upload URL is empty"},
		{"no URL, but a method", target("", "POST"), "upload URL is empty"},
		{"blank URL", target(" \t", ""), "upload URL is empty"},
		{"no scheme", target("bucket.example.test/app?"+secret, ""), "https:// or http://"},
		{"no host", target("https:///app?"+secret, ""), "upload URL has no host"},
		{"scheme alone", target("https://", ""), "upload URL has no host"},
		{"one slash", target("https:/bucket.example.test/app?"+secret, ""), "upload URL has no host"},
		{"port alone", target("https://:443/app?"+secret, ""), "upload URL has no host"},
		{"user alone", target("https://"+secret+"@/app", ""), "upload URL has no host"},
		{"hyphen before", target("https://-bucket.example.test/app?"+secret, ""), "a host that GitLab refuses"},
		{"hyphen after", target("https://bucket-.example.test/app?"+secret, ""), "a host that GitLab refuses"},
		{"hyphen before a later label", target("https://bucket.-example.test/app?"+secret, ""), "a host that GitLab refuses"},
		{"hyphen at the end", target("http://bucket.test-:9000/app?"+secret, ""), "a host that GitLab refuses"},
		{"underscore before", target("https://_bucket.example.test/app?"+secret, ""), "a host that GitLab refuses"},
		{"dot before", target("https://.example.test/app?"+secret, ""), "a host that GitLab refuses"},
		{"angle bracket", target("https://exa<mple.test/app?"+secret, ""), "a host that GitLab refuses"},
		{"port too high", target("https://bucket.example.test:65536/app?"+secret, ""), "a port that is not between 1 and 65535"},
		{"port zero", target("https://bucket.example.test:0/app?"+secret, ""), "a port that is not between 1 and 65535"},
		{"port of letters", target("https://bucket.example.test:http/app?"+secret, ""), "malformed"},
		{"space before", target(" https://bucket.example.test/app?"+secret, ""), "white space or an invisible character"},
		{"line end after", target("https://bucket.example.test/app?"+secret+"\r\n", ""), "control character"},
		{"byte order mark", target("\ufeffhttps://bucket.example.test/app?"+secret, ""), "white space or an invisible character"},
		{"other scheme", target("ftp://example.test/app?"+secret, ""), "https:// or http://"},
		{"file", target("file://localhost/etc/passwd", ""), "https:// or http://"},
		{"control character", target("https://example.test/\x7f?"+secret, ""), "malformed"},
		{"line end", target("https://example.test/a\n?"+secret, ""), "malformed"},
		{"space", target("https://example.test/a b?"+secret, ""), "malformed"},
		{"space in the query", target("https://example.test/a?b "+secret, ""), "malformed"},
		{"invalid UTF-8", target("https://example.test/\xff?"+secret, ""), "malformed"},
		{"bad escape", target("https://example.test/%zz?"+secret, ""), "malformed"},
		{"lower-case method", target("https://example.test/a?"+secret, "put"), `"put" is neither PUT nor POST`},
		{"other method", target("https://example.test/a?"+secret, "GET"), `"GET" is neither PUT nor POST`},
		{"NUL in the description", &porter.ScheduleExportOptions{Description: "a\x00b"}, "description"},
		{"invalid UTF-8 in the description", &porter.ScheduleExportOptions{Description: "a\xff"}, "description"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			app := porter.ProjectPath("team/app")
			opts := &porter.ExportOptions{ScheduleExportOptions: *tt.opts}
			_, toErr := c.ExportTo(t.Context(), app, new(bytes.Buffer), opts)
			_, fileErr := c.ExportToFile(t.Context(), app, filepath.Join(t.TempDir(), "app.tar.gz"), opts)
			_, moveErr := porter.Migrate(t.Context(), c, app, c, porter.MigrateOptions{Export: opts})
			for op, err := range map[string]error{"ScheduleExport": c.ScheduleExport(t.Context(), app, tt.opts), "ExportTo": toErr,
				"ExportToFile": fileErr, "Migrate": moveErr} {
				if err == nil || !strings.Contains(err.Error(), tt.text) || !strings.Contains(err.Error(), "team/app") ||
					strings.Contains(err.Error(), secret) {
					t.Errorf("%s: got %v, want %q", op, err, tt.text)
				}
			}
		})
	}
	if rs := s.Requests(); len(rs) > 0 {
		t.Errorf("%d requests were made: %s %s", len(rs), rs[0].Method, rs[0].Path)
	}
}

// TestScheduleExportRefused tells the refusals apart, most of which are a 400
// whose text may be in any language.
func TestScheduleExportRefused(t *testing.T) {
	t.Parallel()
	json := http.Header{"Content-Type": {"application/json"}}
	post := func(status int, body string) func(*portertest.Server) {
		return func(s *portertest.Server) {
			s.Inject(portertest.Fault{Method: "POST", Do: portertest.Respond(status, json, body)})
		}
	}
	running := func(s *portertest.Server) {
		slow := portertest.Timings{Assemble: time.Hour}
		s.ScriptExport("team/app", portertest.ExportScript{Timing: &slow})
		first, err := porter.NewClient(s.URL, porter.PrivateToken(portertest.Token), porter.WithTransport(s.Transport()))
		if err == nil {
			err = first.ScheduleExport(context.Background(), porter.ProjectPath("team/app"), nil)
		}
		if err != nil {
			panic(err)
		}
		s.Advance(time.Second)
	}
	both := func(fs ...func(*portertest.Server)) func(*portertest.Server) {
		return func(s *portertest.Server) {
			for _, f := range fs {
				f(s)
			}
		}
	}
	configure := func(o portertest.Option) func(*portertest.Server) {
		return func(s *portertest.Server) { s.Configure(o) }
	}
	guest := func(s *portertest.Server) {
		s.AddUser(portertest.User{Username: "gus", Token: "guss"})
		s.AddMember("team/app", "gus", portertest.Guest)
	}
	tests := []struct {
		name    string
		version string // 18.9 if empty
		token   string
		project porter.ProjectPath
		prepare func(*portertest.Server)
		status  int
		is      []error
		text    string
	}{
		{name: "running", prepare: running, status: 400, is: []error{porter.ErrExportInProgress}, text: "already running"},
		{name: "running, in German", prepare: both(running, post(400, `{"message":"Ein Export läuft bereits"}`)), status: 400,
			is: []error{porter.ErrExportInProgress}, text: "läuft bereits"},
		{name: "a 400 of another kind, in German", prepare: post(400, `{"message":"Ein Export läuft bereits"}`), status: 400,
			text: "läuft bereits"},
		{name: "too large", prepare: configure(portertest.MaxExportSize(1)), status: 400, text: "exceeds the export limit"},
		{name: "bad parameter while one runs", prepare: both(running, post(400, `{"error":"upload is invalid"}`)), status: 400,
			text: "upload is invalid"},
		{name: "bad URL while one runs", prepare: both(running, post(400, `{"message":{"url":["is blocked: URI is invalid"]}}`)),
			status: 400, text: "url is blocked: URI is invalid"},
		{name: "status cannot be read", prepare: both(running, func(s *portertest.Server) {
			s.Inject(portertest.Fault{Method: "GET", Times: -1, Do: portertest.Respond(403, json, `{"message":"403 Forbidden"}`)})
		}), status: 400, text: "already running"},
		{name: "no such project", project: "team/none", status: 404, is: []error{porter.ErrNotFound}, text: "404 Project Not Found"},
		{name: "switched off", prepare: configure(portertest.ExportsDisabled()), status: 404, is: []error{porter.ErrNotFound},
			text: "switched off"},
		{name: "below Maintainer", token: "guss", prepare: guest, status: 403, is: []error{porter.ErrForbidden}, text: "Maintainer role"},
		{name: "bad token", token: "nonsense", status: 401, is: []error{porter.ErrUnauthorized}, text: "401 Unauthorized"},
		{name: "moved", project: "team/old", status: 405, text: "name it by its ID"},
		{name: "read-only", prepare: configure(portertest.ReadOnly()), status: 403, is: []error{porter.ErrForbidden},
			text: "read-only instance"},
		{name: "read-only, redirected", prepare: func(s *portertest.Server) {
			s.Inject(portertest.Fault{Method: "POST", Do: portertest.Respond(301, http.Header{"Location": {s.URL + "/?a=b"}}, "")})
		}, status: 301, text: "not followed"},
		{name: "maintenance", prepare: configure(portertest.Maintenance()), status: 503, is: []error{porter.ErrOutcomeUnknown},
			text: "maintenance mode"},
		{name: "throttled", prepare: func(s *portertest.Server) {
			s.Inject(portertest.Fault{Method: "POST", Times: -1,
				Do: portertest.Respond(429, http.Header{"Retry-After": {"7"}}, "Retry later\n")})
		}, status: 429, is: []error{porter.ErrRateLimited}, text: "Retry later"},
		{name: "another success", prepare: post(200, "<html><title>Sign in</title></html>"), status: 200, text: "Sign in"},
		{name: "13.12, running", version: "13.12", prepare: running},
		{name: "13.12, moved", version: "13.12", project: "team/old", status: 404, is: []error{porter.ErrNotFound}},
		{name: "13.12, running, by a proxy that says no", version: "13.12", prepare: both(running, post(400, "Bad Request")), status: 400,
			text: "Bad Request"},
	}
	all := []error{porter.ErrExportInProgress, porter.ErrNotFound, porter.ErrForbidden, porter.ErrUnauthorized, porter.ErrRateLimited,
		porter.ErrOutcomeUnknown}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			version := "18.9"
			if tt.version != "" {
				version = tt.version
			}
			s := portertest.NewServer(portertest.Version(version))
			defer s.Close()
			s.AddProject(portertest.Project{Path: "team/app", FormerPaths: []string{"team/old"}})
			if tt.prepare != nil {
				tt.prepare(s)
			}
			token, project := portertest.Token, tt.project
			if tt.token != "" {
				token = tt.token
			}
			if project == "" {
				project = "team/app"
			}
			c := newClient(t, s.URL, porter.PrivateToken(token), porter.WithTransport(s.Transport()), porter.WithRetry(0, nil))
			before := len(s.Exports("team/app"))
			err := c.ScheduleExport(t.Context(), project, nil)
			if tt.status == 0 {
				if err != nil || len(s.Exports("team/app")) != before+1 {
					t.Errorf("got %v", err)
				}
				return
			}
			var api *porter.APIError
			if !errors.As(err, &api) || api.StatusCode != tt.status || !strings.Contains(err.Error(), tt.text) ||
				!strings.HasPrefix(err.Error(), "schedule export of "+string(project)+": ") {
				t.Fatalf("got %v", err)
			}
			for _, target := range all {
				want := false
				for _, is := range tt.is {
					want = want || is == target
				}
				if errors.Is(err, target) != want {
					t.Errorf("%v: is %q: %v", err, target, !want)
				}
			}
			if got := len(s.Exports("team/app")); got != before {
				t.Errorf("%d exports were scheduled", got-before)
			}
		})
	}
}

// TestScheduleExportIsNotSentTwice loses the answer. The status tells whether
// the export runs.
func TestScheduleExportIsNotSentTwice(t *testing.T) {
	tests := []struct {
		name  string
		queue time.Duration
		do    portertest.Action
		ok    bool
	}{
		{"it runs", 0, portertest.LoseAnswer(), true},
		{"it waits", time.Minute, portertest.LoseAnswer(), false},
		{"it never came", 0, portertest.Respond(502, nil, "GitLab is not responding"), false},
		{"it never came, 503", 0, portertest.Respond(503, nil, ""), false},
		{"it never came, 504", 0, portertest.Respond(504, nil, ""), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := portertest.NewServer(portertest.Timing(portertest.Timings{Queue: tt.queue, Assemble: time.Hour}))
			defer s.Close()
			s.AddProject(portertest.Project{Path: "team/app"})
			posts := s.Inject(portertest.Fault{Method: "POST", Times: -1, Do: tt.do})
			err := connect(t, s, porter.WithRetry(3, porter.ConstantBackoff(0))).ScheduleExport(t.Context(), porter.ProjectPath("team/app"),
				nil)
			if posts.Hits() != 1 {
				t.Errorf("sent %d times", posts.Hits())
			}
			if tt.ok && err != nil || !tt.ok && !errors.Is(err, porter.ErrOutcomeUnknown) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestScheduleExportCanceled ends at once, in the request and in the wait for a turn.
func TestScheduleExportCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := portertest.NewServer(portertest.InMemory())
		defer s.Close()
		s.AddProject(portertest.Project{Path: "team/app"})
		s.Inject(portertest.Fault{Method: "POST", Do: portertest.HoldAnswer(0)})
		c := connect(t, s, porter.WithPacing(porter.Pacing{Exports: 1}))
		for _, want := range []error{porter.ErrOutcomeUnknown, nil} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			start := time.Now()
			err := c.ScheduleExport(ctx, porter.ProjectPath("team/app"), nil)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, porter.ErrOutcomeUnknown) != (want != nil) ||
				time.Since(start) != time.Second {
				t.Errorf("got %v after %v", err, time.Since(start))
			}
		}
		for _, r := range s.Requests() {
			if r.Method != "POST" {
				t.Errorf("%s %s", r.Method, r.Path)
			}
		}
	})
}

// TestUploadTargetIsUsed lets GitLab upload the archive to its object storage,
// and to a place that refuses it, which GitLab does not tell.
func TestUploadTargetIsUsed(t *testing.T) {
	for _, version := range []string{"13.12", "18.9"} {
		for _, method := range []string{"", "PUT", "POST"} {
			t.Run(version+" "+method, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					archive := portertest.NewArchive(100 << 10)
					s := portertest.NewServer(portertest.InMemory(), portertest.Version(version))
					defer s.Close()
					s.AddProject(portertest.Project{Path: "team/app", Archive: archive})
					verb := method
					if verb == "" {
						verb = "PUT"
					}
					target := &porter.UploadTarget{URL: s.SignedURL(verb, "/backups/app.tar.gz", time.Hour), Method: method}
					c := connect(t, s)
					if err := c.ScheduleExport(t.Context(), porter.ProjectPath("team/app"),
						&porter.ScheduleExportOptions{Upload: target, Description: "Backup"}); err != nil {
						t.Fatal(err)
					}
					for len(s.Uploads()) == 0 {
						time.Sleep(time.Second)
					}
					up, run := s.Uploads()[0], s.Exports("team/app")[0]
					if !up.OK || up.Method != verb || up.SHA256 != archive.SHA256() {
						t.Errorf("GitLab's upload: %+v", up)
					}
					if run.UploadURL != target.URL || run.UploadMethod != verb || run.Description != "Backup" {
						t.Errorf("GitLab understood %+v", run)
					}
					if o := s.Object("/backups/app.tar.gz"); o == nil || o.SHA256 != archive.SHA256() ||
						o.ContentType != "application/gzip" {
						t.Errorf("stored %+v", o)
					}
				})
			})
		}
	}
}

func TestUploadTargetHidesItsQuery(t *testing.T) {
	target := porter.UploadTarget{URL: "https://user:s3cr3t@bucket.test/app.tar.gz?X-Amz-Signature=s3cr3t#s3cr3t"}
	for _, text := range []string{
		fmt.Sprint(target), fmt.Sprintf("%v %+v %#v %s %q", target, target, target, target, target),
		fmt.Sprintf("%v %+v %#v", &target, &target, &target), target.LogValue().String(),
	} {
		if strings.Contains(text, "s3cr3t") || !strings.Contains(text, "bucket.test/app.tar.gz") {
			t.Errorf("prints as %s", text)
		}
	}
}

// TestGetExport reads what servers of all ages say.
func TestGetExport(t *testing.T) {
	created := time.Date(2023, 2, 14, 8, 15, 30, 123e6, time.UTC)
	for _, version := range []string{"10.6", "10.7", "13.12", "18.9"} {
		t.Run(version, func(t *testing.T) {
			s := portertest.NewServer(portertest.Version(version))
			defer s.Close()
			id := s.AddProject(portertest.Project{Path: "acme/tools/widget", Name: "Widget", CreatedAt: created,
				FormerPaths: []string{"acme/old"}})
			c := connect(t, s)
			want := &porter.Export{Project: porter.Project{
				ID: porter.ProjectID(id), Name: "Widget", NameWithNamespace: "acme / tools / Widget",
				Path: "widget", PathWithNamespace: "acme/tools/widget", CreatedAt: created,
			}, Status: porter.ExportNone}
			got, err := c.GetExport(t.Context(), porter.ProjectPath("acme/tools/widget"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			s.AddExport("acme/tools/widget", "owner")
			want.Status = porter.ExportFinished
			want.Links.API = fmt.Sprintf("%s/api/v4/projects/%d/export/download", s.URL, id)
			want.Links.Web = s.URL + "/acme/tools/widget/download_export"
			refs := []porter.ProjectRef{porter.ProjectID(id), porter.ProjectPath("ACME/Tools/Widget")}
			if version == "18.9" {
				refs = append(refs, porter.ProjectPath("acme/old"))
			}
			for _, ref := range refs {
				got, err = c.GetExport(t.Context(), ref)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%v (-want +got):\n%s", ref, diff)
				}
			}
		})
	}
}

// TestGetExportDecodes accepts what no server says yet, and nothing that is no export.
func TestGetExportDecodes(t *testing.T) {
	tests := []struct {
		body string
		want *porter.Export // nil: an error
	}{
		{`{"id":1,"export_status":"pondering","description":null,"_links":null,"new":[1]}`,
			&porter.Export{Project: porter.Project{ID: 1}, Status: "pondering"}},
		{`{"id":1,"export_status":"started","created_at":"2024-05-01T11:41:00.500+02:00"}`,
			&porter.Export{Project: porter.Project{ID: 1, CreatedAt: time.Date(2024, 5, 1, 9, 41, 0, 5e8, time.UTC)}, Status: "started"}},
		{`{"id":1}`, nil},
		{`{"export_status":"none"}`, &porter.Export{Status: porter.ExportNone}},
		{`{"message":"202 Accepted"}`, nil},
		{`[]`, nil},
		{`null`, nil},
		{``, nil},
		{`<html><title>Sign in</title></html>`, nil},
	}
	for _, tt := range tests {
		mock := httpmock.NewMockTransport()
		mock.RegisterResponder("GET", "https://git.test/api/v4/projects/1/export", drained(200, tt.body))
		c := newClient(t, "https://git.test", nil, porter.WithTransport(mock))
		got, err := c.GetExport(t.Context(), porter.ProjectID(1))
		if tt.want == nil {
			var api *porter.APIError
			if got != nil || !errors.As(err, &api) || !strings.HasPrefix(err.Error(), "get export of 1: ") {
				t.Errorf("%s: got %+v, %v", tt.body, got, err)
			}
			continue
		}
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", tt.body, err, diff)
		}
	}
}
