package porter_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// A simulation is two GitLab instances for an example to work with, named in
// the environment, and a folder of its own.
type simulation struct {
	src, dst *portertest.Server
	dir, wd  string
}

// newSimulation starts the instances.
func newSimulation(opts ...portertest.Option) *simulation {
	opts = append(opts, portertest.Timing(portertest.Timings{}), portertest.NoLimits())
	s := &simulation{src: portertest.NewServer(opts...), dst: portertest.NewServer(opts...)}
	s.src.AddProject(portertest.Project{Path: "group/app", ID: 42, Archive: portertest.NewArchive(1 << 20)})
	s.dst.AddGroup("new-team")
	return s
}

func (s *simulation) close() {
	s.src.Close()
	s.dst.Close()
}

func simulate(opts ...portertest.Option) *simulation {
	s := newSimulation(opts...)
	os.Setenv("GITLAB_URL", s.src.URL)
	os.Setenv("GITLAB_TOKEN", portertest.Token)
	os.Setenv("GITLAB_DEST_URL", s.dst.URL)
	os.Setenv("GITLAB_DEST_TOKEN", portertest.Token)
	var err error
	if s.wd, err = os.Getwd(); err == nil {
		if s.dir, err = os.MkdirTemp("", "porter-example-"); err == nil {
			err = os.Chdir(s.dir)
		}
	}
	if err != nil {
		log.Fatal(err)
	}
	return s
}

func (s *simulation) end() {
	s.close()
	os.Chdir(s.wd)
	os.RemoveAll(s.dir)
	for _, name := range []string{"GITLAB_URL", "GITLAB_TOKEN", "GITLAB_DEST_URL", "GITLAB_DEST_TOKEN"} {
		os.Unsetenv(name)
	}
}

// source returns a client of the source that polls fast.
func (s *simulation) source() *porter.Client {
	client, err := porter.NewClient(s.src.URL, porter.PrivateToken(portertest.Token),
		porter.WithPolling(porter.Polling{Backoff: porter.ConstantBackoff(5 * time.Millisecond)}))
	if err != nil {
		log.Fatal(err)
	}
	return client
}

// destination returns a client of the destination.
func (s *simulation) destination() *porter.Client {
	client, err := porter.NewClient(s.dst.URL, porter.PrivateToken(portertest.Token))
	if err != nil {
		log.Fatal(err)
	}
	return client
}

// administrator returns a client of the destination that an administrator uses,
// and adds users who have addresses.
func (s *simulation) administrator() *porter.Client {
	s.dst.AddUser(portertest.User{Username: "root", Token: "root", Admin: true})
	s.dst.AddUser(portertest.User{Username: "ada", Token: "ada", Email: "admin@example.com"})
	s.dst.AddUser(portertest.User{Username: "bea", Token: "bea", Email: "bea@new.example.com"})
	client, err := porter.NewClient(s.dst.URL, porter.PrivateToken("root"),
		porter.WithPolling(porter.Polling{Backoff: porter.ConstantBackoff(5 * time.Millisecond)}))
	if err != nil {
		log.Fatal(err)
	}
	return client
}

// archive saves an export of group/app as app.tar.gz.
func (s *simulation) archive() {
	if _, err := s.source().ExportToFile(context.Background(), porter.ProjectPath("group/app"), "app.tar.gz", nil); err != nil {
		log.Fatal(err)
	}
}

func ExampleClient_ExportToFile() {
	sim := simulate()
	defer sim.end()
	ctx := context.Background()

	client, err := porter.NewClient(os.Getenv("GITLAB_URL"), porter.PrivateToken(os.Getenv("GITLAB_TOKEN")))
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.ExportToFile(ctx, porter.ProjectPath("group/app"), "app.tar.gz", nil)

	if err != nil {
		log.Fatal(err)
	}
	fi, err := os.Stat("app.tar.gz")
	fmt.Println(fi.Size(), err)
	// Output: 1048576 <nil>
}

func ExampleClient_ExportToFile_maxAge() {
	sim := simulate()
	defer sim.end()
	sim.archive() // by a run before, say
	client, ctx := sim.source(), context.Background()
	var err error

	_, err = client.ExportToFile(ctx, porter.ProjectPath("group/app"), "app.tar.gz", &porter.ExportOptions{MaxAge: 12 * time.Hour})

	fmt.Println(len(sim.src.Exports("group/app")), "export,", err)
	// Output: 1 export, <nil>
}

func ExampleClient_Import() {
	sim := simulate()
	defer sim.end()
	sim.archive()
	client, ctx := sim.destination(), context.Background()

	src, err := porter.FileSource("app.tar.gz")
	if err != nil {
		log.Fatal(err)
	}
	imp, err := client.Import(ctx, src, porter.ImportOptions{
		Namespace: porter.NamespacePath("new-team"),
		Path:      "app",
		Override:  &porter.ProjectOverrides{Visibility: porter.VisibilityPrivate},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(imp.PathWithNamespace, imp.Status, imp.Complete())
	// Output: new-team/app finished true
}

func ExampleMigrate() {
	sim := simulate()
	defer sim.end()
	from, to, ctx := sim.source(), sim.destination(), context.Background()

	m, err := porter.Migrate(ctx, from, porter.ProjectPath("group/app"), to, porter.MigrateOptions{
		Import: porter.ImportOptions{Namespace: porter.NamespacePath("new-team")},
	})
	var failed *porter.ImportError
	switch {
	case errors.As(err, &failed):
		log.Fatalf("import failed: %s (correlation ID %s)", failed.Import.Error, failed.Import.CorrelationID)
	case errors.Is(err, porter.ErrProjectExists):
		log.Fatal("already there")
	case err != nil:
		log.Fatal(err)
	}
	fmt.Println(m.Import.PathWithNamespace, m.Bytes, m.Archive.GitLabVersion, m.Import.Complete())
	// Output: new-team/app 1048576 18.9.0 true
}

func ExampleMigrate_resume() {
	sim := simulate()
	defer sim.end()
	from, to, ctx := sim.source(), sim.destination(), context.Background()

	const file = "app.checkpoint.json"
	opts := porter.MigrateOptions{
		Import: porter.ImportOptions{Namespace: porter.NamespacePath("new-team")},
		Checkpoint: func(_ context.Context, p porter.Checkpoint) error {
			b, err := json.Marshal(p)
			if err != nil {
				return err
			}
			if err := os.WriteFile(file+".new", b, 0o600); err != nil {
				return err
			}
			return os.Rename(file+".new", file)
		},
	}
	switch b, err := os.ReadFile(file); {
	case err == nil:
		if err := json.Unmarshal(b, &opts.Resume); err != nil {
			log.Fatal(err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		log.Fatal(err)
	}
	m, err := porter.Migrate(ctx, from, porter.ProjectPath("group/app"), to, opts)

	if err != nil {
		log.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(b, &opts.Resume) != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Import.PathWithNamespace, opts.Resume.Step, opts.Resume.Target, opts.Resume.Import == m.Import.ID)
	// Output: new-team/app done new-team/app true
}

func ExampleClient_WatchExport() {
	sim := simulate()
	defer sim.end()
	client, ctx := sim.source(), context.Background()
	if err := client.ScheduleExport(ctx, porter.ProjectID(42), nil); err != nil {
		log.Fatal(err)
	}

	for exp, err := range client.WatchExport(ctx, porter.ProjectID(42)) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(exp.Status)
	}
	// Output: finished
}

func ExampleWaitError() {
	sim := simulate()
	defer sim.end()
	sim.src.ScriptExport("group/app", portertest.ExportScript{Fault: portertest.NeverStart})
	client := sim.source()
	if err := client.ScheduleExport(context.Background(), porter.ProjectID(42), nil); err != nil {
		log.Fatal(err)
	}
	const patience = 3 * time.Second // hours, elsewhere

	ctx, cancel := context.WithTimeoutCause(context.Background(), patience, errors.New("the night is over"))
	defer cancel()
	_, err := client.WaitForExport(ctx, porter.ProjectID(42))
	if errors.Is(err, context.DeadlineExceeded) {
		var wait *porter.WaitError
		errors.As(err, &wait)
		fmt.Printf("still %q; GitLab goes on, and the next run can wait for it again\n", wait.Status)
	}
	// Output: still "none"; GitLab goes on, and the next run can wait for it again
}

func ExampleClient_StartImport() {
	sim := simulate()
	defer sim.end()
	sim.archive()
	client, ctx := sim.destination(), context.Background()

	src, err := porter.FileSource("app.tar.gz")
	if err != nil {
		log.Fatal(err)
	}
	imp, err := client.StartImport(ctx, src, porter.ImportOptions{Path: "app"})
	if err != nil {
		log.Fatal(err)
	}
	// Later, and in another process if need be. Wait by the ID: it stays.
	imp, err = client.WaitForImport(ctx, imp.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(imp.Status)
	// Output: finished
}

func ExampleWithObserver() {
	sim := simulate()
	defer sim.end()
	ctx := context.Background()
	client := sim.source()

	client, err := client.With(porter.WithObserver(func(ev porter.Event) {
		switch ev.Kind {
		case porter.EventStatus:
			fmt.Println(ev.Project, ev.Status)
		case porter.EventProgress:
			fmt.Printf("%s: %d of %d bytes\n", ev.Project, ev.Bytes, ev.Total)
		case porter.EventRetry, porter.EventPaced:
			fmt.Println(ev.Project, "goes on in", ev.Delay)
		}
	}))
	if err != nil {
		log.Fatal(err)
	}

	if _, err := client.ExportTo(ctx, porter.ProjectPath("group/app"), io.Discard, nil); err != nil {
		log.Fatal(err)
	}
}

// Hundreds of projects: the client keeps to GitLab's limits, so that plain
// goroutines do.
func ExampleClient_ExportToFile_many() {
	sim := simulate()
	defer sim.end()
	sim.src.AddProject(portertest.Project{Path: "group/site", ID: 43})
	client, ctx := sim.source(), context.Background()

	var wg sync.WaitGroup
	for p, err := range client.Projects(ctx, porter.NamespacePath("group"), nil) {
		if err != nil {
			log.Fatal(err)
		}
		wg.Go(func() {
			if _, err := client.ExportToFile(ctx, p.ID, fmt.Sprintf("%d.tar.gz", p.ID), nil); err != nil {
				log.Print(err)
			}
		})
	}
	wg.Wait()

	files, err := filepath.Glob("*.tar.gz")
	fmt.Println(files, err)
	// Output: [42.tar.gz 43.tar.gz] <nil>
}

// A backup of a group that goes on where a run before it was killed: here that
// one has saved one of two projects.
func ExampleClient_Projects_backup() {
	sim := simulate()
	defer sim.end()
	sim.src.AddProject(portertest.Project{Path: "group/site", ID: 43})
	if err := os.WriteFile("43.tar.gz", []byte("saved before"), 0o600); err != nil {
		log.Fatal(err)
	}
	client, ctx := sim.source(), context.Background()

	const night = 12 * time.Hour
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed []error
	for p, err := range client.Projects(ctx, porter.NamespacePath("group"), nil) {
		if err != nil {
			log.Fatal(err)
		}
		name := fmt.Sprintf("%d.tar.gz", p.ID) // or of p.PathWithNamespace, which may change
		if fi, err := os.Stat(name); err == nil && time.Since(fi.ModTime()) < night {
			continue // an earlier run has saved it
		}
		wg.Go(func() {
			if _, err := client.ExportToFile(ctx, p.ID, name, &porter.ExportOptions{MaxAge: night}); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, err)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(failed...); err != nil {
		log.Fatal(err)
	}

	b, err := os.ReadFile("43.tar.gz")
	fmt.Println(string(b), err)
	fi, err := os.Stat("42.tar.gz")
	fmt.Println(err == nil && fi.Size() > 1000)
	// Output:
	// saved before <nil>
	// true
}

func ExampleAuth() {
	jobToken := func(req *http.Request) error {
		req.Header.Set("JOB-TOKEN", os.Getenv("CI_JOB_TOKEN"))
		return nil
	}

	_, err := porter.NewClient("https://gitlab.example.com", jobToken)
	fmt.Println(err)
	// Output: <nil>
}

func ExampleUploadTarget() {
	sim := simulate()
	defer sim.end()
	client, ctx := sim.source(), context.Background()
	signedURL := sim.src.SignedURL("PUT", "/backups/app.tar.gz", time.Hour)

	err := client.ScheduleExport(ctx, porter.ProjectPath("group/app"), &porter.ScheduleExportOptions{
		Upload: &porter.UploadTarget{URL: signedURL},
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.WaitForExport(ctx, porter.ProjectPath("group/app")); err != nil {
		log.Fatal(err)
	}
	// Finished, uploaded or not: look at the destination.

	fmt.Println(sim.src.Object("/backups/app.tar.gz").Size)
	// Output: 1048576
}

func ExampleClient_StartRelationImport() {
	sim := simulate()
	defer sim.end()
	sim.archive()
	client, ctx := sim.destination(), context.Background()
	src, err := porter.FileSource("app.tar.gz")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.Import(ctx, src, porter.ImportOptions{Namespace: porter.NamespacePath("new-team"), Path: "app"}); err != nil {
		log.Fatal(err)
	}

	rel, err := client.StartRelationImport(ctx, src, "new-team/app", porter.RelationIssues)
	if err != nil {
		log.Fatal(err)
	}
	rel, err = client.WaitForRelationImport(ctx, porter.ProjectPath("new-team/app"), rel.ID)

	if err != nil {
		log.Fatal(err)
	}
	// GitLab finishes whatever it could read: whether all are there, only the
	// project itself can tell.
	fmt.Println(rel.Relation, rel.Status)
	// Output: issues finished
}

func ExampleVerifyArchive() {
	sim := simulate()
	defer sim.end()
	sim.archive()

	f, err := os.Open("app.tar.gz")
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	info, err := porter.VerifyArchive(f)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.GitLabVersion, info.FormatVersion, info.HasRepository)
	fmt.Printf("%d issues, %d members, %d of them without an address to map them by\n",
		info.Relations[porter.PortableIssues], info.Members, info.Unmappable)
	// Output:
	// 18.9.0 0.2.4 true
	// 2 issues, 2 members, 1 of them without an address to map them by
}

// What would fail after hours is told before anything is exported.
func ExampleCheckMigration() {
	sim := simulate()
	defer sim.end()
	from, to, ctx := sim.source(), sim.destination(), context.Background()
	sim.dst.AddUser(portertest.User{Username: "owner", Token: portertest.Token, Admin: true})
	sim.dst.ConfigureGroup("new-team", portertest.Group{Archived: true})

	check, err := porter.CheckMigration(ctx, from, porter.ProjectPath("group/app"), to, porter.MigrateOptions{
		Import: porter.ImportOptions{Namespace: porter.NamespacePath("new-team")},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range check.Findings {
		fmt.Println(f.Kind, f.Certain, f.Text)
	}
	fmt.Println(errors.Is(check.Err(), porter.ErrWillFail))
	// Output:
	// role true the group new-team is archived
	// true
}

func ExampleMigrate_prove() {
	sim := simulate()
	defer sim.end()
	from, to, ctx := sim.source(), sim.destination(), context.Background()
	sim.src.AddProject(portertest.Project{Path: "group/tool", Items: portertest.Items{"issues": portertest.MakeItems(250)}})
	sim.src.ScriptExport("group/tool", portertest.ExportScript{LoseBatch: "issues"})

	m, err := porter.Migrate(ctx, from, porter.ProjectPath("group/tool"), to, porter.MigrateOptions{
		Import: porter.ImportOptions{Namespace: porter.NamespacePath("new-team")},
		Prove:  true,
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, loss := range m.Losses {
		fmt.Println(loss)
	}
	fmt.Println("not known:", m.Unproven)

	issues, err := to.CountRelations(ctx, m.Import.ID, porter.PortableIssues)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("issues:", issues[porter.PortableIssues])
	// Output:
	// 100 of 250 issues lost in the export
	// not known: []
	// issues: 150
}

func ExampleMigrate_edit() {
	sim := simulate()
	defer sim.end()
	from, to, ctx := sim.source(), sim.administrator(), context.Background()

	addresses := map[string]string{"user2": "bea@new.example.com"} // by username at the source
	m, err := porter.Migrate(ctx, from, porter.ProjectPath("group/app"), to, porter.MigrateOptions{
		Import: porter.ImportOptions{Namespace: porter.NamespacePath("new-team")},
		Edit: []porter.Edit{
			porter.Drop(porter.PartPipelines, porter.PartUploads),
			porter.MapUsers(func(c porter.Contributor) (email string, keep bool) {
				return cmp.Or(addresses[c.Username], c.Email), true
			}),
		},
		Inspect: func(i *porter.Inspection) error {
			for _, p := range i.People {
				if p.Email == "" {
					return fmt.Errorf("%d references to %s would become the importer's", p.References, p.Username)
				}
			}
			return nil
		},
	})

	if err != nil {
		log.Fatal(err)
	}
	p := sim.dst.Project("new-team/app")
	fmt.Println(m.Archive.Unmappable, m.Archive.Parts[porter.PartUploads], p.References)
	// Output: 0 0 map[ada:1 bea:3]
}

func ExampleRelationArchive() {
	sim := simulate()
	defer sim.end()
	sim.archive()
	client, ctx := sim.source(), context.Background()

	lost := []int64{2} // by their numbers
	f, err := porter.FileSource("app.tar.gz")
	if err != nil {
		log.Fatal(err)
	}
	few := porter.RelationArchive(f, porter.RelationMergeRequests, func(i porter.Item) bool { return slices.Contains(lost, i.IID) })
	imp, err := client.StartRelationImport(ctx, few, "group/app", porter.RelationMergeRequests)

	if err != nil {
		log.Fatal(err)
	}
	imp, err = client.WaitForRelationImport(ctx, porter.ProjectPath("group/app"), imp.ID)
	fmt.Println(imp.Status, err)
	// Output: finished <nil>
}
