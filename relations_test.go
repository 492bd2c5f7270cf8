package porter_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jarcoal/httpmock"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// issues names a batch of the exported issues, and uploadsFile the uploads.
func issues(batch int) porter.RelationFile {
	return porter.RelationFile{Relation: porter.PortableIssues, Batch: batch}
}

var uploadsFile = porter.RelationFile{Relation: porter.PortableUploads}

func TestRelationsRefusedBeforeAnyRequest(t *testing.T) {
	c := mocked(t, noRequest(t))
	app := porter.ProjectPath("team/app")
	ctx := t.Context()
	tests := []struct {
		name string
		call func() error
		want string
	}{
		{"start", func() error { _, err := c.StartRelationsExport(ctx, nil, nil); return err },
			"start relations export: project reference is nil"},
		{"list", func() error { _, err := c.ListRelationExports(ctx, porter.ProjectPath("app")); return err },
			`list relation exports: project path "app" has no namespace`},
		{"get", func() error {
			_, err := c.GetRelationExport(ctx, porter.ProjectID(-1), porter.PortableLabels)
			return err
		}, "get relation export: project ID -1 is not positive"},
		{"get no relation", func() error { _, err := c.GetRelationExport(ctx, app, ""); return err },
			"get relation export of team/app: relation is empty"},
		{"get no line", func() error { _, err := c.GetRelationExport(ctx, app, "labels\n"); return err },
			`get relation export of team/app: relation "labels\n" holds control characters`},
		{"wait", func() error { _, err := c.WaitForRelationExports(ctx, nil, time.Time{}); return err },
			"wait for relation exports: project reference is nil"},
		{"wait for no relation", func() error {
			_, err := c.WaitForRelationExports(ctx, app, time.Time{}, porter.PortableLabels, "")
			return err
		}, "wait for relation exports of team/app: relation is empty"},
		{"open", func() error {
			_, err := c.OpenRelationExport(ctx, nil, porter.RelationFile{Relation: porter.PortableLabels})
			return err
		},
			"download relation export: project reference is nil"},
		{"open no relation", func() error { _, err := c.OpenRelationExport(ctx, app, porter.RelationFile{Relation: ""}); return err },
			"download relation export of team/app: relation is empty"},
		{"open no line", func() error {
			_, err := c.OpenRelationExport(ctx, app, porter.RelationFile{Relation: "a\rb"})
			return err
		},
			`download relation export of team/app: relation "a\rb" holds control characters`},
		{"negative batch", func() error {
			_, err := c.DownloadRelationExport(ctx, app, porter.RelationFile{Relation: porter.PortableLabels, Batch: -1}, nil, nil)
			return err
		},
			"batch -1 is negative"},
		{"no file", func() error {
			_, err := c.DownloadRelationExportFile(ctx, app, porter.RelationFile{Relation: porter.PortableLabels}, "", nil)
			return err
		}, "download export of relation labels of team/app: "},
		{"a folder", func() error {
			_, err := c.DownloadRelationExportFile(ctx, app, porter.RelationFile{Relation: porter.PortableLabels}, t.TempDir(), nil)
			return err
		}, "download export of relation labels of team/app: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.call(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestRelationsErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		status int
		body   string
		text   string // the end of the error's
		is     error
	}{
		{404, `{"message":"404 Not Found"}`, ": 404 Not Found; direct transfer may be switched off on this instance, as it is by default",
			porter.ErrNotFound},
		{404, `{"error":"404 Not Found"}`,
			": 404 Not Found; no such route: check the base URL, the GitLab version, and that no proxy decodes %2F", porter.ErrNotFound},
		{404, `{"message":"404 Project Not Found"}`,
			": 404 Project Not Found; no such project for this user, or no valid token: CI job tokens and deploy tokens are not accepted " +
				"here", porter.ErrNotFound},
		{404, `{"message":"Export not found"}`, ": 404 Export not found", porter.ErrNotFound},
		{404, `{"message":"Batch not found"}`, ": 404 Batch not found", porter.ErrNotFound},
		{404, `{"message":"Batch file not found"}`, ": 404 Batch file not found", porter.ErrNotFound},
		{404, `{"message":"Export file not found"}`, ": 404 Export file not found", porter.ErrNotFound},
		{400, `{"message":"Export is not batched"}`, ": 400 Export is not batched", nil},
		{400, `{"message":"Export is batched"}`, ": 400 Export is batched", nil},
		{400, `{"error":"relation is not portable"}`, ": 400 relation is not portable", nil},
		{401, `{"message":"401 Unauthorized"}`,
			": 401 Unauthorized; the token is missing or unknown; CI job tokens and deploy tokens are not accepted here",
			porter.ErrUnauthorized},
		{403, `{"message":"403 Forbidden"}`, ": 403 Forbidden; exporting needs the Maintainer role in the project", porter.ErrForbidden},
		{500, `{"message":"Project relations export could not be started."}`, ": 500 Project relations export could not be started.", nil},
		{200, `<html><title>Sign in</title></html>`, "HTML page “Sign in”", nil},
	}
	app := porter.ProjectPath("team/app")
	calls := map[string]func(context.Context, *porter.Client) error{
		"start relations export of team/app: POST /api/v4/projects/team%2Fapp/export_relations: ": func(
			ctx context.Context, c *porter.Client,
		) error {
			_, err := c.StartRelationsExport(ctx, app, &porter.RelationsExportOptions{Batched: true})
			return err
		},
		"list relation exports of team/app: GET /api/v4/projects/team%2Fapp/export_relations/status: ": func(
			ctx context.Context, c *porter.Client,
		) error {
			_, err := c.ListRelationExports(ctx, app)
			return err
		},
		"get export of relation issues of team/app: GET /api/v4/projects/team%2Fapp/export_relations/status: ": func(
			ctx context.Context, c *porter.Client,
		) error {
			_, err := c.GetRelationExport(ctx, app, porter.PortableIssues)
			return err
		},
		"wait for relation exports of team/app: GET /api/v4/projects/team%2Fapp/export_relations/status: ": func(
			ctx context.Context, c *porter.Client,
		) error {
			_, err := c.WaitForRelationExports(ctx, app, time.Time{})
			return err
		},
		"download export of relation issues of team/app: GET /api/v4/projects/team%2Fapp/export_relations/download: ": func(
			ctx context.Context, c *porter.Client,
		) error {
			_, err := c.OpenRelationExport(ctx, app, issues(1))
			return err
		},
	}
	for begin, call := range calls {
		for _, tt := range tests {
			t.Run(begin[:6]+" "+tt.body, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					mock := httpmock.NewMockTransport()
					mock.RegisterNoResponder(httpmock.NewStringResponder(tt.status, tt.body))
					err := call(t.Context(), mocked(t, mock))
					if err == nil {
						t.Fatal("no error")
					}
					want := begin[:len(begin)-2] + tt.text
					if strings.HasPrefix(begin, "download") && tt.body == `{"message":"404 Not Found"}` {
						want += ", or the archive is gone from its object storage"
					}
					switch {
					case strings.HasPrefix(begin, "wait"): // which adds how long it lasted
						if !strings.HasPrefix(err.Error(), want) && tt.status >= 300 {
							t.Errorf("got %v, want %s", err, want)
						}
					case strings.HasPrefix(begin, "download") && tt.status == 200:
						if !errors.Is(err, porter.ErrNotArchive) {
							t.Errorf("got %v, want %v", err, porter.ErrNotArchive)
						}
						return
					case tt.status == 200:
						if !strings.Contains(err.Error(), tt.text) {
							t.Errorf("got %v, want %s", err, tt.text)
						}
					case err.Error() != want:
						t.Errorf("got %v, want %s", err, want)
					}
					if tt.is != nil && !errors.Is(err, tt.is) || tt.is == nil && matches(err) != nil {
						t.Errorf("%v is %v, want %v", err, matches(err), tt.is)
					}
				})
			})
		}
	}
}

// TestStartRelationsExportTime makes sure that the time which comes back is
// the server's, and from before the request, whatever the request had to go
// through, and that a request is never sent twice if it may have been heard.
func TestStartRelationsExportTime(t *testing.T) {
	const skew = -25 * time.Hour
	respond := func(status int, after time.Duration) httpmock.Responder {
		return func(r *http.Request) (*http.Response, error) {
			time.Sleep(after)
			resp := httpmock.NewStringResponse(status, `{"message":"202 Accepted"}`)
			resp.Header.Set("Date", time.Now().Add(skew).UTC().Format(http.TimeFormat))
			if status == 429 {
				resp.Header.Set("Retry-After", "60")
			}
			return resp, nil
		}
	}
	lose := func(r *http.Request) (*http.Response, error) {
		r.Body.Read(make([]byte, 100))
		r.Body.Read(make([]byte, 100))
		time.Sleep(10 * time.Second)
		return nil, errors.New("connection reset by peer")
	}
	tests := []struct {
		name  string
		do    []httpmock.Responder
		clock bool // known before
		begun time.Duration
		is    error
	}{
		{name: "at once", do: []httpmock.Responder{respond(202, 0)}},
		{name: "slow", do: []httpmock.Responder{respond(202, 50*time.Second)}},
		{name: "refused first", do: []httpmock.Responder{respond(429, 0), respond(202, 20*time.Second)}, begun: time.Minute},
		{name: "answer lost", do: []httpmock.Responder{lose}, clock: true, is: porter.ErrOutcomeUnknown},
		{name: "bad gateway", do: []httpmock.Responder{respond(502, 5*time.Second)}, is: porter.ErrOutcomeUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				mock := httpmock.NewMockTransport()
				mock.RegisterNoResponder(func(r *http.Request) (*http.Response, error) {
					if r.Method == "GET" {
						resp := httpmock.NewStringResponse(200, "[]")
						resp.Header.Set("Date", time.Now().Add(skew).UTC().Format(http.TimeFormat))
						return resp, nil
					}
					n++
					if n > len(tt.do) {
						t.Fatal("sent again")
					}
					return tt.do[n-1](r)
				})
				c := mocked(t, mock)
				if tt.clock {
					if _, err := c.ListRelationExports(t.Context(), porter.ProjectID(1)); err != nil {
						t.Fatal(err)
					}
				}
				asked := time.Now().Add(skew + tt.begun)
				since, err := c.StartRelationsExport(t.Context(), porter.ProjectID(1), nil)
				if !errors.Is(err, tt.is) || tt.is == nil && err != nil {
					t.Errorf("error %v, want %v", err, tt.is)
				}
				if early := asked.Sub(since); early < 0 || early > time.Second {
					t.Errorf("since is %v before the request", early)
				}
				if n != len(tt.do) {
					t.Errorf("sent %d times, want %d", n, len(tt.do))
				}
			})
		})
	}
}

// A relationRow is a row of the list of relation exports.
type relationRow struct {
	relation string
	status   int
	updated  time.Duration // since the start
	batches  []int         // their states, if it is batched
}

func (r relationRow) json(start time.Time) string {
	stamp := func(d time.Duration) string { return start.Add(d).UTC().Format("2006-01-02T15:04:05.000Z") }
	batched := ""
	if r.batches != nil {
		var bs []string
		for i, s := range r.batches {
			why := "null"
			if s < 0 {
				why = `"disk full"`
			}
			bs = append(bs, fmt.Sprintf(`{"status":%d,"batch_number":%d,"objects_count":1,"error":%s,"updated_at":%q}`, s, i+1, why,
				stamp(r.updated)))
		}
		batched = `,"batches":[` + strings.Join(bs, ",") + `]`
	}
	why := "null"
	if r.status < 0 && r.batches == nil {
		why = `"out of memory"`
	}
	return fmt.Sprintf(`{"relation":%q,"status":%d,"error":%s,"updated_at":%q,"batched":%t,"batches_count":%d,"total_objects_count":1%s}`,
		r.relation, r.status, why, stamp(r.updated), r.batches != nil, len(r.batches), batched)
}

func TestWaitForRelationExports(t *testing.T) {
	t.Parallel()
	const (
		started, finished, failed = 0, 1, -1
		s, m, h                   = time.Second, time.Minute, time.Hour
	)
	labels, issues := porter.PortableLabels, porter.PortableIssues
	tests := []struct {
		name   string
		rows   func(time.Duration) []relationRow // that the server shows so long after the start; nil is a 502
		any    bool                              // the zero time is given
		before bool                              // it shows them before the start too
		blind  bool                              // before the start it shows nothing but a 502
		wanted []porter.PortableRelation
		cancel time.Duration
		done   []string // the relations that come back, with their states
		err    string
		is     error
		min    time.Duration
		max    time.Duration
	}{
		{name: "all, rows come late", rows: func(d time.Duration) []relationRow {
			switch {
			case d < 2*m:
				return []relationRow{}
			case d < 3*m:
				return []relationRow{{"labels", finished, 2 * m, nil}}
			case d < 20*m:
				return []relationRow{{"labels", finished, 2 * m, nil}, {"issues", started, 3 * m, nil}}
			}
			return []relationRow{{"labels", finished, 2 * m, nil}, {"issues", finished, 20 * m, nil}}
		}, done: []string{"labels finished", "issues finished"}, min: 21 * m, max: 22 * m},
		{name: "all, one more within the minute", rows: func(d time.Duration) []relationRow {
			rows := []relationRow{{"labels", finished, 1 * s, nil}}
			if d > 50*s {
				rows = append(rows, relationRow{"self", finished, 50 * s, nil})
			}
			return rows
		}, done: []string{"labels finished", "self finished"}, min: 50*s + m, max: 50*s + m + 61*s},
		{name: "all, as they are", any: true, rows: func(time.Duration) []relationRow {
			return []relationRow{{"labels", finished, -24 * h, nil}}
		}, done: []string{"labels finished"}},
		{name: "one", wanted: []porter.PortableRelation{labels}, rows: func(d time.Duration) []relationRow {
			if d < m {
				return []relationRow{{"issues", started, 1 * s, nil}}
			}
			return []relationRow{{"issues", started, 1 * s, nil}, {"labels", finished, m, nil}}
		}, done: []string{"labels finished"}, min: m, max: m + 30*s},
		{name: "several, given twice", wanted: []porter.PortableRelation{labels, issues, labels},
			rows: func(d time.Duration) []relationRow {
				if d < m {
					return []relationRow{{"labels", finished, 1 * s, nil}}
				}
				return []relationRow{{"labels", finished, 1 * s, nil}, {"issues", finished, m, nil}, {"self", started, m, nil}}
			}, done: []string{"labels finished", "issues finished"}, min: m, max: m + 30*s},
		{name: "an older export is redone", before: true, wanted: []porter.PortableRelation{labels},
			rows: func(d time.Duration) []relationRow {
				switch {
				case d < 8*m:
					return []relationRow{{"labels", finished, -4 * m, nil}}
				case d < 9*m:
					return []relationRow{{"labels", started, 8 * m, nil}}
				}
				return []relationRow{{"labels", finished, 9 * m, nil}}
			}, done: []string{"labels finished"}, min: 9 * m, max: 9*m + 30*s},
		{name: "an older failure is redone", before: true, wanted: []porter.PortableRelation{labels},
			rows: func(d time.Duration) []relationRow {
				switch {
				case d < 40*s:
					return []relationRow{{"labels", failed, -2 * s, nil}}
				case d < 2*m:
					return []relationRow{{"labels", started, 40 * s, nil}}
				}
				return []relationRow{{"labels", finished, 2 * m, nil}}
			}, done: []string{"labels finished"}, min: 2 * m, max: 2*m + 30*s},
		{name: "a young one is not redone", before: true, wanted: []porter.PortableRelation{labels},
			rows: func(d time.Duration) []relationRow {
				return []relationRow{{"labels", finished, -2 * m, nil}}
			}, done: []string{"labels finished"}, min: m, max: m + 30*s},
		{name: "a young one is redone after all", before: true, wanted: []porter.PortableRelation{labels},
			rows: func(d time.Duration) []relationRow {
				switch {
				case d < 40*s:
					return []relationRow{{"labels", finished, -170 * s, nil}}
				case d < 5*m:
					return []relationRow{{"labels", started, 40 * s, nil}}
				}
				return []relationRow{{"labels", finished, 5 * m, nil}}
			}, done: []string{"labels finished"}, min: 5 * m, max: 5*m + 61*s},
		{name: "a young batched one is always redone", before: true, wanted: []porter.PortableRelation{labels},
			rows: func(d time.Duration) []relationRow {
				if d < 4*m {
					return []relationRow{{"labels", finished, -2 * m, []int{1}}}
				}
				return []relationRow{{"labels", finished, 4 * m, []int{1, 1}}}
			}, done: []string{"labels finished"}, min: 4 * m, max: 4*m + 30*s},
		{name: "the database's clock is slow", wanted: []porter.PortableRelation{labels}, rows: func(d time.Duration) []relationRow {
			return []relationRow{{"labels", finished, -2 * m, []int{1}}}
		}, done: []string{"labels finished"}, max: 5 * s},
		{name: "the database's clock is slow, and an older one is there", before: true, wanted: []porter.PortableRelation{labels},
			rows: func(d time.Duration) []relationRow {
				if d < m {
					return []relationRow{{"labels", finished, -4 * m, []int{1}}}
				}
				return []relationRow{{"labels", finished, -3 * m, []int{1}}}
			}, done: []string{"labels finished"}, min: m, max: m + 30*s},
		{name: "the database's clock is slow, and nobody could look before", blind: true, wanted: []porter.PortableRelation{labels},
			rows: func(d time.Duration) []relationRow {
				return []relationRow{{"labels", finished, -3 * s, []int{1}}}
			}, done: []string{"labels finished"}, min: m, max: m + 30*s},
		{name: "an older one is never redone", before: true, wanted: []porter.PortableRelation{labels},
			rows: func(time.Duration) []relationRow {
				return []relationRow{{"labels", finished, -4 * m, nil}}
			}, err: `not found: no export of labels has appeared (status "0 of 1 done"`, is: porter.ErrNotFound, min: 10 * m,
			max: 10*m + 30*s},
		{name: "a failure", rows: func(d time.Duration) []relationRow {
			if d < 30*m {
				return []relationRow{{"labels", failed, s, nil}, {"issues", started, s, nil}}
			}
			return []relationRow{{"labels", failed, s, nil}, {"issues", finished, 30 * m, nil}}
		}, done: []string{"labels failed", "issues finished"}, err: "export of relation labels failed: out of memory", min: 31 * m,
			max: 32 * m},
		{name: "failures", wanted: []porter.PortableRelation{labels, issues}, rows: func(d time.Duration) []relationRow {
			return []relationRow{{"labels", failed, s, nil}, {"issues", failed, s, nil}}
		}, done: []string{"labels failed", "issues failed"},
			err: "export of relation labels failed: out of memory\nexport of relation issues failed: out of memory", max: 5 * s},
		{name: "a failed batch", wanted: []porter.PortableRelation{issues}, rows: func(d time.Duration) []relationRow {
			if d < m {
				return []relationRow{{"issues", started, s, []int{1, -1, 2, 0}}}
			}
			return []relationRow{{"issues", finished, m, []int{1, -1, 1, -1}}}
		}, done: []string{"issues finished"}, err: "export of relation issues failed (batch 2, 4 of 4): disk full", min: m, max: m + 30*s},
		{name: "unknown states go on", wanted: []porter.PortableRelation{labels}, rows: func(d time.Duration) []relationRow {
			if d < 3*h {
				return []relationRow{{"labels", 9, s, nil}}
			}
			return []relationRow{{"labels", finished, 3 * h, nil}}
		}, done: []string{"labels finished"}, min: 3 * h, max: 3*h + 30*s},
		{name: "nothing", rows: func(time.Duration) []relationRow { return []relationRow{} },
			err: `not found: no export of any relation has appeared (status "0 of 0 done"`, is: porter.ErrNotFound, min: 10 * m,
			max: 10*m + 30*s},
		{name: "some never appear", wanted: []porter.PortableRelation{labels, "typo", issues}, rows: func(d time.Duration) []relationRow {
			if d < 30*m { // what runs is waited for
				return []relationRow{{"labels", started, s, nil}}
			}
			return []relationRow{{"labels", finished, 30 * m, nil}}
		}, done: []string{"labels finished"}, err: "not found: no export of issues, typo has appeared", is: porter.ErrNotFound, min: 40 * m,
			max: 41 * m},
		{name: "context ends", cancel: h, rows: func(d time.Duration) []relationRow { return []relationRow{{"labels", started, s, nil}} },
			done: []string{"labels started"}, err: "budget spent: context deadline exceeded", is: context.DeadlineExceeded, min: h, max: h},
		{name: "trouble", wanted: []porter.PortableRelation{labels}, rows: func(d time.Duration) []relationRow {
			if d < 4*m {
				return nil
			}
			return []relationRow{{"labels", finished, 4 * m, nil}}
		}, done: []string{"labels finished"}, min: 4 * m, max: 5 * m},
		{name: "lasting trouble", rows: func(d time.Duration) []relationRow { return nil }, err: "502 GitLab is not responding", min: 5 * m,
			max: 6 * m},
	}
	for _, tt := range tests {
		for _, skew := range []time.Duration{0, -48 * time.Hour, 700 * time.Millisecond} {
			t.Run(fmt.Sprint(tt.name, " skewed by ", skew), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					start, posted := time.Now(), false
					mock := httpmock.NewMockTransport()
					mock.RegisterNoResponder(func(r *http.Request) (*http.Response, error) {
						resp := httpmock.NewStringResponse(202, `{"message":"202 Accepted"}`)
						posted = posted || r.Method == "POST"
						if r.Method == "GET" {
							rows := tt.rows(time.Since(start))
							if !posted && !tt.before {
								rows = []relationRow{}
							}
							if !posted && tt.blind {
								rows = nil
							}
							var items []string
							for _, row := range rows {
								items = append(items, row.json(start.Add(skew)))
							}
							resp = httpmock.NewStringResponse(200, "["+strings.Join(items, ",")+"]")
							if rows == nil {
								resp = httpmock.NewStringResponse(502, "GitLab is not responding\n")
							}
						}
						resp.Header.Set("Date", time.Now().Add(skew).UTC().Format(http.TimeFormat))
						return resp, nil
					})
					c := mocked(t, mock)
					ctx := t.Context()
					if tt.cancel > 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeoutCause(ctx, tt.cancel, errors.New("budget spent"))
						defer cancel()
					}
					since, err := c.StartRelationsExport(ctx, porter.ProjectPath("team/app"), &porter.RelationsExportOptions{Batched: true})
					if err != nil {
						t.Fatal(err)
					}
					if tt.any {
						since = time.Time{}
					}
					list, err := c.WaitForRelationExports(ctx, porter.ProjectPath("team/app"), since, tt.wanted...)
					if took := time.Since(start); took < tt.min || took > tt.max {
						t.Errorf("took %v, want %v to %v", took, tt.min, tt.max)
					}
					var done []string
					for _, e := range list {
						done = append(done, fmt.Sprint(e.Relation, " ", e.Status))
					}
					if diff := cmp.Diff(tt.done, done); diff != "" {
						t.Errorf("relations (-want +got):\n%s", diff)
					}
					if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) || tt.is != nil &&
						!errors.Is(err, tt.is) {
						t.Fatalf("error %v, want %s", err, tt.err)
					}
					var re *porter.RelationExportError
					var wait *porter.WaitError
					switch {
					case err == nil:
					case strings.HasPrefix(tt.err, "export of relation"):
						if !errors.As(err, &re) || re.Export.Complete() {
							t.Errorf("%T is no *RelationExportError", err)
						}
					case !errors.As(err, &wait) || wait.Op != "relation exports" || wait.Project != "team/app":
						t.Errorf("%T is no *WaitError", err)
					}
				})
			})
		}
	}
}

func TestRelationExportStatus(t *testing.T) {
	tests := []struct {
		level, json string
		want        porter.RelationExportStatus // "" is an error
		known       bool
		terminal    bool
	}{
		{"relation", "-2", porter.RelationExportPending, true, false},
		{"relation", "-1", porter.RelationExportFailed, true, true},
		{"relation", "0", porter.RelationExportStarted, true, false},
		{"relation", "1", porter.RelationExportFinished, true, true},
		{"relation", "2", "status 2", false, false},
		{"batch", "-1", porter.RelationExportFailed, true, true},
		{"batch", "0", porter.RelationExportCreated, true, false},
		{"batch", "1", porter.RelationExportFinished, true, true},
		{"batch", "2", porter.RelationExportStarted, true, false},
		{"batch", "-2", "status -2", false, false},
		{"relation", `"finished"`, porter.RelationExportFinished, true, true},
		{"batch", `"paused"`, "paused", false, false},
		{"relation", "null", "", false, false},
		{"batch", "null", "", false, false},
		{"relation", `""`, "", false, false},
		{"batch", "1.5", "", false, false},
		{"relation", "[]", "", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.level+" "+tt.json, func(t *testing.T) {
			var got porter.RelationExportStatus
			var err error
			if tt.level == "batch" {
				var b porter.RelationBatch
				err = json.Unmarshal([]byte(`{"batch_number":1,"status":`+tt.json+`}`), &b)
				got = b.Status
			} else {
				var e porter.RelationExport
				err = json.Unmarshal([]byte(`{"relation":"labels","status":`+tt.json+`}`), &e)
				got = e.Status
			}
			if (err != nil) != (tt.want == "") || got != tt.want {
				t.Fatalf("got %q, %v, want %q", got, err, tt.want)
			}
			if got.Known() != tt.known || got.Terminal() != tt.terminal || got.String() != string(tt.want) {
				t.Errorf("known %t, terminal %t, text %s", got.Known(), got.Terminal(), got)
			}
		})
	}
	for _, bad := range []string{`{"status":1}`, `{"relation":"labels"}`, `{"relation":"issues","status":1,"batches":[null]}`,
		`{"relation":"issues","status":1,"batches":[{}]}`, `null`, `[]`, `7`} {
		if err := json.Unmarshal([]byte(bad), new(porter.RelationExport)); err == nil {
			t.Errorf("took %s for a relation export", bad)
		}
	}
}

func TestRelationExportComplete(t *testing.T) {
	const finished, started, failed = porter.RelationExportFinished, porter.RelationExportStarted, porter.RelationExportFailed
	for _, tt := range []struct {
		relation porter.RelationExportStatus
		batches  []porter.RelationExportStatus
		want     bool
	}{
		{finished, nil, true},
		{finished, []porter.RelationExportStatus{finished, finished}, true},
		{finished, []porter.RelationExportStatus{finished, started}, false},
		{finished, []porter.RelationExportStatus{failed, finished}, false},
		{started, []porter.RelationExportStatus{finished}, false},
		{failed, nil, false},
	} {
		e := porter.RelationExport{Status: tt.relation}
		for _, s := range tt.batches {
			e.Batches = append(e.Batches, porter.RelationBatch{Status: s})
		}
		if got := e.Complete(); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

func TestRelationExportKeptAsJSON(t *testing.T) {
	want := &porter.RelationExport{
		Relation: porter.PortableIssues, Status: "status 7", Error: "odd", UpdatedAt: time.Date(2024, 5, 1, 10, 5, 2, 3e6, time.UTC),
		Batched: true, TotalObjects: 2,
		Batches: []porter.RelationBatch{
			{Number: 1, Status: porter.RelationExportFinished, UpdatedAt: time.Date(2024, 5, 1, 10, 5, 2, 0, time.UTC), Objects: 2},
			{Number: 2, Status: porter.RelationExportStarted, Error: "odd"},
		},
	}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got := new(porter.RelationExport)
	if err := json.Unmarshal(b, got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s comes back as (-want +got):\n%s", b, diff)
	}
}

func TestRelationExportErrorText(t *testing.T) {
	batch := func(n int, s porter.RelationExportStatus, why string) porter.RelationBatch {
		return porter.RelationBatch{Number: n, Status: s, Error: why}
	}
	tests := []struct {
		exp  *porter.RelationExport
		want string
	}{
		{nil, "relation export failed"},
		{&porter.RelationExport{Relation: porter.PortableLabels, Status: porter.RelationExportFailed}, "export of relation labels failed"},
		{&porter.RelationExport{Relation: "a\nb", Status: porter.RelationExportFailed, Error: "no\x1b[31m space\n left"},
			"export of relation a b failed: no[31m space left"},
		{&porter.RelationExport{Relation: porter.PortableIssues, Status: porter.RelationExportFinished, Batched: true,
			Batches: []porter.RelationBatch{
				batch(1, porter.RelationExportFinished, ""), batch(2, porter.RelationExportFailed, ""),
				batch(3, porter.RelationExportFailed, "timed out")}},
			"export of relation issues failed (batch 2, 3 of 3): timed out"},
		{&porter.RelationExport{Relation: porter.PortableIssues, Status: porter.RelationExportFailed, Error: "all lost", Batched: true,
			Batches: []porter.RelationBatch{
				batch(1, porter.RelationExportFailed, "timed out")}},
			"export of relation issues failed (batch 1 of 1): all lost"},
	}
	for _, tt := range tests {
		if got := (&porter.RelationExportError{Export: tt.exp}).Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// TestPortableRelations compares the constants with GitLab's list.
func TestPortableRelations(t *testing.T) {
	const list = `labels, milestones, issues, snippets, releases, merge_requests, external_pull_requests, commit_notes, ci_pipelines,
		auto_devops, pipeline_schedules, container_expiration_policy, protected_branches, protected_tags, project_feature, custom_attributes,
		project_badges, ci_cd_settings, error_tracking_setting, boards, service_desk_setting, user_contributions, uploads,
		lfs_objects, repository, design, self`
	var want []string
	for name := range strings.SplitSeq(list, ",") {
		want = append(want, strings.TrimSpace(name))
	}
	var got []string
	for _, r := range []porter.PortableRelation{
		porter.PortableLabels, porter.PortableMilestones, porter.PortableIssues, porter.PortableSnippets, porter.PortableReleases,
		porter.PortableMergeRequests, porter.PortableExternalPullRequests, porter.PortableCommitNotes, porter.PortablePipelines,
		porter.PortableAutoDevops, porter.PortablePipelineSchedules, porter.PortableContainerExpirationPolicy,
		porter.PortableProtectedBranches,
		porter.PortableProtectedTags, porter.PortableProjectFeature, porter.PortableCustomAttributes, porter.PortableProjectBadges,
		porter.PortableCICDSettings, porter.PortableErrorTrackingSetting, porter.PortableBoards, porter.PortableServiceDeskSetting,
		porter.PortableUserContributions, porter.PortableUploads, porter.PortableLFSObjects, porter.PortableRepository,
		porter.PortableDesign, porter.PortableSelf,
	} {
		got = append(got, string(r))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("relations (-want +got):\n%s", diff)
	}
}

// A relationsServer has a project whose labels, issues and uploads are exported.
func relationsServer(s *portertest.Server) map[string]*portertest.Archive {
	s.AddProject(portertest.Project{Path: "team/app"})
	uploads := portertest.NewArchive(400 << 10)
	s.SetRelation("team/app", "uploads", portertest.Relation{Objects: 3, Archive: uploads})
	s.SetRelation("team/app", "labels", portertest.Relation{Objects: 7})
	s.SetRelation("team/app", "issues", portertest.Relation{Objects: 2300})
	return map[string]*portertest.Archive{"uploads": uploads}
}

// TestRelationsOfServer exports a project's relations whole and in batches,
// in every release that can and every way of delivering files.
func TestRelationsOfServer(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"14.4", "14.8", "16.1", "16.2", "17.2", "18.9"} {
		for mode, downloads := range dlModes {
			if downloads != portertest.FromDisk && version != "14.4" && version != "18.9" {
				continue
			}
			t.Run(version+" "+mode, func(t *testing.T) {
				inBubble(t, []portertest.Option{portertest.Version(version), portertest.Downloads(downloads), portertest.RelationExports()},
					func(t *testing.T, s *portertest.Server, c *porter.Client) {
						ctx, app := t.Context(), porter.ProjectPath("team/app")
						archives := relationsServer(s)
						if list, err := c.ListRelationExports(ctx, app); err != nil || len(list) != 0 {
							t.Errorf("at first: %v, %v", list, err)
						}
						if _, err := c.GetRelationExport(ctx, app, porter.PortableLabels); !errors.Is(err, porter.ErrNotFound) {
							t.Errorf("at first: %v", err)
						}
						since, err := c.StartRelationsExport(ctx, app, nil)
						if err != nil {
							t.Fatal(err)
						}
						list, err := c.WaitForRelationExports(ctx, app, since)
						if err != nil || len(list) != 27 {
							t.Fatalf("got %d relations, %v", len(list), err)
						}
						labels, err := c.GetRelationExport(ctx, app, porter.PortableLabels)
						if err != nil || !labels.Complete() || labels.Batched || labels.UpdatedAt.Before(since) {
							t.Errorf("got %+v, %v", labels, err)
						}
						var buf bytes.Buffer
						if _, err := c.DownloadRelationExport(ctx, app, porter.RelationFile{Relation: porter.PortableLabels}, &buf, nil); err != nil ||
							strings.Count(plainText(buf.Bytes()), "\n") != 7 {
							t.Errorf("got %q, %v", plainText(buf.Bytes()), err)
						}
						file := filepath.Join(t.TempDir(), "uploads.tar.gz")
						n, err := bytesOf(c.DownloadRelationExportFile(ctx, app, uploadsFile, file, nil))
						b, _ := os.ReadFile(file)
						if err != nil || n != int64(len(b)) || sum(b) != archives["uploads"].SHA256() {
							t.Errorf("got %d of %d bytes, %v", len(b), n, err)
						}
						if r, err := c.OpenRelationExport(ctx, app, uploadsFile); err != nil {
							t.Error(err)
						} else if name := r.Name(); r.Size() != archives["uploads"].Size() || downloads == portertest.FromDisk &&
							name != "uploads.tar.gz" || r.Close() != nil {
							t.Errorf("size %d, name %q", r.Size(), name)
						}
						if _, err := c.DownloadRelationExport(ctx, app, porter.RelationFile{Relation: "typo"}, io.Discard, nil); err == nil ||
							!strings.Contains(err.Error(), "400 relation is not portable") {
							t.Errorf("got %v", err)
						}

						// Within three minutes nothing is redone.
						again, err := c.StartRelationsExport(ctx, app, nil)
						if err != nil {
							t.Fatal(err)
						}
						reused, err := c.WaitForRelationExports(ctx, app, again, porter.PortableLabels)
						if err != nil || len(reused) != 1 || !reused[0].UpdatedAt.Equal(labels.UpdatedAt) {
							t.Errorf("reused %v, %v", reused, err)
						}
						time.Sleep(5 * time.Minute)
						if again, err = c.StartRelationsExport(ctx, app, nil); err != nil {
							t.Fatal(err)
						}
						redone, err := c.WaitForRelationExports(ctx, app, again, porter.PortableLabels)
						if err != nil || len(redone) != 1 || !redone[0].UpdatedAt.After(again) {
							t.Errorf("redone %v, %v", redone, err)
						}

						// In batches; GitLab before 16.2 makes none.
						if again, err = c.StartRelationsExport(ctx, app, &porter.RelationsExportOptions{Batched: true}); err != nil {
							t.Fatal(err)
						}
						list, err = c.WaitForRelationExports(ctx, app, again, porter.PortableIssues, porter.PortableSelf)
						if err != nil || len(list) != 2 {
							t.Fatalf("got %v, %v", list, err)
						}
						lines, files := countIssues(t, c, app, list)
						wantFiles, missing := 3, porter.ErrNotFound
						if version < "16.2" {
							wantFiles = 1
						} else if _, err := c.DownloadRelationExport(ctx, app, issues(4), io.Discard, nil); !errors.Is(err,
							missing) || !strings.Contains(err.Error(), "Batch not found") {
							t.Errorf("got %v", err)
						}
						if lines != 2300 || files != wantFiles {
							t.Errorf("%d issues in %d files", lines, files)
						}
						if leaks := s.Leaks(); len(leaks) > 0 {
							t.Errorf("the storage was sent credentials: %+v", leaks)
						}
					})
			})
		}
	}
}

// countIssues downloads the issues of finished exports, batch by batch.
func countIssues(t *testing.T, c *porter.Client, app porter.ProjectRef, list []*porter.RelationExport) (lines, files int) {
	t.Helper()
	for _, e := range list {
		if e.Relation == porter.PortableSelf {
			continue
		}
		batches := []int{0}
		if e.Batched {
			batches = nil
			for _, b := range e.Batches {
				batches = append(batches, b.Number)
			}
		}
		for _, n := range batches {
			var buf bytes.Buffer
			if _, err := c.DownloadRelationExport(t.Context(), app, porter.RelationFile{Relation: e.Relation, Batch: n}, &buf, nil); err != nil {
				t.Fatal(err)
			}
			files++
			lines += strings.Count(plainText(buf.Bytes()), "\n")
		}
	}
	return lines, files
}

func TestRelationsRefusedByServer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		opts []portertest.Option
		path porter.ProjectPath
		err  string
		is   error
	}{
		{"switched off", nil, "team/app", "404 Not Found (request", porter.ErrNotFound},
		{"too early", []portertest.Option{portertest.Version("14.3"), portertest.RelationExports()}, "team/app", "; no such route",
			porter.ErrNotFound},
		{"no such project", []portertest.Option{portertest.RelationExports()}, "team/other", "404 Project Not Found", porter.ErrNotFound},
		{"renamed", []portertest.Option{portertest.RelationExports()}, "team/old", "405 Non GET methods are not allowed for moved projects",
			nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, tt.opts, func(t *testing.T, s *portertest.Server, c *porter.Client) {
				s.AddProject(portertest.Project{Path: "team/app", FormerPaths: []string{"team/old"}})
				_, err := c.StartRelationsExport(t.Context(), tt.path, nil)
				if err == nil || !strings.Contains(err.Error(), tt.err) || tt.is != nil && !errors.Is(err, tt.is) {
					t.Errorf("got %v, want %s", err, tt.err)
				}
				if tt.name == "switched off" && !strings.Contains(err.Error(), "direct transfer may be switched off on this instance") {
					t.Errorf("no hint: %v", err)
				}
			})
		})
	}
	t.Run("another user's", func(t *testing.T) {
		for version, theirs := range map[string]int{"17.2": 27, "17.3": 0} {
			inBubble(t, []portertest.Option{portertest.Version(version), portertest.RelationExports()},
				func(t *testing.T, s *portertest.Server, c *porter.Client) {
					relationsServer(s)
					s.AddUser(portertest.User{Username: "other", Token: "glpat-other"})
					s.AddMember("team", "other", portertest.Maintainer)
					since, err := c.StartRelationsExport(t.Context(), porter.ProjectPath("team/app"), nil)
					if err == nil {
						_, err = c.WaitForRelationExports(t.Context(), porter.ProjectPath("team/app"), since)
					}
					list, oerr := connectAs(t, s, "glpat-other").ListRelationExports(t.Context(), porter.ProjectPath("team/app"))
					if err != nil || oerr != nil || len(list) != theirs {
						t.Errorf("%s: %d relations, %v, %v", version, len(list), err, oerr)
					}
				})
		}
	})
}

// TestRelationFileResumes breaks downloads of a relation off.
func TestRelationFileResumes(t *testing.T) {
	t.Parallel()
	for mode, downloads := range dlModes {
		t.Run(mode, func(t *testing.T) {
			inBubble(t, []portertest.Option{portertest.Downloads(downloads), portertest.RelationExports()},
				func(t *testing.T, s *portertest.Server, c *porter.Client) {
					ctx, app := t.Context(), porter.ProjectPath("team/app")
					uploads := relationsServer(s)["uploads"]
					since, err := c.StartRelationsExport(ctx, app, nil)
					if err == nil {
						_, err = c.WaitForRelationExports(ctx, app, since, porter.PortableUploads)
					}
					if err != nil {
						t.Fatal(err)
					}
					from := portertest.GitLab
					if downloads == portertest.Redirected {
						from = portertest.Storage
					}
					cut := func(times int) {
						s.Inject(portertest.Fault{Origin: from, Method: "GET", Times: times, Do: portertest.CutResponse(100 << 10)})
					}
					cut(3)
					var buf bytes.Buffer
					if n, err := bytesOf(c.DownloadRelationExport(ctx, app, uploadsFile, &buf, nil)); err != nil || n != uploads.Size() ||
						sum(buf.Bytes()) != uploads.SHA256() {
						t.Errorf("got %d bytes, %v", n, err)
					}

					// A part file that one call left is continued by the next.
					impatient, err := c.With(porter.WithRetry(0, nil))
					if err != nil {
						t.Fatal(err)
					}
					cut(1)
					file := filepath.Join(t.TempDir(), "uploads.tar.gz")
					if _, err := impatient.DownloadRelationExportFile(ctx, app, uploadsFile, file, nil); err == nil ||
						!strings.Contains(err.Error(), "download export of relation uploads of team/app: ") {
						t.Errorf("got %v", err)
					}
					if fi, err := os.Stat(file + ".part"); err != nil || fi.Size() == 0 {
						t.Errorf("no part file: %v", err)
					}
					if n, err := bytesOf(impatient.DownloadRelationExportFile(ctx, app, uploadsFile, file, nil)); err != nil ||
						n != uploads.Size() {
						t.Errorf("got %d, %v", n, err)
					}
					b, _ := os.ReadFile(file)
					if sum(b) != uploads.SHA256() {
						t.Errorf("the file holds %d other bytes", len(b))
					}
					ranges := 0
					for _, r := range s.Requests() {
						if r.Header.Get("Range") != "" && r.Status == http.StatusPartialContent {
							ranges++
						}
					}
					if ranges < 4 {
						t.Errorf("%d downloads were continued", ranges)
					}

					// A part file of one relation is not continued by another.
					cut(1)
					if _, err := impatient.DownloadRelationExportFile(ctx, app, uploadsFile, file, nil); err == nil {
						t.Error("not cut")
					}
					labels := porter.RelationFile{Relation: porter.PortableLabels}
					if _, err := impatient.DownloadRelationExportFile(ctx, app, labels, file, nil); err != nil {
						t.Fatal(err)
					}
					b, _ = os.ReadFile(file)
					if strings.Count(plainText(b), "\n") != 7 {
						t.Errorf("the file holds %q", plainText(b))
					}
					if leaks := s.Leaks(); len(leaks) > 0 {
						t.Errorf("the storage was sent credentials: %+v", leaks)
					}
				})
		})
	}
}

func TestRelationsFailOnServer(t *testing.T) {
	t.Parallel()
	for _, batched := range []bool{false, true} {
		inBubble(t, []portertest.Option{portertest.RelationExports()}, func(t *testing.T, s *portertest.Server, c *porter.Client) {
			ctx, app := t.Context(), porter.ProjectPath("team/app")
			relationsServer(s)
			s.SetRelation("team/app", "issues", portertest.Relation{Objects: 2300, Error: "no space left on device"})
			since, err := c.StartRelationsExport(ctx, app, &porter.RelationsExportOptions{Batched: batched})
			if err != nil {
				t.Fatal(err)
			}
			list, err := c.WaitForRelationExports(ctx, app, since)
			var failed *porter.RelationExportError
			if !errors.As(err, &failed) || failed.Export.Relation != porter.PortableIssues || len(list) != 27 ||
				!strings.Contains(err.Error(), "no space left on device") {
				t.Errorf("got %d relations, %v", len(list), err)
			}
			batch := 0
			if batched {
				batch = 1
			}
			if _, err := c.DownloadRelationExport(ctx, app, issues(batch), io.Discard, nil); !errors.Is(err,
				porter.ErrNotFound) || !strings.Contains(err.Error(), "file not found") {
				t.Errorf("got %v", err)
			}
			if _, err := c.DownloadRelationExport(ctx, app, issues(1-batch), io.Discard, nil); err == nil ||
				!strings.Contains(err.Error(), "400 Export is ") {
				t.Errorf("got %v", err)
			}
		})
	}
}
