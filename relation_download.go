package porter

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"
)

// A RelationFile names a file that an export of relations left: that of a
// relation, or of one batch of it.
type RelationFile struct {
	Relation PortableRelation
	Batch    int // counted from 1; 0 if the relation was not exported in batches
}

// OpenRelationExport opens the exported file f for reading. It is gzipped: lines
// of JSON, one JSON object, or a tar, as the relation is. Close the reader; it
// resumes and checks as that of OpenExport does. The error is ErrNotFound if
// there is no such file.
//
// GET /projects/:id/export_relations/download, GitLab 14.4 and later, needs the Maintainer role:
// https://docs.gitlab.com/api/project_relations_export/#export-download
func (c *Client) OpenRelationExport(ctx context.Context, p ProjectRef, f RelationFile) (*ExportReader, error) {
	r, err := c.relationDownload(p, f)
	if err != nil {
		return nil, err
	}
	return opener(r.open).reader(ctx)
}

// DownloadRelationExport writes the exported file f to w, as DownloadExport
// does, and returns how many bytes it wrote.
func (c *Client) DownloadRelationExport(ctx context.Context, p ProjectRef, f RelationFile, w io.Writer) (int64, error) {
	r, err := c.relationDownload(p, f)
	if err != nil {
		return 0, err
	}
	if w == nil {
		return 0, fmt.Errorf("%s: writer is nil", r.op)
	}
	return opener(r.open).copyTo(ctx, w)
}

// DownloadRelationExportFile downloads the exported file f to the file name, as
// DownloadExportFile does, and returns its size in bytes.
func (c *Client) DownloadRelationExportFile(ctx context.Context, p ProjectRef, f RelationFile, name string) (int64, error) {
	r, err := c.relationDownload(p, f)
	if err != nil {
		return 0, err
	}
	s := saving{
		c:       c,
		op:      r.op,
		project: r.request.project,
		origin:  r.request.url,
		open:    r.open,
		verify:  verifyGzip,
	}
	return s.to(ctx, name)
}

// A relationDownload is a download of a RelationFile.
type relationDownload struct {
	c       *Client
	op      string
	request request
}

func (c *Client) relationDownload(p ProjectRef, f RelationFile) (*relationDownload, error) {
	id, err := resolve(p)
	if err != nil {
		return nil, fmt.Errorf("download relation export: %w", err)
	}
	if err := f.Relation.check(); err != nil {
		return nil, fmt.Errorf("download relation export of %s: %w", p, err)
	}
	op := fmt.Sprintf("download export of relation %s of %s", f.Relation, p)
	if f.Batch < 0 {
		return nil, fmt.Errorf("%s: batch %d is negative", op, f.Batch)
	}
	query := url.Values{"relation": {string(f.Relation)}}
	if f.Batch > 0 {
		query.Set("batched", "true")
		query.Set("batch_number", strconv.Itoa(f.Batch))
	}
	return &relationDownload{c, op, request{
		url:     c.projectEndpoint(id, "export_relations/download?"+query.Encode()),
		project: p.String(),
		hints:   relationHints,
	}}, nil
}

func (r *relationDownload) open(ctx context.Context, start start) (*download, error) {
	d, err := openDownload(ctx, &r.c.core, r.op, r.request.project, r.request, start)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.op, err)
	}
	return d, nil
}

// verifyGzip reads r to its end and reports whether it is undamaged gzip data,
// whatever they hold.
func verifyGzip(r io.Reader) error {
	z, err := gzip.NewReader(r)
	if err == nil {
		_, err = io.Copy(io.Discard, &unpackedReader{r: z, max: maxUnpacked})
	}
	if err != nil {
		return gzipError(err)
	}
	return nil
}
