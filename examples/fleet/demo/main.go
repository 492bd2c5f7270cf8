// Command demo shows the workflows of package fleet at work: it starts Temporal's
// server in its own process, two simulated instances of GitLab and two worker
// processes, and kills the workers while projects move.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/server/temporaltest"

	"github.com/seed-5d77b939/porter/examples/fleet"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
)

const help = `Demo moves projects between two simulated instances of GitLab, with workers that
are killed all the while, and counts what was done twice: nothing.

  demo [flags]

Everything is on this machine and in memory: Temporal's server, both instances,
and the archives.
`

func main() {
	if worker := os.Getenv(workerVariable); worker != "" {
		cli.Main(func(ctx context.Context, _ []string, _, stderr io.Writer) int { return work(ctx, worker, stderr) })
	}
	cli.Main(run)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	projects := fs.Int("projects", 40, "`number` of projects")
	kills := fs.Int("kills", 25, "`number` of kills, after which the workers are left alone; if the projects are quicker, that is a failure")
	seed := fs.Uint64("seed", rand.Uint64(), "`seed` of what happens by chance")
	if code, exit := cli.Parse(fs, args, help, stdout, stderr); exit {
		return code
	}
	if fs.NArg() > 0 || *projects < 1 {
		return cli.Misused(fs, stderr, "there are no arguments, and 1 project at least")
	}
	if err := demonstrate(ctx, *projects, *kills, *seed, stdout); err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return cli.Failure
	}
	return cli.OK
}

// demonstrate moves projects, kills workers, and proves that nothing was done
// twice.
func demonstrate(ctx context.Context, projects, kills int, seed uint64, out io.Writer) error {
	begun := time.Now()
	fmt.Fprintf(out, "%d projects move between two simulated instances of GitLab, and two worker processes are killed all the while.\n"+
		"(-seed %d)\n", projects, seed)
	server := temporaltest.NewServer(temporaltest.WithBaseClientOptions(client.Options{Logger: quiet{}}))
	defer server.Stop()
	random := rand.New(rand.NewPCG(seed, 0))
	s := newScene(projects, random)
	defer s.close()
	c := server.GetDefaultClient()
	dir, err := os.MkdirTemp("", "fleet-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	list, err := s.list()
	if err != nil {
		return err
	}
	o := client.StartWorkflowOptions{ID: list.Site.ListID("demo"), TaskQueue: list.Site.Queue(fleet.Workflows)}
	listed, err := c.ExecuteWorkflow(ctx, o, fleet.MigrateList, list)
	if err != nil {
		return err
	}
	moving, ended := context.WithCancelCause(ctx)
	var sum fleet.Summary
	go func() { ended(listed.Get(ctx, &sum)) }()
	k := &killer{scene: s, random: random, out: out, config: workerConfig{
		Address: server.GetFrontendHostPort(), Namespace: server.GetDefaultNamespace(), Source: s.from.URL, Destination: s.to.URL, Spool: dir}}
	killed, err := k.run(moving, kills)
	if err != nil {
		return err
	}
	if err := context.Cause(moving); err != context.Canceled { // which is how the list ends well
		return err
	}
	fmt.Fprintf(out, "\nAll moved after %s: %v.\n%d workers were killed.\n\n", time.Since(begun).Round(time.Second), sum.Counts, killed)
	if err := s.prove(out); err != nil {
		return err
	}
	if err := searchHistories(ctx, c, out); err != nil {
		return err
	}
	if killed < kills {
		return fmt.Errorf("%d kills instead of %d: the projects were quicker", killed, kills)
	}
	return nil
}

// quiet logs nothing.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}
