// Command backup exports a GitLab project to a file.
package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
	"github.com/seed-5d77b939/porter/examples/internal/demo"
	"github.com/seed-5d77b939/porter/portertest"
)

const help = `Backup exports a GitLab project to a file. It looks before for what would make
that fail, verifies that the file is a whole project export, and counts what the
export has left out.

  backup [flags] PROJECT

PROJECT is the full path, the ID or the URL of a project. Without -url and GITLAB_URL
nothing real is touched: a generated project of a simulated instance is
exported.

Examples:
  backup
      a simulation
  backup -url https://gitlab.example.com group/app
      exports group/app to app.tar.gz
  backup -url https://gitlab.example.com -max-age 12h group/app
      as every night: a run that is started again after an interruption goes on
      with the export and the file that are there, and the next night's makes
      a new export

Environment:
  GITLAB_URL, GITLAB_TOKEN  the instance unless -url is given, and a token of a
                            Maintainer there

Exit codes: 0 saved, 1 failed, 2 wrong usage, 3 saved but some items are
missing, 130 interrupted.
`

func main() { cli.Main(run) }

type options struct {
	url           string
	project       string
	output        string
	maxAge        time.Duration
	archive       string
	timeout, poll time.Duration
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	fs := flag.NewFlagSet("backup", flag.ContinueOnError)
	fs.StringVar(&o.url, "url", os.Getenv("GITLAB_URL"), "`URL` of the instance")
	fs.StringVar(&o.output, "o", "", "`file` to write (default the project's name with .tar.gz)")
	fs.DurationVar(&o.maxAge, "max-age", 0, "take an archive that GitLab has, if it is not older than this `time` (default make a new one)")
	fs.StringVar(&o.archive, "archive", "", "archive `file` to export in a simulation (default a generated one)")
	fs.DurationVar(&o.timeout, "timeout", 0, "give up after this `time` (default never)")
	fs.DurationVar(&o.poll, "poll", 0, "`time` between looks at the status (default growing from 2s to 30s)")
	if code, exit := cli.Parse(fs, args, help, stdout, stderr); exit {
		return code
	}
	o.project = fs.Arg(0)
	switch {
	case fs.NArg() > 1:
		return cli.Misused(fs, stderr, "more than one project")
	case o.url == "" && o.project != "":
		return cli.Misused(fs, stderr, "a project, but no -url")
	case o.url == "":
		return simulate(ctx, o, stdout, stderr)
	case o.project == "":
		return cli.Misused(fs, stderr, cli.Given(fs, "url", "GITLAB_URL")+", but no project is named")
	case o.archive != "":
		return cli.Misused(fs, stderr, "-archive is for simulations, without -url")
	}
	token, err := cli.Token("GITLAB_TOKEN")
	if err != nil {
		return cli.Misused(fs, stderr, err.Error())
	}
	if o.output == "" {
		o.output = path.Base(o.project) + ".tar.gz"
	}
	return backup(ctx, o, token, stdout, stderr)
}

// simulate exports a project of a simulated instance, to a temporary file
// unless another is named.
func simulate(ctx context.Context, o options, stdout, stderr io.Writer) int {
	archive, err := demo.Archive(o.archive)
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return cli.Failure
	}
	defer archive.Close()
	gitlab := demo.Server()
	defer gitlab.Close()
	gitlab.AddProject(portertest.Project{Path: "team/app", Archive: archive})
	fmt.Fprintf(stdout, "No -url given: exporting a project of %s from a simulated instance.\n", cli.Size(archive.Size()))

	o.url, o.project = gitlab.URL, "team/app"
	if o.maxAge > 0 {
		gitlab.AddExport("team/app", "owner")
	}
	if o.poll == 0 {
		o.poll = demo.Poll
	}
	if o.output == "" {
		dir, err := os.MkdirTemp("", "backup-")
		if err != nil {
			fmt.Fprintln(stderr, "error:", err)
			return cli.Failure
		}
		defer func() {
			os.RemoveAll(dir)
			fmt.Fprintln(stdout, "Removed the file, because this was a simulation without -o.")
		}()
		o.output = filepath.Join(dir, "app.tar.gz")
	}
	return backup(ctx, o, porter.PrivateToken(portertest.Token), stdout, stderr)
}

func backup(ctx context.Context, o options, auth porter.Auth, stdout, stderr io.Writer) int {
	display := cli.NewDisplay(stdout)
	defer display.Close()
	var begun atomic.Bool // an export, or the download of one that was there
	show := display.Observer("export", "download")
	observe := func(ev porter.Event) {
		if (ev.Op == porter.OpExport || ev.Op == porter.OpDownload) && (ev.Kind == porter.EventStatus || ev.Kind == porter.EventProgress) {
			begun.Store(true)
		}
		show(ev)
	}
	client, err := porter.NewClient(o.url, auth, append(cli.Polling(o.poll), porter.WithObserver(observe))...)
	if err != nil {
		fmt.Fprintln(stderr, "error: -url:", err)
		return cli.BadUsage
	}
	project, err := client.ParseProject(o.project)
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return cli.BadUsage
	}
	wctx, cancel := cli.WithTimeout(ctx, o.timeout)
	defer cancel()
	check, err := client.CheckExport(wctx, project)
	var dl *porter.Download
	if err == nil {
		cli.Findings(stdout, check)
		err = check.Err()
	}
	if err == nil {
		dl, err = client.ExportToFile(wctx, project, o.output, &porter.ExportOptions{MaxAge: o.maxAge, Prove: true})
	}
	display.Close()

	var failed *porter.ExportError
	switch {
	case err != nil && ctx.Err() != nil:
		fmt.Fprintln(stderr, "Interrupted:", err)
		fmt.Fprintln(stderr, advice(begun.Load(), err))
		return cli.Interrupted
	case errors.As(err, &failed):
		fmt.Fprintln(stderr, "The export failed:", failed)
		return cli.Failure
	case err != nil:
		cli.Explain(stderr, err)
		return cli.Failure
	}

	sum, err := hash(o.output)
	if err != nil {
		fmt.Fprintf(stderr, "error: %s: %v\n", o.output, err)
		return cli.Failure
	}
	fmt.Fprintf(stdout, "Saved %s to %s: %s, %d entries, exported by GitLab %s.\nSHA-256: %s\n",
		o.project, o.output, cli.Size(dl.Bytes), dl.Archive.Entries, cmp.Or(dl.Archive.GitLabVersion, "of unknown version"), sum)
	cli.Proof(stdout, dl.Proof)
	if len(dl.Losses) > 0 {
		return cli.Incomplete
	}
	return cli.OK
}

// advice says how to go on after an interruption. Once an export has begun, no
// older archive is there that a long -max-age would take instead, and a short one
// would not take this one tomorrow.
func advice(begun bool, err error) string {
	switch {
	case !begun && errors.Is(err, porter.ErrOutcomeUnknown):
		return "It is not known whether GitLab goes on with an export. Run the same command again: it joins one that is under way."
	case !begun:
		return "Nothing has begun: run the same command again."
	}
	return "GitLab goes on with the export, and keeps its archive for 24 hours. Run the same command again with -max-age 24h to go on with\n" +
		"the export or the download. Without it a new export is made if this one has ended, and what has been downloaded is lost."
}

func hash(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}
