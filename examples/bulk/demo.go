package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
	"github.com/seed-5d77b939/porter/examples/internal/input"
	"github.com/seed-5d77b939/porter/portertest"
)

const (
	demoProjects = 300
	demoWait     = 8 * time.Second // for the next minute of the limit
	demoArchive  = 128 << 10
	demoSeed     = 11 // the same demonstration each time
)

// demonstrate migrates many projects between two simulated instances, on which
// everything takes seconds that takes minutes on a real one.
func demonstrate(ctx context.Context, stdout, stderr io.Writer) int {
	return demonstration(ctx, demoProjects, demoWait, stdout, stderr)
}

// demonstration moves n projects, of which a third have to wait for the next
// minute of the limit of exports, that begins after so long.
func demonstration(ctx context.Context, n int, until time.Duration, stdout, stderr io.Writer) int {
	perMinute := n * 2 / 3
	dir, err := os.MkdirTemp("", "bulk-")
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return cli.Failure
	}
	defer os.RemoveAll(dir)
	limits := portertest.Limits(portertest.RateLimits{Exports: perMinute, Imports: n, Downloads: 0})
	source, destination := portertest.NewServer(limits), portertest.NewServer(limits)
	defer source.Close()
	defer destination.Close()
	populate(n, source, destination)
	for _, s := range []*portertest.Server{source, destination} {
		s.Advance(s.Now().Truncate(time.Minute).Add(2*time.Minute - until).Sub(s.Now()))
	}

	fmt.Fprintf(stdout, "A demonstration: %d projects move between two simulated instances of GitLab. Jobs take seconds instead of minutes,\n"+
		"and %d exports a minute are allowed instead of 6. \"bulk -h\" tells how to name real ones.\n\n", n, perMinute)
	token := porter.PrivateToken(portertest.Token)
	o := options{
		migrate: true,
		from:    source.URL, fromAuth: token,
		to: destination.URL, toAuth: token,
		namespace: "platform",
		spool:     dir,
		input:     input.Input{Groups: []string{"team"}},
		transfers: 4,
		rate:      porter.Pacing{Exports: perMinute, Imports: n, Downloads: -1, Polls: -1},
		journal:   filepath.Join(dir, "bulk-migrate.jsonl"),
		poll:      500 * time.Millisecond,
		stdout:    stdout,
		stderr:    stderr,
	}
	switch code := bulk(ctx, o); code {
	case cli.Failure: // as it is meant to: some of the projects are in trouble
		fmt.Fprintf(stdout, "\nThe exit code of a real run would be %d.\n", code)
		return cli.OK
	default:
		return code
	}
}

// populate fills the source with projects, of which some can't be migrated whole.
func populate(n int, source, destination *portertest.Server) {
	random := rand.New(rand.NewPCG(demoSeed, 0))
	seconds := func(from, to float64) time.Duration {
		return time.Duration((from + random.Float64()*(to-from)) * float64(time.Second))
	}
	for i := range n {
		group := []string{"web", "mobile", "data", "infrastructure/tools"}[i%4]
		name := fmt.Sprintf("%s/service-%03d", group, i+1)
		archive := portertest.NewArchive(demoArchive, portertest.ArchiveSeed(int64(i)))
		source.AddProject(portertest.Project{Path: "team/" + name, Archive: archive})
		destination.AddGroup("platform/" + group)
		export := portertest.ExportScript{Timing: &portertest.Timings{
			Queue: seconds(0, 0.5), Start: seconds(0, 0.5), Assemble: seconds(1, 4), Store: seconds(0, 0.5), Failure: seconds(1, 2)}}
		imported := portertest.ImportScript{Timing: &portertest.Timings{ImportQueue: seconds(0, 0.5), Import: seconds(1, 4)}}
		switch i * demoProjects / n {
		case 40:
			export.Fault = portertest.FailPacking
		case 90:
			imported.Error = "Error importing repository into " + name
		case 140, 200:
			imported.FailedRelations = []portertest.FailedRelation{
				{RelationName: "merge_requests", LineNumber: 12, ExceptionClass: "ActiveRecord::RecordInvalid"},
			}
		case 250:
			destination.AddProject(portertest.Project{Path: "platform/" + name})
		}
		source.ScriptExport("team/"+name, export)
		destination.ScriptImport("platform/"+name, imported)
	}
}
