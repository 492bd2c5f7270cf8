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
	Import     ImportOptions  // Path defaults to that of the source project; Resume and Checkpoint are those below
	Export     *ExportOptions // nil for none; before 14.0 an upload target leaves nothing to move, and the error is ErrExportExpired
	SpoolDir   string         // holds the archive meanwhile; defaults to os.TempDir, which on some systems is memory
	NoSpool    bool           // nothing on disk; a broken upload then downloads again
	SkipVerify bool           // do not check the archive on its way; Export.SkipVerify says the same
	Strict     bool           // an incomplete import is an error, and with Prove what was lost, a *LossError
	SkipCheck  bool           // do not look before the export for what would certainly make the import fail

	// Prove counts what is in the source, in the archive and in the new project,
	// and says in Migration.Losses what was lost on the way. Branches and tags are
	// compared by name and SHA. It makes about 12 requests before the export, a few
	// after it, and up to 15 after the import; each list of branches or tags is one
	// for each hundred. If something is missing in the new project, it looks once
	// more after 35 seconds. What Resume takes up after the upload, and an archive
	// that another call has made, can be proven complete, but not short.
	Prove bool

	// Edit changes the archive on its way, as EditArchive does; what is verified,
	// inspected and uploaded is the result. Prove still compares what was exported
	// with the source, and the new project with the result. With NoSpool the
	// upload is then chunked, which some proxies refuse. After Resume from a step
	// before the upload, the edits are made anew. Their functions may be called
	// while the observer is.
	Edit []Edit `json:"-"`
	// Inspect is told what is in the archive once it has been read whole and is
	// sound, or, with SkipVerify, in any case. An error of it ends the migration
	// there, and nothing becomes a project. GitLab waits meanwhile for the end of
	// the upload, so it should not take long. With NoSpool a repeated upload calls
	// it again. The observer is not called meanwhile.
	Inspect func(*Inspection) error `json:"-"`

	// Resume is where another process has left off; nil for the beginning.
	Resume *Checkpoint
	// Checkpoint is told how far the migration has come, before and after what
	// cannot be undone, and keeps it. An error of it ends the migration there.
	// GitLab waits meanwhile for the end of the upload, so it should not take long.
	// It may be told while the observer is called and, of an upload that was broken
	// off, after the end of Migrate.
	Checkpoint func(context.Context, Checkpoint) error `json:"-"`
}

// Migration is what Migrate did.
type Migration struct {
	Source  Project       // only its ID, if it is not there any more
	Import  *Import       // GitLab's last answer
	Archive *ArchiveInfo  // as it was uploaded; nil with SkipVerify but no Inspect, and if another process has sent it
	Bytes   int64         // of the archive as it was uploaded; 0 if another process has sent it
	Elapsed time.Duration // of the whole call, waits included
	Proof                 // empty without Prove
}

// Migrate exports a project from one instance and imports it into another,
// uploading while it downloads. It checks first that the destination is free
// or, with Overwrite or where its path is not known, at least that it accepts
// the token, and on the way that the archive is whole: a damaged one never
// becomes a project. It also looks for what would certainly make the import fail,
// such as a namespace that does not exist or a role that is too low: that is a
// *CheckError before anything is exported. These are up to 8 requests, all but one
// of which are not made again within a minute; CheckMigration says what they
// are, and SkipCheck does without. Run again after a failure, it joins an export
// that is still under way, and with Export.MaxAge takes the archive of one that
// has ended.
//
// The archive passes through a file in SpoolDir, which needs room for all of
// it: if its size is known and there is less, that is an error before it is
// downloaded. On Linux /tmp is often memory and not a disk; then Migrate logs a
// warning, and SpoolDir should name a folder on a disk, such as /var/tmp.
//
// With Resume it takes up what another process has begun, from the last
// checkpoint that Checkpoint was told there: nothing is exported, sent or
// created twice. After StepUploading, it looks whether the project is at its
// path, for Polling.Patience since that step, because GitLab may still be
// taking it in; nothing there means that none was made. Where that path is not
// known (one's own namespace, a NamespaceID that the user can't look up,
// Overwrite) the error is then ErrOutcomeUnknown. A checkpoint of another
// project or target is an error.
//
// The error is a *ProjectExistsError if the destination is taken, a *CheckError
// if the import would fail, an *ExportError or *ImportError if GitLab failed,
// ErrNotArchive, ErrArchiveDamaged or ErrUnimportable if the archive is not sound
// (see VerifyArchive; then nothing becomes a project), and else one of those of
// ScheduleExport, WaitForExport, OpenExport, StartImport and WaitForImport.
// Once GitLab has created the project, the Migration comes with the error.
func Migrate(ctx context.Context, from *Client, p ProjectRef, to *Client, opts MigrateOptions) (*Migration, error) {
	id, err := from.resolve(ctx, p)
	if err == nil {
		err = to.ready(ctx)
	}
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
	trail    *trail
	dest     *wholeImport
	proof    *prover
	passage  passage
	start    time.Time
	spoolDir string // absolute; "" for no spool
	result   Migration
}

// folder is the one that the options ask for, but for its name.
func (o *MigrateOptions) folder() folder {
	f := temporaryFolder()
	switch {
	case o.NoSpool:
	case o.SpoolDir == "":
		f.advice += ", or SpoolDir another one"
	default:
		f.advice = "SpoolDir names the folder"
	}
	return f
}

func (m *migration) run(ctx context.Context, id string) (*Migration, error) {
	if err := m.checkOptions(); err != nil {
		return nil, err
	}
	tmp := m.opts.folder()
	if !m.opts.NoSpool && !m.trail.earlier(StepImporting, StepDone) { // an unwritable folder is an error before the hours of exporting
		var err error
		if m.spoolDir, err = diskio.CheckSpool(m.opts.SpoolDir); err != nil {
			return nil, fmt.Errorf("spool: %w", tmp.advise(err))
		}
		tmp.dir = m.spoolDir
	}
	m.passage = passage{
		label: m.label, edits: m.opts.Edit, folder: tmp, skipVerify: m.opts.SkipVerify,
	}
	if inspect := m.opts.Inspect; inspect != nil {
		m.passage.inspect = func(i *Inspection) (err error) {
			untold(ctx, func() { err = inspect(i) })
			return err
		}
	}
	before, err := m.lookAtSource(ctx, id, m.trail.from.Step.sent())
	if err != nil {
		return nil, err
	}
	m.dest = &wholeImport{c: m.to, opts: m.opts.Import, trail: m.trail, outlasts: true}
	imp, err := m.takeUp(ctx)
	if imp == nil && err == nil {
		imp, err = m.move(ctx, id, before)
	}
	if m.result.Import = imp; imp == nil {
		return nil, m.trail.end(err)
	}
	if err == nil {
		err = m.proof.compare(ctx, m.passage.beforeEdits(m.result.Archive)) // while GitLab imports
	}
	if err == nil {
		err = m.waitForImport(ctx)
	}
	m.result.Elapsed = time.Since(m.start)
	return &m.result, err
}

// checkOptions refuses options before the first request.
func (m *migration) checkOptions() (err error) {
	if m.trail, err = newTrail(m.opts.Resume, m.opts.Checkpoint); err != nil {
		return err
	}
	if r := m.opts.Resume; r != nil {
		if err := m.checkSource(r.Source); err != nil {
			return err
		}
	}
	if err := m.opts.Import.fit(m.opts.Resume); err != nil {
		return err
	}
	if m.opts.Import.Path != "" { // else it is known after the first request
		if _, err := m.opts.Import.fields(); err != nil {
			return err
		}
	}
	if err := checkEdits(m.opts.Edit); err != nil {
		return err
	}
	if m.opts.Export != nil && m.opts.Export.SkipVerify {
		m.opts.SkipVerify = true
	}
	if (m.opts.Prove || m.opts.Export.proves()) && m.opts.SkipVerify {
		return errProveNeedsVerify
	}
	return m.opts.Export.check(false)
}

// checkSource refuses the checkpoint of another source, which it says is id.
func (m *migration) checkSource(id ProjectID) error {
	given, byID := m.project.(ProjectID)
	switch {
	case id <= 0:
		return misfit("it is not of a migration")
	case byID && given != id:
		return misfit("it is of project %d, not of project %d", id, given)
	}
	return nil
}

// takeUp looks for the import that another process has started.
func (m *migration) takeUp(ctx context.Context) (imp *Import, err error) {
	if m.trail.from.Step == "" {
		return nil, nil
	}
	ctx, o := m.to.begin(ctx, OpLook, "", m.dest.opts.label())
	defer o.end(&err)
	return m.dest.takeUp(ctx)
}

// lookAtSource looks at the export of the source. Once the archive may have
// been sent whole, the source may be gone and is not needed; then the look may
// be nil.
func (m *migration) lookAtSource(ctx context.Context, id string, unneeded bool) (before *Export, err error) {
	earlier := m.trail.from
	ctx, o := m.from.begin(ctx, OpLook, id, m.label)
	defer o.end(&err)
	before, err = m.from.getExport(ctx, id, m.label, unneeded)
	switch {
	case err != nil && unneeded && ctx.Err() == nil:
		m.result.Source.ID = earlier.Source
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("export of %s: %w", m.label, err)
	case earlier.Step != "" && before.ID != earlier.Source:
		return nil, misfit("it is of project %d, not of %s, which is project %d", earlier.Source, m.label, before.ID)
	}
	m.result.Source = before.Project
	m.trail.know(before.ID, "")
	if m.opts.Import.Path == "" {
		m.opts.Import.Path = before.Path
		_, err = m.opts.Import.fields()
	}
	return before, err
}

// move has the archive exported, once nothing is known to stand in the way of
// what comes after it, and sends it to the destination.
func (m *migration) move(ctx context.Context, id string, before *Export) (imp *Import, err error) {
	if before == nil {
		if before, err = m.lookAtSource(ctx, id, false); err != nil {
			return nil, err
		}
	}
	if err := m.checkDestination(ctx, before.PathWithNamespace); err != nil {
		return nil, fmt.Errorf("import of %s: %w", m.dest.opts.label(), err)
	}
	ectx, o := m.from.begin(ctx, OpExport, before.ref(m.project), m.label)
	defer o.end(&err)
	if m.spoolDir != "" {
		if err := m.from.checkSpool(ectx, before.ref(m.project), m.label, m.spoolDir); err != nil {
			return nil, fmt.Errorf("spool: %w", m.passage.folder.advise(err))
		}
	}
	if m.opts.Prove || m.opts.Export.proves() {
		m.proof = &prover{c: m.from, id: before.ref(m.project), label: m.label}
		m.passage.compared = true
	}
	source := wholeExport{
		c: m.from, project: m.project, opts: m.opts.Export, trail: m.trail, before: before, proof: m.proof, operation: o,
	}
	_, err = source.archive(ectx, func(a archive) (err error) {
		imp, err = m.transfer(ctx, a)
		return err
	})
	return imp, err
}

// transfer moves the archive and starts its import.
func (m *migration) transfer(ctx context.Context, a archive) (*Import, error) {
	ctx = withPlace(ctx, &m.from.core, &m.to.core)
	if m.spoolDir == "" {
		return m.direct(ctx, a)
	}
	return m.spooled(ctx, a, diskio.NewSpool)
}

// waitForImport waits for the import that was started.
func (m *migration) waitForImport(ctx context.Context) (err error) {
	ctx, o := m.to.begin(ctx, OpImport, m.result.Import.ID.String(), m.dest.opts.label())
	defer o.end(&err)
	m.result.Import, err = m.dest.wait(ctx, m.result.Import)
	if err == nil {
		err = m.prove(ctx)
	}
	if err == nil && m.opts.Strict {
		err = m.incomplete()
	}
	return err
}

// foresee looks for what would certainly make the import fail, and be told only
// after the hours of exporting.
func (m *migration) foresee(ctx context.Context) error {
	if m.opts.SkipCheck {
		return nil
	}
	k := new(Check)
	x := &importCheck{c: m.to, opts: m.dest.opts, check: k, looked: m.dest.target != "" || m.dest.opts.Overwrite}
	if err := x.run(ctx); err != nil {
		return err
	}
	if err := k.releases(ctx, m.from, m.to); err != nil {
		return err
	}
	return k.Err()
}

// checkDestination looks whether the destination is free, and what else stands
// in the way. If its path is not known, or to be overwritten, it asks for any
// project, that of the source, as a token that is not accepted is better found
// before the hours of exporting.
func (m *migration) checkDestination(ctx context.Context, source ProjectPath) (err error) {
	ctx, o := m.to.begin(ctx, OpLook, "", m.dest.opts.label())
	defer o.end(&err)
	if err := m.dest.look(ctx, false); err != nil {
		return err
	}
	if m.dest.target == "" {
		_, err := m.to.lookUp(ctx, source, true)
		if outcomeOf(err).fault == authFault || errors.Is(err, ErrUnauthorized) {
			return err
		}
		if err := wait.Ended(ctx); err != nil {
			return err
		}
	}
	return m.foresee(ctx)
}
