package porter_test

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

func TestRelationImportRefusedBeforeAnyRequest(t *testing.T) {
	c := mocked(t, noRequest(t))
	src := porter.ReaderSource(strings.NewReader("archive"), 7)
	named := src
	named.Name = "archive.zip"
	start := func(src porter.Source, p porter.ProjectPath, r porter.Relation) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := c.StartRelationImport(ctx, src, p, r)
			return err
		}
	}
	wait := func(p porter.ProjectRef, id int64) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := c.WaitForRelationImport(ctx, p, id)
			return err
		}
	}
	list := func(p porter.ProjectRef) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := c.ListRelationImports(ctx, p)
			return err
		}
	}
	tests := []struct {
		name string
		call func(context.Context) error
		want string
	}{
		{"no path", start(src, "", porter.RelationIssues), "start relation import: project path is empty"},
		{"no namespace", start(src, "app", porter.RelationIssues), `start relation import: project path "app" has no namespace`},
		{"escaped path", start(src, "team%2Fapp", porter.RelationIssues), "escaped already"},
		{"line end in the path", start(src, "team/app\n", porter.RelationIssues), `"team/app\n" holds white space`},
		{"no relation", start(src, "team/app", ""), "start relation import into team/app: relation is empty"},
		{"line end in the relation", start(src, "team/app", "issues\r\n"),
			`start relation import into team/app: relation "issues\r\n" holds control characters`},
		{"no source", start(porter.Source{}, "team/app", porter.RelationIssues),
			"start import of issues into team/app: source: Open is nil"},
		{"file name", start(named, "team/app", porter.RelationIssues), `file name "archive.zip" does not end in .gz`},
		{"list nothing", list(nil), "list relation imports: project reference is nil"},
		{"list no ID", list(porter.ProjectID(0)), "list relation imports: project ID 0 is not positive"},
		{"wait for nothing", wait(nil, 1), "wait for relation import: project reference is nil"},
		{"wait for no ID", wait(porter.ProjectPath("team/app"), 0), "wait for relation import of team/app: ID 0 is not positive"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.call(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestStartRelationImportErrors(t *testing.T) {
	const at = "start import of issues into team/app: POST /api/v4/projects/import-relation: "
	tests := []struct {
		status int
		body   string
		text   string
		is     error
	}{
		{404, `{"message":"Project not found"}`, at + "404 Project not found; no such project", porter.ErrNotFound},
		{400, `{"message":"Imported relation must be one of issues, merge_requests, milestones, or ci_pipelines"}`,
			at + "400 Imported relation must be one of issues, merge_requests, milestones, or ci_pipelines", nil},
		{403, `{"message":"You are not authorized to perform this action"}`,
			at + "403 You are not authorized to perform this action; importing relations needs the Maintainer role", porter.ErrForbidden},
		{409, `{"message":"A relation import is already in progress for this project"}`,
			at + "409 A relation import is already in progress for this project", porter.ErrConflict},
		{400, `{"message":"Relation import could not be created: Relation import tracker cannot be created for project with ongoing import"}`,
			at + "400 Relation import could not be created: Relation import tracker cannot be created for project with ongoing import",
			porter.ErrConflict},
		{400, `{"error":"relation is missing"}`, at + "400 relation is missing", nil},
		{413, "entity is too large", at + "413 entity is too large; the limit is the instance's maximum import size", porter.ErrTooLarge},
		{422, `{"message":{"error":"You need to upload a GitLab project export archive (ending in .gz)."}}`,
			at + "422 You need to upload a GitLab project export archive (ending in .gz).", nil},
		{404, `{"error":"404 Not Found"}`, at + "404 Not Found; no such route: check the base URL, the GitLab version", porter.ErrNotFound},
		{401, `{"message":"401 Unauthorized"}`, at + "401 Unauthorized", porter.ErrUnauthorized},
		{403, `{"message":"403 Forbidden"}`, at + "403 Forbidden; the import source “GitLab export” is switched off", porter.ErrForbidden},
		{502, "GitLab is not responding\n",
			"start import of issues into team/app: outcome unknown: POST /api/v4/projects/import-relation: 502 GitLab is not responding",
			porter.ErrOutcomeUnknown},
		{201, `<html><title>Sign in</title>`, "Sign in", porter.ErrOutcomeUnknown},
		{201, `{"status":"ok"}`, "unexpected answer", porter.ErrOutcomeUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.body, func(t *testing.T) {
			mock := httpmock.NewMockTransport()
			mock.RegisterNoResponder(func(r *http.Request) (*http.Response, error) {
				io.Copy(io.Discard, r.Body)
				return httpmock.NewStringResponse(tt.status, tt.body), nil
			})
			imp, err := mocked(t, mock).StartRelationImport(t.Context(), sourceOf(smallArchive), "team/app", porter.RelationIssues)
			if imp != nil || err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %+v, %v, want %s", imp, err, tt.text)
			}
			if tt.is != nil && !errors.Is(err, tt.is) || tt.is == nil && matches(err) != nil {
				t.Errorf("%v is %v, want %v", err, matches(err), tt.is)
			}
			if n := mock.GetTotalCallCount(); n != 1 {
				t.Errorf("sent %d times", n)
			}
		})
	}
}

// TestStartRelationImportAgain sends a refused archive again, if it can be read again.
func TestStartRelationImportAgain(t *testing.T) {
	for _, single := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var bodies []string
			mock := httpmock.NewMockTransport()
			mock.RegisterNoResponder(func(r *http.Request) (*http.Response, error) {
				b, _ := io.ReadAll(r.Body)
				bodies = append(bodies, string(b))
				if len(bodies) < 3 {
					return httpmock.NewStringResponse(429, `{}`), nil
				}
				return httpmock.NewStringResponse(201, `{"id":1,"project_path":"team/app","relation":"issues","status":"created"}`), nil
			})
			var r io.Reader = strings.NewReader(smallContent())
			if single {
				r = io.MultiReader(r)
			}
			imp, err := mocked(t, mock, porter.WithoutPacing()).StartRelationImport(t.Context(), porter.ReaderSource(r, smallArchive.Size()),
				"team/app", porter.RelationIssues)
			if single {
				if !errors.Is(err, porter.ErrRateLimited) || len(bodies) != 1 {
					t.Errorf("sent %d times: %v", len(bodies), err)
				}
				return
			}
			if err != nil || imp.ID != 1 || len(bodies) != 3 {
				t.Fatalf("sent %d times: %+v, %v", len(bodies), imp, err)
			}
			for _, b := range bodies {
				if !strings.Contains(b, "\r\n\r\n"+smallContent()+"\r\n--") {
					t.Errorf("sent %d other bytes", len(b))
				}
			}
		})
	}
}

// relationTracker writes a single-relation import as GitLab does.
func relationTracker(id int, status string, created time.Time) string {
	stamp := created.UTC().Format("2006-01-02T15:04:05.000Z")
	return fmt.Sprintf(`{"id":%d,"project_path":"team/app","relation":"issues","status":%q,"created_at":%q,"updated_at":%q}`, id, status,
		stamp, stamp)
}

func TestWaitForRelationImport(t *testing.T) {
	t.Parallel()
	// at says what the list shows of import 31 so long after the start; "" is
	// nothing, and a number is a status code.
	tests := []struct {
		name   string
		at     func(time.Duration) string
		cancel time.Duration // of the context
		status porter.RelationImportStatus
		err    string // ends with; "" is none
		is     error
		min    time.Duration
		max    time.Duration
	}{
		{name: "finished", at: func(d time.Duration) string {
			switch {
			case d < time.Minute:
				return "created"
			case d < 10*time.Minute:
				return "started"
			}
			return "finished"
		}, status: porter.RelationImportFinished, min: 10 * time.Minute, max: 10*time.Minute + 30*time.Second},
		{name: "finished at once", at: func(time.Duration) string { return "finished" }, status: porter.RelationImportFinished},
		{name: "appears late", at: func(d time.Duration) string {
			if d < 9*time.Minute {
				return ""
			}
			return "finished"
		}, status: porter.RelationImportFinished, min: 9 * time.Minute, max: 9*time.Minute + 30*time.Second},
		{name: "failed", at: func(d time.Duration) string {
			if d < time.Hour {
				return "started"
			}
			return "failed"
		}, status: porter.RelationImportFailed, err: "import of issues into team/app failed (relation import 31)", min: time.Hour,
			max: time.Hour + 30*time.Second},
		{name: "missing", at: func(time.Duration) string { return "" },
			err: "not found: the project has no relation import 31 (status \"none\"", is: porter.ErrNotFound, min: 10 * time.Minute,
			max: 10*time.Minute + 30*time.Second},
		{name: "gone for one look", at: func(d time.Duration) string {
			switch {
			case d < 20*time.Minute:
				return "started"
			case d < 20*time.Minute+20*time.Second: // less than two polls
				return ""
			}
			return "finished"
		}, status: porter.RelationImportFinished, min: 20 * time.Minute, max: 21 * time.Minute},
		{name: "gone", at: func(d time.Duration) string {
			if d < time.Hour {
				return "started"
			}
			return ""
		}, status: porter.RelationImportStarted, err: "the project has no relation import 31", is: porter.ErrNotFound,
			min: time.Hour, max: time.Hour + time.Minute},
		{name: "unknown status", at: func(d time.Duration) string {
			if d < time.Hour {
				return "paused"
			}
			return "finished"
		}, status: porter.RelationImportFinished, min: time.Hour, max: time.Hour + 30*time.Second},
		{name: "never ends", at: func(time.Duration) string { return "started" }, status: porter.RelationImportStarted,
			err: "created more than 24h0m0s ago, so GitLab takes it for dead", min: 24 * time.Hour, max: 24*time.Hour + 10*time.Minute},
		{name: "never starts", at: func(time.Duration) string { return "created" }, status: porter.RelationImportCreated,
			err: "created more than 24h0m0s ago, so GitLab takes it for dead", min: 24 * time.Hour, max: 24*time.Hour + 10*time.Minute},
		{name: "context ends", at: func(time.Duration) string { return "started" }, cancel: time.Hour, status: porter.RelationImportStarted,
			err: "budget spent: context deadline exceeded", is: context.DeadlineExceeded, min: time.Hour, max: time.Hour},
		{name: "project deleted", at: func(d time.Duration) string {
			if d < time.Minute {
				return "started"
			}
			return "404"
		}, status: porter.RelationImportStarted, err: "404 Project Not Found", is: porter.ErrNotFound, min: 61 * time.Second,
			max: 2 * time.Minute},
		{name: "below Maintainer", at: func(time.Duration) string { return "403" },
			err: "403 Forbidden - Project; importing relations needs the Maintainer role", is: porter.ErrForbidden},
		{name: "short trouble", at: func(d time.Duration) string {
			switch {
			case d < time.Minute:
				return "started"
			case d < 5*time.Minute:
				return "502"
			}
			return "finished"
		}, status: porter.RelationImportFinished, min: 5 * time.Minute, max: 6 * time.Minute},
		{name: "long trouble", at: func(time.Duration) string { return "502" }, err: "502 GitLab is not responding", min: 5 * time.Minute,
			max: 6 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				mock := httpmock.NewMockTransport()
				mock.RegisterResponder("GET", `=~/api/v4/projects/team%2Fapp/relation-imports$`,
					func(r *http.Request) (*http.Response, error) {
						rows := []string{relationTracker(32, "failed", begun)}
						var resp *http.Response
						switch status := tt.at(time.Since(begun)); status {
						case "403":
							resp = httpmock.NewStringResponse(403, `{"message":"403 Forbidden - Project"}`)
						case "404":
							resp = httpmock.NewStringResponse(404, `{"message":"404 Project Not Found"}`)
						case "502":
							resp = httpmock.NewStringResponse(502, "GitLab is not responding\n")
						case "":
							resp = httpmock.NewStringResponse(200, "["+rows[0]+"]")
						default:
							rows = append(rows, relationTracker(31, status, begun), relationTracker(30, "started", begun))
							resp = httpmock.NewStringResponse(200, "["+strings.Join(rows, ",")+"]")
						}
						resp.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
						return resp, nil
					})
				ctx := t.Context()
				if tt.cancel > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeoutCause(ctx, tt.cancel, errors.New("budget spent"))
					defer cancel()
				}
				c := mocked(t, mock)
				if tt.min >= 24*time.Hour { // thousands of polls otherwise
					c = mocked(t, mock, porter.WithPolling(porter.Polling{Backoff: porter.ConstantBackoff(10 * time.Minute)}))
				}
				imp, err := c.WaitForRelationImport(ctx, porter.ProjectPath("team/app"), 31)
				var status porter.RelationImportStatus
				if imp != nil {
					status = imp.Status
				}
				if status != tt.status {
					t.Errorf("status %q, want %q", status, tt.status)
				}
				if took := time.Since(begun); took < tt.min || took > tt.max {
					t.Errorf("took %v, want %v to %v", took, tt.min, tt.max)
				}
				if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) || tt.is != nil &&
					!errors.Is(err, tt.is) {
					t.Errorf("error %v, want %s", err, tt.err)
				}
				var failed *porter.RelationImportError
				var wait *porter.WaitError
				switch {
				case err == nil:
				case status == porter.RelationImportFailed:
					if !errors.As(err, &failed) || failed.Import != imp {
						t.Errorf("%T is no *RelationImportError", err)
					}
				case !errors.As(err, &wait) || wait.Op != "relation import" || wait.Project != "team/app" || wait.Polls == 0:
					t.Errorf("%#v is no *WaitError", err)
				}
			})
		})
	}
}

// TestWaitForRelationImportByServerClock has a server whose clock is two days
// behind: a day is a day by that clock.
func TestWaitForRelationImportByServerClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		const skew = -48 * time.Hour
		mock := httpmock.NewMockTransport()
		mock.RegisterNoResponder(func(r *http.Request) (*http.Response, error) {
			status := "started"
			if time.Since(begun) > time.Hour {
				status = "finished"
			}
			resp := httpmock.NewStringResponse(200, "["+relationTracker(31, status, begun.Add(skew))+"]")
			resp.Header.Set("Date", time.Now().Add(skew).UTC().Format(http.TimeFormat))
			return resp, nil
		})
		imp, err := mocked(t, mock).WaitForRelationImport(t.Context(), porter.ProjectID(1), 31)
		if err != nil || imp.Status != porter.RelationImportFinished {
			t.Errorf("got %+v, %v", imp, err)
		}
	})
}

// TestRelationImportOfServer imports relations into a project of a server.
func TestRelationImportOfServer(t *testing.T) {
	t.Parallel()
	archive := portertest.NewArchive(64 << 10)
	src := func() porter.Source { return sourceOf(archive) }
	for _, version := range []string{"16.11", "17.1", "18.9"} {
		t.Run(version, func(t *testing.T) {
			inBubble(t, []portertest.Option{portertest.Version(version)}, func(t *testing.T, s *portertest.Server, c *porter.Client) {
				app := porter.ProjectPath("team/app")
				s.AddProject(portertest.Project{Path: "team/app"})
				if list, err := c.ListRelationImports(t.Context(), app); err != nil || len(list) != 0 {
					t.Errorf("at first: %v, %v", list, err)
				}
				first, err := c.StartRelationImport(t.Context(), src(), app, porter.RelationMergeRequests)
				if err != nil || first.Status != porter.RelationImportCreated || first.ProjectPath != app ||
					first.Relation != porter.RelationMergeRequests || first.CreatedAt.IsZero() {
					t.Fatalf("got %+v, %v", first, err)
				}
				for {
					time.Sleep(time.Second)
					list, err := c.ListRelationImports(t.Context(), porter.ProjectID(s.Project("team/app").ID))
					if err != nil || len(list) != 1 {
						t.Fatalf("got %v, %v", list, err)
					}
					if list[0].Status == porter.RelationImportStarted {
						break
					}
				}
				if _, err := c.StartRelationImport(t.Context(), src(), app, porter.RelationIssues); !errors.Is(err, porter.ErrConflict) {
					t.Errorf("while the first one runs: %v", err)
				}
				done, err := c.WaitForRelationImport(t.Context(), app, first.ID)
				if err != nil || done.Status != porter.RelationImportFinished || done.ID != first.ID ||
					!done.UpdatedAt.After(first.UpdatedAt) {
					t.Errorf("got %+v, %v", done, err)
				}

				s.ScriptImport("team/app", portertest.ImportScript{Error: "out of memory"}, portertest.ImportScript{Stuck: true})
				second, err := c.StartRelationImport(t.Context(), src(), app, porter.RelationIssues)
				if err != nil {
					t.Fatal(err)
				}
				done, err = c.WaitForRelationImport(t.Context(), app, second.ID)
				var failed *porter.RelationImportError
				if !errors.As(err, &failed) || failed.Import != done || done.Status != porter.RelationImportFailed || done.ID != second.ID {
					t.Errorf("got %+v, %v", done, err)
				}

				stuck, err := c.StartRelationImport(t.Context(), src(), app, porter.RelationPipelines)
				if err != nil {
					t.Fatal(err)
				}
				begun := time.Now()
				var wait *porter.WaitError
				lazy, err := c.With(porter.WithPolling(porter.Polling{Backoff: porter.ConstantBackoff(10 * time.Minute)}))
				if err != nil {
					t.Fatal(err)
				}
				if done, err = lazy.WaitForRelationImport(t.Context(), app, stuck.ID); !errors.As(err, &wait) ||
					done.Status != porter.RelationImportCreated {
					t.Errorf("got %+v, %v", done, err)
				}
				if took := time.Since(begun); took < 24*time.Hour || took > 24*time.Hour+10*time.Minute {
					t.Errorf("waited %v for an import that is never picked up", took)
				}
				if list, err := c.ListRelationImports(t.Context(), app); err != nil || len(list) != 3 {
					t.Errorf("at last: %v, %v", list, err)
				}
				var sent []string
				for _, r := range s.Requests() {
					if r.Method == "POST" {
						sent = append(sent, fmt.Sprint(r.Field("relation"), " ", r.Field("path"), " ", r.FileSHA256 == archive.SHA256(),
							" ", r.Status))
					}
				}
				if diff := gocmp.Diff([]string{"merge_requests team/app true 201", "issues team/app true 409", "issues team/app true 201",
					"ci_pipelines team/app true 201"}, sent); diff != "" {
					t.Errorf("sent (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestRelationImportRefusedByServer(t *testing.T) {
	archive := portertest.NewArchive(64 << 10)
	tests := []struct {
		name    string
		version string
		opts    []portertest.Option
		token   string
		path    porter.ProjectPath
		rel     porter.Relation
		prepare func(*portertest.Server, *porter.Client) error
		err     string
		is      error
	}{
		{name: "too early", version: "16.10", err: "no such route", is: porter.ErrNotFound},
		{name: "no such project", path: "team/other", err: "404 Project not found", is: porter.ErrNotFound},
		{name: "former path", path: "team/old", err: "404 Project not found", is: porter.ErrNotFound},
		{name: "no such relation", rel: "labels", err: "Imported relation must be one of issues"},
		{name: "switched off", opts: []portertest.Option{portertest.ImportsDisabled()}, err: "is switched off", is: porter.ErrForbidden},
		{name: "too large", opts: []portertest.Option{portertest.MaxImportSize(1000)}, err: "413 entity is too large",
			is: porter.ErrTooLarge},
		{name: "below Maintainer", token: "glpat-developer", err: "403 You are not authorized to perform this action",
			is: porter.ErrForbidden},
		{name: "import scheduled", prepare: func(s *portertest.Server, c *porter.Client) error {
			_, err := c.StartImport(context.Background(), sourceOf(archive),
				porter.ImportOptions{Path: "new", Namespace: porter.NamespacePath("team")})
			return err
		}, path: "team/new", err: "ongoing import", is: porter.ErrConflict},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			opts := append(tt.opts, portertest.Version(cmp.Or(tt.version, "18.9")))
			inBubble(t, opts, func(t *testing.T, s *portertest.Server, c *porter.Client) {
				s.AddProject(portertest.Project{Path: "team/app", FormerPaths: []string{"team/old"}})
				s.AddUser(portertest.User{Username: "developer", Token: "glpat-developer"})
				s.AddMember("team", "developer", portertest.Developer)
				if tt.token != "" {
					c = connectAs(t, s, tt.token)
				}
				if tt.prepare != nil {
					if err := tt.prepare(s, c); err != nil {
						t.Fatal(err)
					}
				}
				imp, err := c.StartRelationImport(t.Context(), sourceOf(archive),
					porter.ProjectPath(cmp.Or(string(tt.path), "team/app")), porter.Relation(cmp.Or(string(tt.rel), "issues")))
				if imp != nil || err == nil || !strings.Contains(err.Error(), tt.err) || tt.is != nil && !errors.Is(err, tt.is) {
					t.Errorf("got %+v, %v, want %s", imp, err, tt.err)
				}
			})
		})
	}
}

// TestStartRelationImportVerifies uploads archives that GitLab would take and
// finish with, whatever is in them.
func TestStartRelationImportVerifies(t *testing.T) {
	t.Parallel()
	sound := smallContent()
	of := func(files ...string) string { return string(archiveOfFiles(t, files...)) }
	const issues, bundle = "tree/project/issues.ndjson", "project.bundle"
	for _, tt := range []struct {
		name    string
		archive string
		is      error
		text    string
	}{
		{"sound", sound, nil, ""},
		{"two files", of("tree/project/project_members.ndjson", "{}\n", issues, "{}\n"), nil, ""},
		{"without such items", of("VERSION", "0.2.4", "tree/project.json", "{}"), nil, ""},
		{"what is not read is broken", of(issues, "{}", "tree/project/labels.ndjson", "{", "VERSION", "9", bundle, ""), nil, ""},
		{"cut", sound[:len(sound)-1], porter.ErrArchiveDamaged, "cut short"},
		{"cut in the middle", sound[:len(sound)/2], porter.ErrArchiveDamaged, "cut short"},
		{"changed", sound[:5000] + "?" + sound[5001:], porter.ErrArchiveDamaged, ""},
		{"no archive", "archive", porter.ErrNotArchive, "not gzip"},
		{"no tree", of("VERSION", "0.2.4"), porter.ErrNotArchive, "no project tree"},
		{"broken issues", of(issues, "{}\n{\n"), porter.ErrUnimportable, "issues.ndjson: line 1 (counted from 0)"},
		{"broken members", of(issues, "{}\n", "tree/project/project_members.ndjson", "\n"), porter.ErrUnimportable,
			"project_members.ndjson: line 0"},
		{"tree of old", of("VERSION", "0.2.4", "project.json", "{}"), porter.ErrUnimportable, "the project tree is one file"},
	} {
		for _, sized := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, size known %v", tt.name, sized), func(t *testing.T) {
				s := portertest.NewServer()
				defer s.Close()
				s.AddProject(portertest.Project{Path: "team/app"})
				src := porter.Source{Size: -1, Open: func(context.Context) (io.ReadCloser, error) {
					return io.NopCloser(strings.NewReader(tt.archive)), nil
				}}
				if sized {
					src.Size = int64(len(tt.archive))
				}
				c := connect(t, s)
				imp, err := c.StartRelationImport(t.Context(), src, "team/app", porter.RelationIssues)
				if !errors.Is(err, tt.is) || tt.is != nil && !strings.Contains(err.Error(), tt.text) || errors.Is(err, porter.ErrOutcomeUnknown) {
					t.Errorf("got %v, want %v that says %q", err, tt.is, tt.text)
				}
				list, listErr := c.ListRelationImports(t.Context(), porter.ProjectPath("team/app"))
				if listErr != nil || (imp != nil) != (tt.is == nil) || len(list) > 0 != (tt.is == nil) {
					t.Errorf("got %+v, and the server lists %v, %v", imp, list, listErr)
				}
			})
		}
	}
}

// archiveOfFiles returns an archive of files, each with its name and contents.
func archiveOfFiles(t *testing.T, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for i := 0; i < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))}); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, files[i+1])
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
