// Command migrate moves a project from one GitLab instance to another.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
	"github.com/seed-5d77b939/porter/examples/internal/demo"
	"github.com/seed-5d77b939/porter/portertest"
)

const help = `Migrate moves a project from one GitLab instance to another: it looks for what
would make that fail, exports the project, uploads the archive while it is
downloading, waits for the import, and counts what is missing.

  migrate [flags] PROJECT

PROJECT is the full path, ID or URL of a project on the source. Without -from and
-to, given or taken from the environment, nothing real is touched: a generated
archive is moved between two simulated instances.

Examples:
  migrate
      a simulation
  migrate -from https://old.example.com -to https://gitlab.com -namespace team group/app
      moves group/app to team/app
  migrate -namespace team -path app2 -timeout 6h 4711
      takes the instances from the environment, and gives up after six hours

Environment:
  GITLAB_URL, GITLAB_TOKEN            the source unless -from is given, and a
                                      token of a Maintainer there
  GITLAB_DEST_URL, GITLAB_DEST_TOKEN  the destination unless -to is given, and a
                                      personal access token

Exit codes: 0 moved, 1 failed, 2 wrong usage, 3 moved but some items are
missing, 130 interrupted.
`

func main() { cli.Main(run) }

type options struct {
	from, to      string
	project       string
	namespace     string
	path          string
	overwrite     bool
	archive       string
	timeout, poll time.Duration
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	fs := flag.NewFlagSet("migrate", flag.ContinueOnError)
	fs.StringVar(&o.from, "from", os.Getenv("GITLAB_URL"), "`URL` of the source instance")
	fs.StringVar(&o.to, "to", os.Getenv("GITLAB_DEST_URL"), "`URL` of the destination instance")
	fs.StringVar(&o.namespace, "namespace", "", "full `path` of the group to import into (default the token's own namespace)")
	fs.StringVar(&o.path, "path", "", "last part of the new project's `path` (default that of the source)")
	fs.BoolVar(&o.overwrite, "overwrite", false, "replace the project at the destination")
	fs.StringVar(&o.archive, "archive", "", "archive `file` to move in a simulation (default a generated one)")
	fs.DurationVar(&o.timeout, "timeout", 0, "give up after this `time` (default never)")
	fs.DurationVar(&o.poll, "poll", 0, "`time` between looks at the status (default growing from 2s to 30s)")
	if code, exit := cli.Parse(fs, args, help, stdout, stderr); exit {
		return code
	}
	o.project = fs.Arg(0)
	switch simulated := o.from == "" && o.to == ""; {
	case fs.NArg() > 1:
		return cli.Misused(fs, stderr, "more than one project")
	case simulated && o.project != "":
		return cli.Misused(fs, stderr, "a project, but neither -from nor -to")
	case simulated:
		return simulate(ctx, o, stdout, stderr)
	case o.to == "":
		return cli.Misused(fs, stderr, cli.Given(fs, "from", "GITLAB_URL")+", but -to is missing")
	case o.from == "":
		return cli.Misused(fs, stderr, cli.Given(fs, "to", "GITLAB_DEST_URL")+", but -from is missing")
	case o.project == "":
		return cli.Misused(fs, stderr, cli.Given(fs, "from", "GITLAB_URL")+", but no project is named")
	case o.archive != "":
		return cli.Misused(fs, stderr, "-archive is for simulations, without -from and -to")
	}
	fromToken, toToken, err := cli.Tokens()
	if err != nil {
		return cli.Misused(fs, stderr, err.Error())
	}
	return migrate(ctx, o, fromToken, toToken, stdout, stderr)
}

// simulate migrates between two simulated instances and compares what went in
// with what came out.
func simulate(ctx context.Context, o options, stdout, stderr io.Writer) int {
	archive, err := demo.Archive(o.archive)
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return cli.Failure
	}
	defer archive.Close()
	version := demo.Version(archive)
	source, destination := demo.Server(portertest.Version(version)), demo.Server(portertest.Version(version))
	defer source.Close()
	defer destination.Close()
	source.AddProject(portertest.Project{Path: "team/app", Archive: archive})
	destination.AddGroup("platform")
	fmt.Fprintf(stdout, "No -from and -to given: moving an archive of %s between two simulated instances of GitLab %s.\n",
		cli.Size(archive.Size()), version)

	o.from, o.to, o.project = source.URL, destination.URL, "team/app"
	if o.namespace == "" {
		o.namespace = "platform"
	}
	destination.AddGroup(o.namespace)
	if o.path == "" {
		o.path = "app"
	}
	if o.poll == 0 {
		o.poll = demo.Poll
	}
	token := porter.PrivateToken(portertest.Token)
	if code := migrate(ctx, o, token, token, stdout, stderr); code != cli.OK {
		return code
	}
	imported := destination.Project(o.namespace + "/" + o.path)
	fmt.Fprintf(stdout, "SHA-256 of the archive:\n  %s at the source\n  %s at the destination\n", archive.SHA256(), imported.ArchiveSHA256)
	if imported.ArchiveSHA256 != archive.SHA256() {
		fmt.Fprintln(stderr, "error: they differ")
		return cli.Failure
	}
	fmt.Fprintln(stdout, "They are equal.")
	return cli.OK
}

func migrate(ctx context.Context, o options, sourceAuth, destinationAuth porter.Auth, stdout, stderr io.Writer) int {
	display := cli.NewDisplay(stdout)
	defer display.Close()
	from, err := porter.NewClient(o.from, sourceAuth,
		append(cli.Polling(o.poll), porter.WithObserver(display.Observer("export", "download")))...)
	if err != nil {
		fmt.Fprintln(stderr, "error: -from:", err)
		return cli.BadUsage
	}
	to, err := porter.NewClient(o.to, destinationAuth,
		append(cli.Polling(o.poll), porter.WithObserver(display.Observer("import", "upload")))...)
	if err != nil {
		fmt.Fprintln(stderr, "error: -to:", err)
		return cli.BadUsage
	}
	project, err := from.ParseProject(o.project)
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return cli.BadUsage
	}
	opts := porter.MigrateOptions{Import: porter.ImportOptions{Path: o.path, Overwrite: o.overwrite}}
	if o.namespace != "" {
		opts.Import.Namespace = porter.NamespacePath(o.namespace)
	}

	wctx, cancel := cli.WithTimeout(ctx, o.timeout)
	defer cancel()
	check, err := porter.CheckMigration(wctx, from, project, to, opts)
	var m *porter.Migration
	if err == nil {
		cli.Findings(stdout, check)
		err = check.Err()
	}
	if err == nil {
		opts.SkipCheck, opts.Prove = true, true
		m, err = porter.Migrate(wctx, from, project, to, opts)
	}
	display.Close()
	return report(ctx, m, err, stdout, stderr)
}

// report says how the migration ended, and returns the exit code for it.
func report(ctx context.Context, m *porter.Migration, err error, stdout, stderr io.Writer) int {
	var failed *porter.ImportError
	switch {
	case err != nil && ctx.Err() != nil:
		fmt.Fprintln(stderr, "Interrupted:", err)
		if m == nil {
			fmt.Fprintln(stderr, "GitLab goes on with an export that it has begun; run the same command again to join it.")
		} else {
			fmt.Fprintf(stderr, "GitLab goes on with the import of %s (ID %s).\n", m.Import.PathWithNamespace, m.Import.ID)
		}
		return cli.Interrupted
	case errors.As(err, &failed):
		fmt.Fprintf(stderr, "The import failed: %v\n", failed)
		fmt.Fprintf(stderr, "%s (ID %s) remains at the destination and occupies its path; delete it or use -overwrite to try again.\n",
			failed.Import.PathWithNamespace, failed.Import.ID)
		return cli.Failure
	case err != nil:
		cli.Explain(stderr, err)
		return cli.Failure
	}
	fmt.Fprintf(stdout, "Moved %s to %s (ID %s) in %s: %s, exported by GitLab %s.\n", m.Source.PathWithNamespace,
		m.Import.PathWithNamespace, m.Import.ID, m.Elapsed.Round(100*time.Millisecond), cli.Size(m.Bytes),
		cmp.Or(m.Archive.GitLabVersion, "of unknown version"))
	if !m.Import.Complete() {
		fmt.Fprintf(stdout, "Finished, but %d items could not be imported:\n", len(m.Import.FailedRelations))
		for _, r := range m.Import.FailedRelations {
			fmt.Fprintln(stdout, " ", cli.FailedRelation(r))
		}
	}
	cli.Proof(stdout, m.Proof)
	if !m.Import.Complete() || len(m.Losses) > 0 {
		return cli.Incomplete
	}
	return cli.OK
}
