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

// attributeFile reports on an archive, and writes it with the addresses put in.
func attributeFile(ctx context.Context, o options, u *users, stdout io.Writer) error {
	source, err := porter.FileSource(o.what)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	fmt.Fprint(stdout, onlyAdmins)
	p := newPlan(u)
	r, err := report(ctx, source, p, stdout)
	if err != nil {
		return err
	}
	switch {
	case o.output == "":
	case o.strict && !r.complete():
		return errLeft
	default:
		n, err := write(ctx, porter.EditArchive(source, porter.MapUsers(p.address)), o.output)
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "Wrote %s: %s. Have an administrator import it.\n", cli.Printable(o.output), cli.Size(n))
	}
	if !r.complete() {
		return errIncomplete
	}
	return nil
}

// report says who in an archive is mapped. An archive that GitLab would not
// import is an error.
func report(ctx context.Context, source porter.Source, p *plan, stdout io.Writer) (*result, error) {
	f, err := source.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	stop := context.AfterFunc(ctx, func() { f.Close() })
	defer stop()
	i, err := porter.InspectArchive(f)
	if err != nil {
		return nil, cmp.Or(context.Cause(ctx), err)
	}
	for _, problem := range i.Problems {
		if problem.Fatal {
			return nil, fmt.Errorf("GitLab would not import this archive: %s", problem)
		}
	}
	return p.tell(i, stdout)
}

// tell says who of the people in an archive is mapped.
func (p *plan) tell(i *porter.Inspection, stdout io.Writer) (*result, error) {
	if i.Tree == porter.TreeJSON {
		return nil, errors.New("this archive is of GitLab 12 or older, with its tree in one file: it cannot be changed, and " +
			"GitLab 15.11 and later do not import it")
	}
	r, err := p.apply(i.People, i.Strangers)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	r.print(stdout)
	return r, nil
}

// write writes an archive to a file that is there only once it is whole.
func write(ctx context.Context, source porter.Source, name string) (n int64, err error) {
	r, err := source.Open(ctx)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	stop := context.AfterFunc(ctx, func() { r.Close() })
	defer stop()
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return 0, err
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if n, err = io.Copy(f, r); err != nil {
		return n, cmp.Or(context.Cause(ctx), err)
	}
	if err = f.Sync(); err != nil {
		return n, err
	}
	if err = f.Close(); err != nil {
		return n, err
	}
	return n, os.Rename(f.Name(), name)
}
