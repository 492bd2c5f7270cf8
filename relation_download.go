package porter

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"
)

// OpenRelationExport opens the exported file of a relation, or with a batch
// above 0 of one batch of it, for reading. It is gzipped: lines of JSON, one
// JSON object, or a tar, as the relation is. Close the reader; it resumes and
// checks as that of OpenExport does. The error is ErrNotFound if there is no
// such file.
//
// GET /projects/:id/export_relations/download, GitLab 14.4 and later, needs the Maintainer role:
// https://docs.gitlab.com/api/project_relations_export/#export-download
func (c *Client) OpenRelationExport(ctx context.Context, p ProjectRef, r PortableRelation, batch int) (*ExportReader, error) {
	f, err := c.relationFile(p, r, batch)
	if err != nil {
		return nil, err
	}
	d, err := f.open(ctx, 0, validator{})
	if err != nil {
		return nil, err
	}
	return newExportReader(d)
}

// DownloadRelationExport writes the exported file of a relation, or of one
// batch of it, to w, as DownloadExport does, and returns how many bytes it wrote.
func (c *Client) DownloadRelationExport(ctx context.Context, p ProjectRef, r PortableRelation, batch int, w io.Writer) (int64, error) {
	f, err := c.relationFile(p, r, batch)
	if err != nil {
		return 0, err
	}
	if w == nil {
		return 0, fmt.Errorf("%s: writer is nil", f.op)
	}
	d, err := f.open(ctx, 0, validator{})
	if err != nil {
		return 0, err
	}
	return copyDownload(w, d)
}

// DownloadRelationExportFile downloads the exported file of a relation, or of
// one batch of it, to a file, as DownloadExportFile does, and returns its size
// in bytes.
func (c *Client) DownloadRelationExportFile(ctx context.Context, p ProjectRef, r PortableRelation, batch int, name string) (int64, error) {
	f, err := c.relationFile(p, r, batch)
	if err != nil {
		return 0, err
	}
	s := saving{
		c:       c,
		op:      f.op,
		project: f.request.project,
		origin:  f.request.url,
		open:    func(off int64, v validator) (*download, error) { return f.open(ctx, off, v) },
		verify:  verifyGzip,
	}
	return s.to(ctx, name)
}

// A relationFile is the exported file of a relation or batch.
type relationFile struct {
	c       *Client
	op      string
	request request
}

func (c *Client) relationFile(p ProjectRef, r PortableRelation, batch int) (*relationFile, error) {
	id, err := resolve(p)
	if err != nil {
		return nil, fmt.Errorf("download relation export: %w", err)
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("download relation export of %s: %w", p, err)
	}
	op := fmt.Sprintf("download export of relation %s of %s", r, p)
	if batch < 0 {
		return nil, fmt.Errorf("%s: batch %d is negative", op, batch)
	}
	query := url.Values{"relation": {string(r)}}
	if batch > 0 {
		query.Set("batched", "true")
		query.Set("batch_number", strconv.Itoa(batch))
	}
	return &relationFile{c, op, request{
		url:     c.projectEndpoint(id, "export_relations/download?"+query.Encode()),
		project: p.String(),
		hints:   relationHints,
	}}, nil
}

func (f *relationFile) open(ctx context.Context, off int64, v validator) (*download, error) {
	d, err := openDownload(ctx, &f.c.core, f.op, f.request.project, f.request, off, v)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.op, err)
	}
	return d, nil
}
