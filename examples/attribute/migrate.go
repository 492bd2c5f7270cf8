package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
)

// errNoAdmin is said before anything runs.
var errNoAdmin = errors.New("nothing was done: the token in GITLAB_DEST_TOKEN is of no administrator, so that GitLab would map nobody; " +
	"have an administrator import what -o writes")

// migrate moves a project, with the addresses put in. What it needs and who is
// mapped is said before anything becomes a project.
func migrate(ctx context.Context, o options, u *users, fromAuth, toAuth porter.Auth, stdout io.Writer) error {
	project, err := porter.ParseProject(o.what)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
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

// move exports to a file, reports, and imports.
func move(
	ctx context.Context, o options, u *users, from *porter.Client, project porter.ProjectRef, to *porter.Client, opts porter.ImportOptions,
	display *cli.Display, stdout io.Writer,
) error {
	dir, err := os.MkdirTemp(o.dir, "attribute-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "export.tar.gz")
	export, err := from.ExportToFile(ctx, project, name, nil)
	if err != nil {
		return err
	}
	display.Close()
	source, err := porter.FileSource(name)
	if err != nil {
		return err
	}
	p := newPlan(u)
	r, err := report(ctx, source, p, stdout)
	switch {
	case err != nil:
		return err
	case o.strict && !r.complete():
		return errLeft
	}
	opts.Path = cmp.Or(opts.Path, export.Project.Path)
	imp, err := to.Import(ctx, porter.EditArchive(source, porter.MapUsers(p.address)), opts)
	display.Close()
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Moved %s to %s (ID %s).\n", cli.Printable(o.what), cli.Printable(imp.PathWithNamespace.String()), imp.ID)
	for _, f := range imp.FailedRelations {
		fmt.Fprintf(stdout, "Not imported: %s\n", cli.Printable(cli.FailedRelation(f)))
	}
	if !r.complete() || !imp.Complete() {
		return errIncomplete
	}
	return nil
}
