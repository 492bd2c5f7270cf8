// Command start has a list of GitLab projects migrated by the workers of package
// fleet.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/fleet"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
	"github.com/seed-5d77b939/porter/examples/internal/input"
)

const help = `Start has a list of GitLab projects migrated, by workers on Temporal.

  start [flags] [PROJECT...]

Examples:
  start -user migrator -list projects.tsv
      to the targets in the list, or else to the same paths
  start -user migrator -name team -group team -namespace new -wait
      team/x/app to new/x/app, for all in the group and its subgroups

Lists, groups, patterns and targets are those of "bulk migrate -h".

A list that is under way already is joined: nothing is added to it. So is a
project that another list moves. One that was moved is not moved again, and one
that failed is tried again by another start, once the list has ended.

Environment:
  GITLAB_URL, GITLAB_DEST_URL  the instances
  GITLAB_TOKEN                 only to ask for what is in a group, or for the path
                               of an ID; workers have the tokens
  TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_...
                               as Temporal's own programs have them

Exit codes:
  0    started, or with -wait all done
  1    some failed, or nothing was started
  2    wrong usage
  3    all done, but some are incomplete
  130  interrupted, or with -wait the list was cancelled; the workers go on
`

func main() { cli.Main(run) }

// options are what the command line says.
type options struct {
	from, to  string
	namespace string
	name      string
	input     input.Input
	list      fleet.List
	wait      bool
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o := options{from: os.Getenv("GITLAB_URL"), to: os.Getenv("GITLAB_DEST_URL")}
	fs := o.flags()
	if code, exit := cli.Parse(fs, args, help, stdout, stderr); exit {
		return code
	}
	o.input.Args, o.input.Stdin = fs.Args(), os.Stdin
	err := o.check()
	if err == nil {
		err = o.gather(ctx)
	}
	var misused *input.UsageError
	switch {
	case errors.As(err, &misused):
		return cli.Misused(fs, stderr, err.Error())
	case err != nil:
		cli.Explain(stderr, err)
		return cli.Failure
	}
	c, err := fleet.Dial(ctx, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return cli.Failure
	}
	defer c.Close()
	return o.start(ctx, c, stdout, stderr)
}

func (o *options) flags() *flag.FlagSet {
	fs := flag.NewFlagSet("start", flag.ContinueOnError)
	fs.StringVar(&o.list.Site.User, "user", "", "`name` of the user whose workers are to do it")
	fs.StringVar(&o.name, "name", "all", "`name` of the list, one for each that is under way")
	fs.StringVar(&o.namespace, "namespace", "", "full `path` of the group to import into (default every project keeps its path)")
	o.input.Flags(fs)
	fs.IntVar(&o.list.Window, "window", 200, "projects under way at a `time`")
	fs.BoolVar(&o.list.EndAll, "end-all", false, "if the list is cancelled, end what has begun too, instead of having it finish")
	fs.BoolVar(&o.wait, "wait", false, "tell how far the list has come until it has ended")
	return fs
}

// check refuses what does not go together.
func (o *options) check() (err error) {
	o.list.Renew = fleet.Renew
	switch {
	case o.list.Site.User == "":
		return input.Misused("no -user")
	case o.list.Window < 1:
		return input.Misused("-window must be 1 or more")
	case len(o.input.Groups) > 0 && os.Getenv("GITLAB_TOKEN") == "":
		return input.Misused("GITLAB_TOKEN is not set, to ask for what is in a group")
	}
	if o.list.Site.Source, err = fleet.Instance(o.from); err != nil {
		return input.Misused("GITLAB_URL: %v", err)
	}
	if o.list.Site.Destination, err = fleet.Instance(o.to); err != nil {
		return input.Misused("GITLAB_DEST_URL: %v", err)
	}
	return o.input.Check(o.namespace)
}

// maxList is what Temporal takes for an argument, less some room.
const maxList = 1 << 20

// gather makes the list of projects.
func (o *options) gather(ctx context.Context) error {
	auth := func(*http.Request) error { return nil }
	if token := os.Getenv("GITLAB_TOKEN"); token != "" {
		auth = porter.PrivateToken(token)
	}
	from, err := porter.NewClient(o.from, auth)
	if err != nil {
		return err
	}
	all, err := o.input.Gather(ctx, from)
	if err != nil {
		return err
	}
	migrations, err := input.Migrations(ctx, all, o.namespace, from)
	if err != nil {
		return err
	}
	for _, m := range migrations {
		if m.Err != nil {
			return fmt.Errorf("%s: %w", m.Name, m.Err)
		}
		o.list.Projects = append(o.list.Projects, fleet.Project{Name: m.Name, Target: m.Target})
	}
	b, err := json.Marshal(o.list)
	if err == nil && len(b) > maxList {
		return input.Misused("%d projects are too many for one list: start several, each with a -name", len(migrations))
	}
	return err
}

// start starts the list, or joins it.
func (o *options) start(ctx context.Context, c client.Client, stdout, stderr io.Writer) int {
	id := o.list.Site.ListID(o.name)
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                                       id,
		TaskQueue:                                o.list.Site.Queue(fleet.Workflows),
		WorkflowIDConflictPolicy:                 enums.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
	}, fleet.MigrateList, o.list)
	switch {
	case temporal.IsWorkflowExecutionAlreadyStartedError(err):
		fmt.Fprintf(stdout, "The list %s is under way already; nothing was added to it.\n", id)
		run = c.GetWorkflow(ctx, id, "")
	case err != nil:
		fmt.Fprintln(stderr, "error:", err)
		return cli.Failure
	default:
		fmt.Fprintf(stdout, "Started the list %s of %d projects.\n", id, len(o.list.Projects))
	}
	if !o.wait {
		return cli.OK
	}
	return await(ctx, c, run, stdout, stderr)
}

// await tells how far a list has come until it has ended.
func await(ctx context.Context, c client.Client, run client.WorkflowRun, stdout, stderr io.Writer) int {
	watching, stop := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() {
		var last fleet.Counts
		for tick := time.NewTicker(2 * time.Second); ; {
			select {
			case <-watching.Done():
				return
			case <-tick.C:
			}
			var now fleet.Counts
			if v, err := c.QueryWorkflow(watching, run.GetID(), "", fleet.QueryCounts); err == nil && v.Get(&now) == nil && now != last {
				fmt.Fprintln(stdout, now)
				last = now
			}
		}
	})
	var sum fleet.Summary
	err := run.Get(ctx, &sum)
	stop()
	watcher.Wait()
	var canceled *temporal.CanceledError
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "Interrupted; the workers go on.")
		return cli.Interrupted
	case errors.As(err, &canceled):
		if err = nil; canceled.HasDetails() {
			err = canceled.Details(&sum)
		}
	}
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return cli.Failure
	}
	fmt.Fprintln(stdout, sum.Counts)
	for _, t := range sum.Troubles {
		fmt.Fprintf(stdout, "%s: %s\n", t.Project, t.Text)
	}
	switch {
	case canceled != nil:
		return cli.Interrupted
	case sum.Failed+sum.Canceled > 0:
		return cli.Failure
	case sum.Incomplete > 0:
		return cli.Incomplete
	}
	return cli.OK
}
