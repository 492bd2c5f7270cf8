package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
)

// errNoAdmin is said before anything runs.
var errNoAdmin = errors.New("nothing was done: the token in GITLAB_DEST_TOKEN is of no administrator, so that GitLab would map nobody; " +
	"have an administrator import what -o writes")

// migrate moves a project, with the addresses put in. What it needs and who is
// mapped is said before anything becomes a project.
func migrate(ctx context.Context, o options, u *users, fromAuth, toAuth porter.Auth, stdout io.Writer) error {
	display := cli.NewDisplay(stdout)
	defer display.Close()
	client := func(flag, url string, auth porter.Auth, job, transfer string) (*porter.Client, error) {
		c, err := porter.NewClient(url, auth, append(cli.Polling(o.poll), porter.WithObserver(display.Observer(job, transfer)))...)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", errUsage, flag, err)
		}
		return c, nil
	}
	from, err := client("-from", o.from, fromAuth, "export", "download")
	if err != nil {
		return err
	}
	to, err := client("-to", o.to, toAuth, "import", "upload")
	if err != nil {
		return err
	}
	project, err := from.ParseProject(o.what)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	opts := porter.ImportOptions{Path: o.path}
	if o.namespace != "" {
		opts.Namespace = porter.NamespacePath(o.namespace)
	}
	wctx, cancel := cli.WithTimeout(ctx, o.timeout)
	defer cancel()

	fmt.Fprint(stdout, onlyAdmins)
	if err := check(wctx, from, project, to, opts, stdout); err != nil {
		return err
	}
	err = move(wctx, o, u, from, project, to, opts, display, stdout)
	if wctx.Err() != nil && err != nil {
		return fmt.Errorf("%w (GitLab goes on with an export or import that it has begun)", err)
	}
	return err
}

// check looks for what stands in the way, before anything runs.
func check(
	ctx context.Context, from *porter.Client, p porter.ProjectRef, to *porter.Client, opts porter.ImportOptions, stdout io.Writer,
) error {
	k, err := porter.CheckMigration(ctx, from, p, to, porter.MigrateOptions{Import: opts})
	if err != nil {
		return err
	}
	for _, f := range k.Findings {
		fmt.Fprintf(stdout, "Before: %s.\n", cli.Printable(f.Text))
		if f.Kind == porter.FindingUsers {
			err = errNoAdmin
		}
	}
	return cmp.Or(k.Err(), err)
}

// move migrates. What is mapped is said when the archive is known, before it
// becomes a project.
func move(
	ctx context.Context, o options, u *users, from *porter.Client, project porter.ProjectRef, to *porter.Client, opts porter.ImportOptions,
	display *cli.Display, stdout io.Writer,
) error {
	p := newPlan(u)
	var r *result
	m, err := porter.Migrate(ctx, from, project, to, porter.MigrateOptions{
		Import:   opts,
		SpoolDir: o.dir,
		Edit:     []porter.Edit{porter.MapUsers(p.address)},
		Inspect: func(i *porter.Inspection) (err error) {
			display.Close()
			if r, err = p.tell(i, stdout); err == nil && o.strict && !r.complete() {
				err = errLeft
			}
			return err
		},
	})
	display.Close()
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Moved %s to %s (ID %s).\n", cli.Printable(m.Source.PathWithNamespace.String()),
		cli.Printable(m.Import.PathWithNamespace.String()), m.Import.ID)
	for _, f := range m.Import.FailedRelations {
		fmt.Fprintf(stdout, "Not imported: %s\n", cli.Printable(cli.FailedRelation(f)))
	}
	if !r.complete() || !m.Import.Complete() {
		return errIncomplete
	}
	return nil
}
