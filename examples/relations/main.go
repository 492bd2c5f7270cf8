// Command relations imports again what an import left out.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
	"github.com/seed-5d77b939/porter/examples/internal/demo"
	"github.com/seed-5d77b939/porter/portertest"
)

const help = `Relations looks which relations an import left out, such as merge requests, and
imports them again from the same archive. Items that are there already are left
alone. GitLab can do so for issues, merge requests, milestones and pipelines.

  relations [flags] ARCHIVE PROJECT

ARCHIVE is the file that the project was imported from, PROJECT the project's
full path. Without -url and GITLAB_URL nothing real is touched: a simulated
instance is used, on which an import has lost merge requests.

Examples:
  relations
      a simulation
  relations -url https://gitlab.example.com app.tar.gz team/app
      imports again what the last import of team/app reports as failed
  relations -relation issues app.tar.gz team/app
      imports the issues, whatever is reported

Environment:
  GITLAB_URL, GITLAB_TOKEN  the instance unless -url is given, and a token of a
                            Maintainer there

Exit codes: 0 all relations were imported, 1 failed, 2 wrong usage, 3 some
relations are of a kind that GitLab cannot import by itself, 130 interrupted.
`

func main() { cli.Main(run) }

type options struct {
	url           string
	archive       string
	project       string
	relation      string
	timeout, poll time.Duration
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	fs := flag.NewFlagSet("relations", flag.ContinueOnError)
	fs.StringVar(&o.url, "url", os.Getenv("GITLAB_URL"), "`URL` of the instance")
	fs.StringVar(&o.relation, "relation", "",
		"the only `relation` to import: issues, merge_requests, milestones or ci_pipelines (default those that failed)")
	fs.DurationVar(&o.timeout, "timeout", 0, "give up after this `time` (default never)")
	fs.DurationVar(&o.poll, "poll", 0, "`time` between looks at the status (default growing from 2s to 30s)")
	if code, exit := cli.Parse(fs, args, help, stdout, stderr); exit {
		return code
	}
	o.archive, o.project = fs.Arg(0), fs.Arg(1)
	switch {
	case fs.NArg() > 2:
		return cli.Misused(fs, stderr, "more than an archive and a project")
	case o.url == "" && fs.NArg() > 0:
		return cli.Misused(fs, stderr, "an archive, but no -url")
	case o.url == "":
		return simulate(ctx, o, stdout, stderr)
	case fs.NArg() < 2:
		return cli.Misused(fs, stderr, cli.Given(fs, "url", "GITLAB_URL")+", but no archive or no project is named")
	}
	token, err := cli.Token("GITLAB_TOKEN")
	if err != nil {
		return cli.Misused(fs, stderr, err.Error())
	}
	source, err := porter.FileSource(o.archive)
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return cli.BadUsage
	}
	return do(ctx, o, token, func(ctx context.Context, client *porter.Client) (bool, error) {
		return reimport(ctx, client, o, source, stdout)
	}, stdout, stderr)
}

// simulate imports a project that loses merge requests on a simulated
// instance, and imports those again.
func simulate(ctx context.Context, o options, stdout, stderr io.Writer) int {
	archive := portertest.NewArchive(4 << 20)
	gitlab := demo.Server()
	defer gitlab.Close()
	gitlab.AddGroup("team")
	gitlab.ScriptImport("team/app", portertest.ImportScript{FailedRelations: []portertest.FailedRelation{
		{RelationName: "merge_requests", LineNumber: 12, Source: "process_relation_item!", ExceptionClass: "ActiveRecord::RecordInvalid"},
		{RelationName: "merge_requests", LineNumber: 40, Source: "process_relation_item!", ExceptionClass: "ActiveRecord::QueryCanceled"},
	}})
	fmt.Fprintln(stdout, "No -url given: importing into a simulated instance, which loses two merge requests.")

	o.url, o.project = gitlab.URL, "team/app"
	if o.poll == 0 {
		o.poll = demo.Poll
	}
	source := porter.ReaderSource(archive.NewReader(), archive.Size())
	return do(ctx, o, porter.PrivateToken(portertest.Token), func(ctx context.Context, client *porter.Client) (bool, error) {
		_, err := client.Import(ctx, source, porter.ImportOptions{Path: "app", Namespace: porter.NamespacePath("team")})
		if err != nil {
			return false, err
		}
		return reimport(ctx, client, o, source, stdout)
	}, stdout, stderr)
}

// do calls work with a client and says how that ended. Work reports whether
// everything could be imported.
func do(
	ctx context.Context, o options, auth porter.Auth, work func(context.Context, *porter.Client) (bool, error), stdout, stderr io.Writer,
) int {
	display := cli.NewDisplay(stdout)
	defer display.Close()
	client, err := porter.NewClient(o.url, auth, append(cli.Polling(o.poll), porter.WithObserver(display.Observer("import", "upload")))...)
	if err != nil {
		fmt.Fprintln(stderr, "error: -url:", err)
		return cli.BadUsage
	}
	wctx, cancel := cli.WithTimeout(ctx, o.timeout)
	defer cancel()
	complete, err := work(wctx, client)
	display.Close()
	switch {
	case err != nil && ctx.Err() != nil:
		fmt.Fprintln(stderr, "Interrupted:", err)
		fmt.Fprintln(stderr, "GitLab goes on with an import that it has begun.")
		return cli.Interrupted
	case err != nil:
		cli.Explain(stderr, err)
		return cli.Failure
	case !complete:
		return cli.Incomplete
	}
	return cli.OK
}

// reimport imports one relation after the other, because GitLab takes only one
// at a time. It reports whether that was all that an import left out.
func reimport(ctx context.Context, client *porter.Client, o options, source porter.Source, stdout io.Writer) (complete bool, err error) {
	project := porter.ProjectPath(o.project)
	relations := []porter.Relation{porter.Relation(o.relation)}
	var others []porter.Relation
	if o.relation == "" {
		imp, err := client.GetImport(ctx, project)
		if err != nil {
			return false, err
		}
		if len(imp.FailedRelations) == 0 {
			fmt.Fprintf(stdout, "The import of %s reports nothing as failed.\n", project)
		}
		relations, others = failed(imp, stdout)
	}
	for _, r := range relations {
		imp, err := client.StartRelationImport(ctx, source, project, r)
		if err != nil {
			return false, err
		}
		if _, err := client.WaitForRelationImport(ctx, project, imp.ID); err != nil {
			return false, err
		}
		// GitLab finishes an import of whatever it could read.
		fmt.Fprintf(stdout, "Imported the %s of %s again. GitLab does not tell whether all are there now: count them.\n", r, project)
	}
	for _, r := range others {
		fmt.Fprintf(stdout, "GitLab cannot import %s by itself.\n", r)
	}
	return len(others) == 0, nil
}

// failed returns the relations of which an import left something out: those
// that can be imported again, and the others.
func failed(imp *porter.Import, stdout io.Writer) (relations, others []porter.Relation) {
	for _, f := range imp.FailedRelations {
		fmt.Fprintln(stdout, "Left out:", cli.FailedRelation(f))
		switch r := porter.Relation(f.RelationName); {
		case slices.Contains(relations, r), slices.Contains(others, r):
		case r == porter.RelationIssues, r == porter.RelationMergeRequests, r == porter.RelationMilestones, r == porter.RelationPipelines:
			relations = append(relations, r)
		default:
			others = append(others, r)
		}
	}
	return relations, others
}
