package porter

import (
	"context"
	"fmt"
	"io"

	"github.com/seed-5d77b939/porter/internal/diskio"
)

// ExportTo schedules an export or joins the one under way, waits for it and
// writes its archive to a writer. An export that is joined keeps the options it was
// scheduled with. If the answer to the scheduling is lost, and for a quarter of
// Polling.Grace no export shows, it is scheduled once more. The download bears
// an outage for Polling.Patience. Errors are those of ScheduleExport,
// WaitForExport and DownloadExport, and with Strict a *LossError, by which time
// the archive has been written.
//
// With MaxAge an archive that is young enough is taken instead.
//
// With an upload target, the error is ErrExportExpired if the export ends
// without an archive: before 14.0 GitLab removes it once it is uploaded, and
// does not tell that from a failure.
func (c *Client) ExportTo(ctx context.Context, p ProjectRef, to io.Writer, opts *ExportOptions) (*Download, error) {
	if _, err := c.resolve(ctx, p); err == nil && to == nil {
		return nil, fmt.Errorf("export of %s: writer is nil", p)
	}
	ctx, w, err := c.newExport(ctx, p, opts, false)
	if err != nil {
		return nil, err
	}
	return w.deliver(ctx, func(a archive) (*Download, error) { return a.copyTo(ctx, to, opts.download()) })
}

// ExportToFile schedules an export or joins the one under way, waits for it
// and downloads it to a file, as DownloadExportFile does. An export that is
// joined keeps the options it was scheduled with. Errors are those of
// ScheduleExport, WaitForExport and DownloadExportFile; of those of an export
// with an upload target see ExportTo.
//
// With MaxAge an archive that is young enough is taken instead, so that a call
// after one that was killed in the download goes on with its part file. With
// Strict, the file stays there if something was lost.
func (c *Client) ExportToFile(ctx context.Context, p ProjectRef, name string, opts *ExportOptions) (*Download, error) {
	given, err := c.resolve(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	name, err = diskio.Check(name) // before the hours of exporting
	if err != nil {
		return nil, fmt.Errorf("export of %s: %w", p, err)
	}
	ctx, w, err := c.newExport(ctx, p, opts, true)
	if err != nil {
		return nil, err
	}
	return w.deliver(ctx, func(a archive) (*Download, error) { return a.downloadFile(ctx, given, name, opts.download()) })
}

// deliver has use download the archive, and then says what the export has lost,
// if that is wanted.
func (w *wholeExport) deliver(ctx context.Context, use func(archive) (*Download, error)) (dl *Download, err error) {
	exp, err := w.archive(ctx, func(a archive) (err error) {
		dl, err = use(a)
		return err
	})
	if dl == nil {
		return nil, err
	}
	dl.Project, dl.Reused = exp.Project, exp == w.before
	if err != nil || w.proof == nil {
		return dl, err
	}
	if err = w.proof.compare(ctx, dl.Archive); err == nil {
		dl.Proof = *w.proof.proof()
		err = w.opts.strict(&dl.Proof)
	}
	if err != nil {
		err = fmt.Errorf("export of %s: %w", w.project, err)
	}
	return dl, err
}
