// Command worker does what the workflows of package fleet ask for.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/seed-5d77b939/porter/examples/fleet"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
	"github.com/seed-5d77b939/porter/examples/internal/input"
)

const help = `Worker migrates GitLab projects, as workflows on Temporal ask it to. It may die
at any moment: another worker takes up what it was at.

  worker [flags]

Examples:
  worker -user migrator
      serves all queues of that user: enough for a beginning
  worker -user migrator -queues workflows,polls,posts
  worker -user migrator -queues transfers -transfers 8 -spool /var/tmp
      one process that decides, looks and schedules, and any number that transfer

Queues of a user:
  workflows  what comes next, for any number of workers
  polls      looks at GitLab, for any number
  posts      schedules exports, for ONE worker, which keeps to GitLab's limit
  transfers  downloads and uploads, for any number

Environment:
  GITLAB_URL, GITLAB_TOKEN            the source, and a token of a Maintainer
  GITLAB_DEST_URL, GITLAB_DEST_TOKEN  the destination, and a personal access token
  TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_...
                                      as Temporal's own programs have them
`

func main() { cli.Main(run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg := fleet.Config{Source: os.Getenv("GITLAB_URL"), Destination: os.Getenv("GITLAB_DEST_URL")}
	fs := flag.NewFlagSet("worker", flag.ContinueOnError)
	fs.StringVar(&cfg.User, "user", "", "`name` of the user whose tokens the worker has: the first part of the names of the queues")
	queues := fs.String("queues", strings.Join(fleet.Kinds, ","), "`queues` to serve")
	fs.IntVar(&cfg.Transfers, "transfers", 4, "downloads and uploads at a `time`")
	fs.StringVar(&cfg.Spool, "spool", "", "`folder` for archives on their way (default the system's for temporary files)")
	fs.Func("rate", "`limits` per minute that differ from GitLab's own, such as exports=60,imports=none; also downloads and polls",
		func(s string) error { return input.ParseRate(s, &cfg.Rate) })
	if code, exit := cli.Parse(fs, args, help, stdout, stderr); exit {
		return code
	}
	cfg.Kinds = strings.Split(*queues, ",")
	if err := check(fs, &cfg); err != nil {
		return cli.Misused(fs, stderr, err.Error())
	}
	c, err := fleet.Dial(ctx, stderr)
	if err == nil {
		defer c.Close()
		fmt.Fprintf(stdout, "Serving %s of %s, from %s to %s.\n", *queues, cfg.User, cfg.Source, cfg.Destination)
		err = fleet.Work(ctx, c, cfg)
	}
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return cli.Failure
	}
	return cli.OK
}

// check refuses what does not go together, and takes the tokens from the
// environment.
func check(fs *flag.FlagSet, cfg *fleet.Config) (err error) {
	switch {
	case fs.NArg() > 0:
		return errors.New("a worker takes no arguments")
	case cfg.User == "":
		return errors.New("no -user")
	case cfg.Transfers < 1:
		return errors.New("-transfers must be 1 or more")
	case cfg.Source == "":
		return errors.New("GITLAB_URL is not set")
	case cfg.Destination == "":
		return errors.New("GITLAB_DEST_URL is not set")
	}
	for _, kind := range cfg.Kinds {
		if !slices.Contains(fleet.Kinds, kind) {
			return fmt.Errorf("there is no queue %q", kind)
		}
	}
	cfg.SourceAuth, cfg.DestinationAuth, err = cli.Tokens()
	return err
}
