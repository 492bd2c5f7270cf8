package porter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
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
	if m.opts.Import.Path != "" { // else it is known after the first request
		if _, err := m.opts.Import.fields(); err != nil {
			return nil, err
		}
	}
	if _, err := m.opts.Export.encode(); err != nil {
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
	exp, err := m.from.makeExport(ctx, before, m.project, m.opts.Export)
	if err != nil {
		return nil, err
	}
	m.result.Source = exp.Project

	var imp *Import
	if m.opts.NoSpool {
		imp, err = m.direct(ctx, exp.ref(m.project))
	} else {
		imp, err = m.spooled(ctx, exp.ref(m.project), sp)
		sp.Close() // the import may take hours yet
	}
	if imp != nil {
		m.result.Import = imp
	}
	if err == nil {
		imp, err = last(m.to.watchImport(ctx, imp.ID.String(), m.opts.Import.label()))
		if imp != nil {
			m.result.Import = imp
		}
	}
	if err == nil && m.opts.Strict && !imp.Complete() {
		err = &ImportError{imp}
	}
	m.result.Elapsed = time.Since(m.start)
	if m.result.Import == nil {
		return nil, err
	}
	return &m.result, err
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

// spooled moves the archive through a file: one goroutine downloads it, one
// verifies it, and this one uploads it, each as fast as it can. A repeated
// upload reads the file again, so it costs no second download.
func (m *migration) spooled(ctx context.Context, id string, sp *diskio.Spool) (*Import, error) {
	tctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	r, err := m.from.openExportReader(tctx, id, m.label, true)
	if err != nil {
		return nil, err
	}
	if err := diskio.CheckSpace(sp.Dir(), r.Size()); err != nil {
		r.Close()
		return nil, fmt.Errorf("spool: %w", err)
	}
	// The first failure of the download or the verification ends all three at
	// once: the upload may be waiting for its turn.
	failure := make(chan error, 1)
	fail := func(err error) {
		if tctx.Err() == nil { // else it was told to end
			select {
			case failure <- err:
			default:
			}
		}
		cancel()
	}
	wg.Go(func() {
		defer r.Close()
		n, err := diskio.Copy("spool", sp, r)
		m.result.Bytes = n
		if err != nil {
			fail(err)
		}
		sp.End(err)
	})
	if m.opts.SkipVerify {
		sp.Approve(nil)
	} else {
		wg.Go(func() {
			info, err := VerifyArchive(sp.Reader(tctx))
			if err != nil {
				err = fmt.Errorf("export of %s: %w", m.label, err)
			}
			m.result.Archive = info
			if err != nil {
				fail(err)
			}
			sp.Approve(err)
		})
	}
	imp, err := m.upload(tctx, r.Size(), sp)
	cancel()
	wg.Wait()
	if err != nil && imp == nil && ctx.Err() == nil {
		select {
		case why := <-failure:
			return nil, why
		default:
		}
	}
	return imp, err
}

// upload uploads what is in sp, or will be. GitLab is told the length, so it
// must be known.
func (m *migration) upload(ctx context.Context, size int64, sp *diskio.Spool) (*Import, error) {
	if size < 0 {
		var err error
		if size, err = sp.Size(ctx); err != nil {
			return nil, err
		}
	}
	return m.to.startImportSurely(ctx, Source{
		Name: defaultFileName,
		Size: size,
		Open: func(ctx context.Context) (io.ReadCloser, error) { return sp.ApprovedReader(ctx), nil },
	}, m.opts.Import, m.clues)
}

// direct feeds the upload from the download, with nothing on disk.
func (m *migration) direct(ctx context.Context, id string) (*Import, error) {
	imp, err := m.to.startImportSurely(ctx, Source{
		Name: defaultFileName,
		Size: -1,
		Open: func(ctx context.Context) (io.ReadCloser, error) {
			r, err := m.from.openExportReader(ctx, id, m.label, true)
			if err != nil {
				return nil, err
			}
			d := &directReader{ExportReader: r, m: m}
			if !m.opts.SkipVerify {
				d.verify()
			}
			return d, nil
		},
	}, m.opts.Import, m.clues)
	if source := (*sourceError)(nil); imp == nil && errors.As(err, &source) {
		err = source.err // this one knows that it is not the destination's
	}
	return imp, err
}

// A directReader hands an archive to an upload and to its verification, and
// ends only if the archive is sound.
type directReader struct {
	*ExportReader
	m        *migration
	bytes    int64
	pipe     *io.PipeWriter // to the verification, nil without one
	verified chan verification
	err      error
}

// A verification is how verifying an archive ended.
type verification struct {
	info *ArchiveInfo
	err  error
}

func (d *directReader) verify() {
	pr, pw := io.Pipe()
	d.pipe, d.verified = pw, make(chan verification, 1)
	go func() {
		info, err := VerifyArchive(pr)
		pr.CloseWithError(err)
		d.verified <- verification{info, err}
	}()
}

func (d *directReader) Read(b []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	n, err := d.ExportReader.Read(b)
	d.bytes += int64(n)
	if d.pipe != nil {
		_, werr := d.pipe.Write(b[:n])
		if werr != nil || err == io.EOF {
			d.pipe.Close()
			v := <-d.verified
			if d.m.result.Archive = v.info; v.err != nil {
				n, err = 0, fmt.Errorf("export of %s: %w", d.m.label, v.err)
			}
		}
	}
	if err == io.EOF {
		d.m.result.Bytes = d.bytes
	}
	d.err = err
	return n, err
}

// Close ends the download and its verification.
func (d *directReader) Close() error {
	err := d.ExportReader.Close()
	if d.pipe != nil {
		d.pipe.CloseWithError(os.ErrClosed)
	}
	return err
}
