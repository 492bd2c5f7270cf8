package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
)

// Activities are what a worker does at GitLab.
type Activities struct {
	Site     Site
	From, To *porter.Client
	Spool    string        // folder for archives on their way, "" for the system's
	Grace    time.Duration // how long a job that does not show may not have been picked up yet; 0 for 10 minutes
	Beat     Beat
}

const defaultGrace = 10 * time.Minute

// ready checks that a job is one for this worker.
func (a *Activities) ready(job Job) (porter.ProjectRef, error) {
	ref, err := job.ref()
	if err == nil && job.Site != a.Site {
		err = fmt.Errorf("this worker is for %+v, and the job for %+v", a.Site, job.Site)
	}
	return ref, failure(err)
}

// Check looks for what would certainly make the migration fail.
func (a *Activities) Check(ctx context.Context, job Job) error {
	ref, err := a.ready(job)
	if err != nil {
		return err
	}
	found, err := porter.CheckMigration(ctx, a.From, ref, a.To, porter.MigrateOptions{Import: job.importOptions()})
	if err == nil {
		err = found.Err()
	}
	return failure(err)
}

// Why a migration was ended that has come far enough for this activity.
var (
	errTold  = errors.New("has come to where another activity goes on")
	errShows = errors.New("an export shows")
)

// Schedule has the project exported, once, however often it is tried, and
// returns when the export has begun. Until it is sure that GitLab has taken the
// request, its checkpoint says "scheduling".
func (a *Activities) Schedule(ctx context.Context, job Job) (*porter.Checkpoint, error) {
	ref, err := a.ready(job)
	if err != nil {
		return nil, err
	}
	p, err := newPulse(ctx, a.Beat)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	before := p.at()
	if before != nil && before.Step == porter.StepExporting {
		return before, nil
	}
	// After a lost answer, or in the next attempt, Migrate would wait for the whole
	// export. That is for others to do.
	from, err := a.From.With(porter.WithObserver(func(ev porter.Event) {
		if shows(ev) {
			p.end(errShows)
		}
	}))
	if err != nil {
		return nil, failure(err)
	}
	_, err = porter.Migrate(p.ctx, from, ref, a.To, porter.MigrateOptions{
		Import:    job.importOptions(),
		SkipCheck: true, // it has been made
		NoSpool:   true, // nothing is moved
		Resume:    before,
		Checkpoint: func(_ context.Context, c porter.Checkpoint) error {
			if err := p.tell(c); err != nil {
				return err
			}
			if c.Step != porter.StepScheduling {
				return errTold
			}
			return nil
		},
	})
	if errors.Is(err, errTold) || errors.Is(context.Cause(p.ctx), errShows) {
		return p.at(), nil
	}
	return nil, p.failed(err)
}

// shows reports whether an event tells that the project has an export.
func shows(ev porter.Event) bool {
	switch {
	case ev.Op == porter.OpExport && ev.Kind == porter.EventStatus:
		return ev.Status != string(porter.ExportNone) && ev.Status != string(porter.ExportFailed)
	}
	return ev.Op == porter.OpDownload && ev.Kind == porter.EventStarted
}

// AwaitExport looks once at the export. While it runs, the error has the look
// repeated.
func (a *Activities) AwaitExport(ctx context.Context, job Job, c *porter.Checkpoint) error {
	if _, err := a.ready(job); err != nil {
		return err
	}
	exp, err := a.From.GetExport(ctx, c.Source)
	switch {
	case err != nil:
		return failure(err)
	case exp.Status == porter.ExportFinished:
		return nil
	case exp.Status != porter.ExportNone && exp.Status != porter.ExportFailed || a.early(ctx):
		return running("export of "+job.Name, exp.Status)
	}
	return failure(&porter.ExportError{Export: exp})
}

// early reports whether a job that was just begun may not show yet.
func (a *Activities) early(ctx context.Context) bool {
	grace := a.Grace
	if grace == 0 {
		grace = defaultGrace
	}
	return time.Since(activity.GetInfo(ctx).ScheduledTime) < grace
}

// Moved is an archive that was sent.
type Moved struct {
	Import porter.ProjectID `json:"import"` // the new project
	Bytes  int64            `json:"bytes"`
}

// Transfer sends the archive to the destination, once whole, however often it is
// tried, and returns when GitLab has created the project.
func (a *Activities) Transfer(ctx context.Context, job Job, c *porter.Checkpoint) (moved Moved, err error) {
	ref, err := a.ready(job)
	if err != nil {
		return moved, err
	}
	p, err := newPulse(ctx, a.Beat)
	if err != nil {
		return moved, err
	}
	defer p.stop()
	if last := p.at(); last != nil {
		c = last
	}
	if c.Import > 0 {
		return Moved{Import: c.Import}, nil
	}
	m, err := porter.Migrate(p.ctx, a.From, ref, a.To, porter.MigrateOptions{
		Import:    job.importOptions(),
		SpoolDir:  a.Spool,
		SkipCheck: true,
		Resume:    c,
		Checkpoint: func(_ context.Context, c porter.Checkpoint) error {
			if c.Step == porter.StepScheduling {
				return errExpired
			}
			if err := p.tell(c); err != nil {
				return err
			}
			if c.Step == porter.StepImporting {
				return errTold
			}
			return nil
		},
	})
	switch {
	case errors.Is(err, errTold):
		return Moved{Import: m.Import.ID, Bytes: m.Bytes}, nil
	case errors.Is(err, errExpired):
		return moved, temporal.NewNonRetryableApplicationError(err.Error(), typeExpired, nil)
	}
	return moved, p.failed(err)
}

// errExpired is an archive that is not there any more. Exports are scheduled on
// another queue.
var errExpired = errors.New("the archive is gone")

// AwaitImport looks once at the import. While it runs, the error has the look
// repeated.
func (a *Activities) AwaitImport(ctx context.Context, job Job, m Moved) (out Outcome, err error) {
	if _, err := a.ready(job); err != nil {
		return out, err
	}
	imp, err := a.To.GetImport(ctx, m.Import)
	switch {
	case errors.Is(err, porter.ErrNotFound) && a.early(ctx): // a replica lags
		return out, running("import of "+job.Target, "not found")
	case err != nil:
		return out, failure(err)
	case imp.Status == porter.ImportFinished:
		out = Outcome{ID: imp.ID, Bytes: m.Bytes}
		for _, text := range cli.Lost(imp) {
			out.Lost = append(out.Lost, bounded(text))
		}
		return out, nil
	case imp.Status.Terminal():
		return out, failure(&porter.ImportError{Import: imp})
	}
	return out, running("import of "+job.Target, imp.Status)
}
