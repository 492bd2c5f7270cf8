package porter_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// A restart is a call that is stopped and made again.
type restart struct {
	*resumePair
	dir  string
	last *porter.Checkpoint // as the first call told it
}

// A restartCall makes a call with clients that know nothing of those before.
type restartCall func(ctx context.Context, r *restart, from, to *porter.Client) error

func (r *restart) source(t *testing.T) porter.Source {
	t.Helper()
	name := filepath.Join(r.dir, "app.tar.gz")
	if err := os.WriteFile(name, archiveBytes(t, smallArchive), 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := porter.FileSource(name)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// done is what the servers have seen.
type done struct{ exports, downloads, resumed, uploads, projects int }

func (d done) String() string {
	return fmt.Sprintf("%d exports, %d downloads, %d resumed, %d uploads, %d projects",
		d.exports, d.downloads, d.resumed, d.uploads, d.projects)
}

func (r *restart) done() (d done) {
	d.exports = len(r.src.Exports("team/app"))
	for _, q := range r.src.Requests() {
		switch {
		case q.Method != "GET" || !strings.HasSuffix(q.Path, "/export/download"):
		case q.Status == http.StatusPartialContent:
			d.resumed++
		case q.Status == http.StatusOK:
			d.downloads++
		}
	}
	for _, q := range uploads(r.dst) {
		if q.Complete {
			d.uploads++
		}
	}
	if r.dst.Project("new/app") != nil {
		d.projects++
	}
	return d
}

// TestSecondRun stops each call, makes it again, and compares what happens with
// the table of docs/restart.md.
func TestSecondRun(t *testing.T) {
	t.Parallel()
	var (
		exporting = func(r *restart) bool { return len(r.src.Exports("team/app")) > 0 }
		loading   = func(r *restart) bool { return r.done().downloads > 0 }
		sending   = func(r *restart) bool { return len(uploads(r.dst)) > 0 }
		importing = func(r *restart) bool { return r.dst.Project("new/app") != nil }
		never     = func(*restart) bool { return false }
	)
	stallDownload := func(r *restart) {
		r.src.Inject(portertest.Fault{Path: "/export/download", Do: portertest.StallResponse(30_000, 0)})
	}
	stallUpload := func(r *restart) {
		r.dst.Inject(portertest.Fault{Path: "/projects/import", Do: portertest.StallRequest(1000, 0)})
	}
	exported := func(r *restart) { r.src.AddExport("team/app", "owner") }

	toFile := func(maxAge time.Duration) restartCall {
		return func(ctx context.Context, r *restart, from, _ *porter.Client) error {
			_, err := from.ExportToFile(ctx, migrateApp, filepath.Join(r.dir, "app.tar.gz"), &porter.ExportOptions{MaxAge: maxAge})
			return err
		}
	}
	to := func(maxAge time.Duration) restartCall {
		return func(ctx context.Context, r *restart, from, _ *porter.Client) error {
			_, err := from.ExportTo(ctx, migrateApp, io.Discard, &porter.ExportOptions{MaxAge: maxAge})
			return err
		}
	}
	schedule := func(ctx context.Context, _ *restart, from, _ *porter.Client) error {
		return from.ScheduleExport(ctx, migrateApp, nil)
	}
	wait := func(ctx context.Context, r *restart, from, to *porter.Client) error {
		if !exporting(r) {
			if err := schedule(ctx, r, from, to); err != nil {
				return err
			}
		}
		_, err := from.WaitForExport(ctx, migrateApp)
		return err
	}
	scheduleAnd := func(ctx context.Context, r *restart, from, to *porter.Client) error {
		if err := schedule(ctx, r, from, to); err != nil {
			return err
		}
		return wait(ctx, r, from, to)
	}
	download := func(ctx context.Context, _ *restart, from, _ *porter.Client) error {
		_, err := from.DownloadExport(ctx, migrateApp, io.Discard, nil)
		return err
	}
	downloadFile := func(ctx context.Context, r *restart, from, _ *porter.Client) error {
		_, err := from.DownloadExportFile(ctx, migrateApp, filepath.Join(r.dir, "app.tar.gz"), nil)
		return err
	}
	into := intoNew
	into.Path = "app"
	imports := func(checkpoint, overwrite bool) restartCall {
		return func(ctx context.Context, r *restart, _, to *porter.Client) error {
			opts := into
			if opts.Overwrite = overwrite; checkpoint {
				opts.Resume = r.last
				opts.Checkpoint = func(_ context.Context, p porter.Checkpoint) error { r.last = &p; return nil }
			}
			_, err := to.Import(ctx, r.source(t), opts)
			return err
		}
	}
	start := func(ctx context.Context, r *restart, _, to *porter.Client) error {
		_, err := to.StartImport(ctx, r.source(t), into)
		return err
	}
	migrate := func(checkpoint bool, maxAge time.Duration) restartCall {
		return func(ctx context.Context, r *restart, from, to *porter.Client) error {
			opts := porter.MigrateOptions{Import: into, SpoolDir: r.dir, Export: &porter.ExportOptions{MaxAge: maxAge}}
			if checkpoint {
				opts.Resume = r.last
				opts.Checkpoint = func(_ context.Context, p porter.Checkpoint) error { r.last = &p; return nil }
			}
			_, err := porter.Migrate(ctx, from, migrateApp, to, opts)
			return err
		}
	}

	tests := []struct {
		row    string // of the document
		before func(*restart)
		call   restartCall
		stop   func(*restart) bool // when the first call is stopped
		whole  bool                // the first call ends without an error
		want   done                // by the second call alone, but for the projects
		is     error
	}{
		{row: "`ExportToFile` | while GitLab exports | joins that export",
			call: toFile(0), stop: exporting, want: done{downloads: 1}},
		{row: "`ExportToFile` with `MaxAge` | in the download | takes the archive that is there, and goes on with the part file",
			before: stallDownload, call: toFile(12 * time.Hour), stop: loading, want: done{resumed: 1}},
		{row: "`ExportToFile` without `MaxAge` | in the download | has a new export made, which deletes the archive; the part file begins anew",
			before: stallDownload, call: toFile(0), stop: loading, want: done{exports: 1, downloads: 1}},
		{row: "`ExportToFile` with `MaxAge` | after its end | downloads the same archive once more",
			call: toFile(12 * time.Hour), stop: never, whole: true, want: done{downloads: 1}},
		{row: "`ExportTo` | while GitLab exports | joins that export",
			call: to(0), stop: exporting, want: done{downloads: 1}},
		{row: "`ExportTo` with `MaxAge` | in the download | takes the archive that is there, from its first byte",
			before: stallDownload, call: to(12 * time.Hour), stop: loading, want: done{downloads: 1}},
		{row: "`ExportTo` without `MaxAge` | in the download | has a new export made, which deletes the archive",
			before: stallDownload, call: to(0), stop: loading, want: done{exports: 1, downloads: 1}},
		{row: "`ScheduleExport` | while GitLab exports | `ErrExportInProgress` (before GitLab 18.5: a second export)",
			call: schedule, stop: never, whole: true, is: porter.ErrExportInProgress},
		{row: "`ScheduleExport` | after the export | has a new one made, which deletes the archive",
			call: scheduleAnd, stop: never, whole: true, want: done{exports: 1}},
		{row: "`WaitForExport` | while it waits | waits again",
			call: wait, stop: exporting},
		{row: "`DownloadExportFile` | in the download | goes on with the part file",
			before: func(r *restart) { exported(r); stallDownload(r) }, call: downloadFile, stop: loading, want: done{resumed: 1}},
		{row: "`DownloadExport` | in the download | begins anew, with the same archive",
			before: func(r *restart) { exported(r); stallDownload(r) }, call: download, stop: loading, want: done{downloads: 1}},
		{row: "`Import` | in the upload | sends all of it again: nothing has become of the first",
			before: stallUpload, call: imports(false, false), stop: sending, want: done{uploads: 1, projects: 1}},
		{row: "`Import` | while GitLab imports, or after its end | `*ProjectExistsError` with the project, which `WaitForImport` waits for",
			call: imports(false, false), stop: importing, want: done{projects: 1}, is: porter.ErrProjectExists},
		{row: "`Import` | while GitLab imports, or after its end | `*ProjectExistsError` with the project, which `WaitForImport` waits for",
			call: imports(false, false), stop: never, whole: true, want: done{projects: 1}, is: porter.ErrProjectExists},
		{row: "`Import` with a checkpoint | while GitLab imports, or after its end | waits for that import",
			call: imports(true, false), stop: importing, want: done{projects: 1}},
		{row: "`Import` with a checkpoint | while GitLab imports, or after its end | waits for that import",
			call: imports(true, false), stop: never, whole: true, want: done{projects: 1}},
		{row: "`Import` with `Overwrite` | after its end | sends the archive again, and replaces the project",
			call: imports(false, true), stop: never, whole: true, want: done{uploads: 1, projects: 1}},
		{row: "`StartImport` | after GitLab has made the project | sends all of the archive to hear `ErrProjectExists`",
			call: start, stop: never, whole: true, want: done{uploads: 1, projects: 1}, is: porter.ErrProjectExists},
		{row: "`Migrate` | while GitLab exports | joins that export",
			call: migrate(false, 0), stop: exporting, want: done{downloads: 1, uploads: 1, projects: 1}},
		{row: "`Migrate` without `MaxAge` and checkpoint | in the transfer | has a new export made, and begins anew",
			before: stallUpload, call: migrate(false, 0), stop: sending, want: done{exports: 1, downloads: 1, uploads: 1, projects: 1}},
		{row: "`Migrate` with `MaxAge` or a checkpoint | in the transfer | takes the archive that is there, and sends it from its first byte",
			before: stallUpload, call: migrate(true, 0), stop: sending, want: done{downloads: 1, uploads: 1, projects: 1}},
		{row: "`Migrate` with `MaxAge` or a checkpoint | in the transfer | takes the archive that is there, and sends it from its first byte",
			before: stallUpload, call: migrate(false, 12*time.Hour), stop: sending, want: done{downloads: 1, uploads: 1, projects: 1}},
		{row: "`Migrate` without checkpoint | while GitLab imports, or after its end | `*ProjectExistsError`; nothing is exported",
			call: migrate(false, 12*time.Hour), stop: importing, want: done{projects: 1}, is: porter.ErrProjectExists},
		{row: "`Migrate` without checkpoint | while GitLab imports, or after its end | `*ProjectExistsError`; nothing is exported",
			call: migrate(false, 12*time.Hour), stop: never, whole: true, want: done{projects: 1}, is: porter.ErrProjectExists},
		{row: "`Migrate` with a checkpoint | while GitLab imports, or after its end | waits for that import",
			call: migrate(true, 0), stop: importing, want: done{projects: 1}},
		{row: "`Migrate` with a checkpoint | while GitLab imports, or after its end | waits for that import",
			call: migrate(true, 0), stop: never, whole: true, want: done{projects: 1}},
	}
	doc := documents(t)["docs/restart.md"]
	for _, tt := range tests {
		if !strings.Contains(doc, "\n| "+tt.row+" |\n") {
			t.Errorf("not in docs/restart.md:\n| %s |", tt.row)
		}
		t.Run(tt.row, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &restart{resumePair: newResumePair(t), dir: t.TempDir()}
				if tt.before != nil {
					tt.before(r)
				}
				run := func(ctx context.Context) error {
					return tt.call(ctx, r, connectAs(t, r.src, portertest.Token), connectAs(t, r.dst, portertest.Token))
				}
				ctx, cancel := context.WithCancel(t.Context())
				var stopped sync.WaitGroup
				stopped.Go(func() {
					for ctx.Err() == nil && !tt.stop(r) {
						time.Sleep(time.Second)
					}
					time.Sleep(5 * time.Second) // the job has begun, and bytes have come
					cancel()
				})
				first := run(ctx)
				cancel()
				stopped.Wait()
				if returned := first == nil; returned != tt.whole {
					t.Fatalf("the first call ended with %v", first)
				}
				before := r.done()
				err := run(t.Context())
				if !errors.Is(err, tt.is) {
					t.Errorf("the second call ended with %v, want %v", err, tt.is)
				}
				got := r.done()
				got.exports -= before.exports
				got.downloads -= before.downloads
				got.resumed -= before.resumed
				got.uploads -= before.uploads
				if got != tt.want {
					t.Errorf("the second call made %s, want %s", got, tt.want)
				}
			})
		})
	}
}
