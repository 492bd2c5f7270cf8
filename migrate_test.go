package porter_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

const migrateApp = porter.ProjectPath("team/app")

// intoNew imports into a group that the destinations of these tests have.
var intoNew = porter.ImportOptions{Namespace: porter.NamespacePath("new")}

// migratePair is an instance with the project team/app and one with the empty
// group new.
func migratePair(t *testing.T, archive *portertest.Archive, opts ...portertest.Option) (src, dst *portertest.Server) {
	t.Helper()
	src = portertest.NewServer(append([]portertest.Option{portertest.NoLimits()}, opts...)...)
	t.Cleanup(src.Close)
	dst = portertest.NewServer(append([]portertest.Option{portertest.NoLimits()}, opts...)...)
	t.Cleanup(dst.Close)
	src.AddProject(portertest.Project{Path: "team/app", Archive: archive, FormerPaths: []string{"team/old"}})
	dst.AddGroup("new")
	return src, dst
}

// checkFolder makes sure that nothing is left in a folder, and that no file of it is open.
func checkFolder(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range left {
		t.Errorf("left %s", f.Name())
	}
	checkNoneOpen(t, dir)
}

// checkNoneOpen makes sure that no file of the folder is open. A spool file
// has no name where that is possible. Not every system tells.
func checkNoneOpen(t *testing.T, dir string) {
	t.Helper()
	open, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range open {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, dir) {
			t.Errorf("left %s open", to)
		}
	}
}

var spoolWays = []struct {
	name    string
	noSpool bool
}{{"spool", false}, {"no spool", true}}

func TestMigrate(t *testing.T) {
	t.Parallel()
	archives := map[string]*portertest.Archive{"made": portertest.NewArchive(3 << 20)}
	if dir := os.Getenv("PORTER_ARCHIVES"); dir != "" {
		names, err := filepath.Glob(filepath.Join(dir, "*.tar.gz"))
		if err != nil || len(names) == 0 {
			t.Fatal("no archives in PORTER_ARCHIVES", err)
		}
		for _, name := range names {
			a, err := portertest.FileArchive(name)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			archives[filepath.Base(name)] = a
		}
	}
	for name, archive := range archives {
		for mode, m := range dlModes {
			for _, way := range spoolWays {
				for _, skip := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s, %s, %s, unverified %v", name, mode, way.name, skip), func(t *testing.T) {
						version := "18.9"
						if strings.HasPrefix(name, "legacy") {
							version = "13.12" // its format is not imported any more from 15.11 on
						}
						src, dst := migratePair(t, archive, portertest.Downloads(m), portertest.Version(version))
						dir := t.TempDir()
						got, err := porter.Migrate(t.Context(), connect(t, src), migrateApp, connect(t, dst), porter.MigrateOptions{
							Import: intoNew, NoSpool: way.noSpool, SkipVerify: skip, SpoolDir: dir,
						})
						if err != nil {
							t.Fatal(err)
						}
						if got.Source.PathWithNamespace != migrateApp || got.Bytes != archive.Size() || got.Elapsed <= 0 ||
							(got.Archive == nil) != skip {
							t.Errorf("got %+v", got)
						}
						if !skip && got.Archive.FormatVersion != "0.2.4" {
							t.Errorf("archive %+v", got.Archive)
						}
						p := dst.Project("new/app")
						if p == nil || p.ArchiveSHA256 != archive.SHA256() || int64(got.Import.ID) != p.ID || p.Name != "app" {
							t.Errorf("imported %+v", p)
						}
						post := uploads(dst)[0]
						if post.ContentLength < 0 || len(uploads(dst)) != 1 || count(src, "GET", "/export/download") != 1 {
							t.Errorf("%d uploads, the first of length %d; %d downloads", len(uploads(dst)), post.ContentLength,
								count(src, "GET", "/export/download"))
						}
						if leaks := src.Leaks(); len(leaks) > 0 {
							t.Errorf("credentials went to %s", leaks[0].Path)
						}
						checkFolder(t, dir)
					})
				}
			}
		}
	}
}

// TestMigrateOverlaps stops a download in the middle: the upload is by then as
// far as it can be.
func TestMigrateOverlaps(t *testing.T) {
	t.Parallel()
	for _, way := range spoolWays {
		t.Run(way.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				archive := portertest.NewArchive(3 << 20)
				src, dst := migratePair(t, archive, portertest.InMemory())
				defer src.Close()
				defer dst.Close()
				src.Inject(portertest.Fault{Method: "GET", Path: "download", Do: portertest.StallResponse(2<<20, time.Minute)})
				start := time.Now()
				var at atomic.Int64
				time.AfterFunc(50*time.Second, func() {
					if posts := uploads(dst); len(posts) == 1 {
						at.Store(posts[0].BodyBytes)
					}
				})
				_, err := porter.Migrate(t.Context(), connect(t, src), migrateApp, connect(t, dst),
					porter.MigrateOptions{Import: intoNew, NoSpool: way.noSpool})
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); at.Load() < 1<<20 || took < time.Minute || took > time.Minute+10*time.Second {
					t.Errorf("after 50 s %d bytes had arrived; it took %v", at.Load(), took)
				}
			})
		})
	}
}

// TestMigrateDamaged makes sure that no damaged archive becomes a project.
func TestMigrateDamaged(t *testing.T) {
	t.Parallel()
	sound := archiveBytes(t, portertest.NewArchive(300<<10))
	changed := func(f func(b []byte) []byte) *portertest.Archive {
		return portertest.BytesArchive(f(append([]byte(nil), sound...)))
	}
	other, err := os.ReadFile("go.sum")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		archive *portertest.Archive
		fault   portertest.Action
		is      error
	}{
		{"cut short", changed(func(b []byte) []byte { return b[:len(b)-1] }), portertest.Action{}, porter.ErrArchiveDamaged},
		{"cut in the middle", changed(func(b []byte) []byte { return b[:len(b)/2] }), portertest.Action{}, porter.ErrArchiveDamaged},
		{"bit flipped in the middle", changed(func(b []byte) []byte { b[len(b)/2] ^= 1; return b }), portertest.Action{},
			porter.ErrArchiveDamaged},
		{"bit flipped in the checksum", changed(func(b []byte) []byte { b[len(b)-6] ^= 1; return b }), portertest.Action{},
			porter.ErrArchiveDamaged},
		{"garbage behind", changed(func(b []byte) []byte { return append(b, 'x') }), portertest.Action{}, porter.ErrArchiveDamaged},
		{"an issue that is not JSON", portertest.BytesArchive(archiveOfFiles(t, "VERSION", "0.2.4", "tree/project.json", "{}",
			"tree/project/issues.ndjson", "{}\n{\n")), portertest.Action{}, porter.ErrUnimportable},
		{"another VERSION", portertest.NewArchive(300<<10, portertest.ArchiveFormatVersion("0.2.3")), portertest.Action{},
			porter.ErrUnimportable},
		{"no gzip", portertest.BytesArchive(other), portertest.Action{}, porter.ErrNotArchive},
		{"empty", portertest.BytesArchive(nil), portertest.Action{}, porter.ErrNotArchive},
		{"a message", portertest.BytesArchive([]byte(`{"message":"404 Not found or has expired"}`)), portertest.Action{},
			porter.ErrNotArchive},
		{"no VERSION", changed(func(b []byte) []byte { return gzipped(t, []byte("not a tar file")) }), portertest.Action{},
			porter.ErrNotArchive},
		{"garbled on its way", portertest.BytesArchive(sound), portertest.Garble(200 << 10), porter.ErrArchiveDamaged},
		{"garbled, and the rest is slow", portertest.NewArchive(3 << 20),
			portertest.Garble(100 << 10).And(portertest.StallResponse(2<<20, 0)), porter.ErrArchiveDamaged},
		{"truncated on its way", portertest.BytesArchive(sound), portertest.Truncate(200 << 10), porter.ErrArchiveDamaged},
		{"truncated without a length", portertest.BytesArchive(sound), portertest.Chunked().And(portertest.Truncate(200 << 10)),
			porter.ErrArchiveDamaged},
	}
	for _, tt := range tests {
		for _, way := range spoolWays {
			t.Run(tt.name+", "+way.name, func(t *testing.T) {
				src, dst := migratePair(t, tt.archive)
				src.Inject(portertest.Fault{Method: "GET", Path: "download", Times: -1, Do: tt.fault})
				dir := t.TempDir()
				m, err := porter.Migrate(t.Context(), connect(t, src), migrateApp, connect(t, dst),
					porter.MigrateOptions{Import: intoNew, NoSpool: way.noSpool, SpoolDir: dir})
				if m != nil || !errors.Is(err, tt.is) || errors.Is(err, porter.ErrOutcomeUnknown) ||
					!strings.HasPrefix(err.Error(), "migrate team/app: ") {
					t.Errorf("got %+v, %v", m, err)
				}
				checkNothingImported(t, dst)
				checkFolder(t, dir)
				if n := count(src, "GET", "/export/download"); n != 1 {
					t.Errorf("%d downloads", n)
				}
			})
		}
	}
}

// TestMigrateUnverified shows that only SkipVerify lets a damaged archive through.
func TestMigrateUnverified(t *testing.T) {
	t.Parallel()
	b := archiveBytes(t, portertest.NewArchive(300<<10))
	b[len(b)/2] ^= 1
	src, dst := migratePair(t, portertest.BytesArchive(b))
	m, err := porter.Migrate(t.Context(), connect(t, src), migrateApp, connect(t, dst),
		porter.MigrateOptions{Import: intoNew, SkipVerify: true})
	var failed *porter.ImportError
	if !errors.As(err, &failed) || m == nil || m.Import != failed.Import || m.Bytes != int64(len(b)) || dst.Project("new/app") == nil {
		t.Errorf("got %+v, %v", m, err)
	}
}

// TestMigrateWithoutLength waits for the whole spool file, so that the upload
// has a length, and streams without one if there is no spool.
func TestMigrateWithoutLength(t *testing.T) {
	t.Parallel()
	for _, way := range spoolWays {
		t.Run(way.name, func(t *testing.T) {
			archive := portertest.NewArchive(500 << 10)
			src, dst := migratePair(t, archive)
			src.Inject(portertest.Fault{Method: "GET", Path: "download", Times: -1, Do: portertest.Chunked()})
			if _, err := porter.Migrate(t.Context(), connect(t, src), migrateApp, connect(t, dst),
				porter.MigrateOptions{Import: intoNew, NoSpool: way.noSpool}); err != nil {
				t.Fatal(err)
			}
			post := uploads(dst)[0]
			if (post.ContentLength < 0) != way.noSpool || post.FileSHA256 != archive.SHA256() {
				t.Errorf("sent %s with length %d", post.FileSHA256, post.ContentLength)
			}
		})
	}
}

// TestMigrateTriesAgain breaks transfers that can be repeated.
func TestMigrateTriesAgain(t *testing.T) {
	t.Parallel()
	json := http.Header{"Retry-After": {"60"}, "Content-Type": {"application/json"}}
	throttled := portertest.Respond(429, json, `{"message":{"error":"This endpoint has been requested too many times."}}`)
	tests := []struct {
		name      string
		noSpool   bool
		src, dst  portertest.Action
		uploads   int
		downloads int
		least     time.Duration
	}{
		{name: "upload throttled", dst: throttled, uploads: 2, downloads: 1, least: time.Minute},
		{name: "upload broken", dst: portertest.CutRequest(1 << 20), uploads: 2, downloads: 1},
		{name: "upload stalled", dst: portertest.StallRequest(1<<20, 0), uploads: 2, downloads: 1, least: 2 * time.Minute},
		{name: "download broken", src: portertest.CutResponse(1 << 20), uploads: 1, downloads: 2, least: time.Second},
		{name: "download stalled", src: portertest.StallResponse(1<<20, 0), uploads: 1, downloads: 2, least: 2 * time.Minute},
		{name: "both broken", src: portertest.CutResponse(2 << 20), dst: portertest.CutRequest(1 << 20), uploads: 2, downloads: 2},
		{name: "upload throttled, no spool", noSpool: true, dst: throttled, uploads: 2, downloads: 2, least: time.Minute},
		{name: "upload broken, no spool", noSpool: true, dst: portertest.CutRequest(1 << 20), uploads: 2, downloads: 2, least: time.Second},
		{name: "download broken, no spool", noSpool: true, src: portertest.CutResponse(1 << 20), uploads: 1, downloads: 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				archive := portertest.NewArchive(3 << 20)
				// A full minute before the limits' next one, the downloads' included.
				time.Sleep(time.Until(time.Now().Truncate(time.Minute).Add(time.Minute)))
				src, dst := migratePair(t, archive, portertest.InMemory())
				defer src.Close()
				defer dst.Close()
				src.Configure(portertest.Limits(portertest.RateLimits{Exports: 6, Downloads: 1, Imports: 6}))
				src.Inject(portertest.Fault{Method: "GET", Path: "download", Do: tt.src})
				dst.Inject(portertest.Fault{Method: "POST", Do: tt.dst})
				start := time.Now()
				m, err := porter.Migrate(t.Context(), connect(t, src), migrateApp, connect(t, dst),
					porter.MigrateOptions{Import: intoNew, NoSpool: tt.noSpool})
				took := time.Since(start)
				if err != nil || m.Bytes != archive.Size() {
					t.Fatalf("got %+v, %v", m, err)
				}
				if p := dst.Project("new/app"); p.ArchiveSHA256 != archive.SHA256() || len(dst.Projects()) != 1 {
					t.Errorf("imported %+v", p)
				}
				if u, d := len(uploads(dst)), count(src, "GET", "/export/download"); u != tt.uploads || d != tt.downloads {
					t.Errorf("%d uploads, %d downloads", u, d)
				}
				if took < tt.least || took > tt.least+2*time.Minute {
					t.Errorf("took %v", took)
				}
				minutes := map[time.Time]int{}
				for _, r := range src.Requests() {
					if strings.HasSuffix(r.Path, "/export/download") {
						if minutes[r.Time.Truncate(time.Minute)]++; r.Status == http.StatusTooManyRequests {
							t.Errorf("a download at %v was throttled", r.Time)
						}
					}
				}
			})
		})
	}
}

// TestMigrateLosesAnswers loses the answer of each POST.
func TestMigrateLosesAnswers(t *testing.T) {
	t.Parallel()
	for _, way := range spoolWays {
		t.Run(way.name, func(t *testing.T) {
			src, dst := migratePair(t, nil)
			src.Inject(portertest.Fault{Method: "POST", Times: -1, Do: portertest.LoseAnswer()})
			dst.Inject(portertest.Fault{Method: "POST", Times: -1, Do: portertest.LoseAnswer()})
			m, err := porter.Migrate(t.Context(), connect(t, src), migrateApp, connect(t, dst),
				porter.MigrateOptions{Import: intoNew, NoSpool: way.noSpool})
			if err != nil || !m.Import.Complete() {
				t.Fatalf("got %+v, %v", m, err)
			}
			if len(src.Exports("team/app")) != 1 || len(uploads(dst)) != 1 {
				t.Errorf("%d exports, %d uploads", len(src.Exports("team/app")), len(uploads(dst)))
			}
		})
	}
}

// TestMigrateLooksFirst fails before an export is scheduled, which would cost
// the previous archive and hours.
func TestMigrateLooksFirst(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	with := func(o porter.ImportOptions, f func(*porter.ImportOptions)) porter.ImportOptions { f(&o); return o }
	tests := []struct {
		name    string
		opts    porter.MigrateOptions
		prepare func(src, dst *portertest.Server)
		project porter.ProjectRef
		is      error
		text    string
		ok      bool
	}{
		{name: "taken", opts: porter.MigrateOptions{Import: intoNew},
			prepare: func(_, dst *portertest.Server) { dst.AddProject(portertest.Project{Path: "new/app"}) }, is: porter.ErrProjectExists,
			text: "new/app is project"},
		{name: "taken in other letters", opts: porter.MigrateOptions{Import: with(intoNew,
			func(o *porter.ImportOptions) { o.Path = "APP" })},
			prepare: func(_, dst *portertest.Server) { dst.AddProject(portertest.Project{Path: "new/app"}) },
			is:      porter.ErrProjectExists},
		{name: "taken, to be overwritten", opts: porter.MigrateOptions{Import: with(intoNew,
			func(o *porter.ImportOptions) { o.Overwrite = true })},
			prepare: func(_, dst *portertest.Server) { dst.AddProject(portertest.Project{Path: "new/app"}) }, ok: true},
		{name: "other path", opts: porter.MigrateOptions{Import: with(intoNew, func(o *porter.ImportOptions) { o.Path = "app2" })},
			prepare: func(_, dst *portertest.Server) { dst.AddProject(portertest.Project{Path: "new/app"}) }, ok: true},
		{name: "former path", opts: porter.MigrateOptions{Import: intoNew}, prepare: func(_, dst *portertest.Server) {
			dst.AddProject(portertest.Project{Path: "new/app2", FormerPaths: []string{"new/app"}})
		}, ok: true},
		{name: "destination refuses the token", opts: porter.MigrateOptions{Import: intoNew}, prepare: func(_, dst *portertest.Server) {
			dst.AddUser(portertest.User{Username: "owner", Token: portertest.Token, Revoked: true})
		}, is: porter.ErrUnauthorized, text: "import of new/app: "},
		{name: "destination refuses the token, path not known", prepare: func(_, dst *portertest.Server) {
			dst.AddUser(portertest.User{Username: "owner", Token: portertest.Token, Revoked: true})
		}, is: porter.ErrUnauthorized, text: "import of app: "},
		{name: "destination is in trouble, path not known", prepare: func(_, dst *portertest.Server) {
			dst.Inject(portertest.Fault{Method: "GET", Do: portertest.Respond(502, nil, "GitLab is not responding")})
		}, ok: true},
		{name: "destination is no GitLab", opts: porter.MigrateOptions{Import: intoNew}, prepare: func(_, dst *portertest.Server) {
			dst.Inject(portertest.Fault{Times: -1, Do: portertest.Respond(404, nil, "<title>Not found</title>")})
		}, is: porter.ErrNotFound, text: "import of new/app: "},
		{name: "destination has no such route", opts: porter.MigrateOptions{Import: intoNew}, prepare: func(_, dst *portertest.Server) {
			dst.Inject(portertest.Fault{Method: "GET", Do: portertest.Respond(404, nil, "404 page not found\n")})
		}, ok: true},
		{name: "no such project", opts: porter.MigrateOptions{Import: intoNew}, project: porter.ProjectPath("team/none"),
			is: porter.ErrNotFound, text: "export of team/none: "},
		{name: "no spool folder", opts: porter.MigrateOptions{Import: intoNew, SpoolDir: filepath.Join(t.TempDir(), "missing")},
			is: os.ErrNotExist, text: "; SpoolDir names the folder"},
		{name: "spool folder is a file", opts: porter.MigrateOptions{Import: intoNew, SpoolDir: file}, text: "spool: "},
		{name: "no spool folder needed", opts: porter.MigrateOptions{Import: intoNew, SpoolDir: file, NoSpool: true}, ok: true},
		{name: "path that no GitLab takes",
			opts: porter.MigrateOptions{Import: with(intoNew, func(o *porter.ImportOptions) { o.Path = "a/b" })}, text: "holds a slash"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src, dst := migratePair(t, nil)
			if tt.prepare != nil {
				tt.prepare(src, dst)
			}
			project := tt.project
			if project == nil {
				project = migrateApp
			}
			m, err := porter.Migrate(t.Context(), connect(t, src), project, connect(t, dst), tt.opts)
			if tt.ok {
				if err != nil || !m.Import.Complete() {
					t.Errorf("got %+v, %v", m, err)
				}
				return
			}
			if m != nil || err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("migrate %v: ", project)) ||
				!strings.Contains(err.Error(), tt.text) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("got %+v, %v", m, err)
			}
			if n := count(src, "POST", "/export"); n > 0 || len(uploads(dst)) > 0 {
				t.Errorf("%d exports, %d uploads", n, len(uploads(dst)))
			}
		})
	}
}

// TestMigrateWithoutKnownPath cannot look whether the destination is free if
// the namespace is known by its ID or not at all.
func TestMigrateWithoutKnownPath(t *testing.T) {
	t.Parallel()
	for _, byID := range []bool{true, false} {
		src, dst := migratePair(t, nil)
		opts, where := porter.ImportOptions{}, "owner/app"
		if byID {
			opts.Namespace, where = porter.NamespaceID(dst.AddGroup("new")), "new/app"
		}
		m, err := porter.Migrate(t.Context(), connect(t, src), migrateApp, connect(t, dst), porter.MigrateOptions{Import: opts})
		if err != nil || string(m.Import.PathWithNamespace) != where {
			t.Fatalf("got %+v, %v", m, err)
		}
		m, err = porter.Migrate(t.Context(), connect(t, src), migrateApp, connect(t, dst), porter.MigrateOptions{Import: opts})
		if m != nil || !errors.Is(err, porter.ErrProjectExists) {
			t.Errorf("a second time: %+v, %v", m, err)
		}
	}
}

// TestMigrateImportEnds goes through the ends of the import.
func TestMigrateImportEnds(t *testing.T) {
	t.Parallel()
	relations := []portertest.FailedRelation{{RelationName: "issues", LineNumber: 7}}
	tests := []struct {
		name   string
		script portertest.ImportScript
		strict bool
		fails  bool
		text   string
	}{
		{name: "complete", strict: true},
		{name: "incomplete", script: portertest.ImportScript{FailedRelations: relations}},
		{name: "incomplete, strict", script: portertest.ImportScript{FailedRelations: relations}, strict: true, fails: true,
			text: "import of new/app is incomplete: 1 failed relation (issues 1)"},
		{name: "failed", script: portertest.ImportScript{Error: "It broke"}, fails: true, text: "import of new/app failed: It broke"},
		{name: "canceled", script: portertest.ImportScript{Canceled: true}, fails: true, text: `"canceled"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src, dst := migratePair(t, nil)
			dst.ScriptImport("new/app", tt.script)
			m, err := porter.Migrate(t.Context(), connect(t, src), migrateApp, connect(t, dst),
				porter.MigrateOptions{Import: intoNew, Strict: tt.strict})
			var failed *porter.ImportError
			if m == nil || m.Import == nil || m.Bytes == 0 || m.Archive == nil || m.Elapsed <= 0 || errors.As(err, &failed) != tt.fails ||
				!tt.fails && err != nil {
				t.Fatalf("got %+v, %v", m, err)
			}
			if tt.fails && (failed.Import != m.Import || !strings.HasPrefix(err.Error(), "migrate team/app: "+tt.text) &&
				!strings.Contains(err.Error(), tt.text)) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestMigrateExportEnds fails with what became of the export.
func TestMigrateExportEnds(t *testing.T) {
	t.Parallel()
	for _, fault := range []portertest.ExportFault{portertest.FailRelation, portertest.FailPacking} {
		synctest.Test(t, func(t *testing.T) {
			src, dst := migratePair(t, nil, portertest.InMemory(), portertest.RealTiming())
			defer src.Close()
			defer dst.Close()
			src.ScriptExport("team/app", portertest.ExportScript{Fault: fault})
			dir := t.TempDir()
			polling := userPolling
			m, err := porter.Migrate(t.Context(), connect(t, src, polling), migrateApp, connect(t, dst, polling),
				porter.MigrateOptions{Import: intoNew, SpoolDir: dir})
			var failed *porter.ExportError
			if m != nil || !errors.As(err, &failed) || len(uploads(dst)) > 0 {
				t.Errorf("fault %d: got %+v, %v", fault, m, err)
			}
			checkFolder(t, dir)
		})
	}
}

// TestMigrateWithinOneInstance moves a project to another group of the same
// instance, with one client, and not onto itself.
func TestMigrateWithinOneInstance(t *testing.T) {
	t.Parallel()
	src, _ := migratePair(t, nil)
	src.AddGroup("new")
	c := connect(t, src)
	m, err := porter.Migrate(t.Context(), c, porter.ProjectPath("team/old"), c, porter.MigrateOptions{Import: intoNew})
	if err != nil || m.Source.PathWithNamespace != migrateApp || m.Import.PathWithNamespace != "new/app" || len(src.Projects()) != 2 {
		t.Errorf("got %+v, %v", m, err)
	}
	m, err = porter.Migrate(t.Context(), c, migrateApp, c,
		porter.MigrateOptions{Import: porter.ImportOptions{Namespace: porter.NamespacePath("team")}})
	if m != nil || !errors.Is(err, porter.ErrProjectExists) {
		t.Errorf("onto itself: %+v, %v", m, err)
	}
}

func TestMigrateArguments(t *testing.T) {
	src, dst := migratePair(t, nil)
	from, to := connect(t, src), connect(t, dst)
	tests := []struct {
		name     string
		from, to *porter.Client
		p        porter.ProjectRef
	}{
		{"no source", nil, to, migrateApp},
		{"no destination", from, nil, migrateApp},
		{"no project", from, to, nil},
		{"bad path", from, to, porter.ProjectPath("app")},
		{"bad ID", from, to, porter.ProjectID(-1)},
	}
	for _, tt := range tests {
		if m, err := porter.Migrate(t.Context(), tt.from, tt.p, tt.to, porter.MigrateOptions{Import: intoNew}); m != nil || err == nil ||
			!strings.HasPrefix(err.Error(), "migrate: ") {
			t.Errorf("%s: got %+v, %v", tt.name, m, err)
		}
	}
	if n := len(src.Requests()) + len(dst.Requests()); n > 0 {
		t.Errorf("%d requests", n)
	}
}

// TestMigrateJoins is run again after it was killed: it takes up the export
// under way.
func TestMigrateJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, dst := migratePair(t, nil, portertest.InMemory(), portertest.RealTiming())
		defer src.Close()
		defer dst.Close()
		for run := range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			if run == 1 {
				cancel()
				ctx, cancel = context.WithCancel(t.Context())
			}
			polling := userPolling
			m, err := porter.Migrate(ctx, connect(t, src, polling), migrateApp, connect(t, dst, polling),
				porter.MigrateOptions{Import: intoNew})
			cancel()
			var wait *porter.WaitError
			switch {
			case run == 0 && (m != nil || !errors.As(err, &wait) || !errors.Is(err, context.DeadlineExceeded)):
				t.Errorf("got %+v, %v", m, err)
			case run == 1 && err != nil:
				t.Error(err)
			}
		}
		if n := len(src.Exports("team/app")); n != 1 {
			t.Errorf("%d exports", n)
		}
	})
}

// TestMigrateCanceled ends a migration at every event it reports. It returns
// promptly and says why; a project exists only if an import was accepted.
func TestMigrateCanceled(t *testing.T) {
	t.Parallel()
	for _, way := range spoolWays {
		t.Run(way.name, func(t *testing.T) {
			why := errors.New("enough")
			finished := false
			for at := 1; !finished; at++ {
				synctest.Test(t, func(t *testing.T) {
					src, dst := migratePair(t, portertest.NewArchive(1<<20), portertest.InMemory(), portertest.RealTiming())
					defer src.Close()
					defer dst.Close()
					ctx, cancel := context.WithCancelCause(t.Context())
					defer cancel(nil)
					events, ended := 0, time.Time{}
					last := ""
					observe := porter.WithObserver(func(ev porter.Event) {
						if events++; events == at {
							last = fmt.Sprintf("%s of %s, status %q, byte %d", ev.Kind, ev.Project, ev.Status, ev.Bytes)
							ended = time.Now()
							cancel(why)
						}
					})
					dir := t.TempDir()
					polling := userPolling
					m, err := porter.Migrate(ctx, connect(t, src, observe, polling), migrateApp, connect(t, dst, observe, polling),
						porter.MigrateOptions{Import: intoNew, NoSpool: way.noSpool, SpoolDir: dir})
					checkFolder(t, dir)
					if events < at {
						finished = true
						if err != nil {
							t.Error(err)
						}
						return
					}
					if took := time.Since(ended); took > time.Second {
						t.Errorf("canceled at %s: returned %v later", last, took)
					}
					if err == nil { // it was too late to cancel
						if !m.Import.Complete() {
							t.Errorf("canceled at %s: got %+v", last, m)
						}
						return
					}
					if !errors.Is(err, context.Canceled) || errors.Is(err, why) || !strings.Contains(err.Error(), why.Error()) {
						t.Errorf("canceled at %s: got %v", last, err)
					}
					switch ps := dst.Projects(); {
					case m != nil && (len(ps) != 1 || int64(m.Import.ID) != ps[0].ID):
						t.Errorf("canceled at %s: got %+v, but there are %d projects", last, m, len(ps))
					case m == nil && len(ps) > 0 && !errors.Is(err, porter.ErrOutcomeUnknown):
						t.Errorf("canceled at %s: there is a project that the error does not tell: %v", last, err)
					}
				})
				if at > 200 {
					t.Fatal("it never ends")
				}
			}
		})
	}
}

// TestMigrateRefused reports what the destination says while the archive is
// still on its way.
func TestMigrateRefused(t *testing.T) {
	t.Parallel()
	for _, way := range spoolWays {
		for _, status := range []int{401, 403, 413, 422} {
			t.Run(fmt.Sprintf("%s, %d", way.name, status), func(t *testing.T) {
				src, dst := migratePair(t, portertest.NewArchive(4<<20))
				// The download never ends by itself.
				src.Inject(portertest.Fault{Method: "GET", Path: "download", Do: portertest.StallResponse(2<<20, 0)})
				dst.Inject(portertest.Fault{Method: "POST", Do: portertest.RespondEarly(status, nil, "no")})
				dir := t.TempDir()
				m, err := porter.Migrate(t.Context(), connect(t, src), migrateApp, connect(t, dst),
					porter.MigrateOptions{Import: intoNew, NoSpool: way.noSpool, SpoolDir: dir})
				var api *porter.APIError
				if m != nil || !errors.As(err, &api) || api.StatusCode != status {
					t.Errorf("got %+v, %v", m, err)
				}
				checkFolder(t, dir)
				checkNothingImported(t, dst)
			})
		}
	}
}

// TestMigrateDownloadLost fails if the rest of the archive cannot be had.
func TestMigrateDownloadLost(t *testing.T) {
	t.Parallel()
	for _, way := range spoolWays {
		t.Run(way.name, func(t *testing.T) {
			src, dst := migratePair(t, portertest.NewArchive(2<<20))
			src.Inject(portertest.Fault{Method: "GET", Path: "download", Do: portertest.CutResponse(1 << 20)})
			src.Inject(portertest.Fault{Method: "GET", Path: "download", Times: -1,
				Do: portertest.Respond(404, http.Header{"Content-Type": {"application/json"}},
					`{"message":"404 Not found or has expired"}`)})
			dir := t.TempDir()
			m, err := porter.Migrate(t.Context(), connect(t, src, porter.WithRetry(2, porter.ConstantBackoff(0)), porter.WithoutPacing()),
				migrateApp, connect(t, dst), porter.MigrateOptions{Import: intoNew, NoSpool: way.noSpool, SpoolDir: dir})
			if m != nil || err == nil || errors.Is(err, porter.ErrOutcomeUnknown) || errors.Is(err, porter.ErrArchiveDamaged) ||
				!strings.Contains(err.Error(), "download export of team/app") {
				t.Errorf("got %+v, %v", m, err)
			}
			checkFolder(t, dir)
			checkNothingImported(t, dst)
		})
	}
}

// TestMigratePassesOptions makes sure that options of the export arrive, and
// overrides.
func TestMigratePassesOptions(t *testing.T) {
	t.Parallel()
	src, dst := migratePair(t, nil)
	opts := intoNew
	opts.Path, opts.Name = "moved", "Moved App"
	opts.Override = &porter.ProjectOverrides{Visibility: porter.VisibilityInternal}
	_, err := porter.Migrate(t.Context(), connect(t, src), migrateApp, connect(t, dst), porter.MigrateOptions{
		Import: opts, Export: &porter.ExportOptions{ScheduleExportOptions: porter.ScheduleExportOptions{Description: "As of today"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := src.Exports("team/app")[0].Description; got != "As of today" {
		t.Errorf("description %q", got)
	}
	want := [][2]string{{"path", "moved"}, {"name", "Moved App"}, {"namespace", "new"}, {"override_params[visibility]", "internal"}}
	if diff := cmp.Diff(want, uploads(dst)[0].Fields); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
}
