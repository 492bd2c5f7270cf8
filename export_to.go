package porter

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/seed-5d77b939/porter/internal/diskio"
	"github.com/seed-5d77b939/porter/internal/redact"
)

// ExportTo schedules an export or joins the one under way, waits for it and
// writes its archive to w. An export that is joined keeps the options it was
// scheduled with. If the answer to the scheduling is lost, and for a quarter of
// Polling.Grace no export shows, it is scheduled once more. The download bears
// an outage for Polling.Patience. Errors are those of ScheduleExport,
// WaitForExport and DownloadExport.
//
// With an upload target, the error is ErrExportExpired if the export ends
// without an archive: before 14.0 GitLab removes it once it is uploaded, and
// does not tell that from a failure.
func (c *Client) ExportTo(ctx context.Context, p ProjectRef, w io.Writer, opts *ScheduleExportOptions) (*Export, error) {
	if w == nil {
		return nil, errors.New("export: writer is nil")
	}
	exp, err := c.findAndMakeExport(ctx, p, opts)
	if err != nil {
		return exp, err
	}
	_, err = c.downloadExport(ctx, exp.ref(p), p.String(), w, true)
	return exp, err
}

// ExportToFile schedules an export or joins the one under way, waits for it
// and downloads it to a file, as DownloadExportFile does. An export that is
// joined keeps the options it was scheduled with. Errors are those of
// ScheduleExport, WaitForExport and DownloadExportFile; of those of an export
// with an upload target see ExportTo.
func (c *Client) ExportToFile(ctx context.Context, p ProjectRef, name string, opts *ScheduleExportOptions) (*Export, error) {
	name, err := diskio.Check(name) // before the hours of exporting
	if err != nil {
		return nil, fmt.Errorf("export to file: %w", err)
	}
	exp, err := c.findAndMakeExport(ctx, p, opts)
	if err != nil {
		return exp, err
	}
	given, _ := resolve(p) // it was fine before
	_, err = c.downloadExportFile(ctx, exp.ref(p), given, p.String(), name, true)
	return exp, err
}

// findAndMakeExport checks its arguments and makes the export of p.
func (c *Client) findAndMakeExport(ctx context.Context, p ProjectRef, opts *ScheduleExportOptions) (*Export, error) {
	id, err := resolve(p)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	if _, err := opts.encode(); err != nil {
		return nil, fmt.Errorf("export of %s: %w", p, err)
	}
	before, err := c.getExport(ctx, id, p.String(), false)
	if err != nil {
		return nil, fmt.Errorf("export of %s: %w", p, err)
	}
	return c.makeExport(ctx, before, p, opts)
}

// makeExport schedules an export, or joins the one that was under way at the
// look before, and waits for it. If the answer to the POST was lost and no
// export shows, it is scheduled once more: nothing is there that this deletes.
func (c *Client) makeExport(ctx context.Context, before *Export, p ProjectRef, opts *ScheduleExportOptions) (*Export, error) {
	id, label := before.ref(p), p.String()
	clues := exportClues{
		running:  before.Status.underWay(),
		uploaded: opts != nil && opts.Upload != nil,
		older:    before.Status == ExportFinished,
		again:    true,
	}
	if clues.running {
		c.cfg.logger.InfoContext(ctx, "joining the export under way", "project", label, "status", redact.Line(string(before.Status), 64))
		return last(watch(ctx, &c.core, c.exportJob(id, label, clues)))
	}
	for {
		err := c.scheduleExport(ctx, id, label, opts)
		clues.running = errors.Is(err, ErrExportInProgress)
		clues.accepted = err == nil
		clues.unsure = nil
		switch {
		case errors.Is(err, ErrOutcomeUnknown) && ctx.Err() == nil:
			clues.unsure = err
		case err != nil && !clues.running:
			return nil, err
		}
		exp, err := last(watch(ctx, &c.core, c.exportJob(id, label, clues)))
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
