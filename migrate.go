package porter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-5d77b939/porter/internal/diskio"
	"github.com/seed-5d77b939/porter/internal/wait"
)

// MigrateOptions say how Migrate moves a project.
type MigrateOptions struct {
	Import     ImportOptions          // Path defaults to that of the source project
	Export     *ScheduleExportOptions // nil for none; before 14.0 an upload target leaves nothing to move, and the error is ErrExportExpired
	SpoolDir   string                 // holds the archive meanwhile; defaults to os.TempDir, which on some systems is memory
	NoSpool    bool                   // nothing on disk; a broken upload then downloads again
	SkipVerify bool                   // do not check the archive on its way
	Strict     bool                   // an incomplete import is an error
}

// Migration is what Migrate did.
type Migration struct {
	Source  Project
	Import  *Import       // GitLab's last answer
	Archive *ArchiveInfo  // nil with SkipVerify
	Bytes   int64         // of the archive
	Elapsed time.Duration // of the whole, waits included
}

// Migrate exports a project from one instance and imports it into another,
// uploading while it downloads. It checks first that the destination is free
// or, with Overwrite or without a NamespacePath, at least that it accepts the
// token, and on the way that the archive is whole: a damaged one never becomes
// a project. Run again after a failure, it joins an export that is still under
// way.
//
// The archive passes through a file in SpoolDir, which needs room for all of
// it: if its size is known and there is less, that is an error before it is
// downloaded. On Linux /tmp is often memory and not a disk; then Migrate logs a
// warning, and SpoolDir should name a folder on a disk, such as /var/tmp.
//
// The error is ErrProjectExists if the destination is taken, an *ExportError
// or *ImportError if GitLab failed, ErrNotArchive or ErrArchiveDamaged if the
// archive is not sound, and else one of those of ScheduleExport,
// WaitForExport, OpenExport, StartImport and WaitForImport. Once GitLab has
// created the project, the Migration comes with the error.
func Migrate(ctx context.Context, from *Client, p ProjectRef, to *Client, opts MigrateOptions) (*Migration, error) {
	if from == nil || to == nil {
		return nil, errors.New("migrate: client is nil")
	}
	id, err := resolve(p)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	m := &migration{from: from, to: to, project: p, label: p.String(), opts: opts, start: time.Now()}
	result, err := m.run(withObserverLock(ctx), id)
	if err != nil {
		return result, fmt.Errorf("migrate %s: %w", p, err)
	}
	return result, nil
}

// migration is one call of Migrate.
type migration struct {
	from, to *Client
	project  ProjectRef // the source as the caller gave it
	label    string     // that, in messages
	opts     MigrateOptions
	clues    importClues
	start    time.Time
	result   Migration
}

func (m *migration) run(ctx context.Context, id string) (*Migration, error) {
	if err := m.checkOptions(); err != nil {
		return nil, err
	}
	var sp *diskio.Spool
	if !m.opts.NoSpool { // an unwritable folder is an error before the hours of exporting
		var err error
		if sp, err = diskio.NewSpool(m.opts.SpoolDir); err != nil {
			return nil, fmt.Errorf("spool: %w", err)
		}
		defer sp.Close()
	}
	exp, err := m.export(ctx, id, sp)
	if err != nil {
		return nil, err
	}
	m.result.Source = exp.Project
	m.result.Import, err = m.transfer(ctx, exp.ref(m.project), sp)
	if err == nil {
		err = m.waitForImport(ctx)
	}
	m.result.Elapsed = time.Since(m.start)
	if m.result.Import == nil {
		return nil, err
	}
	return &m.result, err
}

// checkOptions refuses options before the first request.
func (m *migration) checkOptions() error {
	if m.opts.Import.Path != "" { // else it is known after the first request
		if _, err := m.opts.Import.fields(); err != nil {
			return err
		}
	}
	_, err := m.opts.Export.encode()
	return err
}

// export makes the export, once nothing is known to stand in the way of what
// comes after it.
func (m *migration) export(ctx context.Context, id string, sp *diskio.Spool) (*Export, error) {
	before, err := m.from.getExport(ctx, id, m.label, false)
	if err != nil {
		return nil, fmt.Errorf("export of %s: %w", m.label, err)
	}
	if m.opts.Import.Path == "" {
		m.opts.Import.Path = before.Path
		if _, err := m.opts.Import.fields(); err != nil {
			return nil, err
		}
	}
	free, err := m.checkDestination(ctx, before.PathWithNamespace)
	if err != nil {
		return nil, fmt.Errorf("import of %s: %w", m.opts.Import.label(), err)
	}
	m.clues = importClues{free: free, outlasts: true}
	if sp != nil {
		if err := m.from.checkSpool(ctx, before.ref(m.project), m.label, sp.Dir()); err != nil {
			return nil, fmt.Errorf("spool: %w", err)
		}
	}
	return m.from.makeExport(ctx, before, m.project, m.opts.Export)
}

// transfer moves the archive of the project id and starts its import.
func (m *migration) transfer(ctx context.Context, id string, sp *diskio.Spool) (*Import, error) {
	if sp == nil {
		return m.direct(ctx, id)
	}
	defer sp.Close() // the import may take hours yet
	return m.spooled(ctx, id, sp)
}

// waitForImport waits for the import that was started.
func (m *migration) waitForImport(ctx context.Context) error {
	imp, err := last(m.to.watchImport(ctx, m.result.Import.ID.String(), m.opts.Import.label()))
	if imp != nil {
		m.result.Import = imp
	}
	if err == nil && m.opts.Strict && !imp.Complete() {
		err = &ImportError{imp}
	}
	return err
}

// checkDestination looks whether the destination is free. If its path is not
// known, or to be overwritten, it asks for any project, that of the source, as
// a token that is not accepted is better found before the hours of exporting.
func (m *migration) checkDestination(ctx context.Context, source ProjectPath) (free bool, err error) {
	if _, ok := m.opts.Import.target(); ok && !m.opts.Import.Overwrite {
		return m.to.isFree(ctx, m.opts.Import, false)
	}
	_, err = m.to.lookUp(ctx, source, true)
	if outcomeOf(err).fault == authFault || errors.Is(err, ErrUnauthorized) {
		return false, err
	}
	return false, wait.Ended(ctx)
}
