// Command relations brings back what an import has left out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
)

const help = `Relations brings back what an import has left out: issues, merge requests,
milestones and pipelines. It compares their numbers (#7, !7) in the archive with
those in the project, makes a small archive of the missing ones alone, imports
it, and counts again. Items that are there are left alone.

  relations [flags] ARCHIVE PROJECT

ARCHIVE is the file that the project was imported from, PROJECT the project's
full path or URL. Without -url and GITLAB_URL nothing real is touched: a simulated
instance is used, on which an import has lost three merge requests.

-split is for a project that does not exist yet, and whose import takes so long
that GitLab ends it: all but merge requests and pipelines is imported first, and
then these in slices. GitLab takes an import of one relation at a time, and no
more than six imports a minute; all waiting for that is done here. If it ends
early, go on without -split.

What GitLab cannot import by itself, such as labels, is only told. So are parts
of items, such as comments: items that are there are not imported again. A
number that another item in the project has since taken counts as there.

Which of this was tried on a real GitLab: nothing. Comparing, small archives,
-split and -slice were tried on a simulator only, which was made after the
source of GitLab 18.9. Try it on a copy of the project first.

Examples:
  relations
      a simulation
  relations -n -url https://gitlab.example.com app.tar.gz team/app
      tells what team/app lacks, and imports nothing
  relations -url https://gitlab.example.com app.tar.gz team/app
      imports that
  relations -split -slice 200 app.tar.gz team/app
      makes team/app on the instance in GITLAB_URL in several imports

Environment:
  GITLAB_URL, GITLAB_TOKEN  the instance unless -url is given, and a token of a
                            Maintainer there

Exit codes: 0 nothing is missing any more, 1 failed, 2 wrong usage, 3 something
is missing still, or with -n at all, 130 interrupted.
`

func main() { cli.Main(run) }

type options struct {
	url           string
	archive       string
	project       string
	relation      string
	dryRun, isNew bool
	slice         int
	timeout, poll time.Duration
	transport     http.RoundTripper // of a test; nil for the network
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	fs := flag.NewFlagSet("relations", flag.ContinueOnError)
	fs.StringVar(&o.url, "url", os.Getenv("GITLAB_URL"), "`URL` of the instance")
	fs.StringVar(&o.relation, "relation", "",
		"the only `relation` to compare and import: issues, merge_requests, milestones or ci_pipelines (default all four)")
	fs.BoolVar(&o.dryRun, "n", false, "only tell what is missing")
	fs.BoolVar(&o.isNew, "split", false, "import a new project in several imports")
	fs.IntVar(&o.slice, "slice", 0, "import at most this `number` of items at a time (default all of a relation, with -split 500)")
	fs.DurationVar(&o.timeout, "timeout", 0, "give up after this `time` (default never)")
	fs.DurationVar(&o.poll, "poll", 0, "`time` between looks at the status (default growing from 2s to 30s)")
	if code, exit := cli.Parse(fs, args, help, stdout, stderr); exit {
		return code
	}
	o.archive, o.project = fs.Arg(0), fs.Arg(1)
	switch {
	case fs.NArg() > 2:
		return cli.Misused(fs, stderr, "more than an archive and a project")
	case o.relation != "" && !importable(porter.Relation(o.relation)):
		return cli.Misused(fs, stderr, "GitLab cannot import "+o.relation+" by itself")
	case o.slice < 0:
		return cli.Misused(fs, stderr, "-slice must not be negative")
	case o.isNew && (o.dryRun || o.relation != ""):
		return cli.Misused(fs, stderr, "-split is not for -n and -relation")
	case o.url == "" && fs.NArg() > 0:
		return cli.Misused(fs, stderr, "an archive, but no -url")
	case o.url == "":
		return simulate(ctx, o, stdout, stderr)
	case fs.NArg() < 2:
		return cli.Misused(fs, stderr, cli.Given(fs, "url", "GITLAB_URL")+", but no archive or no project is named")
	case !strings.Contains(o.project, "/"):
		return cli.Misused(fs, stderr, o.project+" is no full path of a project")
	}
	token := os.Getenv("GITLAB_TOKEN")
	if token == "" {
		return cli.Misused(fs, stderr, "GITLAB_TOKEN is not set")
	}
	source, err := porter.FileSource(o.archive)
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return cli.BadUsage
	}
	return do(ctx, o, token, source, stdout, stderr)
}

func newClient(o options, token string, more ...porter.Option) (*porter.Client, error) {
	if o.transport != nil {
		more = append(more, porter.WithTransport(o.transport))
	}
	return porter.NewClient(o.url, porter.PrivateToken(token), append(cli.Polling(o.poll), more...)...)
}

// do repairs or imports a project, and says how that ended.
func do(ctx context.Context, o options, token string, source porter.Source, stdout, stderr io.Writer) int {
	display := cli.NewDisplay(stdout)
	defer display.Close()
	client, err := newClient(o, token, porter.WithObserver(display.Observer("import", "upload")))
	if err != nil {
		fmt.Fprintln(stderr, "error: -url:", err)
		return cli.BadUsage
	}
	ref, err := client.ParseProject(o.project)
	project, ok := ref.(porter.ProjectPath)
	if err == nil && !ok {
		err = fmt.Errorf("%s is no full path of a project", o.project)
	}
	if err != nil {
		fmt.Fprintln(stderr, "error:", cli.Printable(err.Error()))
		return cli.BadUsage
	}
	lists, err := newAPI(o, token)
	if err != nil {
		fmt.Fprintln(stderr, "error: -url:", err)
		return cli.BadUsage
	}
	wctx, cancel := cli.WithTimeout(ctx, o.timeout)
	defer cancel()
	j := &job{options: o, client: client, api: lists, project: project, source: source, stdout: stdout}
	work := j.repair
	if o.isNew {
		work = j.split
	}
	complete, err := work(wctx)
	display.Close()
	if err != nil {
		// What lists says of a context that ended does not say why.
		if cause := context.Cause(wctx); cause != nil && !errors.Is(err, cause) {
			err = fmt.Errorf("%w: %w", cause, err)
		}
	}
	switch {
	case err != nil && ctx.Err() != nil:
		fmt.Fprintln(stderr, "Interrupted:", cli.Printable(err.Error()))
		fmt.Fprintln(stderr, "GitLab goes on with an import that it has begun. Run the same command again, without -split, to go on.")
		return cli.Interrupted
	case err != nil:
		cli.Explain(stderr, err)
		return cli.Failure
	case !complete:
		return cli.Incomplete
	}
	return cli.OK
}
