package porter

import "context"

// CheckMigration looks for what would make a migration with opts fail, or lose
// what its user may expect, and moves nothing. It is CheckExport at the source,
// CheckImport at the destination, with an estimate of the archive's size, and a
// comparison of the releases: an archive of 12.10 or earlier, say, is not read
// by 15.11 or later. The project's path is checked as Migrate would choose it.
// opts.Resume and opts.Checkpoint mean nothing to it.
//
// It makes the requests of both and one or two for the releases. What is kept
// for a minute is not asked again.
func CheckMigration(ctx context.Context, from *Client, p ProjectRef, to *Client, opts MigrateOptions) (*Check, error) {
	id, err := from.resolve(ctx, p)
	if err == nil {
		err = to.ready(ctx)
	}
	if err != nil {
		return nil, checkError("migration", err)
	}
	k := new(Check)
	if err := k.migration(ctx, from, id, p.String(), to, opts); err != nil {
		return nil, checkError("migration of "+p.String(), err)
	}
	return k, nil
}

// migration checks a migration of the project id, which is called label.
func (k *Check) migration(ctx context.Context, from *Client, id, label string, to *Client, opts MigrateOptions) (err error) {
	opts.Import.Resume, opts.Import.Checkpoint = nil, nil
	if opts.Import.Path != "" { // else it is known after the first request
		if _, err := opts.Import.fields(); err != nil {
			return err
		}
	}
	if err := opts.Export.check(false); err != nil {
		return err
	}
	sctx, o := from.begin(ctx, OpLook, id, label)
	defer o.end(&err)
	source := &exportCheck{c: from, check: k}
	if err := source.begin(sctx, id, label); err != nil {
		return err
	}
	if opts.Import.Path == "" {
		opts.Import.Path = source.before.Path
		if _, err := opts.Import.fields(); err != nil {
			return err
		}
	}
	if err := source.size(sctx); err != nil {
		return err
	}
	ctx, d := to.begin(ctx, OpLook, "", opts.Import.label())
	defer d.end(&err)
	destination := &importCheck{c: to, opts: opts.Import, check: k, own: true}
	if err := destination.run(ctx); err != nil {
		return err
	}
	if s := destination.settings; s != nil && s.MaxImportSize > 0 {
		size, err := source.statistics(sctx)
		if err != nil {
			return err
		}
		if size != nil {
			destination.size(size.archive(), false)
		}
	}
	return k.releases(ctx, from, to)
}
