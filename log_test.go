package porter_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
	"github.com/seed-5d77b939/porter/portertest/testclient"
)

// records collects what is logged, from Debug on.
type records struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *records) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(b)
}

func (r *records) option() porter.Option {
	return porter.WithLogger(slog.New(slog.NewJSONHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug})))
}

// take returns the records that there are since it was called before.
func (r *records) take(t *testing.T) (all []map[string]any) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for line := range strings.Lines(r.buf.String()) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		all = append(all, record)
	}
	r.buf.Reset()
	return all
}

// Every record of a request has the project, as the caller named it; of several
// jobs at a time it is the only way to tell whose a request was.
func TestRequestsAreLoggedWithProject(t *testing.T) {
	opts := []portertest.Option{portertest.NoLimits(), portertest.Downloads(portertest.Redirected), portertest.RelationExports()}
	s, other := portertest.NewServer(opts...), portertest.NewServer(opts...)
	defer s.Close()
	defer other.Close()
	s.AddProject(portertest.Project{Path: "team/app", ID: 42})
	other.AddGroup("new")
	var log records
	c, to := testclient.New(t, s, log.option()), testclient.New(t, other, log.option())
	app := porter.ProjectPath("team/app")
	file := filepath.Join(t.TempDir(), "app.tar.gz")
	into := porter.ImportOptions{Namespace: porter.NamespacePath("new"), Path: "app"}

	for _, tt := range []struct {
		name     string
		do       func(context.Context) error
		projects string // all that requests were logged with, in the order of their first ones
		none     bool   // some asked for no project
	}{
		{"get", func(ctx context.Context) error { _, err := c.GetExport(ctx, porter.ProjectID(42)); return err }, "42", false},
		{"export", func(ctx context.Context) error { _, err := c.ExportToFile(ctx, app, file, nil); return err }, "team/app", false},
		{"redirected", func(ctx context.Context) error { _, err := c.DownloadExport(ctx, app, io.Discard, nil); return err }, "team/app", false},
		{"relations", func(ctx context.Context) error { _, err := c.StartRelationsExport(ctx, app, nil); return err }, "team/app", false},
		{"import", func(ctx context.Context) error {
			src, err := porter.FileSource(file)
			if err == nil {
				_, err = to.Import(ctx, src, into)
			}
			return err
		}, "new/app", false},
		{"relation import", func(ctx context.Context) error {
			src, err := porter.FileSource(file)
			if err == nil {
				_, err = to.StartRelationImport(ctx, src, porter.ProjectPath("new/app"), porter.RelationIssues)
			}
			return err
		}, "new/app", false},
		{"migrate", func(ctx context.Context) error {
			_, err := porter.Migrate(ctx, c, app, to, porter.MigrateOptions{Import: porter.ImportOptions{Namespace: into.Namespace, Path: "b"}})
			return err
		}, "team/app new/b", true},
		{"failed request", func(ctx context.Context) error {
			s.Inject(portertest.Fault{Path: "/export", Do: portertest.LoseAnswer(), Times: 2})
			_, err := c.GetExport(ctx, app)
			return err
		}, "team/app", false},
		{"list", func(ctx context.Context) error {
			for _, err := range c.Projects(ctx, porter.NamespacePath("team"), nil) {
				if err != nil {
					return err
				}
			}
			return nil
		}, "team", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.do(t.Context()); err != nil {
				t.Fatal(err)
			}
			var projects []string
			none := false
			for _, r := range log.take(t) {
				p, _ := r["project"].(string)
				switch msg := r["msg"]; {
				case r["level"] != "DEBUG":
				case msg != "request" && msg != "request failed":
					t.Errorf("at Debug there is %v", r)
				case p == "":
					none = true
					if url := r["url"].(string); strings.Contains(url, "/projects/") || r["method"] != http.MethodGet {
						t.Errorf("no project in %v", r)
					}
				case !strings.Contains(" "+strings.Join(projects, " ")+" ", " "+p+" "):
					projects = append(projects, p)
				}
			}
			if got := strings.Join(projects, " "); got != tt.projects || none != tt.none {
				t.Errorf("logged with %q, and without: %t", got, none)
			}
		})
	}
}
