package porter

import (
	"context"
	"fmt"
	"io"
)

// OpenExport opens the finished archive for reading. Close the reader; it ends
// with ctx too.
//
// The error is ErrExportExpired if GitLab has no archive for this user,
// ErrExportNotReady if it is still being stored when Polling.Patience is over,
// and ErrNotArchive if what came is no archive. GitLab allows one download of
// a project per minute; a second one waits for its turn.
//
// GET /projects/:id/export/download, needs the Maintainer role:
// https://docs.gitlab.com/api/project_import_export/#download-an-export
func (c *Client) OpenExport(ctx context.Context, p ProjectRef) (*ExportReader, error) {
	id, err := c.resolve(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("open export: %w", err)
	}
	return archive{c: c, id: id, label: p.String()}.reader(ctx)
}

// DownloadExport writes the finished archive to w and, without SkipVerify,
// verifies it as it passes. It has been written by the time that it is found
// not to be sound: then the error, one of VerifyArchive's, says how much of it.
// If a write fails, its error is returned; else the errors are those of
// OpenExport and ExportReader.Read. What was written before an error is no whole
// archive, unless that is ErrUnimportable.
func (c *Client) DownloadExport(ctx context.Context, p ProjectRef, w io.Writer, opts *DownloadOptions) (*Download, error) {
	id, err := c.resolve(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("download export: %w", err)
	}
	if w == nil {
		return nil, fmt.Errorf("download export of %s: writer is nil", p)
	}
	if err := opts.check(false); err != nil {
		return nil, fmt.Errorf("download export of %s: %w", p, err)
	}
	dl, err := archive{c: c, id: id, label: p.String()}.copyTo(ctx, w, opts)
	return dl.of(projectOf(p)), err
}

// ExportSource returns a Source that downloads the finished export each time
// it is opened. GitLab allows one download of a project per minute, so opening
// it again waits for its turn.
func (c *Client) ExportSource(p ProjectRef) Source {
	return Source{
		Name: defaultFileName,
		Size: -1,
		Open: func(ctx context.Context) (io.ReadCloser, error) {
			return c.OpenExport(ctx, p)
		},
	}
}
