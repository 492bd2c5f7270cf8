package porter_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// resumePair is a source with team/app as project 7 and a destination with the
// group new, and a client of each, in a bubble.
type resumePair struct {
	src, dst *portertest.Server
	from, to *porter.Client
}

func newResumePair(t *testing.T, opts ...portertest.Option) *resumePair {
	t.Helper()
	server := func() *portertest.Server {
		s := portertest.NewServer(append([]portertest.Option{portertest.InMemory(), portertest.RealTiming()}, opts...)...)
		t.Cleanup(s.Close)
		return s
	}
	p := &resumePair{src: server(), dst: server()}
	p.src.AddProject(portertest.Project{ID: 7, Path: "team/app"})
	p.dst.AddGroup("new")
	p.from, p.to = connectAs(t, p.src, portertest.Token), connectAs(t, p.dst, portertest.Token)
	return p
}

// migrate takes up a migration and returns the steps it tells.
func (p *resumePair) migrate(
	t *testing.T, resume *porter.Checkpoint, change func(*porter.MigrateOptions),
) (m *porter.Migration, steps string, err error) {
	t.Helper()
	opts := porter.MigrateOptions{Import: intoNew, Resume: resume, SpoolDir: t.TempDir()}
	opts.Checkpoint = func(_ context.Context, p porter.Checkpoint) error {
		steps = strings.TrimSpace(steps + " " + string(p.Step))
		return nil
	}
	if change != nil {
		change(&opts)
	}
	// Another process knows nothing of what these clients have done before.
	from, to := connectAs(t, p.src, portertest.Token), connectAs(t, p.dst, portertest.Token)
	m, err = porter.Migrate(t.Context(), from, migrateApp, to, opts)
	return m, steps, err
}

// Every step is taken up as far as the servers have come.
func TestResume(t *testing.T) {
	t.Parallel()
	at := func(step porter.Step, ago time.Duration) *porter.Checkpoint {
		p := &porter.Checkpoint{Step: step, Time: time.Now().Add(-ago), Source: 7}
		if step != porter.StepImporting && step != porter.StepDone {
			p.Target = "new/app"
		}
		return p
	}
	schedule := func(t *testing.T, p *resumePair) {
		if err := p.from.ScheduleExport(t.Context(), porter.ProjectID(7), nil); err != nil {
			t.Fatal(err)
		}
	}
	export := func(t *testing.T, p *resumePair) {
		schedule(t, p)
		if _, err := p.from.WaitForExport(t.Context(), porter.ProjectID(7)); err != nil {
			t.Fatal(err)
		}
	}
	start := func(t *testing.T, p *resumePair) porter.ProjectID {
		opts := intoNew
		opts.Path = "app"
		imp, err := p.to.StartImport(t.Context(), sourceOf(smallArchive), opts)
		if err != nil {
			t.Fatal(err)
		}
		return imp.ID
	}
	slow := func(timings portertest.Timings) portertest.ExportScript {
		return portertest.ExportScript{Timing: &timings}
	}
	const all = "scheduling exporting uploading importing done"
	tests := []struct {
		name    string
		version string
		before  func(t *testing.T, p *resumePair) *porter.Checkpoint
		change  func(*porter.MigrateOptions)
		steps   string        // that are told
		exports int           // in all
		uploads int           // in all
		at      time.Duration // the least that passes
		most    time.Duration // the most; 0 for a quarter of an hour
		is      error
		text    string // of the error
	}{
		{name: "scheduling, and never sent", before: func(*testing.T, *resumePair) *porter.Checkpoint {
			return at(porter.StepScheduling, time.Second)
		}, steps: all, exports: 1, uploads: 1, at: 150 * time.Second},
		{name: "scheduling, long ago", before: func(*testing.T, *resumePair) *porter.Checkpoint { return at(porter.StepScheduling, time.Hour) },
			steps: all, exports: 1, uploads: 1, most: 4 * time.Minute},
		{name: "scheduling, and it waits in the queue", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			p.src.ScriptExport("7", slow(portertest.Timings{Queue: 2 * time.Minute, Assemble: time.Minute}))
			schedule(t, p)
			return at(porter.StepScheduling, 0)
		}, steps: "uploading importing done", exports: 1, uploads: 1},
		{name: "scheduling, and it runs", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			schedule(t, p)
			time.Sleep(5 * time.Second)
			return at(porter.StepScheduling, 6*time.Second)
		}, steps: "exporting uploading importing done", exports: 1, uploads: 1},
		{name: "scheduling, and it has ended since", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			began := at(porter.StepScheduling, 0)
			export(t, p)
			time.Sleep(20 * time.Hour)
			return began
		}, steps: "uploading importing done", exports: 1, uploads: 1},
		{name: "scheduling, never sent, and an older one is there", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			export(t, p)
			time.Sleep(time.Hour)
			return at(porter.StepScheduling, time.Second)
		}, steps: all, exports: 2, uploads: 1},
		{name: "scheduling, never sent, and an older one may be taken", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			export(t, p)
			time.Sleep(time.Hour)
			return at(porter.StepScheduling, time.Second)
		}, change: func(o *porter.MigrateOptions) { o.Export = &porter.ExportOptions{MaxAge: 2 * time.Hour} },
			steps: "uploading importing done", exports: 1, uploads: 1},
		{name: "exporting, and it waits in the queue", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			p.src.ScriptExport("7", slow(portertest.Timings{Queue: 8 * time.Minute}))
			schedule(t, p)
			return at(porter.StepExporting, 0)
		}, steps: "uploading importing done", exports: 1, uploads: 1, at: 8 * time.Minute},
		{name: "exporting, and it runs", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			schedule(t, p)
			time.Sleep(5 * time.Second)
			return at(porter.StepExporting, 5*time.Second)
		}, steps: "exporting uploading importing done", exports: 1, uploads: 1},
		{name: "exporting, and it has ended since", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			export(t, p)
			time.Sleep(20 * time.Hour)
			return at(porter.StepExporting, 20*time.Hour+time.Minute)
		}, steps: "uploading importing done", exports: 1, uploads: 1},
		{name: "exporting, joined at its last stage", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			export(t, p)
			time.Sleep(time.Hour)
			return at(porter.StepExporting, 30*time.Minute) // half an hour after its archive was written
		}, steps: "uploading importing done", exports: 1, uploads: 1},
		{name: "exporting, and an older one shows at first", version: "13.2", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			p.src.ScriptExport("7", portertest.ExportScript{}, slow(portertest.Timings{Queue: 2 * time.Minute, Assemble: time.Minute}))
			export(t, p)
			time.Sleep(time.Hour)
			schedule(t, p)
			return at(porter.StepExporting, 0)
		}, steps: "uploading importing done", exports: 2, uploads: 1, at: 3 * time.Minute},
		{name: "exporting, and it was lost", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			p.src.ScriptExport("7", portertest.ExportScript{Fault: portertest.NeverStart})
			schedule(t, p)
			return at(porter.StepExporting, 0)
		}, steps: all, exports: 2, uploads: 1, at: 10 * time.Minute},
		{name: "exporting, and it expired", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			export(t, p)
			time.Sleep(30 * time.Hour)
			return at(porter.StepExporting, 30*time.Hour)
		}, steps: all, exports: 2, uploads: 1, most: 4 * time.Minute},
		{name: "exporting, and it fails", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			p.src.ScriptExport("7", portertest.ExportScript{Fault: portertest.FailRelation})
			schedule(t, p)
			time.Sleep(5 * time.Second)
			return at(porter.StepExporting, 5*time.Second)
		}, steps: "exporting", exports: 1, text: "export of team/app failed", most: time.Hour},
		{name: "exporting, and the target is taken", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			export(t, p)
			start(t, p)
			return at(porter.StepExporting, time.Minute)
		}, exports: 1, uploads: 1, is: porter.ErrProjectExists},

		{name: "uploading, and it was made", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			export(t, p)
			start(t, p)
			return at(porter.StepUploading, time.Second)
		}, steps: "importing done", exports: 1, uploads: 1},
		{name: "uploading, made, and the import has ended", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			export(t, p)
			began := at(porter.StepUploading, time.Second)
			start(t, p)
			time.Sleep(40 * time.Hour)
			return began
		}, steps: "importing done", exports: 1, uploads: 1},
		{name: "uploading, and it is made later", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			export(t, p)
			time.AfterFunc(4*time.Minute, func() { start(t, p) })
			return at(porter.StepUploading, time.Second)
		}, steps: "importing done", exports: 1, uploads: 1, at: 4 * time.Minute},
		{name: "uploading, and it was not made", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			export(t, p)
			return at(porter.StepUploading, time.Minute)
		}, steps: "uploading importing done", exports: 1, uploads: 1, at: 4*time.Minute - time.Second},
		{name: "uploading, not made, long ago", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			export(t, p)
			time.Sleep(time.Hour)
			return at(porter.StepUploading, time.Hour)
		}, steps: "uploading importing done", exports: 1, uploads: 1, most: 4 * time.Minute},
		{name: "uploading, not made, and the archive has expired", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			export(t, p)
			time.Sleep(30 * time.Hour)
			return at(porter.StepUploading, 29*time.Hour)
		}, steps: all, exports: 2, uploads: 1},
		{name: "uploading, and an older project is there", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			p.dst.AddProject(portertest.Project{Path: "new/app", CreatedAt: time.Now().Add(-24 * time.Hour)})
			return at(porter.StepUploading, time.Minute)
		}, is: porter.ErrProjectExists, most: time.Second},
		{name: "uploading, and another project is there", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			p.dst.AddProject(portertest.Project{Path: "new/app", CreatedAt: time.Now()})
			return at(porter.StepUploading, time.Minute)
		}, is: porter.ErrProjectExists},
		{name: "uploading, to an unknown target", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			c := at(porter.StepUploading, time.Hour)
			c.Target = ""
			return c
		}, is: porter.ErrOutcomeUnknown, most: time.Second},
		{name: "uploading, and the destination cannot be asked", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			p.dst.Inject(portertest.Fault{Times: -1, Do: portertest.Respond(503, nil, "later")})
			return at(porter.StepUploading, time.Hour)
		}, is: porter.ErrOutcomeUnknown, at: 4 * time.Minute},
		{name: "uploading, and the destination refuses the token", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			p.dst.Inject(portertest.Fault{Times: -1, Do: portertest.Respond(401, nil, "")})
			return at(porter.StepUploading, time.Hour)
		}, is: porter.ErrUnauthorized, text: "outcome unknown", most: time.Second},
		{name: "uploading, made, and the source is gone", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			start(t, p)
			p.src.RemoveProject("7")
			return at(porter.StepUploading, time.Second)
		}, steps: "importing done", uploads: 1},
		{name: "uploading, not made, and the source cannot be asked at first", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			export(t, p)
			p.src.Inject(portertest.Fault{Times: 2, Do: portertest.Respond(503, nil, "later")})
			return at(porter.StepUploading, time.Hour)
		}, steps: "uploading importing done", exports: 1, uploads: 1},

		{name: "importing", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			c := at(porter.StepImporting, time.Second)
			c.Import = start(t, p)
			return c
		}, steps: "done", uploads: 1},
		{name: "importing, and a replica lags", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			c := at(porter.StepImporting, time.Second)
			c.Import = start(t, p)
			p.dst.Inject(portertest.Fault{Method: "GET", Times: 3, Do: portertest.Respond(404, nil, `{"message":"404 Project Not Found"}`)})
			return c
		}, steps: "done", uploads: 1},
		{name: "importing, and it failed", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			p.dst.ScriptImport("new/app", portertest.ImportScript{Error: "no room"})
			c := at(porter.StepImporting, time.Second)
			c.Import = start(t, p)
			return c
		}, uploads: 1, text: "no room"},
		{name: "importing, and the project is gone", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			c := at(porter.StepImporting, time.Hour)
			c.Import = 4711
			return c
		}, is: porter.ErrNotFound, most: time.Second},
		{name: "importing, and the source is gone", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			c := at(porter.StepImporting, time.Second)
			c.Import = start(t, p)
			p.src.RemoveProject("7")
			return c
		}, steps: "done", uploads: 1},
		{name: "importing elsewhere", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			c := at(porter.StepImporting, time.Second)
			p.dst.AddGroup("other")
			imp, err := p.to.StartImport(t.Context(), sourceOf(smallArchive),
				porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("other")})
			if err != nil {
				t.Fatal(err)
			}
			c.Import = imp.ID
			return c
		}, uploads: 1, is: porter.ErrWrongNamespace},
		{name: "done", before: func(t *testing.T, p *resumePair) *porter.Checkpoint {
			c := at(porter.StepDone, 100*time.Hour)
			c.Import = start(t, p)
			time.Sleep(time.Hour)
			return c
		}, uploads: 1, most: time.Second},
	}
	for _, tt := range tests {
		for _, noSpool := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, no spool %v", tt.name, noSpool), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					version := tt.version
					if version == "" {
						version = "18.9"
					}
					p := newResumePair(t, portertest.Version(version))
					checkpoint := tt.before(t, p)
					began := time.Now()
					m, steps, err := p.migrate(t, checkpoint, func(o *porter.MigrateOptions) {
						o.NoSpool = noSpool
						if tt.change != nil {
							tt.change(o)
						}
					})
					took := time.Since(began)
					if (err != nil) != (tt.is != nil || tt.text != "") || tt.is != nil && !errors.Is(err, tt.is) ||
						err != nil && !strings.Contains(err.Error(), tt.text) {
						t.Errorf("ended with %v", err)
					}
					if err == nil && (m.Source.ID != 7 || m.Import.PathWithNamespace != "new/app" || m.Import.Status != porter.ImportFinished) {
						t.Errorf("the result is %+v", m)
					}
					if steps != tt.steps {
						t.Errorf("told %q, want %q", steps, tt.steps)
					}
					if n := len(p.src.Exports("7")); n != tt.exports {
						t.Errorf("%d exports", n)
					}
					if n := len(uploads(p.dst)); n != tt.uploads {
						t.Errorf("%d uploads", n)
					}
					most := tt.most
					if most == 0 {
						most = 15 * time.Minute
					}
					if took < tt.at || took > most {
						t.Errorf("it took %v", took)
					}
				})
			})
		}
	}
}

// A checkpoint that does not fit is an error before anything is sent.
func TestCheckpointThatDoesNotFit(t *testing.T) {
	t.Parallel()
	now := time.Now()
	tests := []struct {
		name string
		p    porter.Checkpoint
		text string
	}{
		{"empty", porter.Checkpoint{}, `its step is ""`},
		{"unknown step", porter.Checkpoint{Step: "resting", Time: now, Source: 7}, `its step is "resting"`},
		{"no time", porter.Checkpoint{Step: porter.StepUploading, Source: 7, Target: "new/app"}, "it has no time"},
		{"no import", porter.Checkpoint{Step: porter.StepImporting, Time: now, Source: 7}, "which project was created"},
		{"done, and no import", porter.Checkpoint{Step: porter.StepDone, Time: now, Source: 7}, "which project was created"},
		{"of an import", porter.Checkpoint{Step: porter.StepUploading, Time: now, Target: "new/app"}, "not of a migration"},
		{"another source", porter.Checkpoint{Step: porter.StepExporting, Time: now, Source: 8}, "it is of project 8, not of "},
		{"another path", porter.Checkpoint{Step: porter.StepExporting, Time: now, Source: 7, Target: "new/other"},
			"to new/other, not to new/app"},
		{"another namespace", porter.Checkpoint{Step: porter.StepExporting, Time: now, Source: 7, Target: "old/app"},
			"to old/app, not to new/app"},
	}
	for _, tt := range tests {
		for _, ref := range []porter.ProjectRef{porter.ProjectID(7), migrateApp} {
			t.Run(fmt.Sprintf("%s, by %T", tt.name, ref), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := newResumePair(t)
					opts := intoNew
					opts.Path = "app"
					_, err := porter.Migrate(t.Context(), p.from, ref, p.to, porter.MigrateOptions{Import: opts, Resume: &tt.p})
					if err == nil || !strings.Contains(err.Error(), "checkpoint does not fit: ") || !strings.Contains(err.Error(), tt.text) {
						t.Errorf("got %v", err)
					}
					// Only GitLab knows which project is at a path.
					looks := 0
					if ref == migrateApp && tt.name == "another source" {
						looks = 1
					}
					if n := len(p.src.Requests()); n != looks || len(p.dst.Requests()) != 0 {
						t.Errorf("%d and %d requests", n, len(p.dst.Requests()))
					}
				})
			})
		}
	}
	for name, p := range map[string]porter.Checkpoint{
		"of a migration":    {Step: porter.StepUploading, Time: now, Source: 7, Target: "new/app"},
		"step of an export": {Step: porter.StepExporting, Time: now},
		"another target":    {Step: porter.StepUploading, Time: now, Target: "new/other"},
		"unknown step":      {Step: "resting", Time: now},
	} {
		t.Run("import, "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pair := newResumePair(t)
				opts := intoNew
				opts.Path, opts.Resume = "app", &p
				_, err := pair.to.Import(t.Context(), sourceOf(smallArchive), opts)
				if err == nil || !strings.Contains(err.Error(), "checkpoint does not fit: ") {
					t.Errorf("got %v", err)
				}
				if n := len(pair.dst.Requests()); n != 0 {
					t.Errorf("%d requests", n)
				}
			})
		})
	}
}

// The other methods that start imports cannot take up again, and say so.
func TestResumeIsForWholeJobs(t *testing.T) {
	t.Parallel()
	s := portertest.NewServer()
	defer s.Close()
	c := connect(t, s)
	tell := func(context.Context, porter.Checkpoint) error { return nil }
	for name, opts := range map[string]porter.ImportOptions{
		"Resume":     {Path: "app", Resume: &porter.Checkpoint{Step: porter.StepUploading}},
		"Checkpoint": {Path: "app", Checkpoint: tell},
	} {
		calls := map[string]func() error{
			"StartImport": func() error { _, err := c.StartImport(t.Context(), sourceOf(smallArchive), opts); return err },
			"StartImportFromURL": func() error {
				_, err := c.StartImportFromURL(t.Context(), "https://example.com/a.tar.gz", opts)
				return err
			},
			"Migrate": func() error {
				_, err := porter.Migrate(t.Context(), c, migrateApp, c, porter.MigrateOptions{Import: opts})
				return err
			},
		}
		for call, f := range calls {
			if err := f(); err == nil || !strings.Contains(err.Error(), "those of Import and of Migrate") {
				t.Errorf("%s with %s: %v", call, name, err)
			}
		}
	}
	if n := len(s.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// An import by itself is taken up like the second half of a migration.
func TestImportResumes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		before  func(t *testing.T, p *resumePair, opts porter.ImportOptions) porter.Checkpoint
		steps   string
		uploads int
		is      error
	}{
		{name: "from the beginning", steps: "uploading importing done", uploads: 1},
		{name: "uploading, and it was made", before: func(t *testing.T, p *resumePair, opts porter.ImportOptions) porter.Checkpoint {
			began := time.Now()
			if _, err := p.to.StartImport(t.Context(), sourceOf(smallArchive), opts); err != nil {
				t.Fatal(err)
			}
			return porter.Checkpoint{Step: porter.StepUploading, Time: began, Target: "new/app"}
		}, steps: "importing done", uploads: 1},
		{name: "uploading, and it was not made", before: func(*testing.T, *resumePair, porter.ImportOptions) porter.Checkpoint {
			return porter.Checkpoint{Step: porter.StepUploading, Time: time.Now(), Target: "new/app"}
		}, steps: "uploading importing done", uploads: 1},
		{name: "uploading to an unknown target", before: func(*testing.T, *resumePair, porter.ImportOptions) porter.Checkpoint {
			return porter.Checkpoint{Step: porter.StepUploading, Time: time.Now()}
		}, is: porter.ErrOutcomeUnknown},
		{name: "importing", before: func(t *testing.T, p *resumePair, opts porter.ImportOptions) porter.Checkpoint {
			imp, err := p.to.StartImport(t.Context(), sourceOf(smallArchive), opts)
			if err != nil {
				t.Fatal(err)
			}
			return porter.Checkpoint{Step: porter.StepImporting, Import: imp.ID}
		}, steps: "done", uploads: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newResumePair(t)
				opts := intoNew
				opts.Path = "app"
				if tt.before != nil {
					c := tt.before(t, p, opts)
					opts.Resume = &c
				}
				steps := ""
				opts.Checkpoint = func(_ context.Context, c porter.Checkpoint) error {
					steps = strings.TrimSpace(steps + " " + string(c.Step))
					if c.Source != 0 || c.Target != "new/app" && c.Step == porter.StepUploading {
						t.Errorf("told %+v", c)
					}
					return nil
				}
				imp, err := p.to.Import(t.Context(), sourceOf(smallArchive), opts)
				if !errors.Is(err, tt.is) || err == nil && imp.Status != porter.ImportFinished {
					t.Errorf("got %+v, %v", imp, err)
				}
				if steps != tt.steps || len(uploads(p.dst)) != tt.uploads {
					t.Errorf("told %q, %d uploads", steps, len(uploads(p.dst)))
				}
			})
		})
	}
}
