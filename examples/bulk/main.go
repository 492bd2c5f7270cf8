// Command bulk exports or migrates many GitLab projects.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/term"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
	"github.com/seed-5d77b939/porter/examples/internal/input"
)

const help = `Bulk exports many GitLab projects to files, or migrates them to another
instance. A project that fails does not stop the others; once GitLab does not take
a token any more, no other is begun. All are under way at once: the work stays
within GitLab's rate limits by itself.

  bulk                                   a demonstration with simulated instances
  bulk export  [flags] [PROJECT...]      to files: group/app to group/app.tar.gz
  bulk migrate [flags] [PROJECT...]      to another instance

A PROJECT is the full path, the ID or the URL of a project. -list and -group name
more, in the same ways.
"bulk export -h" and "bulk migrate -h" tell the flags.

` + helpTargets + helpFiles + helpEnvironment + helpCodes

const helpExport = `Export many GitLab projects, each to a file of its own: group/app to
group/app.tar.gz below -dir, and project 42, named by its ID, to 42.tar.gz.

  bulk export [flags] [PROJECT...]

Examples:
  bulk export -url https://gitlab.example.com -dir backups group/app group/site
  bulk export -dir backups -group team -exclude 'team/archive/**' -archived skip
      a group with its subgroups, from the instance in GITLAB_URL
  bulk export -dir backups -list projects.txt -dry-run
      only says what would happen
  bulk export -dir backups -group team -json -metrics bulk.prom >>bulk.log
      every night, by a timer

` + helpList + helpFiles + helpEnvironment + jsonHelp + helpCodes

const helpMigrate = `Migrate many GitLab projects to another instance.

  bulk migrate [flags] [PROJECT...]

Examples:
  bulk migrate -from https://old.example.com -to https://gitlab.com -group old \
      -namespace new
      old/x/app to new/x/app, for all in the group and its subgroups
  bulk migrate -namespace team group/app group/site
      to team/app and team/site, with the instances in the environment
  bulk migrate -list projects.tsv
      to the targets in the list, or else to the same paths

` + helpTargets + helpList + helpFiles + helpEnvironment + jsonHelp + helpCodes

const helpTargets = `Targets of migrate:
  Without -namespace a project keeps its path. With it, a project of -group keeps
  its path below that group, and any other project the last part of its path.
  The columns of a list win. An import does not create groups: make them first.

`

const helpList = `Lists (-list FILE, or - for standard input) are UTF-8 with a project on each
line. For migrate, the namespace at the destination and the last part of the
path there may follow, after a tab or a comma each; export ignores these. Blank
lines and those that begin with # are left out. Who is there twice is taken once.

Patterns (-include, -exclude) are those of doublestar: * and ? stay within a part
of a path, ** is any number of parts, [ab] and {a,b} are choices. They are matched
with what a project was named by, or with its path if its group was listed;
case does not matter.

`

const helpFiles = `Files:
  The journal (-journal) notes what is done. Run the same command again after a
  crash, an interruption or failures: nothing is done twice, and nothing is left
  out; what has failed is tried again. By default it is bulk-export.jsonl in -dir,
  or bulk-migrate.jsonl in the current folder. It is for one source, destination
  and user, and for one list: name another file for another one. Beside it are
  FILE.lock, which keeps a second run out, and FILE.old, the journal before.
  Of exports, another run begins, with new archives, once everything of the last
  one is done, or it was begun longer ago than -new-after. A journal of
  migrations is never ended: more projects may be added to its command.
  Remove the journal to begin anew.

  On Linux each transfer holds up to 4 files open, and the program about 10
  besides: "ulimit -n" has to be above that. -spool should be on a disk.

`

const helpEnvironment = `Environment:
  GITLAB_URL, GITLAB_TOKEN            the instance, or the source, unless -url or
                                      -from is given, and a token of a Maintainer
  GITLAB_DEST_URL, GITLAB_DEST_TOKEN  the destination unless -to is given, and a
                                      personal access token

`

const helpCodes = `Exit codes:
  0    all done
  1    some failed
  2    wrong usage, or a journal of another run
  3    all done, but some are incomplete
  4    none failed for good: run the same command again; also if another run uses
       the journal
  130  interrupted; GitLab goes on with what it has begun
`

func main() { cli.Main(run) }

// options are what the command line says.
type options struct {
	migrate          bool
	from, to         string // to only to migrate
	dir              string // of exports
	namespace, spool string // of migrations
	input            input.Input
	transfers        int
	rate             porter.Pacing
	maxAge           time.Duration
	journal          string
	newAfter         time.Duration
	prove            bool
	dryRun, json     bool
	metrics          string
	timeout, poll    time.Duration
	fromAuth, toAuth porter.Auth
	stdout, stderr   io.Writer
	transport        http.RoundTripper // nil for the network
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		return demonstrate(ctx, stdout, stderr)
	}
	switch args[0] {
	case "export", "migrate":
		o := options{migrate: args[0] == "migrate", stdout: stdout, stderr: stderr}
		if code, exit := o.parse(args[1:]); exit {
			return code
		}
		return bulk(ctx, o)
	case "-h", "-help", "--help", "help":
		fmt.Fprint(stdout, help)
		return cli.OK
	}
	fmt.Fprintf(stderr, "bulk: %q is neither export nor migrate (-h for help)\n", args[0])
	return cli.BadUsage
}

// parse reads the command line. If the program is not to go on, exit is true.
func (o *options) parse(args []string) (code int, exit bool) {
	fs := o.flags()
	text := helpExport
	if o.migrate {
		text = helpMigrate
	}
	if code, exit := cli.Parse(fs, args, text, o.stdout, o.stderr); exit {
		return code, true
	}
	o.input.Args, o.input.Stdin = fs.Args(), os.Stdin
	if err := o.check(fs); err != nil {
		return cli.Misused(fs, o.stderr, err.Error()), true
	}
	return cli.OK, false
}

func (o *options) flags() *flag.FlagSet {
	name := "bulk export"
	if o.migrate {
		name = "bulk migrate"
	}
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	if o.migrate {
		fs.StringVar(&o.from, "from", os.Getenv("GITLAB_URL"), "`URL` of the source instance")
		fs.StringVar(&o.to, "to", os.Getenv("GITLAB_DEST_URL"), "`URL` of the destination instance")
		fs.StringVar(&o.namespace, "namespace", "", "full `path` of the group to import into (default every project keeps its path)")
		fs.StringVar(&o.spool, "spool", "", "`folder` for archives on their way (default the system's for temporary files)")
	} else {
		fs.StringVar(&o.from, "url", os.Getenv("GITLAB_URL"), "`URL` of the instance")
		fs.StringVar(&o.dir, "dir", ".", "`folder` to write the files to")
		fs.DurationVar(&o.newAfter, "new-after", 18*time.Hour, "begin anew if the journal was begun this `time` ago; 0 for never")
	}
	o.input.Flags(fs)
	fs.IntVar(&o.transfers, "transfers", 4, "`number` of downloads and uploads at a time; 0 for any")
	fs.Func("rate", "`limits` per minute that differ from GitLab's own, such as exports=60,imports=none; also\n"+
		"downloads (of one project) and polls (of all waits together); may be repeated", func(s string) error {
		return input.ParseRate(s, &o.rate)
	})
	fs.DurationVar(&o.maxAge, "max-age", 0, "take an archive that is there if it is not older than this `time`, instead of a new export")
	fs.StringVar(&o.journal, "journal", "", "journal `file` (default see Files)")
	fs.BoolVar(&o.prove, "prove", false,
		"count afterwards what is in each project, in its archive and in\nthe new project, and tell what was lost")
	fs.BoolVar(&o.dryRun, "dry-run", false, "only say what would happen, and how long the limits make it at least")
	fs.BoolVar(&o.json, "json", false, "write a JSON object per line to standard output, and text for people to standard error")
	fs.StringVar(&o.metrics, "metrics", "", "`file` for metrics in Prometheus' text format")
	fs.DurationVar(&o.timeout, "timeout", 0, "give up after this `time` (default never)")
	fs.DurationVar(&o.poll, "poll", 0, "`time` between looks at a status (default growing from 2s to 30s)")
	return fs
}

// check refuses what does not go together, and takes the tokens from the
// environment.
func (o *options) check(fs *flag.FlagSet) error {
	switch {
	case o.from == "" && !o.migrate:
		return errors.New("no -url, and GITLAB_URL is not set")
	case o.from == "" && o.to == "":
		return errors.New("neither -from nor -to")
	case o.from == "":
		return errors.New(cli.Given(fs, "to", "GITLAB_DEST_URL") + ", but -from is missing")
	case o.migrate && o.to == "":
		return errors.New(cli.Given(fs, "from", "GITLAB_URL") + ", but -to is missing")
	case o.transfers < 0:
		return errors.New("-transfers must not be negative")
	case o.dryRun && (o.json || o.metrics != ""):
		return errors.New("-dry-run writes text only: neither -json nor -metrics goes with it")
	}
	if err := o.input.Check(o.namespace); err != nil {
		return err
	}
	if o.migrate {
		o.journal = cmp.Or(o.journal, "bulk-migrate.jsonl")
	}
	o.journal = cmp.Or(o.journal, filepath.Join(o.dir, "bulk-export.jsonl"))
	var err error
	if o.fromAuth, err = cli.Token("GITLAB_TOKEN"); err == nil && o.migrate {
		o.toAuth, err = cli.Token("GITLAB_DEST_TOKEN")
	}
	return err
}

// clientOptions configure the clients.
func (o *options) clientOptions() []porter.Option {
	return append(cli.Polling(o.poll), porter.WithPacing(o.rate), porter.WithTransfers(o.transfers))
}

// bulk does what the options say.
func bulk(ctx context.Context, o options) int {
	wctx, cancel := cli.WithTimeout(ctx, o.timeout)
	defer cancel()
	from, to, err := o.connect()
	if err != nil {
		return o.fail(ctx, err)
	}
	projects, err := o.projects(wctx, from)
	if err != nil {
		return o.fail(ctx, err)
	}
	h, err := o.header(wctx, from, to)
	if err != nil {
		return o.fail(ctx, err)
	}
	if o.dryRun {
		return o.plan(ctx, wctx, from, to, projects, h)
	}
	j, err := openJournal(o.journal, h, o.newAfter)
	if err != nil {
		return o.fail(ctx, err)
	}
	defer j.Close()
	w := work{from: from, to: to, journal: j, maxAge: o.maxAge, rate: o.rate, prove: o.prove, spool: o.spool,
		view: o.newView(), projects: projects}
	begun := time.Now()
	projects = w.run(wctx)
	writeSummary(o.people(), projects, time.Since(begun))
	switch {
	case j.failure() != nil:
		fmt.Fprintf(o.stderr, "error: stopped, because nothing may be begun that is not noted: %v\n", j.failure())
		return cli.Failure
	case ctx.Err() != nil:
		fmt.Fprintln(o.stderr, "Interrupted. GitLab goes on with what it has begun; run the same command again to take it up.")
		return cli.Interrupted
	case w.tokenErr != nil:
		fmt.Fprintf(o.stderr, "error: nothing more was begun: %v. Run the same command again with another token.\n", w.tokenErr)
	case wctx.Err() != nil && slices.ContainsFunc(projects, left):
		fmt.Fprintf(o.stderr, "Stopped: %v. GitLab goes on with what it has begun; run the same command again to take it up.\n",
			context.Cause(wctx))
	}
	return exitCode(projects)
}

// left says whether a run was cut off before it came to a project's end.
func left(p project) bool { return p.Step == stepWaiting || p.Step == stepInterrupted }

// people is where text for people goes.
func (o *options) people() io.Writer {
	if o.json {
		return o.stderr
	}
	return o.stdout
}

// newView shows the run in the ways that were asked for.
func (o *options) newView() view {
	var all views
	if o.metrics != "" {
		all = append(all, newMetrics(o.metrics)) // it may complain above the screen
	}
	switch {
	case o.json:
		all = append(all, newJSON(o.stdout))
	case isScreen(o.stdout):
		all = append(all, newScreen(o.stdout.(*os.File)))
	default:
		all = append(all, newLines(o.stdout))
	}
	return all
}

// isScreen reports whether w is a terminal that can erase what is on it.
func isScreen(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

func (o *options) connect() (from, to *instance, err error) {
	if o.transport == nil {
		o.transport = porter.NewTransport(nil)
	}
	name := "-url"
	if o.migrate {
		name = "-from"
	}
	if from, err = connect(o.from, o.fromAuth, o.transport, o.clientOptions()...); err != nil {
		return nil, nil, input.Misused("%s: %v", name, err)
	}
	if o.migrate {
		if to, err = connect(o.to, o.toAuth, o.transport, o.clientOptions()...); err != nil {
			return nil, nil, input.Misused("-to: %v", err)
		}
	}
	return from, to, nil
}

func (o *options) projects(ctx context.Context, from *instance) ([]project, error) {
	all, err := o.input.Gather(ctx, from.Client)
	if err != nil {
		return nil, err
	}
	if o.migrate {
		return migrations(ctx, all, o.namespace, from.Client)
	}
	return exports(all, o.dir)
}

// header is that of this run's journal. It fails if a token is not taken.
func (o *options) header(ctx context.Context, from, to *instance) (h header, err error) {
	h = header{Version: journalVersion, Command: "export", Source: from.BaseURL(), Begun: time.Now().UTC()}
	if h.SourceUser, err = from.user(ctx); err == nil && to != nil {
		h.Command, h.Destination = "migrate", to.BaseURL()
		h.DestinationUser, err = to.user(ctx)
	}
	return h, err
}

// plan does the dry run.
func (o *options) plan(ctx, wctx context.Context, from, to *instance, projects []project, h header) int {
	past, took, err := recall(o.journal, h, o.newAfter)
	if err != nil {
		return o.fail(ctx, fmt.Errorf("journal: %w", err))
	}
	p := planner{from: from, to: to, past: past, maxAge: o.maxAge}
	planned := p.plan(wctx, projects, o.rate, took, o.stdout)
	if wctx.Err() != nil {
		return o.fail(ctx, fmt.Errorf("dry run: %w: %w", context.Cause(wctx), wctx.Err()))
	}
	for i := range planned {
		if planned[i].Step == stepWaiting {
			planned[i].Step = stepDone // as far as can be told
		}
	}
	return exitCode(planned)
}

// fail tells why nothing was begun, and returns the exit code.
func (o *options) fail(ctx context.Context, err error) int {
	var usage *input.UsageError
	var journal *journalError
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(o.stderr, "bulk: %v (-h for help)\n", err)
		return cli.BadUsage
	case errors.As(err, &journal):
		fmt.Fprintln(o.stderr, "error:", err)
		return cli.BadUsage
	}
	if ctx.Err() != nil {
		fmt.Fprintln(o.stderr, "Interrupted:", err)
		return cli.Interrupted
	}
	cli.Explain(o.stderr, err)
	if errors.Is(err, errLocked) || retryable(err) {
		return cli.Again
	}
	return cli.Failure
}
