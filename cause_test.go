package porter_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// With errgroup the first failure becomes the cause of everyone's context. An
// operation that was only canceled says so, and nothing of the other's failure
// is taken for its own.
func TestCauseIsNotTheOutcome(t *testing.T) {
	t.Parallel()
	refused := &porter.APIError{StatusCode: 404, Method: "GET", URL: "https://other.test/api/v4/projects/1/export",
		Message: "404 Project Not Found"}
	limited := &porter.APIError{StatusCode: 429, Method: "POST", URL: "https://other.test/"}
	causes := map[string]error{
		"an answer":    fmt.Errorf("project one: %w", refused),
		"a lost turn":  limited,
		"an outcome":   fmt.Errorf("import of project one: %w", porter.ErrOutcomeUnknown),
		"a failed job": &porter.ExportError{Export: &porter.Export{Status: porter.ExportFailed}},
		"a wait":       &porter.WaitError{Op: "export", Project: "one", Err: porter.ErrExportExpired},
		"a broken call": fmt.Errorf("notify: %w",
			&url.Error{Op: "Post", URL: "http://hooks.test/?key=SECRET", Err: errors.New("connection refused")}),
		"a used source":   porter.ErrSourceConsumed,
		"several at once": errors.Join(refused, limited, porter.ErrArchiveDamaged),
	}
	foreign := []error{
		porter.ErrNotFound, porter.ErrRateLimited, porter.ErrOutcomeUnknown, porter.ErrExportExpired, porter.ErrSourceConsumed,
		porter.ErrArchiveDamaged, porter.ErrNoAnswer, porter.ErrExportInProgress, porter.ErrProjectExists,
	}
	archive := func() porter.Source { return porter.ReaderSource(portertest.NewArchive(1<<20).NewReader(), -1) }
	into := porter.ImportOptions{Path: "copy", Namespace: porter.NamespacePath("acme")}
	app := porter.ProjectPath("acme/app")
	calls := map[string]func(context.Context, *porter.Client, string) error{
		"GetExport": func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := c.GetExport(ctx, app)
			return err
		},
		"ScheduleExport": func(ctx context.Context, c *porter.Client, _ string) error { return c.ScheduleExport(ctx, app, nil) },
		"WaitForExport": func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := c.WaitForExport(ctx, app)
			return err
		},
		"DownloadExport": func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := c.DownloadExport(ctx, app, io.Discard, nil)
			return err
		},
		"ExportToFile": func(ctx context.Context, c *porter.Client, dir string) error {
			_, err := c.ExportToFile(ctx, app, filepath.Join(dir, "app.tar.gz"), nil)
			return err
		},
		"Import": func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := c.Import(ctx, archive(), into)
			return err
		},
		"WaitForRelationExports": func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := c.WaitForRelationExports(ctx, app, time.Time{})
			return err
		},
		"Migrate": func(ctx context.Context, c *porter.Client, _ string) error {
			_, err := porter.Migrate(ctx, c, app, c, porter.MigrateOptions{Import: into})
			return err
		},
	}
	for call, do := range calls {
		for name, cause := range causes {
			t.Run(call+"/"+name, func(t *testing.T) {
				dir := t.TempDir()
				synctest.Test(t, func(t *testing.T) {
					s := portertest.NewServer(portertest.InMemory())
					defer s.Close()
					s.AddProject(portertest.Project{Path: "acme/app"})
					s.Inject(portertest.Fault{Times: -1, Do: portertest.HoldAnswer(0)})
					c := connect(t, s, porter.WithStallTimeout(0))
					ctx, cancel := context.WithCancelCause(t.Context())
					time.AfterFunc(time.Second, func() { cancel(cause) })
					err := do(ctx, c, dir)
					if !errors.Is(err, context.Canceled) {
						t.Errorf("%v is not canceled", err)
					}
					for _, target := range foreign {
						// That of a POST that was sent is unknown in truth.
						if errors.Is(err, target) && !(target == porter.ErrOutcomeUnknown && call == "ScheduleExport") {
							t.Errorf("%v is %v", err, target)
						}
					}
					if errors.As(err, new(*porter.APIError)) || errors.As(err, new(*porter.ExportError)) ||
						errors.As(err, new(*url.Error)) {
						t.Errorf("%v holds the other's failure", err)
					}
					want, _, _ := strings.Cut(cause.Error(), "\n")
					if want, _, _ = strings.Cut(want, "?"); !strings.Contains(err.Error(), want) ||
						strings.Contains(err.Error(), "SECRET") {
						t.Errorf("%q does not name the cause, or tells its secret", err)
					}
				})
			})
		}
	}
}

// A foreign 429 is nothing to pace by.
func TestCauseDoesNotPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		posts := 0
		c := newClient(t, "https://gitlab.test", nil, porter.WithTransport(roundTripper(func(req *http.Request) (*http.Response, error) {
			if posts++; posts > 1 {
				return retryAnswer(202, nil, "{}")(req)
			}
			<-req.Context().Done()
			return nil, context.Cause(req.Context())
		})))
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(&porter.APIError{StatusCode: 429}) })
		c.ScheduleExport(ctx, porter.ProjectID(1), nil)
		start := time.Now()
		if err := c.ScheduleExport(t.Context(), porter.ProjectID(1), nil); err != nil || time.Since(start) > time.Second {
			t.Errorf("the next export took %v: %v", time.Since(start), err)
		}
	})
}
