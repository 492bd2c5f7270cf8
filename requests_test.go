package porter_test

import (
	"context"
	"fmt"
	"go/ast"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// A requestCase is a call whose requests docs/requests.md lists.
type requestCase struct {
	name   string // as the document has it
	before func(*testing.T, *resumePair)
	call   func(context.Context, *resumePair) error
}

func requestCases(t *testing.T) []requestCase {
	t.Helper()
	const app, fresh = porter.ProjectPath("team/app"), porter.ProjectPath("new/app")
	into := porter.ImportOptions{Namespace: porter.NamespacePath("new"), Path: "app"}
	exported := func(_ *testing.T, p *resumePair) { p.src.AddExport("team/app", "owner") }
	scheduled := func(t *testing.T, p *resumePair) {
		exported(t, p)
		if err := p.from.ScheduleExport(t.Context(), app, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
	}
	imported := func(t *testing.T, p *resumePair) {
		if _, err := p.to.Import(t.Context(), sourceOf(smallArchive), into); err != nil {
			t.Fatal(err)
		}
	}
	var since time.Time
	relations := func(t *testing.T, p *resumePair) {
		var err error
		if since, err = p.from.StartRelationsExport(t.Context(), app, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
	}
	relationsDone := func(t *testing.T, p *resumePair) {
		relations(t, p)
		if _, err := p.from.WaitForRelationExports(t.Context(), app, since, porter.PortableLabels); err != nil {
			t.Fatal(err)
		}
	}
	object := func(_ *testing.T, p *resumePair) {
		p.dst.AddObject("/backups/app.tar.gz", "application/gzip", smallArchive)
	}
	migrate := func(change func(*porter.MigrateOptions)) func(context.Context, *resumePair) error {
		return func(ctx context.Context, p *resumePair) error {
			opts := porter.MigrateOptions{Import: into, SpoolDir: t.TempDir()}
			change(&opts)
			_, err := porter.Migrate(ctx, p.from, app, p.to, opts)
			return err
		}
	}
	var item *porter.RelationImport
	return []requestCase{
		{"`ScheduleExport`", nil, func(ctx context.Context, p *resumePair) error { return p.from.ScheduleExport(ctx, app, nil) }},
		{"`GetExport`", nil, func(ctx context.Context, p *resumePair) error {
			_, err := p.from.GetExport(ctx, app)
			return err
		}},
		{"`WaitForExport`, `WatchExport`", scheduled, func(ctx context.Context, p *resumePair) error {
			_, err := p.from.WaitForExport(ctx, app)
			return err
		}},
		{"`DownloadExport`, `DownloadExportFile`, `OpenExport`", exported, func(ctx context.Context, p *resumePair) error {
			_, err := p.from.DownloadExport(ctx, app, io.Discard, nil)
			return err
		}},
		{"`ExportTo`, `ExportToFile`", nil, func(ctx context.Context, p *resumePair) error {
			_, err := p.from.ExportToFile(ctx, app, filepath.Join(t.TempDir(), "app.tar.gz"), nil)
			return err
		}},
		{"the same while GitLab exports", scheduled, func(ctx context.Context, p *resumePair) error {
			_, err := p.from.ExportTo(ctx, app, io.Discard, nil)
			return err
		}},
		{"the same with `MaxAge`, of an archive that is there", exported, func(ctx context.Context, p *resumePair) error {
			_, err := p.from.ExportTo(ctx, app, io.Discard, &porter.ExportOptions{MaxAge: time.Hour})
			return err
		}},
		{"`CheckExport`", nil, func(ctx context.Context, p *resumePair) error {
			_, err := p.from.CheckExport(ctx, app)
			return err
		}},
		{"`StartImport`", nil, func(ctx context.Context, p *resumePair) error {
			_, err := p.to.StartImport(ctx, sourceOf(smallArchive), into)
			return err
		}},
		{"`StartImportFromURL`", object, func(ctx context.Context, p *resumePair) error {
			_, err := p.to.StartImportFromURL(ctx, p.dst.SignedURL("GET", "/backups/app.tar.gz", time.Hour), into)
			return err
		}},
		{"`StartImportFromS3`", object, func(ctx context.Context, p *resumePair) error {
			_, err := p.to.StartImportFromS3(ctx, porter.S3Object{Region: "eu-central-1", Bucket: "backups", Key: "app.tar.gz",
				AccessKeyID: portertest.AccessKeyID, SecretAccessKey: portertest.SecretAccessKey}, into)
			return err
		}},
		{"`GetImport`", imported, func(ctx context.Context, p *resumePair) error {
			_, err := p.to.GetImport(ctx, fresh)
			return err
		}},
		{"`WaitForImport`, `WatchImport`", func(t *testing.T, p *resumePair) {
			if _, err := p.to.StartImport(t.Context(), sourceOf(smallArchive), into); err != nil {
				t.Fatal(err)
			}
		}, func(ctx context.Context, p *resumePair) error {
			_, err := p.to.WaitForImport(ctx, fresh)
			return err
		}},
		{"`Import`", nil, func(ctx context.Context, p *resumePair) error {
			_, err := p.to.Import(ctx, sourceOf(smallArchive), into)
			return err
		}},
		{"the same with `Overwrite`", imported, func(ctx context.Context, p *resumePair) error {
			opts := into
			opts.Overwrite = true
			_, err := p.to.Import(ctx, sourceOf(smallArchive), opts)
			return err
		}},
		{"`CheckImport`", nil, func(ctx context.Context, p *resumePair) error {
			_, err := p.to.CheckImport(ctx, into, 0)
			return err
		}},
		{"`ProbeImport`", nil, func(ctx context.Context, p *resumePair) error {
			_, err := p.to.ProbeImport(ctx, into.Namespace)
			return err
		}},
		{"`Migrate`", nil, migrate(func(*porter.MigrateOptions) {})},
		{"the same with `SkipCheck`", nil, migrate(func(o *porter.MigrateOptions) { o.SkipCheck = true })},
		{"the same with `SkipCheck` and `Checkpoint`", nil, migrate(func(o *porter.MigrateOptions) {
			o.SkipCheck = true
			o.Checkpoint = func(context.Context, porter.Checkpoint) error { return nil }
		})},
		{"`CheckMigration`", nil, func(ctx context.Context, p *resumePair) error {
			_, err := porter.CheckMigration(ctx, p.from, app, p.to, porter.MigrateOptions{Import: into})
			return err
		}},
		{"`CountRelations` of labels", nil, func(ctx context.Context, p *resumePair) error {
			_, err := p.from.CountRelations(ctx, app, porter.PortableLabels)
			return err
		}},
		{"`StartRelationImport`", imported, func(ctx context.Context, p *resumePair) error {
			_, err := p.to.StartRelationImport(ctx, sourceOf(smallArchive), fresh, porter.RelationIssues)
			return err
		}},
		{"`ListRelationImports`", imported, func(ctx context.Context, p *resumePair) error {
			_, err := p.to.ListRelationImports(ctx, fresh)
			return err
		}},
		{"`WaitForRelationImport`, `WatchRelationImport`", func(t *testing.T, p *resumePair) {
			imported(t, p)
			var err error
			if item, err = p.to.StartRelationImport(t.Context(), sourceOf(smallArchive), fresh, porter.RelationIssues); err != nil {
				t.Fatal(err)
			}
		}, func(ctx context.Context, p *resumePair) error {
			_, err := p.to.WaitForRelationImport(ctx, fresh, item.ID)
			return err
		}},
		{"`StartRelationsExport`", nil, func(ctx context.Context, p *resumePair) error {
			_, err := p.from.StartRelationsExport(ctx, app, nil)
			return err
		}},
		{"`ListRelationExports`", relations, func(ctx context.Context, p *resumePair) error {
			_, err := p.from.ListRelationExports(ctx, app)
			return err
		}},
		{"`GetRelationExport`", relationsDone, func(ctx context.Context, p *resumePair) error {
			_, err := p.from.GetRelationExport(ctx, app, porter.PortableLabels)
			return err
		}},
		{"`WaitForRelationExports`, `WatchRelationExports`", relations, func(ctx context.Context, p *resumePair) error {
			_, err := p.from.WaitForRelationExports(ctx, app, since, porter.PortableLabels)
			return err
		}},
		{"`DownloadRelationExport`, `DownloadRelationExportFile`, `OpenRelationExport`", relationsDone,
			func(ctx context.Context, p *resumePair) error {
				_, err := p.from.DownloadRelationExport(ctx, app, porter.RelationFile{Relation: porter.PortableLabels}, io.Discard, nil)
				return err
			}},
		{"`Projects` of a group", nil, func(ctx context.Context, p *resumePair) error {
			for _, err := range p.from.Projects(ctx, porter.NamespacePath("team"), nil) {
				if err != nil {
					return err
				}
			}
			return nil
		}},
		{"`Projects` of one's own", nil, func(ctx context.Context, p *resumePair) error {
			for _, err := range p.from.Projects(ctx, nil, nil) {
				if err != nil {
					return err
				}
			}
			return nil
		}},
	}
}

// requestsFrom returns the requests from the nth on, those that repeat as one.
func requestsFrom(s *portertest.Server, n int) string {
	var lines []string
	for _, r := range s.Requests()[n:] {
		if r.Origin != portertest.GitLab {
			continue
		}
		line := r.Method + " " + strings.TrimPrefix(r.Path, "/api/v4")
		if r.RawQuery != "" {
			line += "?" + r.RawQuery
		}
		line = "`" + line + "`"
		if last := len(lines) - 1; last >= 0 && strings.TrimSuffix(lines[last], " …") == line {
			lines[last] = line + " …"
			continue
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "<br>")
}

// TestRequests compares the requests that each method makes with docs/requests.md.
func TestRequests(t *testing.T) {
	t.Parallel()
	var table strings.Builder
	for _, tt := range requestCases(t) {
		synctest.Test(t, func(t *testing.T) {
			p := newResumePair(t, portertest.TLS(), portertest.RelationExports(), portertest.NoLimits())
			p.src.SetRelation("team/app", "labels", portertest.Relation{Objects: 7})
			if tt.before != nil {
				tt.before(t, p)
			}
			// Clients that remember nothing.
			p.from, p.to = connectAs(t, p.src, portertest.Token), connectAs(t, p.dst, portertest.Token)
			from, to := len(p.src.Requests()), len(p.dst.Requests())
			if err := tt.call(t.Context(), p); err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			synctest.Wait()
			source, destination := requestsFrom(p.src, from), requestsFrom(p.dst, to)
			switch {
			case source == "" || destination == "":
				fmt.Fprintf(&table, "| %s | %s |\n", tt.name, source+destination)
			default:
				fmt.Fprintf(&table, "| %s, at the source | %s |\n", tt.name, source)
				fmt.Fprintf(&table, "| at the destination | %s |\n", destination)
			}
		})
	}
	doc, methods := documents(t)["docs/requests.md"], make(map[string]bool)
	exported(t, ".", methods)
	for name := range methods {
		method, ok := strings.CutPrefix(name, "Client.")
		if ok && ast.IsExported(method) && !strings.Contains("BaseURL GoString String With", method) && !strings.Contains(doc, "`"+method+"`") {
			t.Errorf("docs/requests.md does not name %s", method)
		}
	}
	_, got, found := strings.Cut(doc, "| call | requests |\n| --- | --- |\n")
	got, _, _ = strings.Cut(got, "\n\n")
	if !found {
		t.Error("no table of requests")
	}
	if want := strings.TrimSuffix(table.String(), "\n"); got != want {
		t.Errorf("docs/requests.md differs (-made +document):\n%s\nIt should be:\n%s", cmp.Diff(want, got), want)
	}
}
