package porter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/seed-5d77b939/porter/internal/diskio"
	"github.com/seed-5d77b939/porter/internal/redact"
)

// ExportOptions say how ExportTo, ExportToFile and Migrate come by an archive;
// nil is the zero value.
type ExportOptions struct {
	ScheduleExportOptions
	// MaxAge takes the user's finished archive instead of making another, if it
	// is not older, by its Last-Modified and the server's clock, and whatever
	// options it was made with. 0 makes a new one. If the age of the archive is
	// not told, or is too great, a new one is made. The look at it is the
	// beginning of its download, of which GitLab allows one per minute.
	MaxAge time.Duration
}

// schedule returns the options of a new export.
func (o *ExportOptions) schedule() *ScheduleExportOptions {
	if o == nil {
		return nil
	}
	return &o.ScheduleExportOptions
}

func (o *ExportOptions) check() error {
	switch {
	case o == nil:
		return nil
	case o.MaxAge < 0:
		return fmt.Errorf("max age %v is negative", o.MaxAge)
	case o.MaxAge > 0 && o.Upload != nil:
		return errors.New("max age and upload target exclude each other: GitLab uploads only an archive that it makes")
	}
	_, err := o.schedule().encode()
	return err
}

// ExportTo schedules an export or joins the one under way, waits for it and
// writes its archive to w. An export that is joined keeps the options it was
// scheduled with. If the answer to the scheduling is lost, and for a quarter of
// Polling.Grace no export shows, it is scheduled once more. The download bears
// an outage for Polling.Patience. Errors are those of ScheduleExport,
// WaitForExport and DownloadExport.
//
// With MaxAge an archive that is young enough is taken instead.
//
// With an upload target, the error is ErrExportExpired if the export ends
// without an archive: before 14.0 GitLab removes it once it is uploaded, and
// does not tell that from a failure.
func (c *Client) ExportTo(ctx context.Context, p ProjectRef, w io.Writer, opts *ExportOptions) (*Export, error) {
	if w == nil {
		return nil, errors.New("export: writer is nil")
	}
	before, err := c.lookBeforeExport(ctx, p, opts)
	if err != nil {
		return nil, err
	}
	return c.withArchive(ctx, before, p, opts, nil, func(a archive) error {
		_, err := a.downloadTo(ctx, w)
		return err
	})
}

// ExportToFile schedules an export or joins the one under way, waits for it
// and downloads it to a file, as DownloadExportFile does. An export that is
// joined keeps the options it was scheduled with. Errors are those of
// ScheduleExport, WaitForExport and DownloadExportFile; of those of an export
// with an upload target see ExportTo.
//
// With MaxAge an archive that is young enough is taken instead, so that a call
// after one that was killed in the download goes on with its part file.
func (c *Client) ExportToFile(ctx context.Context, p ProjectRef, name string, opts *ExportOptions) (*Export, error) {
	name, err := diskio.Check(name) // before the hours of exporting
	if err != nil {
		return nil, fmt.Errorf("export to file: %w", err)
	}
	before, err := c.lookBeforeExport(ctx, p, opts)
	if err != nil {
		return nil, err
	}
	given, _ := resolve(p) // it was fine before
	return c.withArchive(ctx, before, p, opts, nil, func(a archive) error {
		_, err := a.downloadFile(ctx, given, name)
		return err
	})
}

// lookBeforeExport checks its arguments and looks at the export of p.
func (c *Client) lookBeforeExport(ctx context.Context, p ProjectRef, opts *ExportOptions) (*Export, error) {
	id, err := resolve(p)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	err = opts.check()
	var before *Export
	if err == nil {
		before, err = c.getExport(ctx, id, p.String(), false)
	}
	if err != nil {
		return nil, fmt.Errorf("export of %s: %w", p, err)
	}
	return before, nil
}

// withArchive has use download the archive that is there, if it will do, and
// else makes one for it. The export was like before at the last look.
func (c *Client) withArchive(ctx context.Context, before *Export, p ProjectRef, opts *ExportOptions, k *trail, use func(archive) error) (*Export, error) {
	a := archive{c: c, id: before.ref(p), label: p.String(), outlasts: true}
	if a.since = c.oldest(before, opts, k); !a.since.IsZero() {
		err := use(a)
		if !errors.Is(err, errNotTaken) {
			return before, err
		}
		c.cfg.logger.InfoContext(ctx, "not taking the archive that is there", "project", a.label, "reason", err)
	}
	exp, err := c.makeExport(ctx, before, p, opts.schedule(), k)
	if err != nil {
		return exp, err
	}
	a.since = time.Time{}
	return exp, use(a)
}

// oldest returns since when an archive must be there that is taken instead of
// making another, zero for none. What another process has scheduled is younger
// than its checkpoint.
func (c *Client) oldest(before *Export, opts *ExportOptions, k *trail) (since time.Time) {
	if before.Status != ExportFinished {
		return since
	}
	if opts != nil && opts.MaxAge > 0 {
		since = c.clock.Now().Add(-opts.MaxAge)
	}
	if k.earlier(StepScheduling, StepExporting) {
		if t := k.from.Time.Add(-clockSlack); since.IsZero() || t.Before(since) {
			since = t
		}
	}
	return since
}

// makeExport schedules an export, or joins the one that was under way at the
// look before or that another process has scheduled, and waits for it. If the
// answer to the POST was lost and no export shows, it is scheduled once more:
// nothing is there that this deletes.
func (c *Client) makeExport(ctx context.Context, before *Export, p ProjectRef, opts *ScheduleExportOptions, k *trail) (*Export, error) {
	id, label := before.ref(p), p.String()
	clues := exportClues{
		running:  before.Status.underWay(),
		uploaded: opts != nil && opts.Upload != nil,
		older:    before.Status == ExportFinished,
		again:    true,
	}
	await := func(clues exportClues) (*Export, error) {
		return last(watch(ctx, &c.core, c.exportJob(id, label, clues)))
	}
	ahead := func(ctx context.Context) error {
		if err := k.reach(ctx, Checkpoint{Step: StepScheduling, Time: c.clock.Now()}); err != nil {
			return k.stop(ctx, err)
		}
		return nil
	}
	accepted := func() error { return k.reach(ctx, Checkpoint{Step: StepExporting, Time: c.clock.Now()}) }
	if clues.running {
		c.cfg.logger.InfoContext(ctx, "joining the export under way", "project", label, "status", redact.Line(string(before.Status), 64))
		if err := accepted(); err != nil {
			return nil, err
		}
		return await(clues)
	}
	earlier := clues
	if earlier.takeUp(k, before.Status == ExportFinished, k.recent(c.clock.Now(), c.cfg.polling.Grace)) {
		if exp, err := await(earlier); !errors.Is(err, errNotScheduled) {
			return exp, err
		}
	}
	for {
		err := c.scheduleExport(ctx, id, label, opts, ahead)
		clues.running = errors.Is(err, ErrExportInProgress)
		clues.accepted = err == nil
		clues.unsure = nil
		switch {
		case errors.Is(err, ErrOutcomeUnknown) && ctx.Err() == nil:
			clues.unsure = err
		case err != nil && !clues.running:
			return nil, err
		default:
			if err := accepted(); err != nil {
				return nil, err
			}
		}
		exp, err := await(clues)
		if errors.Is(err, errNotScheduled) {
			c.cfg.logger.WarnContext(ctx, "scheduling the export once more", "project", label, "error", clues.unsure)
			clues.again = false
			continue
		}
		if err != nil && clues.unsure != nil && !errors.Is(err, ErrOutcomeUnknown) {
			err = fmt.Errorf("%w (%w)", err, clues.unsure)
		}
		return exp, err
	}
}
