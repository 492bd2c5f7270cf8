package porter

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/seed-5d77b939/porter/internal/diskio"
)

// ExportTo schedules an export or joins the one under way, waits for it and
// writes its archive to a writer. An export that is joined keeps the options it was
// scheduled with. If the answer to the scheduling is lost, and for a quarter of
// Polling.Grace no export shows, it is scheduled once more. The download bears
// an outage for Polling.Patience. Errors are those of ScheduleExport,
// WaitForExport and DownloadExport.
//
// With MaxAge an archive that is young enough is taken instead. With Prove, the
// archive is verified as it passes, and an error of VerifyArchive one of ExportTo.
//
// With an upload target, the error is ErrExportExpired if the export ends
// without an archive: before 14.0 GitLab removes it once it is uploaded, and
// does not tell that from a failure.
func (c *Client) ExportTo(ctx context.Context, p ProjectRef, to io.Writer, opts *ExportOptions) (*Export, error) {
	if to == nil {
		return nil, errors.New("export: writer is nil")
	}
	ctx, w, err := c.newExport(ctx, p, opts)
	if err != nil {
		return nil, err
	}
	return w.prove(ctx, func(a archive) error {
		_, err := w.verified(to, func(to io.Writer) (int64, error) { return a.copyTo(ctx, to) })
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
// after one that was killed in the download goes on with its part file. With
// Prove, the file is verified once it is there, and stays there if that fails or,
// with Strict, something was lost.
func (c *Client) ExportToFile(ctx context.Context, p ProjectRef, name string, opts *ExportOptions) (*Export, error) {
	name, err := diskio.Check(name) // before the hours of exporting
	if err != nil {
		return nil, fmt.Errorf("export to file: %w", err)
	}
	ctx, w, err := c.newExport(ctx, p, opts)
	if err != nil {
		return nil, err
	}
	given, _ := resolve(p) // it was fine before
	return w.prove(ctx, func(a archive) error {
		_, err := a.downloadFile(ctx, given, name)
		if err == nil {
			err = w.verifyFile(ctx, name)
		}
		return err
	})
}
