// Command bulk exports many GitLab projects to files.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
	"github.com/seed-5d77b939/porter/examples/internal/demo"
	"github.com/seed-5d77b939/porter/portertest"
)

const help = `Bulk exports many GitLab projects, each to a file of its own: group/app to
group/app.tar.gz. A project that fails does not stop the others, and a summary
says at the end what became of each. However many run at a time, the exports
stay within GitLab's rate limits.

  bulk [flags] [PROJECT...]

A PROJECT is the full path or the ID of a project; -list names a file with one
on each line. Without -url and GITLAB_URL nothing real is touched: projects of
a simulated instance are exported.

Examples:
  bulk
      a simulation
  bulk -url https://gitlab.example.com -dir backups group/app group/site
  bulk -url https://gitlab.example.com -dir backups -list projects.txt -skip
      leaves out projects whose file is there already, as after an interruption

On Linux each export holds up to 4 files open, with its connection, and the
program about 7 besides: "ulimit -n" has to be above that.

Environment:
  GITLAB_URL, GITLAB_TOKEN  the instance unless -url is given, and a token of a
                            Maintainer of them all

Exit codes: 0 all saved, 1 some failed, 2 wrong usage, 130 interrupted.
`

func main() { cli.Main(run) }

type options struct {
	url           string
	projects      []string
	dir           string
	jobs          int
	skip          bool
	timeout, poll time.Duration
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	fs := flag.NewFlagSet("bulk", flag.ContinueOnError)
	fs.StringVar(&o.url, "url", os.Getenv("GITLAB_URL"), "`URL` of the instance")
	fs.StringVar(&o.dir, "dir", "", "`folder` to write the files to (default the current one)")
	fs.IntVar(&o.jobs, "jobs", 8, "how many projects to export at a time")
	fs.BoolVar(&o.skip, "skip", false, "leave out projects whose file exists")
	fs.DurationVar(&o.timeout, "timeout", 0, "give up after this `time` (default never)")
	fs.DurationVar(&o.poll, "poll", 0, "`time` between looks at a status (default growing from 2s to 30s)")
	list := fs.String("list", "", "`file` with a project on each line; empty lines and those with # are left out")
	if code, exit := cli.Parse(fs, args, help, stdout, stderr); exit {
		return code
	}
	o.projects = fs.Args()
	if *list != "" {
		more, err := readList(*list)
		if err != nil {
			return cli.Misused(fs, stderr, "-list: "+err.Error())
		}
		o.projects = append(o.projects, more...)
	}
	switch {
	case o.jobs < 1:
		return cli.Misused(fs, stderr, "-jobs must be positive")
	case o.url == "" && len(o.projects) > 0:
		return cli.Misused(fs, stderr, "projects, but no -url")
	case o.url == "":
		return simulate(ctx, o, stdout, stderr)
	case len(o.projects) == 0:
		return cli.Misused(fs, stderr, cli.Given(fs, "url", "GITLAB_URL")+", but no projects are named")
	}
	token, err := cli.Token("GITLAB_TOKEN")
	if err != nil {
		return cli.Misused(fs, stderr, err.Error())
	}
	return bulk(ctx, o, token, stdout, stderr)
}

// simulate exports projects of a simulated instance, to a temporary folder
// unless another is named.
func simulate(ctx context.Context, o options, stdout, stderr io.Writer) int {
	gitlab := demo.Server()
	defer gitlab.Close()
	for i, p := range []string{"team/app", "team/site", "team/tools/lint", "team/tools/deploy"} {
		gitlab.AddProject(portertest.Project{Path: p, Archive: portertest.NewArchive(8<<20, portertest.ArchiveSeed(int64(i)))})
		o.projects = append(o.projects, p)
	}
	fmt.Fprintf(stdout, "No -url given: exporting %d projects from a simulated instance.\n", len(o.projects))
	o.url = gitlab.URL
	if o.poll == 0 {
		o.poll = demo.Poll
	}
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "bulk-")
		if err != nil {
			fmt.Fprintln(stderr, "error:", err)
			return cli.Failure
		}
		defer func() {
			os.RemoveAll(dir)
			fmt.Fprintln(stdout, "Removed the files, because this was a simulation without -dir.")
		}()
		o.dir = dir
	}
	return bulk(ctx, o, porter.PrivateToken(portertest.Token), stdout, stderr)
}

// errSkipped is why a project was left out.
var errSkipped = errors.New("skipped, the file exists")

func bulk(ctx context.Context, o options, auth porter.Auth, stdout, stderr io.Writer) int {
	client, err := porter.NewClient(o.url, auth, cli.Polling(o.poll)...)
	if err != nil {
		fmt.Fprintln(stderr, "error: -url:", err)
		return cli.BadUsage
	}
	wctx, cancel := cli.WithTimeout(ctx, o.timeout)
	defer cancel()
	logger := log.New(stdout, "", log.Ltime) // safe for all the goroutines
	failures := make([]error, len(o.projects))
	var g errgroup.Group
	g.SetLimit(o.jobs)
	for i, project := range o.projects {
		g.Go(func() error {
			failures[i] = save(wctx, client, project, o, logger)
			if failures[i] != nil {
				logger.Printf("%s: %v", project, failures[i])
			}
			return nil // the others go on
		})
	}
	g.Wait()
	return summarize(ctx, o, failures, stdout, stderr)
}

// save exports one project to its file.
func save(ctx context.Context, client *porter.Client, project string, o options, logger *log.Logger) error {
	name, err := fileName(o.dir, project)
	if err != nil {
		return err
	}
	if _, err := os.Stat(name); err == nil && o.skip {
		return errSkipped
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	var last string
	client, err = client.With(porter.WithObserver(func(ev porter.Event) {
		switch {
		case ev.Kind == porter.EventStatus && ev.Status != last:
			last = ev.Status
			logger.Printf("%s: %s", project, ev.Status)
		case ev.Kind == porter.EventPaced:
			logger.Printf("%s: waiting %s to stay within GitLab's rate limit", project, ev.Delay.Round(time.Second))
		case ev.Kind == porter.EventRetry:
			logger.Printf("%s: trying again in %s: %v", project, ev.Delay.Round(time.Second), ev.Err)
		}
	}))
	if err != nil {
		return err
	}
	if _, err := client.ExportToFile(ctx, porter.ProjectPath(project), name, nil); err != nil {
		return err
	}
	logger.Printf("%s: saved", project)
	return nil
}

// summarize says what became of every project, and returns the exit code.
func summarize(ctx context.Context, o options, failures []error, stdout, stderr io.Writer) int {
	var saved, skipped, failed int
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table)
	for i, project := range o.projects {
		switch err := failures[i]; {
		case err == nil:
			saved++
			name, _ := fileName(o.dir, project)
			fmt.Fprintf(table, "%s\t%s\n", project, name)
		case errors.Is(err, errSkipped):
			skipped++
			fmt.Fprintf(table, "%s\t%v\n", project, err)
		default:
			failed++
			fmt.Fprintf(table, "%s\tFAILED: %v\n", project, err)
		}
	}
	table.Flush()
	fmt.Fprintf(stdout, "%d saved, %d skipped, %d failed.\n", saved, skipped, failed)
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "Interrupted. GitLab goes on with the exports that it has begun; run the same command again with -skip for the "+
			"rest.")
		return cli.Interrupted
	case failed > 0:
		return cli.Failure
	}
	return cli.OK
}

// fileName returns the file for a project's archive. Each project has its own,
// because paths are unique.
func fileName(dir, project string) (string, error) {
	name := filepath.FromSlash(project) + ".tar.gz"
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("%q is no project path or ID", project)
	}
	return filepath.Join(dir, name), nil
}

func readList(name string) ([]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var projects []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); line != "" && !strings.HasPrefix(line, "#") {
			projects = append(projects, line)
		}
	}
	return projects, lines.Err()
}
