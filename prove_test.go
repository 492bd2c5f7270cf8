package porter_test

import (
	"bytes"
	"context"
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

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// proveBubble runs f with a source of that project and a destination with the
// group new, and a client of each, whose operations it checks.
func proveBubble(t *testing.T, p portertest.Project, f func(t *testing.T, src, dst *portertest.Server, from, to *porter.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		src := portertest.NewServer(portertest.InMemory(), portertest.RealTiming())
		defer src.Close()
		dst := portertest.NewServer(portertest.InMemory(), portertest.RealTiming())
		defer dst.Close()
		src.AddProject(p)
		dst.AddGroup("new")
		var log eventLog
		told := porter.WithObserver(log.observe)
		f(t, src, dst, connectAs(t, src, portertest.Token, told), connectAs(t, dst, portertest.Token, told))
		checkOperations(t, log.events)
	})
}

// A migration names what the exporter and the importer have lost, and no more.
func TestMigrateProves(t *testing.T) {
	t.Parallel()
	p := fullProject()
	p.Items["issues"], p.Items["merge_requests"] = repeat(250), repeat(40)
	losses := []porter.Loss{
		{Relation: porter.PortableIssues, In: "export", Want: exact(250), Have: exact(150)},
		{Relation: porter.PortableMergeRequests, In: "import", Want: exact(40), Have: exact(39)},
		{Relation: porter.PortableSnippets, In: "import", Want: exact(8), Have: exact(7)},
	}
	for _, tt := range []struct {
		name          string
		faulty        bool
		noSpool       bool
		strict        bool
		strictExport  bool
		want          []porter.Loss
		wantImport    bool
		wantLossError bool
	}{
		{name: "all is there", strict: true, strictExport: true, wantImport: true},
		{name: "all is there, no spool", noSpool: true, strict: true, strictExport: true, wantImport: true},
		{name: "losses", faulty: true, want: losses, wantImport: true},
		{name: "losses, strict", faulty: true, strict: true, want: losses, wantImport: true, wantLossError: true},
		{name: "losses, strict export", faulty: true, strictExport: true, want: losses[:1], wantLossError: true},
		{name: "losses, strict export, no spool", faulty: true, noSpool: true, strictExport: true, want: losses[:1], wantLossError: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			proveBubble(t, p, func(t *testing.T, src, dst *portertest.Server, from, to *porter.Client) {
				if tt.faulty {
					src.ScriptExport("team/app", portertest.ExportScript{LoseBatch: "issues"})
					dst.ScriptImport("new/app", portertest.ImportScript{LoseItems: map[string]int{"merge_requests": 1, "snippets": 1}})
				}
				got, err := porter.Migrate(t.Context(), from, migrateApp, to, porter.MigrateOptions{
					Import: intoNew, SpoolDir: t.TempDir(), NoSpool: tt.noSpool, Prove: true, Strict: tt.strict,
					Export: &porter.ExportOptions{Prove: tt.strictExport, Strict: tt.strictExport},
				})
				var lost *porter.LossError
				if errors.As(err, &lost) != tt.wantLossError || !tt.wantLossError && err != nil {
					t.Fatal(err)
				}
				if lost != nil {
					if diff := cmp.Diff(tt.want, lost.Losses); diff != "" {
						t.Error(diff)
					}
				}
				if (dst.Project("new/app") != nil) != tt.wantImport {
					t.Errorf("imported: %v", !tt.wantImport)
				}
				if !tt.wantImport {
					return
				}
				if diff := cmp.Diff(porter.Proof{Losses: tt.want}, got.Proof); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// The text of a loss says how many of what were lost where.
func TestLossText(t *testing.T) {
	t.Parallel()
	err := &porter.LossError{Losses: []porter.Loss{
		{Relation: porter.PortableIssues, In: "export", Want: exact(250), Have: exact(150)},
		{Relation: porter.PortablePipelines, In: "import", Want: porter.Count{N: 10001}, Have: exact(4)},
		{Relation: porter.PortableRepository, In: "import", Want: exact(5), Have: exact(2), Refs: []string{"branch main", "tag v1"}},
	}}
	const want = "incomplete: 100 of 250 issues lost in the export; at least 9997 of at least 10001 ci_pipelines lost in the import; " +
		"3 of 5 branches and tags lost in the import (branch main, tag v1, …)"
	if err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
}

// While an export runs, what is created, deleted or pushed is no loss, and
// neither is what is lost of that alone.
func TestProveWhileTheSourceChanges(t *testing.T) {
	t.Parallel()
	proveBubble(t, fullProject(), func(t *testing.T, src, dst *portertest.Server, from, to *porter.Client) {
		src.ScriptExport("team/app", portertest.ExportScript{Timing: &portertest.Timings{Assemble: time.Hour}})
		go func() {
			time.Sleep(10 * time.Minute) // after the archive's contents were read
			now := portertest.Item{CreatedAt: time.Now()}
			src.AddItems("team/app", "issues", now, now)
			src.AddItems("team/app", "labels", now)
			src.RemoveItems("team/app", "milestones", 2)
			src.SetBranch("team/app", "main", strings.Repeat("a", 40))
			src.SetBranch("team/app", "later", strings.Repeat("b", 40))
			src.SetBranch("team/app", "feature/a b", "")
		}()
		got, err := porter.Migrate(t.Context(), from, migrateApp, to, porter.MigrateOptions{Import: intoNew, SpoolDir: t.TempDir(), Prove: true})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(porter.Proof{}, got.Proof); diff != "" {
			t.Error(diff)
		}
	})
}

// What was deleted between the look before and the export was not lost, and what
// was created before the export and is in no archive was.
func TestProveCountsAgain(t *testing.T) {
	t.Parallel()
	proveBubble(t, fullProject(), func(t *testing.T, src, dst *portertest.Server, from, to *porter.Client) {
		less := fullProject()
		less.Path = "team/less"
		less.Items["labels"] = less.Items["labels"][:1]
		less.Items["milestones"] = nil
		src.AddProject(less)
		archive := exportBytes(t, from, "team/less")
		src.ScriptExport("team/app", portertest.ExportScript{Archive: portertest.BytesArchive(archive)})
		go func() {
			time.Sleep(5 * time.Second)
			src.RemoveItems("team/app", "labels", 4) // of which one is the group's
		}()
		dl, err := from.ExportTo(t.Context(), migrateApp, new(bytes.Buffer), &porter.ExportOptions{Prove: true})
		if err != nil {
			t.Fatal(err)
		}
		want := porter.Proof{Losses: []porter.Loss{{Relation: porter.PortableMilestones, In: "export", Want: exact(5), Have: exact(0)}}}
		if diff := cmp.Diff(want, dl.Proof); diff != "" {
			t.Error(diff)
		}
	})
}

func exportBytes(t *testing.T, c *porter.Client, p porter.ProjectPath) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := c.ExportTo(t.Context(), p, &b, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Branches and tags that are not there, or point elsewhere, are named.
func TestProveRefs(t *testing.T) {
	t.Parallel()
	p := fullProject()
	for i := range 250 { // several pages
		p.Branches[fmt.Sprintf("branch-%03d", i)] = fmt.Sprintf("%040x", i)
		p.Tags[fmt.Sprintf("tag-%03d", i)] = fmt.Sprintf("%040x", i)
	}
	proveBubble(t, p, func(t *testing.T, src, dst *portertest.Server, from, to *porter.Client) {
		other := fullProject()
		other.Path, other.Branches, other.Tags = "team/other", map[string]string{}, map[string]string{}
		for name, sha := range p.Branches {
			other.Branches[name] = sha
		}
		for name, sha := range p.Tags {
			other.Tags[name] = sha
		}
		other.Branches["branch-007"] = strings.Repeat("f", 40)
		other.Branches["of a fork"] = strings.Repeat("e", 40)
		delete(other.Tags, "tag-249")
		delete(other.Branches, "main")
		src.AddProject(other)
		src.ScriptExport("team/app", portertest.ExportScript{Archive: portertest.BytesArchive(exportBytes(t, from, "team/other"))})
		go func() { // one that has moved on is not known to be lost
			time.Sleep(5 * time.Second)
			src.SetBranch("team/app", "main", strings.Repeat("9", 40))
		}()
		got, err := porter.Migrate(t.Context(), from, migrateApp, to, porter.MigrateOptions{Import: intoNew, SpoolDir: t.TempDir(), Prove: true})
		if err != nil {
			t.Fatal(err)
		}
		want := porter.Proof{Losses: []porter.Loss{{
			Relation: porter.PortableRepository, In: "import", Want: exact(504), Have: exact(502),
			Refs: []string{"branch branch-007", "tag tag-249"},
		}}}
		if diff := cmp.Diff(want, got.Proof); diff != "" {
			t.Error(diff)
		}
	})
}

// A look that fails proves nothing, and a feature that is switched off is not
// compared.
func TestProveUnknown(t *testing.T) {
	t.Parallel()
	all := []porter.PortableRelation{
		"issues", "merge_requests", "labels", "milestones", "ci_pipelines", "releases", "snippets", "protected_branches", "protected_tags",
		"boards", "project_badges",
	}
	lists := strings.Fields("/issues_statistics /merge_requests /labels /milestones /pipelines /releases /snippets /protected_branches " +
		"/protected_tags /boards /badges /branches /tags")
	for _, tt := range []struct {
		name     string
		change   func(src, dst *portertest.Server)
		disabled []string
		proof    porter.Proof
	}{
		{name: "403 at the source", change: func(src, _ *portertest.Server) { refuse(src, http.StatusForbidden, lists...) },
			proof: porter.Proof{Unproven: append(all[:11:11], porter.PortableRepository)}},
		{name: "404 at the destination", change: func(_, dst *portertest.Server) { refuse(dst, http.StatusNotFound, lists...) },
			proof: porter.Proof{Unproven: append(all[:11:11], porter.PortableRepository)}},
		{name: "429 at the destination", change: func(_, dst *portertest.Server) { refuse(dst, http.StatusTooManyRequests, "/labels") },
			proof: porter.Proof{Unproven: append(all[2:11:11], porter.PortableRepository)}},
		{name: "500 at the destination", change: func(_, dst *portertest.Server) { refuse(dst, http.StatusInternalServerError, "/snippets") },
			proof: porter.Proof{Unproven: all[6:7]}},
		{name: "features off at the source", disabled: []string{"issues", "merge_requests", "builds", "snippets", "releases", "repository"}},
		{name: "features off at the destination", change: func(_, dst *portertest.Server) {
			dst.ScriptImport("new/app", portertest.ImportScript{
				Disabled: []string{"issues", "merge_requests", "builds", "snippets", "releases", "repository"},
			})
		}},
		{name: "nothing tells whether features are on", change: func(_, dst *portertest.Server) {
			dst.ScriptImport("new/app", portertest.ImportScript{Disabled: []string{"issues", "snippets"}})
			refuse(dst, http.StatusForbidden, "/projects/1001")
		}, proof: porter.Proof{Unproven: []porter.PortableRelation{"issues", "snippets", "boards"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := fullProject()
			p.Disabled = tt.disabled
			proveBubble(t, p, func(t *testing.T, src, dst *portertest.Server, from, to *porter.Client) {
				if tt.change != nil {
					tt.change(src, dst)
				}
				got, err := porter.Migrate(t.Context(), from, migrateApp, to, porter.MigrateOptions{
					Import: intoNew, SpoolDir: t.TempDir(), Prove: true, Strict: true, SkipCheck: true,
				})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.proof, got.Proof); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// Files and writers get a proof, too.
func TestExportProves(t *testing.T) {
	t.Parallel()
	p := fullProject()
	p.Items["issues"] = repeat(101)
	proveBubble(t, p, func(t *testing.T, src, dst *portertest.Server, from, to *porter.Client) {
		name := filepath.Join(t.TempDir(), "app.tar.gz")
		prove := &porter.ExportOptions{Prove: true, Strict: true}
		dl, err := from.ExportToFile(t.Context(), migrateApp, name, prove)
		if err != nil || !cmp.Equal(dl.Proof, porter.Proof{}) {
			t.Fatalf("%v, %+v", err, dl)
		}
		src.ScriptExport("team/app", portertest.ExportScript{LoseBatch: "issues"}, portertest.ExportScript{LoseBatch: "issues"})
		want := []porter.Loss{{Relation: porter.PortableIssues, In: "export", Want: exact(101), Have: exact(1)}}
		for _, export := range []func() (*porter.Download, error){
			func() (*porter.Download, error) { return from.ExportToFile(t.Context(), migrateApp, name, prove) },
			func() (*porter.Download, error) {
				return from.ExportTo(t.Context(), migrateApp, new(bytes.Buffer), prove)
			},
		} {
			dl, err := export()
			var lost *porter.LossError
			if !errors.As(err, &lost) || !strings.Contains(err.Error(), "export of team/app: incomplete: 100 of 101 issues") {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, lost.Losses); diff != "" || !cmp.Equal(dl.Losses, want) {
				t.Error(diff, dl.Proof)
			}
		}
		// The archive is of another call: it may lack what was made since.
		dl, err = from.ExportTo(t.Context(), migrateApp, new(bytes.Buffer), &porter.ExportOptions{Prove: true, Strict: true, MaxAge: time.Hour})
		if err != nil || !dl.Reused || !cmp.Equal(dl.Proof, porter.Proof{Unproven: []porter.PortableRelation{porter.PortableIssues}}) {
			t.Errorf("%v, %+v", err, dl)
		}
		if fi, err := os.Stat(name); err != nil || fi.Size() == 0 {
			t.Error("the file is not there", err)
		}
	})
}

// An archive that cannot be imported is an error of a proof.
func TestExportProvesVerified(t *testing.T) {
	t.Parallel()
	p := fullProject()
	p.Archive = portertest.BytesArchive(append([]byte("\x1f\x8b\x08"), make([]byte, 1000)...))
	proveBubble(t, p, func(t *testing.T, src, dst *portertest.Server, from, to *porter.Client) {
		prove := &porter.ExportOptions{Prove: true}
		_, err := from.ExportTo(t.Context(), migrateApp, new(bytes.Buffer), prove)
		_, ferr := from.ExportToFile(t.Context(), migrateApp, filepath.Join(t.TempDir(), "app"), prove)
		for _, err := range []error{err, ferr} {
			if !errors.Is(err, porter.ErrArchiveDamaged) && !errors.Is(err, porter.ErrNotArchive) {
				t.Error(err)
			}
		}
	})
}

// A migration that another process has sent is compared with the source, of
// which more may have become since.
func TestProveResumed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		more  bool
		proof porter.Proof
	}{
		{"as it was", false, porter.Proof{}},
		{"more since", true, porter.Proof{Unproven: []porter.PortableRelation{"issues", porter.PortableRepository}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			proveBubble(t, fullProject(), func(t *testing.T, src, dst *portertest.Server, from, to *porter.Client) {
				var last porter.Checkpoint
				opts := porter.MigrateOptions{Import: intoNew, SpoolDir: t.TempDir(), Prove: true, Strict: true}
				killed := opts
				killed.Checkpoint = func(_ context.Context, p porter.Checkpoint) error {
					if last = p; p.Step == porter.StepImporting {
						return errors.New("killed")
					}
					return nil
				}
				if _, err := porter.Migrate(t.Context(), from, migrateApp, to, killed); err == nil {
					t.Fatal("not killed")
				}
				if tt.more {
					src.AddItems("team/app", "issues", portertest.Item{})
					src.SetBranch("team/app", "later", strings.Repeat("b", 40))
				}
				opts.Resume = &last
				got, err := porter.Migrate(t.Context(), from, migrateApp, to, opts)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.proof, got.Proof); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// A migration that is cancelled while it proves ends at once, whatever it looks at.
func TestProveCancelled(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/labels", "/tags", "/issues_statistics"} {
		for _, at := range []string{"source", "destination"} {
			t.Run(path+" of the "+at, func(t *testing.T) {
				proveBubble(t, fullProject(), func(t *testing.T, src, dst *portertest.Server, from, to *porter.Client) {
					s := map[string]*portertest.Server{"source": src, "destination": dst}[at]
					ctx, cancel := context.WithCancel(t.Context())
					var hit time.Time
					s.Inject(portertest.Fault{Times: -1, Do: portertest.Delay(10 * time.Hour), Match: func(r *http.Request) bool {
						if strings.HasSuffix(r.URL.Path, path) && hit.IsZero() {
							hit = time.Now()
							time.AfterFunc(10*time.Second, cancel)
						}
						return strings.HasSuffix(r.URL.Path, path)
					}})
					got, err := porter.Migrate(ctx, from, migrateApp, to, porter.MigrateOptions{Import: intoNew, SpoolDir: t.TempDir(), Prove: true})
					if !errors.Is(err, context.Canceled) || hit.IsZero() || time.Since(hit) != 10*time.Second {
						t.Errorf("%v after %v", err, time.Since(hit))
					}
					if at == "destination" && (got == nil || got.Import == nil) {
						t.Error("the import is not told")
					}
				})
			})
		}
	}
}

// Options that exclude each other are refused before any request.
func TestProveOptions(t *testing.T) {
	t.Parallel()
	c := mocked(t, noRequest(t))
	for name, opts := range map[string]porter.MigrateOptions{
		"prove needs the archive verified": {Prove: true, SkipVerify: true},
		"strict needs prove":               {Export: &porter.ExportOptions{Strict: true}},
	} {
		if _, err := porter.Migrate(t.Context(), c, migrateApp, c, opts); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.ProveImport(t.Context(), migrateApp, nil); err == nil {
		t.Error("no archive info, and no error")
	}
}

// looks counts the requests that no job makes, whose polls are as many as it
// takes.
func looks(s *portertest.Server) int {
	return len(s.Requests()) - count(s, "GET", "/export") - count(s, "GET", "/import")
}

// Proving costs the requests that its documentation tells.
func TestProveCost(t *testing.T) {
	t.Parallel()
	cost := func(prove bool) (source, destination int) {
		proveBubble(t, fullProject(), func(t *testing.T, src, dst *portertest.Server, from, to *porter.Client) {
			opts := porter.MigrateOptions{Import: intoNew, SpoolDir: t.TempDir(), Prove: prove}
			if _, err := porter.Migrate(t.Context(), from, migrateApp, to, opts); err != nil {
				t.Fatal(err)
			}
			source, destination = looks(src), looks(dst)
		})
		return source, destination
	}
	source, destination := cost(true)
	s, d := cost(false)
	if source -= s; source != 11+2 {
		t.Errorf("%d requests of the source", source)
	}
	if destination -= d; destination != 13 {
		t.Errorf("%d requests of the destination", destination)
	}
}

// What an import by itself has lost is told by the archive's own counts.
func TestProveImport(t *testing.T) {
	t.Parallel()
	proveBubble(t, fullProject(), func(t *testing.T, src, dst *portertest.Server, from, to *porter.Client) {
		archive := exportBytes(t, from, migrateApp)
		info, err := porter.VerifyArchive(bytes.NewReader(archive))
		if err != nil {
			t.Fatal(err)
		}
		prove := func(path string) *porter.Proof {
			t.Helper()
			opts := intoNew
			opts.Path = path
			imp, err := to.Import(t.Context(), porter.ReaderSource(bytes.NewReader(archive), int64(len(archive))), opts)
			if err != nil {
				t.Fatal(err)
			}
			proof, err := to.ProveImport(t.Context(), imp.ID, info)
			if err != nil {
				t.Fatal(err)
			}
			return proof
		}
		if got := prove("whole"); !cmp.Equal(got, &porter.Proof{}) {
			t.Errorf("got %+v", got)
		}
		dst.ScriptImport("new/short", portertest.ImportScript{LoseItems: map[string]int{"releases": 9, "boards": 2}})
		want := &porter.Proof{Losses: []porter.Loss{
			{Relation: porter.PortableReleases, In: "import", Want: exact(7), Have: exact(0)},
			{Relation: porter.PortableBoards, In: "import", Want: exact(11), Have: exact(9)},
		}}
		if diff := cmp.Diff(want, prove("short")); diff != "" {
			t.Error(diff)
		}
		// The tree of an old archive is not counted.
		info.Tree, info.Relations = porter.TreeJSON, nil
		if got := prove("old"); len(got.Losses) > 0 || len(got.Unproven) != 11 {
			t.Errorf("got %+v", got)
		}
	})
}

// Counts of what was just imported may be late.
func TestProveSettles(t *testing.T) {
	t.Parallel()
	proveBubble(t, fullProject(), func(t *testing.T, src, dst *portertest.Server, from, _ *porter.Client) {
		late := func(path, body string) {
			h := http.Header{"Content-Type": {"application/json"}, "X-Total": {"0"}, "X-Next-Page": {""}}
			dst.Inject(portertest.Fault{
				Do:    portertest.Respond(http.StatusOK, h, body),
				Match: func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, path) },
			})
		}
		late("/labels", "[]")
		late("/branches", "[]")
		var waited time.Duration
		to := connectAs(t, dst, portertest.Token, porter.WithObserver(func(ev porter.Event) {
			if ev.Kind == porter.EventPaced && ev.Op == porter.OpLook {
				waited = max(waited, ev.Delay)
			}
		}))
		got, err := porter.Migrate(t.Context(), from, migrateApp, to, porter.MigrateOptions{Import: intoNew, SpoolDir: t.TempDir(), Prove: true})
		if err != nil || !cmp.Equal(got.Proof, porter.Proof{}) {
			t.Errorf("%+v, %v", got, err)
		}
		if waited != 35*time.Second {
			t.Errorf("told to wait %v", waited)
		}
	})
}
