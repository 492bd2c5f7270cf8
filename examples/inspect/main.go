// Command inspect tells what is in a project export archive, and what GitLab
// will make of it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
)

const help = `Inspect tells what is in a project export archive: how much of what, where the
bytes are, who can be mapped to users of the destination and whose contributions
become the importer's, and what keeps GitLab from importing it.

  inspect [flags] FILE
  inspect [flags] -url URL PROJECT

FILE is an archive, or - for standard input. With -url it is the archive that
GitLab has of PROJECT, by its full path, ID or URL, which is read while it is
downloaded and not stored. Without either a generated archive is inspected.

Examples:
  inspect
      a demonstration
  inspect app.tar.gz
  ssh backup cat app.tar.gz | inspect -
  inspect -url https://gitlab.example.com group/app
      an export that has been made, within the last day
  inspect -json app.tar.gz | jq -r '.people[] | select(.email == "").username'
      who can't be mapped

Environment:
  GITLAB_TOKEN  a token of a Maintainer, for -url

` + jsonHelp + `
Exit codes:
  0    importable
  1    it could not be read, or not be downloaded
  2    wrong usage
  3    GitLab will not import it whole: it is damaged, no project export, has
       something in it that ends an import, or only releases before 15.11 read it
  130  interrupted
`

func main() { cli.Main(run) }

type options struct {
	url     string
	name    string // of a file or project
	json    bool
	timeout time.Duration

	client  *porter.Client // nil without -url
	project porter.ProjectRef
	display *cli.Display
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	fs := flag.NewFlagSet("inspect", flag.ContinueOnError)
	fs.StringVar(&o.url, "url", "", "`URL` of an instance, to read the archive that it has of a project")
	fs.BoolVar(&o.json, "json", false, "write a JSON object")
	fs.DurationVar(&o.timeout, "timeout", 0, "give up after this `time` (default never)")
	if code, exit := cli.Parse(fs, args, help, stdout, stderr); exit {
		return code
	}
	if err := o.check(fs, stderr); err != nil {
		return cli.Misused(fs, stderr, cli.Printable(err.Error()))
	}
	wctx, cancel := cli.WithTimeout(ctx, o.timeout)
	defer cancel()
	r, err := o.inspect(wctx)
	if err == nil {
		err = r.write(stdout, o.json)
	}
	switch {
	case err == nil:
		return r.exitCode()
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "Interrupted.")
		return cli.Interrupted
	}
	cli.Explain(stderr, err)
	if errors.Is(err, porter.ErrExportExpired) {
		fmt.Fprintln(stderr, "Have GitLab export the project first: an archive stays there for a day.")
	}
	return cli.Failure
}

// check refuses what does not go together, and makes the client for -url.
func (o *options) check(fs *flag.FlagSet, stderr io.Writer) error {
	o.name = fs.Arg(0)
	remote := false
	fs.Visit(func(f *flag.Flag) { remote = remote || f.Name == "url" })
	switch {
	case fs.NArg() > 1:
		return errors.New("more than one archive")
	case fs.NArg() == 1 && o.name == "":
		return errors.New("the name of the archive is empty")
	case !remote:
		return nil
	case o.name == "":
		return errors.New("-url is given, but no project is named")
	}
	auth, err := cli.Token("GITLAB_TOKEN")
	if err != nil {
		return err
	}
	o.display = cli.NewDisplay(stderr)
	if o.client, err = porter.NewClient(o.url, auth, porter.WithObserver(o.display.Observer("export", "download"))); err != nil {
		return fmt.Errorf("-url: %w", err)
	}
	o.project, err = o.client.ParseProject(o.name)
	return err
}

// inspect reads the archive that the options name.
func (o *options) inspect(ctx context.Context) (*report, error) {
	in, err := o.open(ctx)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	found, err := porter.InspectArchive(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", in.name, err)
	}
	return &report{name: in.name, size: in.length(), Inspection: found}, nil
}
