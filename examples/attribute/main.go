// Command attribute puts e-mail addresses into a project export, so that GitLab
// attributes issues and comments to the people who wrote them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
)

const help = `Attribute puts e-mail addresses into the archive of a project, so that GitLab
gives issues, comments and the like to the people who wrote them, and not to the
one who imports.

  attribute [flags] -users CSV ARCHIVE    reports who is mapped; writes with -o
  attribute [flags] -users CSV PROJECT    migrates, with -from and -to

PROJECT is the full path, the ID or the URL of a project on the source.
CSV has a line for each user: a user of the source (a username, an ID, or the
address in the archive) and, after a comma, the address at the destination.
Lines that begin with # and a first line such as "user,address" are left out. A
name of digits is written with an @ before it.

` + onlyAdmins + `
References are the authors, assignees and the like of all records. Those to
people who are no members of the project (any more) cannot be mapped. Whether
the destination has a user of an address, this program does not ask.

Without arguments nothing real is touched: a simulated instance has a project
with 14 members without addresses, which moves to another one.

Examples:
  attribute
      a simulation
  attribute -users users.csv app.tar.gz
      tells who is mapped, who is not, and which lines are of no use
  attribute -users users.csv -o mapped.tar.gz app.tar.gz
      writes the archive that an administrator then imports
  attribute -users users.csv -from https://old.example.com \
      -to https://new.example.com -namespace team -strict group/app
      moves group/app to team/app, unless somebody is left to the importer

Environment:
  GITLAB_URL, GITLAB_TOKEN            the source unless -from is given, and a
                                      token of a Maintainer there
  GITLAB_DEST_URL, GITLAB_DEST_TOKEN  the destination unless -to is given, and a
                                      personal access token of an administrator

They are of no use to -o and to reports of an ARCHIVE, which is an existing
file. Mapping was tried on a simulator only, made after GitLab's source.

Exit codes: 0 all references are mapped, 1 failed, 2 wrong usage, 3 done, but
something is left to the importer or a line names nobody, 130 interrupted.
`

func main() { cli.Main(run) }

type options struct {
	users         string
	output        string
	from, to      string
	what          string // an archive or a project
	namespace     string
	path          string
	dir           string
	strict        bool
	timeout, poll time.Duration
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	fs := flag.NewFlagSet("attribute", flag.ContinueOnError)
	fs.StringVar(&o.users, "users", "", "`file` of users and their addresses")
	fs.StringVar(&o.output, "o", "", "`file` to write the archive with the addresses to")
	fs.StringVar(&o.from, "from", os.Getenv("GITLAB_URL"), "`URL` of the source instance")
	fs.StringVar(&o.to, "to", os.Getenv("GITLAB_DEST_URL"), "`URL` of the destination instance")
	fs.StringVar(&o.namespace, "namespace", "", "full `path` of the group to import into (default the token's own namespace)")
	fs.StringVar(&o.path, "path", "", "last part of the new project's `path` (default that of the source)")
	fs.StringVar(&o.dir, "dir", "", "`folder` for the archive meanwhile (default the system's for temporary files)")
	fs.BoolVar(&o.strict, "strict", false, "write or import nothing if something is left to the importer, or a line names nobody")
	fs.DurationVar(&o.timeout, "timeout", 0, "give up after this `time` (default never)")
	fs.DurationVar(&o.poll, "poll", 0, "`time` between looks at the status (default growing from 2s to 30s)")
	if code, exit := cli.Parse(fs, args, help, stdout, stderr); exit {
		return code
	}
	o.what = fs.Arg(0)
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	local := o.output != "" || !given["from"] && !given["to"] && isFile(o.what)
	switch {
	case fs.NArg() > 1:
		return cli.Misused(fs, stderr, "more than one archive or project")
	case o.users == "" && o.what == "" && o.from == "" && o.to == "":
		return simulate(ctx, o, stdout, stderr)
	case o.what == "":
		return cli.Misused(fs, stderr, "no archive and no project is named")
	case o.users == "":
		return cli.Misused(fs, stderr, "-users is missing")
	case o.output != "" && (given["from"] || given["to"]):
		return cli.Misused(fs, stderr, "-o is for archives, -from and -to are for projects")
	case local:
	case o.from == "" && o.to == "":
		return cli.Misused(fs, stderr, fmt.Sprintf("%s is no file, and -from and -to are missing", o.what))
	case o.to == "":
		return cli.Misused(fs, stderr, cli.Given(fs, "from", "GITLAB_URL")+", but -to is missing")
	case o.from == "":
		return cli.Misused(fs, stderr, cli.Given(fs, "to", "GITLAB_DEST_URL")+", but -from is missing")
	}
	u, err := readUsers(o.users)
	if err != nil {
		fmt.Fprintln(stderr, "error:", cli.Printable(err.Error()))
		return cli.BadUsage
	}
	if local {
		wctx, cancel := cli.WithTimeout(ctx, o.timeout)
		defer cancel()
		return end(ctx, stderr, attributeFile(wctx, o, u, stdout))
	}
	fromToken, toToken, err := cli.Tokens()
	if err != nil {
		return cli.Misused(fs, stderr, err.Error())
	}
	return end(ctx, stderr, migrate(ctx, o, u, fromToken, toToken, stdout))
}

func isFile(name string) bool {
	fi, err := os.Stat(name)
	return err == nil && fi.Mode().IsRegular()
}

var (
	// errIncomplete is no failure: all was done, but not all is mapped.
	errIncomplete = errors.New("not all is mapped")
	errUsage      = errors.New("wrong usage")
)

// end says how a run ended, and returns the exit code for it.
func end(ctx context.Context, stderr io.Writer, err error) int {
	var failed *porter.ImportError
	switch {
	case err == nil:
		return cli.OK
	case errors.Is(err, errIncomplete):
		return cli.Incomplete
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "Interrupted:", cli.Printable(err.Error()))
		return cli.Interrupted
	case errors.Is(err, errUsage):
		fmt.Fprintln(stderr, "error:", cli.Printable(err.Error()))
		return cli.BadUsage
	case errors.As(err, &failed):
		cli.Explain(stderr, err)
		fmt.Fprintf(stderr, "%s (ID %s) remains at the destination and occupies its path.\n",
			cli.Printable(failed.Import.PathWithNamespace.String()), failed.Import.ID)
		return cli.Failure
	}
	cli.Explain(stderr, err)
	return cli.Failure
}
